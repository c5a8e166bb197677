"""Traces to Parquet: the published schema, one row per trace.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from factory.traces import Selection, TraceOptions, take_apart
from factory.types import Completion, Message, Outcome, Problem, Sampling, Shard, Trace

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

DEFAULT_SCHEMA = pa.schema(
    [
        ("uuid", pa.string()),
        ("problem_id", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("domain", pa.string()),
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("messages", MESSAGES),
        ("model", pa.string()),
        ("prompt_template", pa.string()),
        ("sampling", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("correct", pa.bool_()),
        ("score", pa.float32()),
        ("verifier", pa.string()),
        ("verifier_version", pa.string()),
        ("generation_index", pa.int32()),
        ("num_generations", pa.int32()),
        ("pass_rate", pa.float32()),
        ("license", pa.string()),
        ("run_id", pa.string()),
        ("metadata", pa.string()),
    ]
)
"""Columns of `default`. No trainer reserves any of these names (`prompt`, `labels`, ...)."""

ALL_SCHEMA = pa.schema(
    [
        *DEFAULT_SCHEMA,
        ("outcome", pa.string()),
        ("extracted", pa.string()),
        ("verdict_detail", pa.string()),
        ("sandbox", pa.string()),
    ]
)
"""Columns of `all`."""


def bare_question(problem: Problem) -> Sequence[Message]:
    """The conversation as the source gave it."""
    return problem.messages or (Message(role="user", content=problem.prompt),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all rows of a run share."""

    sampling: Sampling
    prompt_template: str = "{prompt}"
    """As the recipe spells it."""
    license: str = ""
    """Licence of the rows, as a Hub identifier."""
    run_id: str = ""
    """Names the run; no clock in it, so that the same run gives the same bytes."""
    ask: Callable[[Problem], Sequence[Message]] = bare_question
    """The messages the model was given; they are published before its reply."""
    verifiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of the recipe's verifiers by name, the default one first."""

    def sampling_json(self) -> str:
        return _sampling_json(self.sampling)


