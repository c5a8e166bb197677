"""The vLLM engine with a clock and with lengths that are given, not sampled.

`engine: {name: benchmarks.clocked, clock: FILE, ...}` notes when each rollout ends. How many tokens
it has is drawn from its seed (log-normal), whatever the model would like: so the bare engine can be
given the very same work, and rollouts are as long beside their prompts as those of a real teacher.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from factory.engines import Chunk, EngineInfo, Request, vllm

MEDIAN, SIGMA, MOST = 160, 0.6, 440


def length(seed: int) -> int:
    """Tokens of the rollout with this seed."""
    return min(MOST, 1 + int(random.Random(seed).lognormvariate(math.log(MEDIAN), SIGMA)))


@dataclass(slots=True, kw_only=True)
class Engine(vllm.Engine):
    """vLLM with a clock."""

    clock: Path
    """A line of JSON per rollout: when it ended (seconds of the monotonic clock), tokens."""
    core: int | None = None
    """The CPU core that the engine's process computes on; by default any that it may use."""
    _file: Any = field(init=False, default=None)

    async def start(self) -> EngineInfo:
        info = await vllm.Engine.start(self)
        if self.core is not None:
            for process in psutil.Process().children(recursive=True):
                for thread in process.threads():
                    os.sched_setaffinity(thread.id, {self.core})
        self._file = self.clock.open("a", encoding="utf-8", buffering=1)
        return info

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        tokens = 0
        async with aclosing(vllm.Engine.generate(self, request)) as stream:
            async for chunk in stream:
                tokens += chunk.num_tokens
                if chunk.finish_reason is not None:  # whoever reads it closes the stream
                    self._file.write(json.dumps([time.monotonic(), tokens]) + "\n")
                yield chunk

    def _parameters(self, request: Request, budget: int) -> Any:
        chosen = vllm.Engine._parameters(self, request, budget)
        chosen.ignore_eos = True
        chosen.max_tokens = min(budget, length(request.seed) - len(request.prefix))
        return chosen

    async def stop(self) -> None:
        if self._file is not None:
            self._file.close()
        await vllm.Engine.stop(self)
