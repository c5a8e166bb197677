"""A grid puzzle as its problem states it, and answers to it that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from factory.types import Problem
from verifiers import _arc_grids
from verifiers._arc_grids import Grid

MAX_PAIRS = 16
"""Training pairs and test inputs together."""
MAX_PROGRAM = 20_000
"""Longest program, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One input with its output."""

    input: Grid
    output: Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A puzzle: pairs that show the rule, and pairs that ask for it."""

    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    solution: str = ""
    """A program that is right, where the problem brings one."""

    @property
    def expected(self) -> tuple[Grid, ...]:
        return tuple(pair.output for pair in self.test)


def read(problem: Problem) -> Task:
    """The puzzle of a problem.

    Raises:
        ValueError: it cannot be read, or its answer is not what its test pairs say.
    """
    test = _pairs(problem, "test")
    train = _pairs(problem, "train")
    if not test:
        raise ValueError("spec.test must hold at least one pair, got none")
    if len(train) + len(test) > MAX_PAIRS:
        raise ValueError(f"at most {MAX_PAIRS} pairs in all, got {len(train) + len(test)}")
    known: dict[Grid, Grid] = {}
    for pair in (*train, *test):
        if known.setdefault(pair.input, pair.output) != pair.output:
            raise ValueError("two pairs have the same input and different outputs")
    solution = problem.spec.get("solution", "")
    if not isinstance(solution, str) or len(solution) > MAX_PROGRAM:
        raise ValueError(f"spec.solution must be a program of at most {MAX_PROGRAM} characters")
    task = Task(train=train, test=test, solution=solution)
    if problem.answer is not None:
        answer = tuple(found.grid for found in _arc_grids.find(problem.answer))
        if answer != task.expected:
            raise ValueError(
                "the answer is not the outputs of spec.test; leave it out, or repeat them"
            )
    return task


def _pairs(problem: Problem, name: str) -> tuple[Pair, ...]:
    given = problem.spec.get(name, [] if name == "train" else None)
    if not isinstance(given, list):
        raise ValueError(f'spec.{name} must be a list of {{"input": grid, "output": grid}}')
    found = []
    for n, pair in enumerate(given, 1):
        sides = [_grid(pair, side) for side in ("input", "output")]
        if sides[0] is None or sides[1] is None:
            raise ValueError(
                f"spec.{name}, number {n}: input and output must be grids of 0 to 9, "
                f"1 to {_arc_grids.MAX_SIDE} rows of equal length"
            )
        found.append(Pair(input=sides[0], output=sides[1]))
    return tuple(found)


def _grid(pair: Any, side: str) -> Grid | None:
    return _arc_grids.exact(pair.get(side)) if isinstance(pair, dict) else None


def spell(grids: tuple[Grid, ...]) -> str:
    """Grids as an answer, each under the one before."""
    return "\n\n".join(map(_arc_grids.spell, grids))


def wrong_answers(task: Task) -> Iterator[tuple[Grid, ...]]:
    """Outputs that are not the right ones, the nearest first, none twice."""
    seen = {task.expected}
    for place, pair in enumerate(task.test):
        for grid in _wrong(pair):
            answer = (*task.expected[:place], grid, *task.expected[place + 1 :])
            if answer not in seen and _arc_grids.exact(grid) is not None:
                seen.add(answer)
                yield answer
    if task.expected[::-1] not in seen:
        yield task.expected[::-1]


def _wrong(pair: Pair) -> Iterator[Grid]:
    grid = pair.output
    height, width = len(grid), len(grid[0])
    cells = [(r, c) for r in range(height) for c in range(width)]
    step = max(1, len(cells) // 8)
    for r, c in cells[::step]:
        yield _changed(grid, r, c, 1)
    yield pair.input
    yield _arc_grids.transposed(grid)
    yield grid[::-1]
    yield tuple(row[::-1] for row in grid)
    yield tuple(row[::-1] for row in grid[::-1])
    yield grid[:-1]
    yield tuple(row[:-1] for row in grid)
    yield (*grid, grid[-1])
    yield tuple((*row, row[-1]) for row in grid)
    colors = sorted({cell for row in grid for cell in row})
    for color in colors:
        yield tuple(
            tuple((cell + 1) % 10 if cell == color else cell for cell in row) for row in grid
        )
    for by in range(1, 10):
        yield _changed(grid, height // 2, width // 2, by)
        yield tuple(tuple((cell + by) % 10 for cell in row) for row in grid)
    for color in range(10):
        yield (*grid, (color,) * width)
        yield tuple((color,) * width for _ in range(height))


def _changed(grid: Grid, row: int, column: int, by: int) -> Grid:
    cells = list(grid[row])
    cells[column] = (cells[column] + by) % 10
    return (*grid[:row], tuple(cells), *grid[row + 1 :])


def table_program(pairs: tuple[Pair, ...]) -> str:
    """A program that knows these pairs and nothing else."""
    table = {_packed(pair.input): _packed(pair.output) for pair in pairs}
    rows = "".join(f"    {key!r}: {value!r},\n" for key, value in table.items())
    return (
        f"TABLE = {{\n{rows}}}\n\n\ndef transform(grid):\n"
        '    packed = "/".join("".join(map(str, row)) for row in grid)\n'
        '    return [[int(cell) for cell in row] for row in TABLE[packed].split("/")]\n'
    )


def _packed(grid: Grid) -> str:
    return "/".join("".join(map(str, row)) for row in grid)
