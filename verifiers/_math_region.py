r"""Sets of real numbers, however they are written: `(1, 3]`, `1 < x \leq 3`, `\{x : ...\}`, unions.

All ends of both sets are put in order; they cut the line into points and gaps, and two sets are
the same if they hold the same points and gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from verifiers._math_exact import TooLarge, Undefined, exact
from verifiers._math_form import FLIPPED, Form, flip
from verifiers._math_numeric import MP
from verifiers._math_tree import Node, symbols
from verifiers._math_value import Match, compare, real

_SETS = frozenset(["interval", "union", "minus", "meet", "builder"])
_MAX_ENDS = 40
_BELOW = Node("neg", (Node("infty"),))
_ABOVE = Node("infty")
_PROBES = [Fraction(n) for n in (3, -1, -7)] + [Fraction(7, 3)]


class _NoRegion(Exception):
    """The form is no set of reals that is understood."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A set: an interval, or one made of others."""

    op: str
    """`piece`, `or`, `and`, `not`."""
    parts: tuple[_Set, ...] = ()
    low: Node = _BELOW
    high: Node = _ABOVE
    closed: tuple[bool, bool] = (False, False)


@dataclass(slots=True)
class _Reader:
    """Reads forms as sets, and notes the names of the variable."""

    names: set[str] = field(default_factory=set)

    def read(self, form: Form) -> _Set:
        match form.kind:
            case "interval" | "tuple":
                return self.interval(form)
            case "union" | "meet":
                return _Set("or" if form.kind == "union" else "and", self.all(form.parts))
            case "minus":
                whole, *less = self.all(form.parts)
                return _Set("and", (whole, *(_Set("not", (part,)) for part in less)))
            case "space" if form.marks == ("empty",):
                return _Set("or")
            case "space" if form.marks == ("reals",):
                return _Set("piece")
            case "builder":
                inner = _Reader()
                found = inner.read(form.parts[0])
                if inner.names - set(form.marks):
                    raise _NoRegion
                return found
            case "relation":
                return self.relation(form)
            case "list":
                return self.list(form)
        raise _NoRegion

    def all(self, forms: Sequence[Form]) -> tuple[_Set, ...]:
        return tuple(self.read(form) for form in forms)

    def interval(self, form: Form) -> _Set:
        if len(form.parts) != 2:
            raise _NoRegion
        low, high = (_number(part) for part in form.parts)
        left, right = form.marks or ("(", ")")
        closed = (left == "[", right == "]")
        if (low == _BELOW and closed[0]) or (high == _ABOVE and closed[1]):
            raise _NoRegion
        return _Set("piece", low=low, high=high, closed=closed)

    def list(self, form: Form) -> _Set:
        """`\\{1, 2\\}`, `x < 1 or x > 3`, `x > 0 and x \\neq 1`."""
        if form.marks in (("{}",), ("both",)) and not any(p.kind == "relation" for p in form.parts):
            return _Set("or", tuple(_point(_number(part)) for part in form.parts))
        excluding = any(part.marks == (r"\neq",) for part in form.parts)
        if form.marks == ("or",):
            return _Set("or", self.all(form.parts))
        if form.marks == ("and",) or (form.marks in ((), ("both",)) and excluding):
            return _Set("and", self.all(form.parts))
        raise _NoRegion

    def relation(self, form: Form) -> _Set:
        sides = []
        for n, sign in enumerate(form.marks):
            left, right = form.parts[n].node, form.parts[n + 1].node
            if left is None or right is None:
                raise _NoRegion
            if symbols(left):
                sides.append(self.side(left, sign, right))
            else:
                sides.append(self.side(right, FLIPPED.get(sign, sign), left))
        return sides[0] if len(sides) == 1 else _Set("and", tuple(sides))

    def side(self, left: Node, sign: str, right: Node) -> _Set:
        """The numbers for which `left` stands in this relation to the constant `right`."""
        names = symbols(left)
        if len(names) != 1 or symbols(right) or sign not in (*FLIPPED, "=", r"\neq"):
            raise _NoRegion
        self.names |= names
        if left.op == "abs" and sign in FLIPPED:
            return self.bars(left.args[0], sign, right)
        slope, offset = _linear(left)
        end = right
        if offset != 0:
            end = Node("add", (right, Node("num", value=-offset)))
        if slope != 1:
            end = Node("div", (end, Node("num", value=slope)))
        return _ray(FLIPPED[sign] if slope < 0 and sign in FLIPPED else sign, end)

    def bars(self, inner: Node, sign: str, right: Node) -> _Set:
        """`|x - 1| < 2` is `-2 < x - 1 < 2`; `> 2` is outside of that."""
        size = real(right)
        if size is None or size <= 0:
            raise _NoRegion
        below = Node("neg", (right,))
        if sign in ("<", r"\leq"):
            sides = self.side(inner, sign, right), self.side(inner, FLIPPED[sign], below)
            return _Set("and", sides)
        return _Set("or", (self.side(inner, sign, right), self.side(inner, FLIPPED[sign], below)))


def _ray(sign: str, end: Node) -> _Set:
    match sign:
        case "<" | r"\leq":
            return _Set("piece", high=end, closed=(False, sign != "<"))
        case ">" | r"\geq":
            return _Set("piece", low=end, closed=(sign != ">", False))
        case "=":
            return _point(end)
    return _Set("not", (_point(end),))


