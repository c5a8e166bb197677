"""C++ programs: compiled inside the box that they run in, by the system's compiler."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from factory.sandbox.box import Box, Command, Limits, Ran

COMPILER = "/usr/bin/g++"
LIMITS = Limits(
    cpu_s=30, wall_s=60, memory_mb=3072, processes=16, file_mb=128, scratch_mb=256, open_files=256
)
"""Headers of the standard library alone take a second and half a gigabyte of address space."""

_ERROR = re.compile(rb"error: ([^\n]{1,120})")


def run(box: Box, source: str, name: str, files: Mapping[str, bytes], wall_s: float) -> Ran:
    """Compile a program to /box/NAME."""
    argv = (COMPILER, "-std=gnu++17", "-O2", "-w", "-pipe", "-o", name, f"{name}.cpp")
    command = Command(argv=argv, files={**files, f"{name}.cpp": source.encode()}, keep=True)
    limits = replace(LIMITS, wall_s=min(LIMITS.wall_s, wall_s))
    return box.run(command, limits=limits)


def failure(ran: Ran) -> str:
    """Why a program does not compile, in a few words."""
    if ran.ended != "exited":
        return f"does not compile within its limits ({ran.ended})"
    match = _ERROR.search(ran.stderr)
    if match is None:
        return f"does not compile: the compiler ended with {ran.code}"
    said = "".join(c if c.isprintable() else " " for c in match[1].decode("utf-8", "replace"))
    return f"does not compile: {said.strip()}"


def missing(tier: str) -> str:
    """Why C++ cannot be judged here; empty where it can, or where another machine compiles."""
    if tier == "remote" or os.access(COMPILER, os.X_OK):
        return ""
    return f"C++ needs {COMPILER}: sudo apt install g++"


def quoted(text: bytes) -> str:
    """A string literal; three octal digits mean the same whatever follows."""
    return '"' + "".join(f"\\{byte:03o}" for byte in text) + '"'
