"""How a run stands, read from its ledger: what is finished, what is open, what is next.

Memory: the open problems with their unjudged rollouts, and some tens of bytes per finished problem
or row set aside, however much was sampled. A ledger is read in two passes: the first takes the
small columns alone, which say what is finished; the second reads the records of open problems,
from the file on in which the first of them was admitted. So the texts of finished problems are
neither read nor checked here: whoever reads them (`factory.ledger.scan`) checks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.ledger.ids import ForeignId, Ids, Numbers, isin, numbers
from factory.ledger.records import SMALL, Closed, Partial, Record
from factory.ledger.segments import Log, scan, walk
from factory.report.counts import Counts
from factory.scheduling.events import History
from factory.scheduling.pool import Census, Pool, Sums
from factory.types import Outcome, Problem, Reject, Rollout, Verdict

Item = TypeVar("Item")

_ROWS = 1 << 17
"""So many rows of small columns are looked at together."""
_OF_PROBLEMS = pa.array(["problem", "partial", "rollout", "verdict", "closed"])
"""Kinds of record that change how a problem stands."""
_LOOKED_AT = [name for name in SMALL.names if name != "index"]


@dataclass(slots=True, kw_only=True)
class OpenProblem:
    """A problem that is not finished, with what is on record of it."""

    problem: Problem
    prefixes: dict[int, list[int]] = field(default_factory=dict)
    """Logged tokens of rollouts without an end, by index."""
    restarts: dict[int, int] = field(default_factory=dict)
    """Interruptions so far, by index."""
    unjudged: dict[int, Rollout] = field(default_factory=dict)
    """Finished rollouts without a verdict, by index."""
    ended: list[int] = field(default_factory=list)
    correct: int = 0
    incorrect: int = 0
    unknown: int = 0
    repeats: int = 0
    """Correct, in the words of one in `correct`."""
    doomed: int = 0
    """Cut short by a detector."""
    tokens: int = 0
    """Of the rollouts in `ended`."""
    right_tokens: int = 0
    """Of the correct ones."""
    _texts: set[bytes] = field(default_factory=set)

    def add(self, record: Rollout | Verdict | Partial) -> None:
        match record:
            case Partial():
                prefix = self.prefixes.setdefault(record.index, [])
                if record.start <= len(prefix):  # behind a gap nothing can be used
                    prefix[record.start :] = record.token_ids
            case Rollout():
                self._end(record)
            case Verdict():
                rollout = self.unjudged.pop(record.index, None)
                if rollout is not None and record.outcome is Outcome.CORRECT:
                    if self.is_repeat(rollout):
                        self.repeats += 1
                        return
                    self.right_tokens += rollout.completion.num_tokens
                    self._texts.add(_words(rollout))
                self._count(record.outcome, 1)
                if record.replaces is not None:
                    self._count(record.replaces, -1)

    def is_repeat(self, rollout: Rollout) -> bool:
        """Whether a correct rollout says nothing that an earlier correct one did not say."""
        return _words(rollout) in self._texts

    def _count(self, outcome: Outcome, by: int) -> None:
        if outcome is Outcome.CORRECT:
            self.correct += by
        elif outcome.judged:
            self.incorrect += by
        else:
            self.unknown += by

    def _end(self, rollout: Rollout) -> None:
        self.prefixes.pop(rollout.index, None)
        self.restarts.pop(rollout.index, None)
        self.ended.append(rollout.index)
        self.tokens += rollout.completion.num_tokens
        if rollout.completion.finish_reason == "abort":
            self.unknown += not rollout.doomed
            self.doomed += bool(rollout.doomed)
        else:
            self.unjudged[rollout.index] = rollout

    def history(self) -> History:
        """What the foreman needs to know of it."""
        return History(
            ended=tuple(self.ended),
            correct=self.correct,
            incorrect=self.incorrect,
            unknown=self.unknown,
            repeats=self.repeats,
            doomed=self.doomed,
            tokens=self.tokens,
            right_tokens=self.right_tokens,
            unjudged=tuple(self.unjudged),
            lengths=tuple(r.completion.num_tokens for r in self.unjudged.values()),
            partial=tuple(self.prefixes),
        )


@dataclass(slots=True, kw_only=True)
class Standing:
    """The state of a run at one moment."""

    open: dict[str, OpenProblem] = field(default_factory=dict)
    """By problem id, in the order of admission."""
    closed: Ids = field(default_factory=Ids)
    """Ids of finished problems."""
    rejects: Ids = field(default_factory=Ids)
    """Digests of everything already set aside: by source, row and rule."""
    counts: Counts = field(default_factory=Counts)
    pool: Pool = field(default_factory=Pool)
    """The last census, and the sums over finished problems."""
    records: int = 0
    """How many there are: a ledger only grows, so this is its version."""

    def add(self, record: Record) -> None:
        self.records += 1
        self.counts.add(record)
        match record:
            case Reject():
                self.rejects.add(_digest(record.source, record.row, record.rule))
            case Closed():
                self.pool.add(record.sums)
                self.follow(record)
            case _:
                self.follow(record)

    def follow(self, record: Record) -> None:
        """What a record says beyond the sums over all of them."""
        match record:
            case Problem():
                self.open[record.id] = OpenProblem(problem=record)
            case Closed():
                self.closed.add(record.problem_id)  # first: another thread asks what is known
                self.open.pop(record.problem_id, None)
            case Census():
                self.pool.census = record
            case Rollout() | Verdict() | Partial() if record.problem_id in self.open:
                self.open[record.problem_id].add(record)

    def knows(self, problem_id: str) -> bool:
        return problem_id in self.open or problem_id in self.closed

    def has_reject(self, reject: Reject) -> bool:
        return _digest(reject.source, reject.row, reject.rule) in self.rejects


def _words(rollout: Rollout) -> bytes:
    """Digest of what was written, spaces aside."""
    said = " ".join(f"{rollout.completion.reasoning or ''} {rollout.completion.text}".split())
    return blake2b(said.encode("utf-8", "replace"), digest_size=8).digest()


def _digest(source: str, row: str, rule: str) -> str:
    """64 bits: among ten million rejects, two share them in one run of 400,000."""
    text = "\0".join((source, row, rule)).encode("utf-8", "replace")
    return blake2b(text, digest_size=8).hexdigest()


def read(folder: Path) -> Standing:
    """The standing of the run whose ledger lies in `folder`.

    Raises:
        LedgerError: there is no ledger, or what was read of it is damaged.
    """
    try:
        return _read_columns(folder)
    except ForeignId:
        standing = Standing()
        for record in scan(folder):
            standing.add(record)
        return standing


def _read_columns(folder: Path) -> Standing:
    standing = Standing()
    admissions = _Admissions()
    census = None
    for number, table in _ahead(_small(folder)):
        admissions.add(number, standing.records, table)
        standing.records += table.num_rows
        standing.counts.add_small(table)
        for source, row, rule in _cells(table, "reject", ["source", "row", "rule"]):
            standing.rejects.add(_digest(source, row, rule))
        _add_closings(standing.pool, table)
        if pc.any(pc.equal(table["kind"], "census")).as_py():
            census = number
    standing.closed.update(admissions.closed)
    since, open_ = admissions.open()
    starts = [number for number in (since if len(open_) else None, census) if number is not None]
    if starts:
        for record in _of(folder, min(starts), open_):
            standing.follow(record)
    return standing


def _add_closings(pool: Pool, table: pa.Table) -> None:
    closed = table.filter(pc.equal(table["kind"], "closed"))
    alike = ["correct", "failed"]
    sums = [one.name for one in fields(Sums) if one.name not in alike]
    groups = closed.group_by(alike).aggregate(
        [([], "count_all"), *((name, "sum") for name in sums)]
    )
    for group in groups.to_pylist():
        of_all = {name: group[f"{name}_sum"] for name in sums}
        each = {name: group[name] for name in alike}
        pool.add_alike(group["count_all"], Sums(**each, **of_all))


def _cells(table: pa.Table, kind: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """The values in some columns of the rows of one kind."""
    rows = table.filter(pc.equal(table["kind"], kind))
    return zip(*(rows[name].to_pylist() for name in columns), strict=True)


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one made while one is looked at: Arrow needs no interpreter."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _small(folder: Path) -> Iterator[tuple[int, pa.Table]]:
    """The small columns of a ledger, with the number of the file in which the rows begin."""
    waiting: list[pa.RecordBatch] = []
    rows, begin = 0, -1
    for segment, file in walk(folder):
        for batch in (
            [file.small().select(_LOOKED_AT)] if isinstance(file, Log) else file.batches(_LOOKED_AT)
        ):
            if not waiting:
                begin = segment.first
            waiting.append(batch)
            rows += batch.num_rows
            if rows >= _ROWS:
                yield begin, pa.Table.from_batches(waiting)
                waiting, rows = [], 0
    if waiting:
        yield begin, pa.Table.from_batches(waiting)


def _of(folder: Path, since: int, wanted: Numbers) -> Iterator[Record]:
    """The censuses and the records of some problems, from the file on that holds this number."""

    def rows(batch: pa.RecordBatch) -> pa.Array | None:
        places = np.flatnonzero(pc.is_in(batch["kind"], _OF_PROBLEMS))
        own = places[isin(numbers(batch["problem_id"].take(places)), wanted)]
        found = np.sort(np.concatenate([own, np.flatnonzero(pc.equal(batch["kind"], "census"))]))
        return pa.array(found) if len(found) else None

    ids = {f"{number:016x}" for number in wanted.tolist()}
    for _, file in walk(folder, since - 1):
        if isinstance(file, Log):
            for record in file.records():
                if isinstance(record, Census) or _id(record) in ids:
                    yield record
        else:
            yield from file.picked(rows)


def _id(record: Record) -> str | None:
    """The problem whose standing a record changes."""
    match record:
        case Problem():
            return record.id
        case Partial() | Rollout() | Verdict() | Closed():
            return record.problem_id
        case _:
            return None


class _Admissions:
    """Which problems were admitted, and which of them were closed after that."""

    def __init__(self) -> None:
        self._opened: list[tuple[int, Numbers, Numbers]] = []
        self._closed: list[tuple[Numbers, Numbers]] = []

    def add(self, number: int, before: int, table: pa.Table) -> None:
        """Takes a table that begins in the file of this number, behind so many records."""
        for kind in ("problem", "closed"):
            mask = np.asarray(pc.equal(table["kind"], kind))
            ids = numbers(table["problem_id"].filter(pa.array(mask)).combine_chunks())
            places = np.flatnonzero(mask).astype(np.uint64) + np.uint64(before)
            if not len(ids):
                continue
            if kind == "problem":
                self._opened.append((number, ids, places))
            else:
                self._closed.append((ids, places))

    @property
    def closed(self) -> Numbers:
        return np.concatenate([np.empty(0, np.uint64), *(ids for ids, _ in self._closed)])

    def open(self) -> tuple[int, Numbers]:
        """The ids, sorted, with the number of the file in which the first of them was admitted."""
        closings = np.concatenate([np.empty(0, np.uint64), *(p for _, p in self._closed)])
        order = np.lexsort((closings, self.closed))
        ids, counts = np.unique(self.closed, return_counts=True)
        last = closings[order][np.cumsum(counts) - 1]
        since, still = 0, [np.empty(0, np.uint64)]
        for number, opened, places in reversed(self._opened):
            done = isin(opened, ids)
            done[done] = last[np.searchsorted(ids, opened[done])] > places[done]
            if not done.all():
                since = number
                still.append(opened[~done])
        return since, np.unique(np.concatenate(still))
