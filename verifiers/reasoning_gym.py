"""Judges answers to reasoning_gym's generated tasks with the scorers that come with them."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _final, _gym_tasks
from verifiers._probes import NO_ANSWERS

_SCORER_ERRORS = (
    ArithmeticError, AttributeError, LookupError, RecursionError, SyntaxError, TypeError,
    ValueError,
)  # fmt: skip
"""What a scorer may raise on a text that it did not expect."""
_USELESS = (
    "zzz", "-271828", "nan", "inf", "1e999", "...", "~", "#", "@@@", "null", "undefined",
    "none of these", "lorem ipsum", "yes and no", "zz, zz, zz", "the reference answer",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The task's own scorer decides; its score is the reward.

    `spec` is `{"task": name, "entry": {...}}` with the entry as the generator made it. The answer
    is what stands in the last `<answer>` tags, else in the box, else after "answer is", else the
    whole final part. Tasks whose scorer is known to be broken are refused.
    """

    version: ClassVar[str] = "2"

    threshold: float = 1.0
    """Least score that counts as correct."""

    def __post_init__(self) -> None:
        if importlib.util.find_spec("reasoning_gym") is None:
            raise ValueError("needs reasoning_gym: install the extra `gym`")
        _scorer("chain_sum")  # loads the library before the first verdict is timed

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            task, entry = _entry(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        answer, reason = _answer(completion)
        if answer is None:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=reason)
        if len(answer) > _final.MAX_ANSWER or not _gym_tasks.is_safe(task, answer):
            detail = f"not in the form of an answer to {task}"
            return Judgement(outcome=Outcome.UNPARSABLE, extracted=answer, detail=detail)
        try:
            score, detail = self._score(task, entry, answer)
        except _SCORER_ERRORS as error:
            return self._failed(problem, answer, error)
        if not 0.0 <= score <= 1.0:
            return Judgement(outcome=Outcome.ERROR, extracted=answer, detail=detail)
        passed = score >= self.threshold
        if passed and task in _gym_tasks.LAX and not _gym_tasks.same(answer, entry["answer"]):
            return Judgement(outcome=Outcome.UNSURE, extracted=answer, detail=f"{detail}, lax")
        outcome = Outcome.CORRECT if passed else Outcome.INCORRECT
        return Judgement(outcome=outcome, extracted=answer, reward=score, detail=detail)

    def _failed(self, problem: Problem, answer: str, error: Exception) -> Judgement:
        """The scorer raised: the answer's fault if it takes the reference, else the problem's."""
        try:
            self.reference(problem)
        except ValueError as broken:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {broken}")
        detail = f"the scorer fails on it: {type(error).__name__}"
        return Judgement(outcome=Outcome.UNPARSABLE, extracted=answer, detail=detail)

    def reference(self, problem: Problem) -> str:
        task, entry = _entry(problem)
        try:
            score, _ = self._score(task, entry, entry["answer"])
        except _SCORER_ERRORS as error:
            reason = f"{task}: the scorer fails on the reference: {type(error).__name__}"
            raise ValueError(reason) from None
        if not score >= self.threshold:  # NaN fails this too
            raise ValueError(f"{task}: the reference scores {score:g}, below {self.threshold:g}")
        return f"<answer>{entry['answer']}</answer>"

    def _score(self, task: str, entry: dict[str, Any], answer: str) -> tuple[float, str]:
        # Partial credit is summed in floats and can come out a hair above 1.
        score = round(float(_scorer(task)(answer, _gym_tasks.restore(task, entry))), 9)
        return score, f"score {score:g}"

    def perturb(self, problem: Problem) -> Iterator[str]:
        _, entry = _entry(problem)
        for wrong in (*_near(entry["answer"]), *_USELESS, *NO_ANSWERS):
            yield f"<answer>{wrong}</answer>"
        yield f"<think>{self.reference(problem)}</think>"
        yield f"<think>{self.reference(problem)}"


def _near(answer: str) -> Iterator[str]:
    """Answers that no task takes, though they nearly are the reference."""
    if number := re.fullmatch(r"(-?)([0-9]*\.?[0-9]*)([0-9])", answer):
        yield number[1] + number[2] + str((int(number[3]) + 1) % 10)
    yield from (f"{answer} zzz", f"not {answer}", f"zzz {answer}", f"{answer} or zzz")


@functools.cache
def _tasks() -> frozenset[str]:
    from reasoning_gym.factory import DATASETS

    return frozenset(DATASETS)


@functools.cache
def _scorer(task: str) -> Callable[[str, dict[str, Any]], float]:
    import reasoning_gym

    return reasoning_gym.get_score_answer_fn(task)  # type: ignore[no-any-return]


def _entry(problem: Problem) -> tuple[str, dict[str, Any]]:
    task, entry = problem.spec.get("task"), problem.spec.get("entry")
    if not isinstance(task, str) or not isinstance(entry, dict):
        raise ValueError("spec must hold task (a name) and entry (the generator's own)")
    if task not in _tasks():
        raise ValueError(f"spec.task {task!r:.60} is none of reasoning_gym's")
    if reason := _gym_tasks.DEFECTIVE.get(task):
        raise ValueError(f"{task} is refused: {reason}")
    if not isinstance(entry.get("answer"), str):
        raise ValueError(f"{task}: the entry's answer is no text")
    return task, entry


def _answer(completion: Completion) -> tuple[str | None, str]:
    text = _final.final_part(completion)
    if text is None:
        return None, "the reasoning never ends: no </think>"
    if "<answer>" in text:
        inside, closed, _ = text.rpartition("<answer>")[2].partition("</answer>")
        return (inside.strip(), "") if closed else (None, "<answer> is not closed")
    final = _final.read(completion)
    if final.boxed or final.answers:
        if len(final.answers) > 1:
            return None, f"{len(final.answers)} different answers"
        return (None, final.doubt) if final.doubt else (final.answers[0], "")
    whole = text.strip()
    if not whole or final.problem != "no answer" or len(whole) > _final.MAX_ANSWER:
        return None, final.problem or "no answer"
    return whole, ""
