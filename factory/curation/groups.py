"""ledger -> groups: everything sampled for one problem, problem after problem.

A ledger is in the order of time: what belongs to one problem lies far apart. The groups are in the
order in which their problems were first recorded, so what a grown ledger has more comes last, and
a dataset made from it again shares its beginning with the earlier one: an upload of 5 % more
problems is one of a few per cent. (In the order of problem ids, which are hashes, new problems
would come to lie everywhere between the old ones, and nearly every byte would travel again.)

    scan -> places, clusters
    scan -> range files -> ranges -> groups

Records are spread over so many range files that one fits in memory, and the files are taken in
order, by one process or several. At most `_BUCKETS` of them are open at once; a file that is still
too large is spread again, over the ranges within its own. So memory is bounded by `bucket_bytes`
and by what was sampled for a single problem; and before a row is made, by some thirty bytes for
each problem.
"""

from __future__ import annotations

import shutil
import tempfile
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from factory.curation.clusters import clusters, sketch
from factory.errors import LedgerError
from factory.ledger import listing, scan
from factory.ledger.records import Record, frame, unframe
from factory.ledger.segments import Log, walk
from factory.seen import question
from factory.traces import Group
from factory.types import Problem, Rollout, RolloutKey, Verdict

RANGE_BYTES = 8 << 20
"""Records of one range: what a worker holds at once, some times over as objects."""
# Well below the usual limit of 1024 open files.
_BUCKETS = 256
_AT_ONCE = 16 << 20
# Records, and questions, that are looked at together.
_BLOCK = 4096

T = TypeVar("T")
R = TypeVar("R")


