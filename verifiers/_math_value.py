"""Whether two trees are the same value, or the same function of their symbols.

Rational values are compared exactly. Anything else is equal if it agrees at positive, negative and
complex points of very different sizes, relative to its size, with enough digits twice over. Where
a function has pieces (`|x - 5|`), every piece must have been seen; steps (`floor`) are compared by
what is inside them.
"""

from __future__ import annotations

import itertools
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

from verifiers._math_exact import TooLarge, Undefined, exact
from verifiers._math_numeric import LOG_BASE, MP, Point, Run, digits_for
from verifiers._math_tree import Node, num, symbols, walk

_GUARD = 20
_MOST_DIGITS = 6000
_MOST_AT_POINT = 1500
_MOST_STEPS = 12
"""Different floors in one comparison."""
_ALL_SIGNS = 3
_MOST_SIGNS = 15
_UNEVEN = 700
_FAR = 200
"""A number above this in an expression has points beyond it."""
_TOO_FAR = 10**9


class Match(Enum):
    """How two answers compare."""

    EQUAL = "equal"
    LIKELY = "equal for positive reals"
    UNSURE = "undecided"
    DIFFERENT = "different"


def compare(a: Node, b: Node) -> Match:
    """Whether two expressions are the same value, or the same function of their symbols."""
    infinite = _infinite(a), _infinite(b)
    if any(infinite):
        return Match.EQUAL if infinite[0] == infinite[1] else Match.DIFFERENT
    try:
        left, right = exact(a), exact(b)
        if left is not None and right is not None:
            return Match.EQUAL if left == right else Match.DIFFERENT
        return _same(a, b, None)
    except (TooLarge, Undefined, OverflowError):
        return Match.UNSURE


def proportional(a: Node, b: Node, positive: bool) -> Match:
    """Whether a is b times a constant: two spellings of one equation or inequality."""
    try:
        names = _names(a, b)
        start = _sample(names, 0, 1).at
        top, bottom = Run(start, 60).value(a), Run(start, 60).value(b)
        if abs(top) < _tiny(30) or abs(bottom) < _tiny(30):
            return Match.UNSURE
        ratio = top / bottom
        if positive and not (abs(ratio.imag) < _tiny(30) and ratio.real > 0):
            return Match.DIFFERENT
        return _same(a, b, start)
    except (TooLarge, Undefined, OverflowError):
        return Match.UNSURE


def distance(a: Node, b: Node) -> tuple[Any, Any] | None:
    """|a - b| and |a| of two constants; None where they have no plain value."""
    try:
        digits = digits_for((a, b), ({},), _MOST_DIGITS) if not _names(a, b) else 60
    except (TooLarge, Undefined, OverflowError):
        return None
    left, right = real(a, digits), real(b, digits)
    if left is None or right is None:
        return None
    return abs(left - right), abs(left)


def real(node: Node, digits: int = 60) -> Any:
    """A constant as a real number; None where it is none."""
    if _names(node, node):
        return None
    try:
        value = Run({}, digits).value(node)
    except (TooLarge, Undefined, OverflowError):
        return None
    return value.real if abs(value.imag) <= abs(value) * _tiny(40) else None


def _infinite(node: Node) -> int:
    """The sign of an infinity; 0 for anything else."""
    if node.op == "neg":
        return -_infinite(node.args[0])
    return 1 if node.op == "infty" else 0


def _names(a: Node, b: Node) -> list[str]:
    r"""The symbols of two trees; `\log` without a base stands for any, so its base is one."""
    found = symbols(a) | symbols(b)
    if any(
        n.op == "call" and n.value == "log" and len(n.args) == 1 for t in (a, b) for n in walk(t)
    ):
        found |= {LOG_BASE}
    return sorted(found)


