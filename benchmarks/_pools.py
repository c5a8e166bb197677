"""What benchmarks.tokens plays: pools of problems, the real foreman at work on them, and bounds.

A pool holds, per problem, outcomes drawn in advance: rollout i of a problem is correct or not, and
has a length, whoever asks for it. So all policies meet the same luck, and what differs between
them is what they asked for.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.scheduling import events as ev
from factory.scheduling import plan
from factory.scheduling.foreman import Foreman
from factory.scheduling.prior import Prior
from factory.simulation.pool import POOLS
from factory.types import Outcome, RolloutKey

SHAPES = {"uniform": POOLS["uniform"], "OpenR1-like": POOLS["openr1"], "DART hard": POOLS["hard"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A pool with its luck."""

    rates: Any
    """Pass rate per problem."""
    right: Any
    """(problem, rollout): whether it is correct."""
    tokens: Any
    """(problem, rollout): its length."""
    words: Any = None
    """(problem, rollout): a number for its text, or None where no two are alike."""

    def spread(self, cells: int = 400) -> tuple[Prior, Any]:
        """How the pass rates are spread, and the mean length of a rollout at each rate."""
        lengths = self.tokens.mean(1)
        order = np.argsort(self.rates, kind="stable")
        parts = np.array_split(order, min(cells, len(order)))
        rates = np.array([self.rates[part].mean() for part in parts])
        weights = np.array([len(part) for part in parts]) / len(order)
        return Prior(rates, weights), np.array([lengths[part].mean() for part in parts])


def draw(shape: str, problems: int, most: int, seed: int, luck: int = 0) -> Drawn:
    """A pool of a published shape; hard problems have longer rollouts, wrong ones longer still.

    Args:
        seed: of the pass rates.
        luck: of the rollouts.
    """
    rng = np.random.default_rng(seed)
    a, b, never = SHAPES[shape]
    rates = np.where(rng.random(problems) < never, 0.0, rng.beta(a, b, problems))
    rng = np.random.default_rng((seed, luck))
    right = rng.random((problems, most)) < rates[:, None]
    mean = 3000 * (1.5 - rates[:, None]) * np.where(right, 1.0, 1.3)
    tokens = np.maximum(1, mean * rng.lognormal(-0.18, 0.6, (problems, most))).astype(int)
    return Drawn(rates=rates, right=right, tokens=tokens)


