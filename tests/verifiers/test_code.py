"""What the verdict on a program is: real boxes, and a sandbox that ends jobs as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from factory import plugins, sandbox
from factory.errors import PluginError, SandboxError
from factory.sandbox.box import Call, Command, Job, Limits, Ran, Script
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _code_checker, _code_compile, _code_run
from verifiers.code import Verifier

SQUARES: dict[str, Any] = {
    "tests": [{"input": f"{n}\n", "output": f"{n * n}\n"} for n in (1, 2, 3, 4)],
    "solution": "print(int(input()) ** 2)",
}
COINS = {"tests": [{"input": str(n), "output": str(n)} for n in range(2)], "solution": "x"}
RIGHT = "n = int(input())\nprint(n * n)"
PASSED = Ran(ended="exited", code=0)


@pytest.fixture(autouse=True, scope="module")
def _no_sandbox_left() -> Iterator[None]:
    yield
    sandbox.close()


def problem(spec: dict[str, Any], prompt: str = "") -> Problem:
    return Problem(id="x", prompt=prompt, spec=spec)


def judged(spec: dict[str, Any], code: str, verifier: Verifier | None = None) -> Judgement:
    language = spec.get("language", "python")
    text = f"<think>\nhm\n</think>\n```{language}\n{code}\n```"
    return (verifier or Verifier()).verify(problem(spec), Completion(text=text))


# --- verdicts ------------------------------------------------------------------------------------


def test_all_tests_passed_is_correct_and_the_comparison_is_on_record():
    given = judged(SQUARES, RIGHT)
    assert given.outcome is Outcome.CORRECT
    assert given.detail == "4 of 4 tests passed, and again when repeated (tokens)"
    assert given.extracted == RIGHT + "\n"


def test_the_reward_is_the_share_of_passed_tests_and_failures_are_named():
    given = judged(SQUARES, "n = int(input())\nprint(n * n if n != 3 else 1 // 0)")
    assert given.outcome is Outcome.INCORRECT
    assert given.reward == 0.75
    assert given.detail == "3 of 4 tests passed; failed: 3 runtime error (ZeroDivisionError)"


def test_many_failures_are_counted_not_listed():
    tests = [{"input": str(n), "output": str(n)} for n in range(9)]
    given = judged({"tests": tests}, "print(-1)")
    assert given.detail.endswith("5 wrong answer and 4 more")
    assert given.reward == 0.0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("while True: pass", "time limit"),
        ("import time\ntime.sleep(60)", "time limit"),
        ("print('x' * 3_000_000)", "output limit"),
        ("x = bytearray(10**11)", "runtime error (MemoryError)"),
        ("import os\nos.abort()", "runtime error (signal 6)"),
        ("raise SystemExit(7)", "runtime error (exit code 7)"),
        ("class E(Exception):\n    pass\nraise E('x\\ny: z')", "runtime error (E)"),
        ("raise type('a b', (Exception,), {})", "runtime error (exit code 1)"),
        ("def", "runtime error (SyntaxError)"),
        ("print(0)", "wrong answer"),
    ],
)
def test_each_way_to_fail_has_a_name(code, kind):
    given = judged(SQUARES | {"time_limit_s": 0.05}, code)
    assert given.outcome is Outcome.INCORRECT
    assert f"failed: 1 {kind}" in given.detail
    assert "\n" not in given.detail


def test_after_two_time_limits_the_rest_is_not_run():
    given = judged(SQUARES | {"time_limit_s": 0.05}, "while True: pass")
    assert given.detail == "0 of 4 tests passed; failed: 1 time limit, 2 time limit; 2 not run"


def test_a_stated_limit_is_raised_for_python_and_another_serves_where_there_is_none():
    verifier = Verifier(python_factor=3, time_limit_s=7, memory_mb=100)
    seen: list[Limits] = []
    with doubled(lambda job, limits: seen.append(limits) or PASSED):
        judged(SQUARES | {"time_limit_s": 2, "memory_mb": 300}, RIGHT, verifier)
        judged(SQUARES, RIGHT, verifier)
        judged(SQUARES | {"language": "cpp", "time_limit_s": 2}, "int main() {}", verifier)
    cpu = [cpu_s for cpu_s, _ in itertools.groupby(limits.cpu_s for limits in seen)]
    assert cpu == [6, 7, _code_compile.LIMITS.cpu_s, 2]
    assert seen[0].wall_s == 13
    assert (seen[0].memory_mb, seen[-1].memory_mb) == (300, 100)


def test_outputs_longer_than_usual_fit_where_they_are_expected():
    tests = [{"input": str(n), "output": "x" * n} for n in (3, 2_000_000)]
    assert judged({"tests": tests}, "print('x' * int(input()))").outcome is Outcome.CORRECT


def test_installed_modules_are_there_where_they_are_preloaded():
    code = "import numpy\nprint(int(numpy.array([int(input())])[0]) ** 2)"
    assert judged(SQUARES, code).outcome is Outcome.INCORRECT
    assert judged(SQUARES, code, Verifier(preload=("numpy",))).outcome is Outcome.CORRECT


@pytest.mark.parametrize("code", ["int f() { return 1 }", "#error \x1b[31mred", 'void f("\\0");'])
def test_what_does_not_compile_is_wrong_and_said_in_one_line(code):
    given = judged(SQUARES | {"language": "cpp"}, code)
    assert given.outcome is Outcome.INCORRECT
    assert given.detail.startswith("the program does not compile: ")
    assert given.detail.isprintable()


def test_a_function_may_be_a_method_of_class_solution():
    spec = {"tests": [{"call": "f", "args": [n], "output": n} for n in range(3)]}
    inside = "class Solution:\n    def f(self, n):\n        return n"
    outside = inside.replace("return n", "return -1") + "\ndef f(n):\n    return n"
    for code in (inside, outside):
        assert judged(spec, code).outcome is Outcome.CORRECT


def test_what_a_site_imports_is_there_unless_the_future_comes_first():
    tests = '{"fn_name": "f", "inputs": [[1], [2]], "outputs": [[[1]], [[2]]]}'
    for first in ("", "from __future__ import annotations\n"):
        code = f"{first}def f(n: int) -> List[int]:\n    return [pow(n, 1)]"
        assert judged({"input_output": tests}, code).outcome is Outcome.CORRECT
    code = "def f(n):\n    return list(accumulate(deque([n])))"
    assert judged({"input_output": tests}, code).outcome is Outcome.CORRECT


# --- what does not end well, by a sandbox that does as it is told --------------------------------


class Double:
    """A sandbox and its box in one: what comes of a job is decided by the test."""

    tier = "double"

    def __init__(self, answer: Callable[[Job, Limits], Ran]) -> None:
        self._answer = answer
        self.jobs: list[Job] = []
        self.boxes = 0

    def box(self, **_: Any) -> Double:
        self.boxes += 1
        return self

    def run(self, job: Job, *, limits: Limits) -> Ran:
        self.jobs.append(job)
        return self._answer(job, limits)

    def __enter__(self) -> Double:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class doubled:
    """Judge with a `Double` in the place of the sandbox."""

    def __init__(self, answer: Callable[[Job, Limits], Ran]) -> None:
        self._double = Double(answer)
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Double:
        self._patch.setattr(sandbox, "current", lambda: self._double)
        return self._double

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def echo(job: Job, _: Limits) -> Ran:
    """A program that prints what it read."""
    return replace(PASSED, stdout=job.stdin)


def after(count: int, then: Ran) -> Callable[[Job, Limits], Ran]:
    """Right for so many runs."""
    runs = itertools.count()
    return lambda job, limits: echo(job, limits) if next(runs) < count else then


def test_nothing_expected_enters_the_box():
    tests = [{"input": f"in{n}", "output": f"secret{n}"} for n in range(3)]
    checked = {"tests": tests, "checker": "print(1)"}
    for spec in ({"tests": tests}, checked):
        with doubled(lambda job, limits: replace(PASSED, stdout=b"1")) as double:
            judged(spec, "print(1)")
        ours = [job for job in double.jobs if "runpy" not in getattr(job, "source", "")]
        assert len(ours) >= 3
        assert "secret" not in repr(ours)


def test_few_tests_are_repeated_until_twenty_runs_and_many_less_often():
    for count, runs in ((2, 20), (5, 20), (11, 20), (12, 20), (40, 48)):
        tests = [{"input": str(n), "output": str(n)} for n in range(count)]
        with doubled(echo) as double:
            assert judged({"tests": tests}, "x").outcome is Outcome.CORRECT
        assert len(double.jobs) == runs
        repeated = {job.stdin for job in double.jobs[count:]}
        assert len(repeated) == min(count, runs - count)
    with doubled(echo) as double:
        judged(COINS, "x", Verifier(repeats=0))
    assert len(double.jobs) == 2


@pytest.mark.parametrize("runs", [2, 5, 19])
def test_a_program_that_fails_when_repeated_is_wrong(runs):
    with doubled(after(runs, replace(PASSED, stdout=b"7"))):
        given = judged(COINS, "x")
    assert given.outcome is Outcome.INCORRECT
    assert given.reward == 0.5
    assert "2 of 2 tests passed, but run again test" in given.detail
    assert given.detail.endswith("ended with: wrong answer")


def test_a_program_that_is_slow_when_repeated_is_in_doubt():
    with doubled(after(3, replace(PASSED, ended="wall", code=9))):
        given = judged(COINS, "x")
    assert given.outcome is Outcome.UNSURE
    assert given.detail.endswith("ended with: time limit")


class Clock:
    """Every job takes five seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def answer(self, job: Job, limits: Limits) -> Ran:
        self.now += min(5.0, limits.wall_s)
        if limits.wall_s < 5.0:
            return replace(PASSED, ended="wall", code=9)
        return echo(job, limits)


