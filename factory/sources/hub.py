"""Datasets on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from factory.errors import SourceError
from factory.sources._row import Row, check_columns, map_columns
from factory.types import Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows of a dataset on the Hub, or of a folder laid out like one; nothing is downloaded ahead.

    Example:
        {name: hub, repo: AI-MO/NuminaMath-1.5, revision: 1b05109, columns: {prompt: problem}}
    """

    repo: str
    """Hub id `NAMESPACE/NAME`, or a local folder."""
    revision: str | None = None
    """Branch, tag or commit; a commit makes the run repeatable."""
    config: str | None = None
    """Its configuration, where it has several."""
    split: str = "train"
    """Its split."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our field -> its column: prompt, messages, answer, verifier, id, domain, spec.NAME."""

    def __post_init__(self) -> None:
        check_columns(self.columns)

    def rows(self) -> Iterator[Row | Reject]:
        """Every row in turn, streamed.

        Raises:
            SourceError: the dataset cannot be reached or read, or a mapped column does not exist.
        """
        yield from map_columns(self._stream(), self.columns)

    def _stream(self) -> Iterator[Row]:
        import datasets

        number = 0
        try:
            stream = datasets.load_dataset(
                self.repo,
                self.config,
                split=self.split,
                revision=self.revision,
                streaming=True,
            )
            for values in stream:
                number += 1
                yield Row(source=self.repo, number=number, extra=dict(values))
        except Exception as error:  # a network stack, a file format and a cache may each fail here
            raise SourceError(self._failure(number, error)) from error

    def _failure(self, number: int, error: Exception) -> str:
        where = f"{self.repo} (config {self.config or 'default'}, split {self.split})"
        after = f" after {number} rows" if number else ""
        return f"{where}: cannot be read{after}: {type(error).__name__}: {error}"
