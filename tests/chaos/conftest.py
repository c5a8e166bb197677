"""Where trials take place: in memory where that can be, for they write thousands of files."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    memory = Path("/dev/shm")
    inside = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=inside) as folder:
        gc.collect()
        gc.freeze()  # else every trial walks through everything that was ever imported
        yield Path(folder)
        gc.unfreeze()
