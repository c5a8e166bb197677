"""Texts that are nearly another one, for `perturb`: typing errors, look-alikes, additions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

_LOOK_ALIKE = dict(
    zip(
        "aceiopsxyABCEHIKMOPTX0123456789",
        "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443"
        "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0422\u0425"
        "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
        strict=True,
    )
)
_PLACES = 12
"""In how many places of a long text something is changed."""


def edits(text: str) -> Iterator[str]:
    """Distinct texts that differ from this one in more than white space and case; at least 20."""
    seen = {_key(text)}
    for other in _interleaved(text):
        if _key(other) not in seen:
            seen.add(_key(other))
            yield other


def _key(text: str) -> str:
    return "".join(text.split()).casefold()


def _interleaved(text: str) -> Iterator[str]:
    """One edit of each sort in turn, so that the first few differ in sort."""
    kinds = (_changed(text), _dropped(text), _added(text), _swapped(text), _disguised(text))
    for round_ in itertools.zip_longest(*kinds):
        yield from (other for other in round_ if other is not None)


def _places(text: str) -> list[int]:
    """Places in a text that hold something, from its end."""
    return [at for at in reversed(range(len(text))) if not text[at].isspace()][:_PLACES]


def _changed(text: str) -> Iterator[str]:
    for at in _places(text):
        yield text[:at] + _next(text[at]) + text[at + 1 :]


def _next(char: str) -> str:
    """Another character of the same sort."""
    if char.isdecimal() and char.isascii():
        return str((int(char) + 1) % 10)
    if char.isalpha() and char.isascii():
        return chr(ord(char) + 1) if char not in "zZ" else chr(ord(char) - 1)
    return "#" if char != "#" else "+"


def _dropped(text: str) -> Iterator[str]:
    for at in _places(text) if len(text) > 1 else ():
        yield text[:at] + text[at + 1 :]


def _added(text: str) -> Iterator[str]:
    for extra in ("x", "0", "!", "?", "~", "...", " and more", " or not", f" {text}"):
        yield text + extra
    for extra in ("x", "0", "not ", "-", "~", "no ", "1 ", "? "):
        yield extra + text


def _swapped(text: str) -> Iterator[str]:
    for at in _places(text):
        if at:
            yield text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]


def _disguised(text: str) -> Iterator[str]:
    for at in _places(text):
        if text[at] in _LOOK_ALIKE:
            yield text[:at] + _LOOK_ALIKE[text[at]] + text[at + 1 :]
    middle = len(text) // 2
    for invisible in ("\u200b", "\u2060", "\ufeff", "\u00ad", "\u202e", "\0"):
        yield text[:middle] + invisible + text[middle:]
    for left, right in (("[", "]"), ("<", ">"), ('"', '"'), ("(", ")")):
        yield left + text + right
