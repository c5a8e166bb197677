"""Programs that mean harm, as a table: what each attacks, and how one sees that it failed.

A program tries its attack and says so itself: `BROKEN` where it succeeded, `held` where it did
not, so that silence is no proof. What a program cannot see (its own end, what is left of it) the
test looks at: how it ended, whether the sandbox still works, what is left on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from factory.sandbox.box import Limits

TIGHT = Limits(cpu_s=1, wall_s=20, memory_mb=256, output_bytes=100_000)
HASTY = replace(TIGHT, wall_s=0.7)
"""For programs that do nothing but wait to be ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One program and what must come of it."""

    id: str
    aim: str
    """The property it attacks."""
    source: str
    then: str = ""
    """A second program that looks for what the first has left: run as the same candidate's next
    job, as another program in its box, and in a box of its own."""
    ends: tuple[str, ...] = ("exited",)
    """How the (last) program may end."""
    says: bytes = b"held"
    """What must be in its output, as proof that it came to the attempt."""
    fails: bool = False
    """Whether it must not end with exit code 0, whatever it ends by."""
    function: str = ""
    """Called with `args`; else the program is a script."""
    args: tuple[Any, ...] = ()
    returns: tuple[Any, ...] = ()
    """What may come back of the call; compared by type and representation."""
    stdin: bytes = b""
    limits: Limits = field(default_factory=lambda: TIGHT)


CALLS = '''
import ctypes, errno, os, sys
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

def syscall(number, *args):
    """What the system call returned, or minus the error number."""
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *args)
    return result if result >= 0 else -ctypes.get_errno()

def refused(result, what=""):
    """Say whether the kernel refused, and not merely found fault with an argument."""
    if result in (-errno.EPERM, -errno.ENOSYS, -errno.EACCES):
        print("held", what, errno.errorcode[-result])
    else:
        print("BROKEN", what, result)

def raises(what, function, *args):
    """Say whether a call of the standard library failed."""
    try:
        result = function(*args)
    except (OSError, AttributeError, ValueError, ImportError) as error:
        print("held", what, type(error).__name__, error)
    else:
        print("BROKEN", what, repr(result)[:200])
'''
"""What many programs begin with."""
