"""The replica: requests in, batches of events out, nothing lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from factory.crew.replica import Broke, Drained, Ended, Progressed, Replica, ReplicaEvent
from factory.engines import Chunk, EngineDead, EngineInfo, Request, RequestRefused, Resources
from factory.types import RolloutKey, Sampling


@dataclass
class Fake:
    """Writes numbered tokens; `act` decides what happens before each."""

    length: int = 10
    act: Callable[[Request, int], Coroutine[Any, Any, None]] | None = None
    aborts_itself: bool = False
    aborted: set[RolloutKey] = field(default_factory=set)
    closed: list[RolloutKey] = field(default_factory=list)
    stopped: bool = False

    def resources(self) -> Resources:
        return Resources()

    async def start(self) -> EngineInfo:
        return EngineInfo(model="fake", slots=8, can_continue=True)

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        try:
            written = ""
            for token in range(len(request.prefix), self.length):
                if self.act is not None:
                    await self.act(request, token)
                if request.key in self.aborted:
                    yield Chunk(text="!", token_ids=(99,), num_tokens=1, finish_reason="abort")
                    return
                written += f"{token} "
                yield Chunk(text=f"{token} ", token_ids=(token,), num_tokens=1, reasoning="r")
            whole = "".join(f"{t} " for t in request.prefix) + written if request.prefix else None
            yield Chunk(finish_reason="stop", prompt_tokens=4, whole_text=whole)
        finally:
            self.closed.append(request.key)

    async def abort(self, request: Request) -> bool:
        self.aborted.add(request.key)
        return self.aborts_itself

    async def stop(self) -> None:
        self.stopped = True


def slowly(seconds: float = 0.01) -> Callable[[Request, int], Coroutine[Any, Any, None]]:
    async def act(_: Request, __: int) -> None:
        await asyncio.sleep(seconds)

    return act


def request(index: int = 0, prefix: tuple[int, ...] = ()) -> Request:
    return Request(
        key=RolloutKey("p", index),
        messages=({"role": "user", "content": "q"},),
        sampling=Sampling(),
        prefix=prefix,
        restarts=bool(prefix),
    )


def with_replica(
    engine: Fake,
    work: Callable[[Replica], Coroutine[Any, Any, Any]],
    log_every: int = 1000,
    gather_s: float = 0.025,
) -> Any:
    async def go() -> Any:
        replica = Replica(engine, "replica-0", log_every, gather_s=gather_s)
        await replica.start()
        try:
            return await work(replica)
        finally:
            await replica.stop()

    return asyncio.run(go())


async def until(replica: Replica, count: int) -> list[ReplicaEvent]:
    """Poll until so many events have come."""
    events: list[ReplicaEvent] = []
    while len(events) < count:
        batch = await replica.poll(5)
        assert batch, f"no news; so far: {events}"
        events += batch
    return events


async def drain(replica: Replica) -> list[ReplicaEvent]:
    """What is reported of everything that was cut short."""
    await replica.drain()
    *events, last = await replica.poll(1.0)
    assert last == Drained()
    return events


def test_rollout_holds_what_was_written() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        return await until(replica, 1)

    [event] = with_replica(Fake(length=3), work)
    assert isinstance(event, Ended)
    rollout = event.rollout
    assert rollout.completion.text == "0 1 2 "
    assert rollout.completion.reasoning == "rrr"
    assert rollout.completion.finish_reason == "stop"
    assert (rollout.completion.num_tokens, rollout.completion.prompt_tokens) == (3, 4)
    assert (rollout.model, rollout.replica, rollout.restarts) == ("fake", "replica-0", 0)
    assert rollout.seed == request().seed


def test_continued_rollout_counts_and_shows_its_prefix() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request(prefix=(0, 1))])
        return await until(replica, 1)

    [event] = with_replica(Fake(length=5), work)
    assert event.rollout.completion.text == "0 1 2 3 4 "
    assert event.rollout.completion.num_tokens == 5
    assert event.rollout.restarts == 1
    assert event.rollout.seed == request(prefix=(0, 1)).seed != request().seed


def test_events_come_in_batches() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit(request(index) for index in range(100))
        return await replica.poll(5)

    events = with_replica(Fake(length=2), work)
    assert {event.rollout.index for event in events} == set(range(100))


def test_no_news_is_an_empty_batch() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        return await replica.poll(0.01)

    assert with_replica(Fake(), work) == []


def test_progress_is_reported_every_so_many_tokens() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        return await until(replica, 4)

    *reports, last = with_replica(Fake(length=10), work, log_every=3)
    assert reports == [
        Progressed(request().key, part[0], part) for part in ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    ]
    assert isinstance(last, Ended)
    assert last.rollout.completion.num_tokens == 10


@pytest.mark.parametrize("aborts_itself", [True, False])
def test_aborted_rollout_ends_with_its_text(aborts_itself: bool) -> None:
    engine = Fake(length=10_000, act=slowly(), aborts_itself=aborts_itself)

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request(0), request(1)])
        await asyncio.sleep(0.1)
        replica.abort([request(0).key, RolloutKey("unknown", 0)])
        events = await until(replica, 1)
        assert engine.closed == [request(0).key]
        assert await replica.poll(0.05) == []
        return events

    [event] = with_replica(engine, work)
    assert isinstance(event, Ended)
    assert event.rollout.key == request(0).key
    assert event.rollout.completion.finish_reason == "abort"
    assert event.rollout.completion.text.startswith("0 1 ")
    assert event.rollout.completion.text.endswith("!") == aborts_itself


def test_what_an_engine_cuts_short_unasked_goes_on_and_has_not_ended() -> None:
    """As vLLM does with everything when it is told to end: SIGTERM to every process of a job."""
    engine = Fake(length=10_000, act=slowly())

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        await asyncio.sleep(0.1)
        engine.aborted.add(request().key)
        return await until(replica, 2)

    progressed, broke = with_replica(engine, work)
    assert isinstance(progressed, Progressed)
    assert progressed.token_ids[:3] == (0, 1, 2)
    assert isinstance(broke, Broke)
    assert (broke.key, broke.fatal) == (request().key, False)
    assert "unasked" in broke.reason


@pytest.mark.parametrize("aborts_itself", [True, False])
def test_abort_right_after_submit_still_ends(aborts_itself: bool) -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        replica.abort([request().key])
        return await until(replica, 1)

    [event] = with_replica(Fake(act=slowly(), aborts_itself=aborts_itself), work)
    assert event.rollout.completion.finish_reason == "abort"


def test_abort_of_a_rollout_that_ends_meanwhile_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    async def refuses(_: Request, __: int) -> None:
        raise RequestRefused("no")

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        replica.abort([request().key])
        return await until(replica, 1)

    assert with_replica(Fake(act=refuses), work) == [Broke(request().key, "no", True)]
    assert not caplog.records


@pytest.mark.parametrize("aborts_itself", [True, False])
def test_drain_returns_the_tokens_that_are_not_logged_yet(aborts_itself: bool) -> None:
    engine = Fake(length=10_000, act=slowly(), aborts_itself=aborts_itself)

    async def work(replica: Replica) -> tuple[list[ReplicaEvent], list[ReplicaEvent]]:
        replica.submit(request(index) for index in range(3))
        await asyncio.sleep(0.15)
        return await replica.poll(0.1), await drain(replica)

    logged, drained = with_replica(engine, work, log_every=4)
    assert sorted(engine.closed) == [request(index).key for index in range(3)]
    assert all(isinstance(event, Progressed) for event in logged + drained)
    for index in range(3):
        parts = [e.token_ids for e in logged + drained if e.key == request(index).key]
        tokens = [t for part in parts for t in part if t != 99]
        assert tokens == list(range(len(tokens)))
        assert len(tokens) > 4


def test_drain_keeps_what_had_ended() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        await asyncio.sleep(0.1)
        return await drain(replica)

    [event] = with_replica(Fake(length=2), work)
    assert event.rollout.completion.finish_reason == "stop"


def test_failures_tell_whose_fault_they_are() -> None:
    async def act(asked: Request, token: int) -> None:
        if token == 1 and asked.key.index == 0:
            raise RequestRefused("too long")
        if token == 1 and asked.key.index == 1:
            raise ValueError("hiccup")

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit(request(index) for index in range(3))
        return await until(replica, 4)

    events = with_replica(Fake(act=act), work)
    assert Progressed(request(1).key, 0, (0,)) in events  # what a failing request wrote is kept
    broke = {event.key.index: event for event in events if isinstance(event, Broke)}
    assert broke[0] == Broke(request(0).key, "too long", fatal=True)
    assert broke[1] == Broke(request(1).key, "ValueError: hiccup", fatal=False)
    assert [e.rollout.index for e in events if isinstance(e, Ended)] == [2]


def test_stream_that_just_ends_is_a_failure() -> None:
    class Mute(Fake):
        async def generate(self, request: Request) -> AsyncIterator[Chunk]:
            yield Chunk(text="a", num_tokens=1)

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        return await until(replica, 1)

    [event] = with_replica(Mute(), work)
    assert event.reason == "RuntimeError: the engine's stream ended without a finish reason"
    assert not event.fatal


def test_dead_engine_surfaces_behind_the_events_before_it() -> None:
    async def act(asked: Request, token: int) -> None:
        if asked.key.index == 1 and token == 5:
            raise EngineDead("out of memory")

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request(0), request(1)])
        events = await until(replica, 2)
        for _ in range(2):
            with pytest.raises(EngineDead, match="out of memory"):
                await replica.poll(1)
        return events

    [event, last_words] = with_replica(Fake(act=act), work)
    assert event.rollout.index == 0
    assert last_words == Progressed(request(1).key, 0, (0, 1, 2, 3, 4))


def test_a_dying_engine_takes_no_token_along_that_its_replica_has() -> None:
    async def act(asked: Request, token: int) -> None:
        await asyncio.sleep(0.001)
        if asked.key.index == 3 and token == 7:
            raise EngineDead("gone")

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit(request(index) for index in range(4))
        events: list[ReplicaEvent] = []

        async def listen() -> None:
            while True:
                events.extend(await replica.poll(5))

        with pytest.raises(EngineDead):
            await listen()
        return events

    events = with_replica(Fake(length=1000, act=act), work)
    written = {event.key.index: event.token_ids for event in events}
    assert sorted(written) == [0, 1, 2, 3]
    assert written[3] == tuple(range(7))
    assert all(tokens == tuple(range(len(tokens))) for tokens in written.values())
    assert min(map(len, written.values())) >= 6


def test_an_engine_that_writes_nothing_for_long_is_dead() -> None:
    async def act(asked: Request, token: int) -> None:
        if token == 3:
            await asyncio.sleep(60)

    async def work() -> None:
        replica = Replica(Fake(act=act), "r", 1000, stalled_after_s=0.3)
        await replica.start()
        try:
            assert await replica.poll(0.5) == []  # idle is not stalled
            replica.submit([request()])
            with pytest.raises(EngineDead, match=r"wrote nothing for \d+ s, holding 1 rollouts"):
                await until(replica, 9)
        finally:
            await replica.stop()

    asyncio.run(work())


def test_failures_are_reported_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    async def act(asked: Request, token: int) -> None:
        raise ValueError("hiccup")

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit(replace(request(index), attempts=index) for index in range(5))
        return await until(replica, 5)

    with monkeypatch.context() as patch:
        patch.setattr("factory.crew.replica.asyncio.sleep", sleep)
        events = with_replica(Fake(act=act), work)
    assert all(isinstance(event, Broke) for event in events)
    assert sorted(s for s in slept if s > 0.1) == [0.25, 1.0, 4.0, 16.0, 30.0]


def test_a_failed_request_that_waits_can_be_aborted() -> None:
    async def act(asked: Request, token: int) -> None:
        raise ValueError("hiccup")

    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([replace(request(), attempts=9)])
        await asyncio.sleep(0.05)
        replica.abort([request().key])
        return await until(replica, 1)

    [event] = with_replica(Fake(act=act), work)
    assert event.rollout.completion.finish_reason == "abort"


def test_stop_ends_everything_and_stops_the_engine() -> None:
    engine = Fake(length=10_000, act=slowly())

    async def work(replica: Replica) -> None:
        replica.submit(request(index) for index in range(3))
        await asyncio.sleep(0.05)

    with_replica(engine, work)
    assert engine.stopped
    assert len(engine.closed) == 3


def test_rollout_can_be_interrupted_and_continued() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        await asyncio.sleep(0.1)
        return await drain(replica)

    [event] = with_replica(Fake(length=50, act=slowly()), work)
    again = replace(request(), prefix=event.token_ids, restarts=1)

    async def on(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([again])
        return await until(replica, 1)

    [ended] = with_replica(Fake(length=50), on)
    assert ended.rollout.completion.text == "".join(f"{t} " for t in range(50))
    assert ended.rollout.completion.num_tokens == 50


def test_reports_gather_until_something_is_pressing() -> None:
    async def work(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        async with asyncio.timeout(20):
            return await replica.poll()

    engine = Fake(length=6, act=slowly(0.02))
    *reports, last = with_replica(engine, work, log_every=1, gather_s=60)
    assert isinstance(last, Ended)
    assert len(reports) == 6
    assert all(isinstance(event, Progressed) for event in reports)


@pytest.mark.parametrize("gather_s", [0.025, 60])
def test_a_drain_and_a_death_do_not_wait_for_more(gather_s: float) -> None:
    async def drained(replica: Replica) -> ReplicaEvent:
        replica.submit([request()])
        async with asyncio.timeout(20):
            asking = asyncio.create_task(replica.poll())
            await replica.drain()
            return (await asking)[-1]

    engine = Fake(length=1000, act=slowly())
    assert with_replica(engine, drained, log_every=2, gather_s=gather_s) == Drained()

    async def dies(_: Request, token: int) -> None:
        if token == 5:
            raise EngineDead("gone")

    async def died(replica: Replica) -> list[ReplicaEvent]:
        replica.submit([request()])
        async with asyncio.timeout(20):
            return [event for _ in range(9) for event in await replica.poll()]

    with pytest.raises(EngineDead):
        with_replica(Fake(act=dies), died, log_every=2, gather_s=gather_s)


def test_few_ends_wait_and_many_do_not() -> None:
    async def work(replica: Replica) -> tuple[int, int]:
        replica._info = EngineInfo(model="fake", slots=60, can_continue=True)
        replica.submit([request(i) for i in range(3)])
        async with asyncio.timeout(20):
            many = await replica.poll()
        replica.submit([request(i) for i in range(2)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await replica.poll()
        return len(many), len(replica._events)

    assert with_replica(Fake(), work, gather_s=60) == (3, 2)
