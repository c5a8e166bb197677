"""Judges quantities: a number, with its unit where there is one, within a declared tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import (
    _final,
    _numeric_asked,
    _numeric_beside,
    _numeric_perturb,
    _numeric_text,
    _numeric_units,
)
from verifiers._final import Final
from verifiers._numeric_asked import Asked
from verifiers._numeric_text import Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The final answer is the reference quantity: 5 m is 500 cm, and never 5 cm.

    Arithmetic is exact; what is not declared to be rounded must be equal. `spec` may declare:

    - `tolerance`: a number, relative; or `{"rel": r, "abs": a}`, the wider of both counts. `abs` is
      in the reference's unit.
    - `significant_figures`: how many of the reference's digits are good; the answer may differ by
      half a unit in the last of them.
    - `unit`: what a number without a unit is in, on either side (the question named it).
    - `difference`: true where a lone degree Celsius or Fahrenheit is a step, not a temperature.

    Without `unit`, a number that lacks its unit is wrong where the reference has one. Where the
    reference has none, an answer with a unit cannot be judged: unsure. A per cent is 1/100.
    Different answers are never correct, but one quantity spelled in two ways is.
    """

    version: ClassVar[str] = "1"

    rel_tol: float = 0.0
    """Relative tolerance for problems that declare none; never for a reference that is written as
    an integer."""
    abs_tol: float = 0.0
    """The same, absolute, in the reference's unit."""
    require_box: bool = False
    """Accept an answer in a box alone, not one that is merely stated."""

    def __post_init__(self) -> None:
        _numeric_asked.tolerance({"rel": self.rel_tol}, "rel_tol")
        _numeric_asked.tolerance({"abs": self.abs_tol}, "abs_tol")
        _numeric_units.load()

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            asked = self._asked(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.read(completion, self.require_box)
        if final.problem:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=final.problem)
        # `\boxed{5} cm`: the unit behind a box belongs to its number.
        units = final.units or ("",) * len(final.answers)
        texts = [f"{a} {u}".strip() for a, u in zip(final.answers, units, strict=True)]
        extracted = texts[-1]
        if final.doubt and not final.restated:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=final.doubt)
        try:
            given = [_numeric_text.read(text) for text in texts]
        except ValueError as error:
            return Judgement(outcome=Outcome.UNPARSABLE, extracted=extracted, detail=str(error))
        outcome, detail = asked.judge(given[-1])
        if len({asked.in_unit(quantity) for quantity in given}) > 1:
            outcome, detail = Outcome.INCORRECT, f"{len(given)} different answers"
        elif outcome is Outcome.CORRECT:
            text = _final.final_part(completion) or ""
            bare = asked.bare if given[-1].unit is None else None
            doubt = _contradiction(asked, given[-1], final) or _numeric_beside.doubt(
                text, final.answers[-1], units[-1], bare
            )
            outcome, detail = (Outcome.UNSURE, doubt) if doubt else (outcome, detail)
        return Judgement(outcome=outcome, extracted=extracted, detail=detail)

    def reference(self, problem: Problem) -> str:
        self._asked(problem)
        return f"The answer is \\boxed{{{(problem.answer or '').strip()}}}."

    def perturb(self, problem: Problem) -> Iterator[str]:
        asked = self._asked(problem)
        yield from _numeric_perturb.wrong((problem.answer or "").strip(), asked)

    def _asked(self, problem: Problem) -> Asked:
        relative = _numeric_asked.tolerance({"rel": self.rel_tol}, "rel_tol").relative
        absolute = _numeric_asked.tolerance({"abs": self.abs_tol}, "abs_tol").absolute
        return _numeric_asked.read(problem, _numeric_asked.Tolerance(relative, absolute))


def _contradiction(asked: Asked, given: Quantity, final: Final) -> str:
    """What around the boxes says another quantity than they do; empty if nothing does."""
    for text in final.restated:
        try:
            same = asked.in_unit(_numeric_text.read(text)) == asked.in_unit(given)
        except ValueError:
            same = False
        if not same:
            return final.doubt
    for text in final.sides:
        try:
            outcome, _ = asked.judge(_numeric_text.read(text))
        except ValueError:  # a formula, which is not worked out here
            continue
        if outcome is not Outcome.CORRECT:
            return f"the box is said to equal something else: {text[:80]!r}"
    return ""
