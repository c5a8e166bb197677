"""Runs a test file against a module, in two boxes, and counts what passed.

    box T   pytest, the test file, and in the place of the module names that ask for it
    box C   the module, answering on the other end of a socket

The answer's code is never in the process that judges, and no test is ever in the process that the
answer controls: there is nothing to patch, to read or to exit early. One process serves the whole
file, so what a module keeps between two tests it keeps as in any pytest run. When it hangs or ends,
the test at hand has failed, and both boxes start again with the tests that are left.

A test has passed when its set-up, its call and its tear-down were reported as passed by the
plug-in in box T, in a line with the nonce of this run. Skipped or expected to fail is not passed.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from factory import sandbox
from factory.sandbox.box import Limits, Ran, Script
from verifiers._unit_tests_task import Task

ROUNDS = 6
"""How often both boxes are started at most; a test that is then left has failed."""
_TEST_MODULE = "test_answer"
_SHARED = ("_unit_tests_wire",)
_HOST_SIDE = (*_SHARED, "_unit_tests_proxy", "_unit_tests_host", "_unit_tests_trial")
_GUEST_SIDE = (*_SHARED, "_unit_tests_guest")
_BOOTSTRAP = """\
import sys, types
package = types.ModuleType("verifiers")
package.__path__ = []
sys.modules["verifiers"] = package
for name, source in {sources!r}:
    module = types.ModuleType("verifiers." + name)
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
module.main(*{arguments!r})
"""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of the tests so far."""

    collected: list[str] = field(default_factory=list)
    passed: dict[str, bool] = field(default_factory=dict)
    """By the test's id, in the order in which they ran."""
    why: dict[str, str] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    """Tests in which the module changed a container of the tests'."""
    error: str = ""
    """Why nothing could be counted: the file did not load, or pytest did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a run may take."""

    test_s: float
    total_s: float
    memory_mb: int


@lru_cache(maxsize=256)
def touched_by_solution(task: Task, bounds: Bounds) -> frozenset[str]:
    """The tests in which the solution changes a container of the tests'."""
    return frozenset(run(task, task.solution, bounds).touched)


def run(task: Task, source: str, bounds: Bounds) -> Tally:
    """The tests of a task against a module.

    Raises:
        SandboxError: the sandbox failed; this says nothing about the module.
    """
    tally = Tally()
    total_s = bounds.total_s
    until = time.monotonic() + total_s
    for _ in range(ROUNDS):
        left = until - time.monotonic()
        if left <= 0:
            tally.error = f"the tests did not end within {total_s:g} s"
            break
        limits = Limits(cpu_s=left, wall_s=left, memory_mb=bounds.memory_mb, output_bytes=8 << 20)
        nonce = secrets.token_hex(16)
        told = {
            "nonce": nonce,
            "module": task.module,
            "public": list(task.public),
            "test_module": _TEST_MODULE,
            "test_s": min(bounds.test_s, left),
            "done": list(tally.passed),
        }
        before = len(tally.passed)
        ran = _round(task, source, told, limits)
        if not _count(tally, ran, nonce) or len(tally.passed) == before:
            break
        if len(tally.passed) >= len(tally.collected):
            break
    return tally


def _round(task: Task, source: str, told: dict[str, Any], limits: Limits) -> Ran:
    """Both boxes once."""
    host, guest = socket.socketpair()
    current = sandbox.current()
    with (
        host,
        guest,
        current.box(limits=limits, preload=("pytest",)) as tests,
        current.box(limits=limits) as module,
    ):
        script = Script(source=_program(_GUEST_SIDE, source, task.module))
        answering = module.start(script, channel=guest.fileno())
        guest.close()
        script = Script(
            source=_program(_HOST_SIDE, told),
            files={f"{_TEST_MODULE}.py": task.test.encode()},
        )
        running = tests.start(script, channel=host.fileno())
        host.close()
        ran = running.wait()
        if b'"never_met": true' in ran.stdout:
            # Whether the answer or the sandbox is at fault, the sandbox knows.
            answering.wait()
    return ran


def _count(tally: Tally, ran: Ran, nonce: str) -> bool:
    """Add what a round has recorded; whether another one may bring more."""
    ended = False
    for line in ran.stdout.split(b"\n"):
        entry = _entry(line, nonce)
        if "collected" in entry:
            tally.collected = tally.collected or entry["collected"]
            if entry["collected"] != tally.collected:
                tally.error = "another collection of tests each time"
        elif "test" in entry:
            tally.passed[entry["test"]] = entry["passed"]
            tally.why[entry["test"]] = entry["why"]
            if entry["touched"]:
                tally.touched.add(entry["test"])
        elif "end" in entry:
            ended = True
            if entry["errors"]:
                tally.error = f"the tests did not load: {entry['errors'][0]}"
            elif entry["end"] not in (0, 1, 2) or not tally.collected:
                tally.error = f"pytest ended with status {entry['end']}"
    if not ended:
        tally.error = f"pytest did not come to its end ({ran.ended} {ran.code})"
    return not tally.error


def _entry(line: bytes, nonce: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and entry.get("nonce") == nonce else {}


def _program(modules: tuple[str, ...], *arguments: Any) -> str:
    """A script that brings modules of ours along and calls the last one's `main`."""
    return _BOOTSTRAP.format(sources=[(m, _source(m)) for m in modules], arguments=arguments)


@cache
def _source(module: str) -> str:
    return Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
