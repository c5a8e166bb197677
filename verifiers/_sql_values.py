"""The values that generated rows are made of, by kind of column and by what queries name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from verifiers._sql_engine import Value
from verifiers._sql_text import Token

COUNTED = 140
"""Numbers up to this one may count rows: databases are drawn that are larger."""
_MAX_POOL = 40
_INEQUALITIES = frozenset(("<", ">", "<=", ">=", "BETWEEN"))
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CLOCK = re.compile(r"[ T]\d\d:\d\d(:\d\d)?")

# Numbers with a short binary fraction: their sums are exact in any order.
KINDS: Mapping[str, Sequence[Value]] = {
    "int": (0, 1, 2, 3, 4, 5, 6, 7, -1, 10, 100),
    "real": (0.0, 0.5, 1.0, 1.5, 2.0, 2.25, 3.0, -0.5, 10.0, 99.75, 100.0),
    "numeric": (0, 1, 2, 3, 0.5, 2.25, 10, 99.75, -1),
    "bool": (0, 1),
    "text": (
        "a",
        "b",
        "A",
        "ab",
        "Abc",
        "abc",
        "",
        "x y",
        "zz",
        "\u00e4",
        "O'Neil",
        "10",
        "9",
        "_",
    ),
    "date": ("2019-12-31", "2020-01-01", "2020-02-29", "2021-06-15", "2023-12-31", "2024-01-01"),
    "datetime": (
        "2019-12-31 23:59:59",
        "2020-01-01 00:00:00",
        "2020-01-01 12:30:00",
        "2021-06-15 08:00:00",
        "2023-12-31 00:00:00",
        "2024-02-29 23:59:59",
    ),
    "time": ("00:00:00", "08:30:00", "12:00:00", "23:59:59"),
    "any": (0, 1, 2, "a", "b", "1", 0.5),
}
"""By kind of column: what it may hold where nothing else is known."""

_DECLARED = (
    (("DATETIME", "TIMESTAMP"), "datetime"),
    (("DATE",), "date"),
    (("TIME",), "time"),
    (("BOOL",), "bool"),
    (("INT",), "int"),
    (("CHAR", "CLOB", "TEXT", "ENUM", "UUID"), "text"),
    (("REAL", "FLOA", "DOUB"), "real"),
    (("DEC", "NUM", "MONEY", "YEAR"), "numeric"),
)


def kind_of(declared: str) -> str:
    """The kind of a column from the type in its declaration."""
    upper = declared.upper()
    if "YEAR" in upper:
        return "int"
    return next((kind for words, kind in _DECLARED if any(w in upper for w in words)), "any")


class Choices(NamedTuple):
    """The values that a column may be given, in four lists."""

    wanted: list[Value]
    """Named by the query under test and by no other one."""
    hot: list[Value]
    """Named by a query."""
    near: list[Value]
    """Almost the same as these."""
    base: list[Value]
    """All others; never empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """What is known of the values of each column."""

    given: Mapping[tuple[str, str], tuple[Value, ...]]
    """By table and column, in lower case: values of the given databases."""
    named: Mapping[str, tuple[Value, ...]]
    """By column, in lower case: constants that stand beside it in a query or in the schema."""
    wanted: Mapping[str, tuple[Value, ...]]
    """The same for the query under test."""
    lengths: tuple[int, ...] = ()
    """Lengths of texts that a query may speak of."""
    links: frozenset[tuple[str, str]] = frozenset()
    """Names of columns, in lower case, that a query sets equal."""
    largest_count: int = 0
    """The largest number that may count rows."""

    def of(self, table: str, column: str, kind: str) -> Choices:
        """The values that a column may be given."""
        table, column = table.lower(), column.lower()
        given = self.given.get((table, column), ())
        named, wanted = self.named.get(column, ()), self.wanted.get(column, ())
        kind = _observed(kind, [*given, *named, *wanted])
        hot, own = _fit(named, kind), _fit(wanted, kind)
        near = [v for value in [*own, *hot] for v in _neighbours(value)]
        if kind == "text":
            near += ["x" * n for n in self.lengths]
        base = [*given, *(v for value in given[:5] for v in _neighbours(value)), *KINDS[kind]]
        new = [value for value in own if value not in hot]
        return Choices(new, hot, _distinct(near), _distinct(base))


