"""Logs become Parquet files, and many small Parquet files become one, while the run goes on.

    driver --log--> thread --log, temporary name--> helper process (large logs alone)
                      |    <------done, or why not--------'
                      '--> rename, sync the folder, remove the log

The driver waits for none of them. Turning a log into Parquet takes about as long as writing it
did, much of it with the interpreter's lock held, so a process with a lower priority does it for
logs from `HELPED_BYTES` on; it writes temporary files and nothing else. What counts is named by the
thread alone: a helper that outlives a killed driver leaves a file that nobody reads. Where the
helper is gone the thread does its work.

A file that a short command left is small, and a run that is started often has many. `BATCH`
neighbours that are each below `SMALL_BYTES` are put into one of about `LARGE_BYTES` at most, row
group by row group, in the order in which `factory.ledger.segments` lets nothing count twice.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

import factory
from factory.errors import LedgerError
from factory.ledger import sealed
from factory.ledger.durable import sync
from factory.ledger.records import Record, to_batch, unframe
from factory.ledger.segments import Segment, current, listing, sift, start

HELPED_BYTES = 8 << 20
SMALL_BYTES = 4 << 20
LARGE_BYTES = 32 << 20
BATCH = 8


class Helper:
    """Seals in another process, which ends when this one does."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, log: Path, temporary: Path) -> None:
        """Like `write`, there.

        Raises:
            LedgerError: as `write` does.
            OSError: there is no such process, or it is gone.
        """
        process = self._process = self._process or _start_helper()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(log), str(temporary)]).encode() + b"\n")
        process.stdin.flush()
        if not (answer := process.stdout.readline()):
            raise BrokenPipeError("the sealing process is gone")
        if error := json.loads(answer):
            raise LedgerError(error)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                process.communicate()


def _start_helper() -> subprocess.Popen[bytes]:
    home = str(Path(factory.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from factory.ledger.sealing import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C is the driver's
    )


def serve() -> None:
    """What the helper does until its input ends."""
    os.nice(10)
    pa.set_cpu_count(1)
    for line in sys.stdin.buffer:
        log, temporary = map(Path, json.loads(line))
        error = None
        try:
            write(log, temporary)
        except (LedgerError, *sealed.BROKEN) as failed:
            error = f"{failed}"
        sys.stdout.buffer.write(json.dumps(error).encode() + b"\n")
        sys.stdout.buffer.flush()


def seal(log: Path, helper: Helper | None = None) -> None:
    """Turn a log into a Parquet file, atomically.

    Raises:
        LedgerError: the log is not whole, or the disk is full or failing; the log stays.
    """
    temporary = _temporary(log)
    try:
        if helper is None or log.stat().st_size < HELPED_BYTES:
            write(log, temporary)
        else:
            try:
                helper.write(log, temporary)
            except OSError:
                helper.close()
                write(log, temporary)
        os.rename(temporary, log.with_suffix(".parquet"))
        sync(log.parent)
        log.unlink()
    except (LedgerError, *sealed.BROKEN) as error:
        raise LedgerError(f"cannot seal {log}: {error}; the log is intact") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A name that no other process writes to, not even one that a dead driver left."""
    return path.with_name(f"{path.stem}.{secrets.token_hex(4)}.tmp")


def write(log: Path, path: Path) -> None:
    """Write the records of a log as a sealed file.

    Raises:
        LedgerError: the log is not whole.
        OSError: the disk is full or failing.
    """
    data = log.read_bytes()
    sealed.write(path, _batches(log, data))


def _batches(log: Path, data: bytes) -> Iterator[pa.RecordBatch]:
    begin = good = start(log, data)
    records: list[Record] = []
    for record, end in unframe(data, good):
        records.append(record)
        good = end
        if len(records) == sealed.ROWS or good - begin >= sealed.BYTES:
            yield to_batch(records)
            records, begin = [], good
    if good != len(data):
        raise LedgerError(f"byte {good} of {len(data)} begins no valid record")
    if records:
        yield to_batch(records)


def clear(folder: Path) -> None:
    """Remove the files that do not count: sources that are done with, and what was not finished.

    Before another file is made: of two that begin where their sources begin, the wrong one might
    count. What says that they do not count is made durable first.
    """
    _, others = sift(listing(folder))
    if others:
        sync(folder)
        for segment in others:
            (folder / segment.name).unlink()
        sync(folder)


def due(folder: Path) -> list[Segment]:
    """Neighbours to put into one file; empty for none.

    Where a number is missing a file was moved away, and may come back: nothing is put around it.
    """
    run: list[Segment] = []
    total = 0
    for segment in current(folder):
        size = (folder / segment.name).stat().st_size
        is_small = segment.suffix == "parquet" and size < SMALL_BYTES
        follows = not run or segment.first == run[-1].last + 1
        if len(run) >= BATCH and (total >= LARGE_BYTES or not (is_small and follows)):
            break
        if not (is_small and follows):
            run, total = [], 0
        if is_small:
            run.append(segment)
            total += size
    return run if len(run) >= BATCH else []


def compact(folder: Path, run: Sequence[Segment]) -> None:
    """Put neighbouring sealed files into one.

    Raises:
        LedgerError: one of them is damaged; nothing was changed.
        OSError: the disk is full or failing; nothing was changed that counts.
    """
    target = folder / Segment(run[0].first, run[-1].last, "parquet").name
    temporary = _temporary(target)
    try:
        sealed.write(temporary, _merged(folder, run))
        os.rename(temporary, target)
        sync(folder)
        for segment in run:
            (folder / segment.name).unlink()
            if segment == run[0]:  # while it is there the new one does not count
                sync(folder)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _merged(folder: Path, run: Sequence[Segment]) -> Iterator[pa.RecordBatch]:
    """Their rows, in row groups of the usual size."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for segment in run:
        with sealed.Sealed(folder / segment.name) as file:
            for batch in file.batches():
                if rows + batch.num_rows > sealed.ROWS or size + batch.nbytes > sealed.BYTES:
                    yield from _joined(waiting)
                    waiting, rows, size = [], 0, 0
                waiting.append(batch)
                rows += batch.num_rows
                size += batch.nbytes
    yield from _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if batches:
        yield pa.concat_batches(batches)
