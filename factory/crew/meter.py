"""The time for which a crew holds GPUs: from a replica's being ready to its end, idle or not."""

from __future__ import annotations

import time
from collections.abc import Callable

from factory.ledger.records import Worked

_PIECE_S = 10.0
"""Put on record so often: what a killed process had not yet is missing from the sum."""


def counted(gpus: float) -> float:
    """As how many GPUs a replica of so many counts: one without any counts as one."""
    return max(1.0, gpus)


class Meter:
    """Adds up GPU-seconds, and gives them out in pieces for the ledger.

    Args:
        gpus: of one replica (`counted`).
        on: whether anybody wants to know.
    """

    def __init__(
        self, gpus: float, *, on: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gpus = counted(gpus)
        self._on = on
        self._clock = clock
        self._since: dict[str, float] = {}
        self._ms = 0.0
        self._given = clock()

    def joined(self, replica: str) -> None:
        self._since[replica] = self._clock()

    def left(self, replica: str) -> None:
        if (since := self._since.pop(replica, None)) is not None:
            self._ms += 1000 * self._gpus * (self._clock() - since)

    def piece(self, *, last: bool = False) -> Worked | None:
        """What has come together since the last piece; None where it is too early for another.

        Args:
            last: do not wait, no other will be asked for.
        """
        now = self._clock()
        if not self._on or (now - self._given < _PIECE_S and not last):
            return None
        self._given = now
        for replica in list(self._since):
            self.left(replica)
            self.joined(replica)
        whole = int(self._ms)
        self._ms -= whole
        return Worked(gpu_ms=whole) if whole else None
