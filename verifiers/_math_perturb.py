r"""Near misses of a reference: what a careless solver or a dishonest one would write instead.

None of them is equal to the reference, and that is computed or holds by construction: a number is
another number (exactly, or at random points where it is no rational), a list has other members, a
tuple another order of unequal members, an interval another bracket at a finite end. The nearest
ones come first, the far ones that fit any reference last.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise

from verifiers import _math_compare, _math_forms, _math_region, _math_value
from verifiers._math_exact import TooLarge, Undefined, exact
from verifiers._math_form import FLIPPED, Form
from verifiers._math_leaves import value as read_value
from verifiers._math_tree import Node, num
from verifiers._math_value import Match
from verifiers._units import Unit

_MAX_BITS = 4000
_MAX_LITERALS = 6
_NOT_PLAIN = re.compile(r"[=,<>]|text|leq|approx|pm")
_LITERAL = re.compile(r"(?<![\d.])\d{1,9}(?![\d.])")
_FAR = (271828, -314159, 161803, 577215, -141421, 173205, 693147, -230258, 915965, 123457)
_NUMBER_WORDS = ("one", "two", "three", "four", "five", "six")
_OPPOSITES = (
    ("yes", "no"), ("true", "false"), ("even", "odd"), ("positive", "negative"), ("left", "right"),
    ("increasing", "decreasing"), ("converges", "diverges"), ("monday", "tuesday"),
)  # fmt: skip
_OTHER_UNITS = {
    "cm": "m", "m": "cm", "km": "m", "mm": "cm", "inch": "cm", "foot": "inch", "mile": "km",
    "s": "min", "second": "minutes", "minute": "seconds", "hour": "minutes", "h": "min",
    "day": "hours", "week": "days", "year": "months", "month": "years", "kg": "g", "g": "kg",
    "dollar": "cents", "cent": "dollars", "degree": "radians",
}  # fmt: skip


def near_misses(text: str, form: Form) -> Iterator[str]:
    """Answers that are not the reference; the same ones every time, some of them twice."""
    rule = _RULES.get(form.kind)
    if rule is not None:
        yield from rule(form)
    yield from _hedged(text)
    yield from _anything(text)


def _values(form: Form) -> Iterator[str]:
    number = _rational(form)
    if number is not None:
        yield from _numbers(number)
    elif form.node is not None:
        yield from _expressions(form)


def _numbers(value: Fraction) -> Iterator[str]:
    near = [value + 1, value - 1, -value, value * 10, value / 10, *_swapped_digits(value)]
    near += [value * 2, value / 2, value + 10, value - 10, value * 100, value + Fraction(1, 2)]
    near += [value + 2, value - 2, value * 3, value + 100, value**2 + 1, abs(value) + 3]
    if value:
        near += [1 / value]
    for wrong in near:
        if wrong != value:
            yield _written(wrong)
    for wrong in (value + 1, value - 1):
        yield f"{_written(value)} \\text{{ or }} {_written(wrong)}"
        yield f"{_written(wrong)}, {_written(value)}"
        yield f"{_written(wrong)} = {_written(value)}"
        yield f"{_written(value)} = {_written(wrong)}"
        yield f"{_written(value)} \\approx {_written(wrong)}"
    yield f"x > {_written(value)}"
    yield f"x \\leq {_written(value)}"
    yield f"{_written(value)} \\pm 1"


def _written(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _swapped_digits(value: Fraction) -> Iterator[Fraction]:
    """Neighbouring digits of a whole number in the other order."""
    digits = str(abs(value.numerator))
    if value.denominator == 1 and len(digits) < 40:
        for n in range(min(len(digits) - 1, 4)):
            swapped = digits[:n] + digits[n + 1] + digits[n] + digits[n + 2 :]
            yield Fraction(int(swapped)) * (1 if value > 0 else -1)


def _expressions(form: Form) -> Iterator[str]:
    """Expressions that differ from this one, each compared at random points."""
    text, node = form.text, form.node
    assert node is not None
    one, whole = num(1), f"({text})"
    made = [
        (f"{text}+1", Node("add", (node, one))),
        (f"{text}-1", Node("add", (node, Node("neg", (one,))))),
        (f"-{whole}", Node("neg", (node,))),
        *_literals(text),
        (f"2{whole}", Node("mul", (num(2), node))),
        (f"\\frac{{{text}}}{{2}}", Node("div", (node, num(2)))),
        (f"10{whole}", Node("mul", (num(10), node))),
        (f"{whole}^2+1", Node("add", (Node("pow", (node, num(2))), one))),
    ]
    for wrong, other in made:
        different = _math_value.compare(node, other) is Match.DIFFERENT
        if different and not _math_compare.constant_apart(node, other, integral=True):
            yield wrong
    yield f"{text} = 2{whole}+1"
    yield f"2{whole}+1 = {text}"
    yield f"{text} \\text{{ or }} 2{whole}+1"
    yield f"{text}, 2{whole}+1"
    yield f"x > {text}"


def _literals(text: str) -> Iterator[tuple[str, Node]]:
    """The text with one of its numbers, or one of its signs, changed."""
    changes = []
    for match in list(_LITERAL.finditer(text))[:_MAX_LITERALS]:
        n = int(match[0])
        changes += [text[: match.start()] + str(m) + text[match.end() :] for m in (n + 1, n + 2)]
    signs = [m for m in re.finditer(r"[+-]", text) if m.start() > 0][:_MAX_LITERALS]
    for match in signs:
        other = "-" if match[0] == "+" else "+"
        changes.append(text[: match.start()] + other + text[match.end() :])
    for changed in changes:
        form = read_value(changed)
        if form is not None and form.node is not None:
            yield changed, form.node


def _quantities(form: Form) -> Iterator[str]:
    assert form.unit is not None
    behind = _unit_text(form.unit)
    numbers = _plain(form, 20)
    yield from (f"{number}{behind}" for number in numbers[:4])
    own = read_value(_written(_rational(form) or Fraction(0)))
    if own is not None and own.node not in (None, num(0)) and _rational(form) is not None:
        other = _OTHER_UNITS.get(form.unit.names[0], "kittens")
        yield rf"{own.text} \text{{ {other}}}"
        yield rf"{own.text} \text{{ {other}}}^2"
        yield rf"{own.text} \text{{ furlongs}}"
    yield from (f"{number}{behind}" for number in numbers[4:])


def _unit_text(unit: Unit) -> str:
    """The unit as it is written behind a number; any other one where it is not simple."""
    if unit.names == ("%",):
        return r"\%"
    powers = [power for _, power in unit.dimensions]
    if len(unit.names) == len(powers) == 1:
        return rf" \text{{ {unit.names[0]}}}" + (f"^{powers[0]}" if powers[0] != 1 else "")
    if len(unit.names) == 2 and sorted(powers) == [-1, 1]:
        return rf" \text{{ {unit.names[0]}/{unit.names[1]}}}"
    return r" \text{ kittens}"


def _rational(form: Form) -> Fraction | None:
    """The exact value of a form, unless it is none or a very long one."""
    if form.node is None:
        return None
    with contextlib.suppress(TooLarge, Undefined):
        value = exact(form.node)
        if value is not None and max(_lengths(value)) < _MAX_BITS:
            return value
    return None


def _lengths(value: Fraction) -> tuple[int, int]:
    return value.numerator.bit_length(), value.denominator.bit_length()


def _members(form: Form) -> list[str]:
    return [part.text for part in form.parts]


def _changed(form: Form) -> Iterator[tuple[int, str]]:
    """For each part in turn, a near miss that no other part is."""
    others = [part.node for part in form.parts if part.node is not None]
    for n, part in enumerate(form.parts[:4]):
        if part.kind != "value":
            continue
        for wrong in _plain(part):
            new = read_value(wrong)
            if new is None or new.node is None:
                continue
            if all(_math_value.compare(new.node, old) is Match.DIFFERENT for old in others):
                yield n, wrong


def _plain(part: Form, most: int = 5) -> list[str]:
    """A few near misses of a value that are plain values."""
    found = (t for t in _values(part) if not _NOT_PLAIN.search(t))
    return list(islice(found, most))


def _lists(form: Form) -> Iterator[str]:
    members = _members(form)
    left, right = (r"\{", r"\}") if form.marks == ("{}",) else ("", "")

    def listed(parts: list[str]) -> str:
        return left + ", ".join(parts) + right

    if len(members) > 1 and _are_unequal(form):
        yield from (listed(members[:n] + members[n + 1 :]) for n in range(min(len(members), 4)))
    yield listed([*members, str(_FAR[0])])
    for n, wrong in _changed(form):
        yield listed([*members[:n], wrong, *members[n + 1 :]])
    yield from (listed([*members, str(far)]) for far in _FAR[1:])
    yield "(" + ", ".join([*members, str(_FAR[0])]) + ")"


def _tuples(form: Form) -> Iterator[str]:
    members = _members(form)

    def tupled(parts: list[str]) -> str:
        return "(" + ", ".join(parts) + ")"

    for n, (one, other) in enumerate(pairwise(form.parts)):
        if _differ(one, other):
            swapped = [*members[:n], members[n + 1], members[n], *members[n + 2 :]]
            yield tupled(swapped)
    for n, wrong in _changed(form):
        yield tupled([*members[:n], wrong, *members[n + 1 :]])
    yield tupled([*members, "0"])
    yield tupled([*members[:-1], str(_FAR[0])])
    yield from (tupled([*members, str(far)]) for far in _FAR)


def _intervals(form: Form) -> Iterator[str]:
    low, high = _members(form)
    left, right = form.marks or ("(", ")")
    other = {"(": "[", "[": "(", ")": "]", "]": ")"}
    if "infty" not in low:
        yield f"{other[left]}{low}, {high}{right}"
    if "infty" not in high:
        yield f"{left}{low}, {high}{other[right]}"
    for n, wrong in _changed(form):
        yield f"{left}{wrong}, {high}{right}" if n == 0 else f"{left}{low}, {wrong}{right}"


def _unions(form: Form) -> Iterator[str]:
    members = _members(form)
    made = [*members, r" \cap ".join(members), r" \cup ".join([*members, r"\{271828\}"])]
    for text in made:
        if _math_region.same(form, _math_forms.read(text)) is Match.DIFFERENT:
            yield text


def _relations(form: Form) -> Iterator[str]:
    members = _members(form)
    if len(form.marks) != 1:
        return
    left, right = members
    sign = form.marks[0]
    if sign == "=":
        yield from (f"{left} = {wrong}" for wrong in _plain(form.parts[1]))
        yield f"{left} = {right} + 1"
        yield f"{left} = {right} = 271828"
        yield f"{left} < {right}"
    elif sign in FLIPPED:
        strict = {"<": r"\leq", ">": r"\geq", r"\leq": "<", r"\geq": ">"}
        yield f"{left} {FLIPPED[sign]} {right}"
        yield f"{left} {strict[sign]} {right}"
        yield f"{left} = {right}"
        yield f"{left} {sign} {right} + 1"


def _matrices(form: Form) -> Iterator[str]:
    style, *widths = form.marks
    if style or any(part.kind != "value" for part in form.parts):
        return

    def made(cells: list[str]) -> str:
        rows, at = [], 0
        for width in map(int, widths):
            rows.append(" & ".join(cells[at : at + width]))
            at += width
        return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"

    members = _members(form)
    if [read_value(text) for text in members] != list(form.parts):
        return  # the cells are scaled, so their texts are not what they are worth
    for n, (one, other) in enumerate(pairwise(form.parts)):
        if _differ(one, other):
            yield made([*members[:n], members[n + 1], members[n], *members[n + 2 :]])
    for n, part in enumerate(form.parts[:4]):
        yield from (made([*members[:n], wrong, *members[n + 1 :]]) for wrong in _plain(part))


def _words(form: Form) -> Iterator[str]:
    text = form.text
    for one, other in _OPPOSITES:
        if text.casefold() in (one, other):
            yield rf"\text{{{other if text.casefold() == one else one}}}"
    if len(text) == 1:
        others = (letter for letter in "ABCDE" if letter != text.upper())
        yield from (rf"\text{{{letter}}}" for letter in others)
    yield rf"\text{{not {text}}}"
    yield rf"\text{{{text} or not}}"
    if text[::-1].casefold() != text.casefold():
        yield rf"\text{{{text[::-1]}}}"


def _based(form: Form) -> Iterator[str]:
    base = int(form.marks[0])
    yield f"{form.text}_{{{base + 1}}}"
    yield f"1{form.text}_{{{base}}}"
    yield f"{form.text}0_{{{base}}}" if form.text != "0" else f"1_{{{base}}}"
    yield f"{form.text}_{{{base + 2}}}"


def _are_unequal(form: Form) -> bool:
    return len({part.text for part in form.parts}) == len(form.parts)


def _differ(one: Form, other: Form) -> bool:
    if one.node is None or other.node is None or {one.kind, other.kind} != {"value"}:
        return False
    return _math_value.compare(one.node, other.node) is Match.DIFFERENT


def _hedged(text: str) -> Iterator[str]:
    """The reference among others, or with something that changes it."""
    far = [str(n) for n in _FAR if str(abs(n)) not in text]
    yield f"{text} \\text{{ or }} {far[0]}"
    yield f"{far[0]} = {text}"
    yield f"{text}, {far[0]}, {far[1]}"
    yield f"\\text{{not }} {text}"


def _anything(text: str) -> Iterator[str]:
    """What no reference is; numbers of our own are left out where they stand in it."""
    yield r"\text{none of these}"
    yield from (str(far) for far in _FAR if str(abs(far)) not in text)
    yield from (f"\\frac{{{abs(far)}}}{{7}}" for far in _FAR if str(abs(far)) not in text)
    yield from (f"\\text{{wrong answer {word}}}" for word in _NUMBER_WORDS)


_RULES: dict[str, Callable[[Form], Iterator[str]]] = {
    "value": _values,
    "quantity": _quantities,
    "list": _lists,
    "tuple": _tuples,
    "interval": _intervals,
    "union": _unions,
    "relation": _relations,
    "matrix": _matrices,
    "words": _words,
    "based": _based,
}
