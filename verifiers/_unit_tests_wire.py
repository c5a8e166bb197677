"""What passes between the tests and the module they test, which are in two processes.

Frames on a stream: four bytes of length, then JSON. A value is written by its exact type; what is
no plain value is written by its owner (`Owner`) as a reference that gives the other side nothing
but its number. Containers that can change live on both sides: a message carries those that are new
or have changed since the last one, and the receiver changes its own in place. So a list that a
function sorts in place is sorted for the caller, one that is returned twice is the same object
twice, and a copy is a copy.

Both sides use this file; the tests' side trusts nothing that it reads. Size and depth are bounded,
no name is looked up outside of `KNOWN`, nothing is evaluated.
"""

from __future__ import annotations

import builtins
import collections
import dataclasses
import datetime
import decimal
import fractions
import json
import math
import os
import queue
import re
import select
import sys
import time
from typing import Any, Protocol

MAX_FRAME = 8 << 20
MAX_DEPTH = 100
_EXACT = 1 << 53
"""Larger whole numbers are written in hexadecimal: reading them takes linear time."""


class Broken(Exception):
    """The other side does not keep to the protocol, or is gone."""


class Unsendable(Exception):
    """A value that has no written form."""


KNOWN: dict[str, Any] = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type)
    and not (issubclass(value, BaseException) and not issubclass(value, Exception))
}
"""What is the same on both sides, by name: built-in types, and exceptions of the library."""
KNOWN |= {
    "SystemExit": SystemExit,
    "NotImplemented": NotImplemented,
    "Ellipsis": Ellipsis,
    "json.JSONDecodeError": json.JSONDecodeError,
    "decimal.InvalidOperation": decimal.InvalidOperation,
    "decimal.DivisionByZero": decimal.DivisionByZero,
    "queue.Empty": queue.Empty,
    "queue.Full": queue.Full,
    "re.error": re.error,
    "dataclasses.FrozenInstanceError": dataclasses.FrozenInstanceError,
    "decimal.Decimal": decimal.Decimal,
    "fractions.Fraction": fractions.Fraction,
    "collections.deque": collections.deque,
    "collections.Counter": collections.Counter,
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": collections.defaultdict,
    "datetime.date": datetime.date,
    "datetime.datetime": datetime.datetime,
    "datetime.time": datetime.time,
    "datetime.timedelta": datetime.timedelta,
}
_NAMES = {id(value): name for name, value in KNOWN.items()}

_CONTAINERS: dict[str, Any] = {
    "list": list,
    "set": set,
    "dict": dict,
    "bytearray": bytearray,
    "deque": collections.deque,
    "odict": collections.OrderedDict,
    "counter": collections.Counter,
    "ddict": collections.defaultdict,
}
_KINDS: dict[type, str] = {value: name for name, value in _CONTAINERS.items()}


class Owner(Protocol):
    """Who writes and reads what is no plain value."""

    def refer(self, value: Any) -> dict[str, Any]:
        """A reference to a value.

        Raises:
            Unsendable: it stays here.
        """

    def resolve(self, reference: dict[str, Any]) -> Any:
        """What a reference stands for.

        Raises:
            Broken: nothing.
        """


