"""Grids are read strictly and compared whole; programs see inputs alone."""

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import plugins, sandbox
from factory.errors import PluginError
from factory.types import Completion, Outcome, Problem
from verifiers import _arc_grids, _arc_task
from verifiers._arc_grids import Grid
from verifiers.arc import Verifier

GRIDS = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=6
    )
)


def spellings(grid: list[list[int]]) -> list[str]:
    flat = [" ".join(map(str, row)) for row in grid]
    return [
        json.dumps(grid),
        json.dumps(grid, separators=(",", ":")),
        json.dumps(grid, indent=2),
        "[" + "\n ".join(f"[{row}]" for row in flat) + "]",
        "\n".join(flat),
        "\n".join("".join(map(str, row)) for row in grid),
        "\n".join(", ".join(map(str, row)) for row in grid),
        "\n".join(f"| {' | '.join(map(str, row))} |" for row in grid),
        "\n".join(f"[{row}]," for row in flat),
        f"[{json.dumps(grid)}]",
    ]


def read(text: str) -> list[Grid | None]:
    return [found.grid for found in _arc_grids.find(text)]


def problem(*test: tuple[Any, Any], train: Any = (), **spec: Any) -> Problem:
    pairs = [{"input": i, "output": o} for i, o in test]
    shown = [{"input": i, "output": o} for i, o in train]
    return Problem(id="x", prompt="?", spec={"train": shown, "test": pairs, **spec})


def outcome(asked: Problem, text: str) -> Outcome:
    return Verifier().verify(asked, Completion(text=text)).outcome


# --- reading -------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True)
@given(GRIDS, st.integers(0, 9))
def test_a_grid_is_read_in_every_spelling(grid, form):
    text = spellings(grid)[form]
    wanted = tuple(map(tuple, grid))
    assert read(text) == [wanted]
    assert read(f"The output is\n{text}\nas one sees.") == [wanted]
    assert read(f"```\n{text}\n```") == [wanted]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(GRIDS, st.integers(0, 9)), min_size=1, max_size=4))
def test_grids_are_read_in_order(grids):
    texts = [spellings(grid)[form] for grid, form in grids]
    found = _arc_grids.find("\n\nthen\n".join(texts))
    assert [f.grid for f in found] == [tuple(map(tuple, grid)) for grid, _ in grids]
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(GRIDS, GRIDS, st.integers(0, 9))
def test_equal_exactly_if_every_cell_is(expected, answer, form):
    asked = problem(([[0]], expected))
    text = spellings(answer)[form]
    wanted = Outcome.CORRECT if answer == expected else Outcome.INCORRECT
    assert outcome(asked, text) is wanted


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="[]0123456789, \n|.-x\u0663\u00b2", max_size=60))
def test_any_text_is_read(text):
    for found in _arc_grids.find(text):
        assert found.grid is None or _arc_grids.exact(found.grid) == found.grid


@pytest.mark.parametrize(
    "text",
    [
        "[[1, 2], [3]]",
        "[[1, 2], []]",
        "[[1, 12]]",
        "[[01, 2]]",
        "[[1, 2.0]]",
        "[[1, -2]]",
        "[[1, true]]",
        "[[1, None]]",
        "[[1, '2']]",
        "[[1,, 2]]",
        "[[1, 2,]]",
        "[[1, 2], [3, 4]",
        "[[1, [2]], [3, 4]]",
        "[[1, \u0662]]",
        "[[1, \u00b2]]",
        "1 2\n3",
        "1 2\n3 14",
        "1 2\n3 4.0",
        "- 1 2\n- 3 4",
        str([[0] * 31]),
        str([[0]] * 31),
        "[[" + "1, " * 20_000 + "1]]",
    ],
)
def test_what_is_no_grid_hides_what_stands_before_it(text):
    assert read(text)[-1] is None
    assert outcome(problem(([[0]], [[1, 2]])), f"[[1, 2]]\n{text}") is Outcome.UNPARSABLE


@pytest.mark.parametrize(
    "bad", [[[True]], [[1.0]], [["1"]], [[10]], [[-1]], [[]], [], [1], {}, 1, None]
)
def test_only_whole_numbers_of_one_digit_make_a_grid(bad):
    assert _arc_grids.exact(bad) is None


