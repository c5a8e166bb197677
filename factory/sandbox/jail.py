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
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from factory.errors import SandboxError
from factory.sandbox import spawn, values
from factory.sandbox.box import Box, Call, Command, Job, Limits, Ran, is_plain
from factory.sandbox.cells import GRACE_S, Cell, Zygote, memory_file, observed, payload, plain


def _plain_names(names: Sequence[str]) -> None:
    for name in names:
        if not is_plain(name):
            raise ValueError(f"a file in a box has a plain name, without `/`: got {name!r}")


class _Running:
    """A job on its way."""

    def __init__(
        self, box: _Box, cell: Cell, limits: Limits, nonce: bytes, watched: list[int]
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
            return observed(answer, self._limits, self._nonce, self._watched)
        except TimeoutError:
            self._box.drop(self._cell)
            limit = self._limits.wall_s + GRACE_S
            raise SandboxError(f"the sandbox did not answer within {limit:g} s") from None
        except SandboxError:
            self._box.drop(self._cell)
            raise
        finally:
            for fd in self._watched:
                os.close(fd)


class _Box(Box):
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
        self._cells: dict[tuple[bytes, Limits] | None, Cell] = {}

    def start(
        self, job: Job, *, limits: Limits | None = None, channel: int | None = None
    ) -> _Running:
        limits = limits or self._limits
        nonce = secrets.token_hex(16)
        header, parts, source = _described(job, nonce)
        self._jobs += 1
        header |= {"limits": plain(limits), "seed": self._jobs}
        self._refuse(header)
        cell = self._cell(source, limits)
        watched = [memory_file("stdout"), memory_file("stderr")]
        own = [payload(parts), memory_file("stdin", job.stdin)]
        if isinstance(job, Call):
            channel = memory_file("record")
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

    def _refuse(self, header: dict[str, Any]) -> None:
        if self._jail.tier == "landlock" and header["output_file"] and not header["keep"]:
            raise SandboxError("sandbox.tier landlock: a program cannot write files there")

    def _cell(self, source: bytes | None, limits: Limits) -> Cell:
        """The cell of a source, or of commands; the one of another source makes room for it."""
        key = None if source is None else (source, limits)
        if key not in self._cells:
            for other in [k for k in self._cells if k is not None and key is not None]:
                self._cells.pop(other).close()
            if self._jail.tier == "landlock" and self._folder is None:
                self._folder = _folders()
            files = self._files if source is None else {**self._files, "source": source}
            home = self._jail.home(self._preload)
            self._cells[key] = Cell(home, self._folder, files, limits)
        return self._cells[key]

    def drop(self, cell: Cell) -> None:
        """End a cell that is spent; the next job gets another one."""
        for key in [k for k, c in self._cells.items() if c is cell]:
            self._cells.pop(key).close()

    def close(self) -> None:
        while self._cells:
            self._cells.popitem()[1].close()
        if self._folder is not None:
            for name in os.listdir(self._folder):  # its owner may have changed its mode
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(self._folder, name), 0o755)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


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
    prefix = "factory-box-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):  # of workers that were killed
        if not os.path.exists(f"/proc/{left.name.removeprefix(prefix).partition('-')[0]}"):
            shutil.rmtree(left, ignore_errors=True)
    base = tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-")
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
        self._zygotes: dict[tuple[str, ...], Zygote] = {}

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

    def home(self, preload: tuple[str, ...]) -> Zygote:
        home = self._zygotes.get(preload)
        if home is None or not home.alive:
            if home is not None:
                home.close()
            if reason := spawn.unfit(self.tier):
                raise SandboxError(f"sandbox.tier {self.tier} cannot be had here: {reason}")
            self._zygotes[preload] = home = Zygote(self.tier, preload, self._visible)
        return home

    def close(self) -> None:
        while self._zygotes:
            self._zygotes.popitem()[1].close()
