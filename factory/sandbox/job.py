"""One job, in a process of its own inside a sandbox: confined first, untrusted from then on.

A Program is one source that runs on many inputs: it is compiled once, by a keeper that has confined
itself, and never executed there; each run is a fork. A command confines itself and executes.

A Call's record is its nonce, then V and the encoded value or R and the name of the exception. A
candidate can write a record of its own, which is no more than returning the value.
"""

from __future__ import annotations

import _thread
import atexit
import gc
import io
import json
import math
import os
import random
import resource
import signal
import sys
import threading
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from factory.sandbox import kernel, values

if TYPE_CHECKING:
    from factory.sandbox.zygote import Cell

LOW_DESCRIPTORS = 8
_RECORD_FD = 3
_PROCESSES_OF_OURS = 8
"""Beside a job's own: zygote, keepers, and those of a box that talks to another one."""
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}


def parts(payload: int) -> dict[str, bytes]:
    """The named parts of a payload: a JSON line of [name, size] pairs, then their bytes."""
    text = os.pread(payload, os.fstat(payload).st_size, 0)
    head, _, body = text.partition(b"\n")
    found, at = {}, 0
    for name, size in json.loads(head):
        found[name] = body[at : at + size]
        at += size
    return found


def lay(folder: str, name: str, content: bytes) -> None:
    """Write a file of the host's into a folder of the sandbox."""
    path = os.path.join(folder, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o755)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def confine(
    cell: Cell, limits: dict[str, Any], *, tool: bool = False, keeper: bool = False
) -> None:
    """Give up files, resources and privileges; there is no way back.

    A `keeper` is to fork jobs that are confined as it is: its own CPU time has no limit, and what
    forbids forking, or holds for one process id, is left to the job.
    """
    settings = cell.settings
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    trusted = tool or (keeper and not settings.namespaces)  # its jobs confine themselves further
    kernel.landlock_enforce(settings.rules_for(cell, trusted))
    _limit(limits, cell, keeper)
    kernel.drop_capabilities()
    if keeper and settings.namespaces:
        kernel.seccomp_enforce(settings.filters[False, False])
    elif not keeper:
        _filter(cell, limits, tool)


def _filter(cell: Cell, limits: dict[str, Any], tool: bool) -> None:
    """The seccomp filter of a job; without namespaces a candidate is one process, by itself."""
    alone = not cell.settings.namespaces and not tool
    program = cell.settings.filters[alone or limits["processes"] == 1, tool]
    kernel.seccomp_enforce(kernel.for_process(program, os.getpid()) if alone else program)


def _limit(limits: dict[str, Any], cell: Cell, keeper: bool) -> None:
    file_bytes = limits["file_mb"] << 20
    memory = (limits["memory_mb"] << 20) + cell.settings.base_bytes
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for what, most in bounds.items():
        _bound(what, most, most)
    if not keeper:
        _limit_own(limits, cell)


def _limit_own(limits: dict[str, Any], cell: Cell) -> None:
    """What a keeper is not bound by: it lives long, and must be able to fork."""
    seconds = math.ceil(limits["cpu_s"])
    _bound(resource.RLIMIT_CPU, seconds, seconds + 1)
    if cell.settings.count_processes:
        count = limits["processes"] + _PROCESSES_OF_OURS
        _bound(resource.RLIMIT_NPROC, count, count)


def _bound(what: int, soft: int, hard: int) -> None:
    # The worker process that all this is part of may have lower limits itself.
    most = resource.getrlimit(what)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def _take(descriptors: list[int]) -> None:
    """Put a job's descriptors into their places, from 0 on, and close all others.

    None of them bears such a number so far: the zygote keeps these occupied.
    """
    for number, fd in enumerate(descriptors):
        os.dup2(fd, number)
    os.closerange(len(descriptors), 1 << 20)


