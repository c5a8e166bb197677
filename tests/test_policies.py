"""What policies learn, plan and decide, and that a resumed run goes on by the same lights."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks._pools import World, clairvoyant, draw, fixed, stop_at
from factory import run
from factory.ledger import scan, standing
from factory.policies import DEFERRED, Decision, Tally, adaptive, difficulty
from factory.scheduling import events as ev
from factory.scheduling import plan
from factory.scheduling.foreman import Foreman
from factory.scheduling.opened import Opened
from factory.scheduling.pool import Pool, Sums
from factory.scheduling.prior import Prior
from factory.scheduling.waiting import WaitingLine
from factory.types import Outcome, RolloutKey

# the pool


def census_of(rates, n, seed):
    """A pool in which each problem was sampled until 4 were correct, or n times."""
    rng = np.random.default_rng(seed)
    pool = Pool()
    for rate in rates:
        correct = failed = 0
        while correct < 4 and correct + failed < n:
            right = bool(rng.random() < rate)
            pool.ended(100)
            pool.judged(correct, failed, 100 if right else None)
            correct, failed = correct + right, failed + (not right)
    census = pool.look()
    assert census is not None
    return census


def test_a_prior_is_learned_whatever_rule_stopped_the_problems():
    rng = np.random.default_rng(5)
    rates = np.where(rng.random(3000) < 0.25, 0.0, rng.beta(2, 2, 3000))
    prior = Prior.learn(census_of(rates, 32, 6), 0.5, 0.5)
    assert prior.weights.sum() == pytest.approx(1)
    assert prior.weights @ prior.rates == pytest.approx(rates.mean(), abs=0.01)
    for bound in (0.02, 0.3, 0.5, 0.7):
        learned = prior.weights[prior.rates <= bound].sum()
        assert learned == pytest.approx((rates <= bound).mean(), abs=0.04)


def test_a_prior_without_a_pool_is_the_beta_prior():
    prior = Prior.beta(2.0, 3.0)
    assert prior.weights @ prior.rates == pytest.approx(0.4, abs=1e-3)
    assert prior.mean(3, 5) == pytest.approx(5 / 13, abs=1e-3)
    policy = adaptive.Policy(prior=(2.0, 3.0))
    closed_form = policy.chance(Tally(correct=1, incorrect=9), 12)
    assert prior.chance(1, 9, 12) == pytest.approx(closed_form, abs=1e-3)


@given(c=st.integers(0, 20), f=st.integers(0, 60))
@settings(deadline=None)
def test_a_failure_lowers_the_expected_rate_and_a_success_raises_it(c, f):
    prior = Prior.beta(0.5, 0.7)
    assert prior.mean(c, f + 1) < prior.mean(c, f) < prior.mean(c + 1, f)


problems = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=40)


@given(problems=problems, seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_pool_kept_up_is_the_pool_added_up(problems, seed):
    rng = random.Random(seed)
    live, again = Pool(), Pool()
    for correct, failed in problems:
        outcomes = [True] * correct + [False] * failed
        rng.shuffle(outcomes)
        c = f = 0
        for right in outcomes:
            live.ended(7)
            live.judged(c, f, 7 if right else None)
            c, f = c + right, f + (not right)
        sums = Sums(correct=c, failed=f, ended=c + f, tokens=7 * (c + f), right_tokens=7 * c)
        again.add(sums)
    assert live == again


def test_a_census_is_taken_ever_more_rarely_and_tells_lengths():
    pool, taken = Pool(), []
    for number in range(5000):
        right = number % 4 == 0
        pool.ended(100 if right else 200)
        pool.judged(0, 0, 100 if right else None)
        if (census := pool.look()) is not None:
            taken.append(census.judged)
    assert taken[0] == 256
    assert all(1.6 <= b / a <= 1.61 for a, b in pairwise(taken))
    assert pool.census.right_tokens == 100
    assert pool.census.failed_tokens == pytest.approx(200)


# the plan


def coverage(rule, rate, k, n):
    """(cost, chance of one, chance of k) of a rule at a known rate, tally by tally."""
    states, cost, one, full = {(0, 0): 1.0}, 0.0, 0.0, 0.0
    for _ in range(n):
        following = {}
        for (c, f), chance in states.items():
            if not rule[c][f]:
                continue
            cost += chance
            for after, p in (((c + 1, f), rate), ((c, f + 1), 1 - rate)):
                one += chance * p * (after == (1, f))
                full += chance * p * (after[0] == k)
                if after[0] < k:
                    following[after] = following.get(after, 0.0) + chance * p
        states = following
    return np.array([cost, one, full])


weights = st.lists(st.floats(0.01, 1), min_size=3, max_size=8)


@given(
    weights=weights, k=st.integers(1, 3), n=st.integers(4, 12),
    loss=st.sampled_from([0.0, 0.01, 0.1]), cover=st.sampled_from(["any", "full"]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_plan_keeps_the_coverage_of_every_tenth(weights, k, n, loss, cover):
    rates = np.linspace(0, 0.9, len(weights))
    prior = Prior(rates, np.array(weights) / sum(weights))
    made = plan.make(prior, accept=k, at_most=n, loss=loss, cover=cover)
    never = [[True] * n] * k
    cost = 0.0
    lost = []
    for rate, weight in zip(prior.rates, prior.weights, strict=True):
        ours, most = coverage(made.go, rate, k, n), coverage(never, rate, k, n)
        cost += weight * ours[0]
        lost.append(most - ours)
    assert made.cost == pytest.approx(cost)
    assert made.bound <= made.cost + 1e-9
    of_tenths = 10 * plan.tenths(prior) @ np.array(lost)
    assert of_tenths[:, 2].max() <= loss + 1e-6
    if cover == "any":
        assert of_tenths[:, 1].max() <= loss + 1e-6


def test_no_rule_of_any_kind_beats_the_bound():
    rates = np.array([0.0, 0.15, 0.6])
    prior = Prior(rates, np.array([0.4, 0.3, 0.3]))
    n, loss = 6, 0.2
    made = plan.make(prior, accept=1, at_most=n, loss=loss, steps=1000)
    never = sum(
        w * coverage([[True] * n], r, 1, n) for r, w in zip(rates, prior.weights, strict=True)
    )
    costs = []
    for stop in range(n + 1):  # with k = 1, a rule is the number of failures that it bears
        rule = [[f < stop for f in range(n)]]
        tenths = (
            10
            * plan.tenths(prior)
            @ np.array([coverage([[True] * n], r, 1, n) - coverage(rule, r, 1, n) for r in rates])
        )
        if tenths[:, 2].max() <= loss:
            costs.append(
                sum(
                    w * coverage(rule, r, 1, n)[0]
                    for r, w in zip(rates, prior.weights, strict=True)
                )
            )
    assert made.bound <= min(costs) + 1e-9
    assert made.cost == pytest.approx(min(costs))
    assert min(costs) < never[0]


def test_who_is_told_every_rate_pays_less_than_who_knows_the_prior():
    prior = Prior.beta(0.5, 1.5)
    told = {"accept": 2, "at_most": 16, "loss": 0.01, "cover": "full"}
    made = plan.make(prior, steps=400, **told)
    assert clairvoyant(prior, np.ones(len(prior.rates)), **told) < made.bound


@pytest.mark.parametrize("shape", [(0.5, 0.75), (0.5, 1.7), (1.0, 1.0)])
def test_what_is_planned_and_what_nobody_can_beat_lie_close_together(shape):
    """Were the prices of hard tenths not found, the bound would lie a tenth too low."""
    made = plan.make(Prior.beta(*shape), accept=4, at_most=64, cover="full")
    assert made.bound <= made.cost < 1.02 * made.bound


def test_an_idle_rule_is_never_planned_for_problems_that_all_succeed():
    prior = Prior(np.array([0.5, 0.9]), np.array([0.5, 0.5]))
    made = plan.make(prior, accept=2, at_most=16, loss=0.0)
    assert all(made.go[0][f] for f in range(8))


# the policies


def pool_of(census):
    return Pool(census=census)


def test_adaptive_has_no_more_in_flight_than_are_missing():
    policy = adaptive.Policy(accept=4, at_most=16)
    assert policy.decide(Tally()) == Decision(start=4)
    assert policy.decide(Tally(started=4, running=1, correct=3)) == Decision(start=0)
    assert policy.decide(Tally(started=4, correct=1, incorrect=3)) == Decision(start=3)
    hasty = adaptive.Policy(accept=4, at_most=16, haste=1)
    assert hasty.decide(Tally()) == Decision(start=8)
    assert hasty.decide(Tally(started=15, incorrect=15, correct=0)) == Decision(start=1)


def test_adaptive_gives_up_sooner_in_a_pool_of_all_or_nothing():
    rates = np.where(np.arange(600) % 2, 0.0, 0.8)
    pool = pool_of(census_of(rates, 32, 1))
    policy = adaptive.Policy(accept=4, at_most=32, cover="full")
    stops = [f for f in range(1, 32) if policy.decide(Tally(started=f, incorrect=f), pool).close]
    assert 3 <= stops[0] <= 10
    assert policy.decide(Tally(started=stops[0], incorrect=stops[0]), pool).close == DEFERRED
    alone = adaptive.Policy(accept=4, at_most=32, learn=0)
    assert not alone.decide(Tally(started=stops[0], incorrect=stops[0]), pool).close


def test_rollouts_in_flight_count_as_failed_until_they_are_not():
    rates = np.where(np.arange(600) % 2, 0.0, 0.8)
    pool = pool_of(census_of(rates, 32, 1))
    policy = adaptive.Policy(accept=4, at_most=32, cover="full")
    stop = next(f for f in range(32) if policy.decide(Tally(started=f, incorrect=f), pool).close)
    near = Tally(started=stop, incorrect=stop - 1, running=1)
    assert policy.decide(near, pool) == Decision()


def test_a_rollout_that_a_detector_cut_or_that_repeats_another_counts_as_failed():
    rates = np.where(np.arange(600) % 2, 0.0, 0.8)
    pool = pool_of(census_of(rates, 32, 1))
    policy = adaptive.Policy(accept=4, at_most=32, cover="full")
    stop = next(f for f in range(32) if policy.decide(Tally(started=f, incorrect=f), pool).close)
    for tally in (Tally(started=stop, doomed=stop), Tally(started=stop, repeats=stop)):
        assert policy.decide(tally, pool).close == DEFERRED
    assert not policy.decide(Tally(started=stop, unknown=stop), pool).close


def test_the_budget_ends_a_run():
    policy = adaptive.Policy(accept=1, at_most=8, budget=1000)
    pool = Pool()
    assert policy.decide(Tally(), pool).start == 1
    pool.ended(700)
    pool.running = 1  # expected to take another 700
    assert policy.decide(Tally(started=1, incorrect=1), pool).close == DEFERRED
    pool.running = 0
    assert policy.decide(Tally(started=1, incorrect=1), pool).start == 1
    pool.ended(700)
    assert policy.decide(Tally(started=1, incorrect=1), pool).close == "budget"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learn": -1}, "learn must be at least 0, got -1"),
        ({"loss": 1.0}, r"loss must be in \[0, 1\), got 1.0"),
        ({"haste": 2}, r"haste must be in \[0, 1\], got 2"),
        ({"budget": 0}, "budget must be at least 1 token, got 0"),
        ({"accept": 8, "at_most": 5000}, "accept \\* at_most must be at most 20000"),
    ],
)
def test_adaptive_refuses_senseless_new_options(options, message):
    with pytest.raises(ValueError, match=message):
        adaptive.Policy(**options)


def test_difficulty_wants_more_of_harder_problems():
    policy = difficulty.Policy(bands=((0.3, 6), (0.7, 3), (1.0, 1)), pilot=4, at_most=40)
    assert policy.decide(Tally()) == Decision(start=4)
    assert policy.decide(Tally(started=4, correct=4)) == Decision(close="enough")
    assert policy.decide(Tally(started=4, correct=2, incorrect=2)) == Decision(start=1)
    assert policy.decide(Tally(started=8, correct=1, incorrect=7)) == Decision(start=5)
    assert policy.decide(Tally(started=30, correct=6, incorrect=24)) == Decision(close="enough")
    assert policy.decide(Tally(started=40, correct=5, incorrect=35)) == Decision(close="spent")
    assert policy.decide(Tally(started=39, incorrect=39)).close == DEFERRED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ()}, "bands must ascend to a pass rate of 1"),
        ({"bands": ((0.5, 2), (0.4, 1), (1.0, 1))}, "bands must ascend"),
        ({"bands": ((0.5, 2),)}, "bands must ascend to a pass rate of 1"),
        ({"bands": ((0.5, 0), (1.0, 1))}, "want 1 or more"),
        ({"pilot": 0}, "pilot must be at least 1"),
        ({"at_most": 5}, r"at_most in 8\.\."),
        ({"give_up": 1.0}, "give_up must be in"),
        ({"prior": (0.0, 1.0)}, "prior must be positive"),
    ],
)
def test_difficulty_refuses_senseless_options(options, message):
    with pytest.raises(ValueError, match=message):
        difficulty.Policy(**options)


# the foreman with them


@given(lengths=st.lists(st.integers(1, 50), max_size=30), split=st.integers(0, 30))
def test_the_line_is_fifo_until_the_source_ends_then_longest_first(lengths, split):
    keys = [RolloutKey("p", n) for n in range(len(lengths))]
    line = WaitingLine(lambda key: lengths[key.index])
    for key in keys[:split]:
        line.append((key, False))
    first = [line.popleft()[0] for _ in range(len(keys[:split]) // 2)]
    assert first == keys[: len(first)]
    line.longest_first()
    for key in keys[split:]:
        line.append((key, False))
    line.appendleft((RolloutKey("cut off", 0), True))
    assert len(line) == len(keys) - len(first) + 1
    rest = [line.popleft()[0] for _ in range(len(line))]
    assert rest[0].problem_id == "cut off"
    expected = sorted(keys[len(first) :], key=lambda key: (-lengths[key.index], key.index))
    assert rest[1:] == expected


def judged(key, right):
    return ev.Judged(key, Outcome.CORRECT if right else Outcome.INCORRECT)


def test_a_deferred_problem_waits_for_the_end_and_goes_on_with_what_is_left():
    f = Foreman(adaptive.Policy(accept=1, at_most=8, give_up=0.9, budget=350))
    f.handle(ev.ReplicaReady("r", 2))
    for name, tries in (("hopeless", 3), ("hopeful", 1)):
        actions = f.handle(ev.Admitted(name))
        for index in range(8):
            key = RolloutKey(name, index)
            if not any(isinstance(a, ev.Generate) and a.key == key for a in actions):
                break
            actions = f.handle(ev.Finished(key, num_tokens=50), judged(key, False))
            if index + 1 == tries and name == "hopeful":
                break
    assert f.open_problems == 2
    parked = set(f._parked)
    assert "hopeless" in parked
    actions = f.handle(ev.SourceEnded())
    closed, tokens = {}, 0
    while not f.done:
        following = []
        for action in actions:
            match action:
                case ev.Generate(_, key, _):
                    tokens += 50
                    following += f.handle(ev.Finished(key, num_tokens=50), judged(key, False))
                case ev.Close(name, reason):
                    closed[name] = reason
        actions = following or f.handle()
    assert tokens > 0
    assert set(closed.values()) == {"budget"}


def test_deferred_problems_are_bounded_in_number():
    f = Foreman(adaptive.Policy(accept=1, at_most=3, give_up=0.9), max_parked=3)
    f.handle(ev.ReplicaReady("r", 1))
    closed = []
    for number in range(6):
        actions = f.handle(ev.Admitted(f"p{number}"))
        while starts := [a.key for a in actions if isinstance(a, ev.Generate)]:
            actions = f.handle(ev.Finished(starts[0]), judged(starts[0], False))
        closed += [a.problem_id for a in actions if isinstance(a, ev.Close)]
    assert closed == ["p0", "p1", "p2"]
    actions = f.handle(ev.SourceEnded())
    assert [(a.problem_id, a.reason) for a in actions] == [(f"p{n}", "deferred") for n in (3, 4, 5)]
    assert f.done


class Recorder(World):
    """A world that keeps what a ledger would."""

    def __init__(self, pool, policy):
        super().__init__(pool, policy, slots=40)
        self.pool_on_record = Pool()
        self.past = {}

    def _handle(self, *events):
        for event in events:
            match event:
                case ev.Admitted(name):
                    self.past[name] = ev.History()
                case ev.Finished(key):
                    old = self.past[key.problem_id]
                    aborted = replace(
                        old,
                        ended=(*old.ended, key.index),
                        tokens=old.tokens + event.num_tokens,
                        unknown=old.unknown + event.aborted,
                    )
                    self.past[key.problem_id] = aborted
                case ev.Judged(key, outcome):
                    old = self.past[key.problem_id]
                    right = outcome is Outcome.CORRECT
                    length = int(self._pool.tokens[int(key.problem_id), key.index])
                    self.past[key.problem_id] = replace(
                        old,
                        correct=old.correct + right,
                        incorrect=old.incorrect + (not right),
                        right_tokens=old.right_tokens + right * length,
                    )
        super()._handle(*events)

    def keep(self, action):
        match action:
            case ev.Close(name, _, sums):
                self.pool_on_record.add(sums)
                del self.past[name]
            case ev.Note(census):
                self.pool_on_record.census = census


@pytest.mark.parametrize("stop_after", [50, 700, 2000])
@pytest.mark.parametrize(
    "policy", [adaptive.Policy(accept=2, at_most=16, learn=20), difficulty.Policy(at_most=16)]
)
def test_a_resumed_run_decides_as_the_interrupted_one(stop_after, policy):
    world = Recorder(draw("OpenR1-like", 300, 16, seed=3), policy)
    told = world._foreman.handle
    world._foreman.handle = lambda *events: [
        (world.keep(action), action)[1] for action in told(*events)
    ]
    finish, ended = world._finish, [0]

    class Enough(Exception):
        pass

    def finish_some(key):
        if ended[0] == stop_after:
            raise Enough
        ended[0] += 1
        finish(key)

    world._finish = finish_some
    try:
        world.play()
    except Enough:
        pass
    else:
        pytest.fail("it ended before it was interrupted")
    policy_again = replace(policy)  # without what the first one has in mind
    again = Foreman(policy_again, pool=world.pool_on_record)
    before = world._foreman
    for name, past in world.past.items():
        again._problems[name], _ = Opened.of(past)
        again._pool.add(again._problems[name].tally.sums)
    assert replace(again._pool, running=0) == replace(before._pool, running=0)
    assert world.pool_on_record.census == before._pool.census
    assert len(world.past) == before.open_problems
    for problem in before._problems.values():
        tally = problem.tally
        assert again._policy.decide(tally, again._pool) == before._policy.decide(
            tally, before._pool
        )


def test_a_ledger_gives_the_pool_back(sums, tmp_path):
    folder = tmp_path / "run"
    given = sums.recipe("policy={name: adaptive, accept: 2, at_most: 12, learn: 5}")
    assert run.run(given, folder, lambda _: None).complete
    by_columns = standing.read(folder / "ledger").pool
    by_records = standing.Standing()
    for record in scan(folder / "ledger"):
        by_records.add(record)
    assert by_columns == by_records.pool
    assert by_columns.tokens > 0
    assert sum(by_columns._tallies.values()) == 30


def test_correct_rollouts_in_the_same_words_are_one_trace(sums, tmp_path):
    """A problem of three different right completions never has four: it goes on to its bound."""
    folder = tmp_path / "run"
    given = sums.recipe("policy={name: adaptive, accept: 4, at_most: 24, learn: 0}")
    assert run.run(given, folder, lambda _: None).complete
    counts = standing.read(folder / "ledger").counts
    assert counts.closed["enough"] == 0
    assert counts.correct > 3 * 30


# what it is all for


@pytest.mark.parametrize("cover", ["any", "full"])
def test_the_policy_spends_less_for_the_same_coverage_of_every_tenth(cover):
    pool = draw("OpenR1-like", 800, 32, seed=2)
    done = World(pool, adaptive.Policy(accept=2, at_most=32, cover=cover), slots=200).play()
    base, stop = fixed(pool, 32), stop_at(pool, 2, 32)
    order = np.argsort(pool.rates, kind="stable")
    for wanted in {2} if cover == "full" else {1, 2}:
        lost = base.coverage(order, wanted) - done.coverage(order, wanted)
        assert lost.max() <= 0.025  # 80 problems a tenth: one point is less than one problem
    assert done.tokens.sum() <= stop.tokens.sum() * (1.0 if cover == "any" else 0.95)
    assert stop.tokens.sum() < base.tokens.sum() / 1.9
