"""Rollouts that are lost while they are still being written: seen early, cut short, audited.

Detectors read a rollout's text as it streams, inside the replica, at a cost per character that does
not grow with its length. Each is sure of one way to fail:

    loop        the end of the text repeats itself exactly, at least `times` over `span` characters
    degenerate  `window` characters hold next to no information, or are mostly no characters at all
    room        the reasoning is still open and too few tokens are left to close it and answer
    answered    the final answer is boxed, and `grace` characters later it is still talking

What a detector finds is cut, but for an audit share, drawn by the rollout's seed, which runs on
to its end and is judged: so every run measures the share of cut rollouts that would have been
correct (`factory.audits`). A detector whose share is above `limit` is switched off for the rest
of the run. A rollout that was cut has finish reason `abort` and names its detector; it counts as
failed when a policy decides whether to go on, and is never published as a wrong answer.

An interrupted rollout that goes on is watched from where it goes on.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from factory.types import RolloutKey

Detector = Literal["loop", "degenerate", "room", "answered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborts:
    """The section `aborts` of a recipe."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    detectors: tuple[Detector, ...] = ()
    """Which are on; none by default: what they save and spoil depends on the model."""
    audit: float = 0.02
    """Share of the rollouts found doomed that run on to their end all the same."""
    limit: float = 0.01
    """A detector is switched off when more than this share of its audited rollouts is correct."""
    least: int = 50
    """Audited rollouts before a detector may be switched off."""
    times: int = 12
    """loop: repeats."""
    span: int = 1200
    """loop: characters that the repeats must cover."""
    window: int = 4096
    """degenerate: characters looked at together."""
    ratio: float = 0.07
    """degenerate: compressed size / size below which a text says nothing."""
    odd: float = 0.3
    """degenerate: share of control, private and replacement characters above which it is noise."""
    room: int = 16
    """room: tokens left."""
    grace: int = 2000
    """answered: characters behind the final answer."""

    def __post_init__(self) -> None:
        for name in ("audit", "limit", "ratio", "odd"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("least", "span", "room", "grace"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.times < 3:
            raise ValueError(f"times must be at least 3, got {self.times}")
        if self.window < 256:
            raise ValueError(f"window must be at least 256, got {self.window}")

    def armed(self, audited: Mapping[str, int], correct: Mapping[str, int]) -> tuple[Detector, ...]:
        """The detectors that are on, after so many audited rollouts and correct ones among them."""
        return tuple(
            name
            for name in self.detectors
            if audited.get(name, 0) < self.least
            or correct.get(name, 0) <= self.limit * audited[name]
        )

    def watch(self, armed: tuple[Detector, ...], key: RolloutKey, seed: int | None) -> Watch | None:
        """What to look for in a rollout; None for nothing."""
        return Watch(aborts=self, detectors=armed, audit=self.audits(key, seed)) if armed else None

    def audits(self, key: RolloutKey, seed: int | None) -> bool:
        """Whether this rollout runs on even if it is found doomed: the same at every try."""
        return random.Random(f"audit/{seed}/{key.problem_id}/{key.index}").random() < self.audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a replica is to look for in one rollout."""

    aborts: Aborts
    detectors: tuple[Detector, ...]
    """Those of `aborts` that are not switched off."""
    audit: bool
    """Run on to the end whatever is found."""


class Watcher:
    """Reads one rollout as it is written.

    Args:
        budget: tokens that may be written from here on.
    """

    def __init__(self, watch: Watch, budget: int) -> None:
        make: dict[Detector, Callable[[], _Detector]] = {
            "loop": lambda: _Loop(watch.aborts),
            "degenerate": lambda: _Degenerate(watch.aborts),
            "room": lambda: _Room(watch.aborts, budget),
            "answered": lambda: _Answered(watch.aborts),
        }
        self._detectors = [(name, make[name]()) for name in watch.detectors]

    def add(self, text: str, tokens: int) -> Detector | None:
        """The first detector that knows the rollout to be doomed, after these characters."""
        for name, detector in self._detectors:
            if detector.add(text, tokens):
                return name
        return None


class _Detector:
    def add(self, text: str, tokens: int) -> bool:
        """Takes what was written since; whether the rollout is doomed."""
        raise NotImplementedError


class _Loop(_Detector):
    """Looks once in a quarter of the span: how far back does the end of the text occur before?"""

    _PROBE = 24

    def __init__(self, aborts: Aborts) -> None:
        self._times, self._span = aborts.times, aborts.span
        self._keep = 2 * aborts.span
        self._tail = ""
        self._new = 0

    def add(self, text: str, tokens: int) -> bool:
        self._new += len(text)
        self._tail = (self._tail + text)[-self._keep :]
        if self._new < self._span // 4 or len(self._tail) < self._span:
            return False
        self._new = 0
        tail, size = self._tail, len(self._tail)
        # A shorter probe where the span is short; its period is the smallest candidate.
        probe = tail[-min(self._PROBE, self._span // self._times) :]
        before = tail.rfind(probe, 0, size - 1)
        if before < 0:
            return False
        period = size - len(probe) - before
        length = max(self._span, self._times * period)
        return length <= size and tail[-length:-period] == tail[-length + period :]


class _Degenerate(_Detector):
    _ODD = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd\ufffe\uffff]")

    def __init__(self, aborts: Aborts) -> None:
        self._window, self._ratio, self._odd = aborts.window, aborts.ratio, aborts.odd
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str, tokens: int) -> bool:
        self._parts.append(text)
        self._size += len(text)
        if self._size < self._window:
            return False
        whole = "".join(self._parts)
        self._parts, self._size = [], 0
        data = whole.encode("utf-8", "replace")
        if len(zlib.compress(data)) < self._ratio * len(data):
            return True
        return len(self._ODD.findall(whole)) > self._odd * len(whole)


class _Reading:
    """Follows a text up to the end of its reasoning."""

    _END = "</think>"

    def __init__(self) -> None:
        self._last = ""
        self._begun = False
        self.open = False
        self.closed = False

    def add(self, text: str) -> str:
        """What was written behind the reasoning."""
        if self.closed:
            return text
        seen = self._last + text
        self._begun = self._begun or "<think>" in seen
        head, found, behind = seen.partition(self._END)
        self._last = head[-len(self._END) :]
        self.closed = bool(found)
        self.open = self._begun and not self.closed
        return behind


class _Room(_Detector):
    def __init__(self, aborts: Aborts, budget: int) -> None:
        self._left = budget - aborts.room
        self._reading = _Reading()

    def add(self, text: str, tokens: int) -> bool:
        self._left -= tokens
        self._reading.add(text)
        return self._left < 0 and self._reading.open


class _Answered(_Detector):
    _BOXED = re.compile(r"\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")
    _MOST = 512

    def __init__(self, aborts: Aborts) -> None:
        self._grace = aborts.grace
        self._reading = _Reading()
        self._recent = ""
        self._behind = -1

    def add(self, text: str, tokens: int) -> bool:
        answer = self._reading.add(text)
        if self._behind >= 0:
            self._behind += len(answer)
        else:
            self._recent += answer
            if found := self._BOXED.search(self._recent):
                self._behind = len(self._recent) - found.end()
            self._recent = self._recent[-self._MOST :]
        return self._behind > self._grace
