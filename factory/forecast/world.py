"""Problems as a pilot lets one guess them, for the simulator to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.forecast import spread
from factory.forecast.repeats import CHANCES, Repeats
from factory.scheduling.prior import Prior
from factory.simulation.pool import Draw, Problem, drawn
from factory.simulation.wordings import GOLDEN, Wordings, mixed
from factory.traces import Group

_UNIT = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A problem of the pilot."""

    right: tuple[int, ...]
    """Tokens of its correct rollouts."""
    failed: tuple[int, ...]
    """Tokens of the others that were judged."""
    wordings: int
    """Different ones among the correct rollouts: the run's policy counts no other as a trace."""
    prompt_tokens: int

    @classmethod
    def of(cls, group: Group) -> Sampled | None:
        """None where no rollout was judged."""
        judged = [(r, v) for r, v in group.judged if v is not None and v.outcome.judged]
        if not judged:
            return None
        return cls.drawn(drawn(judged), judged[0][0].completion.prompt_tokens)

    @classmethod
    def drawn(cls, rollouts: Sequence[Draw], prompt_tokens: int) -> Sampled:
        """Of rollouts as a pool has them."""
        said = [wording for _, right, wording in rollouts if right]
        return cls(
            right=tuple(tokens for tokens, right, _ in rollouts if right),
            failed=tuple(tokens for tokens, right, _ in rollouts if not right),
            wordings=len({*said} - {None}) + said.count(None),
            prompt_tokens=prompt_tokens,
        )

    @property
    def tally(self) -> tuple[int, int]:
        return len(self.right), len(self.failed)

    @property
    def said(self) -> tuple[int, int]:
        """Correct rollouts, and different wordings among them."""
        return len(self.right), self.wordings


def prior(sampled: Sequence[Sampled]) -> Prior:
    """The distribution of pass rates that the pilot's tallies speak for."""
    return spread.learn(problem.tally for problem in sampled)


class Guessed:
    """A `factory.simulation.pool.Pool` without end: the pilot's problems over and over.

    Each time a problem comes round, its pass rate and its chance of repeats are drawn from their
    posteriors, and its lengths from its own rollouts, right and failed apart; where it has none of
    a kind, from everybody's.
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
        repeats = Repeats(p.said for p in sampled)
        self._repeats = {
            said: np.cumsum(repeats.posterior(*said)) for said in {p.said for p in sampled}
        }
        everybody = tuple(n for p in sampled for n in (*p.right, *p.failed))
        self.right = tuple(n for p in sampled for n in p.right) or everybody
        self.failed = tuple(n for p in sampled for n in p.failed) or everybody

    def problem(self, number: int) -> Problem:
        sampled = self._sampled[number % len(self._sampled)]
        place = mixed(mixed(self._seed * GOLDEN) + (number + 1) * GOLDEN)
        rate = float(_picked(self._rates, self._chances[sampled.tally], place))
        repeats = float(_picked(CHANCES, self._repeats[sampled.said], mixed(~place)))
        return _Guess(
            rate=rate,
            right=sampled.right or self.right,
            failed=sampled.failed or self.failed,
            place=place,
            wordings=Wordings(place, repeats),
        )


def _picked(values: Any, chances: Any, place: int) -> Any:
    """One of the values, by their cumulative chances and 64 random bits."""
    at = np.searchsorted(chances, (place >> 11) / _UNIT)
    return values[min(int(at), len(values) - 1)]


@dataclass(slots=True, kw_only=True)
class _Guess:
    rate: float
    right: tuple[int, ...]
    failed: tuple[int, ...]
    place: int
    wordings: Wordings

    def draw(self, index: int) -> Draw:
        place = mixed(self.place + (index + 1) * GOLDEN)
        right = (place >> 11) / _UNIT < self.rate
        lengths = self.right if right else self.failed
        again = mixed(place)
        wording = self.wordings.number((mixed(again) >> 11) / _UNIT) if right else None
        return lengths[again % len(lengths)], right, wording
