"""Judges answers of a given form: codes, dates, identifiers, words of a small language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _final, _patterns
from verifiers._edits import edits
from verifiers._patterns import Pattern
from verifiers._probes import NO_ANSWERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    r"""The final answer matches `spec["pattern"]`, a regular expression of `re`, from end to end.

    The answer is the content of the box where there is one, else what is stated ("the answer is")
    and the last line, which must not differ; white space around it does not count. The reference
    is one text that matches. A pattern that matches "Solution", "I do not know" or nothing at all
    asks for nothing: the problem is refused. A match that is not decided within a second is a
    timeout.
    """

    version: ClassVar[str] = "1"

    ignore_case: bool = False
    """Count `Paris` and `paris` as the same."""
    unicode: bool = False
    r"""Let `\d`, `\w`, `\s` and `\b` know every script, not ASCII alone."""
    require_box: bool = False
    """Accept an answer in a box alone, not one that is merely stated."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            pattern = self._pattern(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        final = self._final(completion)
        if final.problem:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=final.problem)
        extracted = final.answers[-1]
        if final.doubt:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=final.doubt)
        if any(final.units):
            detail = "a unit stands behind the box"
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=detail)
        if len(final.answers) > 1:
            detail = f"{len(final.answers)} different answers"
            return Judgement(outcome=Outcome.INCORRECT, extracted=extracted, detail=detail)
        return _judge(pattern, extracted)

    def reference(self, problem: Problem) -> str:
        self._pattern(problem)
        return f"The answer is \\boxed{{{(problem.answer or '').strip()}}}."

    def perturb(self, problem: Problem) -> Iterator[str]:
        pattern = self._pattern(problem)
        answer = (problem.answer or "").strip()
        others = list(edits(answer))
        for other in others:
            if not _patterns.matches(pattern, other.strip()):
                yield f"The answer is \\boxed{{{other}}}."
        for other in others:
            yield f"\\boxed{{{answer}}} or \\boxed{{{other}}}"
            yield f"\\boxed{{{answer}}}. Wait, the answer is {other}."
        yield f"<think>{self.reference(problem)}"

    def _final(self, completion: Completion) -> _final.Final:
        """The answer: in the box, else what is stated together with what the last line says."""
        final = _final.read(completion, self.require_box)
        if final.boxed or self.require_box or final.problem not in ("", "no answer"):
            return final
        text = (_final.final_part(completion) or "").strip()
        last = _final.read(Completion(text=text.rpartition("\n")[2]))
        distinct = {_final.squeeze(answer): answer for answer in (*final.answers, *last.answers)}
        return replace(
            last,
            answers=tuple(distinct.values()),
            problem="" if distinct else last.problem,
            doubt=final.doubt or last.doubt,
        )

    def _pattern(self, problem: Problem) -> Pattern:
        """The problem's pattern, once it and the reference are found to fit each other."""
        source = problem.spec.get("pattern")
        if not isinstance(source, str) or not source:
            raise ValueError(f"spec.pattern must be a text, got {source!r:.60}")
        answer = (problem.answer or "").strip()
        if not answer:
            raise ValueError("no answer")
        if _final.read(Completion(text=f"\\boxed{{{answer}}}")).answers != (answer,):
            raise ValueError(f"the answer cannot stand in a box: {answer!r:.60}")
        try:
            pattern = _patterns.compiled(source, self.ignore_case, self.unicode)
        except ValueError as error:
            raise ValueError(f"spec.pattern is no regular expression: {error}") from None
        try:
            _check(pattern, answer)
        except TimeoutError:
            raise ValueError("spec.pattern takes too long to match a short text") from None
        return pattern


def _check(pattern: Pattern, answer: str) -> None:
    if not _patterns.matches(pattern, answer):
        raise ValueError(f"the answer {answer!r:.60} does not match spec.pattern")
    for nothing in NO_ANSWERS:
        if _patterns.matches(pattern, nothing) and nothing != answer:
            raise ValueError(f"spec.pattern matches {nothing!r} too: it asks for nothing")


def _judge(pattern: Pattern, answer: str) -> Judgement:
    try:
        matched = _patterns.matches(pattern, answer)
    except TimeoutError:
        detail = f"the match was not decided within {_patterns.MATCH_LIMIT_S:g} s"
        return Judgement(outcome=Outcome.TIMEOUT, extracted=answer, detail=detail)
    outcome = Outcome.CORRECT if matched else Outcome.INCORRECT
    detail = "a match" if matched else "no match"
    return Judgement(outcome=outcome, extracted=answer, detail=detail)
