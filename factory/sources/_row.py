"""What every source yields: rows with our field names, whatever the file calls its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from factory.errors import SourceError
from factory.types import Reject

FIELDS = ("prompt", "messages", "answer", "verifier", "id", "domain", "spec")
"""The fields of a problem that a column may fill, beside `spec.NAME`."""

PROBE = 100
"""Rows within which every mapped column must turn up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a source, not yet checked."""

    source: str
    """The file, Hub id or generator, as it is published."""
    number: int
    """1-based line or row number."""
    values: dict[str, Any] = field(default_factory=dict)
    """By our field name: `prompt`, `answer`, ..., and `spec.NAME`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Every other column, by its own name."""

    @property
    def own_id(self) -> str | None:
        """The row's own id, where it has one that can be read as text."""
        own = self.values.get("id")
        if own is None or own == "" or own != own or not isinstance(own, (str, int, float)):
            return None
        return str(own).encode("utf-8", "replace").decode()

    @property
    def id(self) -> str:
        """The row's own id, or its number."""
        return self.own_id or str(self.number)


class WrittenFloat(float):
    """A number that remembers how it was written: `0.10` stays `0.10` when it is an answer."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


def malformed(path: str, what: str, number: int, error: ValueError) -> Reject:
    """The rejection of one line or row that cannot be read (`what` says which it is)."""
    reason = f"{what} {number}: {error}"
    return Reject(source=path, row=str(number), rule="malformed", reason=reason, line=number)


def check_columns(columns: dict[str, str]) -> None:
    """Raises ValueError for a key that is no field of ours."""
    for name in columns:
        if name not in FIELDS and not (name.startswith("spec.") and len(name) > 5):
            choices = ", ".join(FIELDS)
            raise ValueError(f"columns: no field {name!r}; fields: {choices}, spec.NAME")


def map_columns(rows: Iterable[Row | Reject], columns: dict[str, str]) -> Iterator[Row | Reject]:
    """Raw rows (every column in `extra`) to rows with our fields.

    A column named like one of our fields fills it without being mapped; but where `prompt` or
    `messages` is mapped, the other one is not taken by its name alone.

    Raises:
        SourceError: a mapped column is in none of the first rows.
    """
    rows = iter(rows)
    head = list(islice(rows, PROBE))
    _check_present([row for row in head if isinstance(row, Row)], columns)
    taken = {name: columns.get(name, name) for name in (*FIELDS, *columns)}
    for one, other in (("prompt", "messages"), ("messages", "prompt")):
        if one in columns and other not in columns:
            del taken[other]
    for row in chain(head, rows):
        yield _mapped(row, taken) if isinstance(row, Row) else row


def _mapped(row: Row, taken: dict[str, str]) -> Row:
    used = set(taken.values())
    values = {name: row.extra[column] for name, column in taken.items() if column in row.extra}
    extra = {}
    for column, value in row.extra.items():
        if column.startswith("spec.") and column not in used:
            values.setdefault(column, value)
        elif column not in used:
            extra[column] = value
    return Row(source=row.source, number=row.number, values=values, extra=extra)


def _check_present(rows: list[Row], columns: dict[str, str]) -> None:
    seen = {column for row in rows for column in row.extra}
    for name, column in columns.items():
        if rows and column not in seen:
            known = ", ".join(sorted(seen)) or "none"
            where = rows[0].source
            raise SourceError(f"{where}: no column {column!r} (columns.{name}); columns: {known}")
