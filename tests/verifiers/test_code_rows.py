"""Rows of public datasets become tests, or are refused with the reason."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from typing import Any

import pytest

from verifiers import _code_asserts, _code_lcb
from verifiers._code_rows import canonical
from verifiers._code_task import Task, read


def task(spec: dict[str, Any], language: str = "python") -> Task:
    return read(canonical(spec, language), language)


def refusal(spec: dict[str, Any]) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at
        task(spec)
    return str(caught.value)


def pairs(given: Task) -> list[tuple[bytes, tuple[Any, ...]]]:
    return [(case.stdin, case.wanted) for case in given.cases]


def calls(given: Task) -> list[tuple[str, tuple[Any, ...], Any]]:
    return [(case.call, case.args, case.wanted[0]) for case in given.cases]


ONE = [{"input": "1", "output": "2"}]


# --- the canonical form --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec holds no tests; one of its fields must be: input_output"),
        ({"tests": []}, "no tests"),
        ({"tests": "[1"}, "tests is not JSON"),
        ({"tests": "[" * 100_000}, "tests is not JSON"),
        ({"tests": [1]}, "test 1 is an object, got int"),
        ({"tests": [{"input": 1, "output": "2"}]}, "test 1: input is text or a list of lines"),
        ({"tests": [{"input": "1"}]}, "test 1: no output, and no checker"),
        ({"tests": [{"input": "1", "output": None}]}, "test 1: output is text"),
        ({"tests": [{"input": "1", "outputs": []}]}, "outputs is a list of the answers"),
        ({"tests": [{"input": "\ud800", "output": "1"}]}, "UTF-8 cannot hold"),
        ({"tests": [{"call": "f(1)", "output": 1}]}, "call is `name` or `Class.method`"),
        ({"tests": [{"call": "a.b.c", "output": 1}]}, "call is `name` or `Class.method`"),
        ({"tests": [{"call": "f", "args": 1, "output": 1}]}, "args is a list"),
        ({"tests": [{"call": "f", "args": []}]}, "test 1: no output"),
        ({"tests": '[{"call": "f", "output": NaN}]'}, "nan is expected, which equals nothing"),
        ({"tests": [{"call": "f", "output": 1, "compare": "lines"}]}, "choices: tokens, float"),
        ({"tests": [{"call": "f", "output": 1, "compare": "unordered"}]}, "needs a list"),
        ({"tests": [*ONE, {"call": "f", "output": 1}]}, "test 2 calls a function and others run"),
        ({"tests": ONE, "language": "rust"}, "language 'rust'; choices: python, cpp"),
        ({"tests": ONE, "compare": "fuzzy"}, "compare 'fuzzy'; choices: tokens, float, lines"),
        ({"tests": ONE, "tolerance": 0.1}, "a tolerance goes with compare `float`"),
        ({"tests": ONE, "compare": "float", "tolerance": 1}, "in [0, 0.1], got 1"),
        ({"tests": ONE, "compare": "float", "tolerance": True}, "in [0, 0.1], got True"),
        ({"tests": ONE, "time_limit_s": 0}, "time_limit_s is a number in [0.001, 600], got 0"),
        ({"tests": ONE, "memory_mb": "1g"}, "memory_mb is a number in [1, 65536], got '1g'"),
        ({"tests": ONE, "checker": ""}, "checker: no source"),
        ({"tests": ONE, "checker": {"source": "x", "protocol": "exit"}}, "choices: score, testlib"),
        ({"tests": ONE, "checker": {"source": "x", "files": {"../x": ""}}}, "plain file name"),
        ({"tests": ONE, "input_file": "/etc/passwd"}, "input_file is a plain file name"),
        ({"tests": ONE, "solution": 5}, "solution is a program or a list of them"),
        ({"tests": [{"call": "f", "output": 1}], "language": "cpp"}, "and python alone"),
        ({"tests": [{"call": "f", "output": 1}], "checker": "x"}, "take no checker"),
        ({"tests": [{"input": "", "outputs": ["", "1"]}], "checker": "x"}, "beside a checker"),
    ],
)
def test_a_broken_rule_is_named_with_value_and_choices(spec, message):
    assert message in refusal(spec)


def test_what_a_test_does_not_say_the_spec_says():
    spec = {"tests": [{**ONE[0], "compare": "exact"}, *ONE], "compare": "float", "tolerance": 1e-3}
    first, second = task(spec).cases
    assert (first.compare.how, first.compare.abs_tol) == ("exact", 0.0)
    assert (second.compare.how, second.compare.abs_tol, second.compare.rel_tol) == (
        "float",
        1e-3,
        1e-3,
    )


def test_text_may_be_a_list_of_lines_and_tests_may_be_json():
    spec = {"tests": json.dumps([{"input": ["1", "2"], "outputs": ["a", ["b", "c"]]}])}
    assert pairs(task(spec)) == [(b"1\n2", (b"a", b"b\nc"))]


def test_integers_of_any_size_survive_as_json_text():
    spec = {"tests": json.dumps([{"call": "f", "args": [2**70], "output": -(2**90)}])}
    assert calls(task(spec)) == [("f", (2**70,), -(2**90))]


def test_solutions_lose_their_fence_and_keep_their_order():
    spec = {"tests": ONE, "solution": "```python\na\n```", "solutions": ["b", " ", "c"]}
    assert task(spec).solutions == ("a\n", "b", "c")


# --- datasets ------------------------------------------------------------------------------------


def test_apps_and_taco():
    row = {
        "input_output": json.dumps({"inputs": ["1\n", ["2", "3"]], "outputs": ["x\n", ["y", "z"]]}),
        "solutions": json.dumps(["print(1)", "print(2)"]),
        "time_limit": "1.5 seconds",
        "memory_limit": "256.0 megabytes",
    }
    found = task(row)
    assert pairs(found) == [(b"1\n", (b"x\n",)), (b"2\n3", (b"y\nz",))]
    assert (found.time_limit_s, found.memory_mb) == (1.5, 256)
    assert found.solutions == ("print(1)", "print(2)")
    assert task(row, "cpp").solutions == ()


@pytest.mark.parametrize(
    ("outputs", "wanted"), [([[3], [5]], [3, 5]), ([[3], [5, 6]], [[3], [5, 6]]), ([3, 5], [3, 5])]
)
def test_apps_functions_have_their_outputs_unwrapped_all_or_none(outputs, wanted):
    both = {"fn_name": "f", "inputs": [[1, 2], [3, 4]], "outputs": outputs}
    found = calls(task({"input_output": json.dumps(both)}))
    assert found == [("f", (1, 2), wanted[0]), ("f", (3, 4), wanted[1])]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "input_output is not JSON"),
        ("{}", "inputs and outputs are lists"),
        (json.dumps({"inputs": ["1"], "outputs": []}), "1 inputs and 0 outputs"),
        (json.dumps({"inputs": ["1"], "outputs": ["1"], "fn_name": "f"}), "lists of arguments"),
        ("[1]", "got list"),
    ],
)
def test_apps_without_sound_tests_is_refused(value, message):
    assert message in refusal({"input_output": value})


def test_a_limit_in_an_unknown_unit_is_refused():
    row = {"input_output": '{"inputs": ["1"], "outputs": ["1"]}', "time_limit": "2 fortnights"}
    assert "time_limit is a number and a unit of" in refusal(row)


def test_code_contests():
    row = {
        "public_tests": {"input": ["1"], "output": ["a"]},
        "private_tests": {"input": [], "output": []},
        "generated_tests": {"input": ["2"], "output": ["b"]},
        "time_limit": {"seconds": 2, "nanos": 500_000_000},
        "memory_limit_bytes": 64 << 20,
        "solutions": {"language": [1, 2, 3], "solution": ["print 1", "int main", "print(1)"]},
        "incorrect_solutions": {"language": [2, 3], "solution": ["int x", "print(0)"]},
        "input_file": "",
        "output_file": "out.txt",
    }
    found = task(row)
    assert pairs(found) == [(b"1", (b"a",)), (b"2", (b"b",))]
    assert (found.time_limit_s, found.memory_mb, found.output_file) == (2.5, 64, "out.txt")
    assert (found.solutions, found.known_wrong) == (("print(1)",), ("print(0)",))
    assert task(row, "cpp").solutions == ("int main",)


def test_live_code_bench_reads_packed_tests_and_calls_functions():
    hidden = [{"input": '"a"\n[2]', "output": "true", "testtype": "functional"}]
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(hidden)))).decode()
    row = {
        "public_test_cases": json.dumps([hidden[0] | {"input": "null\n[]"}]),
        "private_test_cases": packed,
        "metadata": json.dumps({"func_name": "g"}),
    }
    assert calls(task(row)) == [("g", (None, []), True), ("g", ("a", [2]), True)]
    plain = row | {"private_test_cases": json.dumps(hidden)}
    assert calls(task(plain)) == calls(task(row))
    assert "calls a function without a name" in refusal(row | {"metadata": "{}"})


class Hostile:
    """Unpickling this would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/unpickled",))


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_read_only_where_it_is_one_string(protocol):
    def packed(value: Any) -> str:
        return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()

    assert _code_lcb.cases(packed("[1]")) == [1]
    for value in (Hostile(), ["[1]"], b"[1]", 5, ("a", "b")):
        with pytest.raises(ValueError, match="a pickle of one string"):
            _code_lcb.cases(packed(value))


