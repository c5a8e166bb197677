"""Judges mathematical answers: numbers, expressions, lists, intervals, equations, words."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import (
    _final,
    _math_choices,
    _math_compare,
    _math_forms,
    _math_perturb,
    _math_question,
    _math_symbolic,
    _math_text,
)
from verifiers._math_asked import Asked
from verifiers._math_form import Form
from verifiers._math_leaves import TEXT
from verifiers._math_tree import symbols
from verifiers._math_value import Match

_PLAIN_DIGITS = 30
_NO_ANSWER = re.compile(
    r"(?:the )?(?:proofs?|not ?found|to prove|n/a|null|tb[da]|todo|no answer|omitted"
    r"|not (?:available|applicable|given)"
    r"|(?:see|refer to) (?:the )?(?:above|below|proofs?|solutions?|explanations?|text))",
    re.IGNORECASE,
)
"""What sets of problems write where there is no answer: echoing it solves nothing."""
_Verdict = tuple[Outcome, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The final answer is the reference as a mathematical object, and worked out.

    Stages: the same text; exact arithmetic; comparison by kind (ordered tuple, unordered list, set
    of reals, relation, quantity with its unit, digits in a base, words); equality of expressions
    at random points in as many digits as it takes. What only the question can tell (units,
    percentages, the order of names, the form that is asked for) is read from the prompt, and where
    the prompt does not say it the verdict is unsure. math-verify is asked where all that cannot
    decide: its no rejects, its yes accepts nothing.

    `spec["tolerance"]` (relative, at least 0 and below 1) declares that the reference is rounded.
    """

    version: ClassVar[str] = "3"

    require_box: bool = False
    """Accept an answer in a box alone, not one that is merely stated."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            wanted, tolerance = _reference(problem.answer or ""), _tolerance(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.read(completion, self.require_box)
        if final.problem:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=final.problem)
        answers = _measured(final)
        extracted = ", ".join(answers)
        if final.doubt and not final.restated:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=final.doubt)
        reference = _Reference(wanted, problem.prompt, tolerance)
        if len(answers) == 1:
            outcome, detail = reference.judge(answers[0])
        else:
            outcome, detail = reference.judge_several(answers)
        if outcome is Outcome.CORRECT:
            outcome, detail = reference.confirm(final, detail)
        return Judgement(outcome=outcome, extracted=extracted, detail=detail)

    def reference(self, problem: Problem) -> str:
        _tolerance(problem)
        return f"The answer is \\boxed{{{_reference(problem.answer or '')}}}."

    def perturb(self, problem: Problem) -> Iterator[str]:
        cleaned = _math_text.clean(_reference(problem.answer or ""))
        seen = {_math_text.key(cleaned)}
        for text in _math_perturb.near_misses(cleaned, _math_forms.read(cleaned)):
            key = _math_text.key(_math_text.clean(text))
            if key not in seen:
                seen.add(key)
                yield f"The answer is \\boxed{{{text.strip()}}}."


@functools.lru_cache(maxsize=1024)
def _reference(answer: str) -> str:
    """The reference as it would stand in a box."""
    answer = _final.bare(answer)
    boxes = _final.read(Completion(text=answer))
    if boxes.boxed and len(boxes.answers) == 1:
        answer = boxes.answers[0]
    if not answer:
        raise ValueError("no answer")
    words = TEXT.sub(r"\1", _math_text.clean(answer))
    if _NO_ANSWER.fullmatch(words.strip(" .")):
        raise ValueError(f"{answer!r} says that there is no answer")
    if len(answer) > _final.MAX_ANSWER:
        raise ValueError(f"the answer is longer than {_final.MAX_ANSWER} characters")
    boxed = _final.read(Completion(text=f"\\boxed{{{answer}}}"))
    if boxed.answers != (answer,):
        raise ValueError(f"the answer cannot stand in a box: {boxed.problem or 'braces'}")
    return answer


def _tolerance(problem: Problem) -> float:
    declared = problem.spec.get("tolerance", 0.0)
    number = isinstance(declared, int | float) and not isinstance(declared, bool)
    if not number or not (math.isfinite(declared) and 0 <= declared < 1):
        raise ValueError(f"spec.tolerance must be a number in [0, 1), got {declared!r}")
    return float(declared)


def _measured(final: _final.Final) -> tuple[str, ...]:
    """The answers, each with the unit that stands behind its box."""
    units = final.units or ("",) * len(final.answers)
    return tuple(
        f"{answer}{unit}" if unit and _takes_unit(answer) else answer
        for answer, unit in zip(final.answers, units, strict=True)
    )


def _takes_unit(answer: str) -> bool:
    return _math_forms.read(_math_text.clean(answer)).kind != "quantity"


@dataclass(frozen=True, slots=True)
class _Reference:
    """What answers are held against."""

    wanted: str
    prompt: str
    tolerance: float

    def judge(self, given: str) -> _Verdict:
        """One answer."""
        left, right = _math_text.clean(self.wanted), _math_text.clean(given)
        if not right:
            return Outcome.UNPARSABLE, "an empty answer"
        if not self.tolerance and _is_plain(left) and _is_plain(right):
            equal = int(left) == int(right)
            return (Outcome.CORRECT if equal else Outcome.INCORRECT), "integers"
        if _math_text.key(left) == _math_text.key(right):
            return Outcome.CORRECT, "the same text"
        if _is_letter(left) and _is_letter(right) and left.strip("()") == right.strip("()"):
            return Outcome.CORRECT, "the same letter"
        if (verdict := self._labelled(left, right)) is not None:
            return verdict
        if "e" not in left.casefold():
            right = _math_text.scientific(right)
        return self._compare(left, right)

    def judge_several(self, answers: tuple[str, ...]) -> _Verdict:
        """Several boxes: several spellings of the one answer, or the members of a list."""
        if all(self.judge(answer)[0] is Outcome.CORRECT for answer in answers):
            return Outcome.CORRECT, "every box is equal"
        if self._form().kind == "list":
            return self.judge(", ".join(answers))
        return Outcome.INCORRECT, f"{len(answers)} different answers"

    def confirm(self, final: _final.Final, detail: str) -> _Verdict:
        """A correct answer, unless the text around it says something else."""
        for text in final.restated:
            if self.judge(text)[0] is not Outcome.CORRECT:
                return Outcome.UNSURE, final.doubt
        for side in final.sides:
            form = _math_forms.read(_math_text.clean(side))
            if form.kind != "value" or form.node is None or symbols(form.node):
                continue
            match, _ = _math_compare.compare(self._form(), form, self._asked(as_answer=False))
            if match is Match.DIFFERENT:
                return Outcome.UNSURE, f"the box is made equal to {side[:80]!r}"
        return Outcome.CORRECT, detail

    def _form(self) -> Form:
        return _math_forms.read(_math_text.clean(self.wanted))

    def _asked(self, as_answer: bool = True) -> Asked:
        question = _math_question.read(self.prompt)
        return Asked(question=question, tolerance=self.tolerance, as_answer=as_answer)

    def _labelled(self, left: str, right: str) -> _Verdict | None:
        """A verdict where one of the two carries the label of a choice; else None."""
        choices = _math_choices.choices(self.prompt)
        wanted, given = _math_choices.take_apart(left), _math_choices.take_apart(right)
        if given is not None and given.rest:
            named = choices.get(given.letter)
            if named is not None and not self._equal(named, given.rest):
                return Outcome.UNSURE, "a label with another value behind it than the question's"
            if wanted is None or wanted.rest or named is None:
                rest = wanted.rest if wanted is not None and wanted.rest else left
                return self._compare(rest, given.rest)
            same = wanted.letter == given.letter
            return (Outcome.CORRECT if same else Outcome.INCORRECT), "the label of a choice"
        if not choices:
            return None
        if wanted is not None and not wanted.rest and given is None:
            return self._chosen(choices, wanted.letter, right)
        if given is not None and wanted is None and given.letter in choices:
            return self._named(choices, given.letter, left)
        return None

    def _named(self, choices: dict[str, str], letter: str, left: str) -> _Verdict | None:
        """The letter of a choice instead of its value."""
        equal = [name for name, text in choices.items() if self._equal(left, text)]
        if equal == [letter]:
            return Outcome.CORRECT, "the letter of the choice"
        return (Outcome.INCORRECT, "the letter of another choice") if equal else None

    def _chosen(self, choices: dict[str, str], letter: str, right: str) -> _Verdict | None:
        """The value of a choice instead of its letter."""
        equal = [name for name, text in choices.items() if self._equal(text, right)]
        if equal == [letter]:
            return Outcome.CORRECT, "the value of the choice"
        return (Outcome.INCORRECT, "the value of another choice") if equal else None

    def _equal(self, left: str, right: str) -> bool:
        if _math_text.key(left) == _math_text.key(right):
            return True
        forms = _math_forms.read(left), _math_forms.read(right)
        return _math_compare.compare(*forms, self._asked(as_answer=False))[0] is Match.EQUAL

    def _compare(self, left: str, right: str) -> _Verdict:
        form = _math_forms.read(left)
        match, detail = _math_compare.compare(form, _math_forms.read(right), self._asked())
        if match is Match.EQUAL:
            return Outcome.CORRECT, detail
        if match is Match.DIFFERENT and form.kind != "relation":
            return Outcome.INCORRECT, detail
        if match is Match.DIFFERENT or detail == _math_compare.NO_FORM:
            return _ask_second(match, detail, left, right)
        return Outcome.UNSURE, detail


def _ask_second(match: Match, detail: str, left: str, right: str) -> _Verdict:
    """math-verify's word where our comparison may not see what is equal: relations in other terms,
    and what has no form that we know. Its no makes an answer incorrect, its yes unsure."""
    agrees = _math_symbolic.agrees(left, right)
    if agrees is None:
        return (Outcome.INCORRECT if match is Match.DIFFERENT else Outcome.UNSURE), detail
    if not agrees:
        return Outcome.INCORRECT, f"{detail}; math-verify says different"
    return Outcome.UNSURE, f"{detail}; math-verify says equal"


def _is_letter(text: str) -> bool:
    return len(text.strip("()")) == 1 and text.strip("()").isalpha() and len(text) in (1, 3)


def _is_plain(text: str) -> bool:
    return len(text) <= _PLAIN_DIGITS and text.removeprefix("-").isdecimal() and text.isascii()
