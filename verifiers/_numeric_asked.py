"""What a problem of `numeric` asks for: a value in a unit, and how far off an answer may be."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

from factory.types import Outcome, Problem
from verifiers import _numeric_text, _numeric_units
from verifiers._numeric_text import Quantity
from verifiers._numeric_units import Unit

MAX_RELATIVE = 0.5
MAX_FIGURES = 15


class Tolerance(NamedTuple):
    """How far off an answer may be; the wider of the two counts."""

    relative: Fraction = Fraction(0)
    absolute: Fraction = Fraction(0)
    """In the reference's unit."""


class Asked(NamedTuple):
    """What the reference says, in its own unit."""

    value: Fraction
    unit: Unit
    unit_text: str
    bare: Unit
    """What a number without a unit is in."""
    window: Fraction
    """Largest difference from the value, in its unit, that is let pass."""
    difference: bool
    """Whether a lone degree is a step on its scale."""

    def in_unit(self, given: Quantity) -> Fraction | None:
        """The value of a quantity in the reference's unit; None where it is of another kind."""
        unit = self.bare if given.unit is None else given.unit
        return _numeric_units.convert(given.value, unit, self.unit, self.difference)

    def judge(self, given: Quantity) -> tuple[Outcome, str]:
        value = self.in_unit(given)
        if value is None and self.unit == _numeric_units.PLAIN:
            return Outcome.UNSURE, "the answer has a unit, the reference has none"
        if value is None:
            return Outcome.INCORRECT, "a unit of another kind" if given.unit else "no unit"
        if value == self.value:
            return Outcome.CORRECT, "equal"
        if abs(value - self.value) <= self.window:
            return Outcome.CORRECT, "within the tolerance"
        return Outcome.INCORRECT, "another value"


def read(problem: Problem, default: Tolerance) -> Asked:
    """What a problem asks for.

    Args:
        default: the tolerance where the problem declares none and its reference is no integer.

    Raises:
        ValueError: the problem does not say.
    """
    if not (problem.answer or "").strip():
        raise ValueError("no answer")
    try:
        wanted = _numeric_text.read((problem.answer or "").strip())
    except ValueError as error:
        raise ValueError(f"the answer is {error}") from None
    bare = _bare_unit(problem.spec.get("unit"))
    difference = problem.spec.get("difference", False)
    if not isinstance(difference, bool):
        raise ValueError(f"spec.difference must be true or false, got {difference!r:.60}")
    return Asked(
        value=wanted.value,
        unit=bare if wanted.unit is None else wanted.unit,
        unit_text=wanted.unit_text,
        bare=bare,
        window=_window(problem.spec, wanted, default),
        difference=difference,
    )


def tolerance(declared: Any, what: str) -> Tolerance:
    """A tolerance from a number, relative, or from `{"rel": r, "abs": a}`.

    Raises:
        ValueError: it is neither, or out of range.
    """
    given = declared if isinstance(declared, dict) else {"rel": declared}
    if unknown := sorted(str(key) for key in given if key not in ("rel", "abs")):
        raise ValueError(f"{what} has no {unknown[0]!r:.60}; choices: rel, abs")
    for value in given.values():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{what} must be a number, got {value!r:.60}")
        if not 0 <= value < math.inf:
            raise ValueError(f"{what} must be finite and at least 0, got {value!r:.60}")
    if given.get("rel", 0) > MAX_RELATIVE:
        raise ValueError(f"{what} must be at most {MAX_RELATIVE:g}, got {given['rel']!r:.60}")
    # By the decimal digits as they were written: 0.01 is 1/100.
    return Tolerance(*(Fraction(str(given.get(key, 0))) for key in ("rel", "abs")))


def _bare_unit(unit: Any) -> Unit:
    if unit is None:
        return _numeric_units.PLAIN
    if not isinstance(unit, str):
        raise ValueError(f"spec.unit must be a text, got {unit!r:.60}")
    try:
        return _numeric_text.read_unit(unit)
    except ValueError as error:
        raise ValueError(f"spec.unit is {error}") from None


def _window(spec: dict[str, Any], wanted: Quantity, default: Tolerance) -> Fraction:
    figures = spec.get("significant_figures")
    if spec.get("tolerance") is not None:
        if figures is not None:
            raise ValueError("give spec.tolerance or spec.significant_figures, not both")
        allowed = tolerance(spec["tolerance"], "spec.tolerance")
    elif figures is not None:
        return _last_digit(wanted.value, figures) / 2
    else:
        allowed = Tolerance() if wanted.is_integer else default
    return max(allowed.relative * abs(wanted.value), allowed.absolute)


def _last_digit(value: Fraction, figures: Any) -> Fraction:
    """One unit in the last of a value's significant digits."""
    if isinstance(figures, bool) or not isinstance(figures, int):
        raise ValueError(f"spec.significant_figures must be an integer, got {figures!r:.60}")
    if not 1 <= figures <= MAX_FIGURES:
        raise ValueError(
            f"spec.significant_figures must be in 1 to {MAX_FIGURES}, got {figures!r:.60}"
        )
    return Fraction(10) ** (magnitude(value) - figures + 1)


def magnitude(value: Fraction) -> int:
    """The power of ten of a value's first digit; 0 for zero."""
    size = abs(value)
    if not size:
        return 0
    guess = len(str(size.numerator)) - len(str(size.denominator))
    return guess if size >= Fraction(10) ** guess else guess - 1
