"""When a result is the one that a reference query asks for.

A result is a bag of rows. Where the reference has an ORDER BY, it is a sequence of groups: rows
that the ORDER BY leaves equal form a group and may come in any order within it. A LIMIT cuts a
window out of this sequence; of a group that it cuts through, any rows will do.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verifiers._sql_engine import Budget, Database, Result, Row, Value
from verifiers._sql_text import Query

FLOAT_TOLERANCE = 1e-9
"""Relative: the order in which numbers are added shows in their last digits."""
MAX_REORDERED = 6
"""Columns at most whose order is tried out."""

Key = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a reference gives on one database, with all that it leaves open."""

    width: int
    groups: tuple[tuple[Key, ...], ...]
    """All rows before the LIMIT, in order; the order within a group is open."""
    start: int
    stop: int
    """The window that the LIMIT leaves."""
    floats: tuple[tuple[float, ...], ...]
    """By column: the floats in it, sorted."""
    ordered: bool

    @property
    def order_shows(self) -> bool:
        """Whether the rows of the window could be told to be in another order."""
        rows = [key for group in self.groups for key in group][self.start : self.stop]
        return self.ordered and len(set(rows)) > 1

    @property
    def cut_at_random(self) -> bool:
        """Whether a LIMIT without an ORDER BY chooses among different rows."""
        rows = {key for group in self.groups for key in group}
        size = sum(map(len, self.groups))
        return not self.ordered and self.stop - self.start < size and len(rows) > 1

    def accepts(self, rows: Sequence[Row], columns: Sequence[int] | None = None) -> bool:
        """Whether these rows are a right answer, their columns taken in this order."""
        if len(rows) != self.stop - self.start:
            return False
        order = columns or range(self.width)
        keys = [tuple(self._key(row[c], place) for place, c in enumerate(order)) for row in rows]
        at = 0
        for group in self.groups:
            first, last = max(at, self.start), min(at + len(group), self.stop)
            at += len(group)
            if first < last:
                part = keys[first - self.start : last - self.start]
                if not Counter(part) <= Counter(group):
                    return False
        return True

    def _key(self, value: Value, column: int) -> tuple[str, Value]:
        """A value and its type; a float as near as nothing to an expected one counts as that."""
        if isinstance(value, float):
            known = self.floats[column]
            at = bisect_left(known, value)
            for near in known[max(0, at - 1) : at + 1]:
                if abs(near - value) <= FLOAT_TOLERANCE * abs(near):
                    return "float", near
        return type(value).__name__, value


def expect(image: bytes, query: Query, budget: Budget, backwards: bool = False) -> Expected:
    """Run a reference and everything that tells what it leaves open.

    Raises:
        Failed: it does not run.
        ValueError: what it leaves open cannot be told.
    """
    offset, count = query.window()
    plain = run(image, query.text, budget, backwards)
    if query.ordered:
        up, down = (
            run(image, query.with_ties_broken(plain.width, way, limited=False), budget, backwards)
            for way in ("ASC", "DESC")
        )
        groups = tuple(_groups(up.rows, down.rows))
    else:
        groups = (_keys(run(image, query.unlimited, budget, backwards).rows),)
    size = sum(map(len, groups))
    start = min(offset, size)
    expected = Expected(
        width=plain.width,
        groups=groups,
        start=start,
        stop=size if count is None else min(size, start + count),
        floats=_floats(groups, plain.width),
        ordered=query.ordered,
    )
    if not expected.accepts(plain.rows):
        raise ValueError(
            "what the reference leaves open cannot be told from its ORDER BY and LIMIT"
        )
    return expected


def run(image: bytes, text: str, budget: Budget, backwards: bool = False) -> Result:
    """Run a query on a copy of a database."""
    with Database(image) as database:
        return database.run(text, budget, backwards)


def results(images: tuple[bytes, bytes], query: Query, budget: Budget) -> Iterator[Result]:
    """All that a query gives on a database: by its rows as stored, backwards, and by its ties.

    Raises:
        Failed: it does not run.
    """
    plain = run(images[0], query.text, budget)
    yield plain
    yield run(images[1], query.text, budget, backwards=True)
    if query.ordered:
        for way in ("ASC", "DESC"):
            yield run(images[0], query.with_ties_broken(plain.width, way, limited=True), budget)


def orders(width: int, free: bool) -> list[tuple[int, ...]]:
    """The orders of columns that may be right, the given one first."""
    if not free or width > MAX_REORDERED:
        return [tuple(range(width))]
    return list(itertools.permutations(range(width)))


def _keys(rows: Sequence[Row]) -> tuple[Key, ...]:
    return tuple(tuple((type(v).__name__, v) for v in row) for row in rows)


def _groups(up: Sequence[Row], down: Sequence[Row]) -> Iterator[tuple[Key, ...]]:
    """Cut two sequences, whose ties are broken in opposite ways, where they hold the same rows.

    Within a group the first k rows of one are its smallest and those of the other its largest, so
    they agree only at its end (or all along, where its rows are all the same).
    """
    differ: Counter[Key] = Counter()
    group: list[Key] = []
    for one, other in zip(_keys(up), _keys(down), strict=True):
        group.append(one)
        differ[one] += 1
        differ[other] -= 1
        for key in (one, other):
            if not differ[key]:
                del differ[key]
        if not differ:
            yield tuple(group)
            group = []
    if group:
        raise ValueError("the reference gives other rows in another order")


def _floats(groups: Sequence[Sequence[Key]], width: int) -> tuple[tuple[float, ...], ...]:
    columns: list[set[float]] = [set() for _ in range(width)]
    for key in (key for group in groups for key in group):
        for column, (_, value) in zip(columns, key, strict=True):
            if isinstance(value, float):
                column.add(value)
    return tuple(tuple(sorted(column)) for column in columns)