@pytest.mark.parametrize(
    "text",
    ["!", "AAAA", base64.b64encode(zlib.compress(b"x" * 1000)[:-5]).decode(), '{"a": 1}'],
)
def test_tests_that_cannot_be_decoded_are_refused(text):
    with pytest.raises(ValueError, match="test cases"):
        _code_lcb.cases(text)


def test_verifiable_coding_problems():
    case = {"type": "stdin_stdout", "fn_name": None, "input": "1\n", "output": "2\n"}
    row = {
        "verification_info": json.dumps({"language": "python", "test_cases": [case]}),
        "gold_standard_solution": "Thus:\n```python\nprint(2)\n```",
    }
    found = task(row)
    assert pairs(found) == [(b"1\n", (b"2\n",))]
    function = {"type": "function_call", "fn_name": "f", "input": [1, [2]], "output": [[3]]}
    info = {"verification_info": {"test_cases": [function]}}
    assert calls(task(info)) == [("f", (1, [2]), [3])]
    assert "verification_info has no test_cases" in refusal({"verification_info": {}})
    assert "'pytest'; choices" in refusal(
        {"verification_info": {"test_cases": [case | {"type": "pytest"}]}}
    )


def test_deep_coder_in_both_its_forms():
    listed = [{"input": "1", "output": "2", "testtype": "stdin", "metadata": {"func_name": None}}]
    assert pairs(task({"tests": json.dumps(listed)})) == [(b"1", (b"2",))]
    function = [{"input": "1\n2", "output": "3", "testtype": "functional", "metadata": {}}]
    named = [function[0] | {"metadata": {"func_name": "f"}}]
    assert calls(task({"tests": named})) == [("f", (1, 2), 3)]
    parallel = {"inputs": ["1"], "outputs": ["2"], "solution": "x"}
    assert pairs(task({"tests": json.dumps(parallel)})) == [(b"1", (b"2",))]


