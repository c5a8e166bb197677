"""Wrong answers to a problem of `numeric`: other values, other units, several answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from verifiers import _numeric_units
from verifiers._numeric_asked import Asked, magnitude
from verifiers._numeric_text import Quantity

_UNITS = ("m", "cm", "km", "s", "ms", "h", "kg", "g", "J", "kJ", "N", "K", "%", "V", "m/s", "m^2")


def wrong(answer: str, asked: Asked) -> Iterator[str]:
    """Completions that must not be correct.

    Args:
        answer: the reference as it stands in the problem.
    """
    values = list(_values(asked))
    texts = [f"{spell(value)} {asked.unit_text}".strip() for value in values]
    for text in texts[:4]:
        yield f"The answer is \\boxed{{{text}}}."
    for unit in _units(asked):
        yield f"The answer is \\boxed{{{spell(asked.value)} {unit}}}.".replace(" }", "}")
    for text in texts[4:]:
        yield f"The answer is \\boxed{{{text}}}."
    other = texts[0]
    yield f"\\boxed{{{other}}} or \\boxed{{{answer}}}"
    yield f"\\boxed{{{answer}}} and \\boxed{{{other}}}"
    for joined in (" or ", " = ", ", ", " \\approx ", " \\pm ", "; "):
        yield f"\\boxed{{{answer}{joined}{other}}}"
        yield f"\\boxed{{{other}{joined}{answer}}}"
    yield f"\\boxed{{{answer}}}. Wait, it should be {other}."
    yield f"<think>\\boxed{{{answer}}}</think>\nThe answer is {other}."
    yield f"<think>The answer is {answer}."


def _values(asked: Asked) -> Iterator[Fraction]:
    """Other values, the nearest first, all of them further off than the tolerance."""
    value, window = asked.value, asked.window
    step = Fraction(10) ** (magnitude(value) - 3)
    if value.denominator == 1:
        step = max(step, Fraction(1))
    near = [value + sign * (window + n * step) for n in (1, 2, 10) for sign in (1, -1)]
    far = [value * 10, value / 10, -value, value * 1000, value / 1000, value * 2, value / 2]
    seen = {value}
    for other in (*near, *far, value + 7 * window + 7):
        if other not in seen and abs(other - value) > window:
            seen.add(other)
            yield other


def _units(asked: Asked) -> Iterator[str]:
    """Units, and none, with which the reference's number is not the reference's value."""
    for text in ("", *_UNITS):
        unit = _numeric_units.parse(text) if text else None
        value = asked.in_unit(Quantity(asked.value, unit, False, text))
        if value is None or abs(value - asked.value) > asked.window:
            yield text


def spell(value: Fraction) -> str:
    """A value in exact digits: plain, with a power of ten, or as a fraction."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    exponent = -max(twos, fives)
    digits = int(value * 10**-exponent)
    while digits and digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    if 0 <= exponent < 6:
        return str(digits * 10**exponent)
    if -6 <= exponent < 0:
        whole, part = divmod(abs(digits), 10**-exponent)
        return f"{'-' * (digits < 0)}{whole}.{part:0{-exponent}d}"
    return f"{digits}e{exponent}"
