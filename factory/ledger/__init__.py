"""The durable record of a run.

    ledger/000001-000008.parquet  sealed: any Parquet tool reads it; small ones are put into one
    ledger/000009.log             appended: checksummed frames (`records.py`)
    ledger/lock                   the one writer (`lock.py`)

`append` collects, `commit` makes everything collected durable with one write and one fsync: the
caller acts on a record only after the commit. Who waits for whom:

    driver --append--> memory --commit--> log --(full)--> next log
      waits for the disk, once a batch     |
                                           v  nobody waits, but for `seal` and `close`
                       sealing thread: log -> Parquet, small Parquet files -> larger ones

    readers (`scan`, `standing.py`) wait for nobody and hold up nobody (`segments.py`)

What survives what:

    the process dies, anywhere    every committed record; a torn tail is cut when the run is opened
                                  again, and kept beside the log as `.torn`
    power fails                   the same, on file systems that keep what fsync promised, whatever
                                  parts of the last batch have reached the disk
    disk full, at any write       the batch is refused and taken back; goes on once there is room
    fsync fails                   the batch is refused, and the ledger stops: what the page cache
                                  holds is unknown from then on, so it is read again from disk
    a byte changes, anywhere      an error that names file and place (but for the last batch of a
                                  process that was killed, which looks like a torn tail then)
    a second writer               refused; one that lost its lock to another stops

Plain POSIX calls only (write, fsync, rename, unlink), so NFS and Lustre will do.

    records.py    what is on record, and its bytes      segments.py  which files count, reading
    sealing.py    logs -> Parquet, small -> larger      sealed.py    Parquet with checksums
    standing.py   how a run stands                      unfinished.py  an open problem
    reopening.py  what was set aside is open again      ids.py       large sets of ids
    lock.py       one writer per run                    durable.py   files that are whole or absent
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from factory.errors import LedgerError
from factory.ledger import sealing
from factory.ledger.durable import make_folder, sync
from factory.ledger.lock import Lock
from factory.ledger.records import MARK, Record, frame, leads, unframe
from factory.ledger.segments import HEAD, Segment, current, listing, refuse_damage, scan, start

__all__ = ["SEGMENT_BYTES", "Ledger", "listing", "scan"]

SEGMENT_BYTES = 64 << 20


class Ledger:
    """The writing end. Open it with a `with` statement.

    Raises:
        LedgerError: the folder is written by another process, cannot be written, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            make_folder(folder)
            self._lock = Lock(folder / "lock")
        except OSError as error:
            raise LedgerError(f"{folder} cannot be written: {error.strerror}") from error
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="ledger-seal")
        self._helper = sealing.Helper()
        self._sealing: list[Future[None]] = []
        self._pending = bytearray()
        self._fd = -1  # no log is open
        self._stopped = "it is closed"
        try:
            self._recover()
        except BaseException as error:
            self._sealer.shutdown()
            self._close_log()
            self._lock.release()
            if isinstance(error, OSError):
                raise LedgerError(f"{folder} cannot be written: {error.strerror}") from error
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, record: Record) -> None:
        """Collect a record for the next commit."""
        self._pending += frame(record)

    def commit(self) -> None:
        """Make everything collected durable.

        Raises:
            LedgerError: the disk is full or failing, now or while an earlier log was sealed, or
                another process took the run; what was committed before stays intact.
        """
        if not self._pending:
            return
        if self._fd < 0:
            raise LedgerError(f"{self.folder}: no log is open: {self._stopped}")
        self._lock.check()
        pending, self._pending = self._pending, bytearray()
        pending[:0] = MARK
        try:
            _write_all(self._fd, pending)
        except OSError as error:
            refused = self._refused(pending, error, "make room and run")
            self._take_back(refused)
            raise refused from error
        try:
            os.fsync(self._fd)
        except OSError as error:
            # The kernel may have dropped what it could not write, and a second fsync would not say
            # so: nothing in this file is taken as durable any more until it is opened again.
            refused = self._refused(pending, error, "check the disk, then run")
            self._take_back(refused)
            self._stop(refused)
            raise refused from error
        self._size += len(pending)
        self._is_unmarked = True
        if self._size >= SEGMENT_BYTES:
            self._rotate()

    def _take_back(self, refused: LedgerError) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._stop(refused)

    def _stop(self, why: LedgerError) -> None:
        self._stopped = str(why)
        self._close_log()

    def _refused(self, pending: bytes | bytearray, error: OSError, remedy: str) -> LedgerError:
        return LedgerError(
            f"{self._path}: cannot append {len(pending)} bytes at byte {self._size}: "
            f"{error.strerror}. Everything committed before is intact; {remedy} the same command "
            "again."
        )

    def seal(self) -> None:
        """Seal everything written so far and wait until it is done."""
        self.commit()
        if self._size > len(HEAD):
            self._rotate()
        while self._sealing:
            self._sealing.pop(0).result()

    def close(self) -> None:
        """Commit, wait for the sealing, let go of the run; the last also if the others fail."""
        try:
            self.commit()
        finally:
            try:
                self._sealer.shutdown()
                self._helper.close()
                self._end_log()
                self._close_log()
            finally:
                self._lock.release()

    def _end_log(self) -> None:
        """Say that the last commit was durable: if it ever looks torn, that is damage."""
        if self._fd >= 0 and self._is_unmarked:
            with suppress(OSError):
                _write_all(self._fd, MARK)
                os.fsync(self._fd)

    def _close_log(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _rotate(self) -> None:
        for sealed in [f for f in self._sealing if f.done()]:
            self._sealing.remove(sealed)
            sealed.result()  # raises what went wrong while sealing
        self._close_log()
        self._sealing.append(self._sealer.submit(self._seal, self._path))
        following = Segment.of(self._path.name)
        assert following is not None
        self._open(following.last + 1)

    def _seal(self, log: Path) -> None:
        self._lock.check()
        sealing.seal(log, self._helper)
        self._compact()

    def _compact(self) -> None:
        self._lock.check()
        with suppress(OSError):  # nothing has changed; it is tried again after the next sealing
            sealing.clear(self.folder)
            if run := sealing.due(self.folder):
                sealing.compact(self.folder, run)

    def _open(self, number: int) -> None:
        self._path = self.folder / Segment(number, number, "log").name
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
            try:
                self._size = os.fstat(fd).st_size
                if self._size == 0:
                    _write_all(fd, HEAD)
                    os.fsync(fd)
                    sync(self.folder)
                    self._size = len(HEAD)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            self._stopped = f"{self._path} cannot be written: {error.strerror}"
            raise LedgerError(self._stopped) from error
        self._fd = fd
        self._is_unmarked = False

    def _recover(self) -> None:
        """Finish what a dead writer left: half-made files, logs to seal, a torn tail."""
        for stale in self.folder.glob("*.tmp"):
            stale.unlink()
        sealing.clear(self.folder)
        found = current(self.folder)
        last = found.pop() if found and found[-1].suffix == "log" else None
        if last is not None:
            _cut(self.folder / last.name)
        self._open(last.last if last else found[-1].last + 1 if found else 1)
        for segment in found:
            if segment.suffix == "log":
                path = self.folder / segment.name
                self._sealing.append(self._sealer.submit(self._seal, path))
        self._sealing.append(self._sealer.submit(self._compact))


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _cut(log: Path) -> None:
    """Cut a torn tail off a log, keeping the bytes beside it.

    Where the tear parts two records that belong together, the first one goes too.
    """
    data = log.read_bytes()
    good = whole = start(log, data)
    for record, end in unframe(data, good):
        whole = end
        if not leads(record):
            good = end
    if whole < len(data):
        refuse_damage(log, data, whole, live=True)
    elif good == whole or data.endswith(MARK):
        return
    _keep(log, data[good:])
    with log.open("r+b") as file:
        file.truncate(good)
        os.fsync(file.fileno())


def _keep(log: Path, torn: bytes) -> None:
    """Write a torn tail beside its log, as .torn, .torn1, ..."""
    for number in itertools.count():
        try:
            with log.with_suffix(f".torn{number or ''}").open("xb") as file:
                file.write(torn)
                file.flush()
                os.fsync(file.fileno())
            return
        except FileExistsError:
            continue
