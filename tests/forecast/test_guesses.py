"""What a pilot lets one guess: how pass rates are spread, how often right rollouts repeat."""

from __future__ import annotations

from collections import Counter
from math import exp, lgamma, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.forecast import RECIPE, covered, pilot, truth
from factory.forecast import spread
from factory.forecast.outlook import outlook
from factory.forecast.repeats import CHANCES, Repeats
from factory.recipe import load
from factory.simulation.pool import POOLS, Drawn, Lengths
from factory.simulation.wordings import Wordings, mixed

TALLY = st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(sum)


@given(st.lists(TALLY, min_size=1, max_size=40))
def test_the_best_beta_is_no_less_likely_than_others(tallies):
    def likelihood(a, b):
        of = (
            lgamma(a + c) + lgamma(b + f) - lgamma(a + b + c + f)
            - lgamma(a) - lgamma(b) + lgamma(a + b)
            for c, f in tallies
        )  # fmt: skip
        return sum(of) - spread._FAITH * (log(a / 0.5) ** 2 + log(b / 0.5) ** 2)

    best = likelihood(*spread.beta(Counter(tallies)))
    grid = spread._GRID.tolist()
    for a in grid[::9]:
        for b in grid[::9]:
            assert best >= likelihood(a, b) - 1e-9


@pytest.mark.parametrize("name", ["mid", "openr1", "hard"])
def test_coverage_to_come_is_guessed_without_much_bias(name):
    a, b, never = POOLS[name]
    rng = np.random.default_rng(1)
    guesses = []
    for _ in range(30):
        rates = np.where(rng.random(96) < never, 0.0, rng.beta(a, b, 96))
        right = rng.binomial(6, rates).tolist()
        prior = spread.learn((c, 6 - c) for c in right)
        guesses.append(float(prior.weights @ (1 - (1 - prior.rates) ** 16)))
    none = exp(lgamma(b + 16) - lgamma(b) - lgamma(a + b + 16) + lgamma(a + b))
    assert np.mean(guesses) == pytest.approx((1 - never) * (1 - none), abs=0.03)


def wordings(chance, problems, each):
    """(right, wordings) of problems whose right rollouts repeat with such a chance."""
    found = []
    for number in range(problems):
        problem = Wordings(mixed(number), chance)
        said = [problem.number(mixed(mixed(number) + i) / 2**64) for i in range(each)]
        found.append((each, len({*said} - {None}) + said.count(None)))
    return found


@pytest.mark.parametrize("chance", [0.05, 0.3, 0.8])
def test_the_chance_of_repeats_is_learned(chance):
    found = Repeats(wordings(chance, 150, 6))
    assert float(found.weights @ CHANCES) == pytest.approx(chance, abs=0.05)


def test_two_kinds_of_problems_are_told_apart():
    found = Repeats([*wordings(0.02, 100, 8), *wordings(0.9, 100, 8)])
    assert float(found.posterior(8, 8) @ CHANCES) < 0.1
    assert float(found.posterior(8, 1) @ CHANCES) > 0.8
    alone = float(found.posterior(1, 1) @ CHANCES)  # tells nothing
    assert alone == pytest.approx(float(found.weights @ CHANCES))


def test_where_nothing_repeats_nothing_is_expected_to():
    found = Repeats([(6, 6)] * 100)
    assert float(found.weights @ CHANCES) < 0.01


@given(
    st.lists(
        st.integers(0, 12).flatmap(lambda r: st.tuples(st.just(r), st.integers(min(r, 1), r))),
        min_size=1,
    )
)
def test_chances_are_a_distribution(tallies):
    found = Repeats(tallies)
    assert found.weights.sum() == pytest.approx(1)
    for tally in tallies:
        post = found.posterior(*tally)
        assert post.sum() == pytest.approx(1)
        assert (post >= 0).all()


def test_a_plan_counts_repeats_as_the_run_does():
    given_ = load(RECIPE)
    lengths = Lengths(median=50, sigma=0.5, most=256)
    pool = Drawn(POOLS["mid"], lengths, prompt_tokens=10, seed=3, repeats=0.5)
    sampled = pilot(pool, 200, 150, 8, seed=0)
    foreseen = outlook(given_.policy, given_, sampled, problems=200, tokens_per_s=1, gpus=0)
    row = covered(foreseen, truth(pool, 200, given_))
    assert {name: ok for name, (ok, _) in row.items()} == dict.fromkeys(row, True)
    assert abs(row["tokens"][1]) < 0.1
