"""When an output or a returned value counts as the expected one. Pure, and on the host alone.

Output of a program, as bytes:

    tokens     words between white space, in order; a decimal as precisely as it is written
    float      as tokens, numbers within a declared tolerance
    lines      line by line, white space at the ends of lines and of the text aside
    exact      byte for byte, one final newline aside
    unordered  the same lines in any order
    yes_no     as tokens, `yes` and `no` in any case

An integer is never compared with a tolerance, and nan equals nothing. Returned values are compared
by type and value under `tokens`, `float`, `exact`, and `unordered` (members in any order).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

TEXT = ("tokens", "float", "lines", "exact", "unordered", "yes_no")
"""Comparisons of outputs."""
VALUES = ("tokens", "float", "exact", "unordered")
"""Comparisons of returned values."""

VALUE_NOISE = 1e-11
"""Relative tolerance of a returned float where none is declared: noise of doubles is less."""
MANY_DECIMALS = 6
"""From so many decimals on, an expected number counts as rounded, not as laid out."""

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.([0-9]*))?|\.([0-9]+))(?:[eE][+-]?[0-9]{1,3})?")
_LONGEST_NUMBER = 400
_NOISE, _MOST_NOISE = Decimal("1e-9"), Decimal("1e-6")
"""The same for printed decimals, relative and absolute, whichever is less."""
_EXACT = Context(prec=1000, Emax=10**6, Emin=-(10**6), traps=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """How one test's answer is compared."""

    how: str = "tokens"
    abs_tol: float = 0.0
    rel_tol: float = 0.0
    """With `float`: the larger of the two tolerances counts."""
    python_types: bool = False
    """The expected value is Python's and not JSON's: a tuple is no list, floats are equal or not
    unless a tolerance is declared."""


def output_accepts(got: bytes, wanted: bytes, compare: Compare) -> bool:
    """Whether an output counts as the expected one."""
    if compare.how == "exact":
        return got.removesuffix(b"\n") == wanted.removesuffix(b"\n")
    if compare.how == "lines":
        return _lines(got) == _lines(wanted)
    if compare.how == "unordered":
        return _sorted_lines(got) == _sorted_lines(wanted)
    if compare.how == "yes_no":
        return _tokens_match(got, wanted, _same_word)
    if compare.how == "float":
        return _tokens_match(got, wanted, lambda a, b: _within(a, b, compare))
    return _tokens_match(got, wanted, _same_decimal)


def _tokens_match(got: bytes, wanted: bytes, alike: Callable[[bytes, bytes], bool]) -> bool:
    left, right = got.split(), wanted.split()
    if len(left) != len(right):
        return False
    return all(a == b or alike(a, b) for a, b in zip(left, right, strict=True))


def _lines(text: bytes) -> list[bytes]:
    return [line.rstrip() for line in text.rstrip().split(b"\n")]


def _sorted_lines(text: bytes) -> list[list[bytes]]:
    return sorted(words for line in text.split(b"\n") if (words := line.split()))


def _same_word(got: bytes, wanted: bytes) -> bool:
    return wanted.lower() in (b"yes", b"no") and got.lower() == wanted.lower()


def _same_decimal(got: bytes, wanted: bytes) -> bool:
    """An undeclared decimal: equal but for the noise of doubles, or, where the expected one has so
    many digits that it must be rounded itself, the number that it was rounded from."""
    if b"." not in wanted:
        return False
    a, b = _number(got), _number(wanted)
    if a is None or b is None:
        return False
    off = _EXACT.subtract(a, b).copy_abs()
    half = Decimal(5).scaleb(int(b.as_tuple().exponent) - 1, _EXACT)  # of the last digit written
    noise = min(_EXACT.multiply(b.copy_abs(), _NOISE), _MOST_NOISE)
    return off <= (max if _decimals(wanted) >= MANY_DECIMALS else min)(half, noise)


def _within(got: bytes, wanted: bytes, compare: Compare) -> bool:
    """A declared tolerance; an expected integer is met by its value alone, as `2` by `2.000`."""
    a, b = _number(got), _number(wanted)
    if a is None or b is None:
        return False
    if b"." not in wanted and b"e" not in wanted.lower():
        return a == b
    allowed = _EXACT.multiply(b.copy_abs(), Decimal(compare.rel_tol))
    return _EXACT.subtract(a, b).copy_abs() <= max(Decimal(compare.abs_tol), allowed)


def _number(token: bytes) -> Decimal | None:
    """A number as plain decimals or with an exponent; None for everything else, nan and inf too."""
    if len(token) > _LONGEST_NUMBER or not _NUMBER.fullmatch(token):
        return None
    return Decimal(token.decode("ascii"))


def _decimals(token: bytes) -> int:
    """Digits behind the point of a number as written, whatever its exponent."""
    match = _NUMBER.fullmatch(token)
    return len(match[1] or match[2] or b"") if match else 0


def value_accepts(got: Any, wanted: Any, compare: Compare) -> bool:
    """Whether a returned value counts as the expected one."""
    if compare.how == "unordered":
        if type(got) not in (list, tuple, set, frozenset) or len(got) != len(wanted):
            return False
        return sorted(map(key, got)) == sorted(map(key, wanted))
    return _same_value(got, wanted, compare)


def _same_value(got: Any, wanted: Any, compare: Compare) -> bool:
    kind = type(wanted)
    if kind is float:
        return _same_float(got, wanted, compare)
    if kind in (list, tuple):
        kinds = (kind,) if compare.python_types else (list, tuple)
        return (
            type(got) in kinds
            and len(got) == len(wanted)
            and all(_same_value(a, b, compare) for a, b in zip(got, wanted, strict=True))
        )
    if kind is dict:
        if type(got) is not dict or len(got) != len(wanted):
            return False
        found = {key(name): value for name, value in got.items()}
        return all(
            key(name) in found and _same_value(found[key(name)], value, compare)
            for name, value in wanted.items()
        )
    if kind in (set, frozenset):
        alike = type(got) in (set, frozenset) and len(got) == len(wanted)
        return alike and sorted(map(key, got)) == sorted(map(key, wanted))
    return type(got) is kind and got == wanted


def _same_float(got: Any, wanted: float, compare: Compare) -> bool:
    """A float is met by its value, an integer's value included; a bool is no number."""
    if type(got) not in (int, float) or got != got:
        return False
    if got == wanted:
        return True
    if not math.isfinite(wanted) or (type(got) is float and not math.isfinite(got)):
        return False
    off, size = abs(Fraction(got) - Fraction(wanted)), abs(Fraction(wanted))
    if compare.how == "float":
        return off <= max(Fraction(compare.abs_tol), size * Fraction(compare.rel_tol))
    if compare.how == "exact" or compare.python_types:
        return False
    return off <= size * Fraction(VALUE_NOISE)


def key(value: Any) -> str:
    """A value as text, exact in type; a tuple counts as a list, and order in sets does not.

    Sorting such texts is how bags are compared: members that all have one hash, as integers can be
    made to have, would keep a table busy for hours.
    """
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(key, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{key(k)}:{key(v)}' for k, v in value.items()))}}}"
    if isinstance(value, (set, frozenset)):
        return f"<{','.join(sorted(map(key, value)))}>"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:x}"  # of any length, unlike decimals
    return f"{type(value).__name__} {value!r}"
