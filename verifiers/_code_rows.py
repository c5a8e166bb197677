"""Rows of public code datasets, told by the columns in `spec`, to the canonical form.

A recipe maps a dataset's columns to `spec.NAME` under their own names. What is there decides:

    input_output                     APPS, TACO: also solutions, starter_code, time_limit,
                                     memory_limit
    official_tests                   open-r1/codeforces: also official_tests_complete (must be
                                     true), generated_checker, input_mode, interaction_format,
                                     time_limit, memory_limit
    private_tests, generated_tests   CodeContests: also public_tests, solutions, time_limit,
                                     memory_limit_bytes, input_file, output_file, and
                                     incorrect_solutions, which the tests must then reject
    private_test_cases               LiveCodeBench: also public_test_cases, metadata
    verification_info                verifiable-coding-problems: also gold_standard_solution
    test_list                        MBPP: also code, challenge_test_list, test_setup_code; with
                                     `test`, MBPP+
    entry_point and test             HumanEval, HumanEval+: also prompt, canonical_solution
    tests                            the canonical form, or rows of DeepCoder and rllm
    test                             KodCode: refused, its pytest files are for `unit_tests`

A row that does not hold what it takes to judge is refused with the reason, never judged by less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from verifiers import _code_asserts, _code_lcb
from verifiers._code_task import joined, one_of, parsed, unfenced

Row = Mapping[str, Any]

PROVIDED = """\
from typing import *
from string import *
from re import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from itertools import *
from functools import *
from operator import *
from builtins import *
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string
import sys
sys.setrecursionlimit(50000)
"""
"""What sites that ask for a function import on their own: solutions rely on it."""

_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 0.001}
_MEGABYTES = {
    "": 1.0,
    "mb": 1.0,
    "mib": 1.0,
    "megabyte": 1.0,
    "megabytes": 1.0,
    "gb": 1024.0,
    "gigabytes": 1024.0,
    "kb": 1 / 1024,
    "bytes": 1 / 1048576,
}
_PYTHON2, _CPP, _PYTHON3 = (1, "PYTHON"), (2, "CPP"), (3, "PYTHON3")


def canonical(spec: Row, language: str, prompt: str = "") -> Row:
    """The canonical form of a spec, whichever form it has.

    Raises:
        ValueError: the row cannot be judged; the reason says why.
    """
    for column, form in _FORMS.items():
        if column in spec:
            try:
                return form(spec, language, prompt)
            except (TypeError, AttributeError, KeyError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(f"{column}: not as its dataset has it: {reason}") from None
    raise ValueError(f"spec holds no tests; one of its fields must be: {', '.join(_FORMS)}")


def _apps(row: Row, language: str, _: str) -> Row:
    """APPS and TACO: parallel lists of inputs and outputs, as text."""
    tests = parsed(row["input_output"], "input_output")
    solutions = parsed(row.get("solutions") or [], "solutions")
    return _limits(row) | _pairs(tests) | {"solutions": solutions if language == "python" else []}


def _pairs(tests: Any) -> dict[str, Any]:
    """`{inputs, outputs, fn_name?}` as tests."""
    if not isinstance(tests, dict):
        raise ValueError(f"tests are {{inputs, outputs}}, got {type(tests).__name__}")
    inputs, outputs = tests.get("inputs"), tests.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        raise ValueError("no tests: inputs and outputs are lists")
    if len(inputs) != len(outputs):
        raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs")
    if not tests.get("fn_name"):
        return {"tests": [{"input": i, "output": o} for i, o in zip(inputs, outputs, strict=True)]}
    if not all(isinstance(item, list) for item in inputs):
        raise ValueError("inputs of a function are lists of arguments")
    tests = [
        {"call": tests["fn_name"], "args": i, "output": o}
        for i, o in zip(inputs, _unwrapped(outputs), strict=True)
    ]
    return {"tests": tests, "preamble": PROVIDED}


def _unwrapped(outputs: list[Any]) -> list[Any]:
    """Outputs of a function without the list of its own in which each may stand: all or none."""
    wrapped = all(isinstance(item, list) and len(item) == 1 for item in outputs)
    return [item[0] for item in outputs] if wrapped else outputs


def _codeforces(row: Row, language: str, _: str) -> Row:
    tests = row["official_tests"]
    if not isinstance(tests, list) or not tests:
        raise ValueError("no tests: official_tests is empty")
    if row.get("official_tests_complete") is not True:
        raise ValueError("official_tests_complete is not true: the long tests are missing")
    if row.get("interaction_format"):
        raise ValueError("interactive problems are not judged")
    mode = one_of("input_mode", row.get("input_mode") or "stdio", ("stdio", "file"))
    files = {"input_file": "input.txt", "output_file": "output.txt"} if mode == "file" else {}
    pairs = [
        {name: _unix(test.get(name), f"official_tests: {name}") for name in ("input", "output")}
        for test in tests
    ]
    checker = {"checker": row["generated_checker"]} if row.get("generated_checker") else {}
    given = {name: row[name] for name in ("solution", "solutions", "language") if name in row}
    return _limits(row) | {"tests": pairs} | files | checker | given


def _unix(text: Any, name: str) -> str:
    return joined(text, name).replace("\r\n", "\n")


def _code_contests(row: Row, language: str, _: str) -> Row:
    pairs: list[dict[str, Any]] = []
    for column in ("public_tests", "private_tests", "generated_tests"):
        group = row.get(column) or {}
        inputs, outputs = group.get("input") or [], group.get("output") or []
        if len(inputs) != len(outputs):
            raise ValueError(f"{column}: {len(inputs)} inputs and {len(outputs)} outputs")
        pairs += ({"input": i, "output": o} for i, o in zip(inputs, outputs, strict=True))
    limits = dict(_limits(row))
    given = row.get("time_limit")
    if isinstance(given, dict):
        limits["time_limit_s"] = given.get("seconds", 0) + given.get("nanos", 0) / 1e9
    if memory := row.get("memory_limit_bytes"):
        limits["memory_mb"] = memory / 1048576
    files = {name: row[name] for name in ("input_file", "output_file") if row.get(name)}
    programs = {
        name: _of_language(row.get(name) or {}, language)
        for name in ("solutions", "incorrect_solutions")
    }
    return limits | {"tests": pairs} | programs | files


def _of_language(given: Any, language: str) -> list[str]:
    """Of CodeContests' parallel lists of languages and programs, those in one language."""
    wanted = _PYTHON3 if language == "python" else _CPP
    languages, programs = given.get("language") or [], given.get("solution") or []
    return [text for name, text in zip(languages, programs, strict=True) if name in wanted]


