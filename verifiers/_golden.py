"""Reads golden cases, `golden/NAME.jsonl`: what a verifier must say, kept with the verifiers.

One JSON object a line: fields of a Problem, `completion`, `outcome` (one of Outcome, or
`not_correct`: INCORRECT, UNPARSABLE or UNSURE) and, if it helps a reader, `category`. A line that
holds `options` alone sets the verifier's options for the lines below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.types import Outcome, Problem

FOLDER = Path(__file__).parent / "golden"
_BESIDE = ("completion", "outcome", "category")
_NOT_CORRECT = frozenset({Outcome.INCORRECT, Outcome.UNPARSABLE, Outcome.UNSURE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One completion, and what a verifier must make of it."""

    problem: Problem
    completion: str
    outcome: str
    """An Outcome's value, or `not_correct`."""
    category: str = ""

    def allows(self, outcome: Outcome) -> bool:
        """Whether a verifier may say this."""
        if self.outcome == "not_correct":
            return outcome in _NOT_CORRECT
        return outcome == self.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The golden cases of a verifier under one set of options."""

    name: str
    options: dict[str, Any]
    cases: tuple[Case, ...]

    def problems(self) -> list[Problem]:
        """One problem for each distinct (answer, spec) that some completion solves."""
        found: dict[str, Problem] = {}
        for case in self.cases:
            if case.outcome == Outcome.CORRECT:
                key = json.dumps([case.problem.answer, case.problem.spec], sort_keys=True)
                found.setdefault(key, case.problem)
        return list(found.values())


def suites(name: str) -> list[Suite]:
    """The golden cases of a verifier, by options, in the order of its file."""
    options: dict[str, Any] = {}
    found: list[tuple[dict[str, Any], list[Case]]] = []
    for row in _rows(FOLDER / f"{name}.jsonl"):
        if set(row) == {"options"}:
            options = row["options"]
            continue
        if not found or found[-1][0] is not options:
            found.append((options, []))
        fields = {key: value for key, value in row.items() if key not in _BESIDE}
        found[-1][1].append(
            Case(
                problem=Problem(**{"id": "golden", "prompt": "", **fields}),
                completion=row["completion"],
                outcome=row["outcome"],
                category=row.get("category", ""),
            )
        )
    return [Suite(name=name, options=o, cases=tuple(cases)) for o, cases in found]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
