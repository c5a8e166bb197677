"""Judges grid puzzles: the grids themselves, or a program that makes them.

`spec`:

    train      [{"input": grid, "output": grid}, ...]   a grid is a list of rows of 0 to 9
    test       the same: what is asked for; the outputs are the reference
    solution   a program that is right, where there is one (program form)

`answer` may repeat the outputs of `test`, for whoever reads the dataset.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import factory.sandbox
from factory.sandbox.box import Call, Limits, Ran
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _arc_grids, _arc_task, _code_blocks, _final, _final_context
from verifiers._arc_grids import Found, Grid
from verifiers._arc_task import MAX_PAIRS, MAX_PROGRAM, Pair, Task

_START_S = 30.0
"""For bringing the sandbox up, and for closing it."""
_WRITTEN_OUT = 9
"""Cells from which on an output in a program is no pattern but the output itself."""
_SHORT = 100
"""Characters between two grids up to which they are put side by side."""
_OFFERED = re.compile(
    r"\b(?:or|either|alternative(?:ly)?|another|attempt|option|maybe|perhaps|possib\w+)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Every cell of every output is right.

    In the grid form the answer is the last grid of the final part, or as many last ones as there
    are test inputs, in their order: nested lists, or lines of digits. In the program form it is
    the last Python block, which defines `transform(grid)`. It is called once per pair, training
    pairs first, in a sandbox that holds no output; its values are compared here. A program that
    writes an output out instead of making it is not accepted.
    """

    version: ClassVar[str] = "1"

    form: Literal["grid", "program"] = "grid"
    """What completions give: the grids, or a program."""
    cpu_s: float = 2.0
    """CPU seconds per call of a program."""
    memory_mb: int = 512
    """MiB of memory of a program."""
    preload: tuple[str, ...] = ()
    """Installed modules that programs may import, as numpy; without, the standard library alone."""

    def __post_init__(self) -> None:
        if not 0 < self.cpu_s <= 60:
            raise ValueError(f"cpu_s must be in (0, 60], got {self.cpu_s}")
        if not 16 <= self.memory_mb <= 65536:
            raise ValueError(f"memory_mb must be in [16, 65536], got {self.memory_mb}")

    @property
    def runs_code(self) -> bool:
        """Whether a sandbox is needed."""
        return self.form == "program"

    @property
    def limit_s(self) -> float:
        """The most seconds that one judgement may take."""
        return _START_S + MAX_PAIRS * self._limits.wall_s if self.runs_code else 0.0

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            task = _arc_task.read(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.final_part(completion)
        if final is None:
            detail = "the reasoning never ends: no </think>"
            return Judgement(outcome=Outcome.UNPARSABLE, detail=detail)
        if self.form == "program":
            return self._judge_program(task, final)
        return _judge_grids(task, completion, final)

    def reference(self, problem: Problem) -> str:
        task = _arc_task.read(problem)
        if self.form == "grid":
            return _arc_task.spell(task.expected)
        return self._answer(task.solution or _arc_task.table_program(task.train + task.test))

    def perturb(self, problem: Problem) -> Iterator[str]:
        task = _arc_task.read(problem)
        for grids in _arc_task.wrong_answers(task):
            if self.form == "grid":
                yield _arc_task.spell(grids)
            else:
                test = tuple(
                    Pair(input=pair.input, output=grid)
                    for pair, grid in zip(task.test, grids, strict=True)
                )
                yield self._answer(_arc_task.table_program(task.train + test))

    @property
    def _limits(self) -> Limits:
        return Limits(
            cpu_s=self.cpu_s,
            wall_s=2 * self.cpu_s + 1,
            memory_mb=self.memory_mb,
            output_bytes=1 << 16,
        )

    def _answer(self, program: str) -> str:
        return _code_blocks.fenced(program, "python")

    def _judge_program(self, task: Task, final: str) -> Judgement:
        code, why = _code_blocks.last(final, "python")
        if code is None:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=why)
        if len(code) > MAX_PROGRAM:
            detail = f"the program is longer than {MAX_PROGRAM} characters"
            return Judgement(outcome=Outcome.UNPARSABLE, detail=detail)
        if written := _written_out(task, code):
            return Judgement(outcome=Outcome.UNSURE, extracted=code[:4096], detail=written)
        failure = self._run(task, code)
        outcome = Outcome.INCORRECT if failure else Outcome.CORRECT
        detail = failure or f"right on {len(task.train)} training and {len(task.test)} test pairs"
        return Judgement(outcome=outcome, extracted=code[:4096], detail=detail)

    def _run(self, task: Task, code: str) -> str:
        """On which pair the program is wrong, and how; empty if it is right on all."""
        sandbox = factory.sandbox.current()
        named = [(f"training pair {n}", pair) for n, pair in enumerate(task.train, 1)]
        named += [(f"test pair {n}", pair) for n, pair in enumerate(task.test, 1)]
        with sandbox.box(limits=self._limits, preload=self.preload) as box:
            for name, pair in named:
                grid = [list(row) for row in pair.input]
                ran = box.run(Call(source=code, function="transform", args=[grid]))
                if failure := _failure(ran, pair.output):
                    return f"{name}: {failure}"
        return ""


