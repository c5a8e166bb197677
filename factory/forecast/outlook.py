"""A pilot and policies -> what each would come to, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, stdev
from typing import Any

import numpy as np

from factory import plugins
from factory.crew import meter
from factory.forecast.world import Guessed, Sampled, prior
from factory.policies import BUDGETS, Policy, budgets
from factory.recipe import Plugin, Recipe
from factory.simulation import command
from factory.simulation.assumptions import Judging, Scenario, Speed, Supply
from factory.simulation.world import World

PROBLEMS = 1000
"""Simulated per repetition, at most; a larger set is scaled from these."""
REPEATS = 20
WIDTH = 1.73
"""Standard deviations of the repetitions to either side: Student's t of 90 % for as many."""
BANDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """An estimate with its 90 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Figure:
        return Figure(value=self.value * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What one policy would come to, on all the problems."""

    policy: dict[str, Any]
    solved: Figure
    """Problems with at least one correct rollout."""
    traces: Figure
    """Correct rollouts that repeat no other, up to `traces.max_per_problem` of each problem; what
    near-duplicate and quality filters drop of them is not foreseen."""
    rollouts: Figure
    tokens: Figure
    hours: Figure
    """Of the whole cluster, at the pilot's speed."""
    gpu_hours: Figure
    cost: Figure
    out_of_budget: Figure
    """Problems that end because the policy's budget is spent; 0 where it has none."""


def alternatives(given: Recipe) -> list[Plugin]:
    """The recipe's policy, and two others that ask for as many traces.

    One with a budget is followed by the same without it, which says what the budget leaves undone.
    """
    own = given.policy
    keep = given.traces.max_per_problem
    most = max(16, keep, int(own.options.get("at_most", own.options.get("n", 0))))
    others = (
        _plugin(own.name, **{k: v for k, v in own.options.items() if k not in BUDGETS.values()}),
        _plugin("adaptive", accept=keep, at_most=most),
        _plugin("fixed", n=min(16, most)),
        _plugin("fixed", n=most if most > 16 else 8),
    )
    return list({one.model_dump_json(): one for one in (own, *others)}.values())[:3]


def _plugin(name: str, **options: Any) -> Plugin:
    return Plugin.model_validate({"name": name, **options})


def outlook(
    policy: Plugin,
    given: Recipe,
    sampled: Sequence[Sampled],
    *,
    problems: int,
    tokens_per_s: float,
    gpus: int,
    seed: int = 0,
) -> Outlook:
    """Simulate a policy on the problems that a pilot speaks for.

    Args:
        sampled: the pilot's problems.
        problems: how many there will be.
        tokens_per_s: of the recipe's replicas together.
        gpus: per replica.
    """
    tokens_per_gpu_s = tokens_per_s / (meter.counted(gpus) * given.cluster.replicas)
    built = _in_tokens(policy, tokens_per_gpu_s, min(problems, PROBLEMS) / problems)
    rng = np.random.default_rng(seed)
    runs = []
    for repeat in range(REPEATS):
        again = [sampled[i] for i in rng.integers(len(sampled), size=len(sampled))]
        runs.append(_simulate(built, given, again, problems, seed + repeat))
    solved, traces, rollouts, tokens, out_of_budget = (
        _figure([run[n] for run in runs], most).times(problems)
        for n, most in enumerate((1.0, given.traces.max_per_problem, inf, inf, 1.0))
    )
    hours = tokens.times(1 / tokens_per_s / 3600)
    gpu_hours = hours.times(gpus * given.cluster.replicas)
    return Outlook(
        policy=policy.model_dump(mode="json"),
        solved=solved,
        traces=traces,
        rollouts=rollouts,
        tokens=tokens,
        hours=hours,
        gpu_hours=gpu_hours,
        cost=gpu_hours.times(given.cluster.gpu_hour_price),
        out_of_budget=out_of_budget,
    )


def _in_tokens(policy: Plugin, tokens_per_gpu_s: float, share: float) -> Policy:
    """The policy with its budgets as tokens, and of these what falls to a share of the problems."""
    built: Policy = plugins.build("policy", policy.name, policy.options)
    found = budgets(built)
    if "gpu_hours" in found:
        found["gpu_hours"] *= 3600 * tokens_per_gpu_s
    if not found:
        return built
    options = {"gpu_hours": None, "budget": max(1, round(min(found.values()) * share))}
    known = {name: value for name, value in options.items() if hasattr(built, name)}
    scaled: Policy = plugins.build("policy", policy.name, {**policy.options, **known})
    return scaled


def _speed(policy: Policy, given: Recipe, share: float) -> Speed:
    """How fast it is does not matter here, but that verdicts come while others still run does.

    Where a budget runs out it matters too how much runs at that moment: the share of the places of
    all replicas that falls to the simulated problems.
    """
    if not budgets(policy):
        return Speed(start_s=0.0)
    places = max(1, round(command.places(given) * given.cluster.replicas * share))
    alone = Speed().alone
    return Speed(alone=alone, full=alone * places, sequences=places, start_s=0.0)


def _simulate(
    policy: Policy, given: Recipe, sampled: list[Sampled], problems: int, seed: int
) -> tuple[float, float, float, float, float]:
    """Solved, traces, rollouts, tokens and those out of budget, per problem."""
    keep = given.traces.max_per_problem
    count = min(problems, PROBLEMS)
    scenario = Scenario(
        supply=Supply(problems=count),
        replicas=1,
        speed=_speed(policy, given, count / problems),
        judging=Judging(judges=8),
        keep=keep,
        seed=seed,
    )
    world = World(scenario, policy, Guessed(sampled, seed=seed))
    figures = world.run()
    return (
        sum(band.solved for band in figures.bands) / count,
        figures.kept / count,
        (figures.rollouts + figures.aborted) / count,
        figures.tokens.total / count,
        figures.closed.get("budget", 0) / count,
    )


def _figure(values: list[float], most: float) -> Figure:
    """What the repetitions say, in [0, most]."""
    value, width = fmean(values), WIDTH * stdev(values)
    return Figure(value=value, low=max(0.0, value - width), high=min(most, value + width))


def histogram(sampled: Sequence[Sampled]) -> list[float]:
    """Share of the problems per tenth of the pass rate, as the tallies let one guess it."""
    learned = prior(sampled)
    shares = [0.0] * BANDS
    for rate, weight in zip(learned.rates, learned.weights, strict=True):
        shares[min(int(rate * BANDS), BANDS - 1)] += float(weight)
    return shares
