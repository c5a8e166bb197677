"""A sealed file of the ledger: Parquet that any tool reads, with a checksum over every byte.

    PAR1 | row groups: small columns, data | checksums | footer | length u32 | PAR1
    checksums    (end u64, crc32 u32) each | footer's crc32 u32 | number u32 | own crc32 u32 | LCK1

A Parquet reader finds its way from the footer and never looks at what lies before it unnamed.
Each row group is covered in two parts, so that the small columns of a long run can be read, and
checked, without the texts. Pages carry their own checksums as well, for other tools; those cover
neither page headers nor the footer. Files of an earlier version have no checksums, and are read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import LedgerError
from factory.ledger.durable import sync
from factory.ledger.records import SEALED, Record, from_row, to_batch

ROWS = 4096
"""Most rows of a row group."""
BYTES = 32 << 20
"""Size of texts from which on a row group is written."""
BROKEN = (
    OSError,
    pa.ArrowException,
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    struct.error,
)
"""What reading or writing a Parquet file of rows can raise."""

_VERSION = {b"ledger": b"2"}
_MARK = b"LCK1"
_RANGE = struct.Struct("<QI")
_END = struct.Struct("<II4s")
_TAIL = struct.Struct("<I4s")
_TEXTS = ["kind", "problem_id", "outcome", "finish_reason", "replaces", "rule", "source", "row"]


def write(path: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write rows as a sealed file and sync it; how many.

    Args:
        batches: with the columns of `SEALED`; each becomes a row group.

    Raises:
        OSError: the disk is full or failing.
    """
    rows = 0
    schema = SEALED.with_metadata(_VERSION)
    with pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=_TEXTS, write_page_checksum=True
    ) as writer:
        for batch in batches:
            rows += batch.num_rows
            if batch.num_rows:
                table = pa.Table.from_batches([batch]).cast(schema)
                writer.write_table(table, row_group_size=batch.num_rows)
    _add_checksums(path)
    sync(path)
    return rows


def _add_checksums(path: Path) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(size - _TAIL.size)
        length, _ = _TAIL.unpack(file.read())
        foot = size - _TAIL.size - length
        ends = [*_borders(pq.read_metadata(path)), foot]
        file.seek(0)
        start, checks = 0, b""
        for end in ends:
            checks += _RANGE.pack(end, zlib.crc32(file.read(end - start)))
            start = end
        footer = file.read()
        checks += struct.pack("<II", zlib.crc32(footer), len(ends))
        file.seek(foot)
        file.write(checks + struct.pack("<I4s", zlib.crc32(checks), _MARK) + footer)


