"""ledger -> groups: everything sampled for one problem, problem after problem.

A ledger is in the order of time: what belongs to one problem lies far apart. The groups are in the
order in which their problems were first recorded, so what a grown ledger has more comes last, and
a dataset made from it again shares its beginning with the earlier one: an upload of 5 % more
problems is one of a few per cent. (In the order of problem ids, which are hashes, new problems
would come to lie everywhere between the old ones, and nearly every byte would travel again.)

Records are spread over so many range files that one fits in memory, and the files are taken in
order. At most `_BUCKETS` of them are open at once; a file that is still too large is spread again,
over the ranges within its own. So memory is bounded by `bucket_bytes`, by what was sampled for a
single problem, and by one number for each problem.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from factory.errors import LedgerError
from factory.ledger import listing, scan
from factory.records import Record, frame, unframe
from factory.traces import Group
from factory.types import Problem, Rollout, RolloutKey, Verdict

# A sealed ledger is compressed about so much; objects take about so much more than their bytes.
_EXPANSION = 8
# Well below the usual limit of 1024 open files.
_BUCKETS = 256
# A range file may be so much larger than planned before it is spread again.
_SLACK = 2
_AT_ONCE = 16 << 20

Order = dict[int, int]
"""Problem id, as a number -> its place among the problems."""


def read(folder: Path, bucket_bytes: int = 512 << 20) -> Iterator[Group]:
    """Groups of the ledger in `folder`, in the order in which their problems were recorded.

    Of several verdicts on one rollout the last one counts. Aborted rollouts are left out.

    Raises:
        LedgerError: there is no ledger, or it is damaged.
    """
    buckets = 1 + _size(folder) * _EXPANSION // bucket_bytes
    order = _order(folder) if buckets > 1 else {}
    yield from _ranges(scan(folder), order, buckets, (0, len(order)), folder.parent, bucket_bytes)


def _order(folder: Path) -> Order:
    order: Order = {}
    for record in scan(folder):
        if isinstance(record, Problem):
            order.setdefault(int(record.id, 16), len(order))
    return order


def _ranges(
    records: Iterable[Record],
    order: Order,
    buckets: int,
    bounds: tuple[int, int],
    place: Path,
    bucket_bytes: int,
) -> Iterator[Group]:
    """Groups of the problems in these places, by way of range files in `place`."""
    buckets = min(_BUCKETS, buckets, bounds[1] - bounds[0])
    if buckets <= 1:
        yield from _groups(records)
        return
    with tempfile.TemporaryDirectory(dir=place, prefix=".groups-") as scratch:
        paths = [Path(scratch) / f"{n:05}" for n in range(buckets)]
        for path, within in _spread(records, order, paths, bounds):
            size = path.stat().st_size
            again = 1 + size // bucket_bytes if size > _SLACK * bucket_bytes else 1
            yield from _ranges(_stream(path), order, again, within, Path(scratch), bucket_bytes)
            path.unlink()


def _size(folder: Path) -> int:
    size = 0
    for name in listing(folder):
        if name.endswith((".log", ".parquet")):
            with suppress(FileNotFoundError):  # sealed since the listing
                size += (folder / name).stat().st_size
    return size


def _spread(
    records: Iterable[Record], order: Order, paths: list[Path], bounds: tuple[int, int]
) -> list[tuple[Path, tuple[int, int]]]:
    """Writes the range files; those that hold something, with the places they hold."""
    low, high = bounds
    found: dict[int, tuple[int, int]] = {}
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for record in records:
            if not isinstance(record, (Problem, Rollout, Verdict)):
                continue
            key = record.id if isinstance(record, Problem) else record.problem_id
            place = order.get(int(key, 16))
            if place is None:  # recorded since the order was made
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


def _groups(records: Iterable[Record]) -> Iterator[Group]:
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
    for pid, problem in problems.items():
        yield Group(problem=problem, judged=judged[pid])
