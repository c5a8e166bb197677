"""Judges answers that must match to the letter: words, codes, outputs of programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _final
from verifiers._edits import edits
from verifiers._final import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The final answer equals the reference, white space aside.

    The answer is the content of the box where there is one. Else it is the whole final part where
    the reference has several lines, and its last line (after "answer is", "answer:") otherwise.
    """

    version: ClassVar[str] = "2"

    ignore_case: bool = False
    """Count `Paris` and `paris` as the same."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            wanted = self._key(_reference(problem))
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = _final.read(completion)
        answers = final.answers if final.boxed else self._unboxed(problem, completion, final)
        if not answers or (final.problem and final.problem != "no answer"):
            return Judgement(outcome=Outcome.UNPARSABLE, detail=final.problem or "no answer")
        extracted = answers[-1]
        if final.doubt:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=final.doubt)
        if len(answers) > 1:
            detail = f"{len(answers)} different answers"
            return Judgement(outcome=Outcome.INCORRECT, extracted=extracted, detail=detail)
        if self._key(extracted) == wanted:
            return Judgement(outcome=Outcome.CORRECT, extracted=extracted, detail="equal")
        return Judgement(outcome=Outcome.INCORRECT, extracted=extracted, detail="different")

    def reference(self, problem: Problem) -> str:
        answer = _reference(problem)
        return answer if "\n" in answer else f"\\boxed{{{answer}}}"

    def perturb(self, problem: Problem) -> Iterator[str]:
        answer = _reference(problem)
        others = list(edits(answer))
        for wrong in others:
            yield wrong if "\n" in answer else f"\\boxed{{{wrong}}}"
        yield f"\\boxed{{{others[0]}}} or \\boxed{{{answer}}}"
        yield f"\\boxed{{{answer}}} or \\boxed{{{others[0]}}}"
        yield f"<think>{self.reference(problem)}"

    def _unboxed(self, problem: Problem, completion: Completion, final: Final) -> tuple[str, ...]:
        text = (_final.final_part(completion) or "").strip()
        if "\n" in _reference(problem):
            return (text,) if text else ()
        line = text.rpartition("\n")[2]
        last = _final.read(Completion(text=line)).answers if line else ()
        # What was stated before competes with the last line: different answers are never correct.
        return tuple({_final.squeeze(a): a for a in (*final.answers, *last)}.values())

    def _key(self, text: str) -> str:
        text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text


def _reference(problem: Problem) -> str:
    answer = (problem.answer or "").strip()
    if not answer:
        raise ValueError("no answer")
    if len(answer) > _final.MAX_ANSWER:
        raise ValueError(f"the answer is longer than {_final.MAX_ANSWER} characters")
    return answer