def shuffled(pool: Drawn, seed: int, *, distinct: bool) -> Drawn:
    """The same problems in another order, the rollouts of each in another order.

    Args:
        distinct: a correct rollout counts where it is the first with its text.
    """
    rng = np.random.default_rng(seed)
    problems = rng.permutation(len(pool.rates))
    order = rng.permuted(np.tile(np.arange(pool.right.shape[1]), (len(problems), 1)), axis=1)
    right = np.take_along_axis(pool.right[problems], order, 1)
    words = np.take_along_axis(pool.words[problems], order, 1)
    for row, texts in zip(right, words, strict=True) if distinct else ():
        _, first = np.unique(np.where(row, texts, -1), return_index=True)
        new = np.zeros(len(row), bool)
        new[first] = True
        row &= new
    tokens = np.take_along_axis(pool.tokens[problems], order, 1)
    return Drawn(rates=pool.rates[problems], right=right, tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """What a way of sampling brought, per problem."""

    correct: Any
    tokens: Any

    def coverage(self, order: Any, wanted: int) -> Any:
        """Share of problems with `wanted` correct rollouts in each tenth by pass rate."""
        return np.array([(self.correct[t] >= wanted).mean() for t in np.array_split(order, 10)])


def fixed(pool: Drawn, n: int) -> Yield:
    return Yield(correct=pool.right[:, :n].sum(1), tokens=pool.tokens[:, :n].sum(1))


def stop_at(pool: Drawn, k: int, n: int) -> Yield:
    """One after the other until k are correct, n at most."""
    before = np.cumsum(pool.right[:, :n], 1) - pool.right[:, :n]
    run = before < k
    return Yield(correct=(pool.right[:, :n] & run).sum(1), tokens=(pool.tokens[:, :n] * run).sum(1))


class World:
    """Carries out what a foreman asks for: slots that write a token a tick, verdicts at once."""

    def __init__(self, pool: Drawn, policy: Any, slots: int) -> None:
        self._pool = pool
        self._foreman = Foreman(policy)
        self._now = 0
        self._ends: list[tuple[int, RolloutKey]] = []
        self._began: dict[RolloutKey, int] = {}
        self._admitted = 0
        self._wanted = 0
        self._slots = slots
        self.correct = np.zeros(len(pool.rates), int)
        self.tokens = np.zeros(len(pool.rates), int)

    def play(self) -> Yield:
        """Until nothing is left."""
        self._handle(ev.ReplicaReady("r", self._slots))
        while not self._foreman.done:
            self._admit()
            if not self._ends:
                continue
            self._now, key = heapq.heappop(self._ends)
            if key in self._began:
                self._finish(key)
        return Yield(correct=self.correct, tokens=self.tokens)

    def _handle(self, *events: ev.Event) -> None:
        for action in self._foreman.handle(*events):
            match action:
                case ev.Generate(_, key, _):
                    self._began[key] = self._now
                    length = int(self._pool.tokens[int(key.problem_id), key.index])
                    heapq.heappush(self._ends, (self._now + length, key))
                case ev.Abort(_, key):
                    written = self._now - self._began.pop(key)
                    self.tokens[int(key.problem_id)] += written
                    self._handle(ev.Finished(key, aborted=True, num_tokens=written))
                case ev.Admit(count):
                    self._wanted += count

    def _admit(self) -> None:
        while self._wanted and self._admitted < len(self._pool.rates):
            self._wanted -= 1
            self._handle(ev.Admitted(str(self._admitted)))
            self._admitted += 1
        if self._admitted == len(self._pool.rates) and not self._foreman.source_ended:
            self._handle(ev.SourceEnded())

    def _finish(self, key: RolloutKey) -> None:
        del self._began[key]
        problem = int(key.problem_id)
        length = int(self._pool.tokens[problem, key.index])
        right = bool(self._pool.right[problem, key.index])
        self.tokens[problem] += length
        self.correct[problem] += right
        self._handle(ev.Finished(key, num_tokens=length))
        self._handle(ev.Judged(key, Outcome.CORRECT if right else Outcome.INCORRECT))


def clairvoyant(
    prior: Prior,
    costs: Any,
    *,
    accept: int,
    at_most: int,
    loss: float,
    cover: plan.Cover,
    steps: int = 300,
) -> float:
    """Cost per problem, in mean rollouts, that none can beat even if told every pass rate.

    The dual bound of `factory.scheduling.plan`, with a rule of its own for each pass rate.
    """
    p = prior.rates
    each = costs / float(prior.weights @ costs)
    tenths = plan.tenths(prior)
    share = tenths / np.maximum(prior.weights, 1e-300)
    levels = [accept] if cover == "full" or accept == 1 else [1, accept]
    target = np.array([tenths @ _reach(p, level, at_most) for level in levels])
    target = target - loss / plan.BANDS
    price, bound = np.full(target.shape, 20.0), 0.0
    for step in range(steps):
        gain = {level: row @ share for level, row in zip(levels, price, strict=True)}
        value, reached = _alone(p, each, accept, at_most, gain)
        bound = max(bound, float(prior.weights @ value) + float((price * target).sum()))
        covered = np.array([tenths @ reached[level] for level in levels])
        price = plan.raised(price, step, target - covered, loss)
    return bound


def _reach(p: Any, k: int, n: int) -> Any:
    """P(Binomial(n, p) >= k)."""
    state = np.zeros((k + 1, len(p)))
    state[0] = 1
    for _ in range(n):
        moved = state[:k] * p
        state[:k] -= moved
        state[1:] += moved
    return state[k]


def _alone(p: Any, each: Any, k: int, n: int, gain: dict[int, Any]) -> tuple[Any, dict[int, Any]]:
    """The best rule for each known rate: net cost, and the chance of reaching each level."""
    value = np.zeros((k + 1, len(p)))
    reached = {level: np.zeros((k + 1, len(p))) for level in gain}
    for level in gain:
        reached[level][level:] = 1
    bonus = np.zeros((k, len(p)))
    for level, worth in gain.items():
        bonus[level - 1] = worth
    for _ in range(n):
        on = each + p * (value[1:] - bonus) + (1 - p) * value[:-1]
        go = on < 0
        value[:-1] = np.where(go, on, 0)
        for level, chance in reached.items():
            step = p * chance[1:] + (1 - p) * chance[:-1]
            stop = (np.arange(k) >= level).astype(float)[:, None]
            chance[:-1] = np.where(go, step, stop)
    return value[0], {level: chance[0] for level, chance in reached.items()}
