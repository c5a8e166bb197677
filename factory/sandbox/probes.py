"""Attacks that prove what a sandbox holds, on the machine where it will be used.

A probe is a program of ours that tries one thing and says `open` on its standard output where it
got through; or one that would hang, grow or linger, where the limit that ends it is the proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from factory.errors import SandboxError
from factory.sandbox.box import Limits, Ran, Sandbox, Script

_LIMITS = Limits(cpu_s=1, wall_s=8, memory_mb=256, file_mb=4, scratch_mb=8, output_bytes=1 << 16)
_TRY = """
import os, socket, sys
def held(function):
    try:
        function()
    except Exception:
        return
    print("open")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One attempt."""

    name: str
    source: str
    ends: str = "exited"
    """How the job must end, as `Ran.ended`; `any`: it must merely end."""

    def held(self, ran: Ran) -> bool:
        return b"open" not in ran.stdout and self.ends in ("any", ran.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of a probe."""

    probe: Probe
    held: bool
    detail: str


PROBES = tuple(
    Probe(name=name, source=source if ends != "exited" else _TRY + source, ends=ends)
    for name, ends, source in (
        ("reads a secret file", "exited", "held(lambda: open('/etc/shadow').read())"),
        ("reads the user list", "exited", "held(lambda: open('/etc/passwd').read())"),
        (
            "reads another process",
            "exited",
            "for p in (1, os.getppid()): held(lambda: open(f'/proc/{p}/environ').read())",
        ),
        (
            "finds the worker's environment",
            "exited",
            "known = {'PATH', 'LANG', 'HOME', 'TMPDIR', 'PYTHONHASHSEED', 'PWD', 'LC_CTYPE',\n"
            "         'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'}\n"
            "print('open' if set(os.environ) - known else '')",
        ),
        (
            "connects to the network",
            "exited",
            "held(lambda: socket.create_connection(('198.51.100.1', 53), 1))",
        ),
        (
            "connects to this machine",
            "exited",
            "for p in (22, 6379, 8000, 8265, 10001):\n"
            "    held(lambda: socket.create_connection(('127.0.0.1', p), 1))",
        ),
        (
            "talks to a socket file",
            "exited",
            "held(lambda: socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock'))",
        ),
        ("opens a raw socket", "exited", "held(lambda: socket.socket(17, 3, 3))"),
        (
            "kills its parent",
            "exited",  # and is told what became of it, so the parent lives
            "try: os.kill(os.getppid() or 1, 9)\nexcept PermissionError: pass",
        ),
        ("writes to the system", "exited", "held(lambda: open('/usr/lib/x.pth', 'w'))"),
        ("makes a device", "exited", "held(lambda: os.mknod('d', 0o60600, os.makedev(8, 0)))"),
        (
            "makes a user namespace",
            "exited",
            "import ctypes\nl = ctypes.CDLL(None)\n"
            "print('open' if l.unshare(0x10000000) == 0 else '')",
        ),
        (
            "traces its parent",
            "exited",
            "import ctypes\nl = ctypes.CDLL(None)\n"
            "print('open' if l.ptrace(16, os.getppid() or 1, 0, 0) == 0 else '')",
        ),
        (
            "loads a kernel program",
            "exited",
            "import ctypes\nl = ctypes.CDLL(None)\n"
            "print('open' if l.syscall(321, 0, 0, 0) >= 0 else '')",
        ),
        (
            "finds open descriptors",
            "exited",
            "for fd in range(3, 256): held(lambda: os.fstat(fd))",
        ),
        ("burns CPU", "cpu", "while True: pass"),
        ("sleeps", "wall", "import time\ntime.sleep(60)"),
        (
            "ignores every signal",
            "cpu",
            "import signal\nfor s in range(1, 65):\n"
            "    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
            "while True: pass",
        ),
        ("eats memory", "any", "x = [bytearray(50 << 20) for _ in range(40)]\nprint('open')"),
        ("floods its output", "any", "while True: print('x' * 65536)"),
        (
            "starts processes without end",
            "any",
            "import os, time\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0: "
            "time.sleep(60)\n        n += 1\nexcept OSError: pass\nprint('open' * (n > 100))",
        ),
        (
            "fills the disk",
            "any",
            "for n in range(40):\n    open(str(n), 'wb').write(b'x' * (1 << 20))\nprint('open')",
        ),
    )
)


def probe(sandbox: Sandbox) -> Iterator[Finding]:
    """Every probe against a sandbox that is up; afterwards a canary that must still be right."""
    for one in PROBES:
        try:
            with sandbox.box(limits=_LIMITS) as box:
                ran = box.run(Script(source=one.source))
        except SandboxError as error:
            yield Finding(probe=one, held=False, detail=str(error))
            continue
        said = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        detail = f"ended: {ran.ended} ({ran.code}) {said}".strip()
        yield Finding(probe=one, held=one.held(ran), detail=detail)
    canary = Probe(name="a canary after all that", source="print(6 * 7)")
    with sandbox.box() as box:
        ran = box.run(Script(source=canary.source))
    yield Finding(probe=canary, held=ran.stdout == b"42\n", detail=f"ended: {ran.ended}")
