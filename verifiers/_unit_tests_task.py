"""A test file and the module it tests, as the problem says it."""

from __future__ import annotations

import ast
import importlib.util
import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from factory.types import Problem

MAX_SOURCE = 1 << 20
_FIELDS = ("test", "module", "solution", "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is run."""

    test: str
    module: str
    """The name by which the tests import what they test."""
    solution: str
    count: int | None
    """How many tests there are, where the problem says it."""
    names: tuple[str, ...]
    """The tests that stand in the file, as `test_x` or `TestX::test_y`: each must have run."""
    public: tuple[str, ...]
    """What `from module import *` brings in: names of the solution, never of an answer."""


def read(problem: Problem) -> Task:
    """The task of a problem.

    Raises:
        ValueError: the rule, the value and the choices.
    """
    if importlib.util.find_spec("pytest") is None:
        raise ValueError("pytest is missing: pip install pytest")
    spec = problem.spec
    if unknown := sorted(set(spec) - set(_FIELDS)):
        raise ValueError(f"spec has no field {unknown[0]!r}; fields: {', '.join(_FIELDS)}")
    test, solution = _text(spec, "test"), _text(spec, "solution")
    module = spec.get("module", "solution")
    taken = ("pytest", "verifiers", "conftest", "test_answer")
    if not isinstance(module, str) or not module.isidentifier() or keyword.iskeyword(module):
        raise ValueError(f"spec.module must be the name of a module, got {module!r:.80}")
    if module in taken or not module.isascii():
        raise ValueError(f"spec.module may not be one of {', '.join(taken)}; got {module!r}")
    count = spec.get("count")
    if count is not None and (type(count) is not int or count < 1):
        raise ValueError(f"spec.count must be a whole number of tests from 1 on, got {count!r}")
    names = tuple(dict.fromkeys(_tests(_parsed("test", test).body)))
    if not names:
        raise ValueError("spec.test holds no test: no function or method whose name begins `test`")
    return Task(
        test=test,
        module=module,
        solution=solution,
        count=count,
        names=names,
        public=tuple(dict.fromkeys(public_names(_parsed("solution", solution).body))),
    )


def public_names(body: list[ast.stmt]) -> Iterator[str]:
    """The names without a leading underscore that statements define at the top of a module."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found = [statement.name]
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found = [
                node.id
                for target in targets
                for node in ast.walk(target)
                if isinstance(node, ast.Name)
            ]
        else:
            found = []
        yield from (name for name in found if not name.startswith("_"))


def _tests(body: list[ast.stmt], inside: str = "") -> Iterator[str]:
    """The tests that a file holds as pytest collects them, conditions or not."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if statement.name.startswith("test"):
                yield inside + statement.name
        elif isinstance(statement, ast.ClassDef):
            if _is_collected(statement):
                yield from _tests(statement.body, f"{inside}{statement.name}::")
        elif not (isinstance(statement, ast.If) and _is_main(statement.test)):
            for part in ("body", "orelse", "finalbody"):
                yield from _tests(getattr(statement, part, []), inside)


def _is_collected(statement: ast.ClassDef) -> bool:
    bases = [node.attr if isinstance(node, ast.Attribute) else "" for node in statement.bases]
    bases += [node.id for node in statement.bases if isinstance(node, ast.Name)]
    if any(base.endswith("TestCase") for base in bases):
        return True
    makes = any(isinstance(s, ast.FunctionDef) and s.name == "__init__" for s in statement.body)
    return statement.name.startswith("Test") and not makes


def _is_main(test: ast.expr) -> bool:
    names = [node.id for node in ast.walk(test) if isinstance(node, ast.Name)]
    return names == ["__name__"]


def _parsed(field: str, source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"spec.{field} is no Python: {type(error).__name__}") from None


def _text(spec: dict[str, Any], field: str) -> str:
    value = spec.get(field)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"spec.{field} must be the text of a Python file, got {value!r:.40}")
    if len(value) > MAX_SOURCE:
        raise ValueError(f"spec.{field} is longer than {MAX_SOURCE} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"spec.{field} is not UTF-8") from None
    return value
