"""A deterministic engine without a model, for tests, rehearsals and simulation.

It writes what a script says, at the speed it is told, and fails on demand.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from factory.engines import Chunk, EngineDead, EngineInfo, Request, RequestRefused, Resources
from factory.errors import EngineError


@dataclass(slots=True, kw_only=True)
class Engine:
    """Completions read from a file, picked by the rollout's seed: no model, no GPU.

    It is unsure before each word: a fork goes on there with the end of another completion.
    """

    can_branch: ClassVar[bool] = True
    MAY_VARY: ClassVar[tuple[str, ...]] = ("slots", "tokens_per_second", "fail_share", "die_after")
    script: str
    """JSONL file: {"prompt": last user turn, "completions": [text, ...]} a line."""
    default: str = "I do not know."
    """Written for a prompt that the script does not hold."""
    slots: int = 64
    """Requests held at once."""
    tokens_per_second: float = 0.0
    """Per request; 0 writes without waiting."""
    fail_share: float = 0.0
    """Share of requests that raise half-way (by seed and attempt: the next attempt may pass)."""
    die_after: int = 0
    """The engine dies when it starts its n-th request; 0: never."""
    refuse: tuple[str, ...] = ()
    """Prompts that are refused as too long."""
    _completions: dict[str, list[str]] = field(init=False, default_factory=dict)
    _served: int = field(init=False, default=0)

    def resources(self) -> Resources:
        return Resources(cpus=0.5)

    async def start(self) -> EngineInfo:
        try:
            text = Path(self.script).read_text(encoding="utf-8")
        except OSError as error:
            raise EngineError(f"script {self.script!r} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise EngineError(f"script {self.script!r} is not UTF-8: {error}") from error
        # Not `splitlines`: it also splits at characters that stand inside JSON strings.
        for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
            try:
                row = json.loads(line)
                self._completions[row["prompt"]] = list(row["completions"])
            except (ValueError, KeyError, TypeError) as error:
                raise EngineError(f"{self.script}:{number}: {error!r}") from error
        return EngineInfo(model="scripted", slots=self.slots, can_continue=True)

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        self._served += 1
        if self.die_after and self._served >= self.die_after:
            raise EngineDead(f"scripted to die at request {self.die_after}")
        prompt = request.messages[-1]["content"]
        if prompt in self.refuse:
            raise RequestRefused(f"prompt of {len(prompt)} characters is scripted to be refused")
        text = self._pick(request, prompt)
        # One token per character, numbered by code point: a prefix is simply the text so far.
        tokens = [ord(c) for c in text[: request.sampling.max_tokens]]
        finish = "stop" if len(tokens) == len(text) else "length"
        chance = random.Random(f"{request.seed}/{request.restarts}/{self._served}")
        failing = chance.random() < self.fail_share
        rest = tokens[len(request.prefix) :]
        step = max(1, len(rest) // 4)
        for start in range(0, len(rest), step):
            part = rest[start : start + step]
            await asyncio.sleep(len(part) / self.tokens_per_second if self.tokens_per_second else 0)
            if failing and start:
                raise RuntimeError("scripted failure")
            yield Chunk(
                text="".join(map(chr, part)),
                token_ids=tuple(part),
                num_tokens=len(part),
                entropies=self._entropies(request, tokens, start + len(request.prefix), len(part)),
            )
        yield Chunk(
            finish_reason="stop" if finish == "stop" else "length",
            prompt_tokens=len(prompt),
            whole_text="".join(map(chr, (*request.prefix, *rest))) if request.prefix else None,
        )

    def _entropies(
        self, request: Request, tokens: list[int], start: int, count: int
    ) -> tuple[float, ...]:
        if request.branching is None:
            return ()
        before = (tokens[at - 1] if at else 0 for at in range(start, start + count))
        return tuple(1.0 if token == ord(" ") else 0.0 for token in before)

    def _pick(self, request: Request, prompt: str) -> str:
        completions = self._completions.get(prompt) or [self.default]
        key, seed = request.key, request.sampling.seed
        return random.Random(f"{seed}/{key.problem_id}/{key.index}").choice(completions)

    async def abort(self, request: Request) -> bool:
        return False

    async def stop(self) -> None:
        self._completions.clear()
