"""One job, in a process of its own inside a sandbox: confined first, untrusted from then on.

A job gives up descriptors, files, limits and privileges before the first untrusted byte is looked
at; compiling is already on the other side. Its descriptors, in the order in which they come:

    payload   named parts (`parts`): source, arguments, the job's files
    code      the compiled source, left by the box's first job for the next ones; sealed
    0, 1, 2   standard input, output, error
    3         of a Call: where its record goes; of a Script: the caller's channel, or nothing

A Call's record is its nonce, then V and the encoded value or R and the name of the exception. A
candidate can write a record of its own, which is no more than returning the value.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import marshal
import math
import os
import resource
import sys
import threading
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from factory.sandbox import kernel, values

if TYPE_CHECKING:
    from factory.sandbox.zygote import _Box

_CODE_FD, _RECORD_FD = 4, 3
_ALL_SEALS = 0b1111
_PROCESSES_OF_OURS = 8
"""Beside a job's own: zygote, keepers, and those of a box that talks to another one."""
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}


def parts(payload: int) -> dict[str, bytes]:
    """The named parts of a payload: a JSON line of [name, size] pairs, then their bytes."""
    with os.fdopen(os.dup(payload), "rb") as file:
        file.seek(0)
        return {name: file.read(size) for name, size in json.loads(file.readline())}


def lay(folder: str, name: str, content: bytes) -> None:
    """Write a file of the host's into a folder of the sandbox."""
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)


def run(box: _Box, header: dict[str, Any], descriptors: list[int], rules: int) -> None:
    """Never returns; the exit code is the job's."""
    code = 1
    try:
        given = parts(descriptors[0])
        _place(box, header, given)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.landlock_enforce(rules)
        _take(descriptors, keep_code=header["kind"] != "command")
        _limit(box, header)
        kernel.drop_capabilities()
        kernel.seccomp_enforce(_filter(box, header))
        if header["kind"] == "command":
            _execute(box, header)
        box.ready[0] = 1
        box.ready.close()
        del box
        compiled = _compiled(given["source"])
        code = _call(header, compiled, given) if header["kind"] == "call" else _script(compiled)
    except SystemExit as ended:
        code = _exit_code(ended)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(_finish(code) & 0xFF)


def _place(box: _Box, header: dict[str, Any], given: dict[str, bytes]) -> None:
    """Session, working directory, files."""
    os.setsid()
    os.umask(0o022)
    place = box.kept if header["keep"] else box.scratch
    os.chdir(place)
    for name, content in given.items():
        if name.startswith("file:"):
            lay(place, name[5:], content)


def _take(descriptors: list[int], *, keep_code: bool) -> None:
    """Put the job's descriptors into their places and close all others."""
    # Out of the way first: they may bear the very numbers that are needed.
    code, *others = (fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in descriptors[1:])
    for number, fd in enumerate(others):
        os.dup2(fd, number)
    os.dup2(code, _CODE_FD)
    kernel.close_from(_CODE_FD + keep_code)
    if len(others) == _RECORD_FD:
        with contextlib.suppress(OSError):
            os.close(_RECORD_FD)


def _limit(box: _Box, header: dict[str, Any]) -> None:
    cpu, file_bytes = math.ceil(header["cpu_s"]), header["file_mb"] << 20
    memory = (header["memory_mb"] << 20) + box.settings.base_bytes
    limits = [
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_NOFILE, header["open_files"], header["open_files"]),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ]
    if box.settings.count_processes:
        count = header["processes"] + _PROCESSES_OF_OURS
        limits.append((resource.RLIMIT_NPROC, count, count))
    for what, soft, hard in limits:
        # The worker process that all this is part of may have lower limits itself.
        most = resource.getrlimit(what)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(what, (soft, hard))


def _filter(box: _Box, header: dict[str, Any]) -> bytes:
    """The seccomp filter: without namespaces a candidate is one process and signals itself."""
    alone = not box.settings.namespaces and not header["keep"]
    program = box.settings.filters[alone or header["processes"] == 1]
    own = os.getpid() if alone else None
    return program if own is None else kernel.for_process(program, own)


def _execute(box: _Box, header: dict[str, Any]) -> None:
    argv = [_in_box(box, argument) for argument in header["argv"]]
    box.ready[0] = 1
    try:
        os.execve(argv[0], argv, {**_ENVIRONMENT, "TMPDIR": os.getcwd()})
    except OSError:
        box.ready[0] = 0
        raise


def _in_box(box: _Box, argument: str) -> str:
    is_inside = argument == "/box" or argument.startswith("/box/")
    return box.kept + argument[4:] if is_inside else argument


def _compiled(source: bytes) -> CodeType:
    """The code object, compiled at most once per box."""
    if fcntl.fcntl(_CODE_FD, fcntl.F_GET_SEALS):
        size = os.fstat(_CODE_FD).st_size
        code: CodeType = marshal.loads(os.pread(_CODE_FD, size, 0))
    else:
        os.ftruncate(_CODE_FD, 0)
        code = compile(source, "main.py", "exec", dont_inherit=True)
        os.pwrite(_CODE_FD, marshal.dumps(code), 0)
        # Nothing of the candidate has run so far, and from here on nothing can change it.
        fcntl.fcntl(_CODE_FD, fcntl.F_ADD_SEALS, _ALL_SEALS)
    os.close(_CODE_FD)
    return code


def _module(name: str) -> ModuleType:
    """A fresh module of the candidate's; ours go out of its way."""
    for ours in ("factory", *[n for n in sys.modules if n.startswith("factory.")]):
        sys.modules.pop(ours, None)
    sys.argv = ["main.py"]
    sys.path.insert(0, os.getcwd())
    module = ModuleType(name)
    sys.modules[name] = module
    return module


def _script(compiled: CodeType) -> int:
    exec(compiled, _module("__main__").__dict__)
    return 0


def _call(header: dict[str, Any], compiled: CodeType, given: dict[str, bytes]) -> int:
    nonce = header["nonce"].encode()
    arguments, named = values.decode(given["arguments"])
    encode, record_fd, failed = values.encode, _RECORD_FD, b"R"
    try:
        module = _module("solution")
        exec(compiled, module.__dict__)
        first, _, method = header["function"].partition(".")
        target = getattr(module, first)
        if method:
            target = getattr(target(), method)
        record = nonce + b"V" + encode(target(*arguments, **named))
    except BaseException as error:
        record = nonce + failed + type(error).__name__.encode("utf-8", "replace")[:200]
        with os.fdopen(record_fd, "wb") as file:
            file.write(record)
        raise
    with os.fdopen(record_fd, "wb") as file:
        file.write(record)
    return 0


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
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        code = code or 120
    return code
