"""A small run of the factory in one thread on virtual time.

The command is the real one (`factory.run.run`): recipe, feed, foreman, driver, ledger, curate.
What would make two runs differ is replaced, and nothing else:

- Time stands still while there is anything to do and jumps to the next timer when there is not.
  So every wait costs nothing, and the seconds on record are always the same.
- What is handed to a thread runs at once, or `lag` disk calls later (the sealing of a log beside
  the writing of the next one), or when its result is asked for.
- The judge's worker process is a function call with a memory: what a verdict is does not change.
  So are reading YAML, the versions of packages, and the search for questions that are alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import selectors
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import thread
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from factory import ledger, plugins, run, verdicts
from factory.curation import groups
from factory.engines import scripted
from factory.ledger import sealing
from factory.recipe import Recipe
from factory.sandbox import child
from factory.sandbox.process import Reply
from tests.conftest import Sums

SEGMENT_BYTES = 1200
"""So small that a run of some rollouts seals several logs."""
COMPACTED = 3
"""So many sealed files become one."""
_LONGEST_S = 1e6
_PATIENCE_S = 10.0
_EPOCH = 1_700_000_000.0


class Stuck(Exception):
    """The run waits for something that will never come."""


@dataclass(slots=True)
class Clock:
    """Virtual time."""

    now: float = 1000.0
    wall: float = _EPOCH
    """What the calendar says at `now` = 0; a clock jump changes it."""

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def forward(self, seconds: float) -> None:
        self.now += seconds
        if self.now > _LONGEST_S:
            raise Stuck(f"nothing has come of {_LONGEST_S:g} virtual seconds")


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Does not wait: where nothing is ready, the clock moves on to the next timer."""

    clock: Clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready: list[Any] = super().select(0)
        if not ready and timeout is None:  # for a thread that is about to end
            ready = super().select(_PATIENCE_S)
            if not ready:
                raise Stuck("every task waits and no timer is set")
        if not ready and timeout:
            self.clock.forward(timeout)
        return ready


def _new_loop(clock: Clock) -> asyncio.AbstractEventLoop:
    selector = _Selector()
    selector.clock = clock
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = clock.monotonic  # type: ignore[method-assign]
    return loop


class _Policy(asyncio.DefaultEventLoopPolicy):
    clock: Clock

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _new_loop(self.clock)


@dataclass(slots=True)
class Later:
    """What threads would do, done in this one."""

    lag: int = 0
    """Disk calls between handing over a task and its start; 0: at once."""
    waiting: list[tuple[int, Any, _Task]] = field(default_factory=list)
    site: int = 0
    _busy: bool = False

    def submit(self, pool: Any, work: Callable[..., Any], /, *args: Any, **named: Any) -> _Task:
        task = _Task(lambda: work(*args, **named))
        if self.lag and "asyncio" not in pool._thread_name_prefix:
            self.waiting.append((self.site + self.lag, pool, task))
        else:
            task.go()
        return task

    def tick(self, site: int) -> None:
        """Start what is due before this disk call."""
        self.site = site
        if not self._busy:
            self._busy = True
            try:
                while self.waiting and self.waiting[0][0] <= site:
                    self.waiting.pop(0)[2].go()
            finally:
                self._busy = False

    def finish(self, pool: Any) -> None:
        """What a pool does when it is shut down."""
        mine = [task for _, whose, task in self.waiting if whose is pool]
        self.waiting = [item for item in self.waiting if item[1] is not pool]
        for task in mine:
            task.go()


class _Task(futures.Future[Any]):
    """Done when it is asked for, if it was not before."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work: Callable[[], Any] | None = work

    def go(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            try:
                self.set_result(work())
            except BaseException as error:
                self.set_exception(error)

    def result(self, timeout: float | None = None) -> Any:
        self.go()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> Any:
        self.go()
        return super().exception(timeout)


class InlineWorker:
    """The verifiers' worker without its process."""

    memory: dict[bytes, dict[str, Any]] = {}  # noqa: RUF012

    def __init__(self, specs: dict[str, dict[str, Any]], **_: Any) -> None:
        self._specs = specs
        self._verifiers: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self.limits: dict[str, float] = {}

    def start(self) -> None:
        for name, options in self._specs.items():
            if name not in self._verifiers:
                verifier: Any = plugins.build("verifier", name, options)
                self._verifiers[name], self.versions[name] = verifier, verifier.version

    def run(self, payloads: Sequence[bytes], limits: Sequence[float] = ()) -> list[Reply]:
        for payload in payloads:
            if payload not in self.memory:
                self.memory[payload] = child._answer(self._verifiers, json.loads(payload))
        return [Reply(answer=self.memory[payload], seconds=0.001) for payload in payloads]

    def interrupt(self) -> None:
        """Nothing here takes long."""

    def close(self) -> None:
        pass


