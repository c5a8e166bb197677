r"""What kind of answer a text is: a number, a list, an interval, a relation, words, ...

Reading never fails: what fits no kind is `opaque`, and only its spelling can be compared.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from verifiers import _units
from verifiers._math_text import ROW
from verifiers._math_tree import FUNCTIONS, MAX_LENGTH, Node, Unreadable, parse

Kind = Literal[
    "value", "quantity", "words", "list", "tuple", "interval", "union", "relation", "matrix",
    "based", "opaque",
]  # fmt: skip
MAX_PARTS = 64
MAX_NESTING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An answer with its kind."""

    kind: Kind
    text: str
    """The cleaned text it was read from."""
    node: Node | None = None
    """The expression of a value or quantity; for words, the product they might be."""
    parts: tuple[Form, ...] = ()
    """Members of a list, tuple or union, ends of an interval, sides of a relation, ..."""
    marks: tuple[str, ...] = ()
    """Signs of a relation, brackets of an interval, widths of a matrix's rows, base of digits."""
    unit: _units.Unit | None = None
    quoted: bool = False
    r"""Words that stood in `\text{}`."""


_SCAN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPEN = frozenset(["(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil", r"\begin"])
_CLOSE = frozenset([")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\end"])
_SIGNS = {
    "=": "=", "<": "<", ">": ">", r"\leq": r"\leq", r"\geq": r"\geq", r"\neq": r"\neq",
    r"\approx": r"\approx", r"\equiv": r"\equiv", r"\sim": r"\approx", r"\simeq": r"\approx",
}  # fmt: skip
_JOIN = re.compile(
    r"\s*[,;]?\s*(?:\\text\s*\{\s*(and|or)\s*\}|(?<![A-Za-z\\])(and|or)(?![A-Za-z]))\s*"
)
_TEXT = re.compile(r"\\text\s*\{([^{}\\]*)\}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'.\- ]*[A-Za-z.]|[A-Za-z]")
_MEMBER = re.compile(r"^[A-Za-z]\s*\\in\s*")
_BASED = re.compile(r"([0-9][0-9A-Fa-f]*|[A-Fa-f][0-9A-Fa-f]+)\s*_\s*(?:\{\s*(\d{1,2})\s*\}|(\d))")
_BASE_WORDS = re.compile(
    r"([0-9A-Fa-f]+)\s*(?:\\text\s*\{)?\s*\(?\s*base\s*\}?\s*(\d{1,2})\s*\)?\s*\}?"
)
_THOUSANDS = re.compile(r"([-+]?(?:\\dollar )?\d{1,3}(?:,\d{3})+(?:\.\d+)?)(?![\d,])([^,]*)")
_HEAD = re.compile(r"[A-Za-z]+\s*=\s*")
_MATRIX = re.compile(r"\\begin\s*\{([pbvBV]?matrix|array)\}(.*)\\end\s*\{\1\}", re.DOTALL)
_UNIT = re.compile(
    r"(?P<core>.*[\d})!ie])\s*(?:(?P<mark>%|\\degree)|\\text\s*\{(?P<text>[^{}\\]*)\}"
    r"(?P<power>\s*\^\s*(?:\{\s*\d\s*\}|\d))?"
    r"|(?P<words>(?<=\d)\s*[A-Za-z][A-Za-z./ ]*(?:\^\{?\d\}?)?))",
    re.DOTALL,
)
_ELLIPSIS = re.compile(r"\\ldots|\\vdots|\\ddots|\.\.")


def read(text: str, depth: int = 0) -> Form:
    """The form of a cleaned text."""
    opaque = Form(kind="opaque", text=text)
    if depth > MAX_NESTING or not 0 < len(text) <= MAX_LENGTH or _ELLIPSIS.search(text):
        return opaque
    if r"\pm" in text or r"\mp" in text:
        return _both_signs(text, depth) or opaque
    form = _words(text) or _based(text)
    if form is not None:
        return form
    if match := _TEXT.fullmatch(text):
        return read(match[1].strip(), depth + 1)
    text = _MEMBER.sub("", text)
    head = _HEAD.match(text)
    start = head.end() if head else 0
    if match := _THOUSANDS.fullmatch(text, start):
        text = text[:start] + match[1].replace(",", "") + match[2]
    return _compound(text, depth) or _quantity(text) or _value(text) or opaque