@pytest.mark.parametrize(
    "unit", ["[", "[[", "[ ", "]", "]]", "[[1", "1", "1 ", "1\n", "[1]\n", "[[1]]"]
)
def test_a_megabyte_is_read_at_once(unit):
    text = unit * (1_000_000 // len(unit))
    assert outcome(problem(([[0]], [[1, 2]])), text) in (Outcome.UNPARSABLE, Outcome.INCORRECT)


# --- the grid form -------------------------------------------------------------------------------


def test_as_many_grids_as_test_inputs_count_from_the_end():
    asked = problem(([[0]], [[1]]), ([[5]], [[2]]))
    assert outcome(asked, "[[7]]\n\nso\n\n[[1]]\n\n[[2]]") is Outcome.CORRECT
    assert outcome(asked, "[[1]]\n\n[[2]]\n\n[[7]]") is Outcome.INCORRECT
    assert outcome(asked, "[[2]]\n\n[[1]]") is Outcome.INCORRECT
    assert outcome(asked, "[[2]]") is Outcome.UNPARSABLE


def test_an_offer_of_several_grids_is_no_answer():
    asked = problem(([[0]], [[1, 2]]))
    assert outcome(asked, "[[2, 1]] or [[1, 2]]") is Outcome.UNSURE
    assert outcome(asked, "Option A: [[2, 1]]. Option B: [[1, 2]]") is Outcome.UNSURE
    assert outcome(asked, "[[1, 2]] or, as rows, [[1, 2]]") is Outcome.CORRECT
    assert outcome(asked, "[[1, 2]]\nSorry, that was wrong.") is Outcome.UNSURE
    assert outcome(asked, "The answer is [[1, 2]].\nThe answer is 7.") is Outcome.INCORRECT
    assert outcome(asked, "<answer>[[1, 2]]</answer><answer>no</answer>") is Outcome.INCORRECT
    assert outcome(asked, "<answer>[[1, 2]]</answer>") is Outcome.CORRECT


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "spec.test must be a list"),
        ({"test": []}, "at least one pair, got none"),
        ({"test": [{"input": [[1]]}]}, "spec.test, number 1: input and output must be grids"),
        ({"test": [3]}, "number 1"),
        ({"test": [{"input": [[1]], "output": [[1, 2], [3]]}]}, "rows of equal length"),
        ({"test": [{"input": [[1]], "output": [[2]]}], "train": {}}, "spec.train must be a list"),
        ({"test": [{"input": [[1]], "output": [[2]]}] * 17}, "at most 16 pairs in all, got 17"),
        ({"test": [{"input": [[1]], "output": [[2]]}], "solution": 3}, "spec.solution"),
        (
            {"test": [{"input": [[1]], "output": [[n]]} for n in (2, 3)]},
            "the same input and different outputs",
        ),
    ],
)
def test_broken_problems_say_what_is_broken(spec, reason):
    for form in ("grid", "program"):
        verifier, broken = Verifier(form=form), Problem(id="x", prompt="?", spec=spec)
        with pytest.raises(ValueError, match=reason):
            verifier.reference(broken)
        judgement = verifier.verify(broken, Completion(text="[[1]]"))
        assert judgement.outcome is Outcome.ERROR
        assert judgement.detail.startswith("the problem: ")


def test_an_answer_repeats_the_outputs():
    spec = {"test": [{"input": [[1]], "output": [[2]]}, {"input": [[0]], "output": [[3]]}]}
    for answer in ("[[[2]], [[3]]]", "[[2]]\n\n[[3]]", "2\n\n3"):
        Verifier().reference(Problem(id="x", prompt="?", answer=answer, spec=spec))
    for answer in ("[[2]]", "[[3]] [[2]]", "", "two"):
        with pytest.raises(ValueError, match="not the outputs"):
            Verifier().reference(Problem(id="x", prompt="?", answer=answer, spec=spec))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(GRIDS, min_size=1, max_size=3))
def test_perturbed_references_are_many_and_wrong(outputs):
    asked = problem(*(([[n % 10] * (n + 1)], grid) for n, grid in enumerate(outputs)))
    assert outcome(asked, Verifier().reference(asked)) is Outcome.CORRECT
    texts = list(Verifier().perturb(asked))
    assert len(set(texts)) == len(texts) >= 20
    assert {outcome(asked, text) for text in texts} == {Outcome.INCORRECT}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"form": "code"}, "'grid' or 'program'"),
        ({"cpu_s": 0}, "cpu_s must be in"),
        ({"memory_mb": 1}, "memory_mb must be in"),
    ],
)
def test_options_are_checked(options, reason):
    with pytest.raises(PluginError, match=reason):
        plugins.build("verifier", "arc", options)


def test_only_programs_need_a_sandbox():
    assert not Verifier().runs_code
    assert Verifier().limit_s == 0
    assert Verifier(form="program").runs_code
    assert Verifier(form="program", cpu_s=1).limit_s >= _arc_task.MAX_PAIRS * 3


