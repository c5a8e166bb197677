"""Judges multiple-choice questions."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _final

_LETTER = re.compile(
    r"(?:(?:option|choice)\s*)?(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])(?![A-Za-z0-9']))"
    r"\s*[.:)]?\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|mbox|textnormal)\s*\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The final answer names the right choice, by letter or by its whole text.

    `spec["choices"]` lists the texts in order; the answer is a letter or one of the texts. Two
    different choices in the final answer are never correct.
    """

    version: ClassVar[str] = "2"

    require_box: bool = False
    """Accept an answer in a box alone, not one that is merely stated."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            choices = _choices(problem)
            right = _right(problem, choices)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.read(completion, self.require_box)
        if final.problem:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=final.problem)
        extracted = final.answers[-1]
        if final.doubt:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=final.doubt)
        named = {_named(answer, choices) for answer in final.answers}
        if None in named:
            detail = f"not a choice: {extracted[:80]!r}"
            return Judgement(outcome=Outcome.UNPARSABLE, extracted=extracted, detail=detail)
        letters = ", ".join(sorted(string.ascii_uppercase[n] for n in named if n is not None))
        outcome = Outcome.CORRECT if named == {right} else Outcome.INCORRECT
        return Judgement(outcome=outcome, extracted=letters, detail=f"chose {letters}")

    def reference(self, problem: Problem) -> str:
        letter = string.ascii_uppercase[_right(problem, _choices(problem))]
        return f"The answer is \\boxed{{{letter}}}."

    def perturb(self, problem: Problem) -> Iterator[str]:
        choices = _choices(problem)
        right = _right(problem, choices)
        letters = string.ascii_uppercase[: len(choices)]
        given, others = letters[right], letters[:right] + letters[right + 1 :]
        for content in _other_contents(choices, given, others):
            if _key(content) != _key(choices[right]):
                yield f"The answer is \\boxed{{{content}}}."
        for wrong in others:
            yield f"\\boxed{{{given}}} or \\boxed{{{wrong}}}"
            yield f"I choose \\boxed{{{given}}}. Wait, the answer is {wrong}."
            yield f"<think>\\boxed{{{given}}}</think>\nThe answer is ({wrong})."
        yield "The answer is (" + ") or (".join(letters) + ")."
        yield f"The answer is not \\boxed{{{given}}}."
        yield f"<think>The answer is \\boxed{{{given}}}."


def _other_contents(choices: list[str], given: str, others: str) -> Iterator[str]:
    """What a box with a wrong answer may hold; one may be the text of the right choice."""
    yield from others
    for wrong in others:
        text = choices[string.ascii_uppercase.index(wrong)].strip()
        yield from (f"\\text{{({wrong})}}", f"{wrong}{given}", f"{given}, {wrong}")
        if _key(text):
            yield from (f"{given}. {text}", f"{given} or {text}")
    yield "/".join(sorted(given + others))
    yield from ("", "all of the above", "none of the above", "?", "1", "0", given * 2)
    # Letters that look like Latin ones.
    yield from ("\u0391", "\u0410", "\u0412", "\uff21", "\u24b6", "\U0001d400")


def _choices(problem: Problem) -> list[str]:
    choices = problem.spec.get("choices")
    if not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise ValueError("spec.choices must be a list of strings")
    if not 2 <= len(choices) <= len(string.ascii_uppercase):
        raise ValueError(f"spec.choices must hold 2 to 26 choices, got {len(choices)}")
    keys = [_key(c) for c in choices]
    if len(set(keys)) < len(keys):
        raise ValueError("spec.choices holds the same choice twice")
    return choices


def _right(problem: Problem, choices: list[str]) -> int:
    """Index of the reference: its text first, then its letter."""
    answer = problem.answer or ""
    named = _named(answer, choices)
    if named is None:
        raise ValueError(f"the answer {answer[:80]!r} is neither a letter nor one of the choices")
    return named


def _key(text: str) -> str:
    return " ".join(_TEXT.sub(r"\1", text).split()).casefold().rstrip(".").strip("$ ")


def _named(answer: str, choices: list[str]) -> int | None:
    """Index of the choice an answer names; None if it names none, or two that differ."""
    keys = [_key(c) for c in choices]
    key = _key(_final.bare(answer))
    by_text = keys.index(key) if key in keys else None
    match = _LETTER.fullmatch(_TEXT.sub(r"\1", _final.bare(answer)).strip())
    if match is None:
        return by_text
    letter, rest = match[1] or match[2] or match[3], _key(match[4])
    index = string.ascii_uppercase.index(letter.upper())
    if index >= len(choices) or (rest and rest != keys[index]):
        return by_text
    if by_text is not None and by_text != index:
        return None
    return index
