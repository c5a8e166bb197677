"""More traces for harder problems.

Sampling until k are correct gives every solved problem the same weight, and a fixed number of
rollouts favours the easy ones. Here the number wanted depends on the pass rate (as the prop2diff
variant of DART-Math, arXiv 2407.13690, does): a pilot tells about where a problem lies, and its
target follows the posterior mean, verdict by verdict. The prior is learned from the pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from factory.policies import DEFERRED, MOST, Decision, Tally
from factory.scheduling.pool import Census, Pool
from factory.scheduling.prior import Prior

_NOTHING = Pool()
_MOST_BANDS = 100


@dataclass(slots=True, kw_only=True)
class Policy:
    """A number of correct rollouts per band of pass rates, more for the harder ones."""

    bands: tuple[tuple[float, int], ...] = ((0.25, 8), (0.5, 4), (0.75, 2), (1.0, 1))
    """(pass rate up to which, correct rollouts wanted), ascending; the last rate is 1."""
    pilot: int = 4
    """Rollouts before a problem has a band."""
    at_most: int = 64
    """Upper bound on rollouts per problem."""
    give_up: float = 0.02
    """Give up when the chance of one more success within `at_most` is below this; 0: never."""
    prior: tuple[float, float] = (0.5, 0.5)
    """(a, b) of the Beta prior of the pass rate, for what the pool does not tell."""
    _learned: Any = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        rates = [rate for rate, _ in self.bands]
        if not 1 <= len(rates) <= _MOST_BANDS or rates != sorted(set(rates)) or rates[-1] != 1:
            raise ValueError(f"bands must ascend to a pass rate of 1, got {self.bands}")
        if rates[0] <= 0 or any(wanted < 1 for _, wanted in self.bands):
            raise ValueError(f"bands must have rates above 0 and want 1 or more, got {self.bands}")
        most = max(self.pilot, *(wanted for _, wanted in self.bands))
        if self.pilot < 1 or not most <= self.at_most <= MOST:
            raise ValueError(
                f"pilot must be at least 1 and at_most in {most}..{MOST} (the pilot, the most "
                f"traces wanted), got {self.pilot} and {self.at_most}"
            )
        if not 0 <= self.give_up < 1:
            raise ValueError(f"give_up must be in [0, 1), got {self.give_up}")
        if min(self.prior) <= 0:
            raise ValueError(f"prior must be positive, got {self.prior}")

    def decide(self, tally: Tally, pool: Pool = _NOTHING) -> Decision:
        if tally.started < self.pilot:
            return Decision(start=self.pilot - tally.started)
        prior = self._learn(pool.census)
        rate = prior.mean(tally.correct, tally.failed)
        missing = self.target(rate) - tally.found
        ended = tally.started - tally.outstanding
        if missing <= 0 and ended >= self.pilot:
            return Decision(close="enough")
        left = self.at_most - tally.started
        if tally.outstanding:
            return Decision(start=max(0, min(left, missing - tally.outstanding)))
        if left <= 0:
            return Decision(close="spent")
        if prior.chance(tally.correct, tally.failed, left) < self.give_up:
            return Decision(close=DEFERRED, worth=rate / max(1.0, pool.mean_tokens))
        return Decision(start=min(left, missing))

    def target(self, rate: float) -> int:
        """Correct rollouts wanted of a problem with this pass rate."""
        return next(wanted for upper, wanted in self.bands if rate <= upper or upper == 1)

    def _learn(self, census: Census) -> Prior:
        learned: tuple[Census, Prior] | None = self._learned
        if learned is None or learned[0] is not census:
            self._learned = learned = census, Prior.learn(census, *self.prior)
        return learned[1]
