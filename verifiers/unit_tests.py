"""Judges Python modules by the pytest files that come with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _code_blocks, _final, _unit_tests_run, _unit_tests_task, _unit_tests_wrong
from verifiers._unit_tests_run import Bounds

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Every test of the file passes on the module in the completion.

    `spec`: `test` (the text of a pytest file), `solution` (a module that passes it), `module` (the
    name that the tests import it by; `solution` where not said), `count` (how many tests there
    are, where that is known). The answer is the last ```python block. Partial credit is the share
    of tests that passed.

    The tests run in one process and the module in another (`_unit_tests_run`), so a test can use
    what passes between the two: plain values, containers, exceptions, classes with their
    instances, functions both ways, printed text. A file whose own solution does not pass that way
    is set aside at intake: tests that compare or order instances of the module's own classes,
    patch its imports, share files with it or read its source.

    A module that passes but changes what the tests give it, where the solution does not, may have
    changed what it is compared with (`assert f(xs) == sorted(xs)`): nobody can tell.
    """

    version: ClassVar[str] = "1"
    runs_code: ClassVar[bool] = True

    test_s: float = 5.0
    """Seconds of one test, after which it has failed."""
    total_s: float = 60.0
    """Seconds of all tests of an answer together."""
    memory_mb: int = 512
    """Address space of either process."""

    def __post_init__(self) -> None:
        if not 0 < self.test_s <= self.total_s <= 3600:
            given = f"test_s {self.test_s}, total_s {self.total_s}"
            raise ValueError(f"0 < test_s <= total_s <= 3600 must hold, got {given}")
        if self.memory_mb < 64:
            raise ValueError(f"memory_mb must be at least 64, got {self.memory_mb}")

    @property
    def limit_s(self) -> float:
        """The most seconds one judgement takes: the answer's run, and the solution's."""
        return 2 * self.total_s + 30

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            task = _unit_tests_task.read(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        text = _final.final_part(completion)
        if text is None:
            detail = "the reasoning never ends: no </think>"
            return Judgement(outcome=Outcome.UNPARSABLE, detail=detail)
        source, why = _code_blocks.last(text, "python")
        if source is None:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=why)
        bounds = Bounds(test_s=self.test_s, total_s=self.total_s, memory_mb=self.memory_mb)
        tally = _unit_tests_run.run(task, source, bounds)
        judgement = _judged(task, tally, source)
        if judgement.outcome is not Outcome.CORRECT or not tally.touched:
            return judgement
        odd = tally.touched - _unit_tests_run.touched_by_solution(task, bounds)
        if not odd:
            return judgement
        names = ", ".join(name.partition("::")[2] for name in sorted(odd)[:_NAMED])
        detail = f"unlike the solution it changes what it is given: {names}"
        return Judgement(outcome=Outcome.UNSURE, extracted=source, detail=detail)

    def reference(self, problem: Problem) -> str:
        return _code_blocks.fenced(_unit_tests_task.read(problem).solution, "python")

    def perturb(self, problem: Problem) -> Iterator[str]:
        for source in _unit_tests_wrong.wrong(_unit_tests_task.read(problem)):
            yield _code_blocks.fenced(source, "python")


def _judged(task: _unit_tests_task.Task, tally: _unit_tests_run.Tally, source: str) -> Judgement:
    ids = [name.partition("::")[2] for name in tally.collected]
    absent = [name for name in task.names if not any(_is_of(i, name) for i in ids)]
    failed = [name for name in tally.collected if not tally.passed.get(name)]
    total = max(len(ids), len(task.names), task.count or 1)
    passed = len(tally.collected) - len(failed)
    problem = tally.error
    if not problem and absent:
        problem = f"not collected: {', '.join(absent[:_NAMED])}"
    if not problem and task.count is not None and len(ids) != task.count:
        problem = f"{len(ids)} tests were collected, not {task.count}"
    if not problem and not failed and passed == total:
        detail = f"{passed} of {total} tests passed"
        return Judgement(outcome=Outcome.CORRECT, extracted=source, detail=detail)
    names = [f"{n.partition('::')[2]} ({tally.why.get(n, 'not run')})" for n in failed[:_NAMED]]
    detail = "; ".join(filter(None, (f"{passed} of {total} tests passed", problem)))
    if names:
        detail += f"; failed: {', '.join(names)}"
    reward = min(passed, total - 1) / total
    return Judgement(outcome=Outcome.INCORRECT, extracted=source, detail=detail, reward=reward)


def _is_of(collected: str, name: str) -> bool:
    """Whether a collected id, `[parameters]` aside, is this test."""
    return collected.partition("[")[0] == name
