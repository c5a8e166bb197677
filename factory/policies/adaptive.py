"""Stop at enough accepted rollouts, give up where going on is not worth it.

Until the pool is known, a pass rate has a Beta(a, b) prior: after c correct and f failed rollouts
it is Beta(a + c, b + f), and a problem is given up when the chance of even one more success within
its m rollouts left has fallen below `give_up`; that chance has a closed form (beta-binomial):

    1 - B(a', b' + m) / B(a', b')        a' = a + c,  b' = b + f

Once `learn` problems have been sampled to their end, the prior is fitted to the pool
(`factory.scheduling.prior`) and the rule is the cheapest one that keeps the coverage of every tenth
of the pool by difficulty within `loss` of never giving up (`factory.scheduling.plan`).

No more rollouts are in flight than accepted ones are missing (`haste` 0), so none is ever begun in
vain; with many problems open that costs no time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, exp, lgamma
from typing import Any

from factory.policies import DEFERRED, MOST, WAIT, Decision, Tally
from factory.scheduling import plan
from factory.scheduling.plan import Cover
from factory.scheduling.pool import Census, Pool
from factory.scheduling.prior import Prior

_NOTHING = Pool()
_DOUBT = 200
"""A prior learned from so many problems is allowed half the loss."""


@dataclass(slots=True, kw_only=True)
class _Learned:
    """What follows from one census."""

    census: Census
    prior: Prior
    go: tuple[tuple[bool, ...], ...] | None
    """None: the pool is not known yet."""


@dataclass(slots=True, kw_only=True)
class Policy:
    """Stop at `accept` correct rollouts, at most `at_most`, give up when it is not worth it."""

    accept: int = 4
    """Correct rollouts wanted per problem."""
    at_most: int = 32
    """Upper bound on rollouts per problem."""
    give_up: float = 0.02
    """Before the pool is known: give up when the chance of one more success within `at_most` is
    below this; 0: never."""
    prior: tuple[float, float] = (0.5, 0.5)
    """(a, b) of the Beta prior of the pass rate; the default is Jeffreys'."""
    learn: int = 100
    """Problems sampled to their end after which the pool's own prior is used; 0: never."""
    loss: float = 0.0075
    """Share of the problems of any tenth by difficulty whose coverage may be given up, in
    expectation and by what was learned of the pool; so less than a point, to stay within one."""
    cover: Cover = "any"
    """What coverage is. full: the share of problems with `accept` correct rollouts. any: also the
    share with at least one, so that hard problems keep their few traces; it costs more."""
    haste: float = 0.0
    """0: only as many rollouts in flight as are missing; 1: as many as should bring those."""
    budget: int | None = None
    """Tokens for the whole run; what is left at the end goes to the deferred problems, the highest
    chance per token first. Null: no limit, and deferred problems stay so."""
    gpu_hours: float | None = None
    """The same in GPU-hours: GPUs of a replica (one, where it has none) times the time from its
    being ready to its end, over all commands on the run. Both may be given."""
    _learned: Any = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.accept <= self.at_most:
            raise ValueError(f"accept must be in 1..at_most ({self.at_most}), got {self.accept}")
        if self.at_most > MOST:
            raise ValueError(f"at_most must be at most {MOST}, got {self.at_most}")
        if not 0 <= self.give_up < 1:
            raise ValueError(f"give_up must be in [0, 1), got {self.give_up}")
        if min(self.prior) <= 0:
            raise ValueError(f"prior must be positive, got {self.prior}")
        if self.learn < 0:
            raise ValueError(f"learn must be at least 0, got {self.learn}")
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss must be in [0, 1), got {self.loss}")
        if not 0 <= self.haste <= 1:
            raise ValueError(f"haste must be in [0, 1], got {self.haste}")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget must be at least 1 token, got {self.budget}")
        if self.gpu_hours is not None and not self.gpu_hours > 0:
            raise ValueError(f"gpu_hours must be above 0, got {self.gpu_hours}")
        if self.learn and self.accept * self.at_most > plan.MOST_STATES:
            raise ValueError(
                f"accept * at_most must be at most {plan.MOST_STATES} to plan with the pool's "
                f"prior, got {self.accept * self.at_most}; or learn: 0"
            )

    def decide(self, tally: Tally, pool: Pool = _NOTHING) -> Decision:
        if tally.found >= self.accept:
            return Decision(close="enough")
        learned = self._learn(pool.census)
        spent = self.spent(pool)
        if not spent and (start := self._start(tally, learned, pool)):
            return Decision(start=start)
        if tally.outstanding:
            return WAIT
        if tally.started >= self.at_most:
            return Decision(close="spent")
        if spent and (pool.closing or not pool.running):
            return Decision(close="budget")
        worth = learned.prior.mean(tally.correct, tally.failed)
        return Decision(
            close=DEFERRED, worth=worth / max(1.0, tally.mean_tokens or pool.mean_tokens)
        )

    def _start(self, tally: Tally, learned: _Learned, pool: Pool) -> int:
        """How many to begin: each must be worth it even if all that are out should fail."""
        most = min(self.at_most - tally.started, self._wanted(tally, learned))
        revived = pool.closing and (self.budget is not None or self.gpu_hours is not None)
        start = 0
        while start < most and (revived or self._worth_it(tally, learned, start)):
            start += 1
        return start

    def _wanted(self, tally: Tally, learned: _Learned) -> int:
        missing = self.accept - tally.found
        if self.haste:
            rate = learned.prior.mean(tally.correct, tally.failed)
            if learned.go is None:
                a, b = self.prior
                rate = (a + tally.correct) / (a + b + tally.correct + tally.failed)
            most = min(missing / max(rate, 1e-9), self.at_most)
            missing += ceil(self.haste * max(0.0, most - missing))
        return missing - tally.outstanding

    def _worth_it(self, tally: Tally, learned: _Learned, ahead: int) -> bool:
        failed = tally.missed + tally.outstanding + ahead
        if learned.go is not None:
            rule = learned.go[tally.found]
            return failed < len(rule) and rule[failed]
        if tally.found:
            return True
        left = self.at_most - tally.started
        return self.chance(tally, left) >= self.give_up

    def spent(self, pool: Pool) -> bool:
        """Whether a budget is used up, with what still runs."""
        if self.budget is not None and pool.tokens_ahead >= self.budget:
            return True
        return self.gpu_hours is not None and pool.gpu_s_ahead >= 3600 * self.gpu_hours

    def _learn(self, census: Census) -> _Learned:
        learned: _Learned | None = self._learned
        if learned is None or learned.census is not census:
            prior, go = Prior.beta(*self.prior), None
            known = self._known(census)
            if self.learn and known >= self.learn:
                prior = Prior.learn(census, *self.prior)
                go = plan.make(
                    prior,
                    accept=self.accept,
                    at_most=self.at_most,
                    loss=self.loss * known / (known + _DOUBT),
                    cover=self.cover,
                    costs=prior.rates * max(1.0, census.right_tokens)
                    + (1 - prior.rates) * max(1.0, census.failed_tokens),
                ).go
            self._learned = learned = _Learned(census=census, prior=prior, go=go)
        return learned

    def _known(self, census: Census) -> int:
        """Problems that were sampled to their end."""
        ended = (n for c, f, n in census.tallies if c >= self.accept or c + f >= self.at_most)
        return sum(ended)

    def chance(self, tally: Tally, left: int) -> float:
        """Chance of at least one success in `left` further rollouts, by the Beta prior."""
        a = self.prior[0] + tally.correct
        b = self.prior[1] + tally.failed
        log_none = lgamma(b + left) - lgamma(b) - lgamma(a + b + left) + lgamma(a + b)
        return 1 - exp(log_none)
