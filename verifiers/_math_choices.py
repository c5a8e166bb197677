r"""Answers to multiple-choice questions that are judged as maths: `\textbf{(B)}\ 7`, `B`, `7`.

The choices are read from the prompt. A label counts as an answer only where the prompt says what
stands behind it, and a label with another value behind it than the prompt's is no answer.
"""

from __future__ import annotations

import functools
import re
import string
from typing import NamedTuple

from verifiers import _math_text

_MAX_PROMPT = 6000
_MIN_CHOICES = 3
_LABEL = re.compile(
    r"\\(?:text|mathrm)(?:bf|rm|it)?\s*\{\s*\(?\s*([A-J])\s*\)?\s*[.:)]?\s*\}"
    r"|(?<![A-Za-z0-9])\(([A-J])\)|(?:(?<=\n)|(?<=\n )|(?<=\s\s)|^)([A-J])[.):](?=\s)"
)
_GIVEN = re.compile(
    r"(?:\\text\s*\{\s*(?:\(([A-J])\)|([A-J])[.:)])\s*\}|\(([A-J])\)|([A-J])[.):]"
    r"|\\text\s*\{\s*(?:\(([A-J])\)|([A-J])[.:)])\s*(?=[^}\s]))\s*(?P<rest>.*)",
    re.DOTALL,
)
_ALONE = re.compile(r"(?:\\text\s*\{\s*)?\(?\s*([A-J])\s*\)?\s*[.:]?\s*\}?")
_EDGES = " \t\n$,.;~&"


class Labelled(NamedTuple):
    """An answer taken apart."""

    letter: str
    rest: str
    """What stands behind the label; empty where the label is all there is."""


def take_apart(cleaned: str) -> Labelled | None:
    """The label of an answer and what is behind it; None where it has no label."""
    if match := _ALONE.fullmatch(cleaned):
        return Labelled(match[1], "")
    match = _GIVEN.fullmatch(cleaned)
    if match is None:
        return None
    letter = next(g for g in match.groups()[:6] if g)
    rest = match["rest"].strip()
    if cleaned.startswith(r"\text") and rest.count("{") < rest.count("}"):
        rest = rest.removesuffix("}").strip()
    return Labelled(letter, rest) if rest else None


@functools.lru_cache(maxsize=256)
def choices(prompt: str) -> dict[str, str]:
    """The choices that a prompt lists, cleaned, by letter; empty where it lists none."""
    prompt = prompt[-_MAX_PROMPT:]
    labels = [(m, next(g for g in m.groups() if g)) for m in _LABEL.finditer(prompt)]
    # The last run of A, B, C, ... is the list; earlier letters are figures and points.
    starts = [n for n, (_, letter) in enumerate(labels) if letter == "A"]
    if not starts:
        return {}
    run = labels[starts[-1] :]
    while len(run) > 1 and run[-1][1] != string.ascii_uppercase[len(run) - 1]:
        run.pop()
    letters = "".join(letter for _, letter in run)
    if len(run) < _MIN_CHOICES or letters != string.ascii_uppercase[: len(run)]:
        return {}
    found = {}
    for n, (match, letter) in enumerate(run):
        end = run[n + 1][0].start() if n + 1 < len(run) else len(prompt)
        text = prompt[match.end() : end].partition("\n\n")[0]
        text = re.sub(r"\\q?quad|\\hspace\{[^}]*\}|\\\\$|\\ $", " ", text).strip(_EDGES)
        found[letter] = _math_text.clean(text.removeprefix("\\ ").removeprefix("}"))
    texts = [_math_text.key(text) for text in found.values()]
    return found if all(texts) and len(set(texts)) == len(texts) else {}