def test_codeforces():
    row = {
        "official_tests": [{"input": "1\r\n", "output": "2\r\n"}],
        "official_tests_complete": True,
        "generated_checker": "print(1)",
        "input_mode": "file",
        "time_limit": 2.0,
        "memory_limit": 256.0,
        "language": "cpp",
        "generated_tests": 12,
    }
    found = task(row)
    assert pairs(found) == [(b"1\n", (b"2\n",))]
    assert found.checker is not None
    assert (found.language, found.checker.protocol) == ("cpp", "score")
    assert (found.input_file, found.output_file) == ("input.txt", "output.txt")
    assert "the long tests are missing" in refusal(row | {"official_tests_complete": False})
    assert "the long tests are missing" in refusal({"official_tests": row["official_tests"]})
    assert "interactive" in refusal(row | {"interaction_format": "print a query"})
    assert "input_mode 'tape'" in refusal(row | {"input_mode": "tape"})


def test_kodcode_is_sent_to_the_verifier_of_unit_tests():
    assert "`unit_tests`" in refusal({"test": "def test_f(): pass", "solution": "x"})


@pytest.mark.parametrize(
    "row",
    [
        {"official_tests": [None], "official_tests_complete": True},
        {"private_tests": [1]},
        {"private_test_cases": "[]", "metadata": "[]"},
        {"verification_info": {"test_cases": [7]}},
        {"test_list": 5},
        {"entry_point": 5, "test": 5},
    ],
)
def test_rows_of_a_wrong_shape_are_refused_not_raised(row):
    assert refusal(row)


