"""What runs at a remote service: starts one job, watches it, and reports.

`remote.py` sends this file as the program and lays these files beside it:

    job.json             what to do
    stdin                what the job reads
    main.py              the candidate's source, where there is one
    values.py, args      for a call: how values are written, and the arguments
    work/, box/          the working directory, and what a command names /box

Started without arguments it is the launcher: it bounds the job with rlimits and a clock, ends what
the job left running and writes report.json. Started by itself with arguments it is the fresh
interpreter in which the candidate's source runs. What the service captures of a program is not
used: it cuts output at a size of its own and gives back text, not bytes.

The job can reach everything of the launcher that has the same user id. It gains nothing by that:
all that a report says (exit code, output, value) the candidate may bring about anyway.

Only the standard library, and no syntax newer than Python 3.8: the other side's may be old.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from typing import IO, Any

REPORT = "report.json"
_PR_SET_CHILD_SUBREAPER = 36


def launch(base: str) -> None:
    """Run the job that lies in `base`, and write the report."""
    import json

    with open(os.path.join(base, "job.json"), encoding="ascii") as file:
        job = json.load(file)
    try:
        report = _run(job, base)
    except Exception as error:  # the other side is told, and knows what to make of it
        report = {"failed": type(error).__name__ + ": " + str(error)[:500]}
    report["key"] = job["key"]
    path = os.path.join(base, REPORT)
    with open(path + ".part", "w", encoding="ascii") as file:
        json.dump(report, file)
    os.replace(path + ".part", path)


def _run(job: dict[str, Any], base: str) -> dict[str, Any]:
    import subprocess
    import tempfile

    box, work = os.path.join(base, "box"), os.path.join(base, "work")
    for folder in (box, work):
        os.makedirs(folder, exist_ok=True)
    for name in os.listdir(box):
        with contextlib.suppress(PermissionError):  # a service that changes the user id did it
            os.chmod(os.path.join(box, name), 0o755)
    _adopt_orphans()
    with contextlib.ExitStack() as files:
        stdin = files.enter_context(open(os.path.join(base, "stdin"), "rb"))
        out, err, record = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        since = time.monotonic()
        process = subprocess.Popen(
            _argv(job, base, box, record.fileno()),
            stdin=stdin,
            stdout=out,
            stderr=err,
            cwd=box if job["keep"] else work,
            env=_environment(work),
            start_new_session=True,
            pass_fds=(record.fileno(),) if job["kind"] == "call" else (),
            preexec_fn=lambda: _limit(job["limits"]),
        )
        try:
            code, ended = process.wait(job["limits"]["wall_s"]), ""
        except subprocess.TimeoutExpired:
            code, ended = -signal.SIGKILL, "wall"
        seconds = time.monotonic() - since
        _end_everything(process)
        return _report(job, base, code, ended, seconds, (out, err, record))


def _adopt_orphans() -> None:
    """A process that the job leaves behind becomes a child of this one, where it is found."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _argv(job: dict[str, Any], base: str, box: str, record: int) -> list[str]:
    if job["kind"] != "command":
        program = [sys.executable, "-s", "-B", os.path.abspath(__file__), job["kind"], base]
        return [*program, str(int(job["packages"])), str(record), job["function"]]
    return [
        box + part[4:] if part == "/box" or part.startswith("/box/") else part
        for part in job["argv"]
    ]


