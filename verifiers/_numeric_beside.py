r"""What stands beside the answer of a completion and may belong to it: units, digits.

`\boxed{5}\,\text{m}\,\text{s}^{-1}`, "in cm: \boxed{5}" and "\boxed{5} m and 20 cm" are not 5 m.
Whoever reads the box alone, or the box and the first unit behind it, takes them for that.
"""

from __future__ import annotations

import re

from verifiers import _numeric_text, _numeric_units
from verifiers._numeric_units import Unit

_WINDOW = 200
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_TOKEN = re.compile(r"[A-Za-z\u03bc\u03a9\u00c5\u00b0%\u2030]+|[0-9]+")
_IN_A_UNIT = re.compile(r"\bin\s+(\S+)\s*[:=,$(]*\s*(?:is|are|gives)?[\s$]*$", re.IGNORECASE)
_NO_UNITS = frozenset({"in", "In", "IN"})
_POWERS = frozenset({"squared", "cubed", "square", "cubic"})


def doubt(text: str, answer: str, unit: str, bare: Unit | None) -> str:
    """Why what stands beside an answer puts it in doubt; empty if nothing does.

    Args:
        text: what the answer stands in.
        unit: the unit behind its box that was read already.
        bare: what the number was taken to be in, if it has no unit of its own.
    """
    place = _last_place(text, answer)
    if place is None:
        return ""
    start, end = place
    line = text[end : end + _WINDOW].partition("\n")[0]
    behind = _tokens(_SENTENCE_END.split(line, maxsplit=1)[0])
    known = _tokens(unit)
    if behind[: len(known)] == known:
        behind = behind[len(known) :]
    if any(token[0].isdigit() or token in _POWERS or _unit(token) for token in behind):
        return f"more stands behind the answer: {line[:80].strip()!r}"
    if bare is None or bare == _numeric_units.PLAIN:
        return ""
    before = text[max(0, start - _WINDOW) : start].rpartition("\n")[2]
    named = [_unit(token) for token in _tokens(before)]
    if match := _IN_A_UNIT.search(before.removesuffix("\\boxed{").rstrip(" $")):
        named.append(_unit(match[1].strip(":,."), least=1))
    if any(other is not None and other != bare for other in named):
        return f"another unit stands before the answer: {before[-80:].strip()!r}"
    return ""


def _last_place(text: str, answer: str) -> tuple[int, int] | None:
    """Where the answer stands last: in a box if it stands in one, else anywhere."""
    boxed = None
    for boxed in re.finditer(re.escape(answer) + r"\s*\}+", text):  # noqa: B007  # the last one
        pass
    if boxed is not None:
        return boxed.span()
    at = text.rfind(answer)
    return (at, at + len(answer)) if at >= 0 else None


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_numeric_text.plain(text))


def _unit(token: str, least: int = 2) -> Unit | None:
    """The unit that a word names; a single letter may be anything."""
    if len(token) < least or token in _NO_UNITS:
        return None
    try:
        return _numeric_units.parse(token)
    except ValueError:
        return None
