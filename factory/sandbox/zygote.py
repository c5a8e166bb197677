"""The warm interpreter inside a sandbox, and the cells that are forked from it.

    host --birth--> zygote --fork, namespaces--> keeper --fork--> job, job, ...
         <------------one socket per cell--------

The zygote and the keepers never run anything untrusted. A keeper is the first process of its
cell's own pid namespace: it starts one job after the other, tells what it observed (exit state,
CPU and wall-clock time), and leaves no process behind between two jobs. There are two kinds:

    python    for one source: the keeper confines itself, compiles it, and forks a job per input
    command   for programs: the keeper keeps what it may do, each job confines itself and executes

Messages are JSON with descriptors beside them; `Cell` and `_one` say which. This file runs without
the rest of the project: the host sends the text of `kernel`, `values` and `job` along.
"""

from __future__ import annotations

import _socket
import builtins
import contextlib
import gc
import importlib
import json
import mmap
import os
import resource
import select
import signal
import struct
import sys
import time
from _sitebuiltins import Quitter
from typing import Any

from factory.sandbox import job, kernel

_MAX_MESSAGE = 1 << 16


class Settings:
    """What holds for every cell of this zygote: the first message of the host."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.namespaces: bool = told["namespaces"]
        self.readable: list[str] = told["readable"]
        self.devices: list[str] = told["devices"]
        self.count_processes: bool = told["count_processes"]
        self.base_bytes = 0
        """Address space of the warm interpreter itself; a job's limit comes on top."""
        self.abi = kernel.landlock_abi()
        own = None if self.namespaces else kernel.OWN_PID
        self.filters = {
            (single, tool): kernel.seccomp_filter(
                single=single, tool=tool, own_pid=None if tool else own
            )
            for single in (False, True)
            for tool in (False, True)
        }
        # With namespaces the places have the same parents in every cell, so the rules are the same.
        scratch, kept = told["parents"]
        self.rules = [self._rules(scratch, kept, tool) for tool in (False, True)]

    def _rules(self, scratch: str, kept: str, tool: bool) -> int:
        """For a trusted program (a tool or a keeper), or for a candidate's."""
        writable = [scratch, kept] if tool else [scratch] if self.namespaces else []
        readable = [*self.readable, scratch, kept]
        return kernel.landlock_rules(readable, self.devices, writable, self.abi)

    def rules_for(self, cell: Cell, tool: bool) -> int:
        """A Landlock ruleset as a descriptor."""
        if self.namespaces:
            return self.rules[tool]
        return self._rules(cell.scratch, cell.kept, tool)


def main(descriptor: int) -> None:
    """Serve cells until the host hangs up."""
    # The low numbers stay occupied, so that no descriptor that comes in bears one that a job needs.
    while (spare := os.dup(0)) < job.LOW_DESCRIPTORS:
        pass
    os.close(spare)
    control = _socket.socket(fileno=descriptor)
    told = json.loads(control.recv(_MAX_MESSAGE))
    sys.path += told["path"]
    for name in told["preload"]:
        importlib.import_module(name)
    # As `site` would have it: a program may end with exit().
    builtins.exit, builtins.quit = Quitter("exit", ""), Quitter("quit", "")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings = Settings(told)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"abi": settings.abi}).encode())
    settings.base_bytes = json.loads(control.recv(_MAX_MESSAGE))["base_bytes"]
    keepers: dict[int, int] = {}
    while True:
        text, descriptors = _receive(control)
        if not text:
            return
        message = json.loads(text)
        _bury(keepers)
        if "kill" in message:
            if message["kill"] in keepers:
                os.kill(keepers[message["kill"]], signal.SIGKILL)
            continue
        pid = _fork(settings.namespaces)
        if pid == 0:
            os.dup2(0, control.detach())  # closed, its number still taken
            _keep(_socket.socket(fileno=descriptors[0]), settings, message, descriptors[1])
        keepers[message["number"]] = pid
        for fd in descriptors:
            os.close(fd)