def test_the_total_limit_leaves_it_open_where_everything_has_passed(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_code_run, "time", clock)
    tests = [{"input": str(n), "output": str(n)} for n in range(30)]
    with doubled(clock.answer):
        given = judged({"tests": tests}, "x", Verifier(total_s=62))
    assert given.outcome is Outcome.UNSURE
    assert given.detail == "12 of 30 tests passed; 13 total limit"
    clock.now = 0.0
    tests[3]["output"] = "7"
    with doubled(clock.answer):
        given = judged({"tests": tests}, "x", Verifier(total_s=62))
    assert given.outcome is Outcome.INCORRECT
    assert given.detail == "11 of 30 tests passed; failed: 4 wrong answer; 17 not run"
    assert given.reward == 11 / 30


def test_repeats_beyond_the_least_number_stop_at_half_of_the_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_code_run, "time", clock)
    with doubled(clock.answer) as double:
        assert judged(COINS, "x").outcome is Outcome.CORRECT
    assert len(double.jobs) == 2 + 8
    clock.now = 0.0
    with doubled(clock.answer):
        given = judged(COINS, "x", Verifier(total_s=40))
    assert given.outcome is Outcome.UNSURE
    assert "ended with: total limit" in given.detail


def test_a_compiler_that_is_too_slow_says_nothing_about_the_program():
    spec = SQUARES | {"language": "cpp"}
    with doubled(lambda job, limits: replace(PASSED, ended="wall", code=9)):
        assert judged(spec, "int main() {}").outcome is Outcome.UNSURE
    with doubled(lambda job, limits: replace(PASSED, ended="cpu", code=9)):
        given = judged(spec, "int main() {}")
    assert given.outcome is Outcome.INCORRECT
    assert given.detail == "the program does not compile within its limits (cpu)"


