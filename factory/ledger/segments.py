"""The files of a ledger: which of them count, and reading them while they change.

    000007.log               appended
    000007.parquet           the same, sealed
    000002-000006.parquet    several sealed ones in one

A file is made from others, its sources, which hold the same records. It is written under another
name, synced, renamed; the folder is synced; then the sources go, the first one first and durably.
So whatever begins where a source begins does not count while that source is there, and from then
on the others within its span do not. At every moment each record is in one file that counts, and
no file that counts was ever less than complete on disk.

Readers take no lock. When a file that was listed has gone, they list again and go on in the file
that now holds its records, behind those that they have read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from factory.errors import LedgerError
from factory.ledger.records import (
    MARK,
    Record,
    behind_marks,
    misfit,
    next_frame,
    to_small,
    unframe,
)
from factory.ledger.sealed import Sealed

MAGIC = b"trace-ledger 1\n"
HEAD = MAGIC + MARK
"""What a log begins with before anything is committed."""
_NAME = re.compile(r"([0-9]{6,})(?:-([0-9]{6,}))?\.(log|parquet)")


class Segment(NamedTuple):
    """One file of a ledger, by its name."""

    first: int
    last: int
    """Equal to `first` unless several were put into one."""
    suffix: str
    """log or parquet."""

    @property
    def name(self) -> str:
        span = f"-{self.last:06}" if self.last > self.first else ""
        return f"{self.first:06}{span}.{self.suffix}"

    @classmethod
    def of(cls, name: str) -> Segment | None:
        """None for a name that is none of ours."""
        if not (match := _NAME.fullmatch(name)):
            return None
        first, last, suffix = match.groups()
        segment = cls(int(first), int(last or first), suffix)
        return segment if segment.name == name else None


def listing(folder: Path) -> list[str]:
    """The file names of a ledger.

    Raises:
        LedgerError: there is none.
    """
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LedgerError(f"no ledger at {folder}") from error
    except OSError as error:
        raise LedgerError(f"{folder} cannot be read: {error.strerror}") from error


def sift(names: Iterable[str]) -> tuple[list[Segment], list[Segment]]:
    """The files that count, in the order of writing, and those that do not.

    Foreign names are ignored.
    """
    counting: list[Segment] = []
    others: list[Segment] = []
    found = [segment for name in names if (segment := Segment.of(name))]
    for segment in sorted(found):  # the shorter span first, and a log before its Parquet file
        if counting and segment.first <= counting[-1].last:
            others.append(segment)
        else:
            counting.append(segment)
    return counting, others


def current(folder: Path) -> list[Segment]:
    """The files that count, in the order of writing.

    A listing may miss a file that is renamed meanwhile, and that would leave a gap: then it is
    made again, until it shows none, or the same one twice.
    """
    before: list[Segment] | None = None
    while True:
        found, _ = sift(listing(folder))
        ends = [1, *(segment.last + 1 for segment in found)]
        if found == before or all(s.first <= end for s, end in zip(found, ends, strict=False)):
            return found
        before = found


class Log:
    """An appended file, read whole.

    Args:
        skip: so many records at the beginning are left out.
        live: it is the last file, so its end may be torn.

    Raises:
        FileNotFoundError: there is none (any more).
        LedgerError: it is damaged, here and in every method.
    """

    def __init__(self, path: Path, skip: int = 0, *, live: bool = True) -> None:
        self.path = path
        self.rows = 0
        """How many were read."""
        self._skip = skip
        self._live = live
        try:
            self._data = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise LedgerError(f"{path} cannot be read: {error.strerror}") from error
        self._start = start(path, self._data)

    def records(self) -> Iterator[Record]:
        """Up to its end or torn tail."""
        good = self._start
        for number, (record, end) in enumerate(unframe(self._data, good)):
            good = end
            if number >= self._skip:
                self.rows += 1
                yield record
        refuse_damage(self.path, self._data, good, live=self._live)

    def small(self) -> pa.RecordBatch:
        """The small columns (`records.SMALL`) of all of them."""
        return to_small(list(self.records()))


def start(log: Path, data: bytes) -> int:
    """Where the records of a log begin; 0 if not even its head was written."""
    if data.startswith(MAGIC):
        return behind_marks(data, len(MAGIC))
    if HEAD.startswith(data) or (len(data) <= len(HEAD) and not any(data)):
        return 0
    raise LedgerError(f"{log} is not a ledger file: it starts with {data[:16]!r}")


def refuse_damage(log: Path, data: bytes, good: int, *, live: bool) -> None:
    """Raise unless what is behind the `good` bytes is empty or, in a live log, a torn tail.

    A tail is torn if it belongs to the last commit, of which the disk may have any part: no mark
    comes behind it. (A log of an earlier version has no marks: there no whole frame may come.)
    """
    if good == len(data):
        return
    if why := misfit(data, good):
        raise LedgerError(
            f"{log}: byte {good} begins no readable record, though a whole one: {why}. Another "
            "version wrote it: read it with that one. Nothing in it was changed."
        )
    following = next_frame(data, good)
    is_last = data.find(MARK, good) < 0 if MARK in data else following is None
    if live and is_last and following != good:
        return
    where = "at its end" if is_last else "in the middle"
    behind = "later files follow" if following is None else f"byte {following} a whole one"
    raise LedgerError(
        f"{log} is damaged {where}: byte {good} begins no readable record, {behind}. "
        "Nothing in it was changed; restore it from a copy, or move it away."
    )


def walk(folder: Path, after: int = -1) -> Iterator[tuple[Segment, Log | Sealed]]:
    """Opens the files that count, one after the other, those up to the number `after` left out.

    Whoever walks reads a log to its end before going on.

    Raises:
        LedgerError: there is no ledger, or one of its files is damaged.
    """
    read: list[tuple[int, int]] = []
    gone = None
    queue = [s for s in current(folder) if s.last > after]
    while queue:
        segment = queue[0]
        skip = sum(rows for first, rows in read if first >= segment.first)
        path = folder / segment.name
        try:
            if segment.suffix == "log":
                log = Log(path, skip, live=len(queue) == 1)
                yield segment, log
                rows = log.rows
            else:
                with Sealed(path, skip) as sealed:
                    yield segment, sealed
                    rows = sealed.rows
        except FileNotFoundError as error:
            if segment == gone:
                raise LedgerError(f"{path} is listed and cannot be opened") from error
            gone = segment
            queue = [s for s in current(folder) if s.last > after]
            continue
        read.append((segment.first, rows))
        after = segment.last
        queue = queue[1:]


def scan(folder: Path) -> Iterator[Record]:
    """Every durable record in the order of writing; also while a run is writing.

    Streams: memory is bounded by one segment. A torn tail is the end of the last log.

    Raises:
        LedgerError: there is no ledger, or one of its files is damaged.
    """
    for _, file in walk(folder):
        yield from file.records()