class Stream:
    """Frames on a descriptor, read and written without socket calls: a sandbox may deny those."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._until = math.inf
        os.set_blocking(descriptor, False)

    def allow(self, seconds: float) -> None:
        """From now on, so long for all that is sent and received; then TimeoutError."""
        self._until = time.monotonic() + seconds

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message, allow_nan=False).encode()
        if len(body) > MAX_FRAME:
            raise Unsendable("a value is too large to be sent")
        rest = memoryview(len(body).to_bytes(4, "big") + body)
        while rest:
            self._wait(select.POLLOUT)
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Broken(f"gone: {type(error).__name__}") from None

    def receive(self) -> dict[str, Any]:
        size = int.from_bytes(self._exactly(4), "big")
        if size > MAX_FRAME:
            raise Broken("a message is too large")
        try:
            message = json.loads(self._exactly(size), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise Broken("a message is not JSON") from None
        if type(message) is not dict:
            raise Broken("a message is no object")
        return message

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait(select.POLLIN)
            try:
                part = os.read(self._descriptor, min(size - len(data), 1 << 16))
            except BlockingIOError:
                continue
            except OSError as error:
                raise Broken(f"gone: {type(error).__name__}") from None
            if not part:
                raise Broken("gone")
            data += part
        return bytes(data)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._descriptor, event)
        left = self._until - time.monotonic()
        if left <= 0 or not poll.poll(None if left == math.inf else left * 1000):
            raise TimeoutError


class Heap:
    """The values of one side, and the containers that both sides have."""

    def __init__(self, owner: Owner, first: int) -> None:
        self._owner = owner
        self._next, self._parity = first, first % 2
        """The sides number their own containers alternately."""
        self.touched = False
        """Whether the other side has changed a container of this one."""
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._known: dict[int, Any] = {}
        """What the other side knows of each container's content."""

    def pack(self, message: dict[str, Any], *values: Any) -> dict[str, Any]:
        """A message with these values, and all that has changed.

        Raises:
            Unsendable: a value stays here; nothing has changed then.
        """
        had = set(self._objects)
        try:
            message["values"] = [self._encode(value, 0) for value in values]
            message["heap"] = self._changes()
        except Unsendable:
            self.forget([number for number in self._objects if number not in had])
            raise
        return message

    def unpack(self, message: dict[str, Any]) -> list[Any]:
        """The values of a message, after the changes that came with it."""
        changes, values = message.get("heap"), message.get("values")
        if type(changes) is not list or type(values) is not list:
            raise Broken("a message without values")
        try:
            self._apply(changes)
            return [self._decode(value, 0) for value in values]
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError):
            raise Broken("a value cannot be read") from None

    def forget_unused(self) -> list[int]:
        """Drop the containers that nothing on this side holds any more, and say which.

        Those that have changed stay until the other side has been told.
        """
        unused = []
        for number in list(self._objects):
            # Held by the table, by this name and by the call itself.
            held = self._objects[number]
            if sys.getrefcount(held) <= 3 and not self._changed(number, held):
                unused.append(number)
            del held
        self.forget(unused)
        return unused

    def forget(self, numbers: list[int]) -> None:
        """Drop containers by number."""
        for number in numbers:
            if number in self._objects:
                del self._numbers[id(self._objects.pop(number))]
                self._known.pop(number, None)

    def _changes(self) -> list[Any]:
        changes: dict[int, list[Any]] = {}
        done = 0
        while done < len(self._objects):
            # Writing a container may bring others in.
            for number in list(self._objects)[done:]:
                content = self._content(self._objects[number])
                if self._known.get(number) != content:
                    changes[number] = content
                done += 1
        self._known |= changes
        return [[number, *content] for number, content in changes.items()]

    def _changed(self, number: int, value: Any) -> bool:
        try:
            return bool(self._content(value) != self._known.get(number))
        except Unsendable:
            return True

    def _apply(self, changes: list[Any]) -> None:
        for change in changes:
            number, kind = change[0], change[1]
            if type(number) is not int or kind not in _CONTAINERS or len(change) != 3:
                raise Broken("a container cannot be read")
            if number not in self._objects:
                own = {"maxlen": change[2][0]} if kind == "deque" else {}
                self._register(number, _CONTAINERS[kind](**own))
            elif type(self._objects[number]) is not _CONTAINERS[kind]:
                raise Broken("a container has changed its type")
            self.touched |= number % 2 == self._parity
        for number, kind, content in changes:
            self._fill(self._objects[number], kind, content)
        for number, _, _ in changes:
            self._known[number] = self._content(self._objects[number])

    def _register(self, number: int, value: Any) -> None:
        self._objects[number] = value
        self._numbers[id(value)] = number

    def _content(self, value: Any) -> list[Any]:
        """A container's kind and what it holds, members by reference."""
        kind = _KINDS[type(value)]
        if kind == "bytearray":
            return [kind, value.hex()]
        if kind in ("list", "set"):
            return [kind, [self._encode(item, 1) for item in value]]
        if kind == "deque":
            return [kind, [value.maxlen, [self._encode(item, 1) for item in value]]]
        pairs = [[self._encode(k, 1), self._encode(v, 1)] for k, v in value.items()]
        if kind == "ddict":
            return [kind, [self._encode(value.default_factory, 1), pairs]]
        return [kind, pairs]

    def _fill(self, value: Any, kind: str, content: Any) -> None:
        if kind == "bytearray":
            value[:] = bytes.fromhex(content)
        elif kind == "list":
            value[:] = [self._decode(item, 1) for item in content]
        elif kind == "deque":
            value.clear()
            value.extend(self._decode(item, 1) for item in content[1])
        elif kind == "set":
            items = [self._decode(item, 1) for item in content]
            value.clear()
            value.update(items)
        else:
            if kind == "ddict":
                value.default_factory = self._decode(content[0], 1)
                content = content[1]
            pairs = [(self._decode(k, 1), self._decode(v, 1)) for k, v in content]
            value.clear()
            for key, item in pairs:
                value[key] = item

    def _encode(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Unsendable("a value is nested too deeply")
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if -_EXACT < value < _EXACT else {"i": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"f": repr(value)}
        if kind in _KINDS:
            if id(value) not in self._numbers:
                self._register(self._next, value)
                self._next += 2
            return {"h": self._numbers[id(value)]}
        if kind in (tuple, frozenset):
            return {kind.__name__[0]: [self._encode(item, depth + 1) for item in value]}
        if kind in _WRITERS:
            tag, write = _WRITERS[kind]
            return {tag: write(value)}
        if id(value) in _NAMES:
            return {"n": _NAMES[id(value)]}
        return self._owner.refer(value)

    def _decode(self, written: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Broken("a value is nested too deeply")
        kind = type(written)
        if written is None or kind in (bool, str, int, float):
            return written
        if kind is not dict or not written:
            raise Broken("a value cannot be read")
        tag = next(iter(written))
        content = written[tag]
        if tag == "h":
            return self._objects[content]
        if tag in ("t", "f") and type(content) is list:
            items = [self._decode(item, depth + 1) for item in content]
            return tuple(items) if tag == "t" else frozenset(items)
        if tag in _READERS:
            return _READERS[tag](content)
        return self._owner.resolve(written)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _float(text: str) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text]


def _complex(parts: list[str]) -> complex:
    return complex(float(parts[0]), float(parts[1]))


def _decimal(text: str) -> decimal.Decimal:
    if len(text) > 10_000:
        raise ValueError("too long")
    return decimal.Decimal(text)


_WRITERS: dict[type, tuple[str, Any]] = {
    bytes: ("b", bytes.hex),
    complex: ("z", lambda value: [repr(value.real), repr(value.imag)]),
    range: ("r", lambda value: [hex(n) for n in (value.start, value.stop, value.step)]),
    decimal.Decimal: ("d", str),
    fractions.Fraction: ("q", lambda value: [hex(value.numerator), hex(value.denominator)]),
    datetime.date: ("date", datetime.date.isoformat),
    datetime.datetime: ("datetime", datetime.datetime.isoformat),
    datetime.time: ("time", datetime.time.isoformat),
    datetime.timedelta: ("delta", lambda value: [value.days, value.seconds, value.microseconds]),
}
_READERS: dict[str, Any] = {
    "i": lambda text: int(text, 16),
    "f": _float,
    "b": bytes.fromhex,
    "z": _complex,
    "r": lambda parts: range(*(int(part, 16) for part in parts)),
    "d": _decimal,
    "q": lambda parts: fractions.Fraction(*(int(part, 16) for part in parts)),
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "time": datetime.time.fromisoformat,
    "delta": lambda parts: datetime.timedelta(*parts),
    "n": KNOWN.__getitem__,
}


def known_name(value: object) -> str | None:
    """The name by which the other side knows this very thing as well."""
    return _NAMES.get(id(value))
