"""Runs queries in an embedded engine that can touch nothing: no file, no write, no clock.

A database lives in memory and is handed round as its image. A query runs on a fresh copy under an
authorizer that knows reading alone, functions that always give the same, and a count of steps of
the engine's machine in the place of a clock: what is too slow is too slow everywhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

MAX_STEPS = 3_000_000
"""Steps of the engine's machine that one run of a query may take."""
MAX_TOTAL_STEPS = 60_000_000
"""Steps of all runs of one query together."""
MAX_ROWS = 20_000
MAX_CELLS = 200_000
_TICK = 1000
_HEAP_BYTES = 256 << 20

Value = int | float | str | bytes | None
Row = tuple[Value, ...]

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 50_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_NAMES = """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat
    concat_ws cos cosh count cume_dist date datetime degrees dense_rank exp first_value floor format
    glob group_concat hex ifnull iif if instr json json_array json_array_length json_extract
    json_group_array json_group_object json_object json_type json_valid julianday lag last_value
    lead length like likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile
    nullif octet_length percent_rank pi pow power printf quote radians rank replace round
    row_number rtrim sign sin sinh soundex sqrt strftime string_agg substr substring sum tan tanh
    time total trim trunc typeof unicode unixepoch unlikely upper
"""
_FUNCTIONS = frozenset(_NAMES.split())
_CLOCKS = ("date", "time", "datetime", "julianday", "unixepoch", "strftime")
_KEYWORD_CLOCKS = ("current_date", "current_time", "current_timestamp")
_PRESENT = ("now", "subsec", "subsecond")
_ZONES = ("localtime", "utc")


class Failed(Exception):
    """A query did not run to its end; says why."""


class Spent(Failed):
    """A query took more steps than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a query gave."""

    width: int
    """Columns, also where there are no rows."""
    rows: tuple[Row, ...]


@dataclass(slots=True)
class Budget:
    """Steps that the runs of one query have left."""

    left: int = MAX_TOTAL_STEPS


Rule = Callable[[int, str | None, str | None], str]


