"""What a tree is worth at a point, in as many digits as it takes to see its smallest part.

`sqrt(2) + 10^-200` differs from `sqrt(2)` far behind any fixed number of digits. So a tree is
first computed in 60 digits to see the largest and the smallest value that occur in it, and the
digits that count are several times that reach.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mpmath.ctx_mp import MPContext

from verifiers._math_exact import MAX_FACTORIAL, TooLarge, Undefined
from verifiers._math_tree import Node

_MAX_EXPONENT = 1e5
_PER_BIT = 0.30103
_REACHES = 4
"""Digits per digit of reach: enough to see the fourth-order term of what is small."""
LOG_BASE = "log base"
r"""The symbol that stands for the base of `\log`, which may be e or 10 (or 2)."""

MP = MPContext()
Point = dict[str, Any]


class Run:
    """One evaluation at one point: notes the reach of the values and the signs inside bars."""

    def __init__(self, point: Point, digits: int) -> None:
        self.point = point
        self.digits = digits
        self.low = self.high = 0
        self.signs: set[tuple[Node, int]] = set()

    def value(self, node: Node) -> Any:
        """The complex value of a tree.

        Raises:
            TooLarge, Undefined
        """
        MP.dps = self.digits
        try:
            value = MP.mpc(self._number(node))
        except (ZeroDivisionError, ValueError, OverflowError, MP.NoConvergence):
            raise Undefined from None
        if not (MP.isfinite(value.real) and MP.isfinite(value.imag)):
            raise Undefined
        return value

    @property
    def reach(self) -> int:
        """Digits between the largest and the smallest value seen, 1 included."""
        return int((self.high - self.low) * _PER_BIT)

    def _number(self, node: Node) -> Any:
        value = self._compute(node)
        if value != 0:
            size = MP.mag(value)
            if not isinstance(size, int):
                raise Undefined  # not finite
            self.low, self.high = min(self.low, size), max(self.high, size)
        return value

    def _compute(self, node: Node) -> Any:
        if node.op == "num":
            assert isinstance(node.value, Fraction)
            return MP.mpf(node.value.numerator) / node.value.denominator
        if node.op == "sym":
            return MP.mpmathify(self.point[str(node.value)])
        if node.op in ("pi", "e", "i"):
            return {"pi": MP.pi, "e": MP.e, "i": MP.j}[node.op] * 1
        args = [self._number(arg) for arg in node.args]
        if node.op == "call":
            return self._call(str(node.value), args)
        if node.op == "abs" and MP.im(args[0]) == 0:
            self.signs.add((node, int(MP.sign(MP.re(args[0])))))
        if node.op in ("floor", "ceil"):
            return self._step(node.op, args[0])
        rule = _RULES.get(node.op)
        if rule is None:
            raise Undefined
        return rule(*args)

    def _call(self, name: str, args: list[Any]) -> Any:
        x = args[0]
        if name == "log":
            return MP.ln(x) / MP.ln(args[1] if len(args) > 1 else self.point[LOG_BASE])
        if abs(x) > _MAX_EXPONENT and name != "ln":
            raise TooLarge
        plain = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
        return getattr(MP, plain.get(name, name))(x)

    def _step(self, op: str, x: Any) -> Any:
        """Rounded down or up; undefined where that hangs on the last digits."""
        if MP.im(x) != 0:
            raise Undefined
        x = MP.re(x)
        if abs(x - MP.nint(x)) < MP.mpf(10) ** (-self.digits // 2):
            raise Undefined
        return MP.floor(x) if op == "floor" else MP.ceil(x)


def digits_for(nodes: tuple[Node, ...], points: tuple[Point, ...], most: int) -> int:
    """How many digits tell what these trees are worth at these points.

    Raises:
        TooLarge: more than `most`.
        Undefined
    """
    reach = 0
    for point in points:
        for node in nodes:
            run = Run(point, 60)
            run.value(node)
            reach = max(reach, run.reach)
    digits = 60 + _REACHES * reach
    if digits > most:
        raise TooLarge
    return digits


def _power(a: Any, b: Any) -> Any:
    if a == 0:
        if MP.im(b) != 0 or MP.re(b) <= 0:
            raise Undefined
        return MP.mpf(0)
    if abs(b) * (1 + abs(MP.mag(a))) > _MAX_EXPONENT:
        raise TooLarge
    return MP.power(a, b)


def _root(a: Any, degree: Any) -> Any:
    if degree == 0:
        raise Undefined
    odd = MP.im(degree) == 0 and MP.isint(degree) and int(MP.re(degree)) % 2 == 1
    if odd and MP.im(a) == 0 and MP.re(a) < 0:
        return -_power(-a, 1 / degree)
    return _power(a, 1 / degree)


def _gamma(a: Any) -> Any:
    if abs(a) > MAX_FACTORIAL:
        raise TooLarge
    return MP.gamma(a + 1)


_RULES: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a,
    "add": lambda *terms: sum(terms[1:], terms[0]),
    "mul": lambda *factors: MP.fprod(factors),
    "div": lambda a, b: a / b,
    "pow": _power,
    "root": _root,
    "fact": _gamma,
    "binom": lambda a, b: _gamma(a) / (_gamma(b) * _gamma(a - b)),
    "abs": lambda a: abs(a),
}
