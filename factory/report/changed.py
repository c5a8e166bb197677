"""What is not as it was: references in the sources, and how the dataset is chosen.

A problem of which the source holds another reference now keeps the one on record, by which its
rollouts were judged: that is said, and left to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from factory.ledger.ids import numbers
from factory.ledger.standing import Standing, records_of
from factory.recipe import Recipe
from factory.types import Problem, place

NAMED = 5
"""So many are named; the others are counted."""


class Changed:
    """Compares what is read from the sources with what is on record."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._first: list[Problem] = []
        self.count = 0

    def met(self, problem: Problem) -> None:
        """Takes a problem as the source has it now."""
        known = self._standing.knows(problem.id)
        if known and self._standing.references.differs(problem):
            self.count += 1
            if self.count <= NAMED:
                self._first.append(problem)

    def lines(self, ledger: Path) -> Iterator[str]:
        """What a person is told; nothing where nothing has changed."""
        if not self.count:
            return
        ids = np.sort(numbers(pa.array([problem.id for problem in self._first])))
        found = records_of(ledger, ids)
        before = {record.id: record for record in found if isinstance(record, Problem)}
        one = self.count == 1
        yield (
            f"{self.count:,} {'problem has' if one else 'problems have'} another reference in "
            f"{'its' if one else 'their'} source than on record; verdicts and dataset go by the "
            "one on record:"
        )
        for now in self._first:
            where = place(now.source, now.source_id, now.line)
            yield f"  {where}: {_difference(before[now.id], now)}"
        if self.count > NAMED:
            yield f"  and {self.count - NAMED:,} more"
        yield "  the corrected source is another run (another --out); or put the old rows back"


def settings(before: Recipe, now: Recipe, sections: Sequence[str]) -> str:
    """`traces.max_per_problem: 1 -> 4, ...`: what differs in some sections; empty for nothing."""
    old, new = (
        _leaves(recipe.model_dump(mode="json", include={*sections})) for recipe in (before, now)
    )
    return ", ".join(
        f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    )


def _leaves(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{above}{name}.")
        else:
            found[above + name] = value
    return found


def _difference(before: Problem, now: Problem) -> str:
    return "; ".join(
        f"{name} {_short(old)} on record, {_short(new)} now"
        for name in ("answer", "verifier", "spec")
        if (old := getattr(before, name)) != (new := getattr(now, name))
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
