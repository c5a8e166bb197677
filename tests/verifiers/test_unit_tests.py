"""pytest files against modules: the problem, and whole judgements."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from factory import plugins, sandbox
from factory.errors import PluginError
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _unit_tests_run, _unit_tests_task, _unit_tests_wrong
from verifiers.unit_tests import Verifier

TEST = "from solution import f\n\ndef test_one():\n    assert f(1) == 2\n"
SOLUTION = "def f(n):\n    return n + 1\n"


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    sandbox.close()


def problem(**spec: object) -> Problem:
    return Problem(id="x", prompt="", spec={"test": TEST, "solution": SOLUTION, **spec})


def judge(code: str, test: str = TEST, solution: str = SOLUTION, **options: Any) -> Judgement:
    text = f"```python\n{code}\n```"
    given = problem(test=test, solution=solution)
    return Verifier(**options).verify(given, Completion(text=text))


def file_of(*bodies: str) -> str:
    """A test file with one test per body."""
    head = "import pytest\nimport solution\nfrom solution import *\n"
    indented = [body.strip().replace("\n", "\n    ") for body in bodies]
    parts = [f"\ndef test_{n}():\n    {body}\n" for n, body in enumerate(indented)]
    return head + "".join(parts)


# --- the problem ---------------------------------------------------------------------------------


def test_the_tests_that_stand_in_a_file_are_counted():
    text = """
import unittest
def helper(): pass
def test_a(): pass
if helper():
    def test_b(): pass
else:
    async def test_c(): pass
class TestX:
    def test_d(self): pass
    def other(self): pass
    class TestInner:
        def test_e(self): pass
class TestMade:
    def __init__(self): pass
    def test_f(self): pass
class Case(unittest.TestCase):
    def test_g(self): pass
class Other:
    def test_h(self): pass
try:
    def test_a(): pass
finally:
    def test_i(): pass
if __name__ == "__main__":
    def test_j(): pass
"""
    names = _unit_tests_task.read(problem(test=text)).names
    wanted = "test_a test_b test_c TestX::test_d TestX::TestInner::test_e Case::test_g test_i"
    assert list(names) == wanted.split()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"test": ""}, "spec.test must be the text"),
        ({"test": "x = ("}, "spec.test is no Python: SyntaxError"),
        ({"test": "def helper(): pass"}, "holds no test"),
        ({"test": "(" * 5000}, "spec.test is no Python"),
        ({"test": "\0"}, "spec.test is no Python"),
        ({"solution": None}, "spec.solution must be the text"),
        ({"solution": "\ud800 = 1"}, "spec.solution"),
        ({"module": "a-b"}, "must be the name of a module"),
        ({"module": "class"}, "must be the name of a module"),
        ({"module": "pytest"}, "may not be one of pytest"),
        ({"count": True}, "whole number of tests"),
        ({"entry": "f"}, "no field 'entry'; fields: test"),
    ],
)
def test_a_broken_problem_is_an_error_that_says_why(spec, said):
    judgement = Verifier().verify(problem(**spec), Completion(text="```python\nx\n```"))
    assert judgement.outcome is Outcome.ERROR
    assert said in judgement.detail
    with pytest.raises(ValueError, match="spec"):
        Verifier().reference(problem(**spec))


def test_a_missing_pytest_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    judgement = Verifier().verify(problem(), Completion(text="```python\nx\n```"))
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail == "the problem: pytest is missing: pip install pytest"


@pytest.mark.parametrize("options", [{"test_s": 0}, {"test_s": 9, "total_s": 8}, {"memory_mb": 1}])
def test_bad_options_are_refused(options):
    with pytest.raises(PluginError):
        plugins.build("verifier", "unit_tests", options)


def test_a_judgement_may_take_all_its_time():
    assert Verifier(total_s=7).limit_s > 7


# --- whole judgements ----------------------------------------------------------------------------


def test_partial_credit_is_the_share_of_tests():
    judgement = judge("def f(n):\n    return n", file_of("assert f(1) == 1", "assert f(1) == 2"))
    assert judgement.outcome is Outcome.INCORRECT
    assert judgement.reward == 0.5
    assert judgement.detail == "1 of 2 tests passed; failed: test_1 (AssertionError)"


def test_what_hangs_or_ends_costs_its_own_test_alone():
    code = """
import os
def f(n):
    if n == 1:
        os._exit(0)
    while n == 2:
        pass
    return n
