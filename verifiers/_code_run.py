"""Runs one candidate against the tests of its problem, in a box of its own.

Only source and one test's input go in. What comes out is compared here; expected outputs are never
where the candidate is. All tests run, so that their share can be told, except after the second one
that ran out of time: waiting for further ones costs more than it tells.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

import factory.sandbox
from factory.sandbox.box import Box, Call, Command, Job, Limits, Ran, Script
from verifiers import _code_checker, _code_compile
from verifiers._code_compare import output_accepts, value_accepts
from verifiers._code_task import Case, Task

Kind = Literal[
    "passed",
    "wrong answer",
    "time limit",
    "runtime error",
    "output limit",
    "unclear",
    "total limit",
]

MAX_TIME_LIMITS = 2
"""After so many tests that ran out of time the rest is not run."""
LEAST_RUNS = 20
"""So many runs in all, as far as time allows, before a program counts as right: one that tosses a
coin in every run passes them once in a million."""
_OUTPUT_BYTES = 1 << 20
_MOST_OUTPUT = 64 << 20
_EXCEPTION = re.compile(rb"([A-Za-z_][A-Za-z0-9_.]{0,60})(?::|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one test."""

    kind: Kind
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.note})" if self.note else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a candidate."""

    results: tuple[Result, ...] = ()
    """Of the tests in order, as far as they ran."""
    repeated: tuple[tuple[int, Result], ...] = ()
    """Positions of tests that were run again once all had passed, and what came of it."""
    broken: str = ""
    """Why nothing could be run: the program does not compile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a candidate is run."""

    limits: Limits
    """Of one test."""
    total_s: float
    """Wall-clock seconds for everything."""
    repeats: int
    """Further runs that must confirm a candidate that passed."""
    preload: tuple[str, ...] = ()


def judge(task: Task, code: str, plan: Plan) -> Report:
    """Run a candidate.

    Raises:
        SandboxError: the sandbox failed; this says nothing about the candidate.
        Unusable: the problem's checker does not compile.
    """
    with ExitStack() as stack:
        trial = _Trial(task, code, plan, stack)
        if task.language == "cpp":
            ran = _code_compile.run(trial.box, code, "main", {}, trial.left())
            if ran.ended == "wall":  # a compiler does not wait: the machine was too slow
                return Report(results=(Result(kind="total limit"),))
            if not ran.ok:
                return Report(broken=_code_compile.failure(ran))
        results: list[Result] = []
        for case in task.cases:
            results.append(trial.result(case))
            slow = [result for result in results if result.kind == "time limit"]
            if results[-1].kind == "total limit" or len(slow) == MAX_TIME_LIMITS:
                break
        if any(result.kind != "passed" for result in results):
            return Report(results=tuple(results))
        return Report(results=tuple(results), repeated=tuple(_repeat(trial, task, plan)))


def _repeat(trial: _Trial, task: Task, plan: Plan) -> Iterator[tuple[int, Result]]:
    """Tests run again, spread evenly: `repeats` runs, and more while half of the time is left."""
    count = len(task.cases)
    most = max(plan.repeats, LEAST_RUNS - count) if plan.repeats else 0
    for turn in range(most):
        if turn >= plan.repeats and trial.left() < plan.total_s / 2:
            return
        position = turn % count if count < most else turn * count // most
        result = trial.result(task.cases[position])
        yield position, result
        if result.kind != "passed":
            return


