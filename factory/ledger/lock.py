"""One writer per run folder, on any POSIX file system.

The lock is a file created exclusively; it names host, process and that process's start time. No
byte-range locks (NFS and Lustre mounts often lack them). A lock is stale when its process is gone
or a zombie (same host), when its heartbeat has stopped for `STALE_S` by the file server's own clock
(other host, or another container on this one), or when it names no process. Clocks may jump, so a
silence is confirmed by watching for `WATCH_BEATS` heartbeats that none comes. The file appears with
its content (written aside, then linked), so it is never half-written; a random nonce tells one lock
from the next, and what turns out not to be the lock that was judged stale is put back. A writer on
another host that is suspended for longer than `STALE_S` and wakes up finds at its next heartbeat
that another one holds the lock (`check`); until then, ten seconds at most, both may write. Not
covered: a third process that takes the lock in the instant between taking aside and putting back.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from factory.errors import LedgerError

HEARTBEAT_S = 10.0
STALE_S = 60.0
WATCH_BEATS = 2.5


class Lock:
    """Held from construction to `release`.

    Raises:
        LedgerError: another live process holds it; the message names host and process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nonce = secrets.token_hex(8)
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "start": _start(os.getpid()),
            "pids": _numbering(),
            "nonce": self._nonce,
        }
        self._content = json.dumps(owner).encode()
        self._acquire()
        self._released = threading.Event()
        self._lost = False
        self._heart = threading.Thread(target=self._beat, name="ledger-lock", daemon=True)
        self._heart.start()

    def release(self) -> None:
        self._released.set()
        self._heart.join()
        if self._is_mine():
            self._path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise if, at the last heartbeat, another process held the lock.

        Raises:
            LedgerError: it is no longer ours.
        """
        if self._lost:
            raise LedgerError(
                f"{self._path.parent}: another process has taken over this run, so this one stops. "
                "Everything committed before is intact."
            )

    def _is_mine(self) -> bool:
        try:
            return self._path.read_bytes() == self._content
        except OSError:
            return False

    def _aside(self, purpose: str) -> Path:
        """A name of our own beside the lock; process ids would collide across hosts."""
        return self._path.with_name(f"{self._path.name}.{purpose}.{self._nonce}")

    def _acquire(self) -> None:
        new = self._aside("new")
        try:
            with new.open("xb") as file:
                file.write(self._content)
                file.flush()
                os.fsync(file.fileno())
            for _ in range(3):
                try:
                    os.link(new, self._path)
                except FileExistsError:
                    if not self._is_mine():  # NFS may report a link as failed that was made
                        self._remove_if_stale()
                        continue
                return
        finally:
            new.unlink(missing_ok=True)
        raise LedgerError(f"{self._path}: another process keeps taking this run; try again")

    def _remove_if_stale(self) -> None:
        try:
            content = self._path.read_bytes()
            silent = self._server_time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return
        owner = _owner(content)
        if owner and (_alive(owner, silent) or self._beats(content)):
            raise LedgerError(
                f"{self._path.parent} is being written by process {owner['pid']} on "
                f"{owner['host']}: one writer per run. Wait for it, stop it, or use another --out."
            )
        self._remove(content)

    def _beats(self, content: bytes) -> bool:
        """Whether the lock of another host shows a sign of life while we wait and watch."""
        owner = _owner(content)
        if owner is None or _is_local(owner):
            return False
        seen = set()
        until = time.monotonic() + WATCH_BEATS * HEARTBEAT_S
        while time.monotonic() < until:
            try:
                seen.add((self._path.stat().st_mtime_ns, self._path.read_bytes()))
            except FileNotFoundError:
                return False
            if len(seen) > 1:
                return True
            time.sleep(HEARTBEAT_S / 10)
        return False

    def _remove(self, stale: bytes) -> None:
        """Remove the lock if it still is the one judged stale.

        Renaming first: of two processes that find it stale, one gets it.
        """
        aside = self._aside("stale")
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return
        if aside.read_bytes() != stale:  # replaced since: another process's fresh lock
            with suppress(FileExistsError):
                os.link(aside, self._path)
        aside.unlink()

    def _server_time(self) -> float:
        probe = self._aside("clock")
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            # A full or absent disk shows where records are written.
            with suppress(OSError):
                if self._is_mine():
                    os.utime(self._path)  # by the file server's clock
                elif self._path.exists():
                    self._lost = self._path.read_bytes() != self._content


def is_held(path: Path) -> bool:
    """Whether a live process holds the lock, as far as this machine can tell."""
    try:
        owner = _owner(path.read_bytes())
        silent = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return owner is not None and _alive(owner, silent)


def _owner(content: bytes) -> dict[str, Any] | None:
    """What a lock says, or None if it is none."""
    try:
        owner = json.loads(content)
    except ValueError:
        return None
    keys = {"host": str, "pid": int, "start": str}
    if isinstance(owner, dict) and all(isinstance(owner.get(k), t) for k, t in keys.items()):
        return owner
    return None


def _alive(owner: dict[str, Any], silent_s: float) -> bool:
    # A system without /proc knows no start times: there only the heartbeat tells.
    if _is_local(owner):
        return bool(_start(owner["pid"]) == owner["start"])
    return abs(silent_s) < STALE_S  # a heartbeat far in the future: a clock has jumped


def _is_local(owner: dict[str, Any]) -> bool:
    """Whether its number means a process of ours: containers on one host may share its name."""
    alike = owner.get("pids", _numbering()) == _numbering()
    return bool(owner["host"] == socket.gethostname() and owner["start"] and alike)


def _numbering() -> str:
    """Names the namespace in which process numbers count; empty where the system has none."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if there is none or it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]
