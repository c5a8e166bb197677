"""The verifiers' queue in virtual time: batches as `factory.crew.backlog` makes them."""

from __future__ import annotations

from collections import deque
from itertools import cycle
from typing import Generic, TypeVar

import numpy as np

from factory.crew.backlog import BATCH_S
from factory.simulation.assumptions import Judging

_JUDGED_AT_ONCE = 64
_DRAWN = 65_521

Rollout = TypeVar("Rollout")


class VirtualJudges(Generic[Rollout]):
    """Workers that take batches of about a second from one queue.

    A batch's verdicts come together, so one hung judgement holds up those beside it.
    """

    def __init__(self, judging: Judging, seed: int) -> None:
        self._idle = judging.judges
        self._queue: deque[Rollout] = deque()
        self._lately = 0.0
        rng = np.random.default_rng([seed, 1])
        seconds = judging.seconds * rng.lognormal(-0.5, 1.0, _DRAWN)
        hung = rng.random(_DRAWN) < judging.hung
        seconds[hung] = judging.hang_s
        self._draws = cycle(zip(seconds.tolist(), hung.tolist(), strict=True))
        self.seconds = 0.0
        """Work done, in seconds of one worker."""

    @property
    def waiting(self) -> int:
        """Rollouts in the queue."""
        return len(self._queue)

    def add(self, rollout: Rollout) -> None:
        self._queue.append(rollout)

    def done(self, mean_s: float) -> None:
        """A worker has handed in its batch, with so many seconds per judgement."""
        self._idle += 1
        self._lately = (self._lately + mean_s) / 2

    def batch(self) -> tuple[float, list[tuple[Rollout, bool]]] | None:
        """Seconds and rollouts of the next batch, each with whether its judgement hangs.

        None if there is nothing to do or nobody to do it.
        """
        if not self._queue or not self._idle:
            return None
        self._idle -= 1
        most = int(min(_JUDGED_AT_ONCE, max(1.0, BATCH_S / max(self._lately, 1e-6))))
        taken: list[tuple[Rollout, bool]] = []
        seconds = 0.0
        while self._queue and len(taken) < most:
            takes, hung = next(self._draws)
            seconds += takes
            taken.append((self._queue.popleft(), hung))
        self.seconds += seconds
        return seconds, taken
