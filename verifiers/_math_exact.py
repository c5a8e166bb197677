"""The rational value of a tree, where plain arithmetic finds one."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from verifiers._math_tree import Node

_MAX_BITS = 120_000
MAX_FACTORIAL = 5_000


class TooLarge(Exception):
    """The value is beyond what is worth computing."""


class Undefined(Exception):
    """There is no finite value here."""


def exact(node: Node) -> Fraction | None:
    """The rational value of a tree; None if it has none that plain arithmetic finds.

    Raises:
        TooLarge, Undefined
    """
    if node.op == "num":
        assert isinstance(node.value, Fraction)
        return node.value
    rule = _RULES.get(node.op)
    if rule is None:
        return None
    values = []
    for arg in node.args:
        if (value := exact(arg)) is None:
            return None
        values.append(value)
    result = rule(*values)
    if result is not None and _bits(result) > _MAX_BITS:
        raise TooLarge
    return result


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _multiply(*values: Fraction) -> Fraction:
    result = Fraction(1)
    for value in values:
        if _bits(result) + _bits(value) > _MAX_BITS:
            raise TooLarge
        result *= value
    return result


def _add(*values: Fraction) -> Fraction:
    result = Fraction(0)
    for value in values:
        if _bits(result) + _bits(value) > _MAX_BITS:
            raise TooLarge
        result += value
    return result


def _divide(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise Undefined
    return _multiply(a, 1 / b)


def _power(a: Fraction, b: Fraction) -> Fraction | None:
    if b.denominator != 1:
        return None
    if a == 0 and b <= 0:
        raise Undefined
    if abs(b) * _bits(a) > _MAX_BITS:
        raise TooLarge
    return Fraction(a ** int(b))


def _root(a: Fraction, degree: Fraction) -> Fraction | None:
    if degree != 2 or a < 0:
        return None
    top, bottom = math.isqrt(a.numerator), math.isqrt(a.denominator)
    exact_root = top * top == a.numerator and bottom * bottom == a.denominator
    return Fraction(top, bottom) if exact_root else None


def _factorial(a: Fraction) -> Fraction:
    if a.denominator != 1 or a < 0:
        raise Undefined
    if a > MAX_FACTORIAL:
        raise TooLarge
    return Fraction(math.factorial(int(a)))


def _choose(a: Fraction, b: Fraction) -> Fraction | None:
    if a.denominator != 1 or b.denominator != 1 or a < 0 or b < 0:
        return None
    if a > MAX_FACTORIAL:
        raise TooLarge
    return Fraction(math.comb(int(a), int(b)))


_RULES: dict[str, Callable[..., Fraction | None]] = {
    "neg": lambda a: -a,
    "add": _add,
    "mul": _multiply,
    "div": _divide,
    "pow": _power,
    "root": _root,
    "fact": _factorial,
    "binom": _choose,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
}
