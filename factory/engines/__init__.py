"""Who writes rollouts.

An engine turns one `Request` into a stream of `Chunk`s. It receives messages, never problems, so
a reference answer cannot reach the model. It runs inside a replica (`factory.crew.replica`), which
batches, logs and aborts; the engine itself keeps no account of what it has been asked.

A request that can never be served (a prompt longer than the context) raises `RequestRefused`; an
engine that is dead raises `EngineDead`; any other exception fails that one request, and the
foreman tries it again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from factory.scheduling.branching import Branching
from factory.scheduling.doomed import Watch
from factory.types import Branch, FinishReason, Message, RolloutKey, Sampling


class RequestRefused(Exception):
    """This request can never be served, by no replica."""


class EngineDead(Exception):
    """This engine will serve nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One rollout to be generated, or to be continued."""

    key: RolloutKey
    messages: tuple[Message, ...]
    sampling: Sampling
    prefix: tuple[int, ...] = ()
    """Tokens generated before an interruption: the engine goes on behind them."""
    restarts: int = 0
    """How often it was interrupted so far."""
    started_over: int = 0
    """How often it began from nothing again, what it had written being lost."""
    attempts: int = 0
    """How often it failed so far."""
    watch: Watch | None = None
    """What the replica looks for while it is written; no engine reads it."""
    branch: Branch | None = None
    """It begins with another rollout's tokens, which are the first ones of `prefix`."""
    branching: Branching | None = None
    """Others may part from it: the engine is to tell how unsure it was at each token."""

    @property
    def seed(self) -> int | None:
        """This rollout's own seed in [0, 2^31); a continuation draws another one."""
        if self.sampling.seed is None:
            return None
        text = f"{self.sampling.seed}/{self.key.problem_id}/{self.key.index}/{len(self.prefix)}"
        return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What was written since the last chunk."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    """Empty where the engine does not tell; such an engine cannot continue. Tokens that end the
    completion come on the last chunk, not before: nothing goes on behind an end."""
    num_tokens: int = 0
    entropies: tuple[float, ...] = ()
    """Of each token in `token_ids`: how unsure the model was before it, in nats. Only where
    `Request.branching` asks for it."""
    reasoning: str | None = None
    """Reasoning written since the last chunk, where the engine returns it apart."""
    finish_reason: FinishReason | None = None
    """Set on the last chunk."""
    prompt_tokens: int = 0
    """Set on the last chunk."""
    whole_text: str | None = None
    """On the last chunk of a continued rollout: the text of prefix and continuation together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What a started engine says of itself."""

    model: str
    slots: int
    """Requests it should hold at once: a little more than it runs at once, so it never waits."""
    can_continue: bool
    """Whether it honours `Request.prefix`. If not, an interrupted rollout starts over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one replica occupies in the cluster."""

    cpus: float = 1
    gpus: int = 0
    spread: bool = False
    """The GPUs may lie on several nodes (one placement bundle per GPU)."""
    hub: bool = False
    """It may fetch from the Hub, so it keeps the user's Hub token."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables to be set before anything is imported."""


class Engine(Protocol):
    """The contract of every file in this room: a dataclass `Engine` with these methods.

    Options that say where and how fast, not what a rollout is, may differ between the commands on
    one run: their names stand in a class variable `MAY_VARY` (dotted inside a mapping).

    One that goes on from `Request.prefix` and tells `Chunk.entropies` says so with a class variable
    `can_branch = True`.
    """

    def resources(self) -> Resources: ...

    async def start(self) -> EngineInfo:
        """Load whatever is heavy. Raises EngineError with a message for the user."""

    def generate(self, request: Request) -> AsyncIterator[Chunk]:
        """Closing the iterator early aborts the request and frees its place."""

    async def abort(self, request: Request) -> bool:
        """End a request early with a last chunk (`abort`) that holds all it wrote so far.

        False where the engine cannot: the iterator is then closed instead.
        """

    async def stop(self) -> None: ...
