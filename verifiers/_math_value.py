"""What a tree is worth: exactly where that is cheap, else as numbers of 60 and 120 digits.

Two expressions are equal if they agree at positive, negative and complex points to 40 and to 100
digits, relative to their size, so that 1e-20 and 1e-21 differ. Values too large to handle are
refused before they are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

from mpmath.ctx_mp import MPContext

from verifiers._math_tree import Node, symbols

_MAX_BITS = 120_000
_MAX_FACTORIAL = 5_000
_MAX_EXPONENT = 1e5
_GUARD = 20
_CONTEXT = MPContext()
_LOG_BASE = "log base"
_MIXED = 4


class Match(Enum):
    """How two answers compare."""

    EQUAL = "equal"
    LIKELY = "equal for positive reals"
    UNSURE = "undecided"
    DIFFERENT = "different"


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
    rule = _EXACT.get(node.op)
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


def _divide(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise Undefined
    return a / b


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
    if a > _MAX_FACTORIAL:
        raise TooLarge
    return Fraction(math.factorial(int(a)))


def _choose(a: Fraction, b: Fraction) -> Fraction | None:
    if a.denominator != 1 or b.denominator != 1 or a < 0 or b < 0:
        return None
    if a > _MAX_FACTORIAL:
        raise TooLarge
    return Fraction(math.comb(int(a), int(b)))


_EXACT: dict[str, Callable[..., Fraction | None]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": _divide,
    "pow": _power,
    "root": _root,
    "fact": _factorial,
    "binom": _choose,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
}


def compare(a: Node, b: Node) -> Match:
    """Whether two expressions are the same value, or the same function of their symbols."""
    infinite = _infinite(a), _infinite(b)
    if any(infinite):
        return Match.EQUAL if infinite[0] == infinite[1] else Match.DIFFERENT
    try:
        left, right = exact(a), exact(b)
        if left is not None and right is not None:
            return Match.EQUAL if left == right else Match.DIFFERENT
        names = sorted(symbols(a) | symbols(b) | _hidden(a) | _hidden(b))
        if not names:
            return Match.EQUAL if _agree(a, b, {}).equal else Match.DIFFERENT
        return _identity(lambda point: _agree(a, b, point), names)
    except (TooLarge, Undefined, OverflowError):
        return Match.UNSURE


def _infinite(node: Node) -> int:
    """The sign of an infinity; 0 for anything else."""
    if node.op == "neg":
        return -_infinite(node.args[0])
    return 1 if node.op == "infty" else 0


def distance(a: Node, b: Node) -> tuple[Any, Any] | None:
    """|a - b| and |a| of two constants; None where they have no plain value."""
    if symbols(a) | symbols(b) | _hidden(a) | _hidden(b):
        return None
    try:
        left, right = _value(a, {}, 60), _value(b, {}, 60)
    except (TooLarge, Undefined, OverflowError):
        return None
    return abs(left - right), abs(left)


def proportional(a: Node, b: Node, positive: bool) -> Match:
    """Whether a is b times a constant: two spellings of one equation or inequality."""
    names = sorted(symbols(a) | symbols(b) | _hidden(a) | _hidden(b))
    try:
        start = _points(names)[0]
        top, bottom = _value(a, start, 120), _value(b, start, 120)
        if top == 0 or bottom == 0:
            return Match.UNSURE
        ratio = top / bottom
        if positive and not (abs(ratio.imag) < 1e-60 and ratio.real > 0):
            return Match.DIFFERENT
        return _identity(lambda point: _agree(a, b, point, ratio), names)
    except (TooLarge, Undefined, OverflowError):
        return Match.UNSURE


def _hidden(node: Node) -> frozenset[str]:
    r"""`\log` without a base stands for any: its base is one more symbol."""
    own = node.op == "call" and node.value == "log" and len(node.args) == 1
    rest = frozenset[str]().union(*(_hidden(arg) for arg in node.args))
    return rest | {_LOG_BASE} if own else rest


def _points(names: list[str]) -> list[dict[str, Any]]:
    """Three positive, two negative (one of mixed signs), three complex points; always the same."""
    mp = _CONTEXT
    mp.dps = 130
    kinds = ((1, 0), (1, 0), (1, 0), (-1, 0), (-1, 0), (1, 1), (-1, 1), (-1, -1))
    points = []
    for n, (real, imaginary) in enumerate(kinds):
        point = {}
        for k, name in enumerate(names):
            x = mp.frac(mp.sqrt(mp.mpf(7 * n + 3)) * (k + 2) + mp.ln(k + 2 + n)) * 2 + mp.mpf("0.3")
            y = mp.frac(mp.cbrt(mp.mpf(5 * n + 2)) * (k + 3)) + mp.mpf("0.2")
            sign = 1 if n == _MIXED and k % 2 else real
            point[name] = x + 1 if name == _LOG_BASE else mp.mpc(sign * x, imaginary * y)
        points.append(point)
    return points


def _identity(agree: Callable[[dict[str, Any]], _Agreement], names: list[str]) -> Match:
    """Agreement over the reals (over the complex numbers, if the values are not real), or only
    at positive points, or not.

    A real function need not agree where both sides leave the reals: sqrt(1/n) = 1/sqrt(n).
    """
    doubtful = Match.UNSURE if _LOG_BASE in names else Match.DIFFERENT
    points = _points(names)
    positive = [agree(point) for point in points[:3]]
    if not all(p.equal for p in positive):
        return doubtful
    real = all(p.real == 2 for p in positive)
    valid = 0
    for point in points[3:5] if real else points[3:]:
        try:
            found = agree(point)
        except (Undefined, TooLarge):
            continue
        if not found.equal and not (real and found.real == 0):
            return Match.LIKELY
        valid += 1
    return Match.EQUAL if real or valid >= 3 else Match.LIKELY


class _Agreement(NamedTuple):
    equal: bool
    real: int
    """How many of the two values are real."""


def _agree(a: Node, b: Node, point: dict[str, Any], ratio: Any = 1) -> _Agreement:
    """Equal at this point with 60 and with 120 digits."""
    found = []
    left = right = _CONTEXT.zero
    for digits in (60, 120):
        left, right = _value(a, point, digits), _value(b, point, digits) * ratio
        size = max(abs(left), abs(right))
        close = size == 0 or abs(left - right) <= size * _tiny(digits - _GUARD)
        found.append(_CONTEXT.zero if close else size)
    real = sum(abs(v.imag) <= abs(v) * _tiny(60 - _GUARD) for v in (left, right))
    # Two ways to write zero leave noise that shrinks with the precision; a small value does not.
    zero = all(found) and found[1] <= found[0] * _tiny(60 - _GUARD)
    return _Agreement(equal=zero or not any(found), real=real)


def _tiny(digits: int) -> Any:
    return _CONTEXT.mpf(10) ** -digits


def _value(node: Node, point: dict[str, Any], digits: int) -> Any:
    _CONTEXT.dps = digits
    try:
        value = _CONTEXT.mpc(_number(node, point))
    except (ZeroDivisionError, ValueError, _CONTEXT.NoConvergence):
        raise Undefined from None
    if not (_CONTEXT.isfinite(value.real) and _CONTEXT.isfinite(value.imag)):
        raise Undefined
    return value


def _number(node: Node, point: dict[str, Any]) -> Any:
    mp = _CONTEXT
    if node.op == "num":
        assert isinstance(node.value, Fraction)
        return mp.mpf(node.value.numerator) / node.value.denominator
    if node.op == "sym":
        return mp.mpmathify(point[str(node.value)])
    if node.op in ("pi", "e", "i"):
        return {"pi": mp.pi, "e": mp.e, "i": mp.j}[node.op] * 1
    args = [_number(arg, point) for arg in node.args]
    if node.op == "call":
        return _call(str(node.value), args, point)
    rule = _NUMERIC.get(node.op)
    if rule is None:
        raise Undefined
    return rule(*args)


def _call(name: str, args: list[Any], point: dict[str, Any]) -> Any:
    mp = _CONTEXT
    x = args[0]
    if name == "log":
        return mp.ln(x) / (mp.ln(args[1]) if len(args) > 1 else mp.mpf(point[_LOG_BASE].real))
    if abs(x) > _MAX_EXPONENT and name != "ln":
        raise TooLarge
    plain = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
    return getattr(mp, plain.get(name, name))(x)


def _numeric_power(a: Any, b: Any) -> Any:
    mp = _CONTEXT
    if a == 0:
        if mp.im(b) != 0 or mp.re(b) <= 0:
            raise Undefined
        return mp.mpf(0)
    if abs(b) * (1 + abs(mp.mag(a))) > _MAX_EXPONENT:
        raise TooLarge
    return mp.power(a, b)


def _numeric_root(a: Any, degree: Any) -> Any:
    mp = _CONTEXT
    if degree == 0:
        raise Undefined
    odd = mp.im(degree) == 0 and mp.isint(degree) and int(mp.re(degree)) % 2 == 1
    if odd and mp.im(a) == 0 and mp.re(a) < 0:
        return -_numeric_power(-a, 1 / degree)
    return _numeric_power(a, 1 / degree)


def _gamma(a: Any) -> Any:
    if abs(a) > _MAX_FACTORIAL:
        raise TooLarge
    return _CONTEXT.gamma(a + 1)


def _real(a: Any) -> Any:
    if _CONTEXT.im(a) != 0:
        raise Undefined
    return _CONTEXT.re(a)


_NUMERIC: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": _numeric_power,
    "root": _numeric_root,
    "fact": _gamma,
    "binom": lambda a, b: _gamma(a) / (_gamma(b) * _gamma(a - b)),
    "abs": lambda a: abs(a),
    "floor": lambda a: _CONTEXT.floor(_real(a)),
    "ceil": lambda a: _CONTEXT.ceil(_real(a)),
}
