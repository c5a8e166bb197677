"""ledger -> groups: everything sampled for one problem, problem after problem.

A ledger is in the order of time; a dataset is in the order of (problem_id, index). Problem ids are
hashes, so ranges of their first digits hold about equally many: records are spread over so many
range files that one fits in memory, and the files are taken in order. One pass over the ledger,
memory bounded by `bucket_bytes`. There are at most `_BUCKETS` range files, all open at once, so for
a ledger beyond `_BUCKETS * bucket_bytes` (uncompressed) memory grows with the ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from factory.ledger import listing, scan
from factory.records import Record, frame, unframe
from factory.traces import Group
from factory.types import Problem, Rollout, RolloutKey, Verdict

# A sealed ledger is compressed about so much; objects take about so much more than their bytes.
_EXPANSION = 8
# Well below the usual limit of 1024 open files.
_BUCKETS = 256


def read(folder: Path, bucket_bytes: int = 512 << 20) -> Iterator[Group]:
    """Groups of the ledger in `folder`, sorted by problem id.

    Of several verdicts on one rollout the last one counts. Aborted rollouts are left out.

    Raises:
        LedgerError: there is no ledger, or it is damaged.
    """
    buckets = min(_BUCKETS, 1 + _size(folder) * _EXPANSION // bucket_bytes)
    if buckets == 1:
        yield from _groups(scan(folder))
        return
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".groups-") as scratch:
        paths = [Path(scratch) / f"{n:05}" for n in range(buckets)]
        _spread(folder, paths)
        for path in paths:
            yield from _groups(record for record, _ in unframe(path.read_bytes()))
            path.unlink()


def _size(folder: Path) -> int:
    size = 0
    for name in listing(folder):
        if name.endswith((".log", ".parquet")):
            with suppress(FileNotFoundError):  # sealed since the listing
                size += (folder / name).stat().st_size
    return size


def _spread(folder: Path, paths: list[Path]) -> None:
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for record in scan(folder):
            if isinstance(record, (Problem, Rollout, Verdict)):
                key = record.id if isinstance(record, Problem) else record.problem_id
                files[int(key[:8], 16) * len(files) >> 32].write(frame(record))


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
    for pid in sorted(problems):
        yield Group(problem=problems[pid], judged=judged[pid])