def test_a_failing_sandbox_is_no_verdict():
    def fail(job: Job, limits: Limits) -> Ran:
        raise SandboxError("gone")

    with doubled(fail), pytest.raises(SandboxError, match="gone"):
        judged(SQUARES, RIGHT)


@pytest.mark.parametrize(
    "ran",
    [
        replace(PASSED, stdout=b"1\n", code=1),
        replace(PASSED, stdout=b"1\n", ended="signal", code=9),
        replace(PASSED, stdout=b"1\n", ended="cpu", code=24),
        replace(PASSED, stdout=b"1\n", ended="wall", code=9),
        replace(PASSED, stdout=b"1\n" * 10**6, ended="output"),
    ],
)
def test_the_right_output_counts_for_nothing_where_the_program_ended_badly(ran):
    tests = [{"input": "", "outputs": ["1", str(n)]} for n in range(2)]
    with doubled(lambda job, limits: ran):
        assert judged({"tests": tests}, "x").outcome is Outcome.INCORRECT


def test_a_call_without_a_plain_value_is_wrong():
    spec = {"tests": [{"call": "f", "outputs": [None, n]} for n in range(2)]}
    with doubled(lambda job, limits: PASSED):
        given = judged(spec, "x")
    assert given.outcome is Outcome.INCORRECT
    assert "1 wrong answer (no plain value)" in given.detail
    with doubled(lambda job, limits: replace(PASSED, returned=(None,))):
        assert judged(spec, "x").outcome is Outcome.CORRECT


