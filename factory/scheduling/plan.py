"""When to give a problem up: the cheapest rule that keeps the coverage of every difficulty.

Given the prior of a pool, a rule says for each tally (c correct, f failed) whether to go on, up to
`at_most` rollouts. Never giving up covers as many problems as can be. The plan is the cheapest rule
whose coverage stays within `loss` of that *in every tenth of the pool by pass rate*: cost per
accepted trace alone would drop the hard problems first.

It is a constrained Markov decision problem. With a multiplier per constraint it is solved by
dynamic programming backwards over the tallies (Altman, Constrained Markov Decision Processes,
1999, ch. 3). The multipliers are found by subgradient ascent on the dual, in exponentiated form
(Kivinen and Warmuth, Information and Computation 132, 1997): those of hard tenths are larger by
orders of magnitude, and steps that add had not got there in a thousand rounds. Every value of the
dual is a lower bound on the cost of any rule whatever that keeps the coverage: `bound` is the best.

A state (c, f) is reached along many paths, and all rules stop or go on in the same places for
every pass rate p, so the chance of being there is paths(c, f) p^c (1-p)^f; sums over p are taken
once, and what remains are sums over tallies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from factory.scheduling.prior import Prior

Cover = Literal["any", "full"]
BANDS = 10
MOST_STATES = 20_000
"""Upper bound on `accept * at_most`."""
_STEPS = 80
_STEP = 0.5
_SLOWER = 20
_LEAST_LOSS = 0.001
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A rule, and what it does on the pool that it was made for."""

    go: tuple[tuple[bool, ...], ...]
    """By correct and failed rollouts: whether one more is worth its cost."""
    cost: float
    """Expected cost per problem, in mean rollouts."""
    bound: float
    """No rule that keeps the coverage costs less than this, even one that draws lots."""


def make(
    prior: Prior,
    *,
    accept: int,
    at_most: int,
    loss: float = 0.01,
    cover: Cover = "any",
    costs: Any = None,
    steps: int = _STEPS,
) -> Plan:
    """The plan for a pool.

    Args:
        loss: share of a tenth's problems whose coverage may be given up.
        cover: full: a problem is covered by `accept` correct rollouts; any: the share of
            problems with at least one is kept as well.
        costs: mean length of a rollout at each rate of the prior, in any unit; None: all alike.
        steps: of the search; more of them bring `cost` and `bound` closer together.
    """
    world = _World(prior, accept, at_most, cover, costs)
    never_stop = np.ones((at_most, accept), bool)
    cost, best_cover = world.play(never_stop)
    target = best_cover - loss / BANDS
    best, bound = (cost, never_stop), 0.0
    price = np.full(target.shape, 20.0)
    for step in range(steps):
        value, go = world.solve(price)
        bound = max(bound, value + float((price * target).sum()))
        cost, covered = world.play(go)
        if cost < best[0] and (covered >= target - _SLACK).all():
            best = cost, go
        price = raised(price, step, target - covered, loss)
    best = min(best, *_feasible(world, price, target), key=lambda rule: rule[0])
    rule = tuple(tuple(bool(best[1][c + f, c]) for f in range(at_most - c)) for c in range(accept))
    return Plan(go=rule, cost=best[0], bound=min(bound, best[0]))


def raised(price: Any, step: int, missing: Any, loss: float) -> Any:
    """The next prices: up where coverage is missing, down where there is more than is asked for.

    Args:
        missing: coverage (level, band), below zero where there is too much.
    """
    short = missing / (max(loss, _LEAST_LOSS) / BANDS)
    change = np.clip(_STEP / (1 + step / _SLOWER) * short, -1, 1)
    return np.clip(price * np.exp(change), 1e-2, 1e6)


def _feasible(world: _World, price: Any, target: Any) -> list[tuple[float, Any]]:
    """Rules that keep the coverage, by raising the last prices as little as it takes."""
    found = []
    low, high = 0.5, 16.0
    for _ in range(12):
        middle = (low * high) ** 0.5
        _, go = world.solve(price * middle)
        cost, covered = world.play(go)
        if (covered >= target - _SLACK).all():
            found.append((cost, go))
            high = middle
        else:
            low = middle
    return found or [(float("inf"), None)]


def tenths(prior: Prior) -> Any:
    """Weight of each rate in each tenth of the pool, hardest first: shape (10, rates)."""
    edges = np.linspace(0, 1, BANDS + 1)
    above = np.cumsum(prior.weights)
    below = above - prior.weights
    inside = np.minimum(above, edges[1:, None]) - np.maximum(below, edges[:-1, None])
    return np.clip(inside, 0, None)


class _World:
    """Sums over the prior, by tally: they are all that a rule's cost and coverage depend on.

    Arrays are laid out by (rollouts so far, correct ones), so that a step is a row.
    """

    def __init__(self, prior: Prior, accept: int, at_most: int, cover: Cover, costs: Any) -> None:
        p, weights = prior.rates, prior.weights
        each = np.ones(len(p)) if costs is None else np.asarray(costs) / float(weights @ costs)
        done, c = np.arange(at_most)[:, None, None], np.arange(accept)[None, :, None]
        failed = np.maximum(done - c, 0)
        chance = np.where(c <= done, p**c * (1 - p) ** failed, 0.0)
        self._cost = chance @ (weights * each)
        self._levels = (accept,) if cover == "full" or accept == 1 else (1, accept)
        # What the step to each level adds to the coverage: (rollouts before it, band).
        band = tenths(prior) * p
        self._gain = [chance[:, level - 1] @ band.T for level in self._levels]
        self._accept, self._at_most = accept, at_most

    def solve(self, price: Any) -> tuple[float, Any]:
        """The best rule when covered problems bring `price` (level, band), and its net cost."""
        on = self._cost.copy()
        for level, gain, prices in zip(self._levels, self._gain, price, strict=True):
            on[:, level - 1] -= gain @ prices
        value = np.zeros(self._accept + 1)
        for row in on[::-1]:
            row += value[1:] + value[:-1]
            np.minimum(row, 0, out=value[:-1])
        return float(value[0]), on < 0

    def play(self, go: Any) -> tuple[float, Any]:
        """Expected cost and coverage (level, band) of a rule."""
        paths = np.zeros(self._accept + 1)
        paths[0] = 1
        moved = np.zeros(go.shape)
        for row, rule in zip(moved, go, strict=True):
            np.multiply(paths[:-1], rule, out=row)
            paths[0] = 0
            paths[1:] = row
            paths[:-1] += row
        covered = [
            moved[:, level - 1] @ gain for level, gain in zip(self._levels, self._gain, strict=True)
        ]
        return float((moved * self._cost).sum()), np.array(covered)