def _live_code_bench(row: Row, language: str, _: str) -> Row:
    cases = _code_lcb.cases(row.get("public_test_cases")) + _code_lcb.cases(
        row.get("private_test_cases")
    )
    metadata = parsed(row.get("metadata") or {}, "metadata")
    function = metadata.get("func_name") if isinstance(metadata, dict) else None
    given = {name: row[name] for name in ("solution", "solutions") if name in row}
    return _listed(cases, function) | given


def _listed(cases: list[Any], function: Any = None) -> dict[str, Any]:
    """Tests that each say whether they are run or call a function."""
    tests = [_one(case, f"test {number}", function) for number, case in enumerate(cases, 1)]
    if not any("call" in test for test in tests):
        return {"tests": tests}
    if all(case.get("type") == "function_call" for case in cases):
        outputs = _unwrapped([test["output"] for test in tests])
        tests = [t | {"output": o} for t, o in zip(tests, outputs, strict=True)]
    return {"tests": tests, "preamble": PROVIDED}


def _one(case: Any, where: str, function: Any) -> dict[str, Any]:
    if not isinstance(case, dict) or "input" not in case or "output" not in case:
        raise ValueError(f"{where}: an object with input and output")
    kind = case.get("testtype") or case.get("type") or "stdin"
    if kind in ("stdin", "stdin_stdout"):
        return {"input": case["input"], "output": case["output"]}
    one_of(f"{where}: type", kind, ("functional", "function_call", "stdin", "stdin_stdout"))
    name = case.get("fn_name") or (case.get("metadata") or {}).get("func_name") or function
    if not name:
        raise ValueError(f"{where}: calls a function without a name")
    given = case["input"]
    if not isinstance(given, str):
        return {"call": name, "args": given, "output": case["output"]}
    args = [parsed(line, f"{where}: input") for line in given.split("\n") if line.strip()]
    return {"call": name, "args": args, "output": parsed(case["output"], f"{where}: output")}


