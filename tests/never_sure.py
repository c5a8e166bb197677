"""A verifier that never can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Unsure of everything."""

    version: ClassVar[str] = "1"

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        return Judgement(outcome=Outcome.UNSURE)

    def reference(self, problem: Problem) -> str:
        return ""

    def perturb(self, problem: Problem) -> Iterator[str]:
        return iter(())