# --- the program form ----------------------------------------------------------------------------

TRAIN = [([[1, 2, 3]], [[3, 2, 1]]), ([[4, 5, 6], [7, 8, 9]], [[6, 5, 4], [9, 8, 7]])]
TEST = [([[0, 1, 1], [2, 2, 3], [4, 0, 5]], [[1, 1, 0], [3, 2, 2], [5, 0, 4]])]
MIRROR = problem(*TEST, train=TRAIN)


@pytest.fixture(scope="module", autouse=True)
def _sandbox():
    yield
    sandbox.close()


def run(program: str, asked: Problem = MIRROR) -> tuple[Outcome, str]:
    verifier = Verifier(form="program", cpu_s=1)
    judgement = verifier.verify(asked, Completion(text=f"```python\n{program}\n```"))
    return judgement.outcome, judgement.detail


def test_a_program_is_run_on_every_pair():
    assert run("def transform(grid):\n    return [row[::-1] for row in grid]") == (
        Outcome.CORRECT,
        "right on 2 training and 1 test pairs",
    )
    only_one_row = "def transform(grid):\n    return [grid[0][::-1]]"
    assert run(only_one_row) == (Outcome.INCORRECT, "training pair 2: 1 x 3, not 2 x 3")
    short = "def transform(grid):\n    return [r[::-1] for r in grid] if len(grid) < 3 else grid"
    assert run(short) == (Outcome.INCORRECT, "test pair 1: 6 of 9 cells differ")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("return [[str(c) for c in row[::-1]] for row in grid]", "is no grid"),
        ("return [[c + 0.0 for c in row[::-1]] for row in grid]", "is no grid"),
        ("return [[c == 1 or c for c in row[::-1]] for row in grid]", "is no grid"),
        ("return (row[::-1] for row in grid)", "ended early"),
        ("return None", "is no grid"),
        ("print([row[::-1] for row in grid])", "is no grid"),
        ("raise SystemExit(0)", "ended early|no plain value"),
        ("import os; os._exit(0)", "no plain value"),
        ("import os; os.kill(os.getpid(), 9)", "ended early"),
        ("while True: pass", "out of time"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("return [[0] * 10**6] * 10", "is no grid|no plain value|ended early"),
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "ended early"),
    ],
)
def test_programs_that_fail_are_wrong(body, detail):
    outcome, said = run(f"def transform(grid):\n    {body}")
    assert outcome is Outcome.INCORRECT
    assert re.search(detail, said), said


def test_nothing_is_kept_between_calls():
    program = (
        "import os\nseen = []\n\ndef transform(grid):\n    seen.append(1)\n"
        "    with open('/tmp/seen', 'a+') as file:\n        file.write('x')\n"
        "        size = file.tell()\n"
        "    return [r[::-1] for r in grid] if len(seen) == 1 and size == 1 else grid"
    )
    assert run(program)[0] is Outcome.CORRECT


def test_no_output_is_in_reach_of_a_program():
    program = """
import gc, sys

def transform(grid):
    wanted = list(range(3, 0, -1))
    seen = gc.get_objects()
    frame = sys._getframe()
    while frame is not None:
        seen += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    for thing in seen:
        if type(thing) in (list, tuple) and thing is not wanted and list(thing) == wanted:
            return [wanted]
        if type(thing) in (str, bytes) and repr(wanted)[1:-1] in str(thing):
            return [wanted]
    return [[0]]
"""
    asked = problem(([[1, 2, 3]], [[3, 2, 1]]))
    assert run(program, asked) == (Outcome.INCORRECT, "test pair 1: 1 x 1, not 1 x 3")


def test_a_written_out_output_is_not_made_by_a_program():
    for shown, output in (*TRAIN[1:], *TEST):
        program = f"def transform(grid):\n    return {output} if grid == {shown} else grid"
        wanted = Outcome.UNSURE if len(output) == 3 else Outcome.INCORRECT
        assert run(program)[0] is wanted


def test_references_of_the_program_form():
    verifier = Verifier(form="program", cpu_s=1)
    solution = "def transform(grid):\n    return [row[::-1] for row in grid]"
    brought = problem(*TEST, train=TRAIN, solution=solution)
    assert solution in verifier.reference(brought)
    for asked in (MIRROR, brought):
        judgement = verifier.verify(asked, Completion(text=verifier.reference(asked)))
        assert judgement.outcome is Outcome.CORRECT
        texts = list(verifier.perturb(asked))
        assert len(set(texts)) == len(texts) >= 20
        for text in texts[:3]:
            assert verifier.verify(asked, Completion(text=text)).outcome is Outcome.INCORRECT
