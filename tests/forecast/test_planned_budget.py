"""What a budget buys, foretold."""

from __future__ import annotations

import json

import pytest

from factory.cli import main
from factory.forecast import beside, outlook
from factory.forecast.outlook import Outlook, alternatives
from factory.forecast.pilot import pilot
from factory.forecast.world import Sampled
from factory.ledger import scan
from factory.policies import adaptive
from factory.recipe import Plugin
from factory.simulation.assumptions import Judging, Scenario, Speed, Supply
from factory.simulation.pool import Drawn, Lengths
from factory.simulation.world import World
from factory.types import Rollout

OPTIONS = {"accept": 4, "at_most": 16, "learn": 0, "give_up": 0}
POOL = Drawn((0.5, 0.75), Lengths(median=200, sigma=0.5), prompt_tokens=20, seed=0)
SAMPLED = [Sampled.drawn([POOL.problem(n).draw(i) for i in range(8)], 20) for n in range(200)]


def foreseen(sums, problems, *, tokens_per_s=1000.0, gpus=4, replicas=1, **more) -> Outlook:
    policy = Plugin.model_validate({"name": "adaptive", **OPTIONS, **more})
    given = sums.recipe(f"cluster.replicas={replicas}", "engine.slots=32")
    return outlook.outlook(
        policy, given, SAMPLED, problems=problems, tokens_per_s=tokens_per_s, gpus=gpus
    )


def test_a_budget_is_spent_and_no_more(sums, monkeypatch):
    monkeypatch.setattr(outlook, "REPEATS", 2)
    free = foreseen(sums, 500)
    assert free.out_of_budget.high == 0
    half = foreseen(sums, 500, budget=round(free.tokens.value / 2))
    assert half.tokens.value == pytest.approx(free.tokens.value / 2, rel=0.1)
    assert half.out_of_budget.low > 0
    assert half.traces.value < free.traces.value


def test_gpu_hours_are_those_of_ready_replicas_at_the_speed_of_the_pilot(sums, monkeypatch):
    monkeypatch.setattr(outlook, "REPEATS", 2)
    for gpus, counted in ((4, 4), (0, 1)):
        tokens = foreseen(sums, 500, replicas=2, gpus=gpus, gpu_hours=0.5 * counted).tokens.value
        assert tokens == pytest.approx(0.5 * 3600 * 1000 / 2, rel=0.15)


def test_of_a_large_set_each_part_has_its_share(sums, monkeypatch):
    monkeypatch.setattr(outlook, "REPEATS", 2)
    whole = 20_000
    budget = 20_000_000
    large = foreseen(sums, whole, replicas=20, budget=budget)
    assert large.tokens.value == pytest.approx(budget, rel=0.1)
    policy = adaptive.Policy(**OPTIONS, budget=budget // 10)
    scenario = Scenario(
        supply=Supply(problems=whole // 10),
        replicas=2,
        speed=Speed(alone=140, full=140 * 32, sequences=32, start_s=0),
        judging=Judging(judges=32),
    )
    figures = World(scenario, policy, POOL).run()
    assert figures.tokens.total == pytest.approx(budget // 10, rel=0.1)
    assert large.traces.value == pytest.approx(figures.kept * 10, rel=0.1)


def test_the_same_policy_without_its_budget_stands_beside_it(sums):
    given = sums.recipe("policy={name: adaptive, accept: 4, at_most: 6, gpu_hours: 1, budget: 9}")
    own, free, other = alternatives(given)
    assert own == given.policy
    assert free.options == {"accept": 4, "at_most": 6}
    assert other.name == "adaptive"


def test_the_table_says_what_the_budget_buys_and_what_is_left_out(
    sums, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(outlook, "REPEATS", 3)
    change = "policy={name: adaptive, accept: 4, at_most: 6, budget: 500}"
    words = [str(sums.file()), "--out", str(tmp_path), "--set", change]
    words += ["--set", "aborts={detectors: [loop]}", "--sample", "10", "--rollouts", "2"]
    assert main(["plan", *words]) == 0
    said = capsys.readouterr()
    assert "aborts is not simulated: reckoned as if it were off" in said.out + said.err
    (line,) = [x for x in said.out.splitlines() if x.startswith("the budget of 500 tokens buys")]
    made = json.loads((tmp_path / beside.NAME).read_text(encoding="utf-8"))
    own, free, _ = made["outlooks"]
    assert beside.shown(own["traces"]) in line
    assert beside.shown(free["traces"]) in line
    assert own["tokens"]["value"] < free["tokens"]["value"]
    assert own["out_of_budget"]["value"] > 0


def test_a_pilot_makes_no_forks(sums, tmp_path):
    given = sums.recipe()
    branching = given.branching.__class__(after=1, every=1)
    pilot(
        given.model_copy(update={"branching": branching}), tmp_path, lambda _: None, sample=5, n=3
    )
    rollouts = [r for r in scan(tmp_path / "ledger") if isinstance(r, Rollout)]
    assert len(rollouts) == 15
    assert not any(r.branch for r in rollouts)