class Database:
    """A database in memory, empty or a copy. A context manager."""

    def __init__(self, image: bytes | None = None) -> None:
        self.connection = _connect()
        self._helper = sqlite3.connect(":memory:", check_same_thread=False)
        self._complaints: list[str] = []
        if image is not None:
            self.connection.deserialize(image)
        for name in _CLOCKS:
            self.connection.create_function(name, -1, self._timeless(name), deterministic=True)
        for name in _KEYWORD_CLOCKS:  # as the default of a column it passes the authorizer
            self.connection.create_function(name, 0, self._timeless(name), deterministic=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.connection.close()
        self._helper.close()

    def image(self) -> bytes:
        """Everything in it, as bytes."""
        return self.connection.serialize()

    def define(self, script: str) -> None:
        """Run a script that defines tables and fills them.

        Raises:
            Failed: it does not run, or does more than that.
        """
        self._confine(_may_define)
        try:
            with _Meter(self.connection, Budget()):
                self.connection.executescript(script)
        except (sqlite3.Error, ValueError) as error:
            raise self._failed(error) from None
        finally:
            self.connection.set_authorizer(None)

    def insert(self, table: str, rows: Iterable[Sequence[Any]], lenient: bool = False) -> None:
        """Add whole rows to a table; a lenient one leaves out what breaks a rule of the table.

        Raises:
            Failed: a row does not fit.
        """
        names = self.columns(table)
        slots = ", ".join("?" * len(names))
        verb = "INSERT OR IGNORE" if lenient else "INSERT"
        text = f"{verb} INTO {quote(table)} ({', '.join(map(quote, names))}) VALUES ({slots})"
        try:
            self.connection.executemany(text, rows)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            if lenient and isinstance(error, sqlite3.Error):
                return  # OR IGNORE does not cover a text in an integer key, or a CHECK that fails
            raise Failed(f"table {table}: {self._failed(error)}") from None

    def tables(self) -> list[str]:
        """Names of the tables, in the order in which they were defined."""
        text = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
        found = [name for (name,) in self.connection.execute(text)]
        return [name for name in found if not name.startswith("sqlite_")]

    def columns(self, table: str) -> list[str]:
        """Names of the columns of a table that can be written."""
        info = self.connection.execute(f"PRAGMA table_xinfo({quote(table)})")
        return [row[1] for row in info if row[6] == 0]

    def run(self, text: str, budget: Budget, backwards: bool = False) -> Result:
        """Run one query.

        Args:
            backwards: walk tables the other way round wherever the query leaves the order open.

        Raises:
            Failed: it is not allowed, it is wrong, or it is too large.
            Spent: it takes too many steps.
        """
        if backwards:
            self.connection.execute("PRAGMA reverse_unordered_selects = ON")
        self._confine(_may_read)
        rows: list[Row] = []
        with _Meter(self.connection, budget) as meter:
            try:
                cursor = self.connection.execute(text)
                width = len(cursor.description or ())
                if not width:
                    raise Failed("it gives no table")
                for row in cursor:
                    rows.append(row)
                    if len(rows) > MAX_ROWS or len(rows) * width > MAX_CELLS:
                        raise Failed(f"more than {len(rows) - 1} rows of {width} columns")
            except MemoryError:
                raise Failed("it needs too much memory") from None
            except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                raise (
                    Spent("it takes too many steps") if meter.spent else self._failed(error)
                ) from None
        return Result(width=width, rows=tuple(rows))

    def _failed(self, error: Exception) -> Failed:
        said = self._complaints[0] if self._complaints else " ".join(f"{error}".split())
        return Failed(said[:200])

    def _confine(self, rule: Rule) -> None:
        """Let the connection do what a rule allows and nothing else."""
        self._complaints.clear()

        def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
            if action == sqlite3.SQLITE_PRAGMA and rule is _may_define:
                return sqlite3.SQLITE_IGNORE  # dumps begin with some; none takes effect
            complaint = rule(action, first, second)
            if complaint:
                self._complaints.append(complaint)
            return sqlite3.SQLITE_DENY if complaint else sqlite3.SQLITE_OK

        self.connection.set_authorizer(authorize)

    def _timeless(self, name: str) -> Callable[..., Value]:
        """A date function that knows neither the time of day nor the place it runs at."""
        complaints, helper = self._complaints, self._helper

        def call(*args: Value) -> Value:
            moment = args[1:] if name == "strftime" else args
            words = [a.strip().lower() for a in moment if isinstance(a, str)]
            if not moment or (words and words[0] in _PRESENT):
                complaints.append(f"{name} of the present moment is not allowed")
            elif any(zone in words for zone in _ZONES):
                complaints.append(f"{name} in the time zone of the machine is not allowed")
            else:
                text = f"SELECT {name}({', '.join('?' * len(args))})"
                value: Value = helper.execute(text, args).fetchone()[0]
                return value
            raise ValueError  # the engine says that a function failed; the complaint says why

        return call


def quote(name: str) -> str:
    """A name as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'


def _connect() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.execute("PRAGMA temp_store = MEMORY")  # a large sort goes to a file otherwise
    connection.execute(f"PRAGMA hard_heap_limit = {_HEAP_BYTES}")
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def _may_read(action: int, first: str | None, second: str | None) -> str:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
        return ""
    if action == sqlite3.SQLITE_FUNCTION:
        known = (second or "").lower() in _FUNCTIONS
        return "" if known else f"the function {second} is not allowed"
    if action == sqlite3.SQLITE_READ:
        private = (first or "").lower().startswith(("sqlite_", "pragma_", "dbstat", "json_"))
        return f"the table {first} is not allowed" if private else ""
    return "it does more than read"


def _may_define(action: int, first: str | None, second: str | None) -> str:
    allowed = (
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_REINDEX,
    )
    if action in allowed or (action == sqlite3.SQLITE_READ):
        return ""
    complaint = _may_read(action, first, second)
    return complaint and complaint.replace("it does more than read", "only tables, views, indexes")


class _Meter:
    """Counts the steps of what runs on a connection."""

    def __init__(self, connection: sqlite3.Connection, budget: Budget) -> None:
        self._connection, self._budget = connection, budget
        self._own = MAX_STEPS

    def __enter__(self) -> _Meter:
        self._connection.set_progress_handler(self._tick, _TICK)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_progress_handler(None, 0)

    def _tick(self) -> int:
        self._own -= _TICK
        self._budget.left -= _TICK
        return int(self.spent)

    @property
    def spent(self) -> bool:
        return self._own < 0 or self._budget.left < 0
