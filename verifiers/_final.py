r"""Finds the final answer in a completion. Reads text, never evaluates it.

In order: the boxes (`\boxed{...}`) of the final part; else what follows "answer is", "answer:" or
"####" on its line; else the whole final part where it is one short line. The final part is what
follows the last `</think>`. What stands around an answer counts as well (`_final_context`): a box
that is denied, taken back or part of a larger formula is in doubt. Every pass is linear.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import NamedTuple

from factory.types import Completion
from verifiers import _final_context

MAX_ANSWER = 4096
"""Longest answer that is read at all."""
MAX_LINE = 200
"""Longest bare line that is taken for an answer."""
_MAX_CONTEXTS = 32
"""Boxes whose surroundings are looked at, from the end."""
_MAX_NESTED = 8
"""Boxes in boxes that are opened."""
_MAX_STATED = 50
"""Stated answers that are read; who states more gives none."""
_BEFORE_BOX = 300
"""How far before the first box a stated answer still competes with it."""

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])[ \t]*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_CUE = re.compile(
    r"####|\b(?:answers?|option|choice)\b(?:\*\*)?[ \t]*(?:(?:is|are)\b[ \t]*:?|[:=])",
    re.IGNORECASE,
)
_LINE_CUE = re.compile(r"(?:^|\n)[#* \t]*(?:final )?answer[*: \t]*\n\s*", re.IGNORECASE)
_WITHIN = re.compile(r"[ *:]*(?:the )?(?:final |correct )?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s+[A-Z(*\\$])|[,;]\s+(?:since|because)\b")
_LOOSE = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
_NUMBER_START = re.compile(r"[\s*$(\\\[{-]*(?:\d|\.\d|frac|dfrac|sqrt|pi\b)")
_BARE_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\\[a-z]?frac[ {}\d-]+)(?:/\d+)?")
_WRAPS = (("**", "**"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("`", "`"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """What a completion gives as its answer."""

    answers: tuple[str, ...] = ()
    """The distinct answers; more than one where several were given."""
    boxed: bool = False
    problem: str = ""
    """Why there is no readable answer, in one line; empty where there is one."""
    doubt: str = ""
    """Why the answer does not count although it can be read: it is taken back, denied, ..."""
    restated: tuple[str, ...] = ()
    """Answers stated outside the boxes, spelled unlike them; they are the doubt, if there is any.
    Who can tell that they are equal may accept the answer none the less."""
    units: tuple[str, ...] = ()
    r"""For each answer the unit that stands behind its box (`\boxed{5} cm`), or nothing."""
    sides: tuple[str, ...] = ()
    r"""What stands left of the equals sign before a box: `2 + 3` in `2 + 3 = \boxed{5}`."""


def final_part(completion: Completion) -> str | None:
    """The text after the reasoning; None where the reasoning never ends."""
    text = completion.text
    if "</think>" in text:
        text = text.rpartition("</think>")[2]
    return None if "<think>" in text else text


def read(completion: Completion, require_box: bool = False) -> Final:
    """The final answer of a completion."""
    text = final_part(completion)
    if text is None:
        return Final(problem="the reasoning never ends: no </think>")
    boxes = _boxes(text)
    if boxes is None:
        return Final(problem="a box is not closed")
    if boxes:
        return _from_boxes(text, boxes)
    if require_box:
        return Final(problem="no box")
    return _unboxed(text)


def _unboxed(text: str) -> Final:
    stated = _stated(text)
    if not stated and (match := _last(_LINE_CUE, text)):
        line = text[match.end() :].partition("\n")[0]
        if 0 < len(line.strip()) <= MAX_LINE:
            stated = [_Stated(bare(line), match.end(), match.end() + len(line))]
    if not stated and "\n" not in text.strip() and len(text.strip()) <= MAX_LINE:
        stated = [_Stated(bare(text), 0, len(text))]
    if len(stated) > _MAX_STATED:
        return Final(problem=f"more than {_MAX_STATED} answers are stated")
    final = _final([s.content for s in stated], boxed=False)
    if not final.problem and _final_context.taken_back(text[stated[-1].end :]):
        return Final(answers=final.answers, doubt="the answer is put in doubt afterwards")
    return final


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007  # the last one is wanted
        pass
    return found


def _from_boxes(text: str, boxes: list[_Box]) -> Final:
    filled = [box for box in boxes if box.content.strip()]
    final = _final([box.content for box in filled], boxed=True)
    if final.problem:
        return final
    around = [_final_context.look(text, box.start, box.end) for box in filled[-_MAX_CONTEXTS:]]
    doubt = next((a.doubt for a in around if a.doubt), "")
    if not doubt and _final_context.taken_back(text[boxes[-1].end :]):
        doubt = "the answer is put in doubt after the box"
    restated = () if doubt else _restated(text, filled)
    if restated:
        doubt = f"another answer is stated outside the box: {restated[-1][:80]!r}"
    units = {
        squeeze(b.content): a.unit for b, a in zip(filled[-_MAX_CONTEXTS:], around, strict=True)
    }
    return Final(
        answers=final.answers,
        boxed=True,
        doubt=doubt,
        restated=restated,
        units=tuple(units.get(squeeze(a), "") for a in final.answers),
        sides=tuple(a.side for a in around if a.side),
    )


def _restated(text: str, boxes: list[_Box]) -> tuple[str, ...]:
    """What is stated as the answer after the last box, or shortly before the first one."""
    given = {squeeze(box.content) for box in boxes}
    start = max(0, boxes[0].start - _BEFORE_BOX)
    before = [
        s.content
        for s in _stated(text[start : boxes[0].end])
        if s.end <= boxes[0].start - start and _NUMBER_START.match(s.content)
    ]
    tail = text[boxes[-1].end :]
    after = [s.content for s in _stated(tail)]
    last = tail.rstrip().rpartition("\n")
    if last[1] and len(last[2]) <= MAX_LINE and _BARE_NUMBER.fullmatch(bare(last[2])):
        after.append(bare(last[2]))
    return tuple(s for s in (*before, *after) if squeeze(s) not in given)


def _final(found: list[str], boxed: bool) -> Final:
    if not any(f.strip() for f in found):
        return Final(problem="an empty box" if boxed else "no answer")
    if max(len(f) for f in found) > MAX_ANSWER:
        return Final(problem=f"the answer is longer than {MAX_ANSWER} characters")
    distinct = {squeeze(f): f.strip() for f in found}
    return Final(answers=tuple(distinct.values()), boxed=boxed)


class _Box(NamedTuple):
    start: int
    content: str
    end: int


def _boxes(text: str) -> list[_Box] | None:
    """All boxes in order; None if one is not closed."""
    found: list[_Box] = []
    at = 0
    while match := _BOX.search(text, at):
        start, at = match.end(), match.end() + 1
        if text[start : start + 1] != "{":
            found.append(_Box(match.start(), text[start:at], at))
            continue
        close = _closing(text, start)
        if close is None:
            return None
        at = close + 1
        found.append(_Box(match.start(), _unnest(text[start + 1 : close]), at))
    return found


def _closing(text: str, start: int) -> int | None:
    """Where the brace that opens at `start` closes; escaped braces do not count."""
    depth = 0
    for match in _BRACE.finditer(text, start):
        if match.group() == "{":
            depth += 1
        elif match.group() == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return None


def _unnest(content: str) -> str:
    r"""`\boxed{5}` inside a box is 5."""
    for _ in range(_MAX_NESTED):
        content = content.strip()
        match = _BOX.match(content)
        if match is None:
            break
        if content[match.end() : match.end() + 1] != "{":
            break
        if _closing(content, match.end()) != len(content) - 1:
            break
        content = content[match.end() + 1 : -1]
    return content


class _Stated(NamedTuple):
    content: str
    start: int
    end: int


def _stated(text: str) -> list[_Stated]:
    """What follows each "answer is" on its line, up to the end of the sentence."""
    found: list[_Stated] = []
    cues = list(itertools.islice(_CUE.finditer(text), _MAX_STATED + 2))
    for match, following in itertools.zip_longest(cues, cues[1:]):
        if following and _WITHIN.fullmatch(text, match.end(), following.start()):
            continue  # "Final answer: the answer is 5" states one answer
        line = text[match.end() : match.end() + MAX_ANSWER + 1].partition("\n")[0]
        line = _sentence(line)
        if line.count("**") % 2:  # one of them belongs to the cue: `**Answer:** 5`, `**Answer: 5**`
            starts = line.lstrip().startswith("**")
            line = line.replace("**", "  ", 1) if starts else "  ".join(line.rsplit("**", 1))
        if len(found) > _MAX_STATED:
            break
        if content := bare(line):
            found.append(_Stated(content, match.start(), match.end() + len(line)))
    return found


def _sentence(line: str) -> str:
    """The line up to its first full stop outside of formulas."""
    for match in _SENTENCE_END.finditer(line):
        if line.count("$", 0, match.start()) % 2 == 0:
            return line[: match.start()]
    return line


def bare(line: str) -> str:
    """A line without the markup around it and without its full stop."""
    line = line.strip()
    while True:
        inner = line
        if inner.endswith(".") and not inner.endswith(".."):
            inner = inner[:-1].rstrip()
        for left, right in _WRAPS:
            if len(inner) >= len(left + right) and inner.startswith(left) and inner.endswith(right):
                middle = inner[len(left) : -len(right)]
                if left not in middle:
                    inner = middle.strip()
                break
        if inner == line:
            return line
        line = inner


def squeeze(text: str) -> str:
    """The key by which answers count as the same: no white space but between words and numbers."""
    return _LOOSE.sub("", " ".join(text.split()))
