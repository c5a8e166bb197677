"""Compares two answers by their kinds."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from verifiers import (
    _math_forms,
    _math_lists,
    _math_region,
    _math_relations,
    _math_style,
    _math_value,
    _units_asked,
)
from verifiers._math_asked import Asked, Result, Rule, at_best
from verifiers._math_form import Form
from verifiers._math_leaves import loosely
from verifiers._math_question import repeats
from verifiers._math_text import key
from verifiers._math_tree import Node, symbols, walk
from verifiers._math_value import Match

_DECIMAL = re.compile(r"-?\d*\.(\d+)")
_FREE_CONSTANT = re.compile(r"[CcKk](?:_\w)?")
_GENERIC = re.compile(
    r"(?<=\w) (?:functions?|triangles?|series|sequences?|numbers?|property|angles?)$"
)
_POINT = re.compile(r"[A-Z] ?(\([^()]*,[^()]*\))")
_LETTERS = re.compile(r"\(?[A-Za-z]\)?")
NO_FORM = "no known form"
_RADIANS = (("radian", 1),)
_PERCENT = ("%",)
_HALF_TURN = Fraction(180)


def compare(wanted: Form, given: Form, asked: Asked) -> Result:
    """How a given answer compares with the wanted one, and why in a few words."""
    if _signature(wanted) == _signature(given):
        return Match.EQUAL, "the same text"
    if (result := _regions(wanted, given, asked)) is not None:
        return result
    if wanted.kind == "tuple" and given.kind == "opaque" and asked.question.wants_points:
        given = _unlabelled(given)
    if given.kind == "relation" and _gives(given, wanted.kind):
        return _math_relations.from_relation(wanted, given, asked, compare)
    if wanted.kind == "relation" and wanted.marks == ("=",) and given.kind != "relation":
        return _math_relations.to_relation(wanted, given, asked, compare)
    if "opaque" in (wanted.kind, given.kind):
        return Match.UNSURE, NO_FORM
    rule = _RULES.get((wanted.kind, given.kind))
    if rule is None:
        return Match.DIFFERENT, f"a {given.kind} where a {wanted.kind} is wanted"
    return rule(wanted, given, asked, compare)


def _unlabelled(form: Form) -> Form:
    """A point without its letter: `V(2, 3)`."""
    match = _POINT.fullmatch(form.text)
    return _math_forms.read(match[1]) if match else form


def _gives(given: Form, kind: str) -> bool:
    """Whether an equation can be a way to say what its right side is."""
    if kind in ("list", "union", "family"):
        return set(given.marks) == {"="} and given.parts[-1].kind in (kind, "tuple")
    return kind != "relation"


def _signature(form: Form) -> tuple[str, str, tuple[str, ...]]:
    return form.kind, key(form.text), form.marks


def _regions(wanted: Form, given: Form, asked: Asked) -> Result | None:
    """Both as sets of reals; None where one is no such set."""
    if not (_math_region.is_region(wanted) or _math_region.is_region(given)):
        return None
    match = _math_region.same(wanted, given)
    if match is None:
        return None
    if match is Match.EQUAL and asked.as_answer:
        if wanted.kind == "tuple" and asked.question.wants_points:
            return Match.UNSURE, "an interval where a point is wanted"
        if repeats(asked.question, given.text):
            return Match.UNSURE, "the answer repeats a relation of the question"
        if _is_unsolved(given, asked) and not _is_unsolved(wanted, asked):
            return Match.UNSURE, "the relation is not solved"
        if _has_operations(given) or any(map(_math_style.has_arithmetic, _nodes(given))):
            return Match.UNSURE, "the answer is not worked out"
    return match, "the same set" if match is Match.EQUAL else "another set"


def _is_unsolved(form: Form, asked: Asked) -> bool:
    """Whether a relation with something to solve answers a question that says "solve"."""
    if form.kind == "relation":
        nodes = [part.node for part in form.parts if part.node is not None]
        return asked.question.wants_solved and any(symbols(n) and n.op != "sym" for n in nodes)
    return any(_is_unsolved(part, asked) for part in form.parts)


def _has_operations(form: Form) -> bool:
    """Whether sets are left to intersect, to subtract or to unite."""
    finite = all(part.kind == "list" for part in form.parts)
    if form.kind == "meet" or (form.kind in ("union", "minus") and finite):
        return True
    return form.kind == "union" and any(map(_has_operations, form.parts))


def _nodes(form: Form) -> list[Node]:
    own = [form.node] if form.node else []
    return own + [node for part in form.parts for node in _nodes(part)]


def _values(wanted: Form, given: Form, asked: Asked, _: object = None) -> Result:
    if wanted.node is None or given.node is None:
        return Match.UNSURE, "no value"
    match = _math_value.compare(wanted.node, given.node)
    if match is Match.DIFFERENT:
        match, why = _nearly(wanted, given, asked)
        if match is not Match.EQUAL:
            return match, why
    if match is Match.LIKELY:
        if not asked.question.is_positive:
            return Match.UNSURE, "equal for positive reals alone"
        match = Match.EQUAL
    if match is Match.EQUAL and asked.as_answer:
        reason = _math_style.unfinished(
            asked.question, wanted.node, given.node, wanted.text, given.text
        )
        if reason:
            return Match.UNSURE, reason
    return match, f"{match.value} in value"


def _nearly(wanted: Form, given: Form, asked: Asked) -> Result:
    """What is different and yet the answer: rounded as declared, or apart by a free constant."""
    assert wanted.node is not None
    assert given.node is not None
    if constant_apart(wanted.node, given.node, asked.question.wants_antiderivative):
        return Match.EQUAL, "equal but for the constant of integration"
    apart = _math_value.distance(wanted.node, given.node)
    if apart and asked.tolerance and apart[0] <= asked.tolerance * apart[1]:
        return Match.EQUAL, "within the tolerance"
    decimal = _DECIMAL.fullmatch(wanted.text)
    if apart and decimal and apart[0] * 2 <= 10.0 ** -len(decimal[1]):
        return Match.UNSURE, "the reference may be the answer, rounded"
    return Match.DIFFERENT, "different in value"


def constant_apart(a: Node, b: Node, integral: bool) -> bool:
    """Whether both end in a free constant, and are else the same; for an integral it is enough
    that they differ by nothing that depends on a symbol."""
    plain = [_without_constant(node) for node in (a, b)]
    if plain[0] is None or plain[1] is None:
        return False
    if not integral:
        return _math_value.compare(plain[0], plain[1]) is Match.EQUAL
    apart = Node("add", (plain[0], Node("neg", (plain[1],))))
    if not symbols(apart):
        return False
    return _math_value.compare(apart, _primed(apart)) is Match.EQUAL


def _without_constant(node: Node) -> Node | None:
    terms = _terms(node)
    free = [n for n in terms if n.op == "sym" and _FREE_CONSTANT.fullmatch(str(n.value))]
    if len(terms) < 2 or len(free) != 1 or sum(n == free[0] for n in walk(node)) > 1:
        return None
    return Node("add", tuple(n for n in terms if n != free[0]))


def _terms(node: Node) -> list[Node]:
    return [t for arg in node.args for t in _terms(arg)] if node.op == "add" else [node]


def _primed(node: Node) -> Node:
    """The tree with other symbols: a tree that equals it does not depend on them."""
    if node.op == "sym":
        return Node("sym", value=f"{node.value}'")
    return Node(node.op, tuple(_primed(arg) for arg in node.args), node.value)


def _quantities(wanted: Form, given: Form, asked: Asked, _: object = None) -> Result:
    """Units must agree; where only one side has a unit, the question must say so."""
    wanted, given = _plain_radians(loosely(wanted), asked), _plain_radians(loosely(given), asked)
    if wanted.node is None or given.node is None:
        return Match.UNSURE, "no value"
    if wanted.unit is None and given.unit is None:
        return _values(wanted, given, asked)
    if _PERCENT in (wanted.unit and wanted.unit.names, given.unit and given.unit.names):
        return _percentages(wanted, given, asked)
    if wanted.unit and given.unit:
        return _two_units(wanted, given, asked)
    unit = wanted.unit or given.unit
    assert unit is not None
    named = _units_asked.named(asked.question.prompt)
    match, why = _values(wanted, given, asked)
    if unit.dimensions == _units_asked.ANGLE and match is not Match.EQUAL:
        radians = _math_value.compare(_scaled(wanted), _scaled(given)) is Match.EQUAL
        if radians and (named is None or named == (given.unit or named)):
            return Match.EQUAL, "equal in radians"
        return at_best(Match.UNSURE, (match, why), "degrees, or radians?")
    if match is not Match.EQUAL:
        return match, why
    known = _units_asked.implied if wanted.unit else _units_asked.takes
    if known(asked.question.prompt, unit):
        return match, why
    return Match.UNSURE, "a unit on one side only"


def _plain_radians(form: Form, asked: Asked) -> Form:
    """Radians are no unit where angles are measured in them anyway."""
    if form.unit is None or form.unit.dimensions != _RADIANS or form.node is None:
        return form
    plain = "radian" in asked.question.prompt or any(n.op == "pi" for n in walk(form.node))
    return replace(form, unit=None, kind="value") if plain else form


def _two_units(wanted: Form, given: Form, asked: Asked) -> Result:
    assert wanted.unit is not None
    assert given.unit is not None
    if wanted.unit.dimensions != given.unit.dimensions:
        return Match.DIFFERENT, "another unit"
    if wanted.unit.factor == given.unit.factor:
        return _values(wanted, given, asked)
    match = _math_value.compare(_scaled(wanted), _scaled(given))
    if match is Match.EQUAL and asked.as_answer:
        named = _units_asked.named(asked.question.prompt)
        if named is not None and named.factor != given.unit.factor:
            return Match.UNSURE, "another unit than the one asked for"
        if repeats(asked.question, given.text):
            return Match.UNSURE, "the answer repeats a quantity of the question"
        if given.node is None or not _math_style.is_numeral(given.node):
            return Match.UNSURE, "another unit, and not worked out"
    return match, f"{match.value} in another unit"


def _percentages(wanted: Form, given: Form, asked: Asked) -> Result:
    r"""`5\%` is 0.05; where a percentage is asked for, it is 5 as well, and 0.05 is in doubt."""
    assert wanted.node is not None
    assert given.node is not None
    if wanted.unit and given.unit:
        same = wanted.unit.names == given.unit.names
        return _values(wanted, given, asked) if same else (Match.DIFFERENT, "another unit")
    plain = _values(wanted, given, asked)
    if plain[0] is Match.EQUAL:
        if asked.question.wants_percent:
            return plain
        return Match.UNSURE, "a percent sign on one side only"
    bare = given.node if wanted.unit else wanted.node
    result = _math_value.compare(_scaled(wanted), _scaled(given)), "another percentage"
    if not asked.as_answer:
        return result
    whole = bare.op == "num" and getattr(bare.value, "denominator", 1) == 1
    if asked.question.wants_percent or whole or not _math_style.is_numeral(given.node):
        return at_best(Match.UNSURE, result, "a share, or a percentage?")
    return result[0], "equal as a share" if result[0] is Match.EQUAL else result[1]


def _scaled(form: Form) -> Node:
    """The value in base units; degrees become radians."""
    assert form.node is not None
    if form.unit is None:
        return form.node
    if form.unit.dimensions == _units_asked.ANGLE:
        turn = Node("div", (Node("pi"), Node("num", value=_HALF_TURN)))
        return Node("mul", (form.node, turn))
    return _math_value.scaled(form.node, form.unit.factor)


def _words(wanted: Form, given: Form, asked: Asked, _: object = None) -> Result:
    if _text_key(wanted) == _text_key(given):
        return Match.EQUAL, "the same words"
    if not (wanted.quoted or given.quoted) and wanted.node and given.node:
        match, _why = _values(wanted, given, asked)
        if match is Match.EQUAL:
            if set(wanted.text.replace(" ", "")) <= asked.question.variables:
                return match, "the same product"
            return Match.UNSURE, "words, or products of letters?"
    return Match.DIFFERENT, "other words"


def _words_or_value(wanted: Form, given: Form, asked: Asked, _: object = None) -> Result:
    words, value = (wanted, given) if wanted.kind == "words" else (given, wanted)
    if words.quoted and _LETTERS.fullmatch(value.text):
        same = words.text == value.text.strip("()")
        return (Match.EQUAL if same else Match.DIFFERENT), "letters"
    if words.node is not None and value.node is not None:
        result = _values(wanted, given, asked)
        if set(words.text.replace(" ", "")) <= asked.question.variables and not words.quoted:
            return result
        return at_best(Match.UNSURE, result, "words, or a value?")
    return Match.DIFFERENT, "words where a value is wanted, or the reverse"


def _text_key(form: Form) -> tuple[str, ...]:
    """The words in lower case, without an article; what "and" joins in any order."""
    text = re.sub(r"[\s.\-]+", " ", form.text).strip().casefold()
    text = re.sub(r"^(?:the|an?) (?=\w{2})", "", text)
    text = _GENERIC.sub("", text)
    return tuple(sorted(text.split(" and ")))


def _based(wanted: Form, given: Form, asked: Asked, _: object = None) -> Result:
    if wanted.kind == given.kind:
        same = (wanted.text, wanted.marks) == (given.text, given.marks)
        return (Match.EQUAL if same else Match.DIFFERENT), "digits and base"
    if wanted.text.upper() != given.text.upper():
        return Match.DIFFERENT, "a base on one side only"
    if asked.question.base == (wanted.marks or given.marks)[0]:
        return Match.EQUAL, "digits in the base that is asked for"
    return Match.UNSURE, "a base on one side only"


def _spaces(wanted: Form, given: Form, _: Asked, __: object = None) -> Result:
    same = wanted.marks == given.marks
    return (Match.EQUAL if same else Match.DIFFERENT), "sets with names"


_RULES: dict[tuple[str, str], Rule] = {
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
    ("space", "space"): _spaces,
    ("list", "list"): _math_lists.unordered,
    ("union", "union"): _math_lists.unordered,
    ("tuple", "tuple"): _math_lists.ordered,
    ("interval", "interval"): _math_lists.ordered,
    ("matrix", "matrix"): _math_lists.ordered,
    ("matrix", "tuple"): _math_lists.column,
    ("tuple", "matrix"): _math_lists.column,
    ("relation", "relation"): _math_relations.relations,
    ("tuple", "list"): _math_lists.named_tuple,
    ("list", "tuple"): _math_lists.named_tuple,
    ("list", "value"): _math_lists.single,
    ("value", "list"): _math_lists.single,
    ("list", "relation"): _math_lists.single,
    ("relation", "list"): _math_lists.single,
    ("list", "quantity"): _math_lists.single,
    ("quantity", "list"): _math_lists.single,
    ("ratio", "ratio"): _math_lists.ratios,
    ("ratio", "value"): _math_lists.ratios,
    ("value", "ratio"): _math_lists.ratios,
    ("residue", "residue"): _math_lists.residues,
    ("residue", "value"): _math_lists.residues,
    ("value", "residue"): _math_lists.residues,
    ("family", "family"): _math_lists.families,
    ("family", "value"): _math_lists.families,
    ("value", "family"): _math_lists.families,
    ("family", "relation"): _math_lists.families,
    ("relation", "family"): _math_lists.families,
    ("cases", "cases"): _math_lists.cases,
}