class _Trial:
    """One candidate in its box, and the checker in another."""

    def __init__(self, task: Task, code: str, plan: Plan, stack: ExitStack) -> None:
        self._task = task
        self._plan = plan
        self._until = time.monotonic() + plan.total_s
        self._source = _source(task, code)
        self._functions = {
            case.call: _function(self._source, case.call) for case in task.cases if case.call
        }
        sandbox = factory.sandbox.current()
        # The compiler's files share the box with the program: its size is that of the larger need.
        limits = plan.limits
        if task.language == "cpp":
            limits = replace(limits, scratch_mb=_code_compile.LIMITS.scratch_mb)
        self.box: Box = stack.enter_context(sandbox.box(limits=limits, preload=plan.preload))
        self._checker = None
        if task.checker is not None:
            box = stack.enter_context(sandbox.box(limits=_code_checker.LIMITS))
            self._checker = _code_checker.Judge(task.checker, box, self.left())

    def left(self) -> float:
        """Seconds that the total limit leaves."""
        return max(0.05, self._until - time.monotonic())

    def result(self, case: Case) -> Result:
        """Run one test."""
        if time.monotonic() >= self._until:
            return Result(kind="total limit")
        limits = self._limits(case)
        ran = self.box.run(self._job(case), limits=limits)
        if ran.ended == "wall" and limits.wall_s < self._plan.limits.wall_s:
            return Result(kind="total limit")
        return _failure(ran) or self._answer(case, ran)

    def _limits(self, case: Case) -> Limits:
        longest = max((len(item) for item in case.wanted if isinstance(item, bytes)), default=0)
        return replace(
            self._plan.limits,
            wall_s=min(self._plan.limits.wall_s, self.left()),
            output_bytes=min(_MOST_OUTPUT, _OUTPUT_BYTES + 2 * longest),
        )

    def _job(self, case: Case) -> Job:
        task = self._task
        if case.call:
            function = self._functions[case.call]
            return Call(source=self._source, function=function, args=case.args, kwargs=case.kwargs)
        files = {task.input_file: case.stdin} if task.input_file else {}
        stdin = b"" if task.input_file else case.stdin
        output_file = task.output_file or None
        if task.language == "cpp":
            argv = ("/box/main",)
            return Command(argv=argv, stdin=stdin, files=files, output_file=output_file)
        return Script(source=self._source, stdin=stdin, files=files, output_file=output_file)

    def _answer(self, case: Case, ran: Ran) -> Result:
        if case.call:
            if not ran.returned:
                return Result(kind="wrong answer", note="no plain value")
            right = any(value_accepts(ran.returned[0], w, case.compare) for w in case.wanted)
            return Result(kind="passed" if right else "wrong answer")
        if self._checker is None:
            right = any(output_accepts(ran.stdout, w, case.compare) for w in case.wanted)
            return Result(kind="passed" if right else "wrong answer")
        expected = case.wanted[0] if case.wanted else b""
        left = self.left()
        said, why = self._checker.accepts(case.stdin, ran.stdout, expected, left)
        if said == "unclear" and left < _code_checker.LIMITS.wall_s:
            return Result(kind="total limit")
        if said == "unclear":
            return Result(kind="unclear", note=why)
        return Result(kind="passed" if said == "accepted" else "wrong answer")


def _source(task: Task, code: str) -> str:
    """The candidate's program; a `__future__` import must come first, so nothing goes before it."""
    if not task.preamble or "__future__" in code:
        return code
    return f"{task.preamble.rstrip()}\n\n{code}"


def _function(source: str, call: str) -> str:
    """What to call: on contest sites a function may be a method of `class Solution`."""
    if "." in call or re.search(rf"^def {call}\b", source, re.MULTILINE):
        return call
    is_class = re.search(r"^class Solution\b", source, re.MULTILINE)
    return f"Solution.{call}" if is_class else call


def _failure(ran: Ran) -> Result | None:
    """Why a run cannot have passed, whatever it wrote."""
    if ran.ended in ("cpu", "wall"):
        return Result(kind="time limit")
    if ran.ended == "output":
        return Result(kind="output limit")
    if ran.ended == "signal":
        return Result(kind="runtime error", note=f"signal {ran.code}")
    if ran.code:
        named = ran.raised if ran.raised.isidentifier() else _exception(ran)
        return Result(kind="runtime error", note=named)
    return None


def _exception(ran: Ran) -> str:
    """Name of the exception that a Python program ended with, else its exit code."""
    found = ran.stderr.rpartition(b"Traceback (most recent call last):\n")
    lines = found[2].split(b"\n") if found[1] else []
    # Frames are indented; what follows them is the exception.
    match = _EXCEPTION.match(next((line for line in lines if line[:1] != b" "), b"")[:200])
    return match[1].decode("ascii") if match else f"exit code {ran.code}"
