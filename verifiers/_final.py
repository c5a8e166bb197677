r"""Finds the final answer in a completion. Reads text, never evaluates it.

In order: the boxes (`\boxed{...}`) of the final part; else what follows "answer is", "answer:" or
"####" on its line; else the whole final part where it is one short line. The final part is what
follows the last `</think>`. Every pass over the text is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from factory.types import Completion

MAX_ANSWER = 4096
"""Longest answer that is read at all."""
MAX_LINE = 200
"""Longest bare line that is taken for an answer."""

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])[ \t]*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_CUE = re.compile(
    r"####|\b(?:answers?|option|choice)\b(?:\*\*)?[ \t]*(?:(?:is|are)\b[ \t]*:?|[:=])(?:\*\*)?",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:actually|wait|correction|instead|mistake|sorry|oops|second thought|however|rather"
    r"|incorrect|wrong|should be|recheck|re-check|let me(?! know)|hmm|not sure|but)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\bnot|n't|\bnever|\bwrong:?)[ \t]*(?:be|equal to)?[ \t$*]*$", re.IGNORECASE
)
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
    """Why the answer does not count although it can be read: it is taken back, or denied."""


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
    stated = _stated(text)
    if not stated and "\n" not in text.strip() and len(text.strip()) <= MAX_LINE:
        stated = [bare(text)]
    return _final(stated, boxed=False)


def _from_boxes(text: str, boxes: list[_Box]) -> Final:
    final = _final([box.content for box in boxes], boxed=True)
    if final.problem:
        return final
    given = {squeeze(box.content) for box in boxes}
    tail = text[boxes[-1].end :]
    restated = [s for s in _stated(tail) if squeeze(s) not in given]
    doubt = ""
    if restated:
        doubt = f"another answer is stated after the box: {restated[-1][:80]!r}"
    elif _TAKEN_BACK.search(tail):
        doubt = "the answer is put in doubt after the box"
    elif any(_DENIED.search(text[max(0, box.start - 40) : box.start]) for box in boxes):
        doubt = "the box is denied"
    return Final(answers=final.answers, boxed=True, doubt=doubt)


def _final(found: list[str], boxed: bool) -> Final:
    if not any(f.strip() for f in found):
        return Final(problem="an empty box" if found and boxed else "no answer")
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
    while match := _BOX.match(content.strip()):
        content = content.strip()
        if content[match.end() : match.end() + 1] != "{":
            break
        if _closing(content, match.end()) != len(content) - 1:
            break
        content = content[match.end() + 1 : -1]
    return content


def _stated(text: str) -> list[str]:
    """What follows each "answer is" on its line."""
    found = []
    for match in _CUE.finditer(text):
        end = text.find("\n", match.end())
        line = bare(text[match.end() : end if end >= 0 else len(text)][: MAX_ANSWER + 1])
        if line:
            found.append(line)
    return found


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
    """Without any white space: the key by which answers count as the same."""
    return "".join(text.split())
