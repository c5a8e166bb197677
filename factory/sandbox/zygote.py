"""The warm interpreter inside a sandbox, and the boxes that are forked from it.

    host --a socket per box--> zygote --fork, namespaces--> keeper --fork, confined--> job

The zygote and the keepers never run anything untrusted. A keeper is the first process of its
box's own pid namespace: it starts one job after the other, tells what it observed (exit state,
CPU and wall-clock time), and leaves nothing behind between two jobs.

On a box's socket the host sends a job's header as JSON with six descriptors (`factory.sandbox.job`
says which), and the keeper answers with JSON. This file runs inside, without the rest of the
project: the host sends the text of `kernel`, `values` and `job` along.
"""

from __future__ import annotations

import _socket
import builtins
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
    """What holds for every box of this zygote: the first message of the host."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.namespaces: bool = told["namespaces"]
        self.readable: list[str] = told["readable"]
        self.devices: list[str] = told["devices"]
        self.count_processes: bool = told["count_processes"]
        self.base_bytes = 0
        """Address space of the warm interpreter itself; a job's limit comes on top."""
        self.abi = kernel.landlock_abi()
        pid = None if self.namespaces else kernel.OWN_PID
        self.filters = {
            single: kernel.seccomp_filter(single=single, own_pid=pid) for single in (False, True)
        }


def main(descriptor: int) -> None:
    """Serve boxes until the host hangs up."""
    control = _socket.socket(fileno=descriptor)
    told = json.loads(control.recv(_MAX_MESSAGE))
    # The worker process has a soft limit of its own; a job's limits come later.
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    sys.path += told["path"]
    for name in told["preload"]:
        importlib.import_module(name)
    # As `site` would have it: a program may end with exit().
    builtins.exit, builtins.quit = Quitter("exit", ""), Quitter("quit", "")  # type: ignore[assignment]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings = Settings(told)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"abi": settings.abi}).encode())
    settings.base_bytes = json.loads(control.recv(_MAX_MESSAGE))["base_bytes"]
    while True:
        message, descriptors = _receive(control)
        if not message:
            return
        if _fork(settings.namespaces) == 0:
            os.dup2(0, control.detach())
            _keep(_socket.socket(fileno=descriptors[0]), settings, json.loads(message), descriptors)
        for fd in descriptors:
            os.close(fd)


def _fork(namespace: bool) -> int:
    """Fork; with `namespace` the child is the first process of a new pid namespace."""
    if not namespace:
        return os.fork()
    kernel.unshare(kernel.CLONE_NEWPID)
    pid = os.fork()
    if pid:
        kernel.enter_own_pid_namespace()
    return pid


def _receive(channel: _socket.socket) -> tuple[bytes, list[int]]:
    size = _socket.CMSG_SPACE(8 * 4)
    message, ancillary, _, _ = channel.recvmsg(_MAX_MESSAGE, size, _socket.MSG_CMSG_CLOEXEC)
    found = [int(fd) for _, _, data in ancillary for (fd,) in struct.iter_unpack("i", data)]
    return message, found


class _Box:
    """The places of one box, as its keeper sees them."""

    def __init__(self, settings: Settings, told: dict[str, Any]) -> None:
        self.settings = settings
        self.kept: str = told["kept"]
        self.scratch: str = told["scratch"]
        self._size = 0  # of the mounted scratch, MiB; 0: nothing is mounted
        self._rules: dict[bool, int] = {}
        self.ready = mmap.mmap(-1, 1)
        """One byte that a job sets when it has confined itself, and can no longer reach then."""
        if settings.namespaces:
            kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        if told["keeps_mb"] and settings.namespaces:
            self._mount(self.kept, told["keeps_mb"], 0)

    def _mount(self, place: str, size_mb: int, flags: int) -> None:
        flags |= kernel.MS_NOSUID | kernel.MS_NODEV
        options = f"size={size_mb}m,nr_inodes=4096,mode=755"
        kernel.mount("tmpfs", place, "tmpfs", flags, options)

    def prepare(self, scratch_mb: int) -> None:
        """See to an empty working directory. In the weaker tier no candidate can write to it."""
        if self.settings.namespaces and self._size != scratch_mb:
            self.clear(used=True)
            self._mount(self.scratch, scratch_mb, kernel.MS_NOEXEC)
            self._size = scratch_mb

    def clear(self, *, used: bool = False) -> None:
        """Remove what a job has left in its working directory."""
        if not self.settings.namespaces:
            for name in os.listdir(self.scratch):
                os.unlink(os.path.join(self.scratch, name))
        elif self._size and (used or not _is_empty(self.scratch)):
            kernel.unmount(self.scratch)
            self._size = 0
            for rules in self._rules.values():
                os.close(rules)
            self._rules.clear()

    def rules(self, tool: bool) -> int:
        """The Landlock ruleset of the next job."""
        if tool not in self._rules:
            place = self.kept if tool else self.scratch
            self._rules[tool] = kernel.landlock_rules(
                [*self.settings.readable, self.kept, self.scratch],
                self.settings.devices,
                [place] if tool or self.settings.namespaces else [],
                self.settings.abi,
            )
        return self._rules[tool]


def _is_empty(path: str) -> bool:
    try:
        return not os.listdir(path)
    except OSError:  # its mode was changed
        return False


def _keep(
    channel: _socket.socket, settings: Settings, told: dict[str, Any], descriptors: list[int]
) -> None:
    """The keeper: one job after the other until the host hangs up. Does not return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if not settings.namespaces:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            os.setsid()
        box = _Box(settings, told)
        for name, content in job.parts(descriptors[1]).items():
            job.lay(box.kept, name, content)
        os.close(descriptors[1])
        while True:
            message, descriptors = _receive(channel)
            if not message:
                break
            answer = _one(box, json.loads(message), descriptors)
            for fd in descriptors:
                os.close(fd)
            channel.send(json.dumps(answer).encode())
    except BaseException as error:
        os.write(2, f"keeper: {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _one(box: _Box, header: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Run one job to its end and past it: nothing of it lives when this returns."""
    box.prepare(header["scratch_mb"])
    rules = box.rules(header["keep"])
    box.ready[0] = 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    since = time.monotonic()
    pid = os.fork()
    if pid == 0:
        job.run(box, header, descriptors, rules)
    watched = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    over = not poll.poll(header["wall_s"] * 1000)
    os.close(watched)
    if over:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    wall = time.monotonic() - since
    _sweep(box.settings.namespaces)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if header["output_file"]:
        _fetch(os.path.join(box.scratch, header["output_file"]), descriptors[3], header["output"])
    box.clear()
    return {
        "ready": box.ready[0],
        "exit": os.waitstatus_to_exitcode(status),
        "over": over,
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def _sweep(namespaces: bool) -> None:
    """Kill and bury everything that a job has left behind."""
    while True:
        try:
            if namespaces:
                os.kill(-1, signal.SIGKILL)  # of the first process: to all others in its namespace
            else:
                for pid in _children():
                    os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
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


def _fetch(path: str, to: int, limit: int) -> None:
    """Put what a job wrote to a plain file in the place of its standard output."""
    os.ftruncate(to, 0)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        os.pwrite(to, file.read(limit + 1), 0)
