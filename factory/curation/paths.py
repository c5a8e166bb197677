"""The path that a text takes to its answer: its equations, or the statements of its program."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from itertools import pairwise

from factory.contamination.wording import flat

LONGEST = 100_000
"""Characters of a program that is still parsed."""

_NAMES = r"sqrt|sin|cos|tan|log|ln|exp|pi|mod|gcd|lcm"
_SIGN = rf"(?:\d+(?:\.\d+)?|(?<![a-z])(?:{_NAMES}|[a-z])(?![a-z])|[-+*/^()=!%])"
_CHAIN = re.compile(rf"{_SIGN}(?:\s*{_SIGN})*")
_BLOCK = re.compile(r"^[ \t]*```[ \t]*(?:python3?|py)[^\n]*\n(.*?)^[ \t]*```", re.S | re.M | re.I)
_BODIES = frozenset({"body", "orelse", "finalbody", "handlers", "cases", "decorator_list"})
_TYPES = frozenset({"annotation", "returns", "type_comment"})


def equations(text: str) -> list[str]:
    """Every `lhs=rhs` in the order of writing, blanks and typography out; `a=b=c` is two.

    Example:
        equations("So $3 \\\\cdot 4 = 12$, and x = 12 + 1 = 13.") == ["34=12", "x=12+1", "12+1=13"]
    """
    found = []
    plain = flat(text).translate({ord(sign): " " for sign in "{}$&·×⋅"})  # noqa: RUF001
    for chain in _CHAIN.findall(plain):
        if "=" not in chain:
            continue
        sides = [_side(side) for side in chain.split("=")]
        found += [f"{left}={right}" for left, right in pairwise(sides) if left and right]
    return found


def _side(text: str) -> str:
    side = "".join(text.split()).replace("*", "").strip("+/^!%")
    while side.startswith("(") and side.endswith(")") and side.count("(") == 1:
        side = side[1:-1]
    return side


def statements(text: str) -> list[str]:
    """The statements of the text's Python blocks, own names numbered in order, nothing run.

    Comments, docstrings, annotations, layout and the names of variables, functions and arguments
    make no difference. A block that does not parse has no statements.
    """
    found: list[str] = []
    for block in _BLOCK.findall(text):
        tree = _parse(block)
        if tree is not None:
            found += _normal(tree)
    return found


def _parse(source: str) -> ast.Module | None:
    if len(source) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is the model's business
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _normal(tree: ast.Module) -> list[str]:
    own = _own_names(tree)
    numbers = {name: f"v{number}" for number, name in enumerate(own)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = numbers.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = numbers.get(node.arg, node.arg)
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            node.name = numbers.get(node.name, node.name)
    try:
        return [
            line for node in ast.walk(tree) if isinstance(node, ast.stmt) for line in _dump(node)
        ]
    except RecursionError:  # an expression nested as deeply as only a model writes it
        return []


def _own_names(tree: ast.Module) -> dict[str, None]:
    """Names that the program itself binds, in the order of the walk."""
    own: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own[node.id] = None
        elif isinstance(node, ast.arg):
            own[node.arg] = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own[node.name] = None
    return own


def _dump(node: ast.stmt) -> Iterator[str]:
    """One statement without those inside it; nothing for a docstring."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    parts = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name in _BODIES or name in _TYPES:
            continue
        values = value if isinstance(value, list) else [value]
        shown = [
            ast.dump(one, annotate_fields=False) if isinstance(one, ast.AST) else repr(one)
            for one in values
        ]
        parts.append(f"{name}={','.join(shown)}")
    yield " ".join(parts)