def execute(cell: Cell, header: dict[str, Any], descriptors: list[int], place: str) -> None:
    """Be a command. Never returns."""
    assert cell.ready is not None
    try:
        os.setsid()
        os.chdir(place)
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them
            signal.signal(number, signal.SIG_DFL)
        argv = [_in_box(cell, argument) for argument in header["argv"]]
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        confine(cell, header["limits"], tool=header["keep"])
        _take(descriptors)
        cell.ready[0] = 1
        os.execve(argv[0], argv, {**_ENVIRONMENT, "TMPDIR": place})
    except BaseException as error:
        cell.ready[0] = 0
        os.write(2, f"{type(error).__name__}: {error}".encode())
    os._exit(1)


def _in_box(cell: Cell, argument: str) -> str:
    is_inside = argument == "/box" or argument.startswith("/box/")
    return cell.kept + argument[4:] if is_inside else argument


class Program:
    """A candidate's source, compiled, in a process that is confined already."""

    def __init__(self, source: bytes, cell: Cell, rules: int | None) -> None:
        self._cell = cell
        self._rules = rules
        """What a run is confined to beyond its keeper: a Landlock ruleset."""
        self._compiled: CodeType | None = None
        self._error: BaseException | None = None
        self._uses_random = b"random" in source
        try:
            self._compiled = compile(source, "main.py", "exec", dont_inherit=True)
        except Exception as error:  # every run fails with it, as if it compiled for itself
            self._error = error
        for ours in [n for n in sys.modules if n == "factory" or n.startswith("factory.")]:
            del sys.modules[ours]
        sys.argv = ["main.py"]
        sys.path.insert(0, cell.scratch)

    def run(self, header: dict[str, Any], descriptors: list[int], given: dict[str, bytes]) -> None:
        """Be a run of it, in a process that was forked for that. Never returns."""
        code = 1
        try:
            os.setsid()
            if self._uses_random:
                random.seed(header["seed"])  # the same in every judgement, another one per job
            limits = header["limits"]
            if self._rules is not None:
                kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
                kernel.landlock_enforce(self._rules)
            _take(descriptors)
            _limit_own(limits, self._cell)
            if limits["processes"] == 1 or not self._cell.settings.namespaces:
                _filter(self._cell, limits, tool=False)
            if self._compiled is None:
                assert self._error is not None
                raise self._error.with_traceback(None)
            if header["function"] is None:
                exec(self._compiled, _module("__main__").__dict__)
            else:
                _call(header, self._compiled, given["arguments"])
            code = 0
        except SystemExit as ended:
            code = _exit_code(ended)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(_finish(code) & 0xFF)


def _module(name: str) -> ModuleType:
    module = sys.modules[name] = ModuleType(name)
    return module


def _call(header: dict[str, Any], compiled: CodeType, arguments: bytes) -> None:
    nonce, encode = header["nonce"].encode(), values.encode
    positional, named = values.decode(arguments)
    try:
        module = _module("solution")
        exec(compiled, module.__dict__)
        first, _, method = header["function"].partition(".")
        target = getattr(module, first)
        if method:
            target = getattr(target(), method)
        _record(nonce + b"V" + encode(target(*positional, **named)))
    except BaseException as error:
        _record(nonce + b"R" + type(error).__name__.encode("utf-8", "replace")[:200])
        raise


def _record(record: bytes) -> None:
    with os.fdopen(_RECORD_FD, "wb") as file:
        file.write(record)


def _exit_code(ended: SystemExit) -> int:
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code
    print(ended.code, file=sys.stderr)
    return 1


def _finish(code: int) -> int:
    """What the interpreter does at its end, as far as a program can tell."""
    try:
        if _thread._count():
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        # Those that the program opened: what was there before the fork is not in the list.
        for opened in gc.get_objects():
            if isinstance(opened, io.TextIOWrapper | io.BufferedWriter) and not opened.closed:
                opened.flush()
    except BaseException:
        code = code or 120
    return code
