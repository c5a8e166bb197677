"""The durable record of a run.

    ledger/000001.parquet   sealed: readable with any Parquet tool, never touched again
    ledger/000002.log       appended: checksummed frames (`factory.records`)
    ledger/lock             the one writer

`append` collects, `commit` makes everything collected durable with one write and one fsync: the
caller acts on a record only after the commit. A log that has grown past `SEGMENT_BYTES` is sealed
in the background: written as Parquet under another name, synced, renamed, and only then removed,
so at every moment each record is in exactly one file that counts. A torn tail (the process died
in the middle of a write) is cut when the run is opened again, and kept beside it as `.torn`.
Plain POSIX calls only (write, fsync, rename), so NFS and Lustre will do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import LedgerError
from factory.lock import Lock
from factory.records import SEALED, Record, frame, from_row, to_row, unframe

SEGMENT_BYTES = 64 << 20
_MAGIC = b"trace-ledger 1\n"
_ROWS = 4096


class Ledger:
    """The writing end. Open it with a `with` statement.

    Raises:
        LedgerError: the folder is written by another process, or cannot be written.
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
            LedgerError: the disk is full or failing; what was committed before stays intact.
        """
        if not self._pending:
            return
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
        for future in self._sealing:
            future.result()
        self._sealing.clear()

    def close(self) -> None:
        try:
            self.commit()
        finally:
            self._sealer.shutdown()
            os.close(self._fd)
            self._lock.release()

    def _rotate(self) -> None:
        os.close(self._fd)
        for sealed in [f for f in self._sealing if f.done()]:
            sealed.result()  # raises what went wrong while sealing
            self._sealing.remove(sealed)
        self._sealing.append(self._sealer.submit(_seal, self._path))
        self._open(_number(self._path) + 1)

    def _open(self, number: int) -> None:
        self._path = self.folder / f"{number:06}.log"
        self._fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self._size = os.fstat(self._fd).st_size
        if self._size == 0:
            _write_all(self._fd, _MAGIC)
            os.fsync(self._fd)
            _sync_folder(self.folder)
            self._size = len(_MAGIC)

    def _recover(self) -> None:
        """Finish what a dead writer left: half-made seals, sealed logs, a torn tail."""
        for stale in self.folder.glob("*.tmp"):
            stale.unlink()
        sealed = {_number(p) for p in self.folder.glob("*.parquet")}
        logs = sorted(self.folder.glob("*.log"))
        for log in logs:
            if _number(log) in sealed:
                log.unlink()
            else:
                _cut(log)
        logs = [log for log in logs if log.exists()]
        self._open(_number(logs.pop()) if logs else max(sealed, default=0) + 1)
        for log in logs:
            self._sealing.append(self._sealer.submit(_seal, log))


def scan(folder: Path) -> Iterator[Record]:
    """Every durable record in the order of writing; also while a run is writing.

    Streams: memory is bounded by one segment.
    """
    numbers = {_number(p) for suffix in ("parquet", "log") for p in folder.glob(f"*.{suffix}")}
    for number in sorted(numbers):
        log = folder / f"{number:06}.log"
        sealed = folder / f"{number:06}.parquet"
        if not sealed.exists():
            try:
                data = log.read_bytes()
            except FileNotFoundError:  # sealed between the two looks
                pass
            else:
                yield from (record for record, _ in unframe(data, len(_MAGIC)))
                continue
        with pq.ParquetFile(sealed) as file:
            for batch in file.iter_batches(_ROWS, columns=["kind", "data"]):
                for kind, text in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                    yield from_row(kind, text)


def _number(path: Path) -> int:
    return int(path.name.partition(".")[0])


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
    good = 0
    if data.startswith(_MAGIC):
        good = max((end for _, end in unframe(data, len(_MAGIC))), default=len(_MAGIC))
    elif not _MAGIC.startswith(data):
        raise LedgerError(f"{log} is not a ledger file: it starts with {data[:16]!r}")
    if good == len(data):
        return
    if torn := data[good:]:
        log.with_suffix(".torn").write_bytes(torn)
    with log.open("r+b") as file:
        file.truncate(good)
        os.fsync(file.fileno())


def _seal(log: Path) -> None:
    """Turn a log into a Parquet file, atomically."""
    data = log.read_bytes()
    target = log.with_suffix(".parquet")
    temporary = target.with_suffix(".parquet.tmp")
    with pq.ParquetWriter(temporary, SEALED, compression="zstd") as writer:
        rows = []
        for record, _ in unframe(data, len(_MAGIC)):
            rows.append(to_row(record))
            if len(rows) == _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, SEALED))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SEALED))
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.rename(temporary, target)
    _sync_folder(log.parent)
    log.unlink()