def _compound(text: str, depth: int) -> Form | None:
    """Anything made of parts; None if it has none."""
    joiners = tuple(sorted({m[1] or m[2] for m in _JOIN.finditer(text)}))
    joined = _JOIN.sub(", ", text).strip(", ")
    members = _split(joined, {",", ";"})
    if len(members) > 1:
        return _parts("list", joined, members, depth, joiners)
    union = _split(text, {r"\cup"})
    if len(union) > 1:
        return _parts("union", text, union, depth)
    return _relation(text, depth) or _bracketed(text, depth) or _matrix(text, depth)


def _parts(
    kind: Kind, text: str, members: list[str], depth: int, marks: tuple[str, ...] = ()
) -> Form | None:
    if len(members) > MAX_PARTS or not all(m.strip() for m in members):
        return Form(kind="opaque", text=text)
    parts = tuple(read(m.strip(), depth + 1) for m in members)
    return Form(kind=kind, text=text, parts=parts, marks=marks)


def _top_level(text: str) -> Iterator[tuple[str, int, int]]:
    """The tokens outside all brackets, with where they start and end."""
    level = 0
    for match in _SCAN.finditer(text):
        token = match.group()
        if token in _OPEN:
            level += 1
        elif token in _CLOSE:
            level -= 1
        elif level == 0:
            yield token, match.start(), match.end()


def _split(text: str, separators: set[str]) -> list[str]:
    parts, start = [], 0
    for token, at, end in _top_level(text):
        if token in separators:
            parts.append(text[start:at])
            start = end
    return [*parts, text[start:]]


def _both_signs(text: str, depth: int) -> Form | None:
    if text.count(r"\pm") + text.count(r"\mp") > 1 and text.count(r"\mp") != 1:
        return None
    plus = text.replace(r"\pm", "+").replace(r"\mp", "-")
    minus = text.replace(r"\pm", "-").replace(r"\mp", "+")
    if len(_split(text, {",", ";"})) > 1:
        return None
    return _parts("list", text, [plus, minus], depth)


def _words(text: str) -> Form | None:
    """Words, quoted or bare. Bare letters may also be a product, which is kept beside."""
    plain = _TEXT.sub(r"\1", text).strip()
    quoted = plain != text
    if quoted and _TEXT.sub("", text).strip(" .()"):
        return None
    inner = plain[1:-1] if plain.startswith("(") and plain.endswith(")") else plain
    if not _WORDS.fullmatch(inner):
        return None
    words = re.split(r"[ .\-]+", inner)
    if not quoted and (len(inner) < 2 or any(w in FUNCTIONS or w in _VALUES for w in words)):
        return None
    if not quoted and any(w in ("and", "or") for w in words) and all(len(w) < 4 for w in words):
        return None
    node = None
    with contextlib.suppress(Unreadable):
        node = parse(inner)
    return Form(kind="words", text=inner, node=node, quoted=quoted)


_VALUES = frozenset(["pi", "infinity", "inf", "oo", "sqrt", "asin", "acos", "atan"])


def _based(text: str) -> Form | None:
    match = _BASED.fullmatch(text) or _BASE_WORDS.fullmatch(text)
    if match is None:
        return None
    base = next(g for g in match.groups()[1:] if g)
    try:
        int(match[1], int(base))
    except ValueError:
        return Form(kind="opaque", text=text) if text[0].isdigit() else None
    return Form(kind="based", text=match[1].lstrip("0").upper() or "0", marks=(base,))


def _relation(text: str, depth: int) -> Form | None:
    text = text.replace(r"\not=", r"\neq ").replace("<=", r"\leq ").replace(">=", r"\geq ")
    text = text.replace("!=", r"\neq ").replace(":=", "=").replace("==", "=")
    signs, sides, start = [], [], 0
    for token, at, end in _top_level(text):
        if token in _SIGNS:
            signs.append(_SIGNS[token])
            sides.append(text[start:at])
            start = end
    if not signs:
        return None
    return _parts("relation", text, [*sides, text[start:]], depth, tuple(signs))


