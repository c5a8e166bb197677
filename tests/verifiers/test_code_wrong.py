"""Wrong programs: enough of them, and each change the same inside the sandbox and outside."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers import _code_wrong
from verifiers._code_task import Task, read

TEXTS = ["1 2\n", "YES", "-5 0.5\nab  c\n", "x", "10\n11\n", "a1b2"]
VALUES = [0, 3, -2, 1.5, True, None, "ab", "", [1, 2], [[1], []], {"a": 1}, (1, "x"), {1, 2}]


def outcome(of: Any, *args: Any) -> tuple[str, Any]:
    """A result with its type, or that it raised."""
    try:
        value = of(*args)
    except (TypeError, LookupError, ValueError, OverflowError):
        return "raises", None
    return type(value).__name__, value


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        (_code_wrong.SPELT_CHANGES + _code_wrong.TOKEN_CHANGES, TEXTS),
        (_code_wrong.VALUE_CHANGES, VALUES),
    ],
    ids=["outputs", "values"],
)
def test_an_expression_says_the_same_as_its_function(changes, answers):
    space: dict[str, Any] = {}
    exec(_code_wrong._BUMP_SOURCE, space)
    for expression, change in changes:
        for answer in answers:
            inside = outcome(lambda e, a: eval(e, {**space, "answer": a}), expression, answer)
            assert inside == outcome(change, answer), (expression, answer)


def programs(tests: list[dict[str, Any]], **spec: Any) -> list[str]:
    task: Task = read({"tests": tests, **spec}, spec.get("language", "python"))
    return list(_code_wrong.programs(task, "print(1)"))


@pytest.mark.parametrize(
    ("outputs", "spec"),
    [
        (["1", "2"], {}),
        (["YES", "NO"], {"compare": "yes_no"}),
        (["a\nb", "c"], {"compare": "unordered"}),
        (["0.5", "1.25"], {"compare": "float"}),
        (["", "x"], {"compare": "exact"}),
        (["x" * 10_000, "y" * 10_000], {}),
        (["1", "2"], {"language": "cpp"}),
        (["1", "2"], {"language": "cpp", "output_file": "o"}),
        (["1", "2"], {"output_file": "o"}),
        (["1", "2"], {"checker": "print(1)"}),
        (["1", "2"], {"checker": "print(1)", "language": "cpp"}),
    ],
)
def test_there_are_twenty_different_ones_at_least(outputs, spec):
    tests = [{"input": str(n), "output": output} for n, output in enumerate(outputs)]
    found = programs(tests, **spec)
    assert len(set(found)) >= 20


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=4)
        | st.floats(allow_nan=False)
        | st.lists(st.integers(), max_size=3),
        min_size=2,
        max_size=4,
        unique_by=repr,
    )
)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_functions_have_twenty_as_well_whatever_they_return(values):
    tests = [{"call": "f", "args": [n], "output": value} for n, value in enumerate(values)]
    assert len(set(programs(tests))) >= 20


def test_a_change_that_no_test_notices_is_left_out():
    same = [{"input": "1", "output": "aba"}, {"input": "2", "output": "c"}]
    reverses = [text for text in programs(same) if "[::-1]" in text]
    assert not reverses
    loud = [{"input": "1", "output": "YES"}, {"input": "2", "output": "no"}]
    assert not any("swapcase" in text for text in programs(loud, compare="yes_no"))
    assert any("swapcase" in text for text in programs(loud))


def test_a_decimal_may_be_spelt_otherwise_so_its_digits_are_left_alone():
    tests = [{"input": "1", "output": "0.5"}, {"input": "2", "output": "0.25"}]
    assert not any("_bump(answer" in text or "[:-1]" in text for text in programs(tests))