# --- checkers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "ran", "outcome"),
    [
        ("score", replace(PASSED, stdout=b"1\n"), Outcome.CORRECT),
        ("score", replace(PASSED, stdout=b" 1.0 "), Outcome.CORRECT),
        ("score", replace(PASSED, stdout=b"0"), Outcome.INCORRECT),
        ("score", replace(PASSED, stdout=b"0.999"), Outcome.INCORRECT),
        ("score", replace(PASSED, stdout=b""), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"1 1"), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"1", code=1), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"2"), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"True"), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"1e0"), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"nan"), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"1", ended="wall"), Outcome.UNSURE),
        ("score", replace(PASSED, stdout=b"1", ended="signal", code=9), Outcome.UNSURE),
        ("testlib", replace(PASSED, stderr=b"ok 2 numbers"), Outcome.CORRECT),
        ("testlib", replace(PASSED, stderr=b"okay"), Outcome.UNSURE),
        ("testlib", replace(PASSED, stderr=b""), Outcome.UNSURE),
        ("testlib", replace(PASSED, stdout=b"ok"), Outcome.UNSURE),
        ("testlib", replace(PASSED, stderr=b"wrong answer", code=1), Outcome.INCORRECT),
        ("testlib", replace(PASSED, stderr=b"ok", code=1), Outcome.INCORRECT),
        ("testlib", replace(PASSED, code=2), Outcome.INCORRECT),
        ("testlib", replace(PASSED, stderr=b"points 0.5", code=7), Outcome.INCORRECT),
        ("testlib", replace(PASSED, stderr=b"FAIL", code=3), Outcome.UNSURE),
        ("testlib", replace(PASSED, stderr=b"ok", ended="cpu", code=24), Outcome.UNSURE),
    ],
)
def test_a_checker_accepts_by_exit_code_and_verdict_together(protocol, ran, outcome):
    def answer(job: Job, limits: Limits) -> Ran:
        return ran if isinstance(job, Script) and "runpy" in job.source else PASSED

    spec = {
        "tests": [{"input": "1"}, {"input": "2"}],
        "checker": {"source": "x", "protocol": protocol},
    }
    with doubled(answer) as double:
        given = judged(spec, "print(1)")
    assert given.outcome is outcome
    assert double.boxes == 2
    assert given.outcome is not Outcome.UNSURE or "unclear" in given.detail


