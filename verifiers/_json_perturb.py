"""Wrong answers to a problem of `json_schema`: other values, and texts that are no JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from verifiers import _json_text


def other_values(reference: Any, pointers: tuple[str, ...]) -> Iterator[Any]:
    """Values that differ from the reference where a pointer says; anywhere, if there is none."""
    for pointer in pointers or ("",):
        yield from _changed(reference, pointer.split("/")[1:])
    if not pointers and isinstance(reference, dict):
        for name in reference:
            yield {n: member for n, member in reference.items() if n != name}
            yield from _changed(reference, [name.replace("~", "~0").replace("/", "~1")])
        yield {**reference, "x": None}
    if not pointers and isinstance(reference, list):
        yield from (reference[:-1], [*reference, None], [*reference, *reference])


def _changed(value: Any, path: list[str]) -> Iterator[Any]:
    """The value with something else at the end of the path."""
    if not path:
        wanted = _json_text.key(value)
        yield from (other for other in _others(value) if _json_text.key(other) != wanted)
    elif isinstance(value, list):
        at = int(path[0])
        for member in _changed(value[at], path[1:]):
            yield [*value[:at], member, *value[at + 1 :]]
    else:
        name = path[0].replace("~1", "/").replace("~0", "~")
        for member in _changed(value[name], path[1:]):
            yield {**value, name: member}
        yield {n: member for n, member in value.items() if n != name}


def _others(value: Any) -> Iterator[Any]:
    match value:
        case bool():
            yield from (not value, int(value), str(value).lower())
        case int() | float():
            yield from (value + 1, str(value), -value, value * 10, value == 1, value + 0.5)
        case str():
            yield from (value + "x", value[:-1], value + "\n", value.swapcase(), f" {value}")
        case list():
            yield from (value[::-1], value[:-1], [*value, None], [value])
        case dict():
            yield from ({**value, "x": 0}, [value], dict(list(value.items())[1:]))
    yield from ([value], {"answer": value}, json.dumps(value), None, True, 1, 0, "", [], {})


def broken_texts(reference: Any) -> Iterator[str]:
    """Completions that hold no one JSON value, though the reference stands in most of them."""
    text = json.dumps(reference, ensure_ascii=False)
    for wrong in (f"[{text}", f"{text}]", f"{text},", f"{text} {text}", f"{text}//", f"({text})"):
        yield f"```json\n{wrong}\n```"
    for name in ("NaN", "Infinity", "-Infinity", "undefined", "None", "True", "'a'", "01", "+1"):
        yield f"```json\n{name}\n```"
    for name in ("1e999", "0x10", "1.", ".5", '{"a":1,"a":1}', "[1,]", '"\\ud800"', '"a', "{a:1}"):
        yield f"```json\n{name}\n```"
    yield f"```json\n{text}\n```\n```json\n{json.dumps([reference])}\n```"
    yield f"```json\n{json.dumps([reference])}\n```\n```json\n{text}\n```"
    yield f"```json\n{text}\n```\nWait, that is wrong."
    yield f"```json\n{text}"
    yield f"```python\n{text}\n```"
    yield f"The value is {text}, I think."
    yield f"<think>\n```json\n{text}\n```\n</think>\nI do not know."
    yield f"<think>\n```json\n{text}\n```"
