"""Replicas and judges at work, wherever they are.

    driver  --generate, abort-->  replica (engine)      one per GPU group, tended for the whole run
            <--events, batched--
    driver  --pairs, batched--->  judge (verifiers)     overlaps with generation
            <--verdicts---------

Nobody waits for the driver: a replica holds more requests than it runs at once, and hands over
its events in batches through one outstanding poll. Judges take batches from one queue, about a
second of work each as judgements go, so a program that hangs holds up next to nobody. A replica
that dies is reported as `Left` and replaced; one that cannot be brought back in `_GIVE_UP`
consecutive tries is given up, and when all are, the run ends with an error and an intact ledger.

This module knows neither Ray nor processes: `LocalCrew` runs everything here, `factory.cluster`
on a Ray cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from factory import plugins
from factory.engines import EngineInfo, Request
from factory.errors import EngineError, FactoryError
from factory.feed import make_judge
from factory.recipe import Recipe
from factory.replica import Replica, ReplicaEvent
from factory.types import Problem, Rollout, RolloutKey, Verdict

_GIVE_UP = 6
_JUDGED_AT_ONCE = 64
_BATCH_S = 1.0
_CLOSE_S = 30.0

Pair = tuple[Problem, Rollout]


@dataclass(frozen=True, slots=True)
class Joined:
    """A replica is ready."""

    replica: str
    info: EngineInfo


@dataclass(frozen=True, slots=True)
class Left:
    """A replica is gone, with everything it was writing."""

    replica: str
    reason: str


@dataclass(frozen=True, slots=True)
class Happened:
    """A batch of a replica's events."""

    replica: str
    events: list[ReplicaEvent]


@dataclass(frozen=True, slots=True)
class JudgedBatch:
    verdicts: list[Verdict]


CrewEvent = Joined | Left | Happened | JudgedBatch


class ReplicaHandle(Protocol):
    """A replica, near or far."""

    async def start(self) -> EngineInfo: ...
    async def submit(self, requests: list[Request]) -> None: ...
    async def abort(self, keys: list[RolloutKey]) -> None: ...
    async def poll(self) -> list[ReplicaEvent]: ...
    async def drain(self) -> None: ...
    async def stop(self) -> None: ...


class JudgeHandle(Protocol):
    """A judge, near or far."""

    async def start(self) -> None: ...
    async def judge(self, pairs: list[Pair]) -> list[Verdict]: ...
    async def stop(self) -> None: ...