@pytest.mark.parametrize(
    ("protocol", "order", "says"),
    [
        ("score", "['in0', 'out0', 'got']", "print(int(same))"),
        ("testlib", "['in0', 'got', 'out0']", "sys.exit(print('ok', file=sys.stderr) or not same)"),
    ],
)
def test_files_of_a_checker_come_in_the_order_of_its_protocol(protocol, order, says):
    source = f"import sys\nsame = [open(name).read() for name in sys.argv[1:]] == {order}\n{says}"
    tests = [{"input": f"in{n}", "output": f"out{n}"} for n in range(2)]
    spec = {"tests": tests, "checker": {"source": source, "protocol": protocol}}
    given = judged(spec, "print('got', end='')")
    assert given.detail == "1 of 2 tests passed; failed: 2 wrong answer"


def test_a_checker_in_cpp_with_a_header_of_its_own():
    source = """
#include "verdict.h"
#include <fstream>
int main(int, char **argv) {
    long long n, a, b;
    std::ifstream(argv[1]) >> n;
    std::ifstream out(argv[2]);
    return verdict((out >> a >> b) && a + b == n);
}
"""
    header = (
        "#include <cstdio>\nint verdict(bool ok) "
        '{ std::fputs(ok ? "ok sum\\n" : "wrong answer\\n", stderr); return !ok; }\n'
    )
    checker = {"source": source, "language": "cpp", "files": {"verdict.h": header}}
    spec = {"tests": [{"input": "5"}, {"input": "9"}], "checker": checker}
    assert judged(spec, "print(2, int(input()) - 2)").outcome is Outcome.CORRECT
    assert judged(spec, "print(2, int(input()))").outcome is Outcome.INCORRECT
    broken = spec | {"checker": checker | {"files": {}}}
    given = judged(broken, "print(1)")
    assert given.outcome is Outcome.ERROR
    assert "the problem: the checker does not compile" in given.detail


def test_limits_of_the_checker_do_not_follow_the_candidates():
    seen: list[tuple[bool, float]] = []

    def answer(job: Job, limits: Limits) -> Ran:
        checks = isinstance(job, Script) and "runpy" in job.source
        seen.append((checks, limits.cpu_s))
        return replace(PASSED, stdout=b"1")

    spec = {"tests": [{"input": "1"}, {"input": "2"}], "checker": "x", "time_limit_s": 1}
    with doubled(answer):
        judged(spec, "x")
    assert {cpu for checks, cpu in seen if checks} == {_code_checker.LIMITS.cpu_s}
    assert {cpu for checks, cpu in seen if not checks} == {4.0}


# --- references and what is wrong for certain ----------------------------------------------------


def solved(spec: dict[str, Any], verifier: Verifier | None = None) -> Judgement:
    verifier = verifier or Verifier()
    given = problem(spec)
    return verifier.verify(given, Completion(text=verifier.reference(given)))


def test_a_problem_without_a_solution_is_refused_or_has_its_tests_for_a_reference():
    spec = {name: value for name, value in SQUARES.items() if name != "solution"}
    with pytest.raises(ValueError, match=r"no solution in python \(option require_solution\)"):
        Verifier().reference(problem(spec))
    assert solved(spec, Verifier(require_solution=False)).outcome is Outcome.CORRECT
    assert "print(int" in Verifier().reference(problem(SQUARES))