def _failure(ran: Ran, expected: Grid) -> str:
    """Why a call did not give this grid; empty if it did."""
    if ran.ended in ("cpu", "wall"):
        return "out of time"
    if not ran.ok:
        raised = ran.raised if ran.raised.isidentifier() else ""
        return f"it ended early{f' ({raised[:60]})' if raised else ''}"
    if not ran.returned:
        return "it returned no plain value"
    grid = _arc_grids.exact(ran.returned[0])
    if grid is None:
        return "what it returned is no grid"
    return "" if grid == expected else _contrast(grid, expected)


def _judge_grids(task: Task, completion: Completion, final: str) -> Judgement:
    boxed = _final.read(completion, require_box=True)
    if boxed.boxed:
        if boxed.doubt or len(boxed.answers) > 1:
            outcome = Outcome.UNSURE if boxed.doubt else Outcome.INCORRECT
            detail = boxed.doubt or f"{len(boxed.answers)} different answers"
            return Judgement(outcome=outcome, extracted=boxed.answers[-1], detail=detail)
        final = boxed.answers[0]
    elif boxed.problem != "no box":
        return Judgement(outcome=Outcome.UNPARSABLE, detail=boxed.problem)
    count = len(task.test)
    if (number := _stated(completion, final)) > count:
        detail = f"{number} answers are stated, and {count} are asked for"
        return Judgement(outcome=Outcome.INCORRECT, detail=detail)
    found = _arc_grids.find(final)
    grids = tuple(f.grid for f in found[-count:] if f.grid is not None)
    if len(grids) < count:
        detail = f"{len(found)} grids" if len(found) < count else "what stands last is no grid"
        return Judgement(outcome=Outcome.UNPARSABLE, detail=f"{detail}, and {count} are asked for")
    extracted = _arc_task.spell(grids)[:4096]
    if boxed.boxed and len(found) > count:
        detail = f"{len(found)} grids in the box, not {count}"
        return Judgement(outcome=Outcome.INCORRECT, extracted=extracted, detail=detail)
    if doubt := _doubt(final, found, count):
        return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=doubt)
    for n, (grid, expected) in enumerate(zip(grids, task.expected, strict=True), 1):
        if grid != expected:
            detail = f"output {n}: {_contrast(grid, expected)}"
            return Judgement(outcome=Outcome.INCORRECT, extracted=extracted, detail=detail)
    detail = "equal" if count == 1 else f"all {count} outputs equal"
    return Judgement(outcome=Outcome.CORRECT, extracted=extracted, detail=detail)


def _stated(completion: Completion, final: str) -> int:
    """How many different answers a text calls so, by words or by tags."""
    tagged = {
        _final.squeeze(part.partition("</answer>")[0]) for part in final.split("<answer>")[1:]
    }
    return max(len(_final.read(completion).answers), len(tagged))


def _doubt(text: str, found: list[Found], count: int) -> str:
    """Why grids at the end of a text are not its one answer; empty if they are."""
    if _final_context.taken_back(text[found[-1].end :]):
        return "the answer is put in doubt afterwards"
    for one, other in itertools.pairwise(found[-count - 1 :]):
        between = text[one.end : other.start]
        if len(between) <= _SHORT and one.grid != other.grid and _OFFERED.search(between):
            return "several grids are offered"
    return ""


def _contrast(grid: Grid, expected: Grid) -> str:
    sizes = [f"{len(g)} x {len(g[0])}" for g in (grid, expected)]
    if sizes[0] != sizes[1]:
        return f"{sizes[0]}, not {sizes[1]}"
    pairs = zip(grid, expected, strict=True)
    wrong = sum(a != b for one, other in pairs for a, b in zip(one, other, strict=True))
    return f"{wrong} of {len(grid) * len(grid[0])} cells differ"


def _written_out(task: Task, code: str) -> str:
    """Which output a program holds as a grid, where it is too large for a mere pattern."""
    held = {found.grid for found in _arc_grids.find(code)}
    for pair in (*task.test, *task.train):
        if pair.output in held and len(pair.output) * len(pair.output[0]) >= _WRITTEN_OUT:
            return "an output is written out in the program"
    return ""
