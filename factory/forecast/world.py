"""Problems as a pilot lets one guess them, for the simulator to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.scheduling.pool import Census
from factory.scheduling.prior import Prior
from factory.simulation.pool import Problem, mixed
from factory.traces import Group
from factory.types import Outcome

_JEFFREYS = (0.5, 0.5)
_GOLDEN = 0x9E3779B97F4A7C15
_UNIT = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A problem of the pilot."""

    right: tuple[int, ...]
    """Tokens of its correct rollouts."""
    failed: tuple[int, ...]
    """Tokens of the others that were judged."""
    prompt_tokens: int

    @classmethod
    def of(cls, group: Group) -> Sampled | None:
        """None where no rollout was judged."""
        judged = [(r, v) for r, v in group.judged if v is not None and v.outcome.judged]
        if not judged:
            return None
        right = [v.outcome is Outcome.CORRECT for _, v in judged]
        lengths = [rollout.completion.num_tokens for rollout, _ in judged]
        return cls(
            right=tuple(n for n, ok in zip(lengths, right, strict=True) if ok),
            failed=tuple(n for n, ok in zip(lengths, right, strict=True) if not ok),
            prompt_tokens=judged[0][0].completion.prompt_tokens,
        )

    @property
    def tally(self) -> tuple[int, int]:
        return len(self.right), len(self.failed)


def prior(sampled: Sequence[Sampled]) -> Prior:
    """The distribution of pass rates that the pilot's tallies speak for."""
    counts = Counter(problem.tally for problem in sampled)
    tallies = tuple((c, f, n) for (c, f), n in sorted(counts.items()))
    return Prior.learn(Census(tallies=tallies), *_JEFFREYS)


class Guessed:
    """A `factory.simulation.pool.Pool` without end: the pilot's problems over and over.

    Each time a problem comes round, its pass rate is drawn from its posterior and its lengths from
    its own rollouts, right and failed apart; where it has none of a kind, from everybody's.
    """

    def __init__(self, sampled: Sequence[Sampled], *, seed: int) -> None:
        self.prompt_tokens = round(sum(p.prompt_tokens for p in sampled) / len(sampled))
        self._sampled = sampled
        self._seed = seed
        learned = prior(sampled)
        self._rates = learned.rates
        self._chances = {
            tally: np.cumsum(learned.posterior(*tally)) for tally in {p.tally for p in sampled}
        }
        everybody = tuple(n for p in sampled for n in (*p.right, *p.failed))
        self.right = tuple(n for p in sampled for n in p.right) or everybody
        self.failed = tuple(n for p in sampled for n in p.failed) or everybody

    def problem(self, number: int) -> Problem:
        sampled = self._sampled[number % len(self._sampled)]
        place = mixed(mixed(self._seed * _GOLDEN) + (number + 1) * _GOLDEN)
        at = np.searchsorted(self._chances[sampled.tally], (place >> 11) / _UNIT)
        rate = float(self._rates[min(int(at), len(self._rates) - 1)])
        return _Guess(rate, sampled.right or self.right, sampled.failed or self.failed, place)


@dataclass(slots=True)
class _Guess:
    rate: float
    right: tuple[int, ...]
    failed: tuple[int, ...]
    place: int

    def draw(self, index: int) -> tuple[int, bool]:
        place = mixed(self.place + (index + 1) * _GOLDEN)
        right = (place >> 11) / _UNIT < self.rate
        lengths = self.right if right else self.failed
        return lengths[mixed(place) % len(lengths)], right
