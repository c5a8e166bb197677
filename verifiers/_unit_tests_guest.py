"""The process in which the module under test runs. Nothing that it says is believed.

It answers requests on descriptor 3: attributes, calls, iteration. What the module prints while it
is called goes back with the answer; `input` asks the tests. The module shares this process, so
whatever is written here can be changed by it: it gains what returning another value would gain.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import math
import operator
import sys
import types
from typing import Any

from verifiers import _unit_tests_wire as wire

MAX_PRINTED = 1 << 20
_EXTRA = {"math": math, "operator": operator, "builtins": builtins}


class Guest:
    """Serves one module."""

    def __init__(self, stream: wire.Stream) -> None:
        self._stream = stream
        self._heap = wire.Heap(self, first=1)
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._told: set[int] = set()
        """Classes that the other side knows."""
        self._classes: list[list[Any]] = []
        """Those that go along with the next message."""
        self._module = types.ModuleType("")
        self._printed = io.StringIO()

    def serve(self, source: str, name: str) -> None:
        """Import the module, say how that went, and answer until the other side hangs up."""
        builtins.input = self._input
        sys.stdout = self._printed
        sys.argv = [f"{name}.py"]
        self._module = types.ModuleType(name)
        sys.modules[name] = self._module
        try:
            exec(compile(source, f"{name}.py", "exec", dont_inherit=True), self._module.__dict__)
        except BaseException as error:
            self._raised(error)
            return
        self._printed.seek(0)
        self._printed.truncate()
        self._say("ok", None)
        while True:
            self._handle(self._stream.receive())

    def refer(self, value: Any) -> dict[str, Any]:
        if isinstance(value, _Callback):
            return {"c": value.number}
        if isinstance(value, type):
            self._describe(value)
            return {"k": self._number(value)}
        self._describe(type(value))
        return {"o": self._number(value), "k": self._number(type(value))}

    def resolve(self, reference: dict[str, Any]) -> Any:
        if "o" in reference:
            return self._objects[reference["o"]]
        if "k" in reference:
            return self._objects[reference["k"]]
        if "u" in reference:
            module, _, name = reference["u"].partition(".")
            return getattr(_EXTRA[module], name)
        return _Callback(self, reference["c"])

    def call_back(self, number: int, args: Any, kwargs: dict[str, Any]) -> Any:
        """Have the other side call something of its own."""
        self._say("call", args, kwargs, number=number)
        while True:
            message = self._stream.receive()
            if message["op"] in ("ok", "raised"):
                values = self._unpack(message)
                if message["op"] == "ok":
                    return values[0]
                raise values[0](*values[1])
            self._handle(message)

    def _input(self, prompt: object = "") -> Any:
        return self.call_back(0, (str(prompt),), {})

    def _handle(self, message: dict[str, Any]) -> None:
        values = self._unpack(message)
        try:
            result = self._do(message["op"], *values)
        except BaseException as error:
            self._raised(error)
            return
        self._say("ok", result)

    def _do(self, operation: str, *values: Any) -> Any:
        if operation == "global":
            return getattr(self._module, *values)
        if operation == "set_global":
            return setattr(self._module, *values)
        if operation == "get":
            return getattr(*values)
        if operation == "set":
            return setattr(*values)
        if operation == "delete":
            return delattr(*values)
        target, args, kwargs = values
        if operation == "call":
            return target(*args, **kwargs)
        # A special method, which belongs to the class.
        return getattr(type(target), operation)(target, *args)

    def _unpack(self, message: dict[str, Any]) -> list[Any]:
        values = self._heap.unpack(message)
        self._heap.forget(message["drop"])
        return values

    def _say(self, operation: str, *values: Any, **more: Any) -> None:
        message = self._heap.pack({"op": operation, **more}, *values)
        message["classes"], self._classes = self._classes, []
        message["printed"] = self._printed.getvalue()[:MAX_PRINTED]
        self._printed.seek(0)
        self._printed.truncate()
        self._stream.send(message)

    def _raised(self, error: BaseException) -> None:
        try:
            text = str(error)
        except Exception:
            text = ""
        attributes = {
            name: value
            for name, value in vars(error).items()
            if type(value) in (bool, int, float, str, type(None))
        }
        plain = (bool, int, float, str, type(None), tuple, list)
        args = tuple(arg if type(arg) in plain else str(arg) for arg in error.args)
        self._say("raised", type(error), args, text, attributes)

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._objects)
            self._objects[len(self._objects)] = value
        return self._numbers[id(value)]

    def _describe(self, cls: type) -> None:
        """Tell of a class once: its name, its bases, its special methods."""
        number = self._number(cls)
        if number in self._told:
            return
        self._told.add(number)
        bases = []
        for base in cls.__mro__[1:]:
            known = wire.known_name(base)
            if known is None:
                self._describe(base)
            bases.append(self._number(base) if known is None else known)
        special = sorted(
            name
            for name in dir(cls)
            if name.startswith("__") and name.endswith("__") and name not in vars(object)
        )
        own = [
            n
            for n in ("__eq__", "__str__", "__repr__")
            if getattr(cls, n) is not getattr(object, n)
        ]
        self._classes.append([number, cls.__name__, bases, special + own])


class _Callback:
    """Something callable of the other side."""

    def __init__(self, guest: Guest, number: int) -> None:
        self._guest = guest
        self.number = number
        self.__name__ = "callback"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._guest.call_back(self.number, args, kwargs)


def main(source: str, name: str) -> None:
    """Serve the module on descriptor 3."""
    with contextlib.suppress(wire.Broken):  # the tests have ended
        Guest(wire.Stream(3)).serve(source, name)