def _verifiable(row: Row, language: str, _: str) -> Row:
    info = parsed(row["verification_info"], "verification_info")
    cases = info.get("test_cases") if isinstance(info, dict) else None
    if not isinstance(cases, list):
        raise ValueError("no tests: verification_info has no test_cases")
    given = {"language": info.get("language") or language}
    if solution := row.get("gold_standard_solution"):
        given["solution"] = unfenced(solution, given["language"])
    return _listed(cases) | given


def _mbpp(row: Row, language: str, _: str) -> Row:
    if setup := (row.get("test_setup_code") or "").strip():
        raise ValueError(f"test_setup_code defines what tests need: {setup[:60]!r}")
    if row.get("test"):
        tests = _code_asserts.from_script(row["test"], "")
    else:
        lists = [*row["test_list"], *(row.get("challenge_test_list") or [])]
        tests = _code_asserts.from_lines(tuple(map(str, lists)))
    return {"tests": list(tests), "solution": row.get("code"), "language": "python"}


def _human_eval(row: Row, language: str, prompt: str) -> Row:
    name, prompt = str(row["entry_point"]), row.get("prompt") or prompt
    tests = _code_asserts.from_script(row.get("test") or "", name)
    # Imports and helpers above the function belong to what a completion may rely on.
    above, found, _ = prompt.partition(f"def {name}(")
    solution = row.get("canonical_solution")
    return {
        "tests": list(tests),
        "preamble": above if found else "",
        "solution": f"{prompt}{solution}" if found and solution else None,
        "language": "python",
    }


def _tests(row: Row, language: str, _: str) -> Row:
    """The canonical form itself, or a list of tests as DeepCoder has it."""
    tests = parsed(row["tests"], "tests")
    rest = {name: value for name, value in row.items() if name != "tests"}
    if isinstance(tests, dict):
        return _pairs(tests) | rest
    kinds = ("testtype", "type", "fn_name")
    if isinstance(tests, list) and any(
        isinstance(t, dict) and t.keys() & set(kinds) for t in tests
    ):
        return _listed(tests) | rest
    return rest | {"tests": tests}


def _kodcode(row: Row, language: str, _: str) -> Row:
    raise ValueError("`test` is a pytest file: take the verifier `unit_tests`")


def _limits(row: Row) -> dict[str, Any]:
    """Time and memory limits that are numbers or text such as `2 seconds`."""
    time_limit = _amount(row.get("time_limit"), "time_limit", _SECONDS)
    memory = _amount(row.get("memory_limit"), "memory_limit", _MEGABYTES)
    return {"time_limit_s": time_limit, "memory_mb": memory}


def _amount(value: Any, name: str, units: Mapping[str, float]) -> float | None:
    if value is None or value == "" or isinstance(value, dict):
        return None
    match = _AMOUNT.fullmatch(str(value))
    if match is None or match[2].lower() not in units:
        raise ValueError(f"{name} is a number and a unit of {', '.join(units)}, got {value!r:.60}")
    return float(match[1]) * units[match[2].lower()] or None


_FORMS: dict[str, Callable[[Row, str, str], Row]] = {
    "input_output": _apps,
    "official_tests": _codeforces,
    "private_tests": _code_contests,
    "generated_tests": _code_contests,
    "private_test_cases": _live_code_bench,
    "verification_info": _verifiable,
    "test_list": _mbpp,
    "entry_point": _human_eval,
    "tests": _tests,
    "test": _kodcode,
}
