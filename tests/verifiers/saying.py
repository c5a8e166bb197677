"""A verifier that says what its options tell it to, and remembers that it was asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem

ASKED: list[str] = []
"""Names of those that were asked, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Test only. A problem's spec may hold `outcome`, which comes before the option."""

    version: ClassVar[str] = "7"

    outcome: str = "correct"
    reward: float | None = None
    detail: str = "so it was told"
    label: str = ""
    runs_code: bool = False
    limit_s: float = 0.0
    accepts: str = ""
    """A text that is correct whatever the outcome is to be."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        ASKED.append(self.label)
        outcome = Outcome(problem.spec.get("outcome", self.outcome))
        if self.accepts and completion.text == self.accepts:
            outcome = Outcome.CORRECT
        return Judgement(
            outcome=outcome, extracted=self.label or None, detail=self.detail, reward=self.reward
        )

    def reference(self, problem: Problem) -> str:
        if not problem.answer:
            raise ValueError("no answer")
        return self.accepts or problem.answer

    def perturb(self, problem: Problem) -> Iterator[str]:
        yield from (f"{self.label}{n}" for n in range(3))
