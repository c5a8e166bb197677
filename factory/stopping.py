"""Signals: the first one ends a run in good order, the next one at once.

SIGINT (Ctrl-C) and SIGTERM mean the same. In good order: what is being written is put on record
within `cluster.grace_s`, then everyone is sent home. At once: the process dies of the signal, as
if it had never been caught; what was committed before is on record.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_signal(stop: Callable[[], None], say: Callable[[str], None], grace_s: float) -> None:
    """Have the first signal call `stop` in the running event loop, and the next one kill."""
    loop = asyncio.get_running_loop()
    came = 0

    def first(number: int) -> None:
        nonlocal came
        came += 1
        if came > 1:  # it came while the loop was busy, before the handlers were changed
            _at_once(number, None)
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, _at_once)
        say(
            f"stopping: what is being written is put on record, within {grace_s:g} s "
            "(once more: at once)"
        )
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, first, number)


def _at_once(number: int, _: FrameType | None) -> None:
    # Written past Python's buffers, which may be locked by what was interrupted.
    os.write(2, b"stopped at once; the same command goes on from the last record\n")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