def _bury(keepers: dict[int, int]) -> None:
    """Reap the keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitpid(-1, os.WNOHANG)[0]:
            for number in [n for n, pid in keepers.items() if pid == ended]:
                del keepers[number]


def _fork(namespace: bool) -> int:
    """Fork; with `namespace` the child is the first process of a new pid namespace."""
    if not namespace:
        return kernel.fork()
    kernel.unshare(kernel.CLONE_NEWPID)
    pid = kernel.fork()
    if pid:
        kernel.enter_own_pid_namespace()
    return pid


def _receive(channel: _socket.socket) -> tuple[bytes, list[int]]:
    size = _socket.CMSG_SPACE(8 * 4)
    message, ancillary, _, _ = channel.recvmsg(_MAX_MESSAGE, size, _socket.MSG_CMSG_CLOEXEC)
    found = [int(fd) for _, _, data in ancillary for (fd,) in struct.iter_unpack("i", data)]
    return message, found


class Cell:
    """One cell as its keeper sees it. Born with the descriptors [socket, payload]."""

    def __init__(self, settings: Settings, told: dict[str, Any], given: dict[str, bytes]) -> None:
        self.settings = settings
        self.limits: dict[str, Any] = told["limits"]
        self.kept: str = told["kept"]
        """Where the files of the box lie: /box."""
        self.scratch: str = told["scratch"]
        """The working directory of a job."""
        self.is_python = "source" in given
        self.ready = None if self.is_python else mmap.mmap(-1, 1)
        """One byte that a command sets when it has confined itself; executing takes it away."""
        self._mounted = False
        self._changed = 0  # when the working directory was, in ns
        if settings.namespaces:
            kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
            if given.keys() - {"source"} or not self.is_python:
                self._mount(self.kept, 0)
        self.freshen()
        for name, content in given.items():
            if name != "source":
                job.lay(self.kept, name, content)

    def _mount(self, place: str, flags: int) -> None:
        flags |= kernel.MS_NOSUID | kernel.MS_NODEV
        options = f"size={self.limits['scratch_mb']}m,nr_inodes=4096,mode=755"
        kernel.mount("tmpfs", place, "tmpfs", flags, options)

    def freshen(self) -> None:
        """An empty working directory."""
        if not self.settings.namespaces:
            for name in os.listdir(self.scratch):
                os.unlink(os.path.join(self.scratch, name))
        elif not (self._mounted and self.is_clean()):
            if self._mounted:
                kernel.unmount(self.scratch)
            self._mount(self.scratch, kernel.MS_NOEXEC)
            self._mounted = True
        self._changed = os.stat(self.scratch).st_ctime_ns

    def is_clean(self) -> bool:
        """Whether nothing was ever done to the working directory: the kernel's word for it."""
        return os.stat(self.scratch).st_ctime_ns == self._changed


def _keep(channel: _socket.socket, settings: Settings, told: dict[str, Any], payload: int) -> None:
    """The keeper: one job after the other until the host hangs up. Does not return."""
    try:
        if not settings.namespaces:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
        given = job.parts(payload)
        os.close(payload)
        cell = Cell(settings, told, given)
        program = None
        if cell.is_python:
            os.chdir(cell.scratch)
            os.umask(0o022)
            rules = None if settings.namespaces else settings.rules_for(cell, tool=False)
            job.confine(cell, cell.limits, keeper=True)
            channel.send(b"{}")  # from here on it is the candidate's fault
            program = job.Program(given["source"], cell, rules)
            channel.send(b"{}")
        while True:
            message, descriptors = _receive(channel)
            if not message:
                break
            answer = _one(cell, program, json.loads(message), descriptors)
            for fd in descriptors:
                os.close(fd)
            channel.send(json.dumps(answer).encode())
    except BaseException as error:
        os.write(2, f"keeper: {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _one(
    cell: Cell, program: job.Program | None, header: dict[str, Any], descriptors: list[int]
) -> dict[str, Any]:
    """Run one job to its end and past it: no process of it lives when this returns.

    Descriptors: payload, then those that the job is to have as 0, 1, 2 and perhaps 3.
    """
    given = job.parts(descriptors[0])
    place = cell.kept if header["keep"] else cell.scratch
    laid = {name[5:]: given.pop(name) for name in list(given) if name.startswith("file:")}
    for name, content in laid.items():
        job.lay(place, name, content)
    if cell.ready is not None:
        cell.ready[0] = 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    since = time.monotonic()
    pid = kernel.fork()
    if pid == 0:
        if program is None:
            job.execute(cell, header, descriptors[1:], place)
        else:
            program.run(header, descriptors[1:], given)
    status, over = _await(pid, header["limits"]["wall_s"])
    wall = time.monotonic() - since
    _sweep(cell.settings.namespaces)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if header["output_file"]:
        _fetch(os.path.join(place, header["output_file"]), descriptors[2], header["limits"])
    if program is None:
        cell.freshen()
    for name in laid if program else ():
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(place, name))
    return {
        "ready": cell.ready is None or cell.ready[0],
        "exit": os.waitstatus_to_exitcode(status),
        "over": over,
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "clean": cell.is_clean(),
    }


def _await(pid: int, wall_s: float) -> tuple[int, bool]:
    """Wait status of a job, and whether it had to be killed for its time."""
    watched = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    over = not poll.poll(wall_s * 1000)
    os.close(watched)
    if over:
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1], over


def _sweep(namespaces: bool) -> None:
    """Kill and bury everything that a job has left behind."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            if namespaces:
                os.kill(-1, signal.SIGKILL)  # of the first process: to all others in its namespace
            else:
                for pid in _children():
                    os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.0005)


def _children() -> list[int]:
    """Own children, those included that a dead one has left to this process."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _fetch(path: str, to: int, limits: dict[str, Any]) -> None:
    """Put what a job wrote to a plain file in the place of its standard output."""
    os.ftruncate(to, 0)
    with contextlib.suppress(OSError):  # it is not there, a link, a directory, closed to us, ...
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            os.pwrite(to, file.read(limits["output_bytes"] + 1), 0)
