"""A budget in GPU-hours: what is metered, what the policy makes of it, and that it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import run
from factory.crew import meter
from factory.crew.meter import Meter
from factory.ledger import scan, standing
from factory.ledger.records import Worked
from factory.policies import DEFERRED, Tally, adaptive
from factory.report.status import status
from factory.scheduling import events as ev
from factory.scheduling.foreman import Foreman
from factory.scheduling.pool import Pool, Sums

POLICY = "policy={{name: adaptive, accept: 4, at_most: 6, learn: 0, give_up: 0, gpu_hours: {}}}"


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 30)), max_size=30),
    st.integers(0, 8),
)
def test_pieces_add_up_to_the_time_for_which_replicas_were_there(steps, gpus):
    now, alive, held, given_out = 0.0, set(), 0.0, 0
    metering = Meter(gpus, clock=lambda: now)
    for replica, joins, seconds in steps:
        if joins and replica not in alive:
            metering.joined(replica)
            alive.add(replica)
        elif not joins:
            metering.left(replica)
            alive.discard(replica)
        now += seconds
        held += seconds * len(alive)
        if piece := metering.piece():
            given_out += piece.gpu_ms
    if piece := metering.piece(last=True):
        given_out += piece.gpu_ms
    assert given_out == pytest.approx(1000 * max(1, gpus) * held, abs=1.5)


def test_nothing_is_metered_unless_asked_for():
    metering = Meter(8, on=False, clock=iter(range(0, 1000, 100)).__next__)
    metering.joined("a")
    assert metering.piece() is None
    assert metering.piece(last=True) is None


def test_the_foreman_holds_the_budget_against_what_it_is_told():
    policy = adaptive.Policy(accept=4, at_most=32, learn=0, gpu_hours=1.0)
    pool = Pool()
    foreman = Foreman(policy, pool=pool)
    foreman.handle(ev.Worked(1800.0), ev.Worked(1700.0))
    assert pool.gpu_s == 3500
    assert policy.decide(Tally(), pool).start == 4
    foreman.handle(ev.Worked(100.0))
    assert policy.decide(Tally(), pool).close == "budget"
    pool.running = 1
    assert policy.decide(Tally(), pool).close == DEFERRED


def test_what_still_runs_is_reckoned_with():
    policy = adaptive.Policy(accept=4, at_most=32, learn=0, gpu_hours=1.0)
    pool = Pool(gpu_s=3000.0)
    pool.add(Sums(correct=10, failed=0, ended=10, tokens=1000))
    assert pool.gpu_s_ahead == 3000
    assert policy.decide(Tally(), pool).start == 4
    pool.running = 2  # a tenth of what was written so far, each
    assert pool.gpu_s_ahead == pytest.approx(3600)
    assert policy.decide(Tally(started=1), pool).start == 0


def test_a_budget_is_checked():
    with pytest.raises(ValueError, match="gpu_hours must be above 0, got 0"):
        adaptive.Policy(gpu_hours=0)


def test_a_run_stops_at_its_budget_and_stays_stopped(sums, tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "_PIECE_S", 0.05)
    slow = ("engine.tokens_per_second=150", "engine.slots=2", "limit=20")
    folder = tmp_path / "run"
    given = sums.recipe(POLICY.format(1 / 3600), *slow)
    result = run.run(given, folder, lambda _: None)
    assert result.complete
    state = standing.read(folder / "ledger")
    assert state.counts.closed["budget"] > 0
    assert state.counts.closed.total() == 20
    assert state.pool.gpu_s > 0.99
    assert state.counts.rollouts < 4 * 20
    pieces = [r.gpu_ms for r in scan(folder / "ledger") if isinstance(r, Worked)]
    assert len(pieces) > 3
    assert state.pool.gpu_s == pytest.approx(sum(pieces) / 1000)
    assert any("GPU-hours" in line for line in "\n".join(status(folder)).splitlines())
    again = run.run(given.model_copy(update={"limit": 30}), folder, lambda _: None)
    assert again.complete
    after = standing.read(folder / "ledger")
    assert after.counts.closed.total() == 30
    assert after.counts.tokens == state.counts.tokens, "nothing was left to spend"


def test_the_sum_is_read_from_records_as_from_columns(sums, tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "_PIECE_S", 0.05)
    folder = tmp_path / "run"
    run.run(sums.recipe(POLICY.format(1.0), "limit=5"), folder, lambda _: None)
    state = standing.Standing()
    for record in scan(folder / "ledger"):
        state.add(record)
    assert state.pool.gpu_s == pytest.approx(standing.read(folder / "ledger").pool.gpu_s)
    assert state.pool.gpu_s > 0
