"""A budget on the virtual clock: metered as in a run, and kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import cli
from factory.policies import adaptive
from factory.simulation.assumptions import Losses, Scenario, Speed, Supply
from factory.simulation.pool import Drawn, Lengths
from factory.simulation.world import World

CLUSTER = "pipelines/math-cluster.yaml"
SPEED = Speed(alone=10, full=80, sequences=8, start_s=60, prefill=1e12)


def simulated(problems=400, hours=None, losses=0.0, seed=0, gpus=4.0, **budget):
    """Three replicas of 8 places at 80 tokens/s each."""
    scenario = Scenario(
        supply=Supply(problems=problems, hours=hours),
        replicas=3,
        gpus=gpus,
        speed=SPEED,
        losses=Losses(per_hour=losses),
        log_every=16,
        seed=seed,
    )
    policy = adaptive.Policy(accept=4, at_most=8, learn=0, give_up=0, **budget)
    lengths = Lengths(median=100, sigma=0.8, most=1000)
    world = World(scenario, policy, Drawn((0.4, 0.6), lengths, prompt_tokens=0, seed=seed))
    return world, world.run()


def test_no_work_is_opened_once_the_gpu_hours_are_spent():
    _, free = simulated()
    assert "budget" not in free.closed
    assert free.gpu_s == 0, "nobody asked"
    _, held = simulated(gpu_hours=1.0)
    assert held.closed["budget"] > 100
    assert sum(held.closed.values()) == 400
    assert 0.9 * 3600 < held.gpu_s < 1.2 * 3600, "what still ran when it was spent comes to its end"
    assert held.tokens.total < free.tokens.total / 2
    _, more = simulated(gpu_hours=2.0)
    assert held.tokens.total < more.tokens.total < free.tokens.total


@given(seed=st.integers(0, 99), losses=st.sampled_from([0.0, 20.0]), gpus=st.floats(0, 9))
@settings(max_examples=10, deadline=None)
def test_what_counts_is_the_time_for_which_replicas_are_ready(seed, losses, gpus):
    world, figures = simulated(60, losses=losses, seed=seed, gpus=gpus, gpu_hours=1000.0)
    ready = figures.whole.ready / SPEED.sequences * max(1.0, gpus)
    assert figures.gpu_s == pytest.approx(ready, rel=0.02, abs=30 * max(1.0, gpus))
    assert figures.gpu_s <= (world.now - SPEED.start_s) * 3 * max(1.0, gpus) + 1


@pytest.mark.parametrize("budget", [{"budget": 20_000}, {"gpu_hours": 0.2}])
def test_a_source_without_end_ends_with_the_budget(budget):
    world, figures = simulated(problems=None, hours=5.0, **budget)
    assert world.now < 3600
    assert sum(figures.closed.values()) < 2000


def test_simulate_shows_what_was_counted_against_the_budget(capsys):
    given = [
        CLUSTER, "--limit", "300", "--replicas", "2", "--sequences", "16", "--set",
        "policy={name: adaptive, accept: 4, at_most: 8, give_up: 0, learn: 0, gpu_hours: 6}",
    ]  # fmt: skip
    assert cli.main(["simulate", *given]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("budget")]
    assert "of 6 GPU-hours of ready replicas" in line
    assert cli.main(["simulate", *given, "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["budget"]["gpu_hours"] == pytest.approx(6, rel=0.3)
    assert outcome["gpu_hours"] > outcome["budget"]["gpu_hours"], "starting costs, but counts not"
    assert outcome["problems"]["budget"] > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [("branching={after: 4}", "branching"), ("aborts={detectors: [loop]}", "aborts")],
)
def test_what_is_not_simulated_is_said(capsys, change, named):
    given = [CLUSTER, "--limit", "20", "--replicas", "1", "--sequences", "16"]
    assert cli.main(["simulate", *given]) == 0
    assert "reckoned as if" not in capsys.readouterr().err
    assert cli.main(["simulate", *given, "--set", change]) == 0
    assert f"{named} is not simulated: reckoned as if it were off" in capsys.readouterr().err