# --- assertions ----------------------------------------------------------------------------------


def rewritten(*lines: str) -> list[dict[str, Any]]:
    return [dict(test) for test in _code_asserts.from_lines(lines)]


@pytest.mark.parametrize(
    ("line", "args", "output", "how"),
    [
        ("assert f(1, [2]) == 3", [1, [2]], 3, "exact"),
        ("assert 3 == f(1)", [1], 3, "exact"),
        ("assert f((1,), {'a': {2}}) == (-1.5, 'x')", [(1,), {"a": {2}}], (-1.5, "x"), "exact"),
        ("assert f() is None, 'why'", [], None, "exact"),
        ("assert f(1)", [1], True, "exact"),
        ("assert not f(1)", [1], False, "exact"),
        ("assert f(set()) == True", [set()], True, "exact"),
        ("assert abs(f(2) - 0.5) < 1e-6", [2], 0.5, "float"),
        ("assert abs(3 - f(2)) <= 0.01", [2], 3.0, "float"),
        ("assert math.isclose(f(2), 0.5, rel_tol=0.001)", [2], 0.5, "float"),
        ("assert set(f(1)) == set([2, 1])", [1], [2, 1], "unordered"),
        ("assert sorted(f(1)) == [1, 2]", [1], [1, 2], "unordered"),
    ],
)
def test_an_assertion_is_rewritten(line, args, output, how):
    (test,) = rewritten(line)
    assert (test["call"], test["args"], test["output"]) == ("f", args, output)
    assert type(test["output"]) is type(output)
    assert test["compare"] == how


@pytest.mark.parametrize(
    "line",
    [
        "assert len(f(1)) == 2",
        "assert f(1) != 2",
        "assert f(1) > 2",
        "assert f(1) in (1, 2)",
        "assert f(x) == 1",
        "assert f(1) == g(1)",
        "assert f(1) == 2 or True",
        "assert f(1) == f(1)",
        "assert f(*[1]) == 2",
        "assert f(**{'a': 1}) == 2",
        "assert a.f(1) == 2",
        "assert f(1) == 1 == 1",
        "assert f(__import__('os')) == 1",
        "assert [f(1)] == [1]",
        "assert str(f(1)) == '1'",
        "assert abs(f(2) - 0.5) < f(1)",
        "assert math.isclose(f(2), 0.5, tol=1)",
        "assert set(f(1), f(2)) == {1}",
        "assert f(b'x') == 1",
        "assert f(1j) == 1",
        "x = 1",
        "print(f(1))",
        "assert False",
    ],
)
def test_any_other_statement_is_refused_with_its_line(line):
    with pytest.raises(ValueError, match="line 1 cannot be rewritten"):
        rewritten("assert f(0) == 0", line)


def test_joined_claims_are_tests_of_their_own():
    both = rewritten("assert f(1) == 1 and f(2) == 4")
    assert [(t["args"], t["output"]) for t in both] == [([1], 1), ([2], 4)]


