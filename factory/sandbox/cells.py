"""Zygotes and cells, seen from the worker process: who is told what, and what is observed.

A Zygote is one warm interpreter in its jail; a Cell is a keeper in it with its jobs; `observed` is
the one place where reports and bytes become a Ran. The other side is `factory.sandbox.zygote`.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from factory.errors import SandboxError
from factory.sandbox import cgroup, job, kernel, spawn, values, zygote
from factory.sandbox.box import Limits, Ran

_START_S = 60.0
GRACE_S = 10.0
_MEMORY_EXTRA_MB, _MAX_PROCESSES = 512, 128
_WARM = "array bisect collections copy functools heapq itertools json math random re string typing"
"""What programs import most. Every page more is copied at each fork, so rare modules are not in."""


def plain(limits: Limits) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in Limits.__dataclass_fields__}


def memory_file(name: str, content: bytes = b"") -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    if content:
        os.pwrite(fd, content, 0)
    return fd


def payload(parts: Mapping[str, bytes]) -> int:
    """Named parts as `job.parts` reads them."""
    head = json.dumps([[name, len(content)] for name, content in parts.items()]).encode()
    return memory_file("payload", b"\n".join([head, b"".join(parts.values())]))


class Zygote:
    """A warm interpreter in its jail."""

    def __init__(
        self,
        tier: Literal["namespaces", "landlock"],
        preload: Sequence[str],
        visible: Sequence[str],
    ) -> None:
        self.group = cgroup.make()
        self._limited = 0
        self._births = 0
        self._spawned = spawned = spawn.spawn(tier, preload, visible, self.group)
        try:
            self.abi = self._introduce(tier, preload, visible)
        except (OSError, ValueError, KeyError) as error:
            said = self.close()
            raise SandboxError(
                f"sandbox.tier {tier} cannot be had here: {said or error}; {spawn.OTHER_TIERS}"
            ) from error
        self.process = spawned.process

    def _introduce(self, tier: str, preload: Sequence[str], visible: Sequence[str]) -> int:
        spawned = self._spawned
        modules = [("factory", ""), ("factory.sandbox", "")]
        for module in (kernel, values, job, zygote):
            modules.append((module.__name__, inspect.getsource(module)))
        spawned.control.send(json.dumps(modules).encode())
        told = {
            "namespaces": tier == "namespaces",
            "readable": spawned.readable,
            "devices": spawned.devices,
            "parents": [os.path.dirname(place) for place in spawn.PLACES],
            "count_processes": tier == "namespaces" or os.geteuid() == 0,
            "path": [spawned.readable[-1]] if preload else [],
            "preload": [*_WARM.split(), *preload],
        }
        spawned.control.send(json.dumps(told).encode())
        spawned.control.settimeout(_START_S)
        answer = spawned.control.recv(1 << 16)
        abi = int(json.loads(answer)["abi"])
        with open(f"/proc/{spawned.pid()}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        base = {"base_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
        spawned.control.send(json.dumps(base).encode())
        return abi

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def limit(self, memory_mb: int) -> None:
        """Bound all processes together, where the host lets us."""
        if self.group is not None and memory_mb != self._limited:
            with contextlib.suppress(OSError):
                self.group.limit(2 * memory_mb + _MEMORY_EXTRA_MB, _MAX_PROCESSES)
            self._limited = memory_mb

    def birth(self, told: dict[str, Any], descriptors: list[int]) -> int:
        """Have a cell made; its number.

        Raises:
            OSError: the zygote is gone.
        """
        self._births += 1
        message = json.dumps({**told, "number": self._births}).encode()
        socket.send_fds(self._spawned.control, [message], descriptors)
        return self._births

    def kill(self, number: int) -> None:
        """End a cell that does not end by itself."""
        with contextlib.suppress(OSError):
            self._spawned.control.send(json.dumps({"kill": number}).encode())

    def said(self) -> str:
        """The last line on its standard error."""
        self._spawned.stderr.seek(0)
        lines = self._spawned.stderr.read()[-2000:].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> str:
        """End it and everything in it; the last line of its standard error."""
        spawned = self._spawned
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(spawned.process.pid, signal.SIGKILL)
        spawned.process.wait()
        spawned.control.close()
        if spawned.info is not None:
            os.close(spawned.info)
        said = self.said()
        spawned.stderr.close()
        if self.group is not None:
            self.group.remove()
        return said


class Cell:
    """A keeper with its jobs, as the host sees it."""

    def __init__(
        self, home: Zygote, place: str | None, files: Mapping[str, bytes], limits: Limits
    ) -> None:
        self._home = home
        self.is_python = "source" in files
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        laid = payload(files)
        scratch, kept = spawn.PLACES if place is None else (f"{place}/tmp", f"{place}/box")
        told = {"kept": kept, "scratch": scratch, "limits": plain(limits)}
        home.limit(limits.memory_mb)
        try:
            self._number = home.birth(told, [theirs.fileno(), laid])
        except OSError as error:
            self._channel.close()
            raise self.gone(error) from error
        finally:
            theirs.close()
            os.close(laid)
        self._compiling = self.is_python
        self._busy = False

    def send(self, header: dict[str, Any], descriptors: list[int]) -> None:
        """Hand over a job.

        Raises:
            SandboxError: nobody is there.
        """
        self._busy = True
        try:
            socket.send_fds(self._channel, [json.dumps(header).encode()], descriptors)
        except OSError as error:
            if not self._compiling:
                raise self.gone(error) from error

    def compiled(self, wall_s: float) -> Ran | None:
        """Wait for the source to be compiled; what to report where it never was.

        Raises:
            SandboxError: the cell could not be made.
        """
        if not self._compiling:
            return None
        if not self._receive(wall_s + GRACE_S):
            raise self.gone(None)
        self._compiling = False
        try:
            if self._receive(wall_s):
                return None
            return Ran(ended="signal", code=signal.SIGSEGV)
        except TimeoutError:
            return Ran(ended="wall", code=signal.SIGKILL, wall_s=wall_s)

    def answer(self, wall_s: float) -> dict[str, Any]:
        """The keeper's report on the job that runs.

        Raises:
            SandboxError: there is none, and that is not the candidate's doing.
        """
        said = self._receive(wall_s + GRACE_S)
        if not said:
            raise self.gone(None)
        self._busy = False
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _receive(self, timeout_s: float) -> bytes:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            raise TimeoutError
        try:
            return self._channel.recv(1 << 16)
        except ConnectionError:
            return b""

    def gone(self, error: OSError | None) -> SandboxError:
        reason = self._home.said() or error or "its keeper has ended"
        return SandboxError(f"a cell of the sandbox is gone: {reason}")

    def close(self) -> None:
        """End it; a job that is on its way ends with it."""
        self._channel.close()
        if self._busy:
            self._home.kill(self._number)


def observed(answer: dict[str, Any], limits: Limits, nonce: bytes, watched: Sequence[int]) -> Ran:
    """What is to be said of a job.

    Args:
        answer: the keeper's report.
        watched: descriptors of its standard output and error, and of a Call's record.

    Raises:
        SandboxError: the job was never set up; this says nothing about the candidate.
    """
    most = limits.output_bytes
    stdout, stderr = (os.fstat(fd).st_size for fd in watched[:2])
    errors = os.pread(watched[1], most, max(0, stderr - most))
    if not answer["ready"]:
        line = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise SandboxError(f"a job could not be set up: {line or 'it ended early'}")
    ended = _ended(answer, limits, max(stdout, stderr))
    code = abs(answer["exit"])
    returned, raised = _record(watched[2], nonce) if len(watched) > 2 else ((), "")
    return Ran(
        ended=ended,
        code=code,
        stdout=os.pread(watched[0], most, 0),
        stderr=errors,
        returned=returned if ended == "exited" and code == 0 else (),
        raised=raised,
        cpu_s=answer["cpu_s"],
        wall_s=answer["wall_s"],
    )


def _ended(
    answer: dict[str, Any], limits: Limits, written: int
) -> Literal["exited", "signal", "cpu", "wall", "output"]:
    if answer["cpu_s"] > limits.cpu_s or answer["exit"] == -signal.SIGXCPU:
        return "cpu"
    if answer["over"]:
        return "wall"
    if written > limits.output_bytes or answer["exit"] == -signal.SIGXFSZ:
        return "output"
    return "signal" if answer["exit"] < 0 else "exited"


def _record(fd: int, nonce: bytes) -> tuple[tuple[Any, ...], str]:
    """What a Call left: its value or the name of its exception; nothing if it is not sound."""
    record = os.pread(fd, values.MAX_BYTES + 64, 0)
    kind, body = record[len(nonce) :][:1], record[len(nonce) + 1 :]
    if not record.startswith(nonce) or kind not in (b"V", b"R"):
        return (), ""
    if kind == b"R":
        return (), body[:200].decode(errors="replace")
    try:
        return (values.decode(body),), ""
    except ValueError:
        return (), ""
