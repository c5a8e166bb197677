"""Strict JSON, within bounds, and the JSON value that a completion gives as its answer."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from factory.types import Completion
from verifiers import _final

MAX_TEXT = 100_000
"""Longest JSON text, in characters."""
MAX_DEPTH = 32
MAX_VALUES = 10_000
"""Most values in one document, keys included."""
MAX_DIGITS = 300

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n`]*)$", re.MULTILINE)
_STRING = re.compile(r'"(?:[^"\\]+|\\.)*(?:"|\\?\Z)', re.DOTALL)
"""A string, or what was begun as one: each character is looked at once."""


def parse(text: str) -> Any:
    """The value of a JSON text.

    Beyond what JSON asks: no key twice in an object, no lone surrogate, no number that a double
    cannot hold to the digit, and nothing past the bounds of this module.

    Raises:
        ValueError: it is none, in one line.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters")
    _check_bounds(text)
    value = json.loads(
        text,
        object_pairs_hook=_object,
        parse_float=_number,
        parse_int=_integer,
        parse_constant=_constant,
    )
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate") from None
    return value


def _check_bounds(text: str) -> None:
    """Depth and size, before anything recurses into the text."""
    bare = _STRING.sub('"', text)
    if bare.count('"') + bare.count(",") + bare.count("[") + bare.count("{") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    depth = 0
    for bracket in re.findall(r"[\[{}\]]", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.60} stands twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    value = float(digits)
    if abs(value) == float("inf") or Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"a number that a double cannot hold: {digits:.60}")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def key(value: Any) -> Any:
    """What two values have in common exactly if they are equal as JSON: true is not 1, 1 is 1.0."""
    if isinstance(value, dict):
        return "object", frozenset((name, key(member)) for name, member in value.items())
    if isinstance(value, list):
        return "array", tuple(key(member) for member in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", Fraction(str(value))  # by its digits, as it was written
    return type(value).__name__, value


def at(value: Any, pointer: str) -> Any:
    """What stands at a JSON pointer.

    Raises:
        LookupError: nothing does.
    """
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            if not re.fullmatch("0|[1-9][0-9]{0,8}", name):
                raise LookupError(pointer)
            value = value[int(name)]
        elif isinstance(value, dict):
            value = value[name]
        else:
            raise LookupError(pointer)
    return value


def answers(completion: Completion) -> tuple[list[str], str]:
    """The JSON texts a completion gives as its answer, and why they do not count if they do not.

    They stand in the blocks of the final part that are marked `json`, and in unmarked ones: in all
    of those where none is marked, else in those that are JSON. Where there is no block at all, the
    whole final part is the text.

    Raises:
        ValueError: there is none, in one line.
    """
    text = _final.final_part(completion)
    if text is None:
        raise ValueError("the reasoning never ends: no </think>")
    blocks = _blocks(text)
    if not blocks:
        if not text.strip():
            raise ValueError("no answer")
        return [text.strip(" \t\r\n")], ""
    texts = {block: text[block.start : block.end].rpartition("\n")[0] for block in blocks}
    marked = any(block.language == "json" for block in blocks)
    found = [
        content
        for block, content in texts.items()
        if block.language == "json" or (not block.language and (not marked or _is_json(content)))
    ]
    if not found:
        raise ValueError("no block of JSON")
    # What is said after a block counts as it does after a box.
    tail = _final.read(Completion(text="\\boxed{x}" + text[blocks[-1].end :]))
    return found, tail.doubt or tail.problem


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


class _Block(NamedTuple):
    language: str
    start: int
    end: int
    """Of its content and the fence that closes it."""


def _blocks(text: str) -> list[_Block]:
    """The fenced blocks; ValueError where one is not closed."""
    found: list[_Block] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1].startswith(opening[1]) and not fence[2].strip():
            found.append(_Block(opening[2].strip().lower(), opening.end(), fence.end()))
            opening = None
    if opening is not None:
        raise ValueError("a block is not closed")
    return found