def _point(value: Node) -> _Set:
    return _Set("piece", low=value, high=value, closed=(True, True))


def _number(form: Form) -> Node:
    if form.kind != "value" or form.node is None:
        raise _NoRegion
    return form.node


def _linear(node: Node) -> tuple[Fraction, Fraction]:
    """Slope and offset of a linear expression in one symbol, with rational numbers."""
    if node.op == "sym":
        return Fraction(1), Fraction(0)
    offset = _at(node, Fraction(0))
    slope = _at(node, Fraction(1)) - offset
    if slope == 0 or any(_at(node, x) != slope * x + offset for x in _PROBES):
        raise _NoRegion
    return slope, offset


def _at(node: Node, x: Fraction) -> Fraction:
    try:
        value = exact(_put(node, x))
    except (TooLarge, Undefined):
        value = None
    if value is None:
        raise _NoRegion
    return value


def _put(node: Node, x: Fraction) -> Node:
    if node.op == "sym":
        return Node("num", value=x)
    return Node(node.op, tuple(_put(arg, x) for arg in node.args), node.value)


def is_region(form: Form) -> bool:
    """Whether a form can be nothing but a set of reals (an open interval may be a point)."""
    if form.kind in _SETS or (form.kind == "space" and form.marks[0] in ("empty", "reals")):
        return True
    if form.kind == "relation":
        return set(form.marks) <= {*FLIPPED, r"\neq"}
    return form.kind == "list" and bool(form.parts) and any(map(is_region, form.parts))


def same(wanted: Form, given: Form) -> Match | None:
    """Whether two forms are the same set of reals; None where one is none that is understood."""
    readers = _Reader(), _Reader()
    try:
        left, right = readers[0].read(wanted), readers[1].read(given)
        if readers[0].names and readers[1].names and readers[0].names != readers[1].names:
            return Match.DIFFERENT
        ranks = _ranks([*_ends(left), *_ends(right)])
        count = max(ranks.values(), default=-1) + 1
        return (
            Match.EQUAL
            if _cells(left, ranks, count) == _cells(right, ranks, count)
            else (Match.DIFFERENT)
        )
    except _NoRegion:
        return None


def _ends(found: _Set) -> list[Node]:
    own = [end for end in (found.low, found.high) if end not in (_BELOW, _ABOVE)]
    return (own if found.op == "piece" else []) + [e for part in found.parts for e in _ends(part)]


def _ranks(ends: list[Node]) -> dict[Node, int]:
    """The ends in order, equal ones with the same number."""
    values: dict[Node, Any] = {end: real(end) for end in ends}
    if len(values) > _MAX_ENDS or any(value is None for value in values.values()):
        raise _NoRegion
    ordered = sorted(values, key=lambda end: values[end])
    ranks: dict[Node, int] = {}
    rank = -1
    for n, end in enumerate(ordered):
        if n == 0 or not _is_close(values[ordered[n - 1]], values[end]):
            rank += 1
        elif compare(ordered[n - 1], end) is not Match.EQUAL:
            raise _NoRegion
        ranks[end] = rank
    return ranks


def _is_close(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= (abs(a) + abs(b)) * MP.mpf(10) ** -40)


def _cells(found: _Set, ranks: dict[Node, int], count: int) -> list[bool]:
    """For each gap and each end, in turn, whether the set holds it."""
    total = 2 * count + 1
    if found.op == "piece":
        if found.low == _ABOVE or found.high == _BELOW:
            raise _NoRegion
        low = -1 if found.low == _BELOW else 2 * ranks[found.low] + 1
        high = total if found.high == _ABOVE else 2 * ranks[found.high] + 1
        if low > high or (low == high and found.closed != (True, True)):
            raise _NoRegion
        start = low + (not found.closed[0])
        end = high + found.closed[1]
        return [start <= n < end for n in range(total)]
    parts = [_cells(part, ranks, count) for part in found.parts]
    if found.op == "not":
        return [not cell for cell in parts[0]]
    join = any if found.op == "or" else all
    return [join(cells) for cells in zip(*parts, strict=True)] if parts else [False] * total


def as_interval(form: Form) -> Form | None:
    r"""`1 < x \leq b` as `(1, b]`, `x > a` as `(a, \infty)`; None for any other relation."""
    if not all(mark in FLIPPED for mark in form.marks):
        return None
    if form.marks[0] in (">", r"\geq"):
        form = flip(form)
    below = Form(kind="value", text=r"-\infty", node=_BELOW)
    above = Form(kind="value", text=r"\infty", node=_ABOVE)
    if len(form.marks) == 1:
        left, right = form.parts
        if _is_variable(left):
            low, variable, high, marks = below, left, right, ("<", form.marks[0])
        else:
            low, variable, high, marks = left, right, above, (form.marks[0], "<")
    elif len(form.marks) == 2:
        low, variable, high = form.parts
        marks = (form.marks[0], form.marks[1])
    else:
        return None
    if not _is_variable(variable) or not set(marks) <= {"<", r"\leq"}:
        return None
    brackets = ("[" if marks[0] != "<" else "(", "]" if marks[1] != "<" else ")")
    plain = brackets == ("(", ")")
    return Form(
        kind="tuple" if plain else "interval",
        text=form.text,
        parts=(low, high),
        marks=() if plain else brackets,
    )


def _is_variable(form: Form) -> bool:
    return form.node is not None and form.node.op == "sym"
