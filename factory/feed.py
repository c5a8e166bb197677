"""Problems on demand: sources read ahead, deduplicated, references checked.

A thread reads and checks a little ahead of demand, so that a source of any size streams through
and the engine never waits for it. What comes out is a problem whose reference passes its own
verifier and whose perturbed reference does not, or a Reject.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from factory import contamination, plugins
from factory.problems import intake
from factory.recipe import Recipe
from factory.types import Problem, Reject
from factory.verdicts import Judge

_CHECKED_AT_ONCE = 64
_AHEAD = 1024
_CLOSE_S = 5.0


def problems(
    recipe: Recipe,
    known: Callable[[str], bool] = lambda _: False,
    judge: Judge | None = None,
    met: Callable[[Problem], None] = lambda _: None,
) -> Iterator[Problem | Reject]:
    """Problems of a recipe's sources in their order, references checked, up to its limit.

    Args:
        known: ids that are on record already: they count towards the limit and do not come out.
        judge: checks the references; closed at the end.
        met: is given those problems, as the source has them now.

    Raises:
        SourceError: a source cannot be read at all.
    """
    with judge or make_judge(recipe) as judge:
        taken = 0
        items = candidates(recipe)
        while chunk := list(islice(items, _CHECKED_AT_ONCE)):
            for item in _check(judge, chunk, known):
                if isinstance(item, Problem):
                    if recipe.limit is not None and taken == recipe.limit:
                        return
                    taken += 1
                    if known(item.id):
                        met(item)
                        continue
                yield item


def candidates(recipe: Recipe) -> Iterator[Problem | Reject]:
    """What the sources of a recipe hold, references unchecked, without a limit.

    Raises:
        SourceError: a source cannot be read at all.
    """
    spec = recipe.decontaminate
    return contamination.screen(_read(recipe), contamination.load(spec), spec)


def look(recipe: Recipe) -> None:
    """Whether the sources of a recipe are there, as far as can be told without reading them.

    Raises:
        SourceError: one is not.
    """
    for source in (plugins.build("source", s.name, s.options) for s in recipe.sources):
        if check := getattr(source, "check", None):
            check()


def make_judge(recipe: Recipe) -> Judge:
    """A judge with the recipe's verifiers and limits."""
    limits = recipe.judging
    return Judge(
        recipe.verifier_options,
        default=recipe.verifiers[0].name,
        timeout_s=limits.timeout_s,
        memory_mb=limits.memory_mb,
        retries=limits.retries,
        sandbox=recipe.sandbox.model_dump(),
    )


def _read(recipe: Recipe) -> Iterator[Problem | Reject]:
    sources: list[Any] = [plugins.build("source", s.name, s.options) for s in recipe.sources]
    rows = chain.from_iterable(source.rows() for source in sources)
    options = recipe.intake
    names = recipe.verifier_options
    for item in intake(
        rows,
        default_verifier="",  # the judge has its own default, which a later judging may change
        near_duplicates=options.near_duplicates,
        max_prompt_chars=options.max_prompt_chars,
    ):
        if isinstance(item, Problem) and item.verifier and item.verifier not in names:
            yield Reject.of(
                item,
                "unknown_verifier",
                f"verifier {item.verifier!r} is not in the recipe; it names: {', '.join(names)}",
            )
        else:
            yield item


def _check(
    judge: Judge, items: list[Problem | Reject], known: Callable[[str], bool]
) -> Iterator[Problem | Reject]:
    fresh = [item for item in items if isinstance(item, Problem) and not known(item.id)]
    reasons = dict(zip((p.id for p in fresh), judge.self_check_many(fresh), strict=True))
    for item in items:
        reason = reasons.get(item.id) if isinstance(item, Problem) else None
        if reason is not None and isinstance(item, Problem):
            yield Reject.of(item, "unverifiable", reason)
        else:
            yield item


class Feed:
    """A thread that keeps problems ready. Use it as a context manager.

    A source that fails has ended: what came before it is good, and `error` says what happened.

    Args:
        interrupt: makes `items` raise soon, wherever it is; called at the end.

    Attributes:
        wake: called from the thread whenever there is something new to take.
        ended: nothing further will come; at most rejects are left to take.
        error: what ended the reading, where it was not the end of the sources.
    """

    def __init__(
        self,
        items: Iterator[Problem | Reject],
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.ended = False
        self.error: BaseException | None = None
        self._items = items
        self._interrupt = interrupt
        self._ready: queue.Queue[Problem | Reject | BaseException | None] = queue.Queue(_AHEAD)
        self._held: deque[Problem | Reject] = deque()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read_ahead, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.wake = lambda: None
        self._interrupt()
        deadline = time.monotonic() + _CLOSE_S  # a source may hang; the thread is a daemon
        while self._thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._ready.get(timeout=0.05)  # it may wait for room

    def has_problem(self) -> bool:
        """Wait for the first problem; False if there is none."""
        while not self.ended and not any(isinstance(item, Problem) for item in self._held):
            self._hold(self._ready.get())
        return not self.ended

    def take(self, count: int) -> list[Problem | Reject]:
        """Up to `count` problems with the rejects between them, without waiting."""
        taken: list[Problem | Reject] = []
        while count > 0:
            while not self._held and not self.ended:
                try:
                    self._hold(self._ready.get_nowait())
                except queue.Empty:
                    return taken
            if not self._held:
                return taken
            taken.append(self._held.popleft())
            count -= isinstance(taken[-1], Problem)
        return taken

    def _hold(self, item: Problem | Reject | BaseException | None) -> None:
        if item is None or isinstance(item, BaseException):
            self.ended, self.error = True, item
        else:
            self._held.append(item)

    def _read_ahead(self) -> None:
        last: BaseException | None = None
        try:
            for item in self._items:
                if self._stopped.is_set():
                    return
                self._ready.put(item)
                self.wake()
        except BaseException as error:
            last = error
        finally:
            if close := getattr(self._items, "close", None):
                close()
        self._ready.put(last)
        self.wake()
