"""What a comparison is asked under, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verifiers._math_form import Form
from verifiers._math_question import Question
from verifiers._math_value import Match

Result = tuple[Match, str]
"""How two answers compare, and why in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the question says about its answer."""

    question: Question
    tolerance: float = 0.0
    """Relative; above 0 only where the problem declares its reference to be rounded."""
    as_answer: bool = True
    """Whether the given one must also be worked out, and not only be equal."""


Compare = Callable[[Form, Form, Asked], Result]
Rule = Callable[[Form, Form, Asked, Compare], Result]


def all_of(found: Sequence[Result]) -> Result:
    """The worst of several comparisons that must all succeed."""
    for match in (Match.DIFFERENT, Match.UNSURE, Match.LIKELY):
        for one, why in found:
            if one is match:
                return match, why
    return Match.EQUAL, "equal part by part"


def at_best(best: Match, result: Result, why: str) -> Result:
    """A result that cannot be better than this one."""
    return (Match.DIFFERENT, result[1]) if result[0] is Match.DIFFERENT else (best, why)
