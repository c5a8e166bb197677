"""The same number of rollouts for every problem."""

from __future__ import annotations

from dataclasses import dataclass

from factory.policies import MOST, WAIT, Decision, Tally
from factory.scheduling.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """n rollouts per problem, whatever comes out."""

    n: int = 4
    """Rollouts per problem."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")
        if self.n > MOST:
            raise ValueError(f"n must be at most {MOST}, got {self.n}")

    def decide(self, tally: Tally, pool: Pool | None = None) -> Decision:
        if tally.started < self.n:
            return Decision(start=self.n - tally.started)
        return WAIT if tally.outstanding else Decision(close="complete")
