"""Judges programs by running them on tests, in a sandbox.

`spec` in its canonical form, or a row of a public dataset (`verifiers._code_rows`):

    tests          [{"input": text, "output": text}, ...] for programs that read and print, or
                   [{"call": "f" or "Class.method", "args": [...], "kwargs": {...}, "output":
                   value}, ...] for functions. `outputs`, a list, in the place of `output`: any
                   of them counts. The list may be the text of its JSON, which keeps integers of
                   any size.
    language       python or cpp; else the option decides
    compare        tokens (default), float, lines, exact, unordered, yes_no; also per test
    tolerance      with `float`: a number, or {"abs": number, "rel": number}; also per test
    python_types   true: expected values are Python's, where a tuple is no list; also per test
    checker        program that judges outputs, or {"source", "language", "protocol", "files"}
    solution       a program that is right; `solutions`: a list of them
    incorrect_solutions
                   programs that are wrong: a problem whose tests let one pass is set aside
    time_limit_s, memory_mb, input_file, output_file, preamble
                   as the problem states them; `preamble` is put in front of a Python program
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import factory.sandbox
from factory.sandbox.box import Limits
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import (
    _code_blocks,
    _code_compile,
    _code_rows,
    _code_run,
    _code_table,
    _code_task,
    _code_wrong,
    _final,
)
from verifiers._code_checker import Unusable
from verifiers._code_compare import key
from verifiers._code_run import Plan, Report
from verifiers._code_task import Task

_NAMED = 5
"""How many failed tests a verdict names."""
_KNOWN_WRONG = 2
"""How many programs that are known to be wrong are tried."""
_START_S = 30.0
"""For bringing the sandbox up, and for closing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The program passes every test; the reward is the share of tests that it passes.

    The program is the last fenced block of the asked language after the reasoning. It is run once
    per test; expected outputs never enter the sandbox. One that passes is run again on tests
    spread evenly (`repeats`): where a repeat fails, the program is a matter of luck and wrong.
    Where time runs out in all (`total_s`), or a checker gives no verdict, the outcome is unsure,
    unless another test has failed.

    A problem needs a solution that passes; its tests must expect at least `distinct` different
    answers, since one that is always the same can be printed blindly.
    """

    version: ClassVar[str] = "1"
    runs_code: ClassVar[bool] = True

    language: str = "python"
    """What programs are written in where the problem does not say: python or cpp."""
    time_limit_s: float = 6.0
    """CPU seconds per test where the problem states no limit."""
    python_factor: float = 4.0
    """A stated time limit is meant for compiled programs: Python gets so many times as much."""
    memory_mb: int = 512
    """MiB of memory, where the problem does not state more."""
    total_s: float = 60.0
    """Wall-clock seconds for all tests of one program, compilation and repeats included."""
    repeats: int = 8
    """Further runs that must pass as well; few tests are repeated more often. 0: none."""
    distinct: int = 2
    """Least number of different answers that the tests of a problem expect."""
    require_solution: bool = True
    """Set problems aside that bring no solution. Without, a table of the tests' own answers is the
    reference: tests that contradict each other are found, tests that are wrong are not."""
    preload: tuple[str, ...] = ()
    """Installed modules that programs may import, as numpy; without, the standard library alone."""

    def __post_init__(self) -> None:
        rules = (
            ("time_limit_s", 0 < self.time_limit_s <= 600, "in (0, 600]"),
            ("python_factor", 1 <= self.python_factor <= 100, "in [1, 100]"),
            ("memory_mb", 16 <= self.memory_mb <= 65536, "in [16, 65536]"),
            ("total_s", 0 < self.total_s <= 3600, "in (0, 3600]"),
            ("repeats", 0 <= self.repeats <= 1000, "in [0, 1000]"),
            ("distinct", 1 <= self.distinct <= 1000, "in [1, 1000]"),
        )
        _code_task.one_of("language", self.language, tuple(_code_blocks.TAGS))
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)}")

    @property
    def limit_s(self) -> float:
        """The most seconds that one judgement may take."""
        return self.total_s + _START_S

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            task = self._task(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.final_part(completion)
        if final is None:
            detail = "the reasoning never ends: no </think>"
            return Judgement(outcome=Outcome.UNPARSABLE, detail=detail)
        code, why = _code_blocks.last(final, task.language)
        if code is None:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=why)
        try:
            report = _code_run.judge(task, code, self._plan(task))
        except Unusable as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        return _judgement(task, code, report)

    def reference(self, problem: Problem) -> str:
        task = self._task(problem)
        return _code_blocks.fenced(self._right(task), task.language)

    def perturb(self, problem: Problem) -> Iterator[str]:
        task = self._task(problem)
        wrong = _code_wrong.programs(task, self._right(task))
        for program in chain(task.known_wrong[:_KNOWN_WRONG], wrong):
            yield _code_blocks.fenced(program, task.language)

    def _task(self, problem: Problem) -> Task:
        spec = _code_rows.canonical(problem.spec, self.language, problem.prompt)
        task = _code_task.read(spec, self.language)
        answers = {
            case.stdin if task.checker else key(case.wanted) if case.call else case.wanted
            for case in task.cases
        }
        if len(answers) < self.distinct:
            what = "inputs" if task.checker else "answers"
            raise ValueError(f"the tests have {len(answers)} different {what}, not {self.distinct}")
        if not task.checker and not any(map(_expects_something, task.cases)):
            raise ValueError("every test expects nothing")
        return task

    def _right(self, task: Task) -> str:
        """A program that passes."""
        if task.language == "cpp":
            lacking = _code_compile.missing(factory.sandbox.current().tier)
            if lacking:
                raise ValueError(lacking)
        if task.solutions:
            return task.solutions[0]
        if self.require_solution:
            raise ValueError(f"no solution in {task.language} (option require_solution)")
        return _code_table.program(task)

    def _plan(self, task: Task) -> Plan:
        cpu = self.time_limit_s
        if task.time_limit_s is not None:
            factor = self.python_factor if task.language == "python" else 1.0
            cpu = task.time_limit_s * factor
        memory = max(self.memory_mb, task.memory_mb or 0)
        limits = Limits(cpu_s=cpu, wall_s=2 * cpu + 1, memory_mb=memory)
        return Plan(limits=limits, total_s=self.total_s, repeats=self.repeats, preload=self.preload)


def _expects_something(case: _code_task.Case) -> bool:
    return any(item is not None if case.call else item.strip() for item in case.wanted)


def _judgement(task: Task, code: str, report: Report) -> Judgement:
    """What a report says about the candidate."""
    count = len(task.cases)
    if report.broken:
        detail = f"the program {report.broken}"
        return Judgement(outcome=Outcome.INCORRECT, extracted=code, detail=detail)
    told = list(enumerate(report.results, 1))
    passed = sum(result.kind == "passed" for _, result in told)
    failed = [(n, r) for n, r in told if r.kind not in ("passed", "unclear", "total limit")]
    doubts = [(n, r) for n, r in told if r.kind in ("unclear", "total limit")]
    detail = f"{passed} of {count} tests passed"
    if failed:
        return Judgement(
            outcome=Outcome.INCORRECT,
            extracted=code,
            reward=passed / count,
            detail=f"{detail}; failed: {_named(failed)}{_not_run(count - len(told))}",
        )
    if doubts:
        detail = f"{detail}; {_named(doubts)}"
        return Judgement(outcome=Outcome.UNSURE, extracted=code, detail=detail)
    return _confirmed(task, code, report, detail)


def _confirmed(task: Task, code: str, report: Report, detail: str) -> Judgement:
    """The judgement on a candidate that has passed every test once."""
    count = len(task.cases)
    for position, result in report.repeated:
        if result.kind == "passed":
            continue
        detail = f"{detail}, but run again test {position + 1} ended with: {result}"
        if result.kind in ("wrong answer", "runtime error", "output limit"):
            share = (count - 1) / count
            return Judgement(outcome=Outcome.INCORRECT, extracted=code, reward=share, detail=detail)
        return Judgement(outcome=Outcome.UNSURE, extracted=code, detail=detail)
    how = "checker" if task.checker else ", ".join(sorted({c.compare.how for c in task.cases}))
    if report.repeated:
        detail = f"{detail}, and again when repeated"
    return Judgement(outcome=Outcome.CORRECT, extracted=code, detail=f"{detail} ({how})")


def _named(results: list[tuple[int, _code_run.Result]]) -> str:
    """The first tests by number and kind."""
    named = ", ".join(f"{number} {result}" for number, result in results[:_NAMED])
    return named + (f" and {len(results) - _NAMED} more" if len(results) > _NAMED else "")


def _not_run(count: int) -> str:
    return f"; {count} not run" if count else ""
