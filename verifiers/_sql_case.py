"""A problem made ready: its reference query with what it gives on every database."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from factory.types import Problem
from verifiers import _sql_compare, _sql_data, _sql_mutants, _sql_text, _sql_values
from verifiers._sql_compare import Expected
from verifiers._sql_data import Table
from verifiers._sql_engine import Budget, Database, Failed, Row
from verifiers._sql_text import NotOneQuery, Query

MAX_SCHEMA = 100_000
MAX_CELLS = 100_000
"""Of all given databases."""
_OWN = 24
"""Databases drawn for the constants of a candidate."""
_SEARCHED = 120
"""Databases drawn for the comparisons that those kept do not show the edge of."""
_FAILURES = 8
"""So many databases, and half of those drawn, may make the reference fail."""
_PATIENCE = 4
"""How many databases are drawn for each one kept."""


class Base(NamedTuple):
    """One database, and what the reference gives on it."""

    name: str
    images: tuple[bytes, bytes]
    """The same rows in two orders."""
    expected: tuple[Expected, ...]
    """One, or two where the result depends on the order in which rows are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A reference, and the databases it was run on."""

    reference: Query
    schema: str
    tables: tuple[Table, ...]
    given: tuple[Mapping[str, Sequence[Row]], ...]
    bases: tuple[Base, ...]
    sharp: bool
    """Whether moving any number or comparison of the reference a little shows on some of them."""

    def bases_for(self, query: Query) -> Iterator[Base]:
        """The databases, and more of them where a query names what the reference does not."""
        yield from self.bases
        if not _constants(query) <= _constants(self.reference):
            drawn = _draw(
                self.reference, self.schema, self.tables, self.given, query, _PATIENCE * _OWN
            )
            yield from _choose(drawn, _OWN)


def of(problem: Problem, generated: int) -> Case:
    """The case of a problem.

    Raises:
        ValueError: the problem cannot be verified.
    """
    schema, answer = problem.spec.get("schema"), problem.answer
    if not isinstance(schema, str) or not schema.strip():
        raise ValueError("spec.schema must be text that defines tables")
    if len(schema) > MAX_SCHEMA:
        raise ValueError(f"spec.schema has {len(schema)} characters; at most {MAX_SCHEMA} are read")
    if not answer or not answer.strip():
        raise ValueError("no answer: it must be the reference query")
    try:
        given = json.dumps(problem.spec.get("databases", []))
    except (TypeError, ValueError) as error:
        raise ValueError(f"spec.databases is not plain JSON: {error}") from None
    return _prepare(schema, given, answer, generated)


@functools.lru_cache(maxsize=64)
def _prepare(schema: str, given_json: str, answer: str, generated: int) -> Case:
    try:
        reference = _sql_text.parse(answer)
        reference.window()
        tables = _sql_data.read_schema(schema)
        given = tuple(_given(schema, tables, json.loads(given_json)))
        bases: list[Base] = []
        for n, rows in enumerate(given, 1):
            images = _sql_data.stored(schema, rows)
            bases.append(_base(reference, f"given database {n}", images))
        drawn = _draw(reference, schema, tables, given, None, _PATIENCE * generated + _SEARCHED)
        bases += _choose(itertools.islice(drawn, _PATIENCE * generated), generated)
        _expect_telling(bases)
        more, sharp = _sharpen(reference, bases, drawn)
        bases += more
    except NotOneQuery as error:
        raise ValueError(f"the reference: {error}") from None
    except Failed as error:
        raise ValueError(f"spec.schema: {error}") from None
    _expect_order(reference, bases)
    return Case(
        reference=reference,
        schema=schema,
        tables=tables,
        given=given,
        bases=tuple(bases),
        sharp=sharp,
    )


def _given(
    schema: str, tables: Sequence[Table], databases: Any
) -> Iterator[Mapping[str, Sequence[Row]]]:
    """The given databases as rows by table, as the engine stores them."""
    if not isinstance(databases, list):
        raise ValueError("spec.databases must be a list of databases")
    cells = 0
    for n, rows in enumerate(databases, 1):
        with Database() as database:
            try:
                database.define(schema)
                if isinstance(rows, str):
                    database.define(rows)
                elif isinstance(rows, dict):
                    for table, own in rows.items():
                        database.insert(*_table_rows(tables, table, own))
                else:
                    raise ValueError("it must be a script of INSERTs, or rows by table")
                found = _sql_data.contents(database)
            except (Failed, ValueError) as error:
                raise ValueError(f"spec.databases, number {n}: {error}") from None
        cells += sum(len(row) for own in found.values() for row in own)
        if cells > MAX_CELLS:
            raise ValueError(f"spec.databases holds more than {MAX_CELLS} values")
        yield found


def _table_rows(tables: Sequence[Table], name: str, rows: Any) -> tuple[str, list[list[Any]]]:
    table = next((t for t in tables if t.name.lower() == name.lower()), None)
    if table is None:
        known = ", ".join(t.name for t in tables)
        raise ValueError(f"no table {name!r}; tables: {known}")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ValueError(f"table {name}: its rows must be a list of lists")
    if wrong := next((row for row in rows if len(row) != len(table.columns)), None):
        raise ValueError(f"table {name}: {len(table.columns)} values a row, got {len(wrong)}")
    return table.name, rows


def _draw(
    reference: Query,
    schema: str,
    tables: Sequence[Table],
    given: Sequence[Mapping[str, Sequence[Row]]],
    tested: Query | None,
    count: int,
) -> Iterator[Base]:
    """Databases that heed the constants of the reference, and of a query under test.

    Left out are those on which the reference fails (a text that is no JSON, too many steps).
    """
    columns = {t.name: [c.name for c in t.columns] for t in tables}
    pools = _sql_values.pools(
        given,
        columns,
        _sql_data.references(tables),
        (reference.tokens, _schema_tokens(schema)),
        tested.tokens if tested else (),
    )
    seed = f"{reference.text}/{tested.text if tested else ''}"
    label = "database drawn for its constants" if tested else "generated database"
    drawn = _sql_data.databases(schema, tables, pools, seed)
    failures: list[ValueError] = []
    for n, images in enumerate(itertools.islice(drawn, count)):
        try:
            yield _base(reference, f"{label} {n}", images)
        except ValueError as error:
            failures.append(error)
            if not tested and len(failures) > max(_FAILURES, n / 2):
                raise failures[0] from None


def _schema_tokens(schema: str) -> list[_sql_text.Token]:
    try:
        return _sql_text.tokenize(schema[: _sql_text.MAX_QUERY])
    except NotOneQuery:
        return []  # it was cut in the middle, or is spelled as the engine alone reads it


def _choose(drawn: Iterator[Base], wanted: int) -> Iterator[Base]:
    """As many databases as wanted, three in four such that the reference finds something."""
    silent: list[Base] = []
    left = wanted
    for base in drawn:
        if not _finds(base):
            silent.append(base)
        if _finds(base) or len(silent) <= wanted // 4:
            left -= 1
            yield base
        if not left:
            return
    yield from silent[wanted // 4 :][:left]


def _sharpen(
    reference: Query, bases: Sequence[Base], drawn: Iterator[Base]
) -> tuple[list[Base], bool]:
    """More databases, each of which shows a small difference that none before it has shown.

    Returns them, and whether every number and comparison of the reference has shown by now.
    """
    alive = []
    for text in _sql_mutants.at_the_edge(reference):
        with contextlib.suppress(NotOneQuery):
            alive.append(_sql_text.parse(text))
    for base in bases:
        alive = [query for query in alive if agrees(base, query)]
    more: list[Base] = []
    while alive and (new := next(drawn, None)):
        left = [query for query in alive if agrees(new, query)]
        more += [new] if len(left) < len(alive) else []
        alive = left
    return more, not any(_only_moved(query, reference) for query in alive)


def _only_moved(query: Query, reference: Query) -> bool:
    """Whether two queries differ in a number or a comparison alone."""
    if len(query.tokens) != len(reference.tokens):
        return False
    pairs = zip(query.tokens, reference.tokens, strict=True)
    return all(a.kind in ("number", "sign") for a, b in pairs if a.text != b.text)


def agrees(base: Base, query: Query) -> bool:
    """Whether a query gives what the reference gives, by rows as they are stored."""
    if base.expected[0].order_shows and not query.ordered:
        return False
    try:
        result = _sql_compare.run(base.images[0], query.text, Budget())
    except Failed:
        return False
    return any(
        expected.width == result.width and expected.accepts(result.rows)
        for expected in base.expected
    )


def _finds(base: Base) -> bool:
    """Whether the reference gives a row with something in it."""
    nothing = (("NoneType", None), ("int", 0), ("float", 0.0))
    expected = base.expected[0]
    rows = [key for group in expected.groups for key in group][expected.start : expected.stop]
    return any(cell not in nothing for row in rows for cell in row)


def _base(reference: Query, name: str, images: tuple[bytes, bytes]) -> Base:
    """Run the reference on a database, forwards and on the other copy backwards.

    Raises:
        ValueError: it does not run to its end.
    """
    budget = Budget()
    try:
        one = _sql_compare.expect(images[0], reference, budget)
        other = _sql_compare.expect(images[1], reference, budget, backwards=True)
        rows = _sql_compare.run(images[1], reference.text, budget, backwards=True).rows
    except Failed as error:
        raise ValueError(f"the reference on {name}: {error}") from None
    same = one.accepts(rows) and not one.cut_at_random
    return Base(name, images, (one,) if same else (one, other))


def _expect_telling(bases: Sequence[Base]) -> None:
    """Refuse a reference that its own results cannot tell from another query."""
    found = [base for base in bases if base.expected[0].stop > base.expected[0].start]
    if not found:
        raise ValueError(f"the reference gives no rows on any of {len(bases)} databases")
    results = {_signature(base.expected[0]) for base in bases}
    if len(results) < 2:
        raise ValueError(
            f"the reference gives the same on all of {len(bases)} databases: a constant would do"
        )


def _expect_order(reference: Query, bases: Sequence[Base]) -> None:
    """Refuse a reference whose order cannot be told, or that leaves open what it gives."""
    single = reference.window()[1] in (0, 1)
    if reference.ordered and not single and not any(b.expected[0].order_shows for b in bases):
        raise ValueError(f"the ORDER BY of the reference shows on none of {len(bases)} databases")
    found = [base for base in bases if base.expected[0].stop > base.expected[0].start]
    open_ones = sum(len(base.expected) > 1 for base in found)
    if 2 * open_ones > len(found):
        raise ValueError(
            "the result of the reference depends on the order in which rows are stored on "
            f"{open_ones} of {len(found)} databases (LIMIT without ORDER BY, bare columns, ...)"
        )


def _signature(expected: Expected) -> tuple[object, ...]:
    keys = [key for group in expected.groups for key in group]
    return tuple(sorted(map(repr, keys[expected.start : expected.stop])))


def _constants(query: Query) -> set[str]:
    return {t.value for t in query.tokens if t.kind in ("number", "text", "blob", "name")}