@lru_cache(maxsize=8)
def _sampling_json(sampling: Sampling) -> str:
    return json.dumps(asdict(sampling), sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration of the published dataset: a folder of shards with one schema."""

    name: str
    folder: str
    """Relative to the dataset folder."""
    schema: pa.Schema
    rows: Callable[[Selection, Origin, TraceOptions], Iterable[dict[str, Any]]]
    """What one problem contributes, in the order of publication."""
    about: str
    """What a row is, for the card."""


def _kept_rows(
    selection: Selection, origin: Origin, options: TraceOptions
) -> Iterator[dict[str, Any]]:
    return (to_row(trace, origin) for trace in selection.kept)


def _all_rows(
    selection: Selection, origin: Origin, options: TraceOptions
) -> Iterator[dict[str, Any]]:
    return (to_row(trace, origin) for trace in selection.all)


DEFAULT = Config(
    name="default",
    folder="data",
    schema=DEFAULT_SCHEMA,
    rows=_kept_rows,
    about="an accepted trace, its reasoning inline: for supervised fine-tuning",
)
ALL = Config(
    name="all",
    folder="all",
    schema=ALL_SCHEMA,
    rows=_all_rows,
    about="a rollout, right or wrong, with its verdict: not for training as it is",
)


def to_row(trace: Trace, origin: Origin) -> dict[str, Any]:
    """One trace as a row of `all`; `default` takes its own columns of it."""
    problem, rollout, verdict = trace.problem, trace.rollout, trace.verdict
    judged = bool(verdict.verifier)
    reply = Message(role="assistant", content=reply_text(rollout.completion))
    return {
        "uuid": trace_uuid(trace, origin),
        "problem_id": problem.id,
        "source": problem.source,
        "source_id": problem.source_id,
        "domain": problem.domain,
        "problem": problem.prompt,
        "answer": problem.answer,
        "messages": [*origin.ask(problem), reply],
        "model": rollout.model,
        "prompt_template": origin.prompt_template,
        "sampling": origin.sampling_json(),
        "finish_reason": rollout.completion.finish_reason,
        "prompt_tokens": rollout.completion.prompt_tokens,
        "completion_tokens": rollout.completion.num_tokens,
        "correct": verdict.outcome is Outcome.CORRECT if verdict.outcome.judged else None,
        "score": finite(verdict.reward),
        "verifier": verdict.verifier if judged else problem.verifier,
        "verifier_version": verdict.verifier_version if judged else None,
        "generation_index": rollout.index,
        "num_generations": trace.num_generations,
        "pass_rate": trace.pass_rate,
        "license": origin.license,
        "run_id": origin.run_id,
        "metadata": to_json(problem.metadata),
        "outcome": verdict.outcome.value if judged else None,
        "extracted": verdict.extracted,
        "verdict_detail": verdict.detail,
        "sandbox": verdict.sandbox,
    }


def trace_uuid(trace: Trace, origin: Origin) -> str:
    """Names a rollout: the same in every config and every version of the dataset."""
    rollout = trace.rollout
    parts = [trace.problem.id, rollout.model, origin.sampling_json(), rollout.index]
    name = json.dumps(parts, ensure_ascii=False)
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]


def to_json(value: Any) -> str:
    """Free-form values as a column: text, since a struct would differ from row to row."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def finite(number: float | None) -> float | None:
    """The number, or None where it is none: a NaN in a shard spoils every mean."""
    return number if number is not None and math.isfinite(number) else None


def reply_text(completion: Completion) -> str:
    """The assistant's turn, its reasoning inline; as it came where the tags are malformed."""
    reply = take_apart(completion.text, completion.reasoning)
    if reply is None:
        return (completion.reasoning or "") + completion.text
    if reply.reasoning is None:
        return reply.answer
    return f"<think>\n{reply.reasoning.strip()}\n</think>\n\n{reply.answer.lstrip()}"


class ShardWriter:
    """Streams rows into `FOLDER/train-00000.parquet`, `train-00001.parquet`, ...

    A shard is complete or absent: it is written under another name, synced and renamed. Equal
    rows give equal bytes. Memory holds one row group. Without a row nothing is written: a config
    whose shards hold no row makes `load_dataset` fail.
    """

    def __init__(
        self,
        root: Path,
        config: Config,
        *,
        shard_bytes: int = 500_000_000,
        row_group_bytes: int = 100_000_000,
        even_empty: bool = False,
    ) -> None:
        """
        Args:
            shard_bytes: uncompressed size from which on a shard is closed.
            row_group_bytes: the same for a row group.
            even_empty: where there is no row, leave one shard that holds the schema.
        """
        self.config = config
        self.shards: list[Shard] = []
        self._root = root
        self._shard_bytes = shard_bytes
        self._group_bytes = row_group_bytes
        self._even_empty = even_empty
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._group_size = 0
        self._shard_size = 0
        self._shard_rows = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()
            self._temporary.unlink()

    def write(self, row: dict[str, Any]) -> None:
        """Takes one row; columns that the schema lacks are left out."""
        self._pending.append(row)
        self._pending_bytes += _weight(row)
        if self._pending_bytes >= min(4_000_000, self._group_bytes // 4):
            self._gather()

    def close(self) -> None:
        """Completes the last shard."""
        self._gather()
        self._end_group()
        if self._even_empty and self._writer is None and not self.shards:
            self._open()
        if self._writer is not None:
            self._end_shard()

    @property
    def _name(self) -> str:
        return f"{self.config.folder}/train-{len(self.shards):05d}.parquet"

    @property
    def _temporary(self) -> Path:
        return self._root / self.config.folder / f".{len(self.shards):05d}.parquet.tmp"

    def _gather(self) -> None:
        """Turns the pending rows into Arrow memory, whose size is known."""
        if not self._pending:
            return
        batch = to_batch(self._pending, self.config.schema)
        self._pending, self._pending_bytes = [], 0
        self._batches.append(batch)
        self._group_size += batch.nbytes
        if self._group_size >= self._group_bytes:
            self._end_group()
            if self._shard_size >= self._shard_bytes:
                self._end_shard()

    def _end_group(self) -> None:
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches, self.config.schema)
        (self._writer or self._open()).write_table(table, row_group_size=table.num_rows)
        self._shard_rows += table.num_rows
        self._shard_size += self._group_size
        self._batches, self._group_size = [], 0

    def _open(self) -> pq.ParquetWriter:
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            self._temporary,
            self.config.schema,
            compression="zstd",
            compression_level=3,
            use_content_defined_chunking=True,
            write_page_index=True,
        )
        return self._writer

    def _end_shard(self) -> None:
        assert self._writer is not None
        self._writer.close()
        temporary, name = self._temporary, self._name
        sync(temporary)
        temporary.rename(self._root / name)
        sync((self._root / name).parent)
        digest, size = file_digest(self._root / name)
        shard = Shard(path=name, num_rows=self._shard_rows, num_bytes=size, sha256=digest)
        self.shards.append(shard)
        self._writer, self._shard_rows, self._shard_size = None, 0, 0


def _weight(value: Any) -> int:
    """About how many bytes a value takes, cheaply."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    return 8 + sum(map(_weight, value)) if isinstance(value, list) else 8


def to_batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Arrow memory; text that UTF-8 cannot hold is repaired, not refused."""
    try:
        return pa.RecordBatch.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:
        return pa.RecordBatch.from_pylist([_repaired(row) for row in rows], schema=schema)


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _repaired(item) for key, item in value.items()}
    return [_repaired(item) for item in value] if isinstance(value, list) else value


def sync(path: Path) -> None:
    """Makes a file, or the entries of a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> tuple[str, int]:
    """A file's SHA-256 and size."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
