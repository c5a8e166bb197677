"""Compares two answers by their kinds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from verifiers import _math_style, _math_value, _units
from verifiers._math_forms import FLIPPED, Form, as_interval, flip, loosely
from verifiers._math_text import key
from verifiers._math_tree import Node, symbols
from verifiers._math_value import Match

_NAME = re.compile(
    r"(?:\\angle |\\triangle )?\\?[A-Za-z]+(?:_(?:\{[^{}]*\}|[A-Za-z0-9]))?'*(?:\([A-Za-z0-9]+\))?"
)
_FUNCTION = re.compile(r"[A-Za-z]+'*\([A-Za-z]\)")
_DECIMAL = re.compile(r"-?\d*\.(\d+)")
NO_FORM = "no known form"
_DEGREE = (("angle", 1),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the question says about its answer."""

    prompt: str = ""
    tolerance: float = 0.0
    """Relative; above 0 only where the problem declares its reference to be rounded."""
    as_answer: bool = True
    """Whether the given one must also be worked out, and not only be equal."""


def compare(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    """How a given answer compares with the wanted one, and why in a few words."""
    if _signature(wanted) == _signature(given):
        return Match.EQUAL, "the same text"
    if given.kind == "relation" and wanted.kind != "relation":
        return _from_relation(wanted, given, asked)
    if wanted.kind == "relation" and wanted.marks == ("=",) and given.kind != "relation":
        return _to_relation(wanted, given, asked)
    if "opaque" in (wanted.kind, given.kind):
        return Match.UNSURE, NO_FORM
    rule = _RULES.get((wanted.kind, given.kind))
    if rule is None:
        return Match.DIFFERENT, f"a {given.kind} where a {wanted.kind} is wanted"
    return rule(wanted, given, asked)


def _signature(form: Form) -> tuple[str, str, tuple[str, ...]]:
    return form.kind, key(form.text), form.marks


def _values(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    if wanted.node is None or given.node is None:
        return Match.UNSURE, "no value"
    match = _math_value.compare(wanted.node, given.node)
    if match is Match.DIFFERENT:
        apart = _math_value.distance(wanted.node, given.node)
        decimal = _DECIMAL.fullmatch(wanted.text)
        if apart and asked.tolerance and apart[0] <= asked.tolerance * apart[1]:
            match = Match.EQUAL
        elif apart and decimal and apart[0] * 2 <= 10.0 ** -len(decimal[1]):
            return Match.UNSURE, "the reference may be the answer, rounded"
    if match in (Match.EQUAL, Match.LIKELY) and asked.as_answer:
        reason = _math_style.unfinished(asked.prompt, wanted.node, given.node, given.text)
        match = Match.UNSURE if reason else match
        return match, reason or f"{match.value} in value"
    return match, f"{match.value} in value"


def _quantities(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    """Units must agree; where only one side has a unit, it must be beyond doubt."""
    wanted, given = loosely(wanted), loosely(given)
    if wanted.node is None or given.node is None:
        return Match.UNSURE, "no value"
    if wanted.unit and given.unit and wanted.unit.dimensions == given.unit.dimensions:
        if wanted.unit.factor == given.unit.factor:
            return _values(wanted, given, asked)
        match = _math_value.compare(_scaled(wanted), _scaled(given))
        if match is Match.EQUAL and not _math_style.is_numeral(given.node):
            return Match.UNSURE, "another unit, and not worked out"
        return match, f"{match.value} in another unit"
    unit = wanted.unit or given.unit
    assert unit is not None
    if wanted.unit and given.unit:
        return Match.DIFFERENT, "another unit"
    if _math_value.compare(_scaled(wanted), _scaled(given)) is Match.EQUAL and (
        unit.names == ("%",) or unit.dimensions == _DEGREE
    ):
        return Match.EQUAL, "equal without the unit"
    match, why = _values(wanted, given, asked)
    if match in (Match.EQUAL, Match.LIKELY) and not _is_implied(unit, asked.prompt):
        return Match.UNSURE, "a unit on one side only"
    return match, why


def _scaled(form: Form) -> Node:
    """The value in base units; degrees become radians."""
    assert form.node is not None
    if form.unit is None or (form.unit.factor == 1 and form.unit.dimensions != _DEGREE):
        return form.node
    factor = Node("num", value=form.unit.factor)
    if form.unit.dimensions == _DEGREE:
        factor = Node("div", (Node("pi"), Node("num", value=Fraction(180))))
    return Node("mul", (form.node, factor))


def _is_implied(unit: _units.Unit, prompt: str) -> bool:
    """Whether a number with this unit and without it are one answer to this question."""
    if unit.names == ("%",):
        return False
    if unit.dimensions == _DEGREE:
        return "radian" not in prompt.casefold()
    words = {_units.singular(w) for w in re.findall(r"[A-Za-z]+", prompt)}
    if unit.names == ("dollar",):
        return "cent" not in words
    return all(_units.spellings(name) & words for name in unit.names)


def _words(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    if _text_key(wanted) == _text_key(given):
        return Match.EQUAL, "the same words"
    bare = not (wanted.quoted or given.quoted)
    if bare and _values(wanted, given, asked)[0] in (Match.EQUAL, Match.LIKELY):
        return Match.UNSURE, "words, or products of letters?"
    return Match.DIFFERENT, "other words"


def _words_or_value(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    words, value = (wanted, given) if wanted.kind == "words" else (given, wanted)
    if words.quoted and re.fullmatch(r"\(?[A-Za-z]\)?", value.text):
        same = words.text == value.text.strip("()")
        return (Match.EQUAL if same else Match.DIFFERENT), "letters"
    if words.node is not None and value.node is not None:
        match = _math_value.compare(words.node, value.node)
        return (Match.DIFFERENT if match is Match.DIFFERENT else Match.UNSURE), "words or a value?"
    return Match.DIFFERENT, "words where a value is wanted, or the reverse"


def _text_key(form: Form) -> str:
    return re.sub(r"[\s.\-]+", " ", form.text).strip().casefold()


def _based(wanted: Form, given: Form, _: Asked) -> tuple[Match, str]:
    if wanted.kind == given.kind:
        same = (wanted.text, wanted.marks) == (given.text, given.marks)
        return (Match.EQUAL if same else Match.DIFFERENT), "digits and base"
    digits = {wanted.text.upper(), given.text.upper()}
    return (Match.UNSURE if len(digits) == 1 else Match.DIFFERENT), "a base on one side only"


def _ordered(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    if wanted.marks != given.marks or len(wanted.parts) != len(given.parts):
        return Match.DIFFERENT, "another shape"
    return _all([compare(a, b, asked) for a, b in zip(wanted.parts, given.parts, strict=True)])


def _all(found: Sequence[tuple[Match, str]]) -> tuple[Match, str]:
    for match in (Match.DIFFERENT, Match.UNSURE, Match.LIKELY):
        for one, why in found:
            if one is match:
                return match, why
    return Match.EQUAL, "equal part by part"


def _unordered(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    """Every part has its own partner, whatever the order."""
    if len(wanted.parts) != len(given.parts):
        return Match.DIFFERENT, f"{len(given.parts)} parts where {len(wanted.parts)} are wanted"
    left = list(given.parts)
    found = []
    for part in wanted.parts:
        results = [compare(part, other, asked) for other in left]
        for match in (Match.EQUAL, Match.LIKELY, Match.UNSURE):
            at = next((n for n, (one, _) in enumerate(results) if one is match), None)
            if at is not None:
                found.append(results[at])
                del left[at]
                break
        else:
            return Match.DIFFERENT, f"no part equals {part.text[:40]!r}"
    parts = wanted.parts + given.parts
    relations = [p for p in parts if p.kind == "relation"]
    joiners = {"and", "or"} <= set(wanted.marks + given.marks)
    if joiners and any(p.marks != ("=",) for p in relations):
        return Match.UNSURE, "and, or or?"
    if len({key(p.parts[0].text) for p in relations}) > 1 and len(relations) < len(parts):
        return Match.UNSURE, "which value belongs to which name?"
    return _all(found)


def _doubtful(rule: Callable[[Form, Form, Asked], tuple[Match, str]], why: str) -> _Rule:
    """The same parts in another kind of bracket: different, or undecided at best."""

    def apply(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
        match, _ = rule(wanted, given, asked)
        return (Match.DIFFERENT if match is Match.DIFFERENT else Match.UNSURE), why

    return apply


def _single(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    """`{5}` for 5, or the reverse."""
    many, one = (wanted, given) if wanted.kind == "list" else (given, wanted)
    if len(many.parts) != 1:
        return Match.DIFFERENT, f"{len(many.parts)} parts on one side only"
    return compare(many.parts[0], one, asked)


def _from_relation(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    r"""`x = 5`, `2 + 2 = 4`: all sides must be one value, the last of them worked out."""
    sides = list(given.parts)
    if r"\approx" in given.marks and set(given.marks) <= {"=", r"\approx"}:
        match, _ = compare(wanted, sides[-2], asked)
        return (Match.DIFFERENT if match is Match.DIFFERENT else Match.UNSURE), "approximately"
    if wanted.kind in ("interval", "tuple") and set(given.marks) != {"="}:
        interval = as_interval(given)
        return compare(wanted, interval, asked) if interval else (Match.UNSURE, "a relation")
    if set(given.marks) != {"="}:
        return Match.DIFFERENT, "a relation where a value is wanted"
    if _is_name(sides[0].text):
        del sides[0]
    loose = replace(asked, as_answer=False)
    chain = [compare(a, b, loose) for a, b in itertools.pairwise([wanted, *sides])]
    if any(match is Match.DIFFERENT for match, _ in chain):
        return Match.DIFFERENT, "the sides of the equation differ"
    if any(match is not Match.EQUAL for match, _ in chain[:-1]):
        return Match.UNSURE, "the sides of the equation may differ"
    return compare(wanted, sides[-1], asked)


def _is_name(text: str) -> bool:
    r"""`x`, `a_1`, `f(x)`, `(x, y)`; of several letters only in their usual order."""
    if match := re.fullmatch(r"\(([A-Za-z](?:, ?[A-Za-z])+)\)", text):
        letters = match[1].replace(" ", "").split(",")
        return letters == sorted(letters)
    return text != r"\pi" and _NAME.fullmatch(text) is not None


def _to_relation(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    """`5` for `x = 5`; for `y = 2x + 1` the name is part of the answer."""
    if not _is_name(wanted.parts[0].text):
        return (Match.UNSURE if given.kind == "opaque" else Match.DIFFERENT), "a relation is wanted"
    right = wanted.parts[1]
    match, why = compare(right, given, asked)
    free = right.node is None or symbols(right.node)
    if match is Match.EQUAL and free and not _FUNCTION.fullmatch(wanted.parts[0].text):
        return Match.UNSURE, "the left side is missing"
    return match, why


def _relations(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    if r"\approx" in wanted.marks + given.marks or r"\equiv" in wanted.marks + given.marks:
        return Match.UNSURE, "an approximation or a congruence"
    names = [form.parts[0].text for form in (wanted, given)]
    if all(form.marks == ("=",) for form in (wanted, given)) and all(map(_is_name, names)):
        match, why = compare(wanted.parts[1], given.parts[1], asked)
        if key(names[0]) == key(names[1]):
            return match, why
        if match is not Match.DIFFERENT and any(map(_FUNCTION.fullmatch, names)):
            return Match.UNSURE, "another name"
    if len(wanted.marks) == len(given.marks) == 1:
        return _scaled_relations(wanted, given)
    flipped = flip(given) if wanted.marks != given.marks else given
    return _ordered(wanted, flipped, asked)


def _scaled_relations(wanted: Form, given: Form) -> tuple[Match, str]:
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
    match = _math_value.proportional(Node("sub", (a, b)), Node("sub", (c, d)), positive=ordered)
    return match, f"{match.value} as relations"


def _interval_for_relation(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    interval = as_interval(wanted)
    return compare(interval, given, asked) if interval else (Match.UNSURE, "a relation is wanted")


def _union(wanted: Form, given: Form, asked: Asked) -> tuple[Match, str]:
    r"""`x < 1 or x > 3` for `(-\infty, 1) \cup (3, \infty)`, or the reverse."""
    listed = wanted if wanted.kind == "list" else given
    if listed.marks != ("or",) or any(p.kind != "relation" for p in listed.parts):
        return Match.DIFFERENT, "a list where a union is wanted, or the reverse"
    return _unordered(wanted, given, asked)


_Rule = Callable[[Form, Form, Asked], tuple[Match, str]]
_RULES: dict[tuple[str, str], _Rule] = {
    ("value", "value"): _values,
    ("value", "quantity"): _quantities,
    ("quantity", "value"): _quantities,
    ("quantity", "quantity"): _quantities,
    ("words", "words"): _words,
    ("words", "value"): _words_or_value,
    ("value", "words"): _words_or_value,
    ("based", "based"): _based,
    ("based", "value"): _based,
    ("value", "based"): _based,
    ("list", "list"): _unordered,
    ("union", "union"): _unordered,
    ("tuple", "tuple"): _ordered,
    ("interval", "interval"): _ordered,
    ("matrix", "matrix"): _ordered,
    ("relation", "relation"): _relations,
    ("relation", "tuple"): _interval_for_relation,
    ("relation", "interval"): _interval_for_relation,
    ("tuple", "list"): _doubtful(_unordered, "is the order given?"),
    ("list", "tuple"): _doubtful(_unordered, "is the order meant?"),
    ("union", "list"): _union,
    ("list", "union"): _union,
    ("list", "value"): _doubtful(_single, "a set of one"),
    ("value", "list"): _doubtful(_single, "a set of one"),
}
