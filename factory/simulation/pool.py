"""Problems with pass rates, rollouts with lengths: drawn, or replayed from a ledger.

What a rollout is depends on seed, problem and index alone, not on when or where it runs. So two
policies, or two clusters, are compared on the same rollouts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from factory.errors import LedgerError
from factory.ledger.unfinished import words
from factory.simulation.wordings import GOLDEN, Wordings, mixed
from factory.traces import Group
from factory.types import Outcome, Rollout, Verdict

_BITS = 16
_TABLE = 1 << _BITS
_MASK = _TABLE - 1
_FINE = 1 << 24
_UNIT = 1 << 64

POOLS = {
    "mid": (0.448, 0.506, 0.0),
    "openr1": (0.5, 0.75, 0.10),
    "hard": (0.5, 1.7, 0.20),
    "uniform": (1.0, 1.0, 0.0),
}
"""Pass rates: (a, b) of a Beta distribution, and the share of problems that are never solved. The
first three have the mean, and about the shares of problems solved within 16 and within 64 rollouts,
of these pools: a mixed one (.47; .84, .90), one like OpenR1-Math's (.36; .77, .84), and one of hard
problems as DART-Math aims at (.18; .54, .64)."""

_LARGE = 0xD1342543DE82EF95

Draw = tuple[int, bool, int | None]
"""Tokens of a rollout, whether it is right, and the number of its wording: right ones of a problem
with the same number are in the same words; None: nothing else is in these."""


def _place(seed: int, number: int) -> int:
    return mixed(mixed(seed * _LARGE) + (number + 1) * GOLDEN)


class Problem(Protocol):
    """A problem as nature knows it."""

    rate: float
    """Its true pass rate."""

    def draw(self, index: int) -> Draw:
        """Its rollout `index`."""


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
    __slots__ = ("_cut", "_pool", "_scale", "_start", "_wordings", "rate")

    def __init__(self, pool: Drawn, number: int) -> None:
        place = _place(pool.seed, number)
        self.rate = pool.rates[place & _MASK]
        self._cut = int(self.rate * _FINE)
        self._scale = pool.scales[(place >> _BITS) & _MASK]
        self._start = place
        self._pool = pool
        self._wordings = Wordings(place, pool.repeats) if pool.repeats else None

    def draw(self, index: int) -> Draw:
        pool = self._pool
        place = mixed(self._start + (index + 1) * GOLDEN)
        right = (place >> _BITS) % _FINE < self._cut
        tokens = self._scale * pool.factors[place & _MASK]
        if not right:
            tokens *= pool.wrong
        if tokens > pool.most:
            return pool.most, False, None
        words = self._wordings.number(mixed(place) / _UNIT) if right and self._wordings else None
        return int(tokens) or 1, right, words


class Drawn:
    """Pass rates from a Beta distribution, lengths from a log-normal one.

    Args:
        rates: (a, b) of a Beta distribution, of rollouts that are not cut at `lengths.most`, and
            the share of problems with a rate of 0 (none).
        prompt_tokens: of every prompt.
        repeats: chance that two right rollouts of a problem are in the same words; next to none
            where they are long and drawn at a temperature of 1, as a teacher's are.
    """

    def __init__(
        self,
        rates: tuple[float, float] | tuple[float, float, float],
        lengths: Lengths,
        *,
        prompt_tokens: int,
        seed: int,
        repeats: float = 0.0,
    ) -> None:
        if not 0 <= repeats <= 1:
            raise ValueError(f"repeats must be a share in [0, 1], got {repeats}")
        a, b, never = (*rates, 0.0)[:3]
        if min(a, b) <= 0:
            raise ValueError(f"both parameters of a Beta distribution are above 0, got {rates}")
        if not 0 <= never <= 1:
            raise ValueError(f"the share of problems never solved is in [0, 1], got {rates}")
        rng = np.random.default_rng(seed)
        between = lengths.sigma * sqrt(lengths.of_problem)
        within = lengths.sigma * sqrt(1 - lengths.of_problem)
        drawn = np.where(rng.random(_TABLE) < never, 0.0, rng.beta(a, b, _TABLE))
        self.rates: list[float] = drawn.tolist()
        scales = lengths.median * np.exp(between * rng.standard_normal(_TABLE))
        self.scales: list[float] = scales.tolist()
        self.factors: list[float] = np.exp(within * rng.standard_normal(_TABLE)).tolist()
        self.repeats = repeats
        self.wrong = lengths.wrong
        self.most = lengths.most
        self.seed = seed
        self.prompt_tokens = prompt_tokens

    def problem(self, number: int) -> Problem:
        return _Drawn(self, number)


class _Recorded:
    """A problem of an earlier run: its rollouts in order, then any of them again."""

    __slots__ = ("_new", "_order", "_rollouts", "_start", "rate")

    def __init__(self, rollouts: list[Draw], number: int, seed: int, *, again: bool) -> None:
        self._rollouts = rollouts
        self._start = start = _place(seed, number)
        self._order = list(range(len(rollouts)))
        if again:
            self._order.sort(key=lambda i: mixed(start ^ (i + 1) * _LARGE))
        wordings = [words for _, right, words in rollouts if right]
        once = sum(count == 1 for count in Counter(wordings).values())
        self._new = once / max(1, len(wordings))
        self.rate = len(wordings) / len(rollouts)

    def draw(self, index: int) -> Draw:
        if index < len(self._order):
            return self._rollouts[self._order[index]]
        place = mixed(self._start + (index + 1) * GOLDEN)
        tokens, right, words = self._rollouts[place % len(self._rollouts)]
        new = mixed(place) / _UNIT < self._new
        return tokens, right, None if new else words


class Recorded:
    """Problems of an earlier run with the rollouts it recorded, again and again.

    A problem's first rollouts are those on record, in their order; where it comes round again, in
    another order. Further ones are drawn from them. A right one of these is in new words with the
    chance that Good and Turing give it: the share of the right ones on record whose words occur
    once (Good, Biometrika 40, 1953). Aborted and unjudged rollouts are left out. So the record of
    a run that stopped at its first success knows little of what else there might have been: for
    a forecast of other policies record one with a fixed number of rollouts.

    Raises:
        LedgerError: no problem has a judged rollout.
    """

    def __init__(self, groups: Iterable[Group], *, seed: int) -> None:
        self._seed = seed
        self._problems: list[list[Draw]] = []
        prompts: list[int] = []
        for group in groups:
            judged = [(r, v) for r, v in group.judged if v is not None and v.outcome.judged]
            if judged:
                prompts += [rollout.completion.prompt_tokens for rollout, _ in judged]
                self._problems.append(drawn(judged))
        if not self._problems:
            raise LedgerError("no problem of the run to be replayed has a judged rollout")
        self.prompt_tokens = round(sum(prompts) / len(prompts))

    def __len__(self) -> int:
        return len(self._problems)

    def problem(self, number: int) -> Problem:
        again, place = divmod(number, len(self._problems))
        return _Recorded(self._problems[place], number, self._seed, again=bool(again))


def drawn(judged: Iterable[tuple[Rollout, Verdict]]) -> list[Draw]:
    """The judged rollouts of one problem; their wordings are told apart as the run does it."""
    known: dict[bytes, int] = {}
    found: list[Draw] = []
    for rollout, verdict in judged:
        right = verdict.outcome is Outcome.CORRECT
        number = known.setdefault(words(rollout), len(known)) if right else None
        found.append((rollout.completion.num_tokens, right, number))
    return found
