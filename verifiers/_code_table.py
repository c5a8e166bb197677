"""A program that looks its tests up, for problems that bring no solution.

It proves that the tests can be passed: that they agree with each other, and that comparison, limits
and sandbox let a right answer through. It does not prove that they are right.
"""

from __future__ import annotations

import math
from typing import Any

from verifiers import _code_blocks, _code_compile
from verifiers._code_compare import key
from verifiers._code_task import Case, Task

_CALLS = """\
_TABLE = {table}


def _find(name, args, kwargs):
    for row in _TABLE:
        if repr(row[:3]) == repr((name, args, kwargs)):
            return row[3]
    raise LookupError
"""


def program(task: Task) -> str:
    """Source of a program that passes every test.

    Raises:
        ValueError: there is none: tests contradict each other, or are too large.
    """
    rows: dict[Any, tuple[Case, Any]] = {}
    for number, case in enumerate(task.cases, 1):
        if not case.wanted:
            raise ValueError(f"test {number} has no output, and the problem no solution")
        asked = (case.call, key(case.args), key(case.kwargs)) if case.call else case.stdin
        known = rows.setdefault(asked, (case, case.wanted[0]))[1]
        if key(known) not in map(key, case.wanted):
            raise ValueError(f"test {number} expects another output for an earlier input")
    build = _calls if task.calls else _cpp if task.language == "cpp" else _prints
    source = build(task, [(case, answer) for case, answer in rows.values()])
    if len(source.encode()) > _code_blocks.MAX_CODE:
        raise ValueError("the tests are too large for a table, and the problem has no solution")
    return source


def _prints(task: Task, rows: list[tuple[Case, Any]]) -> str:
    table = {case.stdin: answer for case, answer in rows}
    read = f"open({task.input_file!r}, 'rb')" if task.input_file else "sys.stdin.buffer"
    write = f"open({task.output_file!r}, 'wb')" if task.output_file else "sys.stdout.buffer"
    return f"import sys\n\nTABLE = {table!r}\n{write}.write(TABLE[{read}.read()])\n"


def _calls(task: Task, rows: list[tuple[Case, Any]]) -> str:
    table = [(case.call, case.args, case.kwargs, answer) for case, answer in rows]
    source = _CALLS.format(table=literal(table))
    classes: set[str] = set()
    for name in sorted({case.call for case, _ in rows}):
        first, _, method = name.partition(".")
        indent, me = ("    ", "self, ") if method else ("", "")
        source += f"\n\nclass {first}{f'({first})' * (first in classes)}:" if method else "\n"
        classes.add(first)
        source += f"\n{indent}def {method or first}({me}*args, **kwargs):"
        source += f"\n{indent}    return _find({name!r}, args, kwargs)\n"
    return source


def literal(value: Any) -> str:
    """Source of a plain value."""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{literal(item)}, " for item in value) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}([" + ", ".join(map(literal, value)) + "])"
    return repr(value)


def _cpp(task: Task, rows: list[tuple[Case, Any]]) -> str:
    read = f'std::ifstream in("{task.input_file}", std::ios::binary);' if task.input_file else ""
    write = f'std::ofstream out("{task.output_file}");' if task.output_file else ""
    to = "out" if write else "std::cout"
    lines = [
        f"    if (all == {_string(case.stdin)}) {to} << {_string(answer)};" for case, answer in rows
    ]
    return "\n".join(
        [
            "#include <fstream>\n#include <iostream>\n#include <iterator>\n#include <string>",
            "int main() {",
            f"    {read}{write}",
            f"    std::istreambuf_iterator<char> from({'in' if read else 'std::cin'}), end;",
            "    std::string all(from, end);",
            *lines,
            "}\n",
        ]
    )


def _string(text: bytes) -> str:
    return f"std::string({_code_compile.quoted(text)}, {len(text)})"
