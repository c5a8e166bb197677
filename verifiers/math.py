"""Judges mathematical answers: numbers, expressions, lists, intervals, equations, words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _final, _math_compare, _math_forms, _math_symbolic, _math_text
from verifiers._math_tree import symbols
from verifiers._math_value import Match, TooLarge, Undefined, exact

_PLAIN_DIGITS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The final answer is the reference as a mathematical object, and worked out.

    Stages: the same text; exact arithmetic; comparison by kind (ordered tuple, unordered list,
    interval, relation, quantity with its unit, digits in a base, words); equality of expressions
    at random points in 60 and 120 digits. math-verify is asked where that cannot decide: its no
    rejects, its yes accepts only what was found equal for all positive reals. Else: unsure.

    `spec["tolerance"]` (relative) declares that the reference is rounded.
    """

    version: ClassVar[str] = "1"

    require_box: bool = False
    """Accept an answer in a box alone, not one that is merely stated."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            wanted = _reference(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.read(completion, self.require_box)
        if final.problem:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=final.problem)
        extracted = ", ".join(final.answers)
        if final.doubt:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=final.doubt)
        if len(final.answers) == 1:
            outcome, detail = _judge(problem, wanted, extracted)
        else:
            outcome, detail = _judge_several(problem, wanted, final.answers)
        return Judgement(outcome=outcome, extracted=extracted, detail=detail)

    def reference(self, problem: Problem) -> str:
        return f"The answer is \\boxed{{{_reference(problem)}}}."

    def perturb(self, problem: Problem) -> Iterator[str]:
        answer = _reference(problem)
        form = _math_forms.read(_math_text.clean(answer))
        value: Fraction | None = None
        if form.kind == "value" and form.node is not None and len(answer) < _PLAIN_DIGITS:
            with contextlib.suppress(TooLarge, Undefined):
                value = exact(form.node)
        if value is not None and abs(value) < 1 << 200 and value.denominator < 1 << 200:
            wrong = [str(value + 1), str(value - 1), str(-value or 7)]
        else:
            wrong = [f"{answer}+1", "-271828", r"\text{none of these}"]
        for text in wrong:
            yield f"The answer is \\boxed{{{text}}}."


def _reference(problem: Problem) -> str:
    answer = _final.bare(problem.answer or "")
    boxes = _final.read(Completion(text=answer))
    if boxes.boxed and len(boxes.answers) == 1:
        answer = boxes.answers[0]
    if not answer:
        raise ValueError("no answer")
    if len(answer) > _final.MAX_ANSWER:
        raise ValueError(f"the answer is longer than {_final.MAX_ANSWER} characters")
    boxed = _final.read(Completion(text=f"\\boxed{{{answer}}}"))
    if boxed.answers != (answer,):
        raise ValueError(f"the answer cannot stand in a box: {boxed.problem or 'braces'}")
    return answer


def _judge(problem: Problem, wanted: str, given: str) -> tuple[Outcome, str]:
    left, right = _math_text.clean(wanted), _math_text.clean(given)
    if not right:
        return Outcome.UNPARSABLE, "an empty answer"
    if _is_plain(left) and _is_plain(right):
        equal = int(left) == int(right)
        return (Outcome.CORRECT if equal else Outcome.INCORRECT), "integers"
    if _math_text.key(left) == _math_text.key(right):
        return Outcome.CORRECT, "the same text"
    asked = _math_compare.Asked(prompt=problem.prompt, tolerance=_tolerance(problem))
    form = _math_forms.read(left)
    match, detail = _math_compare.compare(form, _math_forms.read(right), asked)
    if match is Match.EQUAL:
        return Outcome.CORRECT, detail
    if match is Match.DIFFERENT and not _is_debatable(form):
        return Outcome.INCORRECT, detail
    return _ask_second(match, detail, left, right)


def _is_debatable(form: _math_forms.Form) -> bool:
    """Whether two spellings of this can be equal in a way that our comparison does not see."""
    if form.kind == "value":
        return form.node is not None and bool(symbols(form.node))
    return form.kind == "relation"


def _ask_second(match: Match, detail: str, left: str, right: str) -> tuple[Outcome, str]:
    """math-verify's word on what is undecided."""
    agrees = _math_symbolic.agrees(left, right)
    if match is Match.DIFFERENT and not agrees:
        return Outcome.INCORRECT, detail
    if agrees is None:
        return Outcome.UNSURE, detail
    if agrees and match is Match.LIKELY:
        return Outcome.CORRECT, f"{detail}; math-verify agrees"
    if agrees or match is Match.LIKELY or detail != _math_compare.NO_FORM:
        return Outcome.UNSURE, f"{detail}; math-verify says {'equal' if agrees else 'different'}"
    return Outcome.INCORRECT, f"{detail}; math-verify says different"


def _judge_several(problem: Problem, wanted: str, answers: tuple[str, ...]) -> tuple[Outcome, str]:
    """Several boxes: the members of a list, or several spellings of the one answer."""
    if _math_forms.read(_math_text.clean(wanted)).kind == "list":
        return _judge(problem, wanted, ", ".join(answers))
    for answer in answers:
        if _judge(problem, wanted, answer)[0] is not Outcome.CORRECT:
            return Outcome.INCORRECT, f"{len(answers)} different answers"
    return Outcome.CORRECT, "every box is equal"


def _is_plain(text: str) -> bool:
    return len(text) <= _PLAIN_DIGITS and text.removeprefix("-").isdecimal() and text.isascii()


def _tolerance(problem: Problem) -> float:
    declared = problem.spec.get("tolerance", 0.0)
    return float(declared) if isinstance(declared, int | float) else 0.0
