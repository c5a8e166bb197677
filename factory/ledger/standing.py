"""How a run stands, read from its ledger: what is finished, what is open, what is next.

Memory: the open problems with their unjudged rollouts, and some tens of bytes per problem
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

from factory.ledger.ids import ForeignId, Ids, Numbers, isin, joined, numbers
from factory.ledger.records import SMALL, Closed, Partial, Record, Reopened, Worked
from factory.ledger.references import References
from factory.ledger.segments import Log, scan, walk
from factory.ledger.unfinished import OpenProblem
from factory.report.counts import Counts
from factory.scheduling.pool import Census, Pool, Sums
from factory.types import Problem, Reject, Rollout, Verdict

Item = TypeVar("Item")

_ROWS = 1 << 17
"""So many rows of small columns are looked at together."""
_OF_PROBLEMS = pa.array(["problem", "partial", "rollout", "verdict", "closed", "reopened"])
"""Kinds of record that change how a problem stands."""
_LOOKED_AT = [name for name in SMALL.names if name != "index"]
_SUMS = [one.name for one in fields(Sums)]


@dataclass(slots=True, kw_only=True)
class Standing:
    """The state of a run at one moment."""

    open: dict[str, OpenProblem] = field(default_factory=dict)
    """By problem id, in the order of admission."""
    closed: Ids = field(default_factory=Ids)
    """Ids of problems that were ever finished: what was reopened is in `open` too."""
    rejects: Ids = field(default_factory=Ids)
    """Digests of every reject on record: by source, row and rule."""
    references: References = field(default_factory=References)
    """What verdicts on the problems go by."""
    disputed: set[str] = field(default_factory=set)
    """Problems of which the sources hold another answer too."""
    counts: Counts = field(default_factory=Counts)
    pool: Pool = field(default_factory=Pool)
    """The last census, and the sums over finished problems."""
    records: int = 0
    """How many there are: a ledger only grows, so this is its version."""
    again: frozenset[str] = frozenset()
    """Problems that a record still to come reopens: what is on record of them is kept for it."""
    _past: dict[str, list[Record]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.records += 1
        self.counts.add(record)
        match record:
            case Reject():
                self._add_reject(record.source, record.row, record.rule, record.problem_id)
            case Problem():
                self.references.add(record)  # first: another thread asks what is known
                self.follow(record)
            case Closed():
                self.pool.add(record.sums)
                self.follow(record)
            case Reopened():
                self.pool.remove(record.sums)
                self.follow(record)
            case Worked():
                self.pool.work(record.gpu_ms / 1000)
            case _:
                self.follow(record)

    def _add_reject(self, source: str, row: str, rule: str, problem_id: str | None) -> None:
        self.rejects.add(_digest(source, row, rule))
        if rule == "conflicting_answer" and problem_id is not None:
            self.disputed.add(problem_id)

    def follow(self, record: Record) -> None:
        """What a record says beyond the sums over all of them."""
        self._keep(record)
        match record:
            case Problem():
                self.open[record.id] = OpenProblem(problem=record)
            case Closed():
                self.closed.add(record.problem_id)  # first: another thread asks what is known
                self.open.pop(record.problem_id, None)
            case Reopened() if past := self._past.get(record.problem_id):
                self.open[record.problem_id] = OpenProblem.reopened(past)
            case Census():
                self.pool.census = record
            case Rollout() | Verdict() | Partial() if record.problem_id in self.open:
                self.open[record.problem_id].add(record)

    def _keep(self, record: Record) -> None:
        if not self.again or (problem_id := _id(record)) not in self.again:
            return
        if isinstance(record, Problem):
            self._past[record.id] = [record]
        elif isinstance(record, (Partial, Rollout, Verdict)) and problem_id in self._past:
            self._past[record.problem_id].append(record)

    def settle(self) -> Standing:
        """Nothing to come is on record already: let go of what was kept for it."""
        self.again, self._past = frozenset(), {}
        return self

    def knows(self, problem_id: str) -> bool:
        return problem_id in self.open or problem_id in self.closed

    def has_reject(self, reject: Reject) -> bool:
        return _digest(reject.source, reject.row, reject.rule) in self.rejects


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
        return _read_columns(folder).settle()
    except ForeignId:
        again = frozenset(r.problem_id for r in scan(folder) if isinstance(r, Reopened))
        standing = Standing(again=again)
        for record in scan(folder):
            standing.add(record)
        return standing.settle()


def _read_columns(folder: Path) -> Standing:
    standing = Standing()
    admissions = _Admissions()
    census = None
    for number, table in _ahead(small(folder)):
        admissions.add(number, standing.records, table)
        standing.records += table.num_rows
        standing.counts.add_small(table)
        for reject in rows_of(table, "reject", ["source", "row", "rule", "problem_id"]):
            standing._add_reject(*reject)
        standing.references.update(table.filter(pc.equal(table["kind"], "problem")))
        _add_closings(standing.pool, table)
        for row in rows_of(table, "reopened", _SUMS):
            standing.pool.remove(Sums(**dict(zip(_SUMS, row, strict=True))))
        for (gpu_ms,) in rows_of(table, "worked", ["tokens"]):
            standing.pool.work(gpu_ms / 1000)
        if pc.any(pc.equal(table["kind"], "census")).as_py():
            census = number
    standing.closed.update(admissions.closed)
    since, open_ = admissions.open()
    standing.again = admissions.again(open_)
    starts = [number for number in (since if len(open_) else None, census) if number is not None]
    if starts:
        for record in records_of(folder, open_, min(starts)):
            standing.follow(record)
    return standing


def _add_closings(pool: Pool, table: pa.Table) -> None:
    closed = table.filter(pc.equal(table["kind"], "closed"))
    alike = ["correct", "failed"]
    sums = [name for name in _SUMS if name not in alike]
    groups = closed.group_by(alike).aggregate(
        [([], "count_all"), *((name, "sum") for name in sums)]
    )
    for group in groups.to_pylist():
        of_all = {name: group[f"{name}_sum"] for name in sums}
        each = {name: group[name] for name in alike}
        pool.add_alike(group["count_all"], Sums(**each, **of_all))


def rows_of(table: pa.Table, kind: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
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


def small(folder: Path) -> Iterator[tuple[int, pa.Table]]:
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


def records_of(folder: Path, wanted: Numbers, since: int = 1) -> Iterator[Record]:
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
        case Partial() | Rollout() | Verdict() | Closed() | Reopened():
            return record.problem_id
        case _:
            return None


class _Admissions:
    """Which problems were admitted or reopened, and which of them were closed after that."""

    def __init__(self) -> None:
        self._admitted: list[tuple[int, Numbers]] = []
        self._begun: list[tuple[Numbers, Numbers]] = []
        self._closed: list[tuple[Numbers, Numbers]] = []
        self._reopened: list[Numbers] = []

    def add(self, number: int, before: int, table: pa.Table) -> None:
        """Takes a table that begins in the file of this number, behind so many records."""
        for kind in ("problem", "reopened", "closed"):
            mask = np.asarray(pc.equal(table["kind"], kind))
            ids = numbers(table["problem_id"].filter(pa.array(mask)).combine_chunks())
            places = np.flatnonzero(mask).astype(np.uint64) + np.uint64(before)
            if not len(ids):
                continue
            (self._closed if kind == "closed" else self._begun).append((ids, places))
            if kind == "problem":
                self._admitted.append((number, ids))
            elif kind == "reopened":
                self._reopened.append(ids)

    @property
    def closed(self) -> Numbers:
        return joined(ids for ids, _ in self._closed)

    def again(self, open_: Numbers) -> frozenset[str]:
        """Those of the open problems that were reopened."""
        both = np.intersect1d(open_, joined(self._reopened))
        return frozenset(f"{number:016x}" for number in both.tolist())

    def open(self) -> tuple[int, Numbers]:
        """The ids, sorted, with the number of the file in which the first of them was admitted."""
        closings = joined(places for _, places in self._closed)
        closed = self.closed
        order = np.lexsort((closings, closed))
        ids, counts = np.unique(closed, return_counts=True)
        last = closings[order][np.cumsum(counts) - 1]
        still = []
        for begun, places in self._begun:
            done = isin(begun, ids)
            done[done] = last[np.searchsorted(ids, begun[done])] > places[done]
            still.append(begun[~done])
        found = np.unique(joined(still))
        files = (number for number, admitted in self._admitted if isin(admitted, found).any())
        return next(files, 0), found