def pools(
    given: Sequence[Mapping[str, Sequence[Sequence[Value]]]],
    columns: Mapping[str, Sequence[str]],
    references: Iterable[tuple[str, str]],
    queries: Iterable[Sequence[Token]],
    tested: Sequence[Token] = (),
) -> Pools:
    """What given rows and queries tell of the columns.

    Args:
        given: databases, each as rows by table.
        columns: names of the columns, by table.
        references: columns and what they refer to, by name in lower case.
        queries: the tokens of the reference, and of the schema.
        tested: those of the query under test.
    """
    values: dict[tuple[str, str], list[Value]] = {}
    for database in given:
        for table, rows in database.items():
            for n, name in enumerate(columns[table]):
                own = values.setdefault((table.lower(), name.lower()), [])
                own += [row[n] for row in rows[:200] if row[n] is not None]
    known = {name.lower() for names in columns.values() for name in names}
    named: dict[str, list[Value]] = {}
    wanted: dict[str, list[Value]] = {}
    counts: set[int] = set()
    lengths: set[int] = set()
    links: set[tuple[str, str]] = set()
    for tokens, found in (*((q, named) for q in queries), (tested, wanted)):
        links |= _links(tokens, known)
        _read_constants(tokens, known, found, counts)
        if any(t.word in ("LENGTH", "SUBSTR", "SUBSTRING", "INSTR") for t in tokens):
            lengths |= {n + d for n in counts if 0 < n <= 64 for d in (-1, 0, 1)}
    for name, target in references:  # a value that is looked for must be there to be referred to
        for found in (named, wanted):
            found.setdefault(target, []).extend(found.get(name, ()))
    return Pools(
        given={key: tuple(_distinct(own)) for key, own in values.items()},
        named={key: tuple(_distinct(own)) for key, own in named.items()},
        wanted={key: tuple(_distinct(own)) for key, own in wanted.items()},
        lengths=tuple(sorted(lengths)),
        links=frozenset(links),
        largest_count=max((n for n in counts if 0 < n <= COUNTED), default=0),
    )


def _links(tokens: Sequence[Token], known: set[str]) -> set[tuple[str, str]]:
    """Columns that are set equal, and those that a join names once for both sides."""
    found: set[tuple[str, str]] = set()
    for n, token in enumerate(tokens):
        before = tokens[n - 1].value.lower() if n else ""
        if token.text in ("=", "==") and before in known:
            dotted = [t.text for t in tokens[n + 2 : n + 3]] == ["."]
            after = [t.value.lower() for t in tokens[n + 1 + 2 * dotted :][:1]]
            found |= {pair for name in after if name in known for pair in _both(before, name)}
        elif token.word == "USING":
            names = [t.value.lower() for t in tokens[n + 2 : n + 8]]
            found |= {(name, name) for name in names if name in known}
        elif token.word == "NATURAL":
            found |= {(name, name) for name in known}
    return found


def _both(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)


def _read_constants(
    tokens: Sequence[Token], known: set[str], named: dict[str, list[Value]], counts: set[int]
) -> None:
    """Give each constant to the nearest column before it and to the nearest one behind it."""
    constants = [(n, c) for n, t in enumerate(tokens) if (c := _constant(t, tokens[n - 1 : n]))]
    places = [(n, t.value.lower()) for n, t in enumerate(tokens) if t.value.lower() in known]
    for at, found in constants:
        beside = {t.text.upper() for t in (*tokens[max(0, at - 1) : at], *tokens[at + 1 : at + 2])}
        if beside & _INEQUALITIES:
            found += [far for value in found for far in _far(value)]
        before = [name for n, name in places if at - 40 < n < at][-1:]
        after = [name for n, name in places if at < n < at + 6][:1]
        for name in {*before, *after}:
            named.setdefault(name, []).extend(found)
        counts.update(v for v in found if isinstance(v, int))


def _constant(token: Token, before: Sequence[Token]) -> list[Value]:
    """The values that a token stands for; a name in double quotes may be a text."""
    if token.kind == "number":
        if len(token.text) >= 16 or token.text[:2] in ("0x", "0X"):
            return []
        value = int(token.text) if token.text.isdigit() else float(token.text)
        signed = bool(before) and before[0].text == "-"  # or a difference: it may be either
        return [value, *([-value] if signed else [])] if value < 1e15 else []
    if token.kind == "text" or (token.kind == "name" and token.text.startswith('"')):
        return _texts(token.value)
    return []


