"""What may be asked of a sandbox, whatever stands behind it.

    with open_sandbox() as sandbox, sandbox.box() as box:
        ran = box.run(Script(source="print(int(input()) + 1)", stdin=b"41"))
        assert ran.ok and ran.stdout == b"42\\n"

A sandbox gives boxes; a box runs jobs, one candidate's at most. What a job leaves behind dies with
it: processes and scratch files at its end, `keep` files at the end of the box. The caller decides
from what it observed here, never from a claim of the candidate: expected outputs and verdict logic
stay outside, and nothing that comes out is ever unpickled or evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

Tier = Literal["remote", "namespaces", "landlock"]
"""From the strongest isolation to the weakest; where none can be had, nothing is run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may use at most."""

    cpu_s: float = 5.0
    """CPU seconds of each process, rounded up to whole ones."""
    wall_s: float = 12.0
    """Wall-clock seconds."""
    memory_mb: int = 512
    """Address space of each process, MiB."""
    processes: int = 8
    """Processes and threads at one time."""
    open_files: int = 64
    file_mb: int = 16
    """Size of any one file, MiB."""
    scratch_mb: int = 32
    """All files together, MiB."""
    output_bytes: int = 1 << 20
    """Of standard output and of standard error, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A Python program, run as `__main__` in a warm interpreter: forked, not started."""

    source: str
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Plain names to contents, laid into the working directory of this job alone."""
    output_file: str | None = None
    """A plain name: what the job wrote to this file comes back in the place of its stdout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function of a Python module, called with plain values."""

    source: str
    function: str
    """`name`, or `Class.method`: the class is then made without arguments."""
    args: Sequence[Any] = ()
    """None, bool, int, float, str, list, tuple, set, dict of such: nothing else is sent."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program of the system (`g++`, `coqc`), or a binary that an earlier one wrote to /box."""

    argv: Sequence[str]
    """`argv[0]` is an absolute path. The working directory is the job's own, and empty."""
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    output_file: str | None = None
    keep: bool = False
    """For trusted tools on untrusted input, as compilers: /box is the working directory, it is
    writable, and what is written there stays until the box is closed. Else /box is read-only."""


Job = Script | Call | Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What was observed of one job."""

    ended: Literal["exited", "signal", "cpu", "wall", "output"]
    """By itself; by a signal; or past a limit: CPU, wall clock, output."""
    code: int
    """Exit code, or the number of the signal."""
    stdout: bytes = b""
    """At most `output_bytes`; for a job with an `output_file`, that file."""
    stderr: bytes = b""
    """At most `output_bytes`, the last ones."""
    returned: tuple[Any, ...] = ()
    """Of a Call: the one value that came back, exact in type; empty where none did (it raised, it
    exited, the value is not plain, too large or too deep)."""
    raised: str = ""
    """Of a Call: name of the exception's class, as the candidate's process gave it."""
    cpu_s: float = 0.0
    """All processes of the job."""
    wall_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with exit code 0 and within its limits."""
        return self.ended == "exited" and self.code == 0


class Running(Protocol):
    """A job on its way."""

    def wait(self) -> Ran:
        """What came of it.

        Raises:
            SandboxError: the sandbox itself failed; this says nothing about the candidate.
        """


class Box(Protocol):
    """Fresh namespaces (or what the tier has instead) for one candidate. A context manager."""

    def start(
        self, job: Job, *, limits: Limits | None = None, channel: int | None = None
    ) -> Running:
        """Start a job; at most one runs at a time in a box.

        Args:
            limits: others than the box's.
            channel: a file descriptor that the job gets as its descriptor 3, for a Script whose
                program talks to somebody. Not possible where the sandbox is remote.
        """

    def run(self, job: Job, *, limits: Limits | None = None) -> Ran:
        """`start` and `wait`."""
        return self.start(job, limits=limits).wait()

    def close(self) -> None:
        """End everything in the box."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


def is_plain(name: str) -> bool:
    """Whether this can be the name of a file in a box: one part, and no way out."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


class Sandbox(Protocol):
    """Gives boxes. One per process, in one thread at a time."""

    @property
    def tier(self) -> Tier: ...

    def start(self) -> None:
        """Bring it up now rather than with the first box.

        Raises:
            SandboxError: this machine does not give the tier; the message says why and what does.
        """

    def box(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        limits: Limits | None = None,
        preload: Sequence[str] = (),
    ) -> Box:
        """A new box.

        Args:
            files: plain names to contents, laid into /box, read-only for the candidate.
            limits: of each of its jobs that brings none.
            preload: modules that are imported before the fork, so that importing them is free.
                With them the installed packages can be imported; without, the standard library.
        """

    def describe(self) -> str:
        """What isolates here, in one line."""

    def close(self) -> None: ...
