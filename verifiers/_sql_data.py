"""Fills a schema with generated rows: many small databases that tell similar queries apart.

Values come from what is known of a column: the rows of the given databases, and the constants that
the queries compare it with, together with their neighbours (29, 30, 31 for `age > 30`). Profiles
turn this into single rows, ties, NULLs, empty tables, parents without children, and groups large
enough for a HAVING or a LIMIT. Keys, foreign keys and CHECKs hold: the engine itself leaves out
what breaks them. The seed decides everything, so a database has a name: its number.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from verifiers import _sql_engine
from verifiers._sql_engine import Database, Row, Value, quote
from verifiers._sql_values import Choices, Pools, kind_of

_TRIES = 6
"""How often a row is drawn again that breaks a rule of its table."""
_SHARES = (0.4, 1.0, 1.0)
"""By column and database: how much of `Profile.hot` holds for it."""
_WANTED = 0.3
"""How often a column takes a value that the query under test names for it."""
_JOINED = 0.75
"""How often a column takes a value of the one that a query sets equal to it."""
MAX_ROWS = 300
"""Rows of a table at most, where a query counts that far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column that can be written."""

    name: str
    kind: str
    nullable: bool
    whole_key: bool
    """It alone is the primary key."""


class Foreign(NamedTuple):
    """Columns that must hold a row of another table."""

    columns: tuple[int, ...]
    table: str
    target: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table as it is declared."""

    name: str
    columns: tuple[Column, ...]
    foreign: tuple[Foreign, ...]


class Profile(NamedTuple):
    """What kind of database to draw."""

    rows: tuple[int, int]
    """At least and at most, per table."""
    hot: float = 0.4
    """How often a value is one that a query names, where it names one."""
    near: float = 0.1
    """How often it is the neighbour of one."""
    null: float = 0.12
    few: int = 0
    """Values that a column has to choose from; 0: all."""
    one_empty: bool = False
    """One table stays empty, each time another one."""
    ones: float = 0.0
    """How often a number that no query names is 1: sums and products are then simple."""
    parents: int = 0
    """Rows that foreign keys have to choose from; 0: all."""
    large: bool = False
    """As many rows as the queries count, where that is more."""


_PROFILES = (
    Profile((5, 9), hot=0.75),
    Profile((8, 14), few=3, large=True),
    Profile((4, 8), hot=0.3, near=0.6, null=0.05),
    Profile((6, 10), null=0.45),
    Profile((1, 2), hot=0.8, null=0.05),
    Profile((12, 20), hot=0.3, near=0.3, parents=2, large=True),
    Profile((5, 9), hot=0.7, near=0.2, null=0.0),
    Profile((3, 8), hot=0.6, one_empty=True),
    Profile((1, 3), hot=0.4, near=0.5, null=0.0, ones=0.9),
    Profile((10, 18), hot=0.85, few=4, null=0.05, parents=3, large=True),
    Profile((3, 6), few=1, null=0.05),
    Profile((3, 6), hot=0.5, near=0.4, null=0.0, ones=0.9, parents=1),
    Profile((8, 12), hot=0.85, few=3, null=0.05),
    Profile((2, 4), hot=0.5, null=0.75),
    Profile((4, 7), hot=0.5, near=0.3, null=0.3, one_empty=True),
)
_EMPTY = Profile((0, 0))


def read_schema(script: str) -> tuple[Table, ...]:
    """The tables of a schema, those first that others refer to.

    Raises:
        Failed: the script does not run, or defines no table.
    """
    with Database() as database:
        database.define(script)
        found = [_table(database, name) for name in database.tables()]
    if not found:
        raise _sql_engine.Failed("it defines no table")
    ordered: list[Table] = []
    while found:
        known = {t.name.lower() for t in ordered}
        free = [
            t for t in found if all(f.table.lower() in known | {t.name.lower()} for f in t.foreign)
        ]
        ordered += free or found[:1]  # a circle of references is opened somewhere
        found = [t for t in found if t not in ordered]
    return tuple(ordered)


def _table(database: Database, name: str) -> Table:
    written = database.columns(name)
    info = database.connection.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    keys = sorted((row for row in info if row[5]), key=lambda row: row[5])
    columns = tuple(
        Column(
            name=row[1],
            kind=kind_of(row[2] or ""),
            nullable=not row[3] and not row[5],
            whole_key=len(keys) == 1 and bool(row[5]),
        )
        for row in info
        if row[1] in written
    )
    return Table(name=name, columns=columns, foreign=tuple(_foreign(database, name, written)))


