"""Drawn and replayed rollouts."""

from __future__ import annotations

from math import exp, lgamma

import numpy as np
import pytest

from factory.errors import LedgerError
from factory.simulation.pool import POOLS, Drawn, Lengths, Recorded
from factory.traces import Group
from factory.types import Completion, Outcome, Problem, Rollout, Verdict

PROBLEMS, EACH = 4000, 16


def drawn(rates=(0.5, 0.5), seed=0, **lengths):
    return Drawn(rates, Lengths(**lengths), prompt_tokens=100, seed=seed)


def table(pool):
    problems = [pool.problem(number) for number in range(PROBLEMS)]
    rollouts = [[p.draw(i) for i in range(EACH)] for p in problems]
    return (
        np.array([p.rate for p in problems]),
        np.array([[tokens for tokens, _, _ in row] for row in rollouts], float),
        np.array([[right for _, right, _ in row] for row in rollouts]),
    )


@pytest.mark.parametrize("name", POOLS)
def test_rollouts_have_their_problems_pass_rate_independently(name):
    a, b, never = POOLS[name]
    rates, tokens, right = table(drawn(POOLS[name], most=10**9))
    assert rates.mean() == pytest.approx((1 - never) * a / (a + b), abs=0.02)
    assert (rates == 0).mean() == pytest.approx(never, abs=0.02)
    assert (right.mean(1) - rates).mean() == pytest.approx(0, abs=0.01)
    none = exp(lgamma(b + EACH) - lgamma(b) - lgamma(a + b + EACH) + lgamma(a + b))
    assert right.any(1).mean() == pytest.approx((1 - never) * (1 - none), abs=0.03)
    over = right - rates[:, None]
    for one, other in ((over[:, 0], over[:, 1]), (over[:, 3], over[:, 7]), (rates, tokens[:, 0])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.07
    assert abs(np.corrcoef(over.ravel(), np.log(tokens).ravel())[0, 1]) < 0.02


def test_lengths_are_log_normal_within_and_between_problems():
    lengths = Lengths(median=1000, sigma=0.8, of_problem=0.4, most=10**9)
    _, tokens, _ = table(Drawn((1, 1), lengths, prompt_tokens=1, seed=3))
    logs = np.log(tokens)
    assert np.median(tokens) == pytest.approx(1000, rel=0.05)
    assert tokens.mean() == pytest.approx(1000 * exp(0.8**2 / 2), rel=0.05)
    assert logs.std() == pytest.approx(0.8, abs=0.03)
    within = logs.std(axis=1, ddof=1)
    assert (within**2).mean() == pytest.approx(0.8**2 * 0.6, rel=0.08)


def test_longer_than_the_limit_is_cut_and_wrong_and_wrong_ones_are_longer():
    _, tokens, right = table(drawn(median=100, sigma=0.5, most=400, wrong=1.5))
    assert tokens.max() == 400
    assert not right[tokens == 400].any()
    _, longer, _ = table(drawn(median=100, sigma=0.5, most=10**9, wrong=1.5))
    assert np.median(longer[~right]) / np.median(longer[right]) == pytest.approx(1.5, rel=0.1)


def test_a_rollout_depends_on_seed_problem_and_index_alone():
    one, same, other = drawn(seed=5), drawn(seed=5), drawn(seed=6)
    asked = [(number, index) for number in (900, 3, 0) for index in (7, 0)]
    first = [one.problem(n).draw(i) for n, i in asked]
    assert first == [same.problem(n).draw(i) for n, i in reversed(asked)][::-1]
    assert first != [other.problem(n).draw(i) for n, i in asked]


@pytest.mark.parametrize("options", [{"median": 0}, {"sigma": -1}, {"of_problem": 2}, {"wrong": 0}])
def test_senseless_lengths_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        Lengths(**options)


def test_senseless_rates_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        drawn((0.0, 1.0))
    with pytest.raises(ValueError, match="never solved"):
        drawn((1.0, 1.0, 1.5))


@pytest.mark.parametrize("repeats", [0.05, 0.35, 0.9])
def test_two_right_rollouts_are_in_the_same_words_as_often_as_assumed(repeats):
    pool = Drawn((50.0, 1.0), Lengths(), prompt_tokens=1, seed=2, repeats=repeats)
    same, third, both = [], [], []
    for number in range(PROBLEMS):
        rollouts = [pool.problem(number).draw(i) for i in (0, 3, 9)]
        if not all(right for _, right, _ in rollouts):
            continue
        a, b, c = (wording for _, _, wording in rollouts)
        same.append(a is not None and a == b)
        both.append(a is not None and a == b == c)
        third.append(c is not None and c in (a, b))
    assert np.mean(same) == pytest.approx(repeats, abs=0.04)
    # Ewens: the next one is new with t / (t + r) after r
    t = 1 / repeats - 1
    assert np.mean(third) == pytest.approx(2 / (t + 2), abs=0.05)
    assert np.mean(both) == pytest.approx(repeats * 2 / (t + 2), abs=0.04)


def test_repeats_are_a_share_and_none_by_default():
    assert {drawn().problem(n).draw(i)[2] for n in range(50) for i in range(8)} == {None}
    every = Drawn((9.0, 1.0), Lengths(), prompt_tokens=1, seed=0, repeats=1.0)
    rollouts = [every.problem(n).draw(i) for n in range(20) for i in range(4)]
    assert {wording for _, right, wording in rollouts if right} == {0}
    with pytest.raises(ValueError, match="repeats must be a share"):
        Drawn((1, 1), Lengths(), prompt_tokens=1, seed=0, repeats=1.5)


def group(name, *rollouts):
    """Rollouts as (tokens, outcome) and, if it matters, text; None: not judged."""
    judged = []
    for index, (tokens, outcome, *said) in enumerate(rollouts):
        text = said[0] if said else f"as {index}"
        completion = Completion(text=text, prompt_tokens=10, num_tokens=tokens)
        rollout = Rollout(problem_id=name, index=index, model="m", completion=completion)
        verdict = outcome and Verdict(
            problem_id=name, index=index, outcome=outcome, reward=None, extracted=None,
            detail="", verifier="v", verifier_version="1",
        )  # fmt: skip
        judged.append((rollout, verdict))
    return Group(problem=Problem(id=name, prompt=name), judged=judged)


def test_recorded_rollouts_come_again_in_order_and_then_at_random():
    right, wrong = Outcome.CORRECT, Outcome.INCORRECT
    groups = [
        group("a", (5, right), (7, wrong), (9, None), (11, Outcome.TIMEOUT), (13, wrong)),
        group("b", (1, None)),
        group("c", (2, right)),
    ]
    pool = Recorded(groups, seed=0)
    assert len(pool) == 2
    assert pool.prompt_tokens == 10
    first = pool.problem(0)
    assert first.rate == pytest.approx(1 / 3)
    on_record = [(5, True, 0), (7, False, None), (13, False, None)]
    assert [first.draw(i) for i in range(3)] == on_record
    new = {(5, True, None), *on_record[1:]}  # its only right one: the next is in other words
    further = [first.draw(i) for i in range(3, 303)]
    assert {*further} == new
    assert sum(right for _, right, _ in further) == pytest.approx(100, abs=30)
    again = [pool.problem(2).draw(i) for i in range(300)]
    assert sorted(again[:3]) == sorted(on_record)
    assert {*again[3:]} == new
    assert again != [pool.problem(4).draw(i) for i in range(300)]
    assert pool.problem(1).draw(40) == (2, True, None)


def test_recorded_rollouts_repeat_each_other_as_they_did():
    right, wrong = Outcome.CORRECT, Outcome.INCORRECT
    said = [(5, right, "one"), (6, wrong, "one"), (5, right, " one"), (7, right, "two"),
            (5, right, "one")]  # fmt: skip
    pool = Recorded([group("a", *said)], seed=1)
    first = pool.problem(0)
    assert [first.draw(i)[2] for i in range(5)] == [0, None, 0, 1, 0]
    further = [first.draw(i) for i in range(5, 2005)]
    new = np.mean([wording is None for _, right, wording in further if right])
    assert new == pytest.approx(1 / 4, abs=0.04)  # one in four on record is in words of its own


def test_a_run_without_verdicts_cannot_be_replayed():
    with pytest.raises(LedgerError, match="no problem of the run to be replayed"):
        Recorded([group("a", (5, None))], seed=0)
