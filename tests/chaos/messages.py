"""Faults between the driver and its crew, and in the clock, message by message.

A message is a call of a replica's or judge's handle, or a batch of news that the driver takes.
What can happen to one depends on what carries it: a call of an actor is delivered once or the
caller is told that the actor is gone, and from then on every call of that actor fails. So:

- dead: the actor dies before the message reaches it
- dead after: it dies when it has done what was asked; its answer is lost (events that were taken
  and never seen, verdicts that were reached and never told)
- late: the message takes half a minute; everyone else goes on
- late news: a batch of news reaches the driver together with a later one
- twice: a batch of news reaches the driver a second time, a while later
- clock back, clock ahead: the calendar jumps by a year
- standstill: the process is suspended for an hour
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from factory import crew
from factory.engines import EngineDead
from tests.chaos import check
from tests.chaos.promises import Known
from tests.chaos.trials import Bench, Trial
from tests.chaos.world import Clock, Later, in_one_thread

OF_HANDLES = ("dead", "dead after", "late")
OF_NEWS = ("late news", "twice", "clock back", "clock ahead", "standstill")
_YEAR_S = 365 * 86400.0
_LATE_S = 30.0
_TWICE_AFTER = 3
"""Batches between a message and its repetition."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """Every message of one run, one of them faulty."""

    clock: Clock
    kind: str = ""
    at: int = -1
    handles: list[str] = field(default_factory=list)
    """What each call of a handle was."""
    news: int = 0
    """Batches of news so far."""
    _held: list[Any] = field(default_factory=list)
    _again: list[Any] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Put it between."""
        with contextlib.ExitStack() as stack:
            for name in ("make_replica", "make_judge"):
                made = getattr(crew.LocalCrew, name)
                stack.enter_context(mock.patch.object(crew.LocalCrew, name, self._making(made)))
            events = self._events(crew.Crew.events)
            stack.enter_context(mock.patch.object(crew.Crew, "events", events))
            yield

    def _making(self, made: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *words: _Handle(made(*words), self)

    def _events(self, events: Callable[..., Awaitable[list[Any]]]) -> Callable[..., Any]:
        async def told(one: crew.Crew, timeout: float) -> list[Any]:
            news = await events(one, timeout)
            if not news:
                return self._release() or news
            number, self.news = self.news, self.news + 1
            if self.kind in OF_NEWS and number == self.at:
                return self._hit(news)
            if self._again and number >= self.at + _TWICE_AFTER:
                return [*self._release(), *news]
            return [*self._held_back(), *news]

        return told

    def _hit(self, news: list[Any]) -> list[Any]:
        match self.kind:
            case "late news":
                self._held = news
                return []
            case "twice":
                self._again = [n for n in news if isinstance(n, (crew.Happened, crew.JudgedBatch))]
            case "clock back":
                self.clock.wall -= _YEAR_S
            case "clock ahead":
                self.clock.wall += _YEAR_S
            case "standstill":
                self.clock.now += 3600.0
        return news

    def _held_back(self) -> list[Any]:
        held, self._held = self._held, []
        return held

    def _release(self) -> list[Any]:
        again, self._again = self._again, []
        return [*self._held_back(), *again]

    async def message(self, handle: _Handle, name: str, call: Callable[[], Any]) -> Any:
        """One call of a handle."""
        number = len(self.handles)
        self.handles.append(name)
        if self.kind not in OF_HANDLES or number != self.at:
            return await call()
        if self.kind == "late":
            await asyncio.sleep(_LATE_S)
            return await call()
        if self.kind == "dead after":
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_LATE_S):  # nobody polls for ever
                    await call()
        handle.dead = True
        raise EngineDead(f"the actor died at message {number}")


class _Handle:
    """A handle whose calls are messages; when its actor is dead, every call says so."""

    def __init__(self, handle: Any, wire: Wire) -> None:
        self._handle = handle
        self._wire = wire
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._handle, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call(*words: Any, **named: Any) -> Any:
            if self.dead and name != "stop":
                raise EngineDead("the actor is dead")
            return await self._wire.message(self, name, lambda: value(*words, **named))

        return call


def trials(
    bench: Bench, kinds: tuple[str, ...] = OF_HANDLES + OF_NEWS, every: int = 1
) -> Iterator[Trial]:
    """A run with a fault at one message, for each message and kind."""
    wire = _run(bench, Wire(clock=Clock()))[1]
    for number, kind in enumerate(kinds):
        sites = len(wire.handles) if kind in OF_HANDLES else wire.news
        for at in range(number % every, sites, every):
            yield _run(bench, Wire(clock=Clock(), kind=kind, at=at))[0]


def _run(bench: Bench, wire: Wire) -> tuple[Trial, Wire]:
    folder = bench.fresh()
    written = [0]

    def count(number: int) -> None:
        written[0] += number

    wrong = []
    try:
        with in_one_thread(wire.clock, Later(), count), wire():
            result = bench.world.run(folder)
        if result.dataset is None:
            wrong.append("the run ended before it was complete")
    except Exception as error:
        wrong.append(f"the command ends with {type(error).__name__}: {error}")
        if again := bench.go_on(folder, count):
            wrong += again
    records = check.ledger(folder)
    wrong += check.wrong(records)
    identical = not wrong and bench.identical(folder)
    shutil.rmtree(folder)
    where = wire.handles[wire.at] if wire.kind in OF_HANDLES else "news"
    trial = Trial(
        kind=wire.kind,
        where=f"{where}, message {wire.at}",
        lost=Known().missing(records),
        repeated=check.repeated(records),
        written_again=written[0] - check.tokens(records),
        tokens=check.tokens(records),
        identical=identical,
        wrong=tuple(wrong),
    )
    return trial, wire