def _same(a: Node, b: Node, start: Point | None) -> Match:
    """Equality of two trees, or of their ratios to their values at a point to start from."""
    stepped = any(n.op in ("floor", "ceil") and symbols(n) for t in (a, b) for n in walk(t))
    if stepped:
        steps: list[tuple[Node, Node]] = []
        a, b = _without_steps(a, steps), _without_steps(b, steps)
        start = start and _sample(_names(a, b), 0, 1).at
    names = _names(a, b)
    if not names:
        return Match.EQUAL if _agree(a, b, {}, start).equal else Match.DIFFERENT
    match = _identity(a, b, names, start)
    return Match.UNSURE if stepped and match is not Match.EQUAL else match


def _without_steps(node: Node, steps: list[tuple[Node, Node]]) -> Node:
    """The tree with one symbol for all floors of the same; a ceiling is a floor from below."""
    if node.op == "num" or not node.args:
        return node
    args = tuple(_without_steps(arg, steps) for arg in node.args)
    node = Node(node.op, args, node.value)
    if node.op not in ("floor", "ceil") or not symbols(node):
        return node
    inner = args[0] if node.op == "floor" else Node("neg", (args[0],))
    symbol = next((s for known, s in steps if compare(known, inner) is Match.EQUAL), None)
    if symbol is None:
        if len(steps) == _MOST_STEPS:
            raise TooLarge
        symbol = Node("sym", value=f"floor {len(steps)}")
        steps.append((inner, symbol))
    return symbol if node.op == "floor" else Node("neg", (symbol,))


class _Sample(NamedTuple):
    at: Point
    kind: str
    """`positive`, `real` (with negative values) or `complex`."""


def _points(names: list[str], far: int) -> list[_Sample]:
    """Points of all signs and sizes, and some beyond `far`; always the same ones."""
    samples = [_sample(names, n, scale) for n, scale in enumerate((1, 1, 12, 800))]
    samples += [_sample(names, 4 + n, 1, uneven=n + 1) for n in range(2 if len(names) > 1 else 0)]
    for n, negative in enumerate(_signs(len(names))):
        for m, scale in enumerate((1, 12, 800) if len(names) < 3 else (1, 30)):
            samples.append(_sample(names, 10 + 3 * n + m, scale, negative))
        if far:
            samples.append(_sample(names, 70 + n, far, negative))
    if far:
        samples.append(_sample(names, 6, far))
    return samples + [_complex_sample(names, n) for n in range(4)]


def _signs(count: int) -> list[frozenset[int]]:
    """Which symbols are negative: every choice of up to three, else one, two or all of them."""
    several = range(1, count + 1 if count <= _ALL_SIGNS else 3)
    found = [frozenset(c) for size in several for c in itertools.combinations(range(count), size)]
    found = found if count <= _ALL_SIGNS else found[:_MOST_SIGNS]
    return list(dict.fromkeys([*found, frozenset(range(count))]))


def _sample(
    names: list[str], n: int, scale: int, negative: frozenset[int] = frozenset(), uneven: int = 0
) -> _Sample:
    """One real point; where it is uneven, every second symbol is much larger than the others."""
    MP.dps = 130
    point = {}
    for k, name in enumerate(names):
        x = MP.frac(MP.sqrt(MP.mpf(7 * n + 3)) * (k + 2) + MP.ln(k + 2 + n)) * 2 + MP.mpf("0.3")
        large = _UNEVEN if uneven and (k + uneven) % 2 else 1
        x = (-x if k in negative else x) * scale * large
        point[name] = abs(x) + 2 if name == LOG_BASE else x
    return _Sample(point, "real" if negative else "positive")