def test_human_eval_and_what_stands_above_its_function():
    prompt = "import math\n\ndef helper(x):\n    return x\n\ndef f(x: int) -> int:\n    '''doc'''\n"
    row = {
        "entry_point": "f",
        "prompt": prompt,
        "canonical_solution": "    return helper(x)\n",
        "test": "METADATA = {}\n\ndef check(candidate):\n    '''doc'''\n    import math\n"
        "    assert candidate(2) == 2, 'no'\n    assert True, 'fine'\n\ncheck(f)\n",
    }
    found = task(row)
    assert calls(found) == [("f", (2,), 2)]
    assert found.preamble == prompt.partition("def f(")[0]
    assert found.solutions == (prompt + row["canonical_solution"],)
    assert found.cases[0].compare.python_types


@pytest.mark.parametrize(
    "test",
    [
        "def check(candidate):\n    for x in range(3):\n        assert candidate(x) == x",
        "def check(candidate):\n    assert other(1) == 1",
        "def check(candidate):\n    y = candidate(1)\n    assert y == 1",
        "def check(candidate, n):\n    assert candidate(1) == 1",
        "def check(candidate):\n    assert candidate(1) == 1\nexec('x')",
        "def check(candidate):\n    assert candidate(1) == 1\n    def inner(): pass",
    ],
)
def test_human_eval_with_other_tests_is_refused(test):
    reason = refusal({"entry_point": "f", "prompt": "def f(x):\n", "test": test})
    assert "cannot be rewritten" in reason


PLUS = """
import numpy as np
def is_floats(x): return isinstance(x, float)
def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        np.testing.assert_allclose(out, exp, atol=atol)
    else:
        assert exact_match
inputs = [[1], [[2, inf]]]
results = [0.5, (1, 'x')]
for i, (inp, exp) in enumerate(zip(inputs, results)):
    assertion(f(*inp), exp, 0)
"""


def test_the_loop_of_evalplus():
    first, second = task({"test_list": ["assert f(0) == 0"], "test": PLUS}).cases
    assert (first.call, first.args, first.wanted) == ("f", (1,), (0.5,))
    assert (first.compare.how, first.compare.abs_tol) == ("float", 1e-6)
    assert (second.args, second.wanted) == (([2, float("inf")],), ((1, "x"),))
    assert (second.compare.how, second.compare.python_types) == ("exact", True)
    inside = "def check(candidate):\n    inputs = [[1]]\n    results = [[2]]\n" + (
        "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
        "        assertion(candidate(*inp), exp, 0)\n"
    )
    helper = PLUS.partition("inputs")[0]
    row = {"entry_point": "g", "prompt": "def g(x):\n", "test": helper + inside}
    assert calls(task(row)) == [("g", (1,), [2])]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("out == exp\n", "out == exp or True\n", "its own idea of equality"),
        ("out == exp\n", "exp == (out is not None)\n", "its own idea of equality"),
        ("assert exact_match", "pass", "its own idea of equality"),
        ("[0.5, (1, 'x')]", "[0.5]", "2 inputs and 1 results"),
        ("[0.5, (1, 'x')]", "[g(1), 2]", "cannot be rewritten"),
        ("assertion(f(*inp), exp, 0)", "assertion(f(*inp), g(*inp), 0)", "cannot be rewritten"),
        ("assertion(f(*inp), exp, 0)", "assertion(f(*inp)[0], exp, 0)", "cannot be rewritten"),
        ("enumerate(zip(inputs, results))", "enumerate(zip(inputs[:0], results))", "rewritten"),
    ],
)
def test_a_loop_that_asks_for_less_is_refused(old, new, message):
    assert old in PLUS
    assert message in refusal({"test_list": [], "test": PLUS.replace(old, new)})


def test_evalplus_sets_are_compared_in_any_order():
    source = PLUS.replace("out == exp", "set(out) == set(exp)").replace("0.5, (1", "[5], (1")
    found = task({"test_list": [], "test": source})
    assert {case.compare.how for case in found.cases} == {"unordered"}


def test_setup_code_of_mbpp_is_refused():
    row = {"test_list": ["assert f(1) == 1"], "test_setup_code": "class Node: ..."}
    assert "test_setup_code" in refusal(row)
