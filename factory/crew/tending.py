"""Every post of a crew is kept filled: who is lost is replaced, what keeps dying is held back.

A replica or a judge that is lost is started again, at once or after a wait that grows
(`fence.py`); nobody is given up while the run may still need him. A crew in which nobody is left
is a run that pauses: `Waiting` says who is missed and what he waits for. What ends a run instead,
because waiting would not help: an error of configuration; replicas (or judges) none of which could
be started even once; a judge that is there and cannot begin, `TRIES_AT_WORK` times in a row, while
no other one gives a verdict; a verifier that only fails (`fuse.py`).

A replica that has not answered for `_SILENT_S` counts as lost.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from factory.crew.backlog import Backlog, Batch, Pair
from factory.crew.fence import Fence
from factory.crew.fuse import Fuse
from factory.crew.replica import ReplicaEvent
from factory.engines import EngineInfo, Request
from factory.errors import EngineError, FactoryError, JudgingError, PluginError, SandboxError
from factory.recipe import Recipe
from factory.types import RolloutKey, Verdict

# Tries of a post that dies at its start without saying why, before anybody was ever at work.
_TRIES = 3
# Of a judge that was at work before, and now says that it cannot be: about a quarter of an hour.
TRIES_AT_WORK = 20
# A replica answers a poll within 30 s even when there is nothing to tell.
_SILENT_S = 300.0
CLOSE_S = 30.0


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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A post is empty, or filled again."""

    post: str
    """`replica-0`, `judge-3`: the name without the number of its present holder."""
    why: str
    """What it waits for, in a few words; empty: it is at work."""


CrewEvent = Joined | Left | Happened | JudgedBatch | Waiting


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


class Tending:
    """The posts of one run, one task each. Use it inside one event loop."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._inbox: asyncio.Queue[CrewEvent | BaseException | None] = asyncio.Queue()
        self._backlog = Backlog(recipe.verifiers[0].name)
        self._handles: dict[str, ReplicaHandle] = {}
        self._deaf: dict[str, str] = {}
        """Replicas that could not be told what to write, and why."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._replicas = _Beginning(recipe.cluster.replicas, "replica")
        self._judges = _Beginning(recipe.cluster.judges, "judge")
        self._fuse = Fuse()

    def make_replica(self, name: str) -> ReplicaHandle:
        raise NotImplementedError

    def make_judge(self, name: str) -> JudgeHandle:
        raise NotImplementedError

    def tend(self) -> None:
        """Fill every post, and keep it filled until `dismiss`."""
        for number in range(self._recipe.cluster.judges):
            self.spawn(self._tend_judge(f"judge-{number}"), f"judge-{number}")
        for number in range(self._recipe.cluster.replicas):
            self.spawn(self._tend_replica(f"replica-{number}"), f"replica-{number}")

    async def dismiss(self) -> None:
        """Stop everyone; whoever does not stop in time is left to die with this process."""
        for _ in range(2):  # what is cancelled may still begin something
            if pending := [task for task in self._tasks if not task.done()]:
                for task in pending:
                    task.cancel()
                await asyncio.wait(pending, timeout=CLOSE_S)

    def waiting(self, name: str, why: str) -> None:
        """Whoever holds a post says what it waits for; empty: for nothing."""
        self._inbox.put_nowait(Waiting(name.partition(".")[0], why))

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._inbox.put_nowait(error)

    async def _tend_replica(self, post: str) -> None:
        fence = Fence()
        for generation in itertools.count():
            name = f"{post}.{generation}" if generation else post
            self.waiting(post, "starting")
            handle = self.make_replica(name)
            try:
                info = await handle.start()
                self._replicas.came_up = True
                fence.ready()
                self._handles[name] = handle
                self.waiting(post, "")
                self._inbox.put_nowait(Joined(name, info))
                await self._listen(name, handle)
            except Exception as error:
                wait_s = fence.lost()
                self._replica_lost(post, name, error, fence, wait_s)
            finally:
                await asyncio.shield(self._stop(handle))
            await asyncio.sleep(wait_s)

    async def _listen(self, name: str, handle: ReplicaHandle) -> None:
        """Take a replica's events for as long as it lives."""
        while True:
            try:
                async with asyncio.timeout(_SILENT_S):
                    events = await handle.poll()
            except TimeoutError:
                raise ConnectionError(f"no answer for {_SILENT_S:g} s") from None
            if events:
                self._inbox.put_nowait(Happened(name, events))
            if why := self._deaf.pop(name, ""):
                raise ConnectionError(why)

    def _replica_lost(
        self, post: str, name: str, error: Exception, fence: Fence, wait_s: float
    ) -> None:
        reason = one_line(error)
        if self._handles.pop(name, None):
            self._inbox.put_nowait(Left(name, reason))
            self.waiting(post, f"lost ({reason}), next try in {wait_s:g} s")
            return
        self._replicas.failed(post, error, fence, reason)
        self.waiting(post, f"cannot start ({reason}), next try in {wait_s:g} s")

    async def _tend_judge(self, post: str) -> None:
        fence = Fence()
        while True:
            self.waiting(post, "starting")
            handle: JudgeHandle | None = None
            batch: Batch | None = None
            try:
                handle = self.make_judge(post)
                await handle.start()
                self._judges.came_up = True
                fence.ready()
                self.waiting(post, "")
                while True:
                    batch = await self._backlog.take()
                    self._hand_over(await self._judged(handle, batch))
                    batch = None
            except Exception as error:
                wait_s = fence.lost()
                self._judge_lost(post, error, fence, batch)
                self.waiting(post, f"lost ({one_line(error)}), next try in {wait_s:g} s")
            finally:
                await asyncio.shield(self._stop(handle))
            await asyncio.sleep(wait_s)

    async def _judged(self, handle: JudgeHandle, batch: Batch) -> list[Verdict]:
        """The verdicts that there are now; those that are missing are in the backlog again."""
        try:
            verdicts = await handle.judge(list(batch.pairs))
        except JudgingError as error:  # it lives: no other one would fare better
            return self._backlog.lost(batch, one_line(error), raised=True)
        self._backlog.judged(verdicts)
        self._judges.at_work()
        return verdicts

    def _hand_over(self, verdicts: list[Verdict]) -> None:
        if not verdicts or self._fuse.blown:  # then they are for the next command to give
            return
        self._inbox.put_nowait(JudgedBatch(verdicts))
        if error := self._fuse.blows(verdicts):
            self._inbox.put_nowait(error)

    def _judge_lost(self, post: str, error: Exception, fence: Fence, batch: Batch | None) -> None:
        reason = one_line(error)
        if batch is None:
            self._judges.failed(post, error, fence, reason)
        elif isinstance(error, FactoryError):  # its worker process did not come up
            self._backlog.give_back(batch)
            self._judges.failed(post, error, fence, reason)
        else:
            self._hand_over(self._backlog.lost(batch, reason))

    async def _stop(self, handle: ReplicaHandle | JudgeHandle | None) -> None:
        if handle is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await handle.stop()
        except Exception:
            return  # it is being thrown away