class Crew:
    """Everyone who works on one run. Use it inside one event loop."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._inbox: asyncio.Queue[CrewEvent | BaseException | None] = asyncio.Queue()
        self._unjudged: asyncio.Queue[Pair] = asyncio.Queue()
        self._handles: dict[str, ReplicaHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._judgement_s = 0.0  # what one takes, lately
        self._tended = 0
        self._error: BaseException | None = None
        self._loop = asyncio.get_running_loop()

    def make_replica(self, name: str) -> ReplicaHandle:
        raise NotImplementedError

    def make_judge(self) -> JudgeHandle:
        raise NotImplementedError

    async def start(self) -> None:
        """Bring everyone up; `events` tells who has joined."""
        for number in range(self._recipe.cluster.judges):
            self._spawn(self._tend_judge(), f"judge-{number}")
        for number in range(self._recipe.cluster.replicas):
            self._tended += 1
            self._spawn(self._tend_replica(f"replica-{number}"), f"replica-{number}")

    async def events(self, timeout: float) -> list[CrewEvent]:
        """Everything that happened since the last call; waits up to `timeout` seconds.

        Raises:
            FactoryError: the run cannot go on.
        """
        batch: list[CrewEvent | BaseException | None] = []
        if self._error is None:
            try:
                async with asyncio.timeout(timeout):
                    batch.append(await self._inbox.get())
            except TimeoutError:
                return []
        while not self._inbox.empty():
            batch.append(self._inbox.get_nowait())
        events: list[CrewEvent] = []
        for item in batch:
            if isinstance(item, BaseException):
                self._error = item
            elif item is not None:
                events.append(item)
        if self._error is not None and not events:  # what happened before it comes first
            error, self._error = self._error, None
            raise error
        return events

    def wake(self) -> None:
        """Make `events` return now; from any thread."""
        self._loop.call_soon_threadsafe(self._inbox.put_nowait, None)

    def generate(self, replica: str, requests: list[Request]) -> None:
        if handle := self._handles.get(replica):
            self._spawn(self._tell(handle.submit(requests)), "submit")

    def abort(self, replica: str, keys: list[RolloutKey]) -> None:
        if handle := self._handles.get(replica):
            self._spawn(self._tell(handle.abort(keys)), "abort")

    def verify(self, pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            self._unjudged.put_nowait(pair)

    def drain(self) -> set[str]:
        """Cut all generation short; each replica named ends its events with `Drained`."""
        for handle in self._handles.values():
            self._spawn(self._tell(handle.drain()), "drain")
        return set(self._handles)

    async def close(self) -> None:
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=_CLOSE_S)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._inbox.put_nowait(error)

    async def _tell(self, message: Coroutine[Any, Any, None]) -> None:
        try:
            await message
        except Exception:
            return  # a replica that cannot be told anything is found dead by its poll

    async def _tend_replica(self, name: str) -> None:
        failures = generation = 0
        while failures < _GIVE_UP:
            label = name if not generation else f"{name}.{generation}"
            generation += 1
            handle: ReplicaHandle | None = None
            try:
                handle = self.make_replica(label)
                info = await handle.start()
                self._handles[label] = handle
                self._inbox.put_nowait(Joined(label, info))
                while True:
                    if events := await handle.poll():
                        failures = 0
                        self._inbox.put_nowait(Happened(label, events))
            except FactoryError as error:
                self._inbox.put_nowait(error)  # configuration: another try would end the same way
                return
            except Exception as error:
                failures += 1
                reason = _one_line(error)
                if self._handles.pop(label, None):
                    self._inbox.put_nowait(Left(label, reason))
            finally:
                await asyncio.shield(self._stop(handle))
            await asyncio.sleep(2.0 ** (failures - 1) if failures else 0)
        self._tended -= 1
        if not self._tended:
            self._inbox.put_nowait(
                EngineError(f"every replica failed {_GIVE_UP} times in a row; the last: {reason}")
            )

    async def _stop(self, handle: ReplicaHandle | JudgeHandle | None) -> None:
        try:
            if handle is not None:
                await handle.stop()
        except Exception:
            return  # it is being thrown away

    async def _tend_judge(self) -> None:
        failures = 0
        batch: list[Pair] = []
        while True:
            handle: JudgeHandle | None = None
            try:
                handle = self.make_judge()
                await handle.start()
                while True:
                    batch = batch or await self._next_batch()
                    verdicts = await handle.judge(batch)
                    self._inbox.put_nowait(JudgedBatch(verdicts))
                    mean = sum(v.seconds for v in verdicts) / len(verdicts)
                    self._judgement_s = (self._judgement_s + mean) / 2
                    batch, failures = [], 0
            except FactoryError as error:
                self._inbox.put_nowait(error)
                return
            except Exception as error:
                failures += 1
                if failures == _GIVE_UP:
                    self._inbox.put_nowait(error)
                    return
            finally:
                await asyncio.shield(self._stop(handle))

    async def _next_batch(self) -> list[Pair]:
        batch = [await self._unjudged.get()]
        most = min(_JUDGED_AT_ONCE, _BATCH_S / max(self._judgement_s, 1e-6))
        while not self._unjudged.empty() and len(batch) < most:
            batch.append(self._unjudged.get_nowait())
        return batch


def _one_line(error: BaseException) -> str:
    """What a remote traceback was about: the first sentence of its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(". ")[0][:300] if lines else type(error).__name__


class LocalReplica:
    """A replica in this process."""

    def __init__(self, recipe: Recipe, name: str) -> None:
        engine = plugins.build("engine", recipe.engine.name, recipe.engine.options)
        self._replica = Replica(engine, name, recipe.cluster.log_every)

    async def start(self) -> EngineInfo:
        return await self._replica.start()

    async def submit(self, requests: list[Request]) -> None:
        self._replica.submit(requests)

    async def abort(self, keys: list[RolloutKey]) -> None:
        self._replica.abort(keys)

    async def poll(self) -> list[ReplicaEvent]:
        return await self._replica.poll()

    async def drain(self) -> None:
        await self._replica.drain()

    async def stop(self) -> None:
        await self._replica.stop()


class LocalJudge:
    """A judge with its worker process on this machine."""

    def __init__(self, recipe: Recipe) -> None:
        self._judge = make_judge(recipe)

    async def start(self) -> None:
        await asyncio.to_thread(self._judge.start)

    async def judge(self, pairs: list[Pair]) -> list[Verdict]:
        return await asyncio.to_thread(self._judge.judge_many, pairs)

    async def stop(self) -> None:
        await asyncio.to_thread(self._judge.close)


class LocalCrew(Crew):
    """Everything on this machine, without Ray."""

    def make_replica(self, name: str) -> ReplicaHandle:
        return LocalReplica(self._recipe, name)

    def make_judge(self) -> JudgeHandle:
        return LocalJudge(self._recipe)
