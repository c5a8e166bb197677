"""Rollouts that wait for a replica, in the order in which they get one.

First come, first served while problems keep coming: nothing is gained by another order as long as
every slot stays full. Once the source has ended, the longest predicted goes first, so that the
last replicas do not wait for one long rollout that began late (longest processing time first:
Graham, SIAM J. Appl. Math. 17, 1969).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

from factory.types import RolloutKey

Waiting = tuple[RolloutKey, bool]
"""A rollout, and whether it ran before."""


class WaitingLine:
    """The queue.

    Args:
        length: predicts the tokens of a rollout; asked once the source has ended.
    """

    def __init__(self, length: Callable[[RolloutKey], float]) -> None:
        self._length = length
        self._line: deque[Waiting] = deque()
        self._longest: list[tuple[float, int, RolloutKey, bool]] = []
        self._number = 0
        self._sorting = False

    def __len__(self) -> int:
        return len(self._line) + len(self._longest)

    def append(self, item: Waiting) -> None:
        if self._sorting:
            self._sort_in(item)
        else:
            self._line.append(item)

    def appendleft(self, item: Waiting) -> None:
        """In front of all: what was begun is ended first."""
        self._line.appendleft(item)

    def popleft(self) -> Waiting:
        if self._line:
            return self._line.popleft()
        _, _, key, interrupted = heapq.heappop(self._longest)
        return key, interrupted

    def longest_first(self) -> None:
        """From now on, and for those that wait already."""
        self._sorting = True
        again = [item for item in self._line if item[1]]
        for item in self._line:
            if not item[1]:
                self._sort_in(item)
        self._line = deque(again)

    def _sort_in(self, item: Waiting) -> None:
        self._number += 1
        heapq.heappush(self._longest, (-self._length(item[0]), self._number, *item))
