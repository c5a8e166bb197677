"""Assertions rewritten, without running them, as calls with expected values.

    assert f(1, [2]) == 3                   f(1, [2]) returns 3
    assert f("a") is None, "message"        ... None; `assert f(x)` ... True; `not f(x)` ... False
    assert abs(f(2) - 0.5) < 1e-6           ... 0.5 within 1e-6
    assert math.isclose(f(2), 0.5)          ... 0.5 within the tolerance of isclose
    assert set(f(x)) == set([1, 2])         ... those members in any order; so too with `sorted`

and the loop over `inputs` and `results` of EvalPlus. Arguments and expected values are literals.
Whatever else stands in the tests is refused by line: a test that is left out would be a hole.
"""

from __future__ import annotations

import ast
import builtins
import functools
import math
from collections.abc import Iterator
from typing import Any

MAX_SOURCE = 8 << 20
MAX_DEPTH = 60
_ISCLOSE_REL = 1e-9
_ALLCLOSE_REL = 1e-7
_FLOAT_ATOL = 1e-6
_Test = dict[str, Any]


@functools.lru_cache(maxsize=16)
def from_lines(lines: tuple[str, ...]) -> tuple[_Test, ...]:
    """Tests of MBPP: a list of single assertions.

    Raises:
        ValueError: one cannot be rewritten.
    """
    found: list[_Test] = []
    for line in lines:
        for node in _parse(line).body:
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                found += _assertion(node, "")
    return tuple(found)


@functools.lru_cache(maxsize=16)
def from_script(source: str, entry_point: str) -> tuple[_Test, ...]:
    """Tests of HumanEval (`check(candidate)`), of HumanEval+ and of MBPP+ (a loop).

    Args:
        entry_point: the function that `candidate` stands for; empty where tests name it themselves.

    Raises:
        ValueError: something in it cannot be rewritten.
    """
    body = _parse(source).body
    helpers = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    check = helpers.pop("check", None)
    if check is not None:
        _only_known(body, check, entry_point)
        body = check.body
    else:
        body = [node for node in body if not isinstance(node, ast.FunctionDef)]
    named: dict[str, list[Any]] = {}
    found: list[_Test] = []
    for node in body:
        if _is_idle(node):
            continue
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named[node.targets[0].id] = _list(node.value)
        elif isinstance(node, ast.For):
            found += _loop(node, named, helpers.get("assertion"), entry_point)
        else:
            found += _assertion(node, entry_point)
    return tuple(found)


def _parse(source: str) -> ast.Module:
    if len(source) > MAX_SOURCE:
        raise ValueError(f"the tests are longer than {MAX_SOURCE} characters")
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the tests are not Python: {str(error)[:80]}") from None


def _only_known(body: list[ast.stmt], check: ast.FunctionDef, entry_point: str) -> None:
    """Beside `check` there are definitions, metadata and the call of `check` alone."""
    for node in body:
        if node is check or _is_idle(node) or isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.Assign):  # METADATA
            continue
        if isinstance(node, ast.Expr) and ast.unparse(node) == f"check({entry_point})":
            continue
        raise _refusal(node)
    if len(check.args.args) != 1 or check.args.args[0].arg != "candidate":
        raise _refusal(check)


