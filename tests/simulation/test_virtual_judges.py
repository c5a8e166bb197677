"""The verifiers' queue and the source in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.simulation.assumptions import Judging, Losses, Scenario, Supply
from factory.simulation.judges import VirtualJudges
from factory.simulation.source import VirtualSource
from factory.types import RolloutKey


def keys(count):
    return [RolloutKey("p", i) for i in range(count)]


@given(judges=st.integers(1, 5), count=st.integers(0, 400), seconds=st.floats(0, 3))
def test_every_rollout_is_judged_once_in_order_by_as_many_as_there_are(judges, count, seconds):
    queue = VirtualJudges(Judging(judges=judges, seconds=seconds), seed=0)
    for key in keys(count):
        queue.add(key)
    judged, busy = [], 0
    while busy or queue.waiting:
        while (batch := queue.batch()) is not None:
            busy += 1
            assert 1 <= len(batch[1]) <= 64
            judged += [key for key, _ in batch[1]]
        assert busy <= judges
        assert busy == judges or not queue.waiting
        queue.done(seconds)
        busy -= 1
    assert judged == keys(count)


def test_batches_shrink_to_about_a_second_of_work():
    queue = VirtualJudges(Judging(seconds=0.25), seed=0)
    sizes = []
    for key in keys(4000):
        queue.add(key)
    while (batch := queue.batch()) is not None:
        sizes.append(len(batch[1]))
        queue.done(batch[0] / len(batch[1]))
    assert sizes[0] == 64  # nothing is known yet
    assert 2 <= sum(sizes[10:]) / len(sizes[10:]) <= 8


def test_hung_ones_take_their_limit():
    queue = VirtualJudges(Judging(seconds=0, hung=0.25, hang_s=7), seed=1)
    hung = total = 0
    for key in keys(3000):
        queue.add(key)
    while (batch := queue.batch()) is not None:
        seconds, taken = batch
        assert seconds == pytest.approx(7 * sum(h for _, h in taken))
        hung += sum(h for _, h in taken)
        total += len(taken)
        queue.done(seconds / len(taken))
    assert hung / total == pytest.approx(0.25, abs=0.03)
    assert queue.seconds == pytest.approx(7 * hung)


def test_a_slow_source_gives_what_it_has_read_and_reads_only_so_far_ahead():
    source = VirtualSource(Supply(problems=5000, per_s=10, latency_s=3))
    assert source.take(2.9, 100) == 0
    assert source.next(2.9) == 3
    assert source.take(4.0, 100) == 10
    assert source.next(4.0) == pytest.approx(4.1)
    assert source.take(1004.0, 5000) == 1024
    assert source.taken == 1034


def test_a_source_ends_by_number_or_by_time():
    few = VirtualSource(Supply(problems=3))
    assert few.take(0.0, 10) == 3
    assert few.ended(0.0)
    timed = VirtualSource(Supply(hours=1))
    assert timed.take(3599.0, 10) == 10
    assert not timed.ended(3599.0)
    assert timed.take(3600.0, 10) == 0
    assert timed.ended(3600.0)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Supply(), "needs hours"),
        (lambda: Supply(problems=0), "problems must be at least 1"),
        (lambda: Supply(hours=0), "hours must be above 0"),
        (lambda: Supply(problems=1, per_s=-1), "at least 0"),
        (lambda: Judging(judges=0), "judges must be at least 1"),
        (lambda: Judging(hung=1.5), "hung must be a share"),
        (lambda: Judging(seconds=-1), "at least 0"),
        (lambda: Losses(per_hour=-1), "at least 0"),
        (lambda: Losses(preempt_share=2), "preempt_share must be in"),
        (lambda: Scenario(supply=Supply(problems=1), replicas=0), "replicas must be at least 1"),
        (lambda: Scenario(supply=Supply(problems=1), gather_s=0), "gather_s must be above 0"),
    ],
)
def test_senseless_assumptions_are_refused(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()
