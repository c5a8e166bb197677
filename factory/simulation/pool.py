"""Problems with pass rates, rollouts with lengths: drawn, or replayed from a ledger.

What a rollout is depends on seed, problem and index alone, not on when or where it runs. So two
policies, or two clusters, are compared on the same rollouts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol

import numpy as np

from factory.errors import LedgerError
from factory.traces import Group
from factory.types import Outcome

_BITS = 16
_TABLE = 1 << _BITS
_MASK = _TABLE - 1
_FINE = 1 << 24

POOLS = {
    "mid": (0.448, 0.506),
    "openr1": (0.390, 0.694),
    "hard": (0.238, 1.083),
    "uniform": (1.0, 1.0),
}
"""Beta distributions of pass rates. The first three have the mean, and as nearly as two parameters
allow the shares of problems solved within 16 and within 64 rollouts, of these pools: a mixed one
(.47; .84, .90), one like OpenR1-Math's (.36; .77, .84), and one of hard problems as DART-Math aims
at (.18; .54, .64)."""


_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_LARGE = 0xD1342543DE82EF95


def mixed(word: int) -> int:
    """64 bits in which every bit depends on every bit of `word`.

    SplitMix64's output function (Steele, Lea, Flood 2014): a stream of it over equal steps of the
    golden ratio passes as random, which Python's own hash of small numbers does not.
    """
    word &= _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)


def _place(seed: int, number: int) -> int:
    return mixed(mixed(seed * _LARGE) + (number + 1) * _GOLDEN)


class Problem(Protocol):
    """A problem as nature knows it."""

    rate: float
    """Its true pass rate."""

    def draw(self, index: int) -> tuple[int, bool]:
        """Tokens of its rollout `index`, and whether that is right."""


class Pool(Protocol):
    """All problems there are, by number."""

    prompt_tokens: int

    def problem(self, number: int) -> Problem: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Log-normal lengths in tokens."""

    median: float = 2048.0
    sigma: float = 1.0
    """Of the logarithm, over all rollouts of all problems."""
    of_problem: float = 0.5
    """Share of the logarithm's variance that lies between problems (assumed)."""
    wrong: float = 1.0
    """Wrong rollouts are so many times longer."""
    most: int = 16_384
    """A longer one is cut there, and its answer missing."""

    def __post_init__(self) -> None:
        if not (self.median > 0 and self.wrong > 0 and self.most >= 1):
            raise ValueError("median, wrong and most must be above 0")
        if self.sigma < 0 or not 0 <= self.of_problem <= 1:
            raise ValueError("sigma must be at least 0 and of_problem in [0, 1]")


class _Drawn:
    __slots__ = ("_cut", "_pool", "_scale", "_start", "rate")

    def __init__(self, pool: Drawn, number: int) -> None:
        place = _place(pool.seed, number)
        self.rate = pool.rates[place & _MASK]
        self._cut = int(self.rate * _FINE)
        self._scale = pool.scales[(place >> _BITS) & _MASK]
        self._start = place
        self._pool = pool

    def draw(self, index: int) -> tuple[int, bool]:
        pool = self._pool
        place = mixed(self._start + (index + 1) * _GOLDEN)
        right = (place >> _BITS) % _FINE < self._cut
        tokens = self._scale * pool.factors[place & _MASK]
        if not right:
            tokens *= pool.wrong
        if tokens > pool.most:
            return pool.most, False
        return int(tokens) or 1, right


class Drawn:
    """Pass rates from a Beta distribution, lengths from a log-normal one.

    Args:
        rates: (a, b) of the Beta distribution, of rollouts that are not cut at `lengths.most`.
        prompt_tokens: of every prompt.
    """

    def __init__(
        self, rates: tuple[float, float], lengths: Lengths, *, prompt_tokens: int, seed: int
    ) -> None:
        if min(rates) <= 0:
            raise ValueError(f"both parameters of a Beta distribution are above 0, got {rates}")
        rng = np.random.default_rng(seed)
        between = lengths.sigma * sqrt(lengths.of_problem)
        within = lengths.sigma * sqrt(1 - lengths.of_problem)
        self.rates: list[float] = rng.beta(*rates, _TABLE).tolist()
        scales = lengths.median * np.exp(between * rng.standard_normal(_TABLE))
        self.scales: list[float] = scales.tolist()
        self.factors: list[float] = np.exp(within * rng.standard_normal(_TABLE)).tolist()
        self.wrong = lengths.wrong
        self.most = lengths.most
        self.seed = seed
        self.prompt_tokens = prompt_tokens

    def problem(self, number: int) -> Problem:
        return _Drawn(self, number)


@dataclass(slots=True)
class _Recorded:
    """A problem of an earlier run: its rollouts in order, then any of them again."""

    rollouts: list[tuple[int, bool]]
    number: int
    seed: int
    again: bool
    rate: float = field(init=False)

    def __post_init__(self) -> None:
        self.rate = sum(right for _, right in self.rollouts) / len(self.rollouts)

    def draw(self, index: int) -> tuple[int, bool]:
        if index < len(self.rollouts) and not self.again:
            return self.rollouts[index]
        place = mixed(_place(self.seed, self.number) + (index + 1) * _GOLDEN)
        return self.rollouts[place % len(self.rollouts)]


class Recorded:
    """Problems of an earlier run with the rollouts it recorded, again and again in their order.

    A problem's first rollouts are those on record; further ones, and those of a problem that comes
    round again, are drawn from them. Aborted and unjudged rollouts are left out. So the record of
    a run that stopped at its first success knows little of what else there might have been: for
    a forecast of other policies record one with a fixed number of rollouts.

    Raises:
        LedgerError: no problem has a judged rollout.
    """

    def __init__(self, groups: Iterable[Group], *, seed: int) -> None:
        self._seed = seed
        self._problems: list[list[tuple[int, bool]]] = []
        prompts: list[int] = []
        for group in groups:
            judged = [(r, v) for r, v in group.judged if v is not None and v.outcome.judged]
            if judged:
                prompts += [rollout.completion.prompt_tokens for rollout, _ in judged]
                self._problems.append(
                    [(r.completion.num_tokens, v.outcome is Outcome.CORRECT) for r, v in judged]
                )
        if not self._problems:
            raise LedgerError("no problem of the run to be replayed has a judged rollout")
        self.prompt_tokens = round(sum(prompts) / len(prompts))

    def __len__(self) -> int:
        return len(self._problems)

    def problem(self, number: int) -> Problem:
        again, place = divmod(number, len(self._problems))
        return _Recorded(self._problems[place], number, self._seed, bool(again))
