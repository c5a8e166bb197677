"""Replicas and judges at work, wherever they are.

    driver  --generate, abort-->  replica (engine)      one per GPU group, tended for the whole run
            <--events, batched--
    driver  --pairs, batched--->  judge (verifiers)     overlaps with generation
            <--verdicts---------

Nobody waits for the driver: a replica holds more requests than it runs at once, and hands over
its events in batches through one outstanding poll. Judges take batches from one queue
(`factory.crew.backlog`). Whoever is lost is replaced (`factory.crew.tending`).

This module knows neither Ray nor processes: `LocalCrew` runs everything here, `factory.cluster`
on a Ray cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from factory import plugins
from factory.crew.backlog import Pair
from factory.crew.replica import Replica, ReplicaEvent
from factory.crew.tending import (
    CrewEvent,
    Happened,
    Joined,
    JudgedBatch,
    JudgeHandle,
    Left,
    ReplicaHandle,
    Tending,
    Waiting,
    one_line,
)
from factory.engines import EngineInfo, Request
from factory.errors import FactoryError, JudgingError
from factory.feed import make_judge
from factory.recipe import Recipe
from factory.types import RolloutKey, Verdict

__all__ = [
    "Crew",
    "CrewEvent",
    "Happened",
    "Joined",
    "JudgeHandle",
    "JudgedBatch",
    "Left",
    "LocalCrew",
    "LocalJudge",
    "LocalReplica",
    "Pair",
    "ReplicaHandle",
    "Waiting",
]


class Crew(Tending):
    """Everyone who works on one run. Use it inside one event loop."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._error: BaseException | None = None
        self._raised = False
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Bring everyone up; `events` tells who has joined."""
        self.tend()

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
            if isinstance(item, BaseException):  # the first one is told; the rest is the end of it
                self._error = self._error if self._raised else item
            elif item is not None:
                events.append(item)
        if self._error is not None and not events:  # what happened before it comes first
            error, self._error, self._raised = self._error, None, True
            raise error
        return events

    def wake(self) -> None:
        """Make `events` return now; from any thread."""
        self._loop.call_soon_threadsafe(self._inbox.put_nowait, None)

    def generate(self, replica: str, requests: list[Request]) -> None:
        if handle := self._handles.get(replica):
            self.spawn(self._submit(replica, handle, requests), "submit")

    def abort(self, replica: str, keys: list[RolloutKey]) -> None:
        if handle := self._handles.get(replica):
            self.spawn(self._tell(handle.abort(keys)), "abort")

    def verify(self, pairs: Sequence[Pair]) -> None:
        self._backlog.put(pairs)

    def drain(self) -> set[str]:
        """Cut all generation short; each replica named ends its events with `Drained`."""
        for handle in self._handles.values():
            self.spawn(self._tell(handle.drain()), "drain")
        return set(self._handles)

    async def close(self) -> None:
        await self.dismiss()

    async def _submit(self, name: str, replica: ReplicaHandle, requests: list[Request]) -> None:
        try:
            await replica.submit(requests)
        except Exception as error:  # whatever it answers else, these would never end
            self._deaf[name] = f"it takes no requests: {one_line(error)}"

    async def _tell(self, message: Coroutine[Any, Any, None]) -> None:
        try:
            await message
        except Exception:
            return  # a replica that cannot be told anything is found dead by its poll


class LocalReplica:
    """A replica in this process."""

    def __init__(self, recipe: Recipe, name: str) -> None:
        engine = plugins.build("engine", recipe.engine.name, recipe.engine.options)
        limits = recipe.cluster
        self._replica = Replica(
            engine, name, limits.cadence, limits.stalled_after_s, limits.gather_s
        )

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
        """One verdict per pair.

        Raises:
            JudgingError: the judge lives, but not so that it could judge these.
            FactoryError: it could not begin.
        """
        try:
            return await asyncio.to_thread(self._judge.judge_many, pairs)
        except FactoryError:
            raise
        except Exception as error:
            raise JudgingError(f"{type(error).__name__}: {error}") from error

    async def stop(self) -> None:
        self._judge.interrupt()
        await asyncio.to_thread(self._judge.close)


class LocalCrew(Crew):
    """Everything on this machine, without Ray."""

    def make_replica(self, name: str) -> ReplicaHandle:
        return LocalReplica(self._recipe, name)

    def make_judge(self, name: str) -> JudgeHandle:
        return LocalJudge(self._recipe)
