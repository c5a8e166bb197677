"""Judges answers by several verifiers that count to different degrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from factory.types import Judgement, Outcome
from verifiers import _compose
from verifiers._compose import Composed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier(Composed):
    """The weighted mean of the members' rewards is the reward; from `threshold` on it is CORRECT.

    A member's reward is the one it gives, or 1 for CORRECT and 0 for INCORRECT and UNPARSABLE.

    - ERROR, TIMEOUT or UNSURE, the first of these that occurs, where any member says so: there is
      no mean then, and no reward, however little that member weighs.
    - CORRECT where the mean reaches the threshold. The default asks for all of it; below 1, an
      answer is accepted that some member rejects.
    - Else INCORRECT, or UNPARSABLE where no member could read an answer.

    A member's weight is 1 unless `weight` stands beside its name. Every member is asked. The mean
    is exact: 0.1 + 0.2 reaches 0.3.
    """

    takes_weights: ClassVar[bool] = True

    threshold: float = 1.0
    """Least mean that counts as correct, in (0, 1]."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {self.threshold}")
        Composed.__post_init__(self)

    def decide(self, judgements: Sequence[Judgement]) -> Judgement:
        if outcome := _compose.worst(judgements):
            return _compose.conclude(self.members, judgements, outcome)
        # By the decimal digits as they were written, so that a sum of tenths is what it looks like.
        weights = [Fraction(str(member.weight)) for member in self.members]
        rewards = [Fraction(str(_reward(judgement))) for judgement in judgements]
        mean = sum(w * r for w, r in zip(weights, rewards, strict=True)) / sum(weights)
        reached = mean >= Fraction(str(self.threshold))
        outcome = Outcome.CORRECT if reached else _compose.failure(judgements)
        return _compose.conclude(self.members, judgements, outcome, reward=float(mean))


def _reward(judgement: Judgement) -> float:
    if judgement.reward is None:
        return 1.0 if judgement.outcome is Outcome.CORRECT else 0.0
    return judgement.reward
