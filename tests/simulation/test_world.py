"""Whole simulated runs: what must be conserved, and what is known without simulating."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.policies import adaptive, fixed
from factory.scheduling import events as ev
from factory.simulation.assumptions import Judging, Losses, Scenario, Speed, Supply
from factory.simulation.pool import Drawn, Lengths
from factory.simulation.world import World

SPEED = Speed(alone=10, full=80, sequences=8, start_s=5, prefill=1e12)
"""Every request at 10 tokens/s, however many there are."""


def pool(rates=(0.4, 0.6), seed=0, **lengths):
    given = {"median": 100, "sigma": 0.8, "most": 1000, **lengths}
    return Drawn(rates, Lengths(**given), prompt_tokens=0, seed=seed)


def scenario(problems=200, **more):
    given = {"replicas": 3, "speed": SPEED, "log_every": 16, "gather_s": 1e-3, **more}
    return Scenario(supply=Supply(problems=problems), **given)


LOSSES = st.one_of(
    st.just(Losses()),
    st.builds(Losses, per_hour=st.floats(0, 40)),
    st.builds(
        Losses,
        preempt_every_s=st.floats(60, 600),
        preempt_share=st.floats(0, 1),
        preempt_back_s=st.floats(0, 200),
    ),
)


@given(
    seed=st.integers(0, 10**6),
    losses=LOSSES,
    n=st.integers(1, 6),
    replicas=st.integers(1, 5),
    hung=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=30, deadline=None)
def test_nothing_is_lost_and_nothing_comes_from_nowhere(seed, losses, n, replicas, hung):
    given = scenario(
        problems=40, replicas=replicas, losses=losses, seed=seed, judging=Judging(hung=hung)
    )
    drawn = pool(seed=seed)
    figures = World(given, fixed.Policy(n=n), drawn).run()
    tokens = figures.tokens
    aside = figures.closed.get("set aside", 0)
    assert sum(figures.closed.values()) == 40 == sum(band.problems for band in figures.bands)
    if not aside:  # a rollout that was there at two losses alone is taken for their cause
        assert figures.rollouts == 40 * n
        assert figures.aborted == 0
        expected = sum(drawn.problem(p).draw(i)[0] for p in range(40) for i in range(n))
        assert tokens.total - tokens.regenerated == expected
        assert sum(band.tokens for band in figures.bands) == expected
    # Every running request makes ten tokens a second: what was made is what time was spent on.
    made = figures.whole.busy * 10
    assert made == pytest.approx(tokens.total, rel=0.01, abs=2 * (figures.interrupted + 1))
    assert tokens.regenerated <= figures.interrupted * given.log_every
    assert figures.whole.busy <= figures.whole.ready <= figures.whole.held
    assert sum(use.busy for use in figures.timeline.samples) == pytest.approx(figures.whole.busy)
    assert (figures.losses == 0) == (figures.interrupted == 0) or figures.interrupted == 0


def test_equal_options_give_equal_figures_and_another_seed_gives_others():
    given = scenario(losses=Losses(per_hour=5), judging=Judging(hung=0.02), seed=4)

    def told(seed):
        world = World(replace(given, seed=seed), adaptive.Policy(), pool(seed=seed))
        figures = world.run()
        figures.foreman_s = 0.0  # the one figure that is measured
        return world.now, repr(figures)

    assert told(4) == told(4)
    assert told(4) != told(5)


def test_wall_time_of_a_run_that_can_be_reckoned_by_hand():
    # 3 x 8 places, 96 rollouts of 100 tokens at 10 tokens/s: four rounds of ten seconds. A
    # replica holds 10 requests, so places are filled without the foreman.
    given = scenario(problems=48, judging=Judging(judges=1000, seconds=0))
    world = World(given, fixed.Policy(n=2), pool(sigma=0.0))
    figures = world.run()
    assert world.now == pytest.approx(5 + 4 * 10, abs=0.1)
    assert figures.tokens.total == 96 * 100
    assert figures.whole.busy == pytest.approx(24 * 40, rel=1e-3)
    assert figures.whole.held == pytest.approx(24 * 45, rel=1e-3)


def test_a_forecast_does_not_depend_on_who_runs_what():
    few = World(scenario(replicas=2), fixed.Policy(n=4), pool()).run()
    many = World(scenario(replicas=9), fixed.Policy(n=4), pool()).run()
    assert few.tokens == many.tokens
    assert few.bands == many.bands


def test_stopping_early_saves_tokens_and_aborted_ones_are_counted():
    given = scenario(problems=300)
    stop = adaptive.Policy(accept=1, at_most=8, give_up=0.0, haste=1.0, learn=0)
    early = World(given, stop, pool((4.0, 1.0))).run()
    fixed_n = World(given, fixed.Policy(n=8), pool((4.0, 1.0))).run()
    assert early.tokens.total < fixed_n.tokens.total
    assert early.closed["enough"] == sum(band.solved for band in early.bands)
    assert early.tokens.aborted <= 100 * early.aborted * 10
    assert early.tokens.surplus + early.tokens.accepted > 0


def test_right_rollouts_in_the_words_of_earlier_ones_do_not_count():
    given = scenario(problems=300, keep=3)
    stop = adaptive.Policy(accept=3, at_most=12, give_up=0.0, learn=0)
    lengths = Lengths(median=100, sigma=0.8, most=1000)
    often, never = (
        World(given, stop, Drawn((4.0, 2.0), lengths, prompt_tokens=0, seed=0, repeats=share)).run()
        for share in (0.5, 0.0)
    )
    assert never.tokens.repeated == 0
    assert often.tokens.repeated > often.tokens.accepted / 4
    assert often.kept < never.kept
    assert often.closed["enough"] == sum(band.full for band in often.bands)
    assert often.rollouts > 1.2 * never.rollouts
    assert sum(b.solved for b in often.bands) >= sum(b.solved for b in never.bands)


def test_hung_judgements_hold_no_engine_up():
    base = scenario(problems=300, judging=Judging(judges=4))
    hung = replace(base, judging=Judging(judges=4, hung=0.02, hang_s=60))
    calm, slow = (World(one, fixed.Policy(n=4), pool()).run() for one in (base, hung))
    assert slow.tokens.unjudged > 0
    assert slow.admitted_s == pytest.approx(calm.admitted_s, rel=0.02)
    assert slow.fed.busy / slow.fed.ready == pytest.approx(calm.fed.busy / calm.fed.ready, abs=0.01)


def test_a_slow_source_starves_the_engines():
    fast, slow = (
        World(
            replace(scenario(), supply=Supply(problems=200, per_s=rate)), fixed.Policy(n=2), pool()
        ).run()
        for rate in (0.0, 0.3)
    )
    assert slow.admitted_s == pytest.approx(200 / 0.3, rel=0.02)
    assert slow.fed.busy / slow.fed.ready < 0.5 < fast.fed.busy / fast.fed.ready


def test_hours_end_the_source_and_what_is_open_is_finished():
    given = replace(scenario(), supply=Supply(hours=0.25))
    world = World(given, fixed.Policy(n=2), pool())
    figures = world.run()
    assert 900 - 60 < figures.admitted_s < 900 < world.now < 1200
    assert figures.rollouts == 2 * sum(figures.closed.values())


def test_replicas_never_hold_more_than_they_asked_for(monkeypatch):
    held: dict[str, int] = {}
    seen = []
    world = World(scenario(losses=Losses(per_hour=20)), fixed.Policy(n=4), pool())
    handle = world._foreman.handle

    def watched(*events):
        for event in events:
            if isinstance(event, ev.ReplicaReady):
                held[event.replica] = 0
        actions = handle(*events)
        for action in actions:
            if isinstance(action, ev.Generate):
                replica = world._replicas[action.replica]
                seen.append(replica.running + replica.waiting)
        return actions

    monkeypatch.setattr(world._foreman, "handle", watched)
    world.run()
    assert max(seen) < SPEED.slots
    assert len(held) > 3


def test_a_run_ends_although_everything_is_taken_away_all_the_time():
    losses = Losses(preempt_every_s=60, preempt_share=1, preempt_back_s=0)
    given = scenario(losses=losses, problems=3, log_every=1000)
    figures = World(given, fixed.Policy(n=1), pool(median=900, sigma=0)).run()
    assert figures.closed == {"set aside": 3}  # 900 tokens take longer than there ever is
    assert figures.tokens.accepted == 0
    assert figures.tokens.regenerated == figures.tokens.total
    shorter = World(given, fixed.Policy(n=1), pool(median=500, sigma=0)).run()
    assert shorter.closed == {"complete": 3}