def _is_idle(node: ast.stmt) -> bool:
    """Imports, docstrings, `pass`, and assertions of a constant."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return (
        isinstance(node, ast.Assert)
        and isinstance(node.test, ast.Constant)
        and bool(node.test.value)
    )


def _refusal(node: ast.AST) -> ValueError:
    text = " ".join(ast.unparse(node).split())
    return ValueError(f"line {getattr(node, 'lineno', 1)} cannot be rewritten: {text[:80]!r}")


def _assertion(node: ast.stmt, entry_point: str) -> Iterator[_Test]:
    """The tests of one assertion; several where it joins them with `and`."""
    if not isinstance(node, ast.Assert):
        raise _refusal(node)
    claims = [node.test]
    if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
        claims = node.test.values
    for claim in claims:
        test = _claim(claim)
        if test is None:
            raise _refusal(node)
        if entry_point and test["call"] not in ("candidate", entry_point):
            raise _refusal(node)
        yield test | {"call": entry_point or test["call"], "python_types": True}


def _claim(node: ast.expr) -> _Test | None:
    """One claim as a test; None if it has another form."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        call = _call(node.operand)
        return call and call | _exactly(False)
    if (call := _call(node)) is not None:
        return call | _exactly(True)
    if isinstance(node, ast.Call):
        return _is_close(node)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    left, op, right = node.left, node.ops[0], node.comparators[0]
    if isinstance(op, (ast.Lt, ast.LtE)):
        return _near(left, right)
    if not isinstance(op, (ast.Eq, ast.Is)):
        return None
    return _equal(left, right) or (_equal(right, left) if isinstance(op, ast.Eq) else None)


def _exactly(value: Any) -> _Test:
    return {"output": value, "compare": "exact"}


def _equal(left: ast.expr, right: ast.expr) -> _Test | None:
    """`call == literal`, or both in the same `set(...)` or `sorted(...)`."""
    if (call := _call(left)) is not None:
        value = _literal(right)
        return None if value is _NONE else call | _exactly(value)
    inner = _wrapped(left, ("set", "sorted"))
    if inner is None or (call := _call(inner)) is None:
        return None
    value = _literal(_wrapped(right, ("set", "sorted")) or right)
    if not isinstance(value, (list, tuple, set)):
        return None
    return call | {"output": value, "compare": "unordered"}


def _near(left: ast.expr, right: ast.expr) -> _Test | None:
    """`abs(call - literal) < tolerance`."""
    inner, bound = _wrapped(left, ("abs", "math.fabs")), _literal(right)
    if not isinstance(inner, ast.BinOp) or not isinstance(inner.op, ast.Sub):
        return None
    for one, other in ((inner.left, inner.right), (inner.right, inner.left)):
        call, value = _call(one), _literal(other)
        if call is not None and isinstance(value, (int, float)) and isinstance(bound, float):
            tolerance = {"abs": bound, "rel": 0.0}
            return call | {"output": float(value), "compare": "float", "tolerance": tolerance}
    return None


def _is_close(node: ast.Call) -> _Test | None:
    if ast.unparse(node.func) not in ("math.isclose", "isclose") or len(node.args) != 2:
        return None
    given = {word.arg: _literal(word.value) for word in node.keywords}
    if not given.keys() <= {"rel_tol", "abs_tol"}:
        return None
    tolerance = {"abs": given.get("abs_tol", 0.0), "rel": given.get("rel_tol", _ISCLOSE_REL)}
    for one, other in (node.args, node.args[::-1]):
        call, value = _call(one), _literal(other)
        if call is not None and isinstance(value, (int, float)):
            return call | {"output": float(value), "compare": "float", "tolerance": tolerance}
    return None


def _wrapped(node: ast.expr, names: tuple[str, ...]) -> ast.expr | None:
    """The one argument of a call of one of these functions."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in names and not node.keywords:
        return node.args[0] if len(node.args) == 1 else None
    return None


_BUILTINS = frozenset(name for name in dir(builtins) if name.islower()) | {"isclose"}


def _call(node: ast.expr) -> _Test | None:
    """A call of the function under test with literals alone."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    if node.func.id in _BUILTINS:
        return None
    args = [_literal(argument) for argument in node.args]
    kwargs = {word.arg: _literal(word.value) for word in node.keywords}
    if None in kwargs or any(value is _NONE for value in (*args, *kwargs.values())):
        return None
    return {"call": node.func.id, "args": args, "kwargs": kwargs}


