"""The sandbox on this machine, in two tiers, seen from the worker process.

**namespaces**: bubblewrap makes a jail per warm interpreter: own user, pid, mount, ipc, uts, cgroup
and network namespace, read-only /usr, no /proc, an unprivileged uid where the caller is root. Every
box gets fresh pid, mount and ipc namespaces and a tmpfs of its own. Every job is without
capabilities and confined by resource limits, Landlock and a seccomp allow-list. Where the host lets
us make a control group, memory and processes are bounded in all as well.

**landlock**: for hosts that allow no user namespaces. Landlock, seccomp and resource limits, under
an unprivileged uid where the caller is root. A candidate is one process, signals itself alone, and
writes no files. What this tier does not stop: names and metadata of files stay visible (contents
outside of /usr do not), as does the load of the machine; where the caller is not root, the
candidate runs under the caller's own uid, with nothing but Landlock and seccomp between them.
Trusted tools on untrusted input, as compilers, may fork and write to their own directory, whose
total size is not bounded.

Neither covers bugs of the kernel, side channels (timing, caches), and the use of what the limits
allow. The remote tier, or a virtual machine around the workers, is stronger.

Threat model: source, input and output of a job are hostile; this process, the kernel, bubblewrap
and the interpreter are trusted. Nothing secret is inside: the environment is empty, descriptors are
the job's own, references and expected outputs never enter. A verdict rests on what was observed
from outside of the job: its exit state, bytes in files that it was handed, and a record that only
counts with the nonce of its run; none of that is ever unpickled or evaluated.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import secrets
import select
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from factory.errors import SandboxError
from factory.sandbox import cgroup, job, kernel, spawn, values, zygote
from factory.sandbox.box import Call, Command, Job, Limits, Ran

_START_S = 60.0
_GRACE_S = 10.0
_MEMORY_EXTRA_MB, _MAX_PROCESSES = 512, 128
_WARM = """
array bisect collections copy dataclasses datetime decimal enum fractions functools heapq io
itertools json math operator queue random re statistics string time typing
"""


def _plain(limits: Limits) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in Limits.__dataclass_fields__}


def _memory_file(name: str, content: bytes = b"") -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if content:
        os.pwrite(fd, content, 0)
    return fd


def _payload(parts: Mapping[str, bytes]) -> int:
    """Named parts as `job.parts` reads them."""
    head = json.dumps([[name, len(content)] for name, content in parts.items()]).encode()
    return _memory_file("payload", b"\n".join([head, b"".join(parts.values())]))


def _plain_names(names: Sequence[str]) -> None:
    for name in names:
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            raise ValueError(f"a file in a box has a plain name, without `/`: got {name!r}")


class _Zygote:
    """A warm interpreter in its jail."""

    def __init__(
        self,
        tier: Literal["namespaces", "landlock"],
        preload: Sequence[str],
        visible: Sequence[str],
    ) -> None:
        self.group = cgroup.make(f"factory-{os.getpid()}-{secrets.token_hex(4)}")
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


class _Cell:
    """A keeper with its jobs, as the host sees it."""

    def __init__(
        self, home: _Zygote, place: str | None, files: Mapping[str, bytes], limits: Limits
    ) -> None:
        self._home = home
        self.is_python = "source" in files
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        payload = _payload(files)
        scratch, kept = spawn.PLACES if place is None else (f"{place}/tmp", f"{place}/box")
        told = {"kept": kept, "scratch": scratch, "limits": _plain(limits)}
        home.limit(limits.memory_mb)
        try:
            self._number = home.birth(told, [theirs.fileno(), payload])
        except OSError as error:
            self._channel.close()
            raise self.gone(error) from error
        finally:
            theirs.close()
            os.close(payload)
        self._compiling = self.is_python

    def send(self, header: dict[str, Any], descriptors: list[int]) -> None:
        """Hand over a job.

        Raises:
            SandboxError: nobody is there.
        """
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
        if not self._receive(wall_s + _GRACE_S):
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
        said = self._receive(wall_s + _GRACE_S)
        if not said:
            raise self.gone(None)
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

    def close(self, *, kill: bool = False) -> None:
        self._channel.close()
        if kill:
            self._home.kill(self._number)


class _Running:
    """A job on its way."""

    def __init__(
        self, box: _Box, cell: _Cell, limits: Limits, nonce: bytes, watched: list[int]
    ) -> None:
        self._box = box
        self._cell = cell
        self._limits = limits
        self._nonce = nonce
        self._watched = watched  # stdout, stderr, and the record of a Call

    def wait(self) -> Ran:
        try:
            if (never := self._cell.compiled(self._limits.wall_s)) is not None:
                self._box.drop(self._cell)
                return never
            answer = self._cell.answer(self._limits.wall_s)
            if self._cell.is_python and not answer["clean"]:
                self._box.drop(self._cell)
            return self._ran(answer)
        except TimeoutError:
            self._box.drop(self._cell)
            limit = self._limits.wall_s + _GRACE_S
            raise SandboxError(f"the sandbox did not answer within {limit:g} s") from None
        except SandboxError:
            self._box.drop(self._cell)
            raise
        finally:
            for fd in self._watched:
                os.close(fd)

    def _ran(self, answer: dict[str, Any]) -> Ran:
        limit = self._limits.output_bytes
        stdout, stderr = (os.fstat(fd).st_size for fd in self._watched[:2])
        errors = os.pread(self._watched[1], limit, max(0, stderr - limit))
        if not answer["ready"]:
            line = errors.decode(errors="replace").strip().rpartition("\n")[2]
            raise SandboxError(f"a job could not be set up: {line or 'it ended early'}")
        ended = self._ended(answer, max(stdout, stderr))
        code = abs(answer["exit"])
        returned, raised = self._record() if len(self._watched) > 2 else ((), "")
        return Ran(
            ended=ended,
            code=code,
            stdout=os.pread(self._watched[0], limit, 0),
            stderr=errors,
            returned=returned if ended == "exited" and code == 0 else (),
            raised=raised,
            cpu_s=answer["cpu_s"],
            wall_s=answer["wall_s"],
        )

    def _ended(
        self, answer: dict[str, Any], written: int
    ) -> Literal["exited", "signal", "cpu", "wall", "output"]:
        if answer["cpu_s"] > self._limits.cpu_s or answer["exit"] == -signal.SIGXCPU:
            return "cpu"
        if answer["over"]:
            return "wall"
        if written > self._limits.output_bytes or answer["exit"] == -signal.SIGXFSZ:
            return "output"
        return "signal" if answer["exit"] < 0 else "exited"

    def _record(self) -> tuple[tuple[Any, ...], str]:
        """What a Call left: its value or the name of its exception; nothing if it is not sound."""
        record = os.pread(self._watched[2], values.MAX_BYTES + 64, 0)
        kind, body = record[len(self._nonce) :][:1], record[len(self._nonce) + 1 :]
        if not record.startswith(self._nonce) or kind not in (b"V", b"R"):
            return (), ""
        if kind == b"R":
            return (), body[:200].decode(errors="replace")
        try:
            return (values.decode(body),), ""
        except ValueError:
            return (), ""


class _Box:
    """One candidate's box, as its host sees it: a cell for each source that runs in it, one for
    its commands."""

    def __init__(
        self, jail: Jail, preload: Sequence[str], files: Mapping[str, bytes], limits: Limits
    ) -> None:
        _plain_names(list(files))
        self._jail = jail
        self._preload = tuple(sorted(preload))
        self._files = dict(files)
        self._limits = limits
        self._folder: str | None = None
        self._jobs = 0
        self._cells: dict[tuple[bytes, Limits] | None, _Cell] = {}

    def start(
        self, job: Job, *, limits: Limits | None = None, channel: int | None = None
    ) -> _Running:
        limits = limits or self._limits
        nonce = secrets.token_hex(16)
        header, parts, source = _described(job, nonce)
        self._jobs += 1
        header |= {"limits": _plain(limits), "seed": self._jobs}
        self._refuse(header)
        cell = self._cell(source, limits)
        watched = [_memory_file("stdout"), _memory_file("stderr")]
        own = [_payload(parts), _memory_file("stdin", job.stdin)]
        if isinstance(job, Call):
            channel = _memory_file("record")
            watched.append(channel)
        descriptors = [*own, *watched[:2], *([] if channel is None else [channel])]
        try:
            cell.send(header, descriptors)
        except SandboxError:
            for fd in watched:
                os.close(fd)
            self.drop(cell)
            raise
        finally:
            for fd in own:
                os.close(fd)
        return _Running(self, cell, limits, nonce.encode(), watched)

    def run(self, job: Job, *, limits: Limits | None = None) -> Ran:
        return self.start(job, limits=limits).wait()

    def _refuse(self, header: dict[str, Any]) -> None:
        if self._jail.tier == "landlock" and header["output_file"] and not header["keep"]:
            raise SandboxError("sandbox.tier landlock: a program cannot write files there")

    def _cell(self, source: bytes | None, limits: Limits) -> _Cell:
        """The cell of a source, or of commands; the one of another source makes room for it."""
        key = None if source is None else (source, limits)
        if key not in self._cells:
            for other in [k for k in self._cells if k is not None and key is not None]:
                self._cells.pop(other).close()
            if self._jail.tier == "landlock" and self._folder is None:
                self._folder = _folders()
            files = self._files if source is None else {**self._files, "source": source}
            home = self._jail.home(self._preload)
            self._cells[key] = _Cell(home, self._folder, files, limits)
        return self._cells[key]

    def drop(self, cell: _Cell) -> None:
        """End a cell that is spent; the next job gets another one."""
        for key in [k for k, c in self._cells.items() if c is cell]:
            self._cells.pop(key).close(kill=True)

    def close(self) -> None:
        while self._cells:
            self._cells.popitem()[1].close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


def _described(job: Job, nonce: str) -> tuple[dict[str, Any], dict[str, bytes], bytes | None]:
    """Header and payload parts of a job, and the source that its cell is for."""
    header: dict[str, Any] = {"keep": False, "output_file": None, "nonce": nonce, "function": None}
    parts: dict[str, bytes] = {}
    if not isinstance(job, Call):
        _plain_names([*job.files, *([job.output_file] if job.output_file is not None else [])])
        header["output_file"] = job.output_file
        parts = {f"file:{name}": content for name, content in job.files.items()}
    if isinstance(job, Command):
        header |= {"argv": list(job.argv), "keep": job.keep}
        return header, parts, None
    if isinstance(job, Call):
        header["function"] = job.function
        parts["arguments"] = values.encode([list(job.args), dict(job.kwargs)])
    return header, parts, job.source.encode("utf-8", "surrogatepass")


def _folders() -> str:
    """A box's directories on the host, for the tier that mounts nothing."""
    base = tempfile.mkdtemp(prefix="factory-box-")
    os.chmod(base, 0o711)
    for name in ("box", "tmp"):
        path = os.path.join(base, name)
        os.mkdir(path, 0o755)
        if os.geteuid() == 0:
            os.chown(path, spawn.sandbox_uid(), spawn.sandbox_uid())
    return base


