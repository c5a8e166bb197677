"""Stop at enough accepted rollouts, give up by posterior.

The pass rate of a problem has a Beta(a, b) prior; after c correct and w wrong rollouts it is
Beta(a + c, b + w). The policy keeps as many rollouts in flight as should bring the accepted ones
still missing, and gives up when the chance of even one more success within the problem's budget
has fallen below `give_up`. For m rollouts left that chance has a closed form (beta-binomial):

    1 - B(a', b' + m) / B(a', b')        a' = a + c,  b' = b + w

A problem given up is `deferred`: unknown, not impossible.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, lgamma

from factory.policies import MOST, Decision, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Stop at `accept` correct rollouts, at most `at_most`, give up when success is unlikely."""

    accept: int = 4
    """Correct rollouts wanted per problem."""
    at_most: int = 32
    """Upper bound on rollouts per problem."""
    give_up: float = 0.02
    """Close when the chance of one more success within `at_most` is below this; 0: never."""
    prior: tuple[float, float] = (0.5, 0.5)
    """(a, b) of the Beta prior of the pass rate; the default is Jeffreys'."""

    def __post_init__(self) -> None:
        if not 1 <= self.accept <= self.at_most:
            raise ValueError(f"accept must be in 1..at_most ({self.at_most}), got {self.accept}")
        if self.at_most > MOST:
            raise ValueError(f"at_most must be at most {MOST}, got {self.at_most}")
        if not 0 <= self.give_up < 1:
            raise ValueError(f"give_up must be in [0, 1), got {self.give_up}")
        if min(self.prior) <= 0:
            raise ValueError(f"prior must be positive, got {self.prior}")

    def decide(self, tally: Tally) -> Decision:
        missing = self.accept - tally.correct
        if missing <= 0:
            return Decision(close="enough")
        left = self.at_most - tally.started
        if not tally.outstanding:
            if left <= 0:
                return Decision(close="spent")
            if tally.correct == 0 and self.chance(tally, left) < self.give_up:
                return Decision(close="deferred")
        a, b = self.prior
        rate = (a + tally.correct) / (a + b + tally.judged)
        wanted = ceil(missing / rate) - tally.outstanding
        return Decision(start=max(0, min(left, wanted)))

    def chance(self, tally: Tally, left: int) -> float:
        """Posterior probability of at least one success in `left` further rollouts."""
        a = self.prior[0] + tally.correct
        b = self.prior[1] + tally.incorrect
        log_none = lgamma(b + left) - lgamma(b) - lgamma(a + b + left) + lgamma(a + b)
        return 1 - exp(log_none)
