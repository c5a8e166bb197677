"""The sandbox on this machine, in two tiers, seen from the worker process.

**namespaces**: bubblewrap makes a jail per warm interpreter: own user, pid, mount, ipc, uts, cgroup
and network namespace, read-only /usr, no /proc, an unprivileged uid where the caller is root. Every
box is a fork with fresh pid, mount and ipc namespaces and a tmpfs of its own. Every job gives up all
capabilities and is confined by resource limits, Landlock and a seccomp allow-list. Where the host
lets us make a control group, memory and processes are bounded in all as well.

**landlock**: for hosts that allow no user namespaces. Landlock, seccomp and resource limits, under an
unprivileged uid where the caller is root. A candidate is one process, signals itself alone, and
writes no files. What this tier does not stop: names and metadata of files stay visible (contents
outside of /usr do not), as do load and process counts of the machine through system calls; where the
caller is not root, the candidate runs under the caller's own uid, with nothing but Landlock and
seccomp between them. Trusted tools on untrusted input, as compilers, may fork and write to their own
directory, whose total size is not bounded.

Neither covers bugs of the kernel, side channels (timing, caches), and the use of what the limits
allow. The remote tier, or a virtual machine around the workers, is stronger.

Threat model: source, input and output of a job are hostile; this process, the kernel, bubblewrap and
the interpreter are trusted. Nothing secret is inside: the environment is empty, descriptors are the
job's own, references and expected outputs never enter. Where a tier cannot be had, nothing is run.
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
from factory.sandbox.box import Call, Command, Job, Limits, Ran, Script

_START_S = 60.0
_GRACE_S = 10.0
_MEMORY_EXTRA_MB, _MAX_PROCESSES = 512, 128
_WARM = (
    "array bisect collections copy dataclasses datetime decimal enum fractions functools heapq io "
    "itertools json math operator queue random re statistics string time typing"
).split()


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
            "count_processes": tier == "namespaces" or os.geteuid() == 0,
            "path": [spawned.readable[-1]] if preload else [],
            "preload": [*_WARM, *preload],
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

    def birth(self, told: dict[str, Any], descriptors: list[int]) -> None:
        """Have a box made."""
        socket.send_fds(self._spawned.control, [json.dumps(told).encode()], descriptors)

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


class _Running:
    """A job on its way."""

    def __init__(self, box: _Box, limits: Limits, nonce: bytes, watched: list[int]) -> None:
        self._box = box
        self._limits = limits
        self._nonce = nonce
        self._watched = watched  # stdout, stderr, and the record of a Call

    def wait(self) -> Ran:
        try:
            answer = self._box.answer(self._limits.wall_s + _GRACE_S)
            return self._ran(answer)
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
        fd = self._watched[2]
        record = os.pread(fd, values.MAX_BYTES + 64, 0)
        if not record.startswith(self._nonce):
            return (), ""
        kind, body = record[len(self._nonce) :][:1], record[len(self._nonce) + 1 :]
        if kind == b"R":
            return (), body[:200].decode(errors="replace")
        try:
            return (values.decode(body),), ""
        except ValueError:
            return (), ""


class _Box:
    """One candidate's box, as its host sees it."""

    def __init__(
        self,
        jail: Jail,
        home: _Zygote,
        files: Mapping[str, bytes],
        limits: Limits,
    ) -> None:
        _plain_names(list(files))
        self._jail = jail
        self._zygote = home
        self._limits = limits
        self._code: tuple[str, int] | None = None
        self._folder = None if jail.tier == "namespaces" else _folders()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        payload = _payload(files)
        place = self._folder
        told = {
            "kept": "/box" if place is None else f"{place}/box",
            "scratch": "/tmp" if place is None else f"{place}/tmp",
            "keeps_mb": limits.scratch_mb,
        }
        try:
            home.birth(told, [theirs.fileno(), payload])
        except OSError as error:
            self.close()
            raise SandboxError(f"the sandbox is gone: {error}: {home.said()}") from error
        finally:
            theirs.close()
            os.close(payload)

    def start(
        self, job: Job, *, limits: Limits | None = None, channel: int | None = None
    ) -> _Running:
        limits = limits or self._limits
        nonce = secrets.token_hex(16)
        header, parts = _described(job, nonce)
        header |= {name: getattr(limits, name) for name in Limits.__dataclass_fields__}
        if self._jail.tier != "namespaces" and header["output_file"] and not header["keep"]:
            raise SandboxError("sandbox.tier landlock: a program cannot write files there")
        self._zygote.limit(limits.memory_mb)
        watched = [_memory_file("stdout"), _memory_file("stderr")]
        own = [_payload(parts), _memory_file("stdin", job.stdin)]
        if isinstance(job, Call):
            watched.append(_memory_file("record"))
            channel = watched[2]
        descriptors = [own[0], self._code_for(parts), own[1], *watched[:2]]
        descriptors += [] if channel is None else [channel]
        try:
            socket.send_fds(self._channel, [json.dumps(header).encode()], descriptors)
        except OSError as error:
            for fd in watched:
                os.close(fd)
            raise self._gone(error) from error
        finally:
            for fd in own:
                os.close(fd)
        return _Running(self, limits, nonce.encode(), watched)

    def run(self, job: Job, *, limits: Limits | None = None) -> Ran:
        return self.start(job, limits=limits).wait()

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """The keeper's report on the job that runs."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            self._zygote.close()
            raise SandboxError(f"the sandbox did not answer within {timeout_s:g} s")
        try:
            said = self._channel.recv(1 << 16)
        except OSError as error:
            raise self._gone(error) from error
        if not said:
            raise self._gone(None)
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _gone(self, error: OSError | None) -> SandboxError:
        return SandboxError(f"the box is gone: {self._zygote.said() or error or 'it ended'}")

    def _code_for(self, parts: Mapping[str, bytes]) -> int:
        """The descriptor that carries the compiled source from job to job."""
        source = parts.get("source", b"")
        if self._code is None or self._code[0] != source:
            self._forget_code()
            self._code = (source, _memory_file("code"))
        return self._code[1]

    def _forget_code(self) -> None:
        if self._code is not None:
            os.close(self._code[1])
            self._code = None

    def close(self) -> None:
        self._channel.close()
        self._forget_code()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def _described(job: Job, nonce: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Header and payload parts of a job."""
    header: dict[str, Any] = {"keep": False, "output_file": None, "nonce": nonce}
    parts: dict[str, bytes] = {}
    if not isinstance(job, Call):
        _plain_names([*job.files, *([job.output_file] if job.output_file is not None else [])])
        header["output_file"] = job.output_file
        parts = {f"file:{name}": content for name, content in job.files.items()}
    match job:
        case Script():
            header["kind"] = "script"
            parts["source"] = job.source.encode("utf-8", "surrogatepass")
        case Call():
            header |= {"kind": "call", "function": job.function}
            parts["source"] = job.source.encode("utf-8", "surrogatepass")
            parts["arguments"] = values.encode([list(job.args), dict(job.kwargs)])
        case Command():
            header |= {"kind": "command", "argv": list(job.argv), "keep": job.keep}
    return header, parts


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
        self._home(())

    def describe(self) -> str:
        """What isolates here, in one line."""
        home = self._home(())
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
        return _Box(self, self._home(tuple(sorted(preload))), files or {}, limits or Limits())

    def _home(self, preload: tuple[str, ...]) -> _Zygote:
        home = self._zygotes.get(preload)
        if home is None or not home.alive:
            if home is not None:
                home.close()
            if reason := spawn.unfit(self.tier):
                raise SandboxError(f"sandbox.tier {self.tier} cannot be had here: {reason}")
            home = self._zygotes[preload] = _Zygote(self.tier, preload, self._visible)
        return home

    def close(self) -> None:
        while self._zygotes:
            self._zygotes.popitem()[1].close()
