r"""What stands around a box: whether it is the answer, and with which unit.

`\boxed{5}` is 5, but `-\boxed{5}`, `\boxed{5} \times 10^3`, `4 or \boxed{5}` and "it cannot be
\boxed{5}" are not. Only a window around the box is read, so the cost does not depend on the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from verifiers import _units

_WINDOW = 200

_TAKEN_BACK = re.compile(
    r"\b(?:actually|wait|correction|instead|mistake|sorry|oops|second thought|however|rather"
    r"|incorrect|wrong|should be|recheck|re-check|let me(?! know)|hmm|not sure|but"
    r"|true value|(?:real|right|correct|actual) (?:answer|value)|alternatively|apologi[sz]e"
    r"|reconsider)\b|\bit(?:'s| is)\s*[$\\(]*-?\d",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\b(?:not|cannot|never|neither|nor|or|than|minus|negative|except|wrong:?)|n't|\u2260"
    r"|\\neq?|\\lnot|\\neg)"
    r"[ \t]*(?:be|equal(?: to)?|equals)?[ \t$*(]*$",
    re.IGNORECASE,
)
_MISTAKEN = re.compile(
    r"\b(?:wrong|incorrect|mistaken(?:ly)?|erroneous(?:ly)?|tempting|na\u00efve|naive)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:not|never|false|wrong|incorrect|invalid|impossible|contradict\w*|upper bound"
    r"|lower bound)\b|n't\b|\bor\b\s*[$\\\d(\u2212-]"
    r"|\bor (?:so|more|less|fewer|another|maybe)\b|\band an? (?:half|third|quarter|bit)\b"
    r"|\b(?:hence|so|thus|therefore|giving|implying|which (?:gives|means|implies))\b.*="
    r"|^\W*(?:no\b|(?:to|through)\s*[$\\\d\u2212-])",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
# Layout and markup between a box and what is before it; a dollar sign or `\(` opens the formula.
_OPENERS = re.compile(
    r"(?:\s|\$|\\\(|\\\[|\*\*|__|`|\\[,;:! ]|\\(?:displaystyle|textstyle|[lL]arge|LARGE|huge|Huge"
    r"|q?quad|ensuremath|bf|left)(?![A-Za-z]))+$"
)
_MARKER = re.compile(r"[-*+>#\s]+|\d{1,2}[.)]")
_ARROW = re.compile(
    r"\\(?:Rightarrow|Longrightarrow|rightarrow|longrightarrow|implies|therefore|to|iff|approx"
    r"|equiv|Leftrightarrow|because|colon|qquad|quad)$|[=-]>$|[\u21d2\u2192\u2234\u2248]$"
)
_TEXT_END = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}$")
_WRAPPER_END = re.compile(
    r"(?:^|[\s$=]|\\(?:underline|mathbf|boldsymbol|bm|text(?:bf|color\{\w+\})?|color\{\w+\}"
    r"|[lL]arge|LARGE|huge|Huge|displaystyle|ensuremath))\{$"
)
_COMMAND_END = re.compile(r"\\[A-Za-z]+$")
_NOT_EQUAL = re.compile(r"(?:[!<>~]|\\not\s*|\\neq?\s*)=$")
_WORD_END = re.compile(r"[A-Za-z']{2,}[*)\]\"']*$|\ba$|\bI$")
_NAME_END = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?\s*=$")
_CLOSERS = re.compile(r"(?:\s|\$|\\\)|\\\]|\*\*?|__|`|\\[,;:! ]|\\q?quad(?![A-Za-z])|\})*")
_UNIT_MARK = re.compile(r"\\?%|\^?\s*\{?\s*\\(?:circ|degree)(?![A-Za-z])\s*\}?|\u00b0")
_DOLLAR = re.compile(r"\\\$[\s$]*$")
_BASE = re.compile(r"_\s*(?:\{\s*\d{1,2}\s*\}|\d)")
_MODULUS = re.compile(r"\\pmod\s*(?:\{[^{}]*\}|\w)")
_SET = re.compile(r"\\boxed\s*\{.*(?:\\\{|\\cup|\\infty|\\mathbb|\[|\().*\}", re.DOTALL)
_UNIT_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mbox)\s*\{([^{}]*)\}"
    r"(?:\s*\^\s*\{?\s*(\d)\s*\}?)?"
)
_UNIT_WORDS = re.compile(
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s+)?[A-Za-z]+"
    r"(?:\s*(?:/|\bper\b)\s*(?:square\s+|cubic\s+)?[A-Za-z]+)?(?:\^?\{?[23]\}?|[\u00b2\u00b3])?"
)
_PROSE_UNITS = frozenset(["in", "a", "unit", "units", "second", "mole"])
_HARMLESS = re.compile(
    r"\\\\|\\(?:text(?:bf|it|rm|normal)?|mathrm|mbox)\s*\{|\\(?:tag|end|blacksquare|square|Box|qed"
    r"|checkmark|hfill|newline|par|label)(?![A-Za-z])|[&|#\"'\u201d\u2019)\]]"
)
_SEPARATED = re.compile(r"[,;]\s*(?:$|[^\s$\\\d(+\u2212-]|\\(?:text|q?quad|end)(?![A-Za-z]))")
_MATHS = frozenset(
    "+-*/^_=<>~(\u00d7\u00f7\u00b1\u221a\u00b2\u00b3\u2212\u00b7\u2248\u2260\u2264\u2265"
    "\u2192\u21d2\u2194"
)


_BOX_BEFORE = re.compile(r"\\boxed\s*\{.*\}[\s$]*[,;]?\s*(?:and|or)?\s*$")
_BOX_AFTER = re.compile(
    r"[,;]?\s*(?:and|or|\\text\s*\{\s*(?:and|or)\s*\})?[\s$]*\\boxed(?![a-zA-Z])"
)


class Around(NamedTuple):
    """What the surroundings of a box say."""

    doubt: str
    """Why the box is not the answer as it stands; empty where it is."""
    unit: str = ""
    """The unit behind it."""
    side: str = ""
    """What an equals sign before it makes it equal to."""


def taken_back(tail: str) -> bool:
    """Whether what follows an answer puts it in doubt."""
    return _TAKEN_BACK.search(tail) is not None


def look(text: str, start: int, end: int) -> Around:
    """The surroundings of the box from `start` to `end`."""
    before = text[max(0, start - _WINDOW) : start].rpartition("\n")[2]
    after = text[end : end + _WINDOW].partition("\n")[0]
    lead = _OPENERS.sub("", before)
    unit, rest, closed = _unit(after)
    if lead.endswith((r"\in", "\u2208")) and _SET.match(text, start, end):
        lead = ""
    if (dollar := _DOLLAR.search(before)) and not unit:
        lead, unit = _OPENERS.sub("", before[: dollar.start()]), r"\text{ dollars}"
    if _BOX_BEFORE.search(lead):
        lead = before = ""
    if _BOX_AFTER.match(rest):
        rest = ""
    if _DENIED.search(before) or _DENIED.search(_NAME_END.sub("", lead)):
        return Around("the box is denied, or one of several")
    if before.count("$") % 2 and "**" in before[before.rfind("$") :]:
        return Around("the box is part of a formula: a power")
    if _MISTAKEN.search(_SENTENCE.split(before)[-1]):
        return Around("the box is in a sentence about a mistake")
    if not _leads_in(lead, gap=len(lead) < len(before)):
        return Around(f"the box is part of a formula: {before[-40:].strip()!r} before it")
    if not _leads_out(rest, closed):
        return Around(f"the box is part of a formula: {rest[:40].strip()!r} after it")
    if _DENIES.search(_SENTENCE.split(rest, maxsplit=1)[0]):
        return Around("the box is denied in its own sentence, or one of several")
    return Around("", unit, _side(lead))


def _leads_in(lead: str, gap: bool) -> bool:
    """Whether a box may follow this without being part of a formula."""
    if not lead or (_MARKER.fullmatch(lead) and (gap or lead[-1] in ".)>")):
        return True
    if _ARROW.search(lead) or _WRAPPER_END.search(lead):
        return True
    if _COMMAND_END.search(lead):
        return False
    if text := _TEXT_END.search(lead):
        return not _DENIED.search(text[1])
    last = lead[-1]
    if last == "=":
        return not _NOT_EQUAL.search(lead)
    if last == ",":
        return lead[-2:-1].isalpha() or lead[-2:-1] in (")", "*")
    if last == "." and not gap and lead[-2:-1].isdigit():
        return False
    if last in ":.;!?&\"'\u201c":
        return True
    if last == "|":
        return lead.lstrip().startswith("|")
    if last in "-\u2013\u2014(":
        return gap and re.search(r"[A-Za-z]{2,}[*)]*\s+.$", lead) is not None
    if last in ")]" or last.isalpha():
        return gap and (last in ")]" or _WORD_END.search(lead) is not None)
    # Prose in a script without ASCII letters; anything else is an operator, a digit, a brace.
    return gap and not last.isascii() and last not in _MATHS


def _leads_out(rest: str, closed: bool) -> bool:
    """Whether this may follow a box without being part of its formula."""
    rest = rest.lstrip()
    first = rest[:1]
    if first == "'":
        return closed
    if not rest or _HARMLESS.match(rest):
        return True
    if first in ",;":
        return _SEPARATED.match(rest) is not None
    if first in ".:":
        return not rest[1:2].isdigit()
    if first == "!":
        return closed
    if first in "-\u2013\u2014(":
        return closed and (first == "(" or rest[1:2].isspace())
    if first.isalpha():
        return not first.isascii() or re.match(r"[A-Za-z]{2,}|a\b|I\b", rest) is not None
    return not first.isascii() and first not in _MATHS and not first.isnumeric()


def _unit(after: str) -> tuple[str, str, bool]:
    """The unit behind a box, what comes after it, and whether the formula ended before."""
    skipped = _CLOSERS.match(after)
    assert skipped is not None
    closed = any(mark in skipped[0] for mark in ("$", r"\)", r"\]"))
    rest = after[skipped.end() :]
    if match := _UNIT_MARK.match(rest):
        mark = r"\%" if "%" in match[0] else r"^\circ"
        return mark, _past(rest, match.end()), closed
    if (match := _MODULUS.match(rest)) or (match := _BASE.match(rest)):
        return match[0], _past(rest, match.end()), closed
    if match := _UNIT_TEXT.match(rest):
        if _units.is_measure(match[1]):
            power = f"^{match[2]}" if match[2] else ""
            return rf"\text{{ {match[1].strip()}{power}}}", _past(rest, match.end()), closed
    elif skipped[0] or not after:
        match = _UNIT_WORDS.match(rest)
        while match:
            words = match[0].split()
            if words[0].casefold() not in _PROSE_UNITS and _units.is_measure(match[0]):
                return rf"\text{{ {match[0]}}}", _past(rest, match.end()), closed
            shorter = match[0].rpartition("/" if "/" in match[0] else " ")[0].strip()
            match = re.compile(re.escape(shorter)).match(rest) if shorter else None
    return "", rest, closed


def _past(rest: str, end: int) -> str:
    match = _CLOSERS.match(rest, end)
    assert match is not None
    return rest[match.end() :]


def _side(lead: str) -> str:
    """The last thing that an equals sign right before the box says it is."""
    if not lead.endswith("="):
        return ""
    formula = re.split(r"(?<!\\)\$|\\[(\[]|&", lead[:-1])[-1]
    return formula.rpartition("=")[2].strip()
