"""Rows to shards: what a Parquet file of the dataset is cut from, and when.

A row group ends with the row that fills it and a shard with the row group that fills it, so the
bytes depend on the rows and their order alone: not on who made the rows, nor in what portions they
came. Rows that wait for their row group lie compressed in a file; memory holds one row group, of
the one config that writes its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from factory.ledger.durable import sync
from factory.shards import Config
from factory.types import Shard

ROW_GROUP_BYTES = 32_000_000
"""Memory holds a row group twice, so it is filled early: no larger dataset needs more."""
SHARD_BYTES = 500_000_000

# By this thread alone: the memory of others is not given back.
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_UNPACKED = pa.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Rows of one config, as they travel between processes."""

    rows: pa.Buffer
    """A compressed Arrow stream."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with pa.ipc.open_stream(self.rows, options=_UNPACKED) as batches:
            yield from batches


class Portion:
    """Collects rows of one config."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = pa.BufferOutputStream()
        self._stream = pa.ipc.new_stream(self._sink, schema, options=_PACKED)
        self._pending: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        """Takes one row; columns that the schema lacks are left out."""
        self._pending.append(row)

    def gather(self) -> None:
        """Compresses what came since the last time: before it is too much."""
        if self._pending:
            self._stream.write_batch(to_batch(self._pending, self._schema))
            self._pending = []

    def close(self) -> Packed:
        """All rows; none can be added."""
        self.gather()
        self._stream.close()
        return Packed(rows=self._sink.getvalue())


@contextlib.contextmanager
def lean() -> Iterator[None]:
    """Arrow takes its memory from the system's allocator, and gives it back after a row group.

    Its own keeps what it once had, and more of it the longer it works.
    """
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


class ShardWriter:
    """Streams rows into `FOLDER/train-00000.parquet`, `train-00001.parquet`, ...

    A shard is complete or absent: it is written under another name, synced and renamed. Equal
    rows give equal bytes. Without a row nothing is written: a config whose shards hold no row
    makes `load_dataset` fail.
    """

    def __init__(
        self,
        root: Path,
        config: Config,
        *,
        shard_bytes: int = SHARD_BYTES,
        row_group_bytes: int = ROW_GROUP_BYTES,
        even_empty: bool = False,
    ) -> None:
        """
        Args:
            shard_bytes: uncompressed size from which on a shard is closed.
            row_group_bytes: the same for a row group.
            even_empty: where there is no row, leave one shard that holds the schema.
        """
        self.config = config
        self.shards: list[Shard] = []
        self._root = root
        self._shard_bytes = shard_bytes
        self._group_bytes = row_group_bytes
        self._even_empty = even_empty
        self._waiting: _Waiting | None = None
        self._group_size = 0
        self._shard_size = 0
        self._shard_rows = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        if self._waiting is not None:
            self._waiting.close()
        if self._writer is not None:
            self._writer.close()
            self._temporary.unlink()

    def take(self, rows: Iterable[pa.RecordBatch]) -> None:
        """Takes rows of the config, which may end anywhere."""
        for batch in rows:
            self._spread(batch)

    def close(self) -> None:
        """Completes the last shard."""
        self._end_group()
        if self._even_empty and self._writer is None and not self.shards:
            self._open()
        if self._writer is not None:
            self._end_shard()

    @property
    def _name(self) -> str:
        return f"{self.config.folder}/train-{len(self.shards):05d}.parquet"

    @property
    def _temporary(self) -> Path:
        return self._root / self.config.folder / f".{len(self.shards):05d}.parquet.tmp"

    def _spread(self, batch: pa.RecordBatch) -> None:
        """Over the row group that is being filled and those that come after it."""
        ends = np.cumsum(row_bytes(batch))
        start, before = 0, 0
        while start < len(ends):
            room = self._group_bytes - self._group_size
            stop = min(len(ends), 1 + int(np.searchsorted(ends, before + room)))
            if self._waiting is None:
                self._waiting = _Waiting(self._root, self.config.schema)
            self._waiting.add(batch.slice(start, stop - start))
            self._group_size += int(ends[stop - 1]) - before
            start, before = stop, int(ends[stop - 1])
            if self._group_size >= self._group_bytes:
                self._end_group()
                if self._shard_size >= self._shard_bytes:
                    self._end_shard()

    def _end_group(self) -> None:
        if self._waiting is None:
            return
        waiting, self._waiting = self._waiting, None
        pa.default_memory_pool().release_unused()  # what lies fallow would come on top
        table = waiting.table()
        (self._writer or self._open()).write_table(table, row_group_size=table.num_rows)
        self._shard_rows += table.num_rows
        self._shard_size += self._group_size
        self._group_size = 0
        del table
        pa.default_memory_pool().release_unused()

    def _open(self) -> pq.ParquetWriter:
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            self._temporary,
            self.config.schema,
            compression="zstd",
            compression_level=3,
            use_content_defined_chunking=True,
            write_page_index=True,
        )
        return self._writer

    def _end_shard(self) -> None:
        assert self._writer is not None
        self._writer.close()
        temporary, name = self._temporary, self._name
        sync(temporary)
        temporary.rename(self._root / name)
        sync((self._root / name).parent)
        digest, size = file_digest(self._root / name)
        shard = Shard(path=name, num_rows=self._shard_rows, num_bytes=size, sha256=digest)
        self.shards.append(shard)
        self._writer, self._shard_rows, self._shard_size = None, 0, 0


class _Waiting:
    """Rows of the next row group, compressed, in a file without a name."""

    def __init__(self, place: Path, schema: pa.Schema) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=place)  # noqa: SIM115
        self._stream = pa.ipc.new_stream(self._file, schema, options=_PACKED)

    def add(self, batch: pa.RecordBatch) -> None:
        self._stream.write_batch(batch)

    def table(self) -> pa.Table:
        """All of them in one piece: where the pieces end, pages would."""
        self._stream.close()
        self._file.seek(0)
        with self._file, pa.ipc.open_stream(self._file, options=_UNPACKED) as stream:
            return stream.read_all().combine_chunks()

    def close(self) -> None:
        self._stream.close()
        self._file.close()


def row_bytes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Bytes of each row, compression and the like aside: of a row alone, wherever it lies."""
    total = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        total += _bytes(column)
    return total


def _bytes(array: pa.Array) -> NDArray[np.int64]:
    """Bytes of each value; 8 for a number, a null and a list's length."""
    if pa.types.is_string(array.type):
        return np.asarray(pc.fill_null(pc.binary_length(array), 8), dtype=np.int64)
    if pa.types.is_struct(array.type):
        total = np.zeros(len(array), dtype=np.int64)
        for number in range(array.type.num_fields):
            total += _bytes(array.field(number))
        return total
    if pa.types.is_list(array.type):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), dtype=np.int64)
        ends = np.cumsum(np.append(0, _bytes(array.flatten())))
        last = np.cumsum(lengths)
        found: NDArray[np.int64] = 8 + ends[last] - ends[last - lengths]
        return found
    return np.full(len(array), 8, dtype=np.int64)


def to_batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Arrow memory; text that UTF-8 cannot hold is repaired, not refused."""
    try:
        return pa.RecordBatch.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:
        return pa.RecordBatch.from_pylist([_repaired(row) for row in rows], schema=schema)


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _repaired(item) for key, item in value.items()}
    return [_repaired(item) for item in value] if isinstance(value, list) else value


def file_digest(path: Path) -> tuple[str, int]:
    """A file's SHA-256 and size."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
