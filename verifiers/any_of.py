"""Judges answers that may be right in more than one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.types import Judgement, Outcome
from verifiers import _compose
from verifiers._compose import Composed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier(Composed):
    """At least one member accepts the answer, and every member could judge it.

    - CORRECT where a member says CORRECT and all others say CORRECT, INCORRECT or UNPARSABLE. It
      is as strict as its laxest member, so members are alternatives, not second opinions.
    - ERROR, TIMEOUT or UNSURE, the first of these that occurs, where any member says so, even
      beside a CORRECT: a doubt (an answer taken back, checks that disagree) is not outvoted, and
      who brings one checker down must not be judged by the others alone.
    - Else INCORRECT, or UNPARSABLE where no member could read an answer.

    Every member is asked, and every member must be able to verify the problem.
    """

    def decide(self, judgements: Sequence[Judgement]) -> Judgement:
        outcome = _compose.worst(judgements)
        if outcome is None:
            accepted = any(judgement.outcome is Outcome.CORRECT for judgement in judgements)
            outcome = Outcome.CORRECT if accepted else _compose.failure(judgements)
        return _compose.conclude(self.members, judgements, outcome)
