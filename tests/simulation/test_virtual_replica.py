"""A replica in virtual time against one that looks at every request at every change."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.simulation.assumptions import Speed
from factory.simulation.flight import Flight, Open
from factory.simulation.replica import VirtualReplica
from factory.types import RolloutKey


class Nature:
    """A problem all of whose rollouts have so many tokens."""

    rate = 1.0

    def __init__(self, tokens):
        self.tokens = tokens

    def draw(self, index):
        return self.tokens, True, None


def flight(key, tokens, prompt=0):
    return Flight(key, Open(Nature(tokens)), prompt)


class Plain:
    """The same engine, moved on request by request; every change costs O(n)."""

    def __init__(self, speed):
        self.steps, self.most = speed.steps, speed.sequences
        self.now = 0.0
        self.left, self.waiting, self.ended = {}, {}, []

    def until(self, now):
        while self.left:
            step = self.steps[len(self.left)]
            key = min(self.left, key=lambda k: (self.left[k], k))
            end = self.now + self.left[key] * step
            if end > now:
                for other in self.left:
                    self.left[other] -= (now - self.now) / step
                break
            tokens = self.left.pop(key)
            for other in self.left:
                self.left[other] -= tokens
            self.now = end
            self.ended.append((key, end))
            self.fill()
        self.now = now

    def fill(self):
        if self.waiting and len(self.left) < self.most:
            key = next(iter(self.waiting))
            self.left[key] = self.waiting.pop(key)


SPEEDS = st.builds(
    lambda alone, times, sequences: Speed(
        alone=alone, full=alone * (1 + times * (sequences - 1)), sequences=sequences, prefill=1e12
    ),
    st.floats(1, 200),
    st.floats(0, 1),
    st.integers(1, 6),
)
CHANGES = st.lists(
    st.tuples(st.floats(0.0, 30.0), st.integers(0, 400), st.booleans()), min_size=1, max_size=40
)


@given(speed=SPEEDS, changes=CHANGES)
@settings(max_examples=150, deadline=None)
def test_requests_end_when_they_would_if_each_was_looked_at(speed, changes):
    fast, plain = VirtualReplica("r", 0, speed, speed.steps, 0.0), Plain(speed)
    ended, flights, now = [], {}, 0.0

    def until(now):
        while (end := fast.next_end()) is not None and end <= now:
            ended.append((fast.end(end).key, end))
        plain.until(now)

    for number, (wait, tokens, cut) in enumerate(changes):
        now += wait
        until(now)
        # Where a request ends at just this moment, either order is right.
        assert [k for k, _ in ended] == [k for k, _ in plain.ended]
        held = sorted({*plain.left, *plain.waiting})
        if cut and held:
            key = held[tokens % len(held)]
            left = plain.left.pop(key, plain.waiting.pop(key, None))
            written = fast.cut(now, flights[key])
            asked = int(key.problem_id)
            assert written == pytest.approx(asked - left, abs=1.001)
            plain.fill()
        elif tokens:
            key = RolloutKey(str(tokens), number)
            plain.waiting[key] = float(tokens)
            flights[key] = flight(key, tokens)
            assert fast.take(now, flights[key]) == (len(plain.left) < plain.most)
            plain.fill()
        assert (fast.running, fast.waiting) == (len(plain.left), len(plain.waiting))
    until(now + 1e9)
    for (key, end), (other, expected) in zip(ended, plain.ended, strict=True):
        assert key == other
        assert end == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_speed_of_a_batch_is_that_of_its_two_figures():
    speed = Speed(alone=100, full=1000, sequences=32)
    steps = speed.steps
    assert 1 / steps[1] == pytest.approx(100)
    assert 32 / steps[32] == pytest.approx(1000)
    throughput = [n / steps[n] for n in range(1, 33)]
    assert throughput == sorted(throughput)
    gains = [b - a for a, b in pairwise(throughput)]
    assert gains == sorted(gains, reverse=True)  # it saturates


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"alone": 0}, "alone must be above 0"),
        ({"alone": 100, "full": 90}, "between 1 and 256 times"),
        ({"alone": 10, "full": 1000, "sequences": 8}, "between 1 and 8 times"),
        ({"sequences": 0}, "sequences must be at least 1"),
        ({"ahead": 0.5}, "ahead must be at least 1"),
        ({"start_s": -1}, "start_s must be at least 0"),
    ],
)
def test_speeds_that_no_engine_has_are_refused(options, rule):
    with pytest.raises(ValueError, match=rule):
        Speed(**options)


def test_prompts_hold_up_the_whole_batch():
    speed = Speed(alone=10, full=20, sequences=2, prefill=100)
    replica = VirtualReplica("r", 0, speed, speed.steps, 0.0)
    first = flight(RolloutKey("a", 0), 10, prompt=100)
    replica.take(0.0, first)
    assert replica.next_end() == pytest.approx(1.0 + 1.0)
    replica.take(1.5, flight(RolloutKey("b", 0), 10, prompt=50))
    assert replica.next_end() == pytest.approx(1.5 + 0.5 + 0.5)
    assert replica.written(first) == 5


def test_a_lost_replica_tells_what_it_had_written():
    speed = Speed(alone=10, full=10, sequences=1, ahead=2, prefill=1e9)
    replica = VirtualReplica("r", 0, speed, speed.steps, 0.0)
    running, waiting = (flight(RolloutKey(name, 0), 100) for name in "ab")
    assert replica.take(0.0, running)
    assert not replica.take(0.0, waiting)
    assert replica.lose(4.0) == [(running, 40), (waiting, 0)]
    assert replica.next_end() is None
