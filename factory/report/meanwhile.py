"""A line now and then while something takes long that says nothing of itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_S = 30.0


@contextmanager
def meanwhile(doing: Callable[[], str]) -> Iterator[None]:
    """Prints what is being done, every 30 s on stderr, for as long as the block takes.

    Args:
        doing: called from another thread.
    """
    started, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(LINE_S):
            print(f"[{time.monotonic() - started:.0f} s] {doing()}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="meanwhile", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