class _Beginning:
    """Whether there is any point in going on: nobody of one kind is at work, or ever has been."""

    def __init__(self, posts: int, kind: str) -> None:
        self.came_up = False
        self._posts = posts
        self._kind = kind
        self._hopeless: set[str] = set()
        self._in_vain: Counter[str] = Counter()

    def at_work(self) -> None:
        """One of them has done something: those that fail are missed, no more."""
        self._in_vain.clear()

    def failed(self, post: str, error: Exception, fence: Fence, reason: str) -> None:
        """A start failed.

        Raises:
            FactoryError: the configuration is at fault, no post could be filled even once, or a
                judge fails for so long that it is no passing trouble.
        """
        may_pass = isinstance(error, (EngineError, SandboxError))
        lacks = isinstance(error, PluginError)  # the configuration, or this node alone
        if isinstance(error, FactoryError) and not may_pass and not (lacks and self.came_up):
            raise error
        if self.came_up:
            if self._kind == "judge" and isinstance(error, FactoryError):
                self._failed_again(post, reason)
            return
        if may_pass or fence.losses >= _TRIES:
            self._hopeless.add(post)
        if len(self._hopeless) == self._posts:
            if may_pass:
                raise error
            wrong = EngineError if self._kind == "replica" else SandboxError
            raise wrong(f"no {self._kind} could be started; the last one: {reason}")

    def _failed_again(self, post: str, reason: str) -> None:
        self._in_vain[post] += 1
        if self._in_vain[post] >= TRIES_AT_WORK:
            raise SandboxError(
                f"no judge is at work: {post} has failed {self._in_vain[post]} times in a row, the "
                f"last time with: {reason}. Everything generated is on record; once this is "
                "mended, the same command goes on from here"
            )


def one_line(error: BaseException) -> str:
    """What a remote traceback was about: the first sentence of its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(". ")[0][:300] if lines else type(error).__name__
