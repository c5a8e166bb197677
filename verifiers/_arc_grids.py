"""Reads grids of digits out of a text, in the order in which they stand.

Two spellings count: nested lists (`[[1, 2], [3, 4]]`, over one line or several), and consecutive
lines of digits (`1 2`, `12`, `1, 2`, `[1, 2]`). What looks like a grid and is none is reported as
well: an answer that cannot be read must not give way to an earlier one. Every pass is linear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

MAX_SIDE = 30
"""Rows, and columns, at most."""
_MAX_SPAN = 20_000
"""Longest nested list that is read, in characters."""

Grid = tuple[tuple[int, ...], ...]

_OPEN = re.compile(r"\[\s*\[")
_CLOSE = re.compile(r"\]\s*\]")
_PIECE = re.compile(r"[0-9]+|[^\s0-9]")
_BETWEEN = re.compile(r"[\s,|]+")
_DIGITS = "0123456789"
_NUMERIC = _DIGITS + " \t\r,.|+-[]"


class Found(NamedTuple):
    """What stands in a text as a grid."""

    grid: Grid | None
    """None where it is no grid after all: ragged, too large, with something else than digits."""
    start: int
    end: int


def find(text: str) -> list[Found]:
    """Everything that stands in a text as a grid."""
    nested = list(_nested(text))
    pieces, at = [], 0
    for found in nested:  # what they cover is no line of digits
        pieces += [text[at : found.start], "x" * (found.end - found.start)]
        at = found.end
    rest = "".join([*pieces, text[at:]])
    return sorted([*nested, *_lines(rest)], key=lambda found: found.start)


def exact(value: Any) -> Grid | None:
    """A value as a grid: lists or tuples of whole numbers 0 to 9, by exact type; None if not."""
    if type(value) not in (list, tuple) or not 1 <= len(value) <= MAX_SIDE:
        return None
    if any(type(row) not in (list, tuple) for row in value):
        return None
    width = len(value[0])
    if not 1 <= width <= MAX_SIDE or any(len(row) != width for row in value):
        return None
    if any(type(cell) is not int or not 0 <= cell <= 9 for row in value for cell in row):
        return None
    return tuple(tuple(row) for row in value)


def spell(grid: Grid) -> str:
    """A grid as nested lists."""
    return json.dumps(grid)


def _nested(text: str) -> Iterator[Found]:
    at = 0
    while match := _OPEN.search(text, at):
        if text[match.end() : match.end() + 200].lstrip().startswith("["):  # a list of grids
            at = match.start() + 1
            continue
        close = _CLOSE.search(text, match.end())
        if close is None:
            yield Found(None, match.start(), len(text))
            return
        at = close.end()
        span = text[match.start() : at]
        rows = _read_nested(span) if len(span) <= _MAX_SPAN else None
        yield Found(exact(rows), match.start(), at)


def _read_nested(span: str) -> list[list[int]] | None:
    """The rows of `[[...], ...]`, commas or white space between them and between their digits."""
    rows: list[list[int]] = []
    row: list[int] | None = None
    last = "["
    for piece in _PIECE.findall(span)[1:-1]:
        if piece == "," and last not in ("[", ","):
            pass
        elif piece == "[" and row is None:
            row = []
        elif piece == "]" and row and last != ",":
            rows.append(row)
            row = None
        elif row is not None and len(piece) == 1 and piece in _DIGITS:
            row.append(int(piece))
        else:
            return None
        last = piece
    return rows if row is None and last == "]" else None


def _lines(text: str) -> Iterator[Found]:
    """Runs of lines that hold nothing but digits and what stands between digits."""
    rows: list[list[int] | None] = []
    start = at = 0
    for line in [*text.split("\n"), ""]:
        if line.strip() and not line.strip(_NUMERIC) and any(c in _DIGITS for c in line):
            start = start if rows else at
            rows.append(_row(line.strip()))
        elif rows:
            broken = any(row is None for row in rows)
            yield Found(None if broken else exact(rows), start, min(at, len(text)))
            rows = []
        at += len(line) + 1


def _row(line: str) -> list[int] | None:
    """The digits of one line; None if it is something else."""
    line = line.removesuffix(",").strip("|").strip()
    if line.startswith("[") and line.endswith("]"):
        line = line[1:-1].strip()
    elif line.isdigit():
        return [int(c) for c in line]
    cells = _BETWEEN.split(line)
    return [int(c) for c in cells] if all(len(c) == 1 and c.isdigit() for c in cells) else None


def transposed(grid: Sequence[Sequence[int]]) -> Grid:
    """Rows for columns."""
    return tuple(zip(*grid, strict=True))
