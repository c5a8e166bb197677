r"""Compares answers made of several: lists and sets without order, tuples and matrices with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from verifiers import _math_value
from verifiers._math_asked import Asked, Compare, Result, all_of, at_best
from verifiers._math_form import Form
from verifiers._math_question import order_of, repeats
from verifiers._math_relations import is_plain_name
from verifiers._math_text import key
from verifiers._math_tree import Node, symbols
from verifiers._math_value import Match


def ordered(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """Part by part, in brackets of the same kind."""
    if wanted.marks != given.marks or len(wanted.parts) != len(given.parts):
        return Match.DIFFERENT, "another shape"
    pairs = zip(wanted.parts, given.parts, strict=True)
    return all_of([compare(a, b, asked) for a, b in pairs])


def unordered(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """Every part has its own partner, whatever the order; what has a name goes by its name."""
    left, right = _names(wanted), _names(given)
    if left and right and set(left) == set(right) and len(left) == len(wanted.parts) > 1:
        return all_of([compare(left[name], right[name], asked) for name in sorted(left)])
    if (left is not None or right is not None) and not (_one_letter(left) and _one_letter(right)):
        result = _partners(_values(wanted), _values(given), asked, compare)
        return at_best(Match.UNSURE, result, "which value belongs to which name?")
    joiners = {"and", "or"} <= {*wanted.marks, *given.marks}
    relations = [p for p in (*wanted.parts, *given.parts) if p.kind == "relation"]
    result = _partners(_values(wanted), _values(given), asked, compare)
    if joiners and any(p.marks != ("=",) for p in relations):
        return at_best(Match.UNSURE, result, "and, or or?")
    return result


def _partners(
    wanted: Sequence[Form], given: Sequence[Form], asked: Asked, compare: Compare
) -> Result:
    if len(wanted) != len(given):
        return Match.DIFFERENT, f"{len(given)} parts where {len(wanted)} are wanted"
    left = list(given)
    found = []
    for part in wanted:
        results = [compare(part, other, asked) for other in left]
        for match in (Match.EQUAL, Match.LIKELY, Match.UNSURE):
            at = next((n for n, (one, _) in enumerate(results) if one is match), None)
            if at is not None:
                found.append(results[at])
                del left[at]
                break
        else:
            return Match.DIFFERENT, f"no part equals {part.text[:40]!r}"
    return all_of(found)


def _names(form: Form) -> dict[str, Form] | None:
    """The values of a list by their names; None if its parts are not all named.

    `x = 2, x = 3` has one name for two values: they are told apart by where they stand.
    """
    found: dict[str, Form] = {}
    for n, part in enumerate(form.parts):
        if part.kind != "relation" or set(part.marks) != {"="} or len(part.parts) != 2:
            return None
        name = key(part.parts[0].text)
        if not is_plain_name(part.parts[0].text):
            return None
        found[name if name not in found else f"{name}#{n}"] = part.parts[1]
    return found


def _one_letter(names: dict[str, Form] | None) -> bool:
    """Whether all names are one letter, with different indices at most (or there are none)."""
    return names is None or len({re.split("[_#]", name)[0] for name in names}) == 1


def _values(form: Form) -> list[Form]:
    """The members without their names; `x = 2, 3` names the first alone."""
    named = _names(form)
    if named is not None:
        return list(named.values())
    first = form.parts[0] if form.parts else None
    bare = all(part.kind != "relation" for part in form.parts[1:])
    equation = first is not None and first.kind == "relation" and first.marks == ("=",)
    if first and equation and bare and len(form.parts) > 1 and is_plain_name(first.parts[0].text):
        return [first.parts[1], *form.parts[1:]]
    return list(form.parts)


def named_tuple(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """`x = 3, y = -4` for `(3, -4)`, or the reverse: the names say the order."""
    listed, plain = (wanted, given) if wanted.kind == "list" else (given, wanted)
    if len(listed.parts) == 1:
        return single(wanted, given, asked, compare)
    names = _names(listed)
    if names is None or len(names) < 2 or _one_letter(names) or plain.marks:
        result = _partners(wanted.parts, given.parts, asked, compare)
        return at_best(Match.UNSURE, result, "is the order meant, or not?")
    order = order_of(asked.question, frozenset(names))
    tupled = replace(listed, kind="tuple", marks=(), parts=tuple(names[n] for n in order))
    both = (tupled, plain) if wanted.kind == "list" else (plain, tupled)
    return ordered(*both, asked, compare)


def single(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """`{5}` for 5, or the reverse; a value with a condition on its symbols behind it."""
    many, one = (wanted, given) if wanted.kind == "list" else (given, wanted)
    if len(many.parts) == 1:
        both = (many.parts[0], one) if many is wanted else (one, many.parts[0])
        result = compare(*both, asked)
        if asked.question.wants_solutions:
            return result
        return at_best(Match.UNSURE, result, "a set of one")
    if many is given and _conditions(many.parts[1:], one):
        result = compare(one, many.parts[0], asked)
        return at_best(Match.UNSURE, result, "a condition is added")
    return Match.DIFFERENT, f"{len(many.parts)} parts on one side only"


def _conditions(parts: Sequence[Form], value: Form) -> bool:
    free = symbols(value.node) if value.node else frozenset[str]()
    return bool(free) and all(part.kind == "relation" and part.marks != ("=",) for part in parts)


def column(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """A column of a matrix as a tuple, or the reverse."""
    matrix = wanted if wanted.kind == "matrix" else given
    style, *widths = matrix.marks
    if style or len(wanted.parts) != len(given.parts):
        return Match.DIFFERENT, "another shape"
    result = all_of([compare(a, b, asked) for a, b in zip(wanted.parts, given.parts, strict=True)])
    if set(widths) == {"1"} and asked.question.wants_points:
        return result
    return at_best(Match.UNSURE, result, "a matrix, or a tuple?")


def ratios(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """`1:2`, and `1/2` for it where a ratio is asked for."""
    sides = [f.parts if f.kind == "ratio" else (f,) for f in (wanted, given)]
    if len(sides[0]) == len(sides[1]):
        result = all_of([compare(a, b, asked) for a, b in zip(*sides, strict=True)])
        if result[0] is not Match.DIFFERENT:
            return result
    left, right = (_ratio(side) for side in sides)
    if left is None or right is None:
        return Match.DIFFERENT, "another ratio"
    match = _math_value.compare(left, right)
    if match is Match.EQUAL and len(sides[0]) != len(sides[1]) and asked.question.wants_ratio:
        return Match.EQUAL, "the ratio as a fraction"
    return at_best(Match.UNSURE, (match, "another ratio"), "the same ratio in other terms")


def _ratio(parts: Sequence[Form]) -> Node | None:
    nodes = [part.node for part in parts]
    if len(nodes) > 2 or any(node is None for node in nodes):
        return None
    plain = tuple(node for node in nodes if node is not None)
    return plain[0] if len(plain) == 1 else Node("div", plain)


def residues(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    r"""`3 \pmod 7`: the same modulus, and the same residue."""
    left, right = (key(f.marks[0]) if f.kind == "residue" else "" for f in (wanted, given))
    fresh = not left and is_plain_name(right)
    if right and left != right and not fresh and not repeats(asked.question, right):
        return Match.UNSURE, "a congruence of something else"
    if wanted.kind != given.kind:
        if given.kind == "residue" and _is_remainder(given, asked):
            return compare(wanted, given.parts[0], asked)
        plain = wanted.parts[0] if wanted.kind == "residue" else wanted
        other = given.parts[0] if given.kind == "residue" else given
        return at_best(Match.UNSURE, compare(plain, other, asked), "a modulus on one side only")
    if compare(wanted.parts[1], given.parts[1], asked)[0] is not Match.EQUAL:
        return Match.DIFFERENT, "another modulus"
    result = compare(wanted.parts[0], given.parts[0], asked)
    return at_best(Match.UNSURE, result, why=result[1]) if result[0] is not Match.EQUAL else result


def _is_remainder(given: Form, asked: Asked) -> bool:
    """Whether this residue answers a question for a remainder by the same number."""
    modulus = given.parts[1].text
    numbers = re.findall(r"\d+", asked.question.prompt)
    return asked.question.wants_remainder and modulus in [*numbers, "10"]


def families(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    r"""`\pi/4 + k\pi, k \in \mathbb{Z}`, whatever the name of the whole number."""
    if wanted.kind != given.kind:
        family, plain = (wanted, given) if wanted.kind == "family" else (given, wanted)
        both = (family.parts[0], plain) if family is wanted else (plain, family.parts[0])
        result = compare(*both, asked)
        free = plain.node is not None and family.marks[0] in symbols(plain.node)
        if family is given and free:
            return result
        return at_best(Match.UNSURE, result, "a whole number is declared on one side only")
    if wanted.marks[1] != given.marks[1]:
        return Match.UNSURE, "another range of the whole number"
    left, right = _branches(wanted), _branches(given)
    if len(left) != len(right):
        return Match.UNSURE, "another number of families"
    for one in left:
        at = next((n for n, other in enumerate(right) if _same_family(one, other)), None)
        if at is None:
            return Match.UNSURE, "another family, or counted otherwise"
        del right[at]
    return Match.EQUAL, "the same families"


def _branches(form: Form) -> list[Form]:
    """The families that a list with one whole number in it stands for."""
    base = form.parts[0]
    parts = base.parts if base.kind == "list" else (base,)
    return [replace(form, parts=(_unnamed(part),)) for part in parts]


def _same_family(wanted: Form, given: Form) -> bool:
    left, right = wanted.parts[0].node, given.parts[0].node
    if left is None or right is None:
        return False
    name = wanted.marks[0]
    right = _renamed(right, given.marks[0], name)
    if _math_value.compare(left, right) is Match.EQUAL:
        return True
    return wanted.marks[1] == "Z" and _shifted(left, right, name)


def _unnamed(form: Form) -> Form:
    """`x = ...` without its name."""
    if form.kind == "relation" and form.marks == ("=",) and is_plain_name(form.parts[0].text):
        return form.parts[1]
    return form


def _renamed(node: Node, old: str, new: str) -> Node:
    if node.op == "sym":
        return Node("sym", value=new) if node.value == old else node
    return Node(node.op, tuple(_renamed(arg, old, new) for arg in node.args), node.value)


def _shifted(a: Node, b: Node, name: str) -> bool:
    """Whether b(k) is a(k + n) or a(n - k) for a small whole number n."""
    for sign in (1, -1):
        for shift in (0, 1, -1, 2, -2):
            index = Node("sym", value=name)
            index = index if sign == 1 else Node("neg", (index,))
            moved = Node("add", (index, Node("num", value=Fraction(shift))))
            if _math_value.compare(_put(a, name, moved), b) is Match.EQUAL:
                return True
    return False


def _put(node: Node, name: str, value: Node) -> Node:
    if node.op == "sym" and node.value == name:
        return value
    return Node(node.op, tuple(_put(arg, name, value) for arg in node.args), node.value)


def cases(wanted: Form, given: Form, asked: Asked, compare: Compare) -> Result:
    """Functions in pieces: every row has its own partner."""
    rows = [list(zip(f.parts[::2], f.parts[1::2], strict=True)) for f in (wanted, given)]
    if len(rows[0]) != len(rows[1]):
        return Match.UNSURE, "another number of pieces"
    left = rows[1]
    for value, when in rows[0]:
        for other in left:
            pair = compare(when, other[1], asked), compare(value, other[0], asked)
            if all(match is Match.EQUAL for match, _ in pair):
                left.remove(other)
                break
        else:
            return Match.UNSURE, "other pieces"
    return Match.EQUAL, "the same pieces"