class Jail:
    """The sandbox of this process. Use it in the thread that made it: it dies with that thread."""

    def __init__(
        self, tier: Literal["namespaces", "landlock"], visible: Sequence[str] = ()
    ) -> None:
        self.tier: Literal["namespaces", "landlock"] = tier
        self._visible = tuple(visible)
        self._zygotes: dict[tuple[str, ...], _Zygote] = {}

    def start(self) -> None:
        self.home(())

    def describe(self) -> str:
        """What isolates here, in one line."""
        home = self.home(())
        parts = ["bubblewrap"] if self.tier == "namespaces" else []
        parts += [f"Landlock ABI {home.abi}", "seccomp", "resource limits"]
        parts.append(f"cgroup v{home.group.version}" if home.group else "no cgroup")
        return f"{self.tier} ({', '.join(parts)})"

    def box(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        limits: Limits | None = None,
        preload: Sequence[str] = (),
    ) -> _Box:
        return _Box(self, preload, files or {}, limits or Limits())

    def home(self, preload: tuple[str, ...]) -> _Zygote:
        home = self._zygotes.get(preload)
        if home is None or not home.alive:
            if home is not None:
                home.close()
            if reason := spawn.unfit(self.tier):
                raise SandboxError(f"sandbox.tier {self.tier} cannot be had here: {reason}")
            self._zygotes[preload] = home = _Zygote(self.tier, preload, self._visible)
        return home

    def close(self) -> None:
        while self._zygotes:
            self._zygotes.popitem()[1].close()
