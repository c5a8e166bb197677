"""Judges answers that several verifiers must accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.types import Judgement, Outcome
from verifiers import _compose
from verifiers._compose import Composed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier(Composed):
    """Every member accepts the answer.

    - CORRECT where every member says CORRECT, and never else.
    - INCORRECT or UNPARSABLE where a member says so, whatever the others say or would have said:
      one failed condition fails all of them. Members are asked in order, and none after the first
      that fails the answer; cheap ones belong first.
    - Else some member could not tell: ERROR, TIMEOUT or UNSURE, the first of these that occurs.
    """

    def is_settled(self, judgement: Judgement) -> bool:
        return _fails(judgement)

    def decide(self, judgements: Sequence[Judgement]) -> Judgement:
        if failed := [judgement for judgement in judgements if _fails(judgement)]:
            outcome = _compose.failure(failed)
        else:
            outcome = _compose.worst(judgements) or Outcome.CORRECT
        return _compose.conclude(self.members, judgements, outcome)


def _fails(judgement: Judgement) -> bool:
    return judgement.outcome in (Outcome.INCORRECT, Outcome.UNPARSABLE)