def _environment(work: str) -> dict[str, str]:
    """Nothing of the service's own environment, which may hold secrets."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": work,
        "TMPDIR": work,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _limit(limits: dict[str, Any]) -> None:
    """Bound this process. The number of processes is left to the service: it counts all of a user
    id, so those of other jobs too."""
    cpu = max(1, -int(-limits["cpu_s"] // 1))
    for what, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, limits["memory_mb"] << 20, limits["memory_mb"] << 20),
        (resource.RLIMIT_FSIZE, limits["file_mb"] << 20, limits["file_mb"] << 20),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        most = resource.getrlimit(what)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(what, (soft, hard))


def _end_everything(process: Any) -> None:
    """Kill the job's process group, then whoever left it."""
    children = [process.pid]
    while children:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                children = [int(pid) for pid in file.read().split()]
        except OSError:  # a kernel without that list
            return
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _report(
    job: dict[str, Any],
    base: str,
    code: int,
    ended: str,
    seconds: float,
    files: tuple[IO[bytes], IO[bytes], IO[bytes]],
) -> dict[str, Any]:
    import base64

    limits, (out, err, record) = job["limits"], files
    most = limits["output_bytes"]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    stdout = _start(out, most + 1)
    if job["output_file"]:
        place = "box" if job["keep"] else "work"
        stdout = _of_file(os.path.join(base, place, job["output_file"]), most + 1)
    too_much = len(stdout) > most or os.fstat(err.fileno()).st_size > most
    kept, fits = _kept(os.path.join(base, "box"), limits) if job["keep"] else ({}, True)
    if cpu > limits["cpu_s"] or code == -signal.SIGXCPU:
        ended = "cpu"
    elif not ended and (too_much or not fits or code == -signal.SIGXFSZ):
        ended = "output"

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    return {
        "ended": ended or ("signal" if code < 0 else "exited"),
        "code": abs(code),
        "stdout": text(stdout[:most]),
        "stderr": text(_end(err, most)),
        "record": text(_start(record, limits["record_bytes"])),
        "kept": {name: text(data) for name, data in kept.items()},
        "cpu_s": cpu,
        "wall_s": seconds,
    }


def _start(file: IO[bytes], most: int) -> bytes:
    return os.pread(file.fileno(), most, 0)


def _end(file: IO[bytes], most: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), most, max(0, size - most))


def _of_file(path: str, most: int) -> bytes:
    """The start of a plain file; nothing where it is missing, a link, a pipe or a folder."""
    import stat

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return os.pread(fd, most, 0)
    finally:
        os.close(fd)


def _kept(box: str, limits: dict[str, Any]) -> tuple[dict[str, bytes], bool]:
    """The plain files of the box, and whether they fit: none where they do not."""
    most, kept = limits["scratch_mb"] << 20, {}
    for name in sorted(os.listdir(box)):
        path = os.path.join(box, name)
        if os.path.isfile(path) and not os.path.islink(path):
            kept[name] = _of_file(path, most + 1)
            if sum(map(len, kept.values())) > most:
                return {}, False
    return kept, True


def interpret(kind: str, base: str, packages: str, record: str, function: str) -> None:
    """The candidate's interpreter: run its source, or call its function and hand back the value."""
    sys.path[0] = os.getcwd()
    if packages == "0":
        sys.path[:] = [p for p in sys.path if not p.endswith(("site-packages", "dist-packages"))]
    with open(os.path.join(base, "main.py"), "rb") as file:
        source = file.read()
    name = "__main__" if kind == "script" else "solution"
    module = type(sys)(name)
    sys.modules[name] = module
    sys.argv = ["main.py"]
    if kind == "script":
        exec(compile(source, "main.py", "exec", dont_inherit=True), module.__dict__)
    else:
        _call(module, source, base, int(record), function)


def _call(module: Any, source: bytes, base: str, record: int, function: str) -> None:
    values: dict[str, Any] = {"__name__": "values"}
    with open(os.path.join(base, "values.py"), "rb") as file:
        exec(compile(file.read(), "values.py", "exec", dont_inherit=True), values)
    with open(os.path.join(base, "args"), "rb") as file:
        args, kwargs = values["decode"](file.read())
    answer = b"raised BaseException"
    try:
        exec(compile(source, "main.py", "exec", dont_inherit=True), module.__dict__)
        first, _, method = function.partition(".")
        target = getattr(module, first)
        if method:
            target = getattr(target(), method)
        answer = b"value " + values["encode"](target(*args, **kwargs))
    except BaseException as error:  # SystemExit too: it did not return
        answer = b"raised " + type(error).__name__.encode("utf-8", "replace")[:200]
        raise
    finally:
        with os.fdopen(record, "wb") as file:
            file.write(answer)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        launch(os.path.dirname(os.path.abspath(__file__)))
    else:
        interpret(*sys.argv[1:])
