"""What a run will come to, foretold by a pilot, and what it then came to."""

from __future__ import annotations

import json
import random

import pytest

from factory.cli import main
from factory.errors import FactoryError
from factory.forecast import beside
from factory.forecast.outlook import alternatives, histogram, outlook
from factory.forecast.pilot import pilot
from factory.forecast.world import Guessed, Sampled
from factory.recipe import Plugin


def policy(name, **options):
    return Plugin.model_validate({"name": name, **options})


def sampled(rates, n=8, seed=0):
    rng = random.Random(seed)
    found = []
    for rate in rates:
        right = sum(rng.random() < rate for _ in range(n))
        found.append(
            Sampled(
                right=(100,) * right, failed=(300,) * (n - right), wordings=right, prompt_tokens=20
            )
        )
    return found


def test_pass_rates_are_guessed_from_few_rollouts_better_than_the_tallies_tell():
    found = sampled([0.1] * 150 + [0.9] * 150)
    shares = histogram(found)
    assert sum(shares) == pytest.approx(1)
    assert sum(shares[:3]) == pytest.approx(0.5, abs=0.05)
    assert sum(1 for p in found if not p.right) > 50, "and many tallies say never"
    assert sum(shares[3:7]) < 0.05


def test_what_fixed_comes_to_is_plain_arithmetic(sums):
    given = sums.recipe()
    found = sampled([0.5] * 200)
    one = outlook(
        policy("fixed", n=4), given, found, problems=3000, tokens_per_s=1000, gpus=2, seed=1
    )
    assert one.rollouts.value == one.rollouts.low == one.rollouts.high == 12_000
    assert one.tokens.low <= 12_000 * 200 <= one.tokens.high
    assert one.tokens.value == pytest.approx(12_000 * 200, rel=0.05)
    assert one.solved.value == pytest.approx(3000 * (1 - 0.5**4), rel=0.05)
    assert one.traces.value == pytest.approx(6000, rel=0.05)
    assert one.hours.value == pytest.approx(one.tokens.value / 1000 / 3600)
    assert one.cost.value == pytest.approx(one.hours.value * 2 * given.cluster.gpu_hour_price)


def test_a_policy_that_stops_early_needs_fewer_tokens_for_as_many_solved_problems(sums):
    given, found = sums.recipe(), sampled([0.1, 0.5, 0.9] * 60)
    figures = {
        name: outlook(one, given, found, problems=200, tokens_per_s=1, gpus=0)
        for name, one in (
            ("fixed", policy("fixed", n=16)),
            ("adaptive", policy("adaptive", accept=4, at_most=16, give_up=0)),
        )
    }
    assert figures["adaptive"].tokens.high < figures["fixed"].tokens.low
    assert figures["adaptive"].solved.value == pytest.approx(figures["fixed"].solved.value, rel=0.1)


def test_more_of_a_sample_means_less_doubt(sums):
    def width(count):
        one = outlook(
            policy("fixed", n=8), sums.recipe(), sampled([0.1, 0.3, 0.8] * count), problems=150,
            tokens_per_s=1, gpus=0,
        )  # fmt: skip
        return one.solved.high - one.solved.low

    assert width(80) < width(4)


def test_the_same_problem_is_drawn_alike_and_others_differ():
    pool = Guessed(sampled([0.5] * 20), seed=3)
    first = [pool.problem(7).draw(i) for i in range(30)]
    assert first == [pool.problem(7).draw(i) for i in range(30)]
    assert first != [pool.problem(27).draw(i) for i in range(30)], "round again: drawn anew"
    assert {tokens for tokens, right, _ in first if right} <= {100}
    assert {tokens for tokens, right, _ in first if not right} <= {300}


def test_three_policies_that_differ_are_compared(sums):
    for name in ("adaptive", "fixed", "difficulty"):
        found = alternatives(sums.recipe(f"policy={{name: {name}}}"))
        assert found[0].name == name
        assert len({json.dumps(one.model_dump(), sort_keys=True) for one in found}) == 3


def test_a_pilot_samples_some_problems_and_goes_on_from_what_it_has(sums, tmp_path):
    given = sums.recipe()
    done = pilot(given, tmp_path / "pilot", lambda _: None, sample=10, n=4)
    assert len(done.sampled) == 10
    assert all(sum(problem.tally) == 4 for problem in done.sampled)
    assert done.problems == 30
    again = pilot(given, tmp_path / "pilot", lambda _: None, sample=10, n=4)
    assert again == done
    with pytest.raises(FactoryError, match="another recipe"):
        pilot(given, tmp_path / "pilot", lambda _: None, sample=10, n=5)


def test_the_limit_of_the_recipe_is_that_of_the_plan(sums, tmp_path):
    done = pilot(sums.recipe("limit=12"), tmp_path / "pilot", lambda _: None, sample=50, n=2)
    assert (done.problems, len(done.sampled)) == (12, 12)


def test_a_run_is_shown_beside_its_plan(sums, tmp_path, capsys):
    words = [str(sums.file()), "--out", str(tmp_path / "run")]
    assert main(["plan", *words, "--sample", "30", "--rollouts", "6"]) == 0
    out = capsys.readouterr().out
    assert "fixed(n=6)" in out
    assert "adaptive(accept=4" in out
    made = json.loads((tmp_path / "run" / beside.NAME).read_text(encoding="utf-8"))
    assert made["problems"] == 30
    assert made["outlooks"][0]["rollouts"]["value"] == 180
    assert main(["run", *words]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "rollouts: planned, measured" in line]
    assert "180 (180 to 180), 180: +0%" in line


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"outlooks": []}', '{"outlooks": [{}]}'])
def test_a_plan_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / beside.NAME).write_text(text, encoding="utf-8")
    assert list(beside.rows(tmp_path, {"tokens": 1.0})) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (7.5, "7.5"), (1234, "1234"), (12_345, "12.3 k"),
     (2.5e6, "2.5 M"), (3e9, "3 G"), (4e12, "4 T")],
)  # fmt: skip
def test_figures_are_short(value, text):
    assert beside.short(value) == text


def test_nonsense_is_refused(sums, capsys):
    with pytest.raises(SystemExit):
        main(["plan", str(sums.file()), "--sample", "0"])
    assert "at least 1" in capsys.readouterr().err