def _foreign(database: Database, name: str, written: Sequence[str]) -> Iterator[Foreign]:
    """The foreign keys of a table that refer to something that exists."""
    places = {column.lower(): n for n, column in enumerate(written)}
    links: dict[int, list[tuple[str, str, str | None]]] = {}
    for row in database.connection.execute(f"PRAGMA foreign_key_list({quote(name)})"):
        links.setdefault(row[0], []).append((row[2], row[3].lower(), row[4]))
    for link in links.values():
        table = link[0][0]
        info = database.connection.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
        names = {row[1].lower() for row in info}
        keys = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
        target = tuple(t for _, _, t in link if t) or keys
        known = all(c in places for _, c, _ in link) and all(t.lower() in names for t in target)
        if known and len(target) == len(link):
            yield Foreign(tuple(places[c] for _, c, _ in link), table, target)


def references(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Columns and what they refer to, by name in lower case."""
    return [
        (table.columns[place].name.lower(), target.lower())
        for table in tables
        for link in table.foreign
        for place, target in zip(link.columns, link.target, strict=True)
    ]


def databases(
    script: str, tables: Sequence[Table], pools: Pools, name: str
) -> Iterator[tuple[bytes, bytes]]:
    """Databases without end: each as two images that hold the same rows, stored in other orders.

    The first one is empty; one of the first few is as large as the queries count.
    """
    yield _draw(script, (), pools, _EMPTY, random.Random(name))
    most = min(MAX_ROWS, 3 * pools.largest_count + 6)
    number = 0
    while True:
        rng = random.Random(f"{name}/{number}")
        profile = _PROFILES[number % len(_PROFILES)]
        if profile.large:
            least, usual = profile.rows
            profile = profile._replace(rows=(max(least, most // 2), max(usual, most)))
        filled = list(tables)
        if profile.one_empty:
            del filled[number // len(_PROFILES) % len(filled)]
        yield _draw(script, filled, pools, profile, rng)
        number += 1


def stored(script: str, rows: Mapping[str, Sequence[Row]]) -> tuple[bytes, bytes]:
    """Two images of a database with the same rows, stored in other orders."""
    shuffled = {table: list(own) for table, own in rows.items()}
    for table, own in shuffled.items():
        random.Random(f"{table}/{len(own)}").shuffle(own)
    return _image(script, rows), _image(script, shuffled)


def contents(database: Database) -> dict[str, list[Row]]:
    """All rows of all tables, without generated columns."""
    found = {}
    for table in database.tables():
        names = ", ".join(map(quote, database.columns(table)))
        text = f"SELECT {names} FROM {quote(table)}"
        found[table] = database.connection.execute(text).fetchall()
    return found


def _image(script: str, rows: Mapping[str, Sequence[Row]]) -> bytes:
    with Database() as database:
        database.define(script)
        for table in database.tables():
            database.connection.execute(f"DELETE FROM {quote(table)}")
        for table, own in rows.items():
            database.insert(table, own)
        return database.image()


def _draw(
    script: str, tables: Sequence[Table], pools: Pools, profile: Profile, rng: random.Random
) -> tuple[bytes, bytes]:
    with Database() as database:
        database.define(script)
        for name in database.tables():  # a script may have filled them by itself
            database.connection.execute(f"DELETE FROM {quote(name)}")
        for table in tables:
            _Filler(database, table, pools, profile, rng).fill()
        _drop_orphans(database)
        rows = contents(database)
    return stored(script, rows)


class _Filler:
    """Draws the rows of one table."""

    def __init__(
        self, database: Database, table: Table, pools: Pools, profile: Profile, rng: random.Random
    ) -> None:
        self._database, self._table = database, table
        self._profile, self._rng = profile, rng
        self._choices = [
            self._choose(c, pools.of(table.name, c.name, c.kind)) for c in table.columns
        ]
        self._hot = [profile.hot * rng.choice(_SHARES) for _ in table.columns]
        self._joined = self._read_joined(pools)
        self._parents = [self._read_parents(link) for link in table.foreign]

    def fill(self) -> None:
        """Add rows, fewer where the rules of the table leave no room for more."""
        connection = self._database.connection
        for serial in range(1, self._rng.randint(*self._profile.rows) + 1):
            before = connection.total_changes
            for _ in range(_TRIES):
                row = self._row(serial)
                if row is None:
                    return
                self._database.insert(self._table.name, [row], lenient=True)
                if connection.total_changes != before:
                    break

    def _row(self, serial: int) -> list[Value] | None:
        """A row; None where it must refer to another one and there is none."""
        row = [self._pick(n, c) for n, c in enumerate(self._table.columns)]
        for n, column in enumerate(self._table.columns):
            if (
                column.whole_key
                and column.kind == "int"
                and row[n] not in self._choices[n].wanted
                and self._chance(1 - self._profile.hot / 2)
            ):
                row[n] = serial
            elif self._joined.get(n) and row[n] is not None and self._chance(_JOINED):
                row[n] = self._rng.choice(self._joined[n])
        for link, parents in zip(self._table.foreign, self._parents, strict=True):
            optional = all(self._table.columns[n].nullable for n in link.columns)
            found: Sequence[Value] = [None] * len(link.columns)
            if link.table.lower() == self._table.name.lower():
                places = {c.name.lower(): n for n, c in enumerate(self._table.columns)}
                itself = tuple(row[places[name.lower()]] for name in link.target)
                parents = [*self._read_parents(link), itself]
            elif not parents and not optional:
                return None
            if parents and not (optional and self._chance(self._profile.null)):
                found = self._rng.choice(parents)
            for n, value in zip(link.columns, found, strict=True):
                row[n] = value
        return row

    def _pick(self, place: int, column: Column) -> Value:
        wanted, hot, near, base = self._choices[place]
        if column.nullable and self._chance(self._profile.null):
            return None
        if wanted and self._chance(_WANTED):
            return self._rng.choice(wanted)
        dice = self._rng.random()
        if hot and dice < self._hot[place]:
            return self._rng.choice(hot)
        if near and dice < self._hot[place] + self._profile.near:
            return self._rng.choice(near)
        if not hot and column.kind in ("int", "real") and self._chance(self._profile.ones):
            return 1
        return self._rng.choice(base)

    def _choose(self, column: Column, choices: Choices) -> Choices:
        """The values to choose from, few of them where few are wanted."""
        if not self._profile.few or column.whole_key:
            return choices
        wanted, hot, near, base = choices
        pool = [*hot, *near, *base]
        few = self._rng.sample(pool, min(self._profile.few, len(pool)))
        return Choices(wanted, self._rng.sample(hot, 1) if hot else few, few, few)

    def _read_joined(self, pools: Pools) -> dict[int, list[Value]]:
        """By place: values in other tables of the columns that queries set equal to a column."""
        found: dict[int, list[Value]] = {}
        own = {place for link in self._table.foreign for place in link.columns}
        for other in self._database.tables():
            for name in self._database.columns(other) if other != self._table.name else ():
                for n, column in enumerate(self._table.columns):
                    if n not in own and (column.name.lower(), name.lower()) in pools.links:
                        values = self._distinct_rows(other, (name,))
                        found.setdefault(n, []).extend(v for (v,) in values if v is not None)
        return found

    def _read_parents(self, link: Foreign) -> list[Row]:
        found = self._distinct_rows(link.table, link.target)
        few = self._profile.parents
        return self._rng.sample(found, few) if 0 < few < len(found) else found

    def _distinct_rows(self, table: str, columns: Sequence[str]) -> list[Row]:
        names = ", ".join(map(quote, columns))
        text = f"SELECT DISTINCT {names} FROM {quote(table)} ORDER BY {names}"
        return self._database.connection.execute(text).fetchall()

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share


def _drop_orphans(database: Database) -> None:
    """Delete rows whose references do not hold: two foreign keys can share a column."""
    names = database.tables()
    for table in names * (len(names) if len(names) < 10 else 2):
        with contextlib.suppress(sqlite3.OperationalError):  # it refers to what is no key
            check = database.connection.execute(f"PRAGMA foreign_key_check({quote(table)})")
            wrong = [(row[1],) for row in check.fetchall() if row[1] is not None]
            text = f"DELETE FROM {quote(table)} WHERE rowid = ?"
            database.connection.executemany(text, wrong)
