"""How often right rollouts of a problem repeat each other, learned from a pilot.

The chance that two right rollouts are in the same words differs from problem to problem. Of r right
ones in k different wordings, k tells all about it: with concentration t = 1 / chance - 1 the
likelihood is t^k gamma(t) / gamma(t + r) (Ewens 1972, Theor. Popul. Biol. 3; the model is that of
`factory.simulation.wordings`). How the chances are spread over the problems is the nonparametric
maximum-likelihood estimate over a grid, as for the pass rates (`factory.scheduling.prior`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf, lgamma, log
from typing import Any

import numpy as np

from factory.scheduling.prior import fitted

CHANCES = (0.0, *np.geomspace(0.002, 0.5, 20).tolist(), *np.linspace(0.55, 0.95, 9).tolist(), 1.0)
_IMAGINED = 0.5


class Repeats:
    """The chances of a pool.

    Args:
        tallies: right rollouts, and different wordings among them, of each problem.
    """

    def __init__(self, tallies: Iterable[tuple[int, int]]) -> None:
        counts = Counter(tallies)
        likelihood = np.array([_likelihood(r, k) for r, k in counts])
        number = np.array(list(counts.values()), float)
        base = np.full(len(CHANCES), 1 / len(CHANCES))
        self.weights = fitted(likelihood, number, base, _IMAGINED)

    def posterior(self, right: int, wordings: int) -> Any:
        """Weights of `CHANCES` for a problem with such a tally."""
        post = _likelihood(right, wordings) * self.weights
        return post / post.sum()


def _likelihood(right: int, wordings: int) -> Any:
    """Over the grid, scaled to a maximum of 1."""
    logs = np.array([_log_likelihood(right, wordings, chance) for chance in CHANCES])
    return np.exp(logs - logs.max())


def _log_likelihood(right: int, wordings: int, chance: float) -> float:
    if right < 2:
        return 0.0
    if chance == 0:
        return 0.0 if wordings == right else -inf
    if chance == 1:
        return -lgamma(right) if wordings == 1 else -inf
    t = 1 / chance - 1
    return wordings * log(t) + lgamma(t) - lgamma(t + right)
