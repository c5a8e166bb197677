"""The durable record of a run.

    ledger/000001.parquet   sealed: readable with any Parquet tool, never touched again
    ledger/000002.log       appended: checksummed frames (`factory.records`)
    ledger/lock             the one writer

`append` collects, `commit` makes everything collected durable with one write and one fsync: the
caller acts on a record only after the commit. A log that has grown past `SEGMENT_BYTES` is sealed
in the background: written as Parquet under another name, synced, renamed, and only then removed,
so at every moment each record is in exactly one file that counts. A torn tail (the process died
in the middle of a write) is cut when the run is opened again, and kept beside it as `.torn`. A bad
frame with valid ones behind it is no torn tail but damage: that is an error and changes nothing.
Plain POSIX calls only (write, fsync, rename), so NFS and Lustre will do.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import LedgerError
from factory.lock import Lock
from factory.records import SEALED, Record, frame, from_row, next_frame, to_row, unframe

SEGMENT_BYTES = 64 << 20
_MAGIC = b"trace-ledger 1\n"
_ROWS = 4096
# What reading or writing a Parquet file of rows can raise.
_BROKEN = (
    OSError,
    pa.ArrowException,
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
)


class Ledger:
    """The writing end. Open it with a `with` statement.

    Raises:
        LedgerError: the folder is written by another process, cannot be written, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / "lock")
        except OSError as error:
            raise LedgerError(f"{folder} cannot be written: {error.strerror}") from error
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="ledger-seal")
        self._sealing: list[Future[None]] = []
        self._pending = bytearray()
        self._fd = -1  # no log is open
        try:
            self._recover()
        except BaseException:
            self._sealer.shutdown()
            self._lock.release()
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
            LedgerError: the disk is full or failing, now or while an earlier log was sealed; what
                was committed before stays intact.
        """
        if not self._pending:
            return
        if self._fd < 0:
            raise LedgerError(f"{self.folder}: no log is open, closed or after an earlier error")
        pending, self._pending = self._pending, bytearray()
        try:
            _write_all(self._fd, pending)
            os.fsync(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise LedgerError(
                f"{self._path}: cannot append {len(pending)} bytes: {error.strerror}. "
                "Everything committed before is intact; make room and run the same command again."
            ) from error
        self._size += len(pending)
        if self._size >= SEGMENT_BYTES:
            self._rotate()

    def seal(self) -> None:
        """Seal everything written so far and wait until it is done."""
        self.commit()
        if self._size > len(_MAGIC):
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
                self._close_log()
            finally:
                self._lock.release()

    def _close_log(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _rotate(self) -> None:
        for sealed in [f for f in self._sealing if f.done()]:
            self._sealing.remove(sealed)
            sealed.result()  # raises what went wrong while sealing
        self._close_log()
        self._sealing.append(self._sealer.submit(_seal, self._path))
        self._open(_number(self._path.name) + 1)

    def _open(self, number: int) -> None:
        self._path = self.folder / f"{number:06}.log"
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
            try:
                self._size = os.fstat(fd).st_size
                if self._size == 0:
                    _write_all(fd, _MAGIC)
                    os.fsync(fd)
                    _sync_folder(self.folder)
                    self._size = len(_MAGIC)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise LedgerError(f"{self._path} cannot be written: {error.strerror}") from error
        self._fd = fd

    def _recover(self) -> None:
        """Finish what a dead writer left: half-made seals, sealed logs, a torn tail."""
        for stale in self.folder.glob("*.tmp"):
            stale.unlink()
        sealed, logs = _segments(self.folder)
        for number in sorted(logs & sealed):
            _path(self.folder, number, "log").unlink()
        logs -= sealed
        for number in sorted(logs):
            _cut(_path(self.folder, number, "log"))
        last = max(sealed | logs, default=0)
        live = last if last in logs else last + 1
        self._open(live)
        for number in sorted(logs - {live}):
            self._sealing.append(self._sealer.submit(_seal, _path(self.folder, number, "log")))


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


def scan(folder: Path) -> Iterator[Record]:
    """Every durable record in the order of writing; also while a run is writing.

    Streams: memory is bounded by one segment. A torn tail is the end of its log.

    Raises:
        LedgerError: there is no ledger, or one of its files is damaged.
    """
    sealed, logs = _segments(folder)
    listed = sealed | logs
    # Every number in between: a listing may miss a file that is renamed meanwhile.
    for number in range(min(listed, default=1), max(listed, default=0) + 1):
        if number not in sealed:
            log = _path(folder, number, "log")
            try:
                data = log.read_bytes()
            except FileNotFoundError:  # sealed since the listing
                pass
            except OSError as error:
                raise LedgerError(f"{log} cannot be read: {error.strerror}") from error
            else:
                yield from _records(log, data)
                continue
        path = _path(folder, number, "parquet")
        if number in listed or path.exists():
            yield from _sealed_records(path)


def _records(log: Path, data: bytes) -> Iterator[Record]:
    """Records of a log up to its end or torn tail."""
    good = start = _start(log, data)
    for record, end in unframe(data, start):
        yield record
        good = end
    _refuse_damage(log, data, good)


def _sealed_records(path: Path) -> Iterator[Record]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS, columns=["kind", "data"]):
                for kind, text in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                    yield from_row(kind, text)
    except _BROKEN as error:
        raise LedgerError(f"{path} is damaged, restore it from a copy: {error}") from error


def _start(log: Path, data: bytes) -> int:
    """Where the frames of a log begin; 0 if not even its first line was written."""
    if data.startswith(_MAGIC):
        return len(_MAGIC)
    if _MAGIC.startswith(data):
        return 0
    raise LedgerError(f"{log} is not a ledger file: it starts with {data[:16]!r}")


def _refuse_damage(log: Path, data: bytes, good: int) -> None:
    """Raise unless what is behind the `good` bytes is empty or a torn tail."""
    if good < len(data) and (following := next_frame(data, good)) is not None:
        raise LedgerError(
            f"{log} is damaged in the middle: byte {good} begins no readable record, byte "
            f"{following} a whole one. Nothing in it was changed; restore it from a copy, or move "
            "it away."
        )


def _segments(folder: Path) -> tuple[set[int], set[int]]:
    """Numbers of the sealed files and of the logs, from one listing. Foreign names are ignored."""
    names = set(listing(folder))
    numbers = {_number(name) for name in names if re.fullmatch(r"[0-9]{6,}\.(log|parquet)", name)}
    sealed, logs = (
        {n for n in numbers if _path(folder, n, suffix).name in names}
        for suffix in ("parquet", "log")
    )
    return sealed, logs


def _path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{number:06}.{suffix}"


def _number(name: str) -> int:
    return int(name.partition(".")[0])


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cut(log: Path) -> None:
    """Cut a torn tail off a log, keeping the bytes beside it."""
    data = log.read_bytes()
    start = _start(log, data)
    good = max((end for _, end in unframe(data, start)), default=start)
    if good == len(data):
        return
    _refuse_damage(log, data, good)
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


def _seal(log: Path) -> None:
    """Turn a log into a Parquet file, atomically.

    Raises:
        LedgerError: the log is not whole, or the disk is full or failing; the log stays.
    """
    target = log.with_suffix(".parquet")
    temporary = target.with_suffix(".parquet.tmp")
    try:
        _write_parquet(log, temporary)
        os.rename(temporary, target)
        _sync_folder(log.parent)
        log.unlink()
    except _BROKEN as error:
        raise LedgerError(f"cannot seal {log}: {error}; the log is intact") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_parquet(log: Path, path: Path) -> None:
    data = log.read_bytes()
    good = start = _start(log, data)
    with pq.ParquetWriter(path, SEALED, compression="zstd") as writer:
        rows = []
        for record, end in unframe(data, start):
            rows.append(to_row(record))
            good = end
            if len(rows) == _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, SEALED))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SEALED))
    if good != len(data):
        raise LedgerError(f"cannot seal {log}: byte {good} of {len(data)} begins no valid record")
    with path.open("rb") as file:
        os.fsync(file.fileno())
