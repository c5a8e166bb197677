"""Judges SQL queries by what they give on many databases.

`answer` is the reference: one query, in SQLite's dialect. `spec`:

    schema      text that defines the tables (CREATE TABLE, INDEX, VIEW)
    databases   [{"table": [[value, ...], ...], ...}, ...]: rows by table, every column in order; or
                scripts of INSERTs. Optional: more are generated from the schema.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _sql_case, _sql_compare, _sql_mutants, _sql_text, _sql_untested
from verifiers._sql_case import Base, Case
from verifiers._sql_engine import Budget, Failed
from verifiers._sql_text import NotOneQuery, Query, Unreadable, Unsettled

_PERTURBED = 30
"""Mutants of a reference that are shown to be wrong, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The query gives what the reference query gives, on every database tried.

    Databases are generated beside the given ones, so that a query which fits the given rows alone
    is found out. They hold whatever the schema allows: a query may rely on the keys, NOT NULLs and
    CHECKs that are declared, and on nothing else.

    Rows count as often as they occur; columns count by place, not by name; types must be the same;
    floats may differ by one part in 10^9. The order counts where the reference ends in an ORDER BY,
    up to its ties. Both queries run on two copies of each database that store the rows in different
    orders, and with ties broken both ways: what is right by luck is not right.

    A problem is set aside where its reference gives no rows or always the same, depends on the
    clock or on the order in which rows are stored, or has an ORDER BY that never shows.
    """

    version: ClassVar[str] = "1"

    generated: int = 32
    """Databases that are generated, at least 4."""
    any_column_order: bool = False
    """Accept the columns in another order, the same one on every database (6 columns at most)."""
    limit_s: float = 30.0
    """Seconds that one judgement may take: the first of a problem draws its databases."""

    def __post_init__(self) -> None:
        if not 4 <= self.generated <= 200:
            raise ValueError(f"generated must be 4 to 200 databases, got {self.generated}")

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            case = _sql_case.of(problem, self.generated)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        try:
            text = _sql_text.extract(completion)
        except Unreadable as error:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=f"{error}")
        except Unsettled as error:
            return Judgement(outcome=Outcome.UNSURE, detail=f"{error}")
        outcome, detail = self._judge(case, text)
        return Judgement(outcome=outcome, extracted=text[:4096], detail=detail)

    def reference(self, problem: Problem) -> str:
        return _fenced(_sql_case.of(problem, self.generated).reference.text)

    def perturb(self, problem: Problem) -> Iterator[str]:
        case = _sql_case.of(problem, self.generated)
        columns = [c.name for t in case.tables for c in t.columns]
        wrong = (
            text
            for text in _sql_mutants.mutants(case.reference, columns)
            if self._judge(case, text)[0] is Outcome.INCORRECT
        )
        yield from map(_fenced, itertools.islice(wrong, _PERTURBED))

    def _judge(self, case: Case, text: str) -> tuple[Outcome, str]:
        try:
            query = _sql_text.parse(text)
        except NotOneQuery as error:
            return Outcome.INCORRECT, f"{error}"
        bases: list[Base] = []
        if difference := self._difference(query, case.bases_for(query), bases):
            return Outcome.INCORRECT, difference
        if doubt := _sql_untested.doubt(query, case, bases):
            return Outcome.UNSURE, doubt
        given, own = len(case.given), len(bases) - len(case.bases)
        drawn = f", {own} drawn for its constants" if own else ""
        generated = len(case.bases) - given
        detail = f"agrees on {len(bases)} databases: {given} given, {generated} generated{drawn}"
        return Outcome.CORRECT, detail

    def _difference(self, query: Query, bases: Iterator[Base], tried: list[Base]) -> str:
        """Where the query does not give what it should, and how; empty if it always does."""
        budget = Budget()
        orders: list[tuple[int, ...]] = []
        for base in bases:
            tried.append(base)
            expected = base.expected[0]
            if expected.order_shows and not query.ordered:
                return "the order counts, and the query has no ORDER BY at its end"
            orders = orders or _sql_compare.orders(expected.width, self.any_column_order)
            try:
                for result in _sql_compare.results(base.images, query, budget):
                    if result.width != expected.width:
                        return f"{result.width} columns, not {expected.width}"
                    orders = [
                        order
                        for order in orders
                        if any(e.accepts(result.rows, order) for e in base.expected)
                    ]
                    if not orders:
                        return f"on {base.name}: {_contrast(len(result.rows), expected)}"
            except Failed as error:
                return f"on {base.name}: {error}"
        return ""


def _contrast(rows: int, expected: _sql_compare.Expected) -> str:
    wanted = expected.stop - expected.start
    if rows != wanted:
        return f"{rows} rows, not {wanted}"
    return f"{rows} rows, but others" + (", or in another order" if expected.order_shows else "")


def _fenced(query: str) -> str:
    return f"```sql\n{query}\n```"
