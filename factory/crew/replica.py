"""One engine at work: requests in, batches of events out.

A replica holds an engine and one task per request. Whatever happens is collected and handed over
by `poll` in batches, so that the number of messages grows with time and not with tokens. Tokens
of a rollout in progress are reported every `log_every`, to be logged and continued from.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from factory import public
from factory.engines import Chunk, Engine, EngineDead, EngineInfo, Request, RequestRefused
from factory.scheduling.doomed import Watcher
from factory.types import Branch, Completion, FinishReason, Rollout, RolloutKey

# Events gather at least this long before they are handed over: 40 messages a second at most.
_GATHER_S = 0.025
# What frees this share of the slots is handed over at once: a quarter of an engine's reserve.
_PRESSING = 0.05
# A failure is reported after the first, 4 times as late each further time, at most the second.
_RETRY_S = (0.25, 30.0)


@dataclass(frozen=True, slots=True)
class Progressed:
    """Tokens written since the last report of this rollout."""

    key: RolloutKey
    start: int
    """How many tokens of the rollout come before these."""
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A rollout came to an end: by itself, at its limit, or aborted."""

    rollout: Rollout


@dataclass(frozen=True, slots=True)
class Broke:
    """A request failed."""

    key: RolloutKey
    reason: str
    fatal: bool
    """The request itself is at fault."""


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing more will happen: everything was cut short, and reported before this."""


ReplicaEvent = Progressed | Ended | Broke | Drained


@dataclass(slots=True)
class _Writing:
    """A completion in the making."""

    request: Request
    started: float
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logged: int = 0
    """Tokens reported so far, those of the prefix included."""
    unlogged: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    """All of them, with their entropies: only where others may part from it."""
    entropies: list[float] = field(default_factory=list)
    num_tokens: int = 0
    prompt_tokens: int = 0
    whole_text: str | None = None
    aborting: bool = False
    """The engine was asked to cut it short."""
    watcher: Watcher | None = None
    doomed: str = ""
    """The detector that found it lost, after `doomed_at` tokens."""
    doomed_at: int = 0

    def add(self, chunk: Chunk) -> None:
        self.text.append(chunk.text)
        self.unlogged += chunk.token_ids
        self.num_tokens += chunk.num_tokens
        if self.request.branching:
            self.tokens += chunk.token_ids
            self.entropies += chunk.entropies
        if chunk.reasoning:
            self.reasoning.append(chunk.reasoning)
        self.prompt_tokens = chunk.prompt_tokens or self.prompt_tokens
        self.whole_text = chunk.whole_text
        if self.watcher and not self.doomed:
            found = self.watcher.add((chunk.reasoning or "") + chunk.text, chunk.num_tokens)
            if found:
                self.doomed, self.doomed_at = found, len(self.request.prefix) + self.num_tokens

    @property
    def branch(self) -> Branch | None:
        """What it took from another rollout, or lends to others."""
        if self.request.branching is None:
            return self.request.branch
        return self.request.branching.lend([*self.request.prefix, *self.tokens], self.entropies)

    @property
    def cut(self) -> bool:
        """Whether to write no further."""
        watch = self.request.watch
        return bool(self.doomed) and watch is not None and not watch.audit


class Replica:
    """Runs requests on one engine.

    Args:
        engine: not yet started.
        name: unique within the run.
        log_every: tokens of a rollout between two reports of it.
        stalled_after_s: an engine that holds requests and writes nothing for so long is dead.
        gather_s: events gather this long, unless they free many slots: every message costs the
            driver time, and many replicas send many.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        log_every: int,
        stalled_after_s: float = 900.0,
        gather_s: float = _GATHER_S,
    ) -> None:
        self._engine = engine
        self._name = name
        self._log_every = log_every
        self._stalled_after_s = stalled_after_s
        self._gather_s = gather_s
        self._freed = 0
        self._heard = 0.0
        self._info: EngineInfo | None = None
        self._tasks: dict[RolloutKey, asyncio.Task[None]] = {}
        self._writing: dict[RolloutKey, _Writing] = {}
        self._events: list[ReplicaEvent] = []
        self._news = asyncio.Event()
        self._pressing = asyncio.Event()
        self._dead: BaseException | None = None
        self._aborts: set[asyncio.Task[None]] = set()
        self._draining = False

    async def start(self) -> EngineInfo:
        self._info = await self._engine.start()
        return self._info

    def submit(self, requests: Iterable[Request]) -> None:
        if not self._tasks:
            self._heard = time.monotonic()
        for request in requests:
            self._writing[request.key] = writing = _Writing(
                request=request, started=time.monotonic(), logged=len(request.prefix)
            )
            if request.watch:
                budget = request.sampling.max_tokens - len(request.prefix)
                writing.watcher = Watcher(request.watch, budget)
            self._tasks[request.key] = asyncio.create_task(self._run(request.key))

    def abort(self, keys: Iterable[RolloutKey]) -> None:
        """Cut rollouts short; each still ends with an event of its own."""
        for key in keys:
            if key in self._tasks:
                self._aborts.add(task := asyncio.create_task(self._abort(key)))
                task.add_done_callback(self._aborts.discard)

    async def _abort(self, key: RolloutKey) -> None:
        if (writing := self._writing.get(key)) is None:
            return  # It ended before its turn came.
        writing.aborting = True
        handled = await self._engine.abort(writing.request)
        if not handled and (task := self._tasks.get(key)):
            task.cancel()

    async def poll(self, timeout: float = 30.0) -> list[ReplicaEvent]:
        """What happened since the last call; empty after `timeout` seconds without news.

        Raises:
            EngineDead: the engine is gone, and with it every rollout in progress.
        """
        try:
            async with asyncio.timeout(min(timeout, self._stalled_after_s)):
                await self._news.wait()
        except TimeoutError:
            self._expect_life()
            return []
        await self._gather()
        if self._dead is not None and not self._events:
            raise EngineDead(str(self._dead)) from self._dead
        self._news.clear()
        if self._dead is not None:
            self._news.set()
        events, self._events = self._events, []
        return events

    async def _gather(self) -> None:
        """Let more come together, until something is pressing."""
        await asyncio.sleep(_GATHER_S)
        if self._gather_s > _GATHER_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._gather_s - _GATHER_S):
                    await self._pressing.wait()
        self._freed = 0
        if self._dead is None:
            self._pressing.clear()

    def _expect_life(self) -> None:
        silent = time.monotonic() - self._heard
        if self._tasks and silent >= self._stalled_after_s:
            held = len(self._tasks)
            raise EngineDead(
                f"the engine wrote nothing for {silent:.0f} s, holding {held} rollouts"
            )

    async def drain(self) -> None:
        """Cut everything short; `poll` reports what was not yet logged of it, then `Drained`."""
        self._draining = True
        tasks = list(self._tasks.values())
        self.abort(list(self._tasks))
        await asyncio.gather(*tasks, return_exceptions=True)
        self._emit(Drained())

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._engine.stop()

    def _emit(self, event: ReplicaEvent) -> None:
        self._events.append(event)
        self._news.set()
        if not isinstance(event, Progressed):
            slots = self._info.slots if self._info else 1
            self._freed += 1
            if isinstance(event, Drained) or self._freed >= _PRESSING * slots:
                self._pressing.set()

    async def _run(self, key: RolloutKey) -> None:
        writing = self._writing[key]
        try:
            await self._attempt(writing)
        except asyncio.CancelledError:
            self._end(writing, "abort")
        except RequestRefused as error:
            self._emit(Broke(key, str(error), True))
        except EngineDead as error:
            self._dead = error
            for each in self._writing.values():
                self._report(each)
            self._news.set()
            self._pressing.set()
        finally:
            del self._tasks[key], self._writing[key]

    async def _attempt(self, writing: _Writing) -> None:
        try:
            self._end(writing, await self._write(writing))
        except (RequestRefused, EngineDead):
            raise
        except Exception as error:
            self._report(writing)
            first, longest = _RETRY_S
            await asyncio.sleep(min(first * 4.0**writing.request.attempts, longest))
            reason = f"{type(error).__name__}: {error}"
            self._emit(Broke(writing.request.key, reason, False))

    def _end(self, writing: _Writing, finish: FinishReason) -> None:
        if finish == "abort" and self._draining:
            self._report(writing)
        else:
            self._emit(Ended(self._rollout(writing, finish)))

    def _report(self, writing: _Writing) -> None:
        """Hand over what has not been logged yet."""
        if writing.unlogged:
            self._emit(Progressed(writing.request.key, writing.logged, tuple(writing.unlogged)))
            writing.logged += len(writing.unlogged)
            writing.unlogged.clear()

    async def _write(self, writing: _Writing) -> FinishReason:
        stream = self._engine.generate(writing.request)
        try:
            async for chunk in stream:
                self._heard = time.monotonic()
                writing.add(chunk)
                if chunk.finish_reason == "abort" and not writing.aborting:
                    raise RuntimeError("the engine cut it short unasked, as one does that ends")
                if chunk.finish_reason is not None:
                    return chunk.finish_reason
                if writing.cut:
                    writing.aborting = True
                    if not await self._engine.abort(writing.request):
                        return "abort"
                if len(writing.unlogged) >= self._log_every:
                    self._report(writing)
        finally:
            await stream.aclose()  # type: ignore[attr-defined]
        raise RuntimeError("the engine's stream ended without a finish reason")

    def _rollout(self, writing: _Writing, finish: FinishReason) -> Rollout:
        assert self._info is not None
        request = writing.request
        shared = request.branch.shared if request.branch else 0
        text = writing.whole_text if writing.whole_text is not None else "".join(writing.text)
        completion = Completion(
            text=text,
            reasoning="".join(writing.reasoning) or None,
            finish_reason=finish,
            prompt_tokens=writing.prompt_tokens,
            num_tokens=len(request.prefix) - shared + writing.num_tokens,
        )
        return Rollout(
            problem_id=request.key.problem_id,
            index=request.key.index,
            model=public.name(self._info.model),
            completion=completion,
            seed=request.seed,
            replica=self._name,
            seconds=round(time.monotonic() - writing.started, 3),
            restarts=request.restarts,
            started_over=request.started_over,
            doomed=writing.doomed if finish == "abort" or not writing.cut else "",
            doomed_at=writing.doomed_at if finish == "abort" or not writing.cut else 0,
            branch=writing.branch,
        )