def _borders(metadata: pq.FileMetaData) -> Iterator[int]:
    """Where small columns end and `data` begins, and where the next row group does, in turn."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if number:
            yield _begin(group.column(0))
        yield _begin(group.column(group.num_columns - 1))


def _begin(chunk: pq.ColumnChunkMetaData) -> int:
    if chunk.dictionary_page_offset:
        return int(min(chunk.dictionary_page_offset, chunk.data_page_offset))
    return int(chunk.data_page_offset)


class Sealed:
    """A sealed file, open for reading. Use it as a context manager.

    Everything read is checked before it is used.

    Args:
        skip: so many rows at the beginning are left out.

    Raises:
        FileNotFoundError: there is none (any more).
        LedgerError: it is damaged, here and in every method.
    """

    def __init__(self, path: Path, skip: int = 0) -> None:
        self.path = path
        self._skip = skip
        try:
            self._raw = pa.OSFile(str(path))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise LedgerError(f"{path} cannot be read: {error}") from error
        try:
            with self._telling():
                self._checks = self._load_checks()
                self._file = pq.ParquetFile(self._raw, page_checksum_verification=True)
                schema = self._file.schema_arrow
                self._names = frozenset(schema.names)
                if not self._checks and _VERSION.items() <= (schema.metadata or {}).items():
                    raise ValueError("its checksums are gone")
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._raw.close()

    @property
    def rows(self) -> int:
        """How many there are behind those left out."""
        return max(0, int(self._file.metadata.num_rows) - self._skip)

    def batches(self, columns: Sequence[str] = SEALED.names) -> Iterator[pa.RecordBatch]:
        """Some columns of `SEALED`, in this order, a row group at a time."""
        for number, skip in self._groups():
            with self._telling():
                batch = self._read(number, columns, skip)
            yield batch

    def records(self) -> Iterator[Record]:
        """Memory: one row group."""
        for batch in self.batches(["kind", "data"]):
            yield from self._parsed(batch)

    def picked(self, wanted: Callable[[pa.RecordBatch], pa.Array | None]) -> Iterator[Record]:
        """Some of the records. The texts of a row group are read only where a row is wanted.

        Args:
            wanted: given the columns kind and problem_id, the numbers of the rows; None for none.
        """
        for number, skip in self._groups():
            with self._telling():
                rows = wanted(self._read(number, ["kind", "problem_id"], skip))
                if rows is None:
                    continue
                batch = self._read(number, ["kind", "data"], skip).take(rows)
            yield from self._parsed(batch)

    def _parsed(self, batch: pa.RecordBatch) -> list[Record]:
        with self._telling():
            columns = [batch[name].to_pylist() for name in ("kind", "data")]
            return [from_row(kind, text) for kind, text in zip(*columns, strict=True)]

    def _groups(self) -> Iterator[tuple[int, int]]:
        """Row groups with the number of their rows to leave out."""
        skip = self._skip
        for number in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(number).num_rows
            if skip < rows:
                yield number, skip
            skip = max(0, skip - rows)

    def _read(self, number: int, columns: Sequence[str], skip: int) -> pa.RecordBatch:
        if not self._names.issuperset(columns):  # written by an earlier version
            batch = self._read(number, ["kind", "data"], skip)
            return to_batch(self._parsed(batch)).select(list(columns))
        if self._checks:
            self._check(2 * number)
            if "data" in columns:
                self._check(2 * number + 1)
        table = self._file.read_row_group(number, columns=list(columns), use_threads=False)
        table = table.select(list(columns))
        if table.num_rows != self._file.metadata.row_group(number).num_rows:
            raise ValueError(f"row group {number} has {table.num_rows} rows")
        table = table.replace_schema_metadata(None).combine_chunks()
        return table.to_batches()[0].slice(skip)

    def _check(self, part: int) -> None:
        start = self._checks[part - 1][0] if part else 0
        end, checksum = self._checks[part]
        if zlib.crc32(self._raw.read_at(end - start, start)) != checksum:
            raise ValueError(f"the bytes {start} to {end} do not match their checksum")

    def _load_checks(self) -> list[tuple[int, int]]:
        """(end, checksum) of every part; empty where there are none. The footer is checked."""
        size = self._raw.size()
        length, _ = _TAIL.unpack(self._raw.read_at(_TAIL.size, size - _TAIL.size))
        foot = size - _TAIL.size - length
        if foot < _END.size:
            raise ValueError(f"footer of {length} bytes in a file of {size}")
        number, own, mark = _END.unpack(self._raw.read_at(_END.size, foot - _END.size))
        if mark != _MARK:
            return []
        begin = foot - _END.size - 4 - number * _RANGE.size
        if begin < 0:
            raise ValueError(f"{number} checksums in a file of {size} bytes")
        checks = self._raw.read_at(foot - begin - 8, begin)
        if zlib.crc32(checks) != own:
            raise ValueError(f"the checksums at byte {begin} do not match their own checksum")
        footer = self._raw.read_at(size - foot, foot)
        if struct.unpack_from("<I", checks, number * _RANGE.size)[0] != zlib.crc32(footer):
            raise ValueError(f"the footer at byte {foot} does not match its checksum")
        return list(_RANGE.iter_unpack(checks[: number * _RANGE.size]))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except msgspec.ValidationError as error:
            raise LedgerError(
                f"{self.path} holds no readable record in a place, though a whole one: {error}. "
                "Another version wrote it: read it with that one."
            ) from error
        except BROKEN as error:
            raise LedgerError(f"{self.path} is damaged, restore it from a copy: {error}") from error
