"""Classes, instances and the module under test, as the tests see them.

Nothing that lives over there may decide a comparison: `==`, `<` and their like, with a plain value
or with another instance, end the test as failed, and so does arithmetic that gives anything but an
instance. Otherwise a class whose `__eq__` is always true would pass every test. Two names for one
instance are equal, and an instance is not None; that is known here. `in` is asked of the instance,
and asked again for a value that nobody can have put there.
"""

from __future__ import annotations

import secrets
import string
import types
from typing import Any, NoReturn, Protocol

_ASKED = tuple(
    f"__{name}__"
    for name in (
        *("len", "iter", "next", "reversed", "getitem", "setitem", "delitem", "call"),
        *("enter", "exit", "str", "repr", "bool", "int", "float", "index", "complex"),
        *("round", "abs", "neg", "pos", "invert", "trunc", "floor", "ceil"),
    )
)
"""Special methods whose answer is a value that the test looks at."""
_OPERATORS = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"),
    *("and", "or", "xor", "lshift", "rshift"),
)
_ARITHMETIC = tuple(f"__{side}{name}__" for name in _OPERATORS for side in ("", "r", "i"))
_JUDGING = ("__lt__", "__le__", "__gt__", "__ge__", "__copy__", "__deepcopy__", "__reduce_ex__")
_VERDICTS = frozenset(
    (
        *("startswith", "endswith", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit"),
        *("isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper"),
        *("issubset", "issuperset", "isdisjoint", "is_integer"),
    )
)
"""Methods of plain values that say yes or no: who asks for them expects a plain value."""
_NAMES_GIVEN = ("__name__", "__qualname__", "__doc__", "__dict__", "__wrapped__", "__annotations__")


class Asker(Protocol):
    """The tests' end of the channel (`_unit_tests_host`)."""

    def ask(self, operation: str, *values: Any) -> Any:
        """What the other side answers, or raises."""

    def special(self, instance: Any, name: str, *args: Any) -> Any:
        """A special method of an instance over there."""

    def is_shared(self, value: object) -> bool:
        """Whether both sides have this class."""

    def fail(self, why: str) -> NoReturn:
        """The running test has failed."""


class Class(type):
    """The class of classes that live over there."""

    _remote_host: Asker

    @classmethod
    def make(mcs, host: Asker, name: str, bases: tuple[type, ...], special: frozenset[str]) -> type:
        body: dict[str, Any] = {"__slots__": ()}
        for method in (m for m in _ASKED if m in special):
            body[method] = _asked(host, method)
        for method in (m for m in _ARITHMETIC if m in special):
            body[method] = _arithmetic(host, method)
        for method in (m for m in _JUDGING if m in special):
            body[method] = _judging(host, method)
        if "__contains__" in special:
            body["__contains__"] = _contains(host)
        if "__eq__" in special:
            body["__hash__"] = _judging(host, "__hash__")
        cls = type.__new__(mcs, name, bases, body)
        type.__setattr__(cls, "_remote_host", host)
        return cls

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        if bases:
            host = next(b.__dict__["_remote_host"] for b in bases if "_remote_host" in b.__dict__)
            host.fail(f"the tests derive a class from {bases[0].__name__}")
        return type.__new__(mcs, name, bases, body)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._remote_host.ask("call", cls, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        return _host_of(cls).ask("get", cls, _public(name))

    def __setattr__(cls, name: str, value: Any) -> None:
        _host_of(cls).ask("set", cls, _public(name), value)


class Remote(metaclass=Class):
    """An instance that lives over there."""

    __slots__ = ("__weakref__", "_remote_number")

    def __getattr__(self, name: str) -> Any:
        host = _host_of(type(self))
        if name in _VERDICTS:
            host.fail(f"{name} is left to an instance of the module's own class")
        return host.ask("get", self, _public(name))

    def __setattr__(self, name: str, value: Any) -> None:
        _host_of(type(self)).ask("set", self, _public(name), value)

    def __delattr__(self, name: str) -> None:
        _host_of(type(self)).ask("delete", self, _public(name))

    def __eq__(self, other: object) -> bool:
        return self is other or _unequal(self, other)

    def __ne__(self, other: object) -> bool:
        return not self.__eq__(other)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __copy__(self) -> NoReturn:
        _host_of(type(self)).fail("the tests copy an instance of the module's")

    def __deepcopy__(self, memo: object) -> NoReturn:
        _host_of(type(self)).fail("the tests copy an instance of the module's")


def _unequal(instance: Remote, other: object) -> bool:
    if other is None:
        return False
    _host_of(type(instance)).fail("a comparison is left to an instance of the module's own class")


def _host_of(cls: type) -> Asker:
    host: Asker = type.__getattribute__(cls, "_remote_host")
    return host


def _public(name: str) -> str:
    if name.startswith("__") and name not in _NAMES_GIVEN:
        raise AttributeError(name)
    return name


def _asked(host: Asker, method: str) -> Any:
    if method == "__call__":

        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return host.ask("call", self, args, kwargs)

        return call

    if method == "__exit__":

        def leave(self: Any, kind: type | None, *_: object) -> Any:
            # The exception itself stays here; its nearest class that both sides have goes along.
            known = next(filter(host.is_shared, kind.__mro__)) if kind else None
            return host.special(self, method, known, None, None)

        return leave

    def ask(self: Any, /, *args: Any) -> Any:
        return host.special(self, method, *args)

    return ask


def _arithmetic(host: Asker, method: str) -> Any:
    def compute(self: Any, /, *args: Any) -> Any:
        result = host.special(self, method, *args)
        if result is not NotImplemented and not isinstance(result, Remote):
            host.fail("arithmetic with an instance of the module's own class gives a plain value")
        return result

    return compute


def _judging(host: Asker, method: str) -> Any:
    def judge(self: Any, /, *args: Any) -> NoReturn:
        host.fail(f"{method} is left to an instance of the module's own class")

    return judge


def _contains(host: Asker) -> Any:
    def contains(self: Any, item: Any, /) -> bool:
        found = host.special(self, "__contains__", item)
        if type(found) is not bool:
            host.fail("`in` gives no truth value")
        if found and host.special(self, "__contains__", _unlikely(item)) is not False:
            host.fail("an instance of the module's own class holds whatever it is asked for")
        return found

    return contains


def _unlikely(item: object) -> object:
    """A value like this one that nobody can have put anywhere."""
    number = secrets.randbits(120) | 1 << 120
    if type(item) is int:
        return item + number
    if type(item) is float:
        return item + number / 2**60
    if type(item) is tuple:
        return tuple(_unlikely(part) for part in item) or (number,)
    length = max(8, len(item)) if type(item) is str else 24
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(length))


class Module(types.ModuleType):
    """The module under test, as the tests see it."""

    def __init__(self, name: str, host: Asker, public: list[str]) -> None:
        super().__init__(name)
        self.__dict__["__all__"] = public
        self.__dict__["_remote_host"] = host

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._remote_host.ask("global", name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            self._remote_host.ask("set_global", name, value)
