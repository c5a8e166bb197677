r"""Compares answers with signs of relation: names (`x = 5`), chains (`2 + 2 = 4`), equations."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

from verifiers import _math_style, _math_value
from verifiers._math_asked import Asked, Compare, Result, all_of, at_best
from verifiers._math_form import FLIPPED, Form, flip
from verifiers._math_question import order_of, repeats
from verifiers._math_region import as_interval
from verifiers._math_text import key
from verifiers._math_tree import Node, symbols
from verifiers._math_value import Match

_APPROX = r"\approx"
_NAME = re.compile(
    r"\\?[A-Za-z](?:_(?:\{[^{}]*\}|[A-Za-z0-9]))?'{0,3}"  # x, a_1, f'
    r"|\\[a-z]+(?:_(?:\{[^{}]*\}|[A-Za-z0-9]))?|[A-Z]{2,4}|\|[A-Z]{2}\||\[[A-Z]{3,6}\]"
    r"|(?:m ?)?\\(?:angle|triangle) ?[A-Z]{1,3}|\\overline ?\{[A-Z]{2}\}|[A-Za-z]{3,12}"
    r"|\\(?:vec|hat|bar|overrightarrow) ?\{[A-Za-z]{1,2}\}|\\text ?\{[A-Za-z ()]{1,40}\}"
    r"|[A-Z]\^(?:\{ ?-1 ?\}|\{? ?T ?\}?)"
    r"|\\frac ?\{ ?d ?\^?[23]? ?[a-z]? ?\} ?\{ ?d ?[a-z]\^?[23]? ?\}"
)
_FUNCTION = re.compile(
    r"[A-Za-z](?:_\w|_\{\w+\})?'*(?:\^\{-1\})?\([A-Za-z]\)|[A-Za-z]_(?:\{ ?[a-z] ?\}|[a-z])"
)
_APPLIED = re.compile(
    r"(?:[A-Za-z](?:_\w|_\{\w+\})?'*(?:\^\{-1\})?|\\text ?\{[A-Za-z]+\}"
    r"|\\(?:det|gcd|zeta|Gamma|deg|dim) ?)\([^()]{1,30}\)"
)
_TUPLE_NAMES = re.compile(r"\(([A-Za-z](?:_\d)?(?:, ?[A-Za-z](?:_\d)?)+)\)")
_NO_NAMES = frozenset([r"\pi", r"\infty", r"\frac", r"\sqrt", "pi"])
_DENIAL = re.compile(r"\b(?:not|no|never|isn|wrong|false|except)\b", re.IGNORECASE)
_DECIMAL = re.compile(r"-?\d*\.(\d+)|-?\d+()")
_SOLVED = re.compile(
    r"\bsolve\b[^.?!]{0,80}\bfor\b|\bslope-intercept\b|\bin terms of\b|\bmake\b.{0,40}\bsubject\b"
    r"|\bexpress\b[^.?!]{0,40}\bas a function\b|\bexplicit\b",
    re.IGNORECASE,
)


def is_name(text: str) -> bool:
    r"""`x`, `a_1`, `f(x)`, `AB`, `\angle A`, `\text{Area}`: what an answer may be called."""
    if text in _NO_NAMES or _DENIAL.search(text):
        return False
    return any(pattern.fullmatch(text) for pattern in (_NAME, _FUNCTION, _APPLIED))


def is_plain_name(text: str) -> bool:
    """A single letter with or without an index."""
    return re.fullmatch(r"\\?[A-Za-z]+(?:_(?:\{\w+\}|\w))?", text) is not None and is_name(text)


def _is_other(text: str, asked: Asked) -> bool:
    """Whether a name stands for something in the question that is not what was asked for."""
    question = asked.question
    own, kind = _canonical(text), _kind(text)
    wanted = {_canonical(one) for one in question.asked if is_name(one)}
    if not question.asked or own in wanted:
        return False
    letters = set(own) if own.isalpha() and own.islower() else {own}
    return letters <= question.variables or any(_kind(one) == kind for one in wanted)


def _canonical(name: str) -> str:
    r"""A name without arrows, bold type and spaces: `\vec{v}` and `\mathbf{v}` are v."""
    return re.sub(r"\\(?:vec|hat|bar|text|overrightarrow|overline) ?|[{}\s]", "", name)


def _kind(name: str) -> str:
    """What sort of thing a name is for: an angle, a segment, a function's value, ..."""
    name = _canonical(name)
    if name.startswith((r"\angle", r"m\angle")):
        return "angle"
    if "(" in name or "_" in name:
        return re.split(r"[(_]", name)[0]
    return "segment" if len(name) > 1 and name.isupper() else "letter" if len(name) == 1 else name


