"""Traces to Parquet: the published schema, one row per trace.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from factory import public
from factory.traces import Selection, TraceOptions, take_apart
from factory.types import Completion, Message, Outcome, Problem, Sampling, Trace

ONE_PROBLEM = 64
"""Rollouts of which is kept in mind what several configs ask for, one after the other."""
_JSON = json.JSONEncoder(ensure_ascii=False)
_SORTED_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True)

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

DEFAULT_SCHEMA = pa.schema(
    [
        ("uuid", pa.string()),
        ("problem_id", pa.string()),
        ("cluster", pa.string()),
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
        ("withheld", pa.string()),
        ("started_over", pa.int32()),
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
    if selection.barred and selection.barred.hidden:
        return
    for trace in selection.all:
        withheld = selection.withheld.get(trace.rollout.index)
        yield to_row(trace, origin) if withheld is None else withheld_row(trace, origin, withheld)


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
    about="a rollout, right or wrong, with its verdict: not for training as it is; the text of one "
    "that holds secrets or personal data is withheld",
)


def to_row(trace: Trace, origin: Origin) -> dict[str, Any]:
    """One trace as a row of `all`; `default` takes its own columns of it."""
    problem, rollout, verdict = trace.problem, trace.rollout, trace.verdict
    judged = bool(verdict.verifier)
    reply = Message(role="assistant", content=reply_text(rollout.completion))
    return {
        "uuid": trace_uuid(trace, origin),
        "problem_id": problem.id,
        "cluster": trace.cluster or problem.id,
        "source": public.name(problem.source),
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
        "withheld": None,
        "started_over": trace.rollout.started_over,
    }


def withheld_row(trace: Trace, origin: Origin, rule: str) -> dict[str, Any]:
    """A rollout of which the figures are shown and nothing that it says.

    Args:
        rule: why: `secrets` or `personal`.
    """
    row = to_row(trace, origin)
    row["messages"] = [*row["messages"][:-1], Message(role="assistant", content="")]
    return row | {"extracted": None, "verdict_detail": None, "withheld": rule}


def trace_uuid(trace: Trace, origin: Origin) -> str:
    """Names a rollout: the same in every config and every version of the dataset."""
    rollout = trace.rollout
    return _uuid(trace.problem.id, rollout.model, origin.sampling_json(), rollout.index)


@lru_cache(maxsize=ONE_PROBLEM)
def _uuid(problem_id: str, model: str, sampling: str, index: int) -> str:
    name = _JSON.encode([problem_id, model, sampling, index])
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]


def to_json(value: Any) -> str:
    """Free-form values as a column: text, since a struct would differ from row to row."""
    return _SORTED_JSON.encode(value)


def finite(number: float | None) -> float | None:
    """The number, or None where it is none: a NaN in a shard spoils every mean."""
    return number if number is not None and math.isfinite(number) else None


@lru_cache(maxsize=ONE_PROBLEM)
def reply_text(completion: Completion) -> str:
    """The assistant's turn, its reasoning inline; as it came where the tags are malformed."""
    reply = take_apart(completion.text, completion.reasoning)
    if reply is None:
        return (completion.reasoning or "") + completion.text
    if reply.reasoning is None:
        return reply.answer
    return f"<think>\n{reply.reasoning.strip()}\n</think>\n\n{reply.answer.lstrip()}"
