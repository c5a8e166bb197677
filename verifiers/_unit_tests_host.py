"""The tests' end of the channel to the module they test.

A test in which the other side hangs, ends, breaks the protocol or is asked to judge has failed,
whatever the test does about it: an exception that a test expects is one that the module raised.
"""

from __future__ import annotations

import builtins
import collections
import sys
import threading
import types
import unittest.mock
import weakref
from typing import Any, NoReturn

from verifiers import _unit_tests_proxy as proxy
from verifiers import _unit_tests_wire as wire

_LIBRARY = {"builtins": "builtins.", "math": "math.", "_operator": "operator."}


class Refused(Exception):
    """The tests ask what the module under test must not decide, or cannot be asked."""


class Host:
    """The tests' end of the channel."""

    def __init__(self, channel: int, test_module: str) -> None:
        self._stream = wire.Stream(channel)
        self._heap = wire.Heap(self, first=0)
        self._classes: dict[Any, type] = {}
        self._instances: weakref.WeakValueDictionary[int, proxy.Remote] = (
            weakref.WeakValueDictionary()
        )
        self._callables: list[Any] = [lambda prompt="": builtins.input(prompt)]
        self._test_module = test_module
        self._lock = threading.RLock()  # the tests may have threads
        self.fault = ""
        """What the running test has failed by, whatever it does about it."""
        self.gone = ""
        """Why the other side can be asked nothing more."""
        self.never_met = False
        """Whether it hung up before it said a word."""

    def touched(self) -> bool:
        """Whether the module has changed a container of the tests' since this was last asked."""
        touched, self._heap.touched = self._heap.touched, False
        return touched

    def allow(self, seconds: float) -> None:
        """From now on, so long for all answers together."""
        self._stream.allow(seconds)

    def fail(self, why: str) -> NoReturn:
        """The running test has failed."""
        raise self.failed(why)

    def failed(self, why: str) -> Refused:
        """As `fail`, with the exception to be raised."""
        self.fault = self.fault or why
        return Refused(why)

    def hello(self) -> None:
        """Wait until the module has been imported.

        Raises:
            ImportError: it cannot be.
        """
        try:
            self._answer()
        except BaseException as error:
            self.never_met = isinstance(error, Refused) and "gone" in self.gone
            what = f"{type(error).__name__}: {error}"[:200]
            self.gone = self.gone or f"the module cannot be imported: {what}"
            self.fault = self.gone
            raise ImportError(self.gone) from None

    def ask(self, operation: str, *values: Any) -> Any:
        """What the other side answers, or raises."""
        if self.gone:
            self.fail(self.gone)
        with self._lock:
            return self._asked(operation, *values)

    def _asked(self, operation: str, *values: Any) -> Any:
        self._tell({"op": operation, "drop": self._heap.forget_unused()}, *values)
        try:
            return self._answer()
        except StopIteration:
            if operation != "__next__":
                # It would end a loop of the tests' early, without a word.
                self.fail("the module raised StopIteration where nothing is iterated")
            raise

    def special(self, instance: Any, name: str, *args: Any) -> Any:
        """A special method of an instance over there."""
        return self.ask(name, instance, args, {})

    def is_shared(self, value: object) -> bool:
        """Whether both sides have this class."""
        return wire.known_name(value) is not None or value in self._classes.values()

    # --- what is no plain value ------------------------------------------------------------------

    def refer(self, value: Any) -> dict[str, Any]:
        if isinstance(value, proxy.Remote):
            return {"o": object.__getattribute__(value, "_remote_number")}
        for number, cls in self._classes.items():
            if cls is value and type(number) is int:
                return {"k": number}
        module = getattr(value, "__module__", None)
        if isinstance(value, types.BuiltinFunctionType):
            own = value.__self__
            if type(own) in (list, set, dict, collections.deque):
                return self._lend(value)
            if isinstance(own, types.ModuleType) and own.__name__ in _LIBRARY:
                return {"u": _LIBRARY[own.__name__] + value.__name__}
        if isinstance(value, unittest.mock.NonCallableMock) and callable(value):
            return self._lend(value)
        if (
            isinstance(value, (types.FunctionType, types.MethodType))
            and module == self._test_module
        ):
            return self._lend(value)
        raise wire.Unsendable(type(value).__name__)

    def resolve(self, reference: dict[str, Any]) -> Any:
        if "c" in reference:
            return self._lent(reference["c"])
        number, cls = reference.get("o"), self._classes.get(reference.get("k"))
        if cls is None:
            raise wire.Broken("no such class")
        if number is None:
            return cls
        if type(number) is not int or not issubclass(cls, proxy.Remote):
            raise wire.Broken("no such instance")
        known = self._instances.get(number)
        if known is None or type(known) is not cls:
            known = object.__new__(cls)
            object.__setattr__(known, "_remote_number", number)
            self._instances[number] = known
        return known

    def _lend(self, value: Any) -> dict[str, Any]:
        for number, lent in enumerate(self._callables):
            if lent is value:
                return {"c": number}
        self._callables.append(value)
        return {"c": len(self._callables) - 1}

    def _lent(self, number: object) -> Any:
        if type(number) is not int or not 0 <= number < len(self._callables):
            raise wire.Broken("no such callable")
        return self._callables[number]

    def _learn(self, classes: object) -> None:
        """New classes of the other side, as classes of ours with the same bases."""
        if type(classes) is not list:
            raise wire.Broken("classes cannot be read")
        for number, name, bases, special in classes:
            texts = [name, *special]
            if type(number) is not int or number in self._classes or type(bases) is not list:
                raise wire.Broken("a class cannot be read")
            known = all(type(base) in (int, str) for base in bases)
            if not known or not all(type(text) is str for text in texts) or len(name) > 200:
                raise wire.Broken("a class cannot be read")
            self._classes[number] = self._made(name, bases, frozenset(special))

    def _made(self, name: str, bases: list[Any], special: frozenset[str]) -> type:
        ours = [self._classes[b] for b in bases if type(b) is int and b in self._classes]
        known = [wire.KNOWN[b] for b in bases if type(b) is str and b in wire.KNOWN]
        raised = next(
            (k for k in known if isinstance(k, type) and issubclass(k, BaseException)), None
        )
        if raised is not None:
            # One base each: an exception that is everything at once is only its nearest.
            base = next((cls for cls in ours if issubclass(cls, BaseException)), raised)
            return type(name, (base,), {"__str__": _told_text})
        bases_here = tuple(_minimal([cls for cls in ours if issubclass(cls, proxy.Remote)])) or (
            proxy.Remote,
        )
        return proxy.Class.make(self, name, bases_here, special)

    # --- messages --------------------------------------------------------------------------------

    def _tell(self, message: dict[str, Any], *values: Any) -> None:
        try:
            packed = self._heap.pack(message, *values)
            self._stream.send(packed)
        except wire.Unsendable as error:
            self.fail(f"the tests send what cannot be sent: {error}")
        except TimeoutError:
            self._lose("no answer in time")
        except Exception as error:  # whatever it is, the module did not raise it
            self._lose(f"the module cannot be asked: {_told(error)}")

    def _answer(self) -> Any:
        while True:
            try:
                operation, values = self._received()
            except TimeoutError:
                self._lose("no answer in time")
            except Exception as error:  # whatever it is, the module did not raise it
                self._lose(f"the module is gone, or breaks the protocol: {_told(error)}")
            if operation == "ok":
                return values[0]
            if operation == "raised":
                raise values[0] or self.failed(f"the module raised {values[1]}")
            self._serve(*values)

    def _received(self) -> tuple[str, list[Any]]:
        """The next message: an answer, an exception as it is to be raised, or a call."""
        message = self._stream.receive()
        self._learn(message["classes"])
        values = self._heap.unpack(message)
        operation, printed = message["op"], message["printed"]
        shapes = {"ok": 1, "raised": 4, "call": 2}
        if type(printed) is not str or shapes.get(operation) != len(values):
            raise wire.Broken("a message cannot be read")
        if operation == "raised":
            values = [_exception(*values), getattr(values[0], "__name__", "nothing")]
        if operation == "call":
            values = [self._lent(message["number"]), *values]
            if type(values[1]) is not tuple or type(values[2]) is not dict:
                raise wire.Broken("a call cannot be read")
        sys.stdout.write(printed)
        return operation, values

    def _serve(self, lent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call something of the tests' for the other side."""
        try:
            result = lent(*args, **kwargs)
        except Exception as error:
            if self.fault:
                raise
            cls = next(filter(self.is_shared, type(error).__mro__))
            told = tuple(a if type(a) in (bool, int, float, str) else str(a) for a in error.args)
            self._tell({"op": "raised", "drop": []}, cls, told)
        except BaseException as error:
            self.fault = self.fault or f"the tests ended in a call: {type(error).__name__}"
            raise
        else:
            self._tell({"op": "ok", "drop": []}, result)

    def _lose(self, why: str) -> NoReturn:
        self.gone = self.gone or why
        self.fail(self.gone)


def _exception(cls: object, args: object, text: object, told: object) -> BaseException | None:
    """What the module raised, as the same class here; None where a test may not even expect it."""
    if type(args) is not tuple or type(text) is not str or type(told) is not dict:
        raise wire.Broken("an exception cannot be read")
    if not (isinstance(cls, type) and issubclass(cls, (Exception, SystemExit))):
        return None
    if wire.known_name(cls) is None:
        error = cls.__new__(cls, *args)
        error.args = args
        error.__dict__.update({k: v for k, v in told.items() if type(k) is str})
        error.__dict__["_told_text"] = text
        return error
    try:
        return cls(*args)
    except Exception:  # one of those that want arguments of their own
        return cls.__new__(cls, *args)


def _told(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {error}"[:200] if type(error) is not wire.Broken else str(error)
    )


def _told_text(error: BaseException) -> str:
    text: str = error.__dict__.get("_told_text", "")
    return text if "_told_text" in error.__dict__ else Exception.__str__(error)


def _minimal(classes: list[type]) -> list[type]:
    """The classes of which no other one in the list is a subclass."""
    return [c for c in classes if not any(o is not c and issubclass(o, c) for o in classes)]
