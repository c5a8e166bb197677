"""Modules that fail tests which say anything: what a test file has to turn away."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from verifiers._unit_tests_task import Task

_OFF = """

def _off(value):
    if value is True or value is False:
        return not value
    if type(value) in (int, float, complex):
        return value + 1
    if type(value) is str:
        return value + "x"
    if type(value) in (list, tuple):
        return value + type(value)([None])
    if type(value) is dict:
        return {**value, "off": None}
    if type(value) in (set, frozenset):
        return value | {"off"}
    if type(value) is bytes:
        return value + b"x"
    return _Odd()

class _Odd:
    pass

_depth = []

def _wrong(function):
    def changed(*args, **kwargs):
        _depth.append(None)
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            if len(_depth) == 1:
                return str(error)
            raise
        finally:
            _depth.pop()
        if _depth:
            return value
        if value is None:
            print("#")
            for arg in args:
                if type(arg) is list:
                    arg.append(None)
                if type(arg) in (dict, set):
                    arg.clear()
        return _off(value)
    return changed
"""
_CLASS = """
for _name, _value in list(vars({name}).items()):
    if callable(_value) and not isinstance(_value, type) and not _name.startswith("__"):
        setattr({name}, _name, _wrong(_value))
"""
_EQUAL = """
class _Any:
    def __init__(self, *args, **kwargs): pass
    def _yes(self, *args): return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _yes
    def __hash__(self): return 0
    def _self(self, *args, **kwargs): return self
    __call__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __abs__ = _self
    __enter__ = __getattr__ = __mul__ = __rmul__ = __round__ = __truediv__ = _self
    def __exit__(self, *args): pass
    def __iter__(self): return iter(())
    def __len__(self): return 0
"""
_BODIES = (
    "return None",
    "raise NotImplementedError('not done')",
    "return _Any()",
    "return object()",
    "return 'passed'",
    "return -987654321",
    "return [object()]",
    "import os; os._exit(0)",
    "import sys; sys.exit(0)",
    "raise KeyboardInterrupt",
    "import unittest; raise unittest.SkipTest('skip')",
    "return NotImplemented",
    "return (yield)",
    "return args",
    "return lambda *a: None",
    "import os; os.close(3)",
)
_MODULES = (
    "",
    "raise SystemExit(0)",
    "import os; os._exit(0)",
    "import pytest",
    "def (:",
    "print('===== 100 passed in 0.01s =====')",
    "raise unittest.SkipTest('nothing to test')",
    "import conftest",
)


def wrong(task: Task) -> Iterator[str]:
    """At least twenty different modules, the nearest to the solution first."""
    names = [name for name in task.public if not name.isupper()] or list(task.public)
    body = ast.parse(task.solution).body
    classes = {statement.name for statement in body if isinstance(statement, ast.ClassDef)}
    changes = [
        _CLASS.format(name=name) if name in classes else f"\n{name} = _wrong({name})\n"
        for name in names
    ]
    yield task.solution + _OFF + "".join(changes)
    for statement in _BODIES:
        defined = "".join(f"\ndef {name}(*args, **kwargs):\n    {statement}\n" for name in names)
        yield _EQUAL + defined
    yield _EQUAL + "".join(f"\n{name} = _Any()\n" for name in names)
    yield task.solution + "\nimport sys\nsys.exit(0)\n"
    for text in _MODULES:
        yield f"# {', '.join(names)}\n{text}\n"