def from_relation(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """`x = 5`, `2 + 2 = 4`: all sides must be one value, the last of them worked out."""
    marks = set(given.marks)
    if wanted.kind in ("interval", "tuple") and "=" not in marks:
        interval = as_interval(given)
        if interval is None or asked.question.wants_points:
            return Match.UNSURE, "a relation"
        return compare(wanted, interval, asked)
    if not marks <= {"=", _APPROX} or _APPROX in given.marks[:-1]:
        return Match.DIFFERENT, "a relation where a value is wanted"
    sides, doubt = _without_names(given, asked)
    if _APPROX in marks:
        return _approximate(wanted, sides, asked, compare)
    loose = replace(asked, as_answer=False)
    if len(sides) < len(given.parts):
        # The name is said to equal all of them: what is no number is passed on the way.
        sides = [s for s in sides[:-1] if s.node is None or not symbols(s.node)] + sides[-1:]
        sides = [s for s in sides[:-1] if s.kind != "opaque"] + sides[-1:]
    if compare(wanted, sides[-1], loose)[0] is Match.DIFFERENT:
        return Match.DIFFERENT, "the last side of the equation differs"
    chain = [compare(a, b, loose) for a, b in itertools.pairwise([wanted, *sides])][:-1]
    if any(match is not Match.EQUAL for match, _ in chain):
        if any(s.node is None or symbols(s.node) for s in sides[:-1]):
            return Match.UNSURE, "an equation of something that was not asked for"
        return at_best(Match.UNSURE, all_of(chain), "the sides of the equation may differ")
    if doubt:
        return Match.UNSURE, doubt
    return compare(wanted, sides[-1], asked)


def _without_names(given: Form, asked: Asked) -> tuple[list[Form], str]:
    """The sides of an equation behind the names that it starts with; and what makes it doubtful."""
    sides = list(given.parts)
    doubt = ""
    while len(sides) > 1:
        text = sides[0].text
        if match := _TUPLE_NAMES.fullmatch(text):
            names = tuple(re.split(", ?", match[1]))
            if names != order_of(asked.question, frozenset(names)):
                doubt = "is this the order of the tuple?"
        elif key(text) in asked.question.asked:
            pass
        elif not is_name(text):
            break
        elif _is_other(text, asked):
            doubt = f"{text[:40]} is not what was asked for"
        del sides[0]
    return sides, doubt


def _approximate(wanted: Form, sides: list[Form], asked: Asked, compare: Compare) -> Result:
    r"""`\sqrt 2 \approx 1.414`: exact first, and then right to the digits that are shown."""
    if len(sides) == 1:
        result = compare(wanted, sides[0], asked)
        if _DECIMAL.fullmatch(wanted.text) and "." in wanted.text:
            return result
        return at_best(Match.UNSURE, result, "approximately")
    exact = replace(asked, as_answer=False)
    results = [compare(wanted, side, exact) for side in sides[:-2]]
    result = all_of([*results, compare(wanted, sides[-2], asked)])
    if result[0] is not Match.EQUAL:
        return at_best(Match.UNSURE, result, "approximately")
    shown = _DECIMAL.fullmatch(sides[-1].text.removesuffix("%").strip())
    left, right = sides[-2].node, sides[-1].node
    if shown is None or left is None or right is None:
        return Match.UNSURE, "approximately"
    if sides[-1].unit is not None and sides[-2].unit is None:
        right = _math_value.scaled(right, sides[-1].unit.factor)
    apart = _math_value.distance(left, right)
    places = len(shown[1] or "")
    step = 10.0**-places * float(sides[-1].unit.factor if sides[-1].unit else 1)
    # Rounded, or cut off where two or more digits are shown.
    if apart is None or apart[0] > step * (1 if places > 1 else 0.5000001):
        return Match.DIFFERENT, "the approximation is wrong"
    return Match.EQUAL, "equal, with an approximation"


def to_relation(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """`5` for `x = 5`; for `y = 2x + 1` the name is part of the answer."""
    left = wanted.parts[0].text
    if _TUPLE_NAMES.fullmatch(left) or key(left) in asked.question.asked:
        return compare(wanted.parts[1], given, asked)
    if not is_name(left):
        return (Match.UNSURE if given.kind == "opaque" else Match.DIFFERENT), "a relation is wanted"
    right = wanted.parts[1]
    match, why = compare(right, given, asked)
    free = right.node is None or symbols(right.node)
    if _canonical(left) in asked.question.asked:
        return match, why
    if match is Match.EQUAL and free and right.kind == "value" and not _FUNCTION.fullmatch(left):
        return Match.UNSURE, "the left side is missing"
    return match, why


def relations(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """Two equations or inequalities."""
    if {_APPROX, r"\equiv"} & {*wanted.marks, *given.marks}:
        if (
            wanted.marks == given.marks == (_APPROX,)
            and wanted.parts[0].text == given.parts[0].text
        ):
            return compare(wanted.parts[1], given.parts[1], asked)
        return Match.UNSURE, "an approximation or a congruence"
    names = [form.parts[0].text for form in (wanted, given)]
    equations = set(wanted.marks) == set(given.marks) == {"="}
    if equations and all(map(is_name, names)) and len(wanted.parts) == 2:
        bare = [re.sub(r"\([a-z]\)$", "", _canonical(name)) for name in names]
        same = _canonical(names[0]) == _canonical(names[1])
        if same or (bare[0] == bare[1] and _canonical(names[0]) in bare):
            return _same_name(wanted, given, asked, compare)
        match, _ = compare(wanted.parts[1], given.parts[-1], asked)
        if match is not Match.DIFFERENT and any(map(_FUNCTION.fullmatch, names)):
            return Match.UNSURE, "another name"
    if len(wanted.marks) == len(given.marks) == 1:
        return _styled(_scaled(wanted, given), wanted, given, asked, compare)
    return _sides(wanted, given, asked, compare)


def _same_name(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    if len(given.parts) == 2:
        return compare(wanted.parts[1], given.parts[1], asked)
    rest = replace(given, parts=given.parts[1:], marks=given.marks[1:])
    return from_relation(wanted.parts[1], rest, asked, compare)


def _sides(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """Side by side, in either direction."""
    if wanted.marks != given.marks:
        given = flip(given)
    if wanted.marks != given.marks:
        return Match.DIFFERENT, "another relation"
    pairs = zip(wanted.parts, given.parts, strict=True)
    return all_of([compare(a, b, asked) for a, b in pairs])


def _styled(result: Result, wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """An equal relation that is not the one asked for: not solved, or not in its form."""
    if result[0] is not Match.EQUAL or not asked.as_answer:
        return result
    question = asked.question
    if repeats(question, given.text):
        return Match.UNSURE, "the answer repeats a relation of the question"
    solved = is_plain_name(wanted.parts[0].text)
    if (
        solved
        and _SOLVED.search(question.prompt)
        and key(given.parts[0].text) != key(wanted.parts[0].text)
    ):
        return Match.UNSURE, "the relation is not solved for what was asked"
    if _math_style.FORM.search(question.prompt):
        loose = replace(asked, as_answer=False)
        if _sides(wanted, given, loose, compare)[0] is not Match.EQUAL:
            return Match.UNSURE, "a certain form is asked for"
        shapes = [[p.node and _math_style.shape(p.node) for p in f.parts] for f in (wanted, given)]
        if shapes[0] not in (shapes[1], shapes[1][::-1]):
            return Match.UNSURE, "a certain form is asked for"
    return result


def _scaled(wanted: Form, given: Form) -> Result:
    """One is the other times a constant: `2x + 1 = 0` and `20x + 10 = 0`."""
    if given.marks != wanted.marks:
        given = flip(given)
    if given.marks != wanted.marks:
        return Match.DIFFERENT, "another relation"
    nodes = [part.node for part in (*wanted.parts, *given.parts)]
    if any(node is None for node in nodes):
        return Match.UNSURE, "a relation of no values"
    a, b, c, d = (node for node in nodes if node is not None)
    ordered = wanted.marks[0] in FLIPPED
    match = _math_value.proportional(_minus(a, b), _minus(c, d), positive=ordered)
    return match, f"{match.value} as relations"


def _minus(a: Node, b: Node) -> Node:
    return Node("add", (a, Node("neg", (b,))))
