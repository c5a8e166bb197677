"""Plain values across a process boundary: exact types, as JSON, nothing ever unpickled.

    None, bool, int, str    as in JSON
    float                   {"f": hexadecimal, or nan, inf, -inf}
    str with surrogates     {"u": hexadecimal of UTF-32}: JSON would join two of them into one
    list                    [...]
    tuple, set, frozenset   {"t": [...]}, {"s": [...]}, {"z": [...]}
    dict                    {"d": [[key, value], ...]} in its order

A subclass is not plain: its methods are the candidate's. This file is self-contained, because it
runs inside the sandbox as well; what comes out of there is decoded as if an enemy had written it.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 64
MAX_NODES = 1_000_000
MAX_BYTES = 4 << 20
_MANY = 1000
_AS_IS = ("utf-32-le", "surrogatepass")
_TAGS: dict[type, str] = {list: "", tuple: "t", set: "s", frozenset: "z"}


class _Budget:
    """Counts nodes, so that neither side builds more than is allowed."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise ValueError("the value is too large or nested too deeply")


def encode(value: Any) -> bytes:
    """Bytes of a plain value.

    Raises:
        ValueError: it is not plain, too large or too deep.
    """
    data = json.dumps(_plain(value, 0, _Budget()), separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        raise ValueError("the value is too large")
    return data


def _plain(value: Any, depth: int, budget: _Budget) -> Any:
    budget.spend(depth)
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is str:
        return value if _is_unicode(value) else {"u": value.encode(*_AS_IS).hex()}
    if kind is float:
        return {"f": value.hex()}
    if kind is dict:
        pairs = [
            [_plain(k, depth + 1, budget), _plain(v, depth + 1, budget)] for k, v in value.items()
        ]
        return {"d": pairs}
    if kind not in _TAGS:
        raise ValueError("not a plain value: " + str(kind.__name__)[:80])
    items = [_plain(item, depth + 1, budget) for item in value]
    return items if kind is list else {_TAGS[kind]: items}


def decode(data: bytes) -> Any:
    """The value that `encode` was given.

    Raises:
        ValueError: these bytes are not an encoded value within the limits.
    """
    if len(data) > MAX_BYTES:
        raise ValueError("the value is too large")
    try:
        return _value(json.loads(data, parse_float=_refuse, parse_constant=_refuse), 0, _Budget())
    except (RecursionError, TypeError, OverflowError) as error:
        raise ValueError("not an encoded value: " + str(error)) from None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(text: str) -> Any:
    raise ValueError("a bare number that is no integer: " + text[:40])


def _value(node: Any, depth: int, budget: _Budget) -> Any:
    budget.spend(depth)
    if node is None or isinstance(node, (bool, int, str)):
        return node
    if isinstance(node, list):
        return [_value(item, depth + 1, budget) for item in node]
    if len(node) != 1:
        raise ValueError("not an encoded value")
    ((tag, body),) = node.items()
    if tag == "f" and isinstance(body, str):
        return float.fromhex(body)
    if tag == "u" and isinstance(body, str):
        return bytes.fromhex(body).decode(*_AS_IS)
    if tag == "d" and isinstance(body, list):
        pairs = [_pair(item) for item in body]
        keys = [_value(key, depth + 1, budget) for key, _ in pairs]
        _scattered(keys)
        return dict(zip(keys, (_value(v, depth + 1, budget) for _, v in pairs), strict=True))
    kind = {"t": tuple, "s": set, "z": frozenset}.get(tag)
    if kind is None or not isinstance(body, list):
        raise ValueError("not an encoded value")
    items = [_value(item, depth + 1, budget) for item in body]
    if kind is not tuple:
        _scattered(items)
    return kind(items)


def _scattered(keys: list[Any]) -> None:
    """Refuse keys that were made to collide: a table of them costs the square of their number."""
    if len(keys) > _MANY and 2 * len({hash(key) for key in keys}) < len(keys):
        raise ValueError("the keys of a set or dict share their hashes")


def _pair(item: Any) -> list[Any]:
    if not isinstance(item, list) or len(item) != 2:
        raise ValueError("not an encoded value")
    return item
