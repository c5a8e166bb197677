"""How pass rates are spread over a pool, learned from its tallies.

The pass rate of a problem is drawn from an unknown distribution over a grid of rates; each problem
shows `c` correct and `f` failed rollouts, with likelihood p^c (1-p)^f whatever rule stopped it.
The weights of the grid are the nonparametric maximum-likelihood estimate (Kiefer and Wolfowitz
1956; Laird 1978) by expectation maximisation, with one imagined problem of the Beta prior so
that no rate is ruled out by a small pool.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.scheduling.pool import Census

# Rates down to one in thousands: hard problems lie close together at the lower end.
_GRID = np.concatenate(([0.0], np.sin(np.linspace(0, np.pi / 2, 82)[1:-1]) ** 2, [1.0]))
_IMAGINED = 1.0
_ROUNDS = 200


class Prior:
    """A distribution of pass rates.

    Args:
        rates: ascending, in [0, 1].
        weights: of the same length, with sum 1.
    """

    def __init__(self, rates: Any, weights: Any) -> None:
        self.rates = np.asarray(rates, float)
        self.weights = np.asarray(weights, float)
        self._means: dict[tuple[int, int], float] = {}

    @classmethod
    def beta(cls, a: float, b: float) -> Prior:
        """Beta(a, b) on the grid, by the mass around each rate."""
        inner = _GRID[1:-1]
        # The grid is even in the angle, so the mass of a cell is the density times dp/d(angle).
        logs = (a - 0.5) * np.log(inner) + (b - 0.5) * np.log1p(-inner)
        weights = np.concatenate(([0.0], np.exp(logs - logs.max()), [0.0]))
        return cls(_GRID, weights / weights.sum())

    @classmethod
    def learn(cls, census: Census, a: float, b: float, imagined: float = _IMAGINED) -> Prior:
        """Fitted to a pool and so many imagined problems of Beta(a, b)."""
        base = cls.beta(a, b).weights
        base[[0, -1]] = base[[1, -2]]  # never and always are possible too
        base /= base.sum()
        if not census.tallies:
            return cls(_GRID, base)
        correct, failed, counts = np.array(census.tallies, float).T
        likelihood = _likelihood(correct, failed)
        return cls(_GRID, fitted(likelihood, counts, base, imagined))

    def mean(self, correct: int, failed: int) -> float:
        """Expected pass rate of a problem with such a tally."""
        found = self._means.get((correct, failed))
        if found is None:
            post = self.posterior(correct, failed)
            found = self._means[correct, failed] = float(post @ self.rates)
        return found

    def chance(self, correct: int, failed: int, left: int) -> float:
        """Chance of at least one success in `left` further rollouts of such a problem."""
        return float(self.posterior(correct, failed) @ (1 - (1 - self.rates) ** left))

    def posterior(self, correct: int, failed: int) -> Any:
        """Weights of `rates` for a problem with such a tally."""
        with np.errstate(divide="ignore"):
            logs = _log_likelihood(self.rates, correct, failed) + np.log(self.weights)
        post = np.exp(logs - logs.max())
        return post / post.sum()


def fitted(likelihood: Any, counts: Any, base: Any, imagined: float) -> Any:
    """Weights of a grid: the nonparametric maximum-likelihood estimate.

    Args:
        likelihood: a row for each kind of observation over the grid, on any scale.
        counts: how many observations are of each kind.
        base: weights over the grid of the `imagined` observations that are added.
    """
    weights = base
    for _ in range(_ROUNDS):
        post = likelihood * weights
        post *= (counts / post.sum(1))[:, None]
        weights = (post.sum(0) + imagined * base) / (counts.sum() + imagined)
    return weights


def _log_likelihood(rates: Any, correct: Any, failed: Any) -> Any:
    """log p^c (1-p)^f with 0^0 = 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        right = np.where(correct == 0, 0.0, correct * np.log(rates))
        wrong = np.where(failed == 0, 0.0, failed * np.log1p(-rates))
    return right + wrong


def _likelihood(correct: Any, failed: Any) -> Any:
    """One row per tally over the grid, each scaled to a maximum of 1."""
    logs = _log_likelihood(_GRID, correct[:, None], failed[:, None])
    return np.exp(logs - logs.max(1, keepdims=True))
