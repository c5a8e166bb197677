"""How long a post stays empty after a loss: what flaps is held back, what was sound is not.

A replica or judge that lived for `SOUND_S` was sound: its replacement starts at once, nearly. One
that is lost again and again waits twice as long each time, up to `LONGEST_S`: so a bad GPU or node
costs a start a minute and no more, and nothing is ever given up for good.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FIRST_S = 1.0
LONGEST_S = 60.0
SOUND_S = 300.0


@dataclass(slots=True)
class Fence:
    """The losses of one post."""

    losses: int = 0
    """In a row, each after less than `SOUND_S`."""
    _ready_at: float | None = field(default=None, repr=False)

    def ready(self) -> None:
        """Its present holder is at work."""
        self._ready_at = time.monotonic()

    def lost(self) -> float:
        """Its holder is gone, or did not come up: seconds until the next one may be tried."""
        lived_s = 0.0 if self._ready_at is None else time.monotonic() - self._ready_at
        self._ready_at = None
        self.losses = 1 if lived_s >= SOUND_S else self.losses + 1
        return wait_s(self.losses)


def wait_s(losses: int) -> float:
    """Seconds to wait after so many losses in a row."""
    return min(FIRST_S * 2.0 ** min(losses - 1, 30), LONGEST_S)