def _complex_sample(names: list[str], n: int) -> _Sample:
    point = _sample(names, 20 + n, 1, frozenset(range(n % 2, len(names), 1 + n // 2))).at
    for k, name in enumerate(names):
        y = MP.frac(MP.cbrt(MP.mpf(5 * n + 102)) * (k + 3)) + MP.mpf("0.2")
        if name != LOG_BASE:
            point[name] = MP.mpc(point[name], y if (k + n) % 2 else -y)
    return _Sample(point, "complex")


def _identity(a: Node, b: Node, names: list[str], start: Point | None) -> Match:
    """Agreement over the reals (over the complex numbers, where the values are not real), or only
    at positive points, or not.

    A real function need not agree where both sides leave the reals: sqrt(1/n) = 1/sqrt(n).
    """
    doubtful = Match.UNSURE if LOG_BASE in names else Match.DIFFERENT
    seen: set[tuple[Node, int]] = set()
    counts = {"positive": 0, "real": 0, "complex": 0}
    is_real, likely = True, False
    for at, kind in _points(names, _far(a, b)):
        if kind == "complex" and is_real:
            continue
        try:
            found = _agree(a, b, at, start)
        except (TooLarge, Undefined, OverflowError):
            continue
        if kind == "positive":
            if not found.equal:
                return doubtful
            is_real = is_real and found.real == 2
        elif not found.equal:
            if found.real == 0 and is_real:
                continue
            likely = True
        counts[kind] += 1
        seen |= found.signs
    if counts["positive"] < 2 or (not is_real and counts["complex"] < 2):
        return Match.UNSURE
    if likely:
        return Match.LIKELY
    return Match.EQUAL if _pieces_seen(a, b, seen) else Match.UNSURE


def _far(a: Node, b: Node) -> int:
    """How far out something may happen: beyond the largest number in the trees."""
    numbers = [abs(n.value) for t in (a, b) for n in walk(t) if isinstance(n.value, Fraction)]
    largest = max([n for n in numbers if n <= _TOO_FAR], default=Fraction(0))
    return 4 * int(largest) if largest > _FAR else 0


def _pieces_seen(a: Node, b: Node, seen: set[tuple[Node, int]]) -> bool:
    """Whether every absolute value was seen on both sides of zero, or stands in both trees."""
    bars = [[n for n in walk(t) if n.op == "abs" and symbols(n)] for t in (a, b)]
    for mine, others in (bars, bars[::-1]):
        for node in mine:
            both = (node, 1) in seen and (node, -1) in seen
            if not both and not any(_same_bars(node, other) for other in others):
                return False
    return True


def _same_bars(one: Node, other: Node) -> bool:
    return proportional(one.args[0], other.args[0], positive=False) is Match.EQUAL


class _Agreement(NamedTuple):
    equal: bool
    real: int
    """How many of the two values are real."""
    signs: set[tuple[Node, int]]


def _agree(a: Node, b: Node, point: Point, start: Point | None) -> _Agreement:
    """Whether a and b (or a over its value at `start`, and b over its own) are equal here.

    Twice, with twice the digits: the same up to what rounding leaves of the largest value that
    occurs. The digits reach so far below the smallest one that no true difference hides there.
    """
    at = (point,) if start is None else (point, start)
    enough = digits_for((a, b), at, _MOST_AT_POINT if point else _MOST_DIGITS)
    equal, signs = True, set[tuple[Node, int]]()
    left = right = MP.zero
    for digits in (enough, 2 * enough):
        runs = [Run(p, digits) for p in (point, point, *(at[1:] * 2))]
        left, right = runs[0].value(a), runs[1].value(b)
        largest = max(runs[0].high, runs[1].high)
        if start is not None:
            left, right = left * runs[2].value(b), right * runs[3].value(a)
            largest += max(runs[2].high, runs[3].high)
        signs = runs[0].signs | runs[1].signs
        equal = equal and abs(left - right) <= MP.ldexp(1, largest) * _tiny(digits - _GUARD)
    real_ = sum(abs(v.imag) <= abs(v) * _tiny(60 - _GUARD) for v in (left, right))
    return _Agreement(equal=bool(equal), real=real_, signs=signs)


def _tiny(digits: int) -> Any:
    return MP.mpf(10) ** -digits


def scaled(node: Node, factor: Fraction) -> Node:
    """The tree times a number."""
    if factor == 1:
        return node
    whole = factor.denominator == 1
    return Node("mul", (num(int(factor)) if whole else Node("num", value=factor), node))
