"""One writer per run folder, on any POSIX file system.

The lock is a file created exclusively; it names host, process and that process's start time. No
byte-range locks (NFS and Lustre mounts often lack them). A lock is stale when its process is gone
(same host) or when its heartbeat has stopped for `STALE_S` by the file server's own clock (other
host). Not covered: a writer on another host that is suspended for longer than that and wakes up.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from factory.errors import LedgerError

HEARTBEAT_S = 10.0
STALE_S = 60.0


class Lock:
    """Held from construction to `release`.

    Raises:
        LedgerError: another live process holds it; the message names host and process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "start": _start(os.getpid()),
        }
        self._acquire()
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="ledger-lock", daemon=True)
        self._heart.start()

    def release(self) -> None:
        self._released.set()
        self._heart.join()
        self._path.unlink(missing_ok=True)

    def _acquire(self) -> None:
        for _ in range(3):
            try:
                fd = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._remove_if_stale()
                continue
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(self._owner, file)
            return
        raise LedgerError(f"{self._path}: another process keeps taking this run; try again")

    def _remove_if_stale(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
            silent = self._server_time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return
        try:
            owner = json.loads(text)
        except ValueError:
            owner = {"host": "?", "pid": 0, "start": ""}  # cut off between create and write
        if _alive(owner, silent):
            raise LedgerError(
                f"{self._path.parent} is being written by process {owner['pid']} on "
                f"{owner['host']}: one writer per run. Wait for it, stop it, or use another --out."
            )
        # Renaming first: of two processes that find it stale, one gets it.
        mine = self._path.with_name(f"{self._path.name}.stale.{os.getpid()}")
        try:
            os.rename(self._path, mine)
        except FileNotFoundError:
            return
        mine.unlink()

    def _server_time(self) -> float:
        probe = self._path.with_name(f"{self._path.name}.clock.{os.getpid()}")
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            try:
                os.utime(self._path, (now := time.time(), now))
            except OSError:
                continue  # a full or absent disk shows where records are written


def is_held(path: Path) -> bool:
    """Whether a live process holds the lock, as far as this machine can tell."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        silent = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return False
    return _alive(owner, silent)


def _alive(owner: dict[str, Any], silent_s: float) -> bool:
    if owner["host"] == socket.gethostname():
        return bool(_start(owner["pid"]) == owner["start"])
    return silent_s < STALE_S


def _start(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
