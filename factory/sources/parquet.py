"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from factory.errors import SourceError
from factory.sources._files import matching
from factory.sources._row import Row, check_columns, malformed, map_columns
from factory.types import Reject

BATCH = 256
"""Rows held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows of Parquet files.

    Example:
        {name: parquet, path: "train-*.parquet", columns: {prompt: problem, answer: solution}}
    """

    path: str
    """A file, or a glob over files, which are read in the order of their names."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our field -> the file's column: prompt, messages, answer, verifier, id, domain, spec.NAME."""
    label: str = ""
    """Published as the `source` of the rows; empty for the path of the file, or for its name alone
    where the path is absolute."""

    def __post_init__(self) -> None:
        check_columns(self.columns)

    def check(self) -> None:
        """Raises SourceError where there is no file."""
        matching(self.path)

    def rows(self) -> Iterator[Row | Reject]:
        """Every row in turn, a batch of one row group in memory at a time.

        Raises:
            SourceError: a file cannot be read, or a mapped column does not exist.
        """
        for path in matching(self.path):
            yield from map_columns(self._file(path), self.columns)

    def _file(self, path: str) -> Iterator[Row | Reject]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number, source = 0, self.label or path
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH):
                    for values in values_of(batch):
                        number += 1
                        if isinstance(values, ValueError):
                            yield malformed(source, "row", number, values)
                        else:
                            yield Row(source=source, number=number, extra=values)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SourceError(f"{path}: cannot be read: {error}") from error


def values_of(batch: Any) -> Iterator[dict[str, Any] | ValueError]:
    """The rows of a batch, each as its columns or as why it cannot be read (text not UTF-8)."""
    try:
        yield from batch.to_pylist()
        return
    except ValueError:
        pass
    for start in range(batch.num_rows):
        try:
            yield batch.slice(start, 1).to_pylist()[0]
        except ValueError as error:
            yield error