def _loop(
    node: ast.For, named: dict[str, list[Any]], assertion: ast.FunctionDef | None, entry: str
) -> Iterator[_Test]:
    """`for i, (inp, exp) in enumerate(zip(inputs, results)): assertion(f(*inp), exp, atol)`."""
    over = ast.unparse(node.iter)
    known = (ast.unparse(node.target), over) in (
        ("(i, (inp, exp))", "enumerate(zip(inputs, results))"),
        ("(inp, exp)", "zip(inputs, results)"),
    )
    if (
        not known
        or assertion is None
        or len(node.body) != 1
        or not {*named} >= {"inputs", "results"}
    ):
        raise _refusal(node)
    statement = node.body[0]
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "assertion" or call.keywords:
        raise _refusal(statement)
    if len(call.args) != 3 or ast.unparse(call.args[1]) != "exp":
        raise _refusal(statement)
    name, stars, rest = ast.unparse(call.args[0]).partition("(*inp)")
    atol = _literal(call.args[2])
    if not stars or rest or not name.isidentifier() or type(atol) not in (int, float):
        raise _refusal(statement)
    if len(named["inputs"]) != len(named["results"]):
        raise ValueError(f"{len(named['inputs'])} inputs and {len(named['results'])} results")
    how = _assertion_compares(assertion)
    for args, value in zip(named["inputs"], named["results"], strict=True):
        if not isinstance(args, (list, tuple)):
            raise ValueError("inputs of a function are lists of arguments")
        test = {"call": entry or name, "args": list(args), "output": value, "python_types": True}
        yield test | _plus_compare(how, value, atol)


def _assertion_compares(function: ast.FunctionDef) -> str:
    """What EvalPlus's `assertion` of this problem asks for; some ask for less than equality."""
    assigned = [
        ast.unparse(node)
        for node in ast.walk(function)
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.NamedExpr, ast.AnnAssign))
    ]
    about_match = [text for text in assigned if not text.startswith("atol = ")]
    asserts = [ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Assert)]
    if "assert exact_match" in asserts:
        if about_match == ["exact_match = out == exp"]:
            return "exact"
        if about_match == ["exact_match = set(out) == set(exp)"]:
            return "unordered"
    raise ValueError(f"its own idea of equality: {' '.join(about_match)[:100]!r}")


def _plus_compare(how: str, value: Any, atol: float) -> _Test:
    if how == "unordered":
        return {"compare": how}
    items = value if isinstance(value, (list, tuple)) else [value]
    if items and all(type(item) is float and math.isfinite(item) for item in items):
        return {"compare": "float", "tolerance": {"abs": atol or _FLOAT_ATOL, "rel": _ALLCLOSE_REL}}
    return {"compare": "exact"}


class _None:
    """No literal: None is one."""


_NONE = _None()
_CONSTANTS = (int, float, str, bool, type(None))


def _list(node: ast.expr) -> list[Any]:
    value = _literal(node)
    if not isinstance(value, list):
        raise _refusal(node)
    return value


def _literal(node: ast.expr, depth: int = 0) -> Any:
    """The value of a literal; `_NONE` if it is none."""
    if depth > MAX_DEPTH:
        return _NONE
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) in _CONSTANTS else _NONE
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _literal(node.operand, depth + 1)
        if type(value) not in (int, float):
            return _NONE
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        items = [_literal(item, depth + 1) for item in node.elts]
        return _NONE if any(item is _NONE for item in items) else _collected(node, items)
    if isinstance(node, ast.Dict):
        return _dict(node, depth)
    return set() if _is_empty_set(node) else _NONE


def _is_empty_set(node: ast.expr) -> bool:
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return named and ast.unparse(node) == "set()"


def _collected(node: ast.List | ast.Tuple | ast.Set, items: list[Any]) -> Any:
    if isinstance(node, ast.List):
        return items
    if isinstance(node, ast.Tuple):
        return tuple(items)
    try:
        return set(items)
    except TypeError:
        return _NONE


def _dict(node: ast.Dict, depth: int) -> Any:
    keys = [_NONE if key is None else _literal(key, depth + 1) for key in node.keys]
    found = [_literal(item, depth + 1) for item in node.values]
    if any(item is _NONE for item in (*keys, *found)):
        return _NONE
    try:
        return dict(zip(keys, found, strict=True))
    except TypeError:
        return _NONE