def _texts(text: str) -> list[Value]:
    """A text, and what the pattern or the piece of a date that it may be stands for."""
    found: list[Value] = [text]
    if re.search(r"[%_*?]", text):
        bare = re.sub(r"[%*]", "", text)
        found = [bare.replace("_", "a").replace("?", "a")]
        found.append(re.sub(r"[%*]", "x", text).replace("_", "b").replace("?", "b"))
    if re.fullmatch(r"\d{4}", text):
        found += [f"{text}-01-01", f"{text}-12-31"]
    elif re.fullmatch(r"\d{4}-\d\d", text):
        found += [f"{text}-01", f"{text}-28"]
    elif re.fullmatch(r"0[1-9]|1[0-2]", text):
        found += [f"2020-{text}-01", f"2021-{text}-28"]
    return found


def _observed(kind: str, values: Sequence[Value]) -> str:
    """The kind that the values show, where they show one."""
    texts = [v for v in values if isinstance(v, str)]
    if kind in ("date", "datetime", "time") and values and not texts:
        return "int" if all(isinstance(v, int) for v in values) else "real"
    if kind in ("text", "any", "date") and texts:
        days = [v for v in texts if _DAY.match(v)]
        if days and 2 * len(days) >= len(texts):
            return "datetime" if any(_CLOCK.match(v[10:]) for v in days) else "date"
    return kind


def _fit(values: Sequence[Value], kind: str) -> list[Value]:
    """The values that a column of this kind can hold, as it would hold them."""
    found: list[Value] = []
    for value in values:
        if kind == "real" and isinstance(value, int | float):
            found.append(float(value))
        elif (kind in ("int", "bool") and isinstance(value, int)) or kind == "any":
            found.append(value)
        elif kind == "int" and isinstance(value, float):
            found += [int(value), int(value) + 1]
        elif kind == "numeric" and isinstance(value, int | float):
            found.append(value)
        elif kind == "text":
            found.append(value if isinstance(value, str) else str(value))
        elif kind == "date" and isinstance(value, str) and _DAY.match(value):
            found.append(value[:10])
        elif kind == "datetime" and isinstance(value, str) and _DAY.match(value):
            found.append(value if _CLOCK.match(value[10:]) else f"{value[:10]} 12:30:00")
        elif kind == "time" and isinstance(value, str) and ":" in value:
            found.append(value)
    return _distinct(found)


def _far(value: Value) -> list[Value]:
    """Values well on either side: an inequality says little of those that it compares with."""
    if isinstance(value, int):
        return [value // 2 - 1, value * 2 + 1]
    if isinstance(value, float):
        return [value / 2 - 1, value * 2 + 1]
    if isinstance(value, str) and (match := _DAY.match(value)):
        with contextlib.suppress(ValueError, OverflowError):
            day = date.fromisoformat(match.group())
            return [f"{day + timedelta(days=days)}{value[10:]}" for days in (-400, 400)]
    return []


def _neighbours(value: Value) -> list[Value]:
    """Values that are almost the same."""
    if isinstance(value, int):
        return [value - 1, value + 1]
    if isinstance(value, float):
        return [value - 0.25, value + 0.25, float(int(value))]
    if not isinstance(value, str):
        return []
    if match := _DAY.match(value):
        try:
            day = date.fromisoformat(match.group())
            return [f"{day + timedelta(days=d)}{value[10:]}" for d in (-1, 1, -31, 31, -366, 366)]
        except (ValueError, OverflowError):
            return [value + "x"]
    if re.fullmatch(r"-?\d{1,15}", value):
        return [str(int(value) - 1), str(int(value) + 1), value + "0"]
    return [value + "x", "x" + value, "x" + value + "x", value[:-1], value.swapcase()]


def _distinct(values: Iterable[Value]) -> list[Value]:
    found: dict[tuple[str, Value], Value] = {}
    for value in values:
        if value is not None:
            found.setdefault((type(value).__name__, value), value)
    return list(found.values())[:_MAX_POOL]