def _bracketed(text: str, depth: int) -> Form | None:
    scanned = _SCAN.findall(text)
    first, last = scanned[0], scanned[-1]
    if first not in _OPEN or last not in _CLOSE or any(_top_level(text)):
        return None
    inner = text[len(first) : len(text) - len(last)].strip()
    members = _split(inner, {",", ";"})
    if first == r"\{" and last == r"\}":
        if _split(inner, {"|", ":"}) != [inner]:
            return Form(kind="opaque", text=text)
        return _parts("list", text, members, depth, ("{}",)) if inner else None
    if len(members) < 2:
        return None
    if first == r"\langle" or (first == "(" and last == ")"):
        return _parts("tuple", text, members, depth)
    if len(members) == 2 and first in "([" and last in ")]":
        return _parts("interval", text, members, depth, (first, last))
    return Form(kind="opaque", text=text)


def _matrix(text: str, depth: int) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None or match[1] == "array" or r"\begin" in match[2]:
        return None
    rows = [row.split("&") for row in match[2].strip().removesuffix(ROW).split(ROW)]
    members = [cell for row in rows for cell in row]
    style = "det" if match[1] in ("vmatrix", "Vmatrix") else ""
    return _parts("matrix", text, members, depth, (style, *(str(len(row)) for row in rows)))


def _quantity(text: str, loose: bool = False) -> Form | None:
    r"""A number with a unit. A bare letter (`5 m`) is one only if `loose`."""
    if text.startswith(r"\dollar "):
        return _with_unit(text, text[8:], "dollar")
    match = _UNIT.fullmatch(text)
    if match is None:
        return None
    if match["mark"]:
        return _with_unit(text, match["core"], "%" if match["mark"] == "%" else "degree")
    unit = (match["text"] or match["words"] or "").strip()
    if match["power"]:
        unit += re.sub(r"\s", "", match["power"])
    if unit in ("percent", "per cent"):
        return _with_unit(text, match["core"], "%")
    bare = match["words"] is not None
    if bare and not _units.is_known(unit) and _value(text) is not None:
        return None
    if bare and len(unit) == 1 and not (loose and _units.is_known(unit)):
        return None
    return _with_unit(text, match["core"], unit)


def _with_unit(text: str, core: str, name: str) -> Form | None:
    if match := _THOUSANDS.fullmatch(core.strip()):
        core = match[1].replace(",", "") + match[2]
    value = _value(core)
    unit = _PERCENT if name == "%" else _units.parse(name)
    if value is None or unit is None:
        return None
    return Form(kind="quantity", text=text, node=value.node, unit=unit)


_PERCENT = _units.Unit(Fraction(1, 100), (), ("%",))


def loosely(form: Form) -> Form:
    """The form read again, with a bare letter at the end taken for a unit."""
    return _quantity(form.text, loose=True) or form if form.kind == "value" else form


def _value(text: str) -> Form | None:
    try:
        return Form(kind="value", text=text, node=parse(text))
    except Unreadable:
        return None


FLIPPED = {"<": ">", ">": "<", r"\leq": r"\geq", r"\geq": r"\leq"}
_INFINITY = Form(kind="value", text=r"\infty", node=Node("infty"))
_BELOW = Form(kind="value", text=r"-\infty", node=Node("neg", (Node("infty"),)))


def flip(form: Form) -> Form:
    marks = tuple(FLIPPED.get(mark, mark) for mark in reversed(form.marks))
    return Form(kind="relation", text=form.text, parts=form.parts[::-1], marks=marks)


def as_interval(form: Form) -> Form | None:
    r"""`1 < x \leq 2` as `(1, 2]`, `x > 3` as `(3, \infty)`; None for any other relation."""
    if not all(mark in FLIPPED for mark in form.marks):
        return None
    if form.marks[0] in (">", r"\geq"):
        form = flip(form)
    if len(form.marks) == 1:
        left, right = form.parts
        if re.fullmatch("[A-Za-z]", left.text):
            low, variable, high, marks = _BELOW, left, right, ("<", form.marks[0])
        else:
            low, variable, high, marks = left, right, _INFINITY, (form.marks[0], "<")
    elif len(form.marks) == 2:
        low, variable, high = form.parts
        marks = (form.marks[0], form.marks[1])
    else:
        return None
    if not re.fullmatch("[A-Za-z]", variable.text) or not set(marks) <= {"<", r"\leq"}:
        return None
    brackets = ("[" if marks[0] != "<" else "(", "]" if marks[1] != "<" else ")")
    plain = brackets == ("(", ")")
    return Form(
        kind="tuple" if plain else "interval",
        text=form.text,
        parts=(low, high),
        marks=() if plain else brackets,
    )