@pytest.mark.parametrize(
    "spec",
    [
        {"tests": [{"input": "a\r\nb", "output": "\u00e9"}, {"input": "", "output": "0\n"}]},
        {"tests": [{"call": "f", "args": [n], "output": [n, None, 1e999]} for n in (1, 1.0, True)]},
        {
            "tests": [
                {"call": "A.f", "args": [], "kwargs": {"x": "'"}, "output": {"k": [1.5]}},
                {"call": "A.f", "args": [{"k": 2}], "output": ""},
                {"call": "A.h", "args": [], "output": "h"},
                {"call": "g", "args": [[1]], "output": -1},
            ]
        },
        {
            "tests": [{"input": "1", "output": "1"}, {"input": "2", "output": "4"}],
            "input_file": "in.txt",
            "output_file": "out.txt",
        },
        {
            "language": "cpp",
            "tests": [{"input": '"\\\n', "output": "\u00e91"}, {"input": "2", "output": "4"}],
        },
        {
            "language": "cpp",
            "tests": [{"input": "1", "output": "1"}, {"input": "2", "output": "4"}],
            "input_file": "in.txt",
            "output_file": "out.txt",
        },
    ],
)
def test_a_table_of_the_tests_passes_them(spec):
    verifier = Verifier(require_solution=False)
    given = solved(spec, verifier)
    assert given.outcome is Outcome.CORRECT, given.detail
    wrong = list(verifier.perturb(problem(spec)))
    assert len(set(wrong)) >= 20
    for text in wrong[:3]:
        assert verifier.verify(problem(spec), Completion(text=text)).outcome is Outcome.INCORRECT


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (
            [{"input": "1", "output": "1"}, {"input": "1", "output": "2"}],
            "test 2 expects another output for an earlier input",
        ),
        (
            [{"input": str(n), "output": "x" * 200_000 + str(n)} for n in range(2)],
            "too large for a table",
        ),
    ],
)
def test_tests_that_make_no_table_are_refused(tests, message):
    with pytest.raises(ValueError, match=message):
        Verifier(require_solution=False).reference(problem({"tests": tests}))


def test_without_outputs_a_checker_needs_a_solution():
    spec = {"tests": [{"input": "1"}, {"input": "2"}], "checker": "print(1)"}
    with pytest.raises(ValueError, match="test 1 has no output, and the problem no solution"):
        Verifier(require_solution=False).reference(problem(spec))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tests": [{"input": str(n), "output": "YES"} for n in range(9)]}, "1 different answers"),
        ({"tests": [{"input": "1", "output": "1"}]}, "1 different answers, not 2"),
        ({"tests": [{"input": "1"}, {"input": "1"}], "checker": "x"}, "1 different inputs, not 2"),
    ],
)
def test_tests_that_a_blind_print_may_pass_are_refused(spec, message):
    given = judged(spec, "print(1)")
    assert given.outcome is Outcome.ERROR
    assert message in given.detail
    with pytest.raises(ValueError, match=message):
        Verifier().reference(problem(spec))


def test_tests_that_expect_nothing_are_refused_even_where_one_answer_will_do():
    spec = {"tests": [{"input": "1", "output": " \n"}], "solution": "pass"}
    with pytest.raises(ValueError, match="every test expects nothing"):
        Verifier(distinct=1).reference(problem(spec))
    none = {"tests": [{"call": "f", "output": None}], "solution": "f = print"}
    with pytest.raises(ValueError, match="every test expects nothing"):
        Verifier(distinct=1).reference(problem(none))
    one = {"tests": [{"input": "1", "output": "1"}], "solution": "print(1)"}
    assert solved(one, Verifier(distinct=1)).outcome is Outcome.CORRECT


def test_cpp_without_a_compiler_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(_code_compile, "COMPILER", "/nowhere/g++")
    spec = SQUARES | {"language": "cpp"}
    with pytest.raises(ValueError, match=r"C\+\+ needs /nowhere/g\+\+: sudo apt install g\+\+"):
        Verifier().reference(problem(spec))
    with pytest.raises(SandboxError):
        judged(spec, "int main() {}")


