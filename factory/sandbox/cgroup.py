"""A control group for a sandbox, where the host lets us make one: memory and processes in all.

Version 2 where our own group is delegated with these controllers, version 1 where its hierarchies
are writable. Where neither holds, `make` gives None and the limits per process are all there is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "factory-"
_REMOVE_S = 2.0


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A group of our own."""

    version: int
    memory: Path
    pids: Path
    """The same directory in version 2."""

    def limit(self, memory_mb: int, processes: int) -> None:
        """Bound everything in the group together."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        (self.memory / name).write_text(str(memory_mb << 20))
        (self.pids / "pids.max").write_text(str(processes))

    def enter(self) -> None:
        """Put this process into the group."""
        for folder in {self.memory, self.pids}:
            (folder / "cgroup.procs").write_text("0")

    def remove(self) -> None:
        """Remove the group; whatever is still in it is given a moment to die."""
        deadline = time.monotonic() + _REMOVE_S
        for folder in {self.memory, self.pids}:
            while True:
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.005)


def make() -> Cgroup | None:
    """A new group beneath our own, or None where the host allows none."""
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    for version, folders in _candidates():
        for folder in folders:
            _clear(folder)
        memory, pids = (folder / name for folder in folders)
        group = Cgroup(version, memory, pids)
        try:
            for folder in {memory, pids}:
                folder.mkdir()
                if not (folder / "cgroup.procs").exists():
                    raise OSError("no control group file system")
            group.limit(1 << 20, 1 << 12)
        except OSError:
            with contextlib.suppress(OSError):
                group.remove()
            continue
        return group
    return None


def _clear(folder: Path) -> None:
    """Remove the empty groups of workers that were killed."""
    for left in folder.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                left.rmdir()


def _candidates() -> list[tuple[int, tuple[Path, Path]]]:
    """Where a group could be made, the newer version first."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").split()
    except OSError:
        return []
    found: list[tuple[int, tuple[Path, Path]]] = []
    first: dict[str, Path] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            own = _ROOT / path.lstrip("/")
            found.append((2, (own, own)))
        for controller in controllers.split(","):
            first[controller] = _ROOT / controller / path.lstrip("/")
    if {"memory", "pids"} <= set(first):
        found.append((1, (first["memory"], first["pids"])))
    return [entry for entry in found if all(os.access(p, os.W_OK) for p in entry[1])]