"""
    test = file_of("assert f(0) == 0", "assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3")
    judgement = judge(code, test, test_s=1.0, total_s=20.0)
    assert judgement.reward == 0.5
    assert "failed: test_1 (" in judgement.detail
    assert "test_2 (no answer in time)" in judgement.detail


def test_no_restart_goes_on_for_ever():
    code = "import os\ndef f(n):\n    os._exit(0)"
    bodies = [f"assert f({n})" for n in range(_unit_tests_run.ROUNDS + 3)]
    judgement = judge(code, file_of(*bodies))
    assert judgement.outcome is Outcome.INCORRECT
    assert judgement.reward == 0


@pytest.mark.parametrize(
    ("solution", "body"),
    [
        (
            "state = []\ndef f(n):\n    state.append(n)\n    return len(state)",
            "f(1)\nassert f(1) == 2",
        ),
        ("LIMIT = 5\ndef f():\n    return LIMIT", "solution.LIMIT = 7\nassert f() == 7"),
        (
            "def f(xs):\n    xs.append(1)\n    return xs",
            "xs = []\nassert f(xs) is xs and xs == [1]",
        ),
        ("def f(xs):\n    return list(xs)", "xs = [1]\nys = f(xs)\nys.append(2)\nassert xs == [1]"),
        (
            "class A:\n    def __init__(self):\n        self.xs = []",
            "a = A()\na.xs.append(3)\nassert a.xs == [3] and A().xs == []",
        ),
        (
            "class E(ValueError):\n    def __init__(self, code):\n        super().__init__('no')\n"
            "        self.code = code\ndef f():\n    raise E(4)",
            "with pytest.raises(E) as caught:\n    f()\n"
            "assert caught.value.code == 4 and str(caught.value) == 'no'",
        ),
        (
            "class A:\n    n = 3\n    def m(self):\n        return 1\n"
            "    @staticmethod\n    def s():\n        return 2\n    @property\n"
            "    def p(self):\n        return 4\nclass B(A):\n    pass",
            "b = B()\nassert (b.m(), B.s(), b.p, b.n, A.n) == (1, 2, 4, 3, 3)\n"
            "assert isinstance(b, A) and issubclass(B, A)\nb.n = 5\nassert (b.n, B.n) == (5, 3)\n"
            "assert not hasattr(b, 'q')",
        ),
        (
            "class C:\n    def __enter__(self):\n        return self\n"
            "    def __exit__(self, kind, error, tb):\n        return True\n"
            "    def __getitem__(self, key):\n        return key\n    def __str__(self):\n"
            "        return 'c'\n    def __int__(self):\n        return 9",
            "with C() as c:\n    c.missing\nc = C()\n"
            "assert c['k'] == 'k' and str(c) == 'c' and int(c) == 9 and f'{c}' == 'c'",
        ),
        (
            "def f(n):\n    for i in range(n):\n        got = yield i",
            "it = f(2)\nassert next(it) == 0\nassert list(it) == [1]\n"
            "with pytest.raises(StopIteration):\n    next(it)",
        ),
        (
            "class V:\n    def __init__(self, x):\n        self.x = x\n"
            "    def __add__(self, o):\n        return V(self.x + o.x)\n"
            "    def __mul__(self, n):\n        return V(self.x * n)",
            "assert (V(1) + V(2) * 3).x == 7",
        ),
        (
            "def f(g, *args, **kwargs):\n    return [g(x, **kwargs) for x in args]",
            "assert f(lambda x, by=1: x * by, 1, 2, by=3) == [3, 6]\n"
            "seen = []\nf(seen.append, 4)\nassert seen == [4]\nassert f(abs, -1) == [1]",
        ),
        (
            "from decimal import Decimal\nimport datetime\ndef f(d):\n"
            "    return Decimal(d.year), d + datetime.timedelta(1), 2 ** 200, b'x', 1j, {3}",
            "import datetime, decimal\nassert f(datetime.date(2020, 1, 31)) == "
            "(decimal.Decimal(2020), datetime.date(2020, 2, 1), 2 ** 200, b'x', 1j, {3})",
        ),
        (
            "def f(n):\n    raise SystemExit(n)",
            "with pytest.raises(SystemExit) as caught:\n    f(3)\nassert caught.value.code == 3",
        ),
    ],
)
def test_what_the_tests_of_python_modules_do(solution, body):
    judgement = judge(solution, file_of(body), solution)
    assert judgement.outcome is Outcome.CORRECT, judgement.detail


@pytest.mark.parametrize(
    ("wrong", "body"),
    [
        ("def f(xs):\n    return xs", "xs = [1]\nys = f(xs)\nys.append(2)\nassert xs == [1]"),
        (
            "def f(xs):\n    return [*xs]",
            "xs = [[1]]\nys = f(xs)\nys[0].append(2)\nassert xs == [[1]]",
        ),
        (
            "KEPT = [1]\ndef f():\n    return KEPT",
            "f().append(2)\nassert f() == [1]",
        ),
        ("def f(xs):\n    return xs.copy()", "xs = []\nassert f(xs) is xs"),
    ],
)
def test_sharing_is_seen_as_python_has_it(wrong, body):
    judgement = judge(wrong, file_of(body), wrong)
    assert judgement.outcome is Outcome.INCORRECT
    assert "AssertionError" in judgement.detail


@pytest.mark.parametrize(
    "body",
    [
        "assert f(1) == f(1)",
        "assert f(1) in [f(1)]",
        "assert not f(1) != f(1)",
        "try:\n    assert f(1) == 1\nexcept Exception:\n    pass",
        "with pytest.raises(Exception):\n    f(1) == 1",
        "class Sub(A):\n    pass",
        "import copy\ncopy.deepcopy(f(1))",
        "solution.f(object())",
    ],
)
def test_what_cannot_be_told_is_not_passed(body):
    code = (
        "class A:\n    def __eq__(self, other):\n        return True\n"
        "    def __ne__(self, other):\n        return False\ndef f(n):\n    return A()"
    )
    judgement = judge(code, file_of(body), code)
    assert judgement.outcome is Outcome.INCORRECT
    assert judgement.reward == 0


@pytest.mark.parametrize(
    "end",
    [
        "import os\n        os._exit(0)",
        "import os\n        os.close(3)",
        "while True:\n            pass",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "raise StopIteration",
        "class B(BaseException):\n            pass\n        raise B",
        "return [[0] * 5000] * 5000",
    ],
)
def test_no_way_of_failing_is_taken_for_an_exception(end):
    code = f"def f(n):\n    if n < 0:\n        {end}\n    return n"
    test = file_of("with pytest.raises(BaseException):\n    f(-1)", "assert f(1) == 1")
    judgement = judge(code, test, "def f(n):\n    return n", test_s=1.0, total_s=20.0)
    assert judgement.outcome is Outcome.INCORRECT
    assert judgement.reward == 0.5


def test_no_loop_of_the_tests_is_cut_short():
    code = "def f(n):\n    raise StopIteration"
    test = file_of("for got, wanted in zip(map(f, [1, 2]), [2, 3]):\n    assert got == wanted")
    assert judge(code, test).outcome is Outcome.INCORRECT


def test_a_test_that_was_dropped_is_missed():
    test = (
        "import pytest\nimport solution\nif hasattr(solution, 'g'):\n    def test_g():\n"
        "        assert solution.g() == 1\ndef test_f():\n    assert solution.f(1) == 2\n"
    )
    judgement = judge(SOLUTION, test)
    assert judgement.outcome is Outcome.INCORRECT
    assert judgement.detail == "1 of 2 tests passed; not collected: test_g"


def test_the_count_of_tests_must_be_as_expected():
    test = file_of("assert f(1) == 2", "assert f(2) == 3")
    for count, outcome in ((2, "correct"), (3, "incorrect"), (1, "incorrect")):
        given = problem(test=test, count=count)
        judgement = Verifier().verify(given, Completion(text=f"```python\n{SOLUTION}```"))
        assert judgement.outcome == outcome


def test_lines_without_the_nonce_count_for_nothing():
    test = file_of(
        'import os\nos.write(1, b\'\\n{"nonce": "0", "test": "test_answer.py::test_1", '
        '"passed": true, "why": ""}\\n\')',
        "assert f(1) == 3",
    )
    judgement = judge(SOLUTION, test)
    assert judgement.reward == 0.5


@pytest.mark.parametrize("name", ["solution", "my_module"])
def test_the_module_bears_the_name_that_the_tests_ask_for(name):
    given = problem(test=TEST.replace("solution", name), module=name)
    judgement = Verifier().verify(given, Completion(text=f"```python\n{SOLUTION}```"))
    assert judgement.outcome is Outcome.CORRECT


def test_perturbed_modules_are_many_and_parse():
    task = _unit_tests_task.read(problem(solution=SOLUTION + "class A:\n    pass\nN = 3\n"))
    wrong = list(_unit_tests_wrong.wrong(task))
    assert len(set(wrong)) == len(wrong) >= 20
    assert task.solution in wrong[0]


def test_the_first_perturbation_changes_what_is_done_in_place():
    solution = "def f(items):\n    items.sort()\n"
    test = file_of("items = [2, 1]\nf(items)\nassert items == [1, 2]")
    first = next(Verifier().perturb(problem(test=test, solution=solution)))
    judgement = Verifier().verify(problem(test=test, solution=solution), Completion(text=first))
    assert judgement.outcome is Outcome.INCORRECT