class _Yaml:
    """PyYAML with a memory: it takes longer than all the rest of a run."""

    loaded: dict[str, Any] = {}  # noqa: RUF012
    dumped: dict[str, str] = {}  # noqa: RUF012
    _load = staticmethod(yaml.load)
    _dump = staticmethod(yaml.safe_dump)

    @classmethod
    def load(cls, text: Any, loader: Any) -> Any:
        if not isinstance(text, str):
            return cls._load(text, loader)
        if text not in cls.loaded:
            cls.loaded[text] = cls._load(text, loader)
        return copy.deepcopy(cls.loaded[text])

    @classmethod
    def dump(cls, data: Any, *rest: Any, **options: Any) -> Any:
        if rest:
            return cls._dump(data, *rest, **options)
        key = repr((data, sorted(options.items())))
        if key not in cls.dumped:
            cls.dumped[key] = cls._dump(data, **options)
        return cls.dumped[key]


class _Clusters:
    """Which questions are alike, found once: hundreds of scratch files, whatever the size."""

    found: dict[str, Any] = {}  # noqa: RUF012
    _find = staticmethod(groups.clusters)

    @classmethod
    def clusters(cls, batches: Iterable[Any], place: Path) -> Any:
        kept = list(batches)
        key = repr([b.keys.tobytes() for b in kept])
        if key not in cls.found:
            with tempfile.TemporaryDirectory() as elsewhere:
                cls.found[key] = cls._find(kept, Path(elsewhere))
        return cls.found[key].copy()


_versions: dict[str, str] = {}
_version = metadata.Distribution.version.fget  # type: ignore[attr-defined]


def _known_version(distribution: metadata.Distribution) -> str:
    """The version of a package, read once: parsing its metadata is slow."""
    place = str(getattr(distribution, "_path", id(distribution)))
    if place not in _versions:
        _versions[place] = _version(distribution)
    return _versions[place]


def _start_and_join(start: Callable[[threading.Thread], None]) -> Callable[..., None]:
    """Threads run to their end at once, but for the lock's heartbeat and what waits for us."""

    def started(self: threading.Thread) -> None:
        start(self)
        if self.name == "feed":
            self.join(5)

    return started


class _Counting:
    """Counts the tokens that engines write."""

    def __init__(self, say: Callable[[int], None]) -> None:
        self._say = say
        self._generate = scripted.Engine.generate

    def method(self) -> Any:
        generate, say = self._generate, self._say

        async def counted(self: scripted.Engine, request: Any) -> Any:
            stream = generate(self, request)
            try:
                async for chunk in stream:
                    say(chunk.num_tokens)
                    yield chunk
            finally:
                await stream.aclose()  # type: ignore[attr-defined]

        return counted


@contextlib.contextmanager
def in_one_thread(
    clock: Clock, later: Later, tokens: Callable[[int], None] = lambda n: None
) -> Iterator[None]:
    """Everything above, put in place and taken away again."""
    pool = thread.ThreadPoolExecutor
    policy = _Policy()
    policy.clock = clock
    with contextlib.ExitStack() as stack:
        put = stack.enter_context
        put(mock.patch.object(pool, "submit", lambda p, *a, **k: later.submit(p, *a, **k)))
        put(mock.patch.object(pool, "shutdown", lambda p, *a, **k: later.finish(p)))
        put(mock.patch.object(time, "monotonic", clock.monotonic))
        put(mock.patch.object(time, "time", clock.time))
        put(mock.patch.object(time, "sleep", clock.sleep))
        put(mock.patch.object(threading.Thread, "start", _start_and_join(threading.Thread.start)))
        put(mock.patch.object(verdicts, "Worker", InlineWorker))
        put(mock.patch.object(yaml, "load", _Yaml.load))
        put(mock.patch.object(yaml, "safe_dump", _Yaml.dump))
        put(mock.patch.object(metadata.Distribution, "version", property(_known_version)))
        put(mock.patch.object(groups, "clusters", _Clusters.clusters))
        put(mock.patch.object(ledger, "SEGMENT_BYTES", SEGMENT_BYTES))
        put(mock.patch.object(sealing, "BATCH", COMPACTED))
        put(mock.patch.object(scripted.Engine, "generate", _Counting(tokens).method()))
        put(contextlib.redirect_stderr(io.StringIO()))
        before = asyncio.get_event_loop_policy()
        asyncio.set_event_loop_policy(policy)
        try:
            yield
        finally:
            asyncio.set_event_loop_policy(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A recipe with its files, and the command that runs it."""

    recipe: Recipe
    command: Callable[[Recipe, Path], Any] = lambda recipe, folder: run.run(
        recipe, folder, lambda _: None
    )

    def run(self, folder: Path) -> Any:
        return self.command(self.recipe, folder)


def sums(folder: Path, *changes: str, problems: int = 3) -> World:
    """Additions, three rollouts each, whose tokens arrive over several reports."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Sums(folder, count=problems)
    return World(
        recipe=made.recipe(
            "policy.n=3",
            "engine.tokens_per_second=200",
            "engine.slots=4",
            "traces.configs=[all]",
            *changes,
        )
    )
