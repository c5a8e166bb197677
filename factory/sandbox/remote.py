"""The tier elsewhere: boxes at a SandboxFusion service.

Every job goes there as `launch.py` with the job's files beside it, and comes back as the one file
that the launcher writes. The service's languages of its own (`cpp`, say) are not used: they fix the
compiler's flags, compile again for every test, put one time limit on everything, hand the service's
environment to the candidate, and give back output as text, cut short at a size that differs from
version to version.

How strong the isolation is, is the service's affair: run it with `isolation: lite` or stronger, on
a machine of its own. What it cannot do here: a `channel`, a limit on the number of processes or on
all files together, and /box for Python programs. Anything but an answer in good order is an error
of the sandbox, never a statement about the candidate.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from factory.errors import SandboxError
from factory.sandbox import values
from factory.sandbox.box import Box, Call, Command, Job, Limits, Ran, Tier, is_plain
from factory.sandbox.fusion import Service

_DROPPED_BY_THE_SERVICE = "IGNORE_THIS_FILE"


class Remote:
    """A sandbox at the address of a SandboxFusion service.

    Raises:
        SandboxError: that is no such address.
    """

    def __init__(self, url: str) -> None:
        self.tier: Tier = "remote"
        self._service = Service(url)
        self._ready: set[tuple[str, ...]] = set()

    def start(self, preload: Sequence[str] = ()) -> None:
        """Let the service show that it runs jobs as it should, and that it has the modules."""
        wanted = tuple(sorted(preload))
        if wanted in self._ready:
            return
        source = "".join(f"import {name}\n" for name in wanted) + _ECHO
        call = Call(source=source, function="echo", args=[(1, "\udc80", {2.5})], stdin=b"\xff\0")
        limits = Limits(cpu_s=20, wall_s=30, memory_mb=4096)
        ran = _FarBox(self._service, {}, limits, wanted).run(call)
        if ran.returned != ((1, "\udc80", {2.5}),) or ran.stdout != b"\xff\0":
            found = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
            raise SandboxError(
                f"{self._service.name} does not run a test program as it should: "
                f"{found or 'another value came back'}"
            )
        self._ready.add(wanted)

    def box(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        limits: Limits | None = None,
        preload: Sequence[str] = (),
    ) -> _FarBox:
        """A new box; see `factory.sandbox.box.Sandbox`."""
        self.start(preload)
        return _FarBox(self._service, dict(files or {}), limits or Limits(), tuple(preload))

    def describe(self) -> str:
        """What isolates there is the service's affair; this is where it is."""
        return f"remote ({self._service.name})"

    def close(self) -> None:
        """Nothing is held between two requests."""


_ECHO = """
import sys
def echo(value):
    sys.stdout.buffer.write(sys.stdin.buffer.read())
    return value
"""


class _FarBox(Box):
    """A box that exists on this side alone: each job takes along what it needs."""

    def __init__(
        self, service: Service, files: dict[str, bytes], limits: Limits, preload: tuple[str, ...]
    ) -> None:
        self._service = service
        self._files = files
        self._limits = limits
        self._preload = preload
        self._open = True

    def start(
        self, job: Job, *, limits: Limits | None = None, channel: int | None = None
    ) -> _FarRun:
        """Prepare a job; it is sent when it is waited for."""
        if not self._open:
            raise SandboxError("this box is closed")
        if channel is not None:
            raise SandboxError("the remote tier cannot give a program a channel to another one")
        if self._files and not isinstance(job, Command):
            raise SandboxError(
                "the remote tier has no /box for Python programs: give the files with the job"
            )
        return _FarRun(self, job, limits or self._limits)

    def close(self) -> None:
        """Forget the files."""
        self._open = False
        self._files = {}

    def execute(self, job: Job, limits: Limits) -> Ran:
        """Send a job and read what came of it."""
        told = _told(job, self._preload, limits)
        report = self._service.report(told, _files_of(job, self._files), limits)
        if report.failed or report.ended is None:
            why = report.failed[:300] or "it does not say why"
            raise SandboxError(f"{self._service.name} could not start the job: {why}")
        most, ended = limits.output_bytes, report.ended
        if max(len(report.stdout), len(report.stderr)) > most:
            ended = "output"
        if isinstance(job, Command) and job.keep:
            self._files.update((n, data) for n, data in report.kept.items() if is_plain(n))
        returned, raised = _returned(report.record) if isinstance(job, Call) else ((), "")
        if ended != "exited" or report.code:
            returned = ()
        return Ran(
            ended=ended,
            code=report.code,
            stdout=report.stdout[:most],
            stderr=report.stderr[-most:],
            returned=returned,
            raised=raised,
            cpu_s=report.cpu_s,
            wall_s=report.wall_s,
        )


class _FarRun:
    """A job that is sent when it is waited for."""

    def __init__(self, box: _FarBox, job: Job, limits: Limits) -> None:
        self._box, self._job, self._limits = box, job, limits
        self._ran: Ran | None = None

    def wait(self) -> Ran:
        """What came of it; see `factory.sandbox.box.Running`."""
        if self._ran is None:
            self._ran = self._box.execute(self._job, self._limits)
        return self._ran


def _told(job: Job, preload: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """What `launch.py` reads as job.json."""
    told: dict[str, Any] = {
        "kind": type(job).__name__.lower(),
        "limits": {**asdict(limits), "record_bytes": values.MAX_BYTES + 100},
        "packages": bool(preload),
        "argv": list(job.argv) if isinstance(job, Command) else [],
        "keep": isinstance(job, Command) and job.keep,
        "function": job.function if isinstance(job, Call) else "",
        "output_file": None if isinstance(job, Call) else job.output_file,
    }
    if told["output_file"] is not None:
        _check_name(told["output_file"])
    return told


def _files_of(job: Job, box: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that `launch.py` finds beside itself."""
    files = {"stdin": bytes(job.stdin)}
    if not isinstance(job, Command):
        # With lone surrogates it is no Python source; that is for the interpreter to say.
        files["main.py"] = job.source.encode("utf-8", "surrogatepass")
    if isinstance(job, Call):
        files["values.py"] = inspect.getsource(values).encode()
        files["args"] = values.encode((list(job.args), dict(job.kwargs)))
    place = "box" if isinstance(job, Command) and job.keep else "work"
    named = [("box", name, data) for name, data in box.items()]
    named += [(place, n, data) for n, data in ({} if isinstance(job, Call) else job.files).items()]
    for folder, name, data in named:
        _check_name(name)
        files[f"{folder}/{name}"] = data
    return files


def _check_name(name: str) -> None:
    if not is_plain(name):
        raise ValueError(f"a file in a box has a plain name, without `/`: got {name!r}")
    if _DROPPED_BY_THE_SERVICE in name:
        raise SandboxError(f"the remote tier loses files named {_DROPPED_BY_THE_SERVICE}")


def _returned(record: bytes) -> tuple[tuple[Any, ...], str]:
    """The value that a call gave back, or the name of what it raised."""
    kind, _, body = record.partition(b" ")
    if kind == b"raised":
        return (), body[:200].decode("utf-8", "replace")
    if kind != b"value":
        return (), ""
    try:
        return (values.decode(body),), ""
    except (ValueError, OverflowError):
        return (), ""