@pytest.mark.parametrize(
    "solution",
    [
        "import sys\nprint(int(sys.stdin.read()) ** 2)\nsys.exit()",
        "import os\nos.write(1, str(int(input()) ** 2).encode())",
        "import sys\nsys.__stdout__.write(str(int(input()) ** 2))\nsys.__stdout__.flush()",
        "import atexit\natexit.register(lambda: print(int(input()) ** 2))",
        "import threading\nthreading.Thread(target=lambda: print(int(input()) ** 2)).start()",
        "from __future__ import annotations\nprint(int(input()) ** 2)",
        "import io, sys, os, atexit\nout = sys.stdout = io.StringIO()\n"
        "atexit.register(lambda: os.write(1, out.getvalue().encode()))\nprint(int(input()) ** 2)",
        "import sys\nsys.stdout.buffer.write(str(int(input()) ** 2).encode())",
        "try:\n    print(int(input()) ** 2)\nexcept BaseException:\n    pass",
    ],
)
def test_no_perturbation_passes_however_the_solution_prints(solution):
    spec = SQUARES | {"solution": solution}
    assert solved(spec).outcome is Outcome.CORRECT
    for text in Verifier().perturb(problem(spec)):
        given = Verifier().verify(problem(spec), Completion(text=text))
        assert given.outcome in (Outcome.INCORRECT, Outcome.UNPARSABLE), text


def test_programs_known_to_be_wrong_come_first():
    spec = SQUARES | {"incorrect_solutions": ["print(1)", "print(2)", "print(3)"]}
    first, second, third, *_ = Verifier().perturb(problem(spec))
    assert (first, second) == ("```python\nprint(1)\n```", "```python\nprint(2)\n```")
    assert "print(3)" not in third


def test_the_prompt_serves_where_the_row_of_human_eval_does_not_repeat_it():
    prompt = "import math\n\ndef f(x):\n    '''Its square.'''\n"
    spec = {
        "entry_point": "f",
        "canonical_solution": "    return int(math.pow(x, 2))\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4 and candidate(3) == 9\n",
    }
    given = problem(spec, prompt)
    text = Verifier().reference(given)
    assert Verifier().verify(given, Completion(text=text)).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "perl"}, "language 'perl'; choices: python, cpp"),
        ({"total_s": 0}, "total_s must be in (0, 3600], got 0"),
        ({"python_factor": 0.5}, "python_factor must be in [1, 100], got 0.5"),
        ({"repeats": -1}, "repeats must be in [0, 1000], got -1"),
        ({"distinct": 0}, "distinct must be in [1, 1000], got 0"),
        ({"memory_mb": 1}, "memory_mb must be in [16, 65536], got 1"),
        ({"time_limit_s": float("nan")}, "time_limit_s must be in (0, 600], got nan"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(PluginError, match="verifier 'code'") as caught:
        plugins.build("verifier", "code", options)
    assert message in str(caught.value)


def test_a_judgement_is_given_longer_than_its_own_total():
    assert Verifier(total_s=100).limit_s > 100
    assert Verifier.runs_code


def test_a_call_sends_values_as_they_are():
    spec = {
        "tests": [{"call": "f", "args": [n], "kwargs": {"b": [1.5]}, "output": n} for n in (1, 2)]
    }
    with doubled(lambda job, limits: replace(PASSED, returned=(1,))) as double:
        judged(spec, "def f(): pass")
    job = double.jobs[0]
    assert isinstance(job, Call)
    assert (job.function, job.args, job.kwargs) == ("f", (1,), {"b": [1.5]})


def test_files_are_laid_and_fetched_where_the_problem_names_them():
    spec = SQUARES | {"input_file": "a.in", "output_file": "a.out", "language": "cpp"}
    with doubled(lambda job, limits: PASSED) as double:
        judged(spec, "int main() {}")
    compiled, first, *_ = double.jobs
    assert isinstance(compiled, Command)
    assert compiled.keep
    assert isinstance(first, Command)
    assert not first.keep
    assert (first.stdin, first.files, first.output_file) == (b"", {"a.in": b"1\n"}, "a.out")