class Spread(Protocol):
    """How work is done on many things: as `map` does it, or on a cluster, results in order."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


_PLACE = np.dtype([("id", "<u8"), ("cluster", "<u8")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Some neighbouring problems in the order in which they were first recorded: their places."""

    ids: NDArray[np.uint64]
    """Ids as numbers, sorted."""
    order: NDArray[np.uint32]
    """The place of each of these ids among all problems."""

    def of(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where these problems are; -1 for one that is not among them."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        found = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[found] == ids, self.order[found], -1).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The problems of a ledger by place, with their clusters, in a file."""

    path: Path
    count: int

    def places(self, low: int, high: int) -> Places:
        """Those from one place up to another."""
        ids = self._rows(low, high)["id"].copy()  # without the clusters
        order = np.argsort(ids).astype(np.uint32)
        ids = ids[order]
        order += np.uint32(low)
        return Places(ids=ids, order=order)

    def clusters(self, low: int, high: int) -> tuple[str, ...]:
        """The id of the first problem of the cluster, for each of them."""
        return tuple(f"{number:016x}" for number in self._rows(low, high)["cluster"].tolist())

    def _rows(self, low: int, high: int) -> NDArray[np.void]:
        return np.fromfile(self.path, _PLACE, high - low, offset=low * _PLACE.itemsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Neighbouring problems with all their records: what one worker takes."""

    data: bytes
    """The records, framed."""
    clusters: tuple[str, ...] | None
    """The cluster of each problem; None where none were sought."""

    def groups(self) -> Iterator[Group]:
        """The problems with their rollouts, in order.

        Raises:
            LedgerError: the data is not whole.
        """
        yield from _groups(self._records(), self.clusters)

    def _records(self) -> Iterator[Record]:
        done = 0
        for record, done in unframe(self.data):  # noqa: B007
            yield record
        if done < len(self.data):
            raise LedgerError("a range of the ledger was cut or changed while it was read")


def sweep(place: Path) -> None:
    """Remove the scratch folders that a killed curation has left; whoever calls holds the run."""
    for stale in (*place.glob(".groups-*"), *place.glob(".clusters-*")):
        shutil.rmtree(stale, ignore_errors=True)


def read(folder: Path, bucket_bytes: int = RANGE_BYTES) -> Iterator[Group]:
    """Groups of the ledger in `folder`, in the order in which their problems were recorded.

    Of several verdicts on one rollout the last one counts. Aborted rollouts are left out.

    Raises:
        LedgerError: there is no ledger, or it is damaged.
    """
    for one in ranges(folder, bucket_bytes):
        yield from one.groups()


def ranges(
    folder: Path, bucket_bytes: int = RANGE_BYTES, spread: Spread | None = None
) -> Generator[Range]:
    """All groups of a ledger in portions of about `bucket_bytes`, in order.

    Args:
        spread: makes the sketches by which clusters are found; None seeks none.

    Raises:
        LedgerError: there is no ledger, or it is damaged.
    """
    buckets = 1 + extent(folder) // bucket_bytes
    if buckets == 1 and spread is None:
        yield Range(data=b"".join(map(frame, filter(_wanted, scan(folder)))), clusters=None)
        return
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".groups-") as scratch:
        known = locate(folder, spread, Path(scratch) / "places")
        bounds, place = (0, known.count), Path(scratch)
        for data, within in _cut(scan(folder), known, buckets, bounds, place, bucket_bytes):
            yield Range(data=data, clusters=known.clusters(*within) if spread else None)


def locate(folder: Path, spread: Spread | None, path: Path) -> Table:
    """The problems of a ledger by place and, where `spread` is given, their clusters.

    Args:
        path: where the table is written.
    """
    ids = array("Q")

    def questions() -> Iterator[list[str]]:
        problems = _problems(folder)
        while block := list(islice(problems, _BLOCK)):
            ids.extend(int(problem.id, 16) for problem in block)
            yield [question(problem) for problem in block] if spread else []

    if spread is None:
        for _ in questions():
            pass
        firsts = np.arange(len(ids), dtype=np.uint32)
    else:
        firsts = clusters(spread(sketch, questions()), folder.parent)
    recorded = np.frombuffer(ids, dtype=np.uint64) if ids else np.empty(0, dtype=np.uint64)
    places = _first(recorded)
    with path.open("wb") as file:
        for low in range(0, len(places), _BLOCK):
            some = places[low : low + _BLOCK]
            rows = np.empty(len(some), dtype=_PLACE)
            rows["id"], rows["cluster"] = recorded[some], recorded[firsts[some]]
            file.write(rows.data)
    return Table(path=path, count=len(places))


def _first(recorded: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Where ids stand for the first time, in order.

    A problem that was recorded again, as by a resumed run, keeps its first place. Ids are hashes:
    taken by their last byte, only a 256th of them is sorted at a time.
    """
    last = recorded.astype(np.uint8)
    found = []
    for byte in range(256):
        here = np.flatnonzero(last == byte).astype(np.uint32)
        found.append(here[np.unique(recorded[here], return_index=True)[1]])
    first = np.concatenate(found)
    first.sort()
    return first


def _problems(folder: Path) -> Iterator[Problem]:
    """The problems as they were recorded; what is sealed, without decoding the rest."""
    for _, file in walk(folder):
        found = file.records() if isinstance(file, Log) else file.picked(_rows_of_problems)
        yield from (record for record in found if isinstance(record, Problem))


def _rows_of_problems(batch: pa.RecordBatch) -> pa.Array | None:
    rows = pc.indices_nonzero(pc.equal(batch["kind"], "problem"))
    return rows if len(rows) else None


def _cut(
    records: Iterable[Record],
    known: Table,
    buckets: int,
    bounds: tuple[int, int],
    place: Path,
    bucket_bytes: int,
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Frames of the problems in these places, by way of range files in `place`."""
    buckets = min(_BUCKETS, buckets, bounds[1] - bounds[0])
    if buckets <= 1:
        placed = _placed(records, known.places(*bounds))
        yield b"".join(frame(record) for record, where in placed if where >= 0), bounds
        return
    with tempfile.TemporaryDirectory(dir=place, prefix=".groups-") as scratch:
        paths = [Path(scratch) / f"{n:05}" for n in range(buckets)]
        for path, within in _spread(records, known.places(*bounds), paths, bounds):
            again = round(path.stat().st_size / bucket_bytes)
            if again <= 1 or within[1] - within[0] == 1:
                yield path.read_bytes(), within
            else:
                inside = Path(scratch)
                yield from _cut(_stream(path), known, again, within, inside, bucket_bytes)
            path.unlink()


def extent(folder: Path) -> int:
    """About how many bytes the records of a ledger take.

    Raises:
        LedgerError: there is no ledger.
    """
    return sum(_size(folder / name) for name in listing(folder))


def _size(path: Path) -> int:
    """Of the records in a file, not compressed; 0 for one that was sealed since the listing."""
    with suppress(FileNotFoundError):
        if path.suffix == ".log":
            return path.stat().st_size
        if path.suffix == ".parquet":
            with suppress(pa.ArrowInvalid):  # damaged: whoever reads it says so
                footer = pq.read_metadata(path)
                groups = range(footer.num_row_groups)
                return sum(footer.row_group(number).total_byte_size for number in groups)
    return 0


def _wanted(record: Record) -> bool:
    return isinstance(record, (Problem, Rollout, Verdict))


def _placed(
    records: Iterable[Record], known: Places
) -> Iterator[tuple[Problem | Rollout | Verdict, int]]:
    """The records of problems, each with the place of its problem; -1 for one that came later."""
    wanted = (r for r in records if isinstance(r, (Problem, Rollout, Verdict)))
    while block := list(islice(wanted, _BLOCK)):
        keys = (r.id if isinstance(r, Problem) else r.problem_id for r in block)
        ids = np.fromiter((int(key, 16) for key in keys), dtype=np.uint64, count=len(block))
        yield from zip(block, known.of(ids).tolist(), strict=True)


def _spread(
    records: Iterable[Record], known: Places, paths: list[Path], bounds: tuple[int, int]
) -> list[tuple[Path, tuple[int, int]]]:
    """Writes the range files; those that hold something, with the places they hold."""
    low, high = bounds
    found: dict[int, tuple[int, int]] = {}
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for record, place in _placed(records, known):
            if place < 0:
                continue
            bucket = (place - low) * len(files) // (high - low)
            files[bucket].write(frame(record))
            first, end = found.get(bucket, (place, place + 1))
            found[bucket] = (min(first, place), max(end, place + 1))
    return [(paths[bucket], found[bucket]) for bucket in sorted(found)]


def _stream(path: Path) -> Iterator[Record]:
    """Records of a range file, a piece of it in memory at a time."""
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(max(_AT_ONCE, len(rest))):
            buffer, done = rest + piece, 0
            for record, end in unframe(buffer):
                done = end
                yield record
            rest = buffer[done:]
    if rest:
        raise LedgerError(f"{path} was cut or changed while it was read")


def _groups(records: Iterable[Record], names: tuple[str, ...] | None) -> Iterator[Group]:
    problems: dict[str, Problem] = {}
    rollouts: dict[RolloutKey, Rollout] = {}
    verdicts: dict[RolloutKey, Verdict] = {}
    for record in records:
        match record:
            case Problem():
                problems[record.id] = record
            case Rollout() if record.completion.finish_reason != "abort":
                rollouts[record.key] = record
            case Verdict():
                verdicts[record.key] = record
    judged: dict[str, list[tuple[Rollout, Verdict | None]]] = {pid: [] for pid in problems}
    for key in sorted(rollouts):
        judged[key.problem_id].append((rollouts[key], verdicts.get(key)))
    for (pid, problem), name in zip(problems.items(), names or [""] * len(problems), strict=True):
        yield Group(problem=problem, judged=judged[pid], cluster=name)
