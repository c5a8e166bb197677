r"""What kind of answer a text is: a number, a list, an interval, a relation, words, ...

Reading never fails: what fits no kind is `opaque`, and only its spelling can be compared.
"""

from __future__ import annotations

import contextlib
import functools
import re

from verifiers import _math_leaves
from verifiers._math_exact import TooLarge, Undefined, exact
from verifiers._math_form import CLOSE, OPEN, SCAN, Form, Kind, split, top_level
from verifiers._math_leaves import TEXT
from verifiers._math_text import ROW
from verifiers._math_tokens import MAX_LENGTH
from verifiers._math_tree import Node

MAX_PARTS = 64
MAX_NESTING = 4

_SIGNS = {
    "=": "=", "<": "<", ">": ">", r"\leq": r"\leq", r"\geq": r"\geq", r"\neq": r"\neq",
    r"\approx": r"\approx", r"\equiv": r"\equiv", r"\sim": r"\approx", r"\simeq": r"\approx",
}  # fmt: skip
_COMMAS = frozenset([",", ";"])
_JOIN = re.compile(
    r"\s*[,;]?\s*(?:\\text\s*\{\s*(and|or)\s*\}|(?<![A-Za-z\\])(and|or)(?![A-Za-z])"
    r"|\\(wedge|vee)(?![A-Za-z]))\s*"
)
_JOINERS = {"wedge": "and", "vee": "or"}
_BOTH = re.compile(r"\\([pm])([mp])(?![A-Za-z])")
_MEMBER = re.compile(
    r"^(?:\\?[A-Za-z]|\\(?:alpha|beta|theta|lambda|varphi|phi)"
    r"|\((?:a, ?b|x, ?y|m, ?n|p, ?q|a, ?b, ?c|x, ?y, ?z)\))\s*\\in\s*"
    r"(?=[^,]*$|[\[(\\{\]])"
)
_HEAD = re.compile(r"[A-Za-z]+\s*=\s*")
_MATRIX = re.compile(
    r"(?P<scale>[^&]*?)\s*\*?\s*(?P<open>[(\[|]?)\s*"
    r"\\begin\s*\{(?P<kind>[pbvBV]?matrix|array)\}(?P<body>.*)\\end\s*\{(?P=kind)\}\s*[)\]|]?"
    r"(?P<flip>\s*\^\s*\{?\s*(?:T|\\top|\\text\{T\})\s*\}?)?",
    re.DOTALL,
)
_COLUMNS = re.compile(r"^\s*\{[lcr| ]*\}")
_ROW_GAP = re.compile(rf"{ROW}\s*\[[^\]]*\]")
_CASES = re.compile(
    r"\\begin\s*\{(?P<kind>cases|aligned|align\*?|gathered|array)\}(?P<body>.*)"
    r"\\end\s*\{(?P=kind)\}",
    re.DOTALL,
)
_SYSTEM = re.compile(r"\\\{\s*(\\begin\s*\{array\}.*\\end\s*\{array\})\s*", re.DOTALL)
_CONDITION = re.compile(r"^[\s,]*(?:\\text\s*\{\s*(?:if|for|when|where)?\s*\}|if|for|when)?\s*")
_PREFACE = re.compile(
    r"\\text\s*\{\s*(?:the )?(?:final )?(?:answer|result|value)(?: is)?\s*[:=]?\s*\}\s*[:=]?\s*",
    re.IGNORECASE,
)
_ELLIPSIS = re.compile(r"\\ldots|\\vdots|\\ddots|\.\.")
_SET_WORDS = re.compile(r"\\cup|\\cap")
_FRENCH = re.compile(r"\s*([\[\](])\s*([^\[\](),;]+)\s*[,;]\s*([^\[\](),;]+)\s*([\[\])])\s*")
_BUILDER_HEAD = re.compile(r"\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\{R\}\s*)?")
_MODULUS = re.compile(
    r"(?P<left>.*?)\s*(?:\\pmod\s*(?:\{([^{}]*)\}|(\w+))|\(?\s*\\b?mod(?![A-Za-z])\s*\{?\s*(\w+)\s*"
    r"\}?\s*\)?|\(\s*(?:\\text\s*\{\s*mod\s*\}|mod)\s*(\w+)\s*\))"
)
_PARAMETER = re.compile(
    r"(?P<base>.+?)[\s,;]*(?:\(|\\text\s*\{[\s,]*(?:where|for|with|and|for (?:all|any|every|some))?"
    r"\s*\(?\s*\})?\s*\(?\s*(?:"
    r"(?P<name>[A-Za-z])\s*\\in\s*(?:\\mathbb|\\text)?\s*\{?\s*(?P<domain>[ZN])\s*\}?"
    r"(?P<above>\s*[_^]\s*\{?\s*[*+]\s*\}?)?"
    r"|(?P<name2>[A-Za-z])\s*\\text\s*\{\s*(?:is )?(?:an|any) integer\s*\}"
    r"|\\text\s*\{[\s,]*(?:where|for|with) (?:all |any |every |some )?integers?\s*\}"
    r"\s*(?P<name3>[A-Za-z])"
    r"|\\text\s*\{[\s,]*(?:where|for|with)?\s*(?:any )?(?P<name4>[a-z]) (?:is|being) any? "
    r"integer\s*\})\s*\)?"
)
_TO = re.compile(r"(\d+)\s*(?:\\text\s*\{\s*to\s*\}|to)\s*(\d+)")
_EXCEPT = re.compile(
    r"(?:\\text\s*\{)?\s*(?:all real (?:numbers|values)|all reals)(?: [a-z])?,?\s+"
    r"(?:except|other than|excluding)(?: for)?\s*\}?\s*(?P<points>.+?)\s*\}?"
)


@functools.lru_cache(maxsize=512)
def read(text: str, depth: int = 0) -> Form:
    """The form of a cleaned text."""
    if match := _PREFACE.match(text):
        text = text[match.end() :]
    opaque = Form(kind="opaque", text=text)
    if depth > MAX_NESTING or not 0 < len(text) <= MAX_LENGTH or _ELLIPSIS.search(text):
        return opaque
    form = _math_leaves.space(text) or _all_but(text, depth) or _family(text, depth)
    if form is None and _BOTH.search(text):
        return _both_signs(text, depth) or opaque
    form = form or _math_leaves.words(text) or _math_leaves.based(text)
    if form is not None:
        return form
    if match := TEXT.fullmatch(text):
        return read(match[1].strip(), depth + 1)
    if match := _MEMBER.match(text):
        return read(text[match.end() :], depth + 1)
    head = _HEAD.match(text)
    start = head.end() if head else 0
    text = text[:start] + _math_leaves.ungrouped(text[start:])
    return (
        _compound(text, depth) or _math_leaves.quantity(text) or _math_leaves.value(text) or opaque
    )


def _compound(text: str, depth: int) -> Form | None:
    """Anything made of parts; None if it has none."""
    if form := _math_leaves.several(text):
        return form
    if match := _MODULUS.fullmatch(text):
        return _residue(text, match, depth)
    if (plain := _ordinary(text)) != text:
        if not _SET_WORDS.search(plain):
            ends = [end.strip() for end in plain[1:-1].split(",")]
            return _parts("interval", plain, ends, depth, (plain[0], plain[-1]))
        text = plain
    found = [m[1] or m[2] or _JOINERS[m[3]] for m in _JOIN.finditer(text)]
    joined = _JOIN.sub(", ", text).strip(", ")
    members = split(joined, _COMMAS)
    if len(members) > 1:
        return _parts("list", joined, members, depth, tuple(sorted(set(found))))
    if any(token == "=" for token, _, _ in top_level(text)):
        return _relation(text, depth)
    for kind, sign in _SET_SIGNS:
        sides = split(text, frozenset([sign]))
        if len(sides) > 1:
            return _parts(kind, text, sides, depth)
    return (
        _relation(text, depth)
        or _ratio(text, depth)
        or _bracketed(text, depth)
        or _matrix(text, depth)
        or _cases(text, depth)
    )


_SET_SIGNS: tuple[tuple[Kind, str], ...] = (
    ("union", r"\cup"), ("minus", r"\setminus"), ("meet", r"\cap"),
)  # fmt: skip


def _parts(
    kind: Kind, text: str, members: list[str], depth: int, marks: tuple[str, ...] = ()
) -> Form:
    if len(members) > MAX_PARTS or not all(m.strip() for m in members):
        return Form(kind="opaque", text=text)
    parts = tuple(read(m.strip(), depth + 1) for m in members)
    return Form(kind=kind, text=text, parts=parts, marks=marks)


def _both_signs(text: str, depth: int) -> Form | None:
    r"""`1 \pm \sqrt 2`: both values; `0, \pm 1` three."""
    if text.startswith(r"\{") and text.endswith(r"\}") and not any(top_level(text)):
        text = text[2:-2].strip()
    spelled = []
    for member in split(text, _COMMAS):
        signs = [m[1] for m in _BOTH.finditer(member)]
        if len(signs) > 1 and sorted(signs) != ["m", "p"]:
            return None
        plus = _BOTH.sub(lambda m: "+" if m[1] == "p" else "-", member)
        minus = _BOTH.sub(lambda m: "-" if m[1] == "p" else "+", member)
        spelled += [plus, minus] if signs else [member]
    return _parts("list", text, spelled, depth, ("both",))


def _ordinary(text: str) -> str:
    """French intervals with the brackets of others: `]0, 1]` is `(0, 1]`."""
    if "[" not in text and "]" not in text:
        return text
    parts = re.split(rf"({_SET_WORDS.pattern})", text)
    found = [_FRENCH.fullmatch(part) for part in parts[::2]]
    if not all(found) or not any(m and (m[1] == "]" or m[4] == "[") for m in found):
        return text
    plain = [_plain_interval(m) for m in found if m]
    return " ".join([plain[0], *(f"{s} {p}" for s, p in zip(parts[1::2], plain[1:], strict=True))])


def _plain_interval(match: re.Match[str]) -> str:
    left, right = ("[" if match[1] == "[" else "("), ("]" if match[4] == "]" else ")")
    return f"{left}{match[2]}, {match[3]}{right}"


def _family(text: str, depth: int) -> Form | None:
    r"""`\pi/4 + k\pi, k \in \mathbb{Z}`: an expression with a whole number in it."""
    if "integer" not in text and r"\in" not in text:
        return None
    match = _PARAMETER.fullmatch(text)
    if match is None:
        return None
    name = match["name"] or match["name2"] or match["name3"] or match["name4"]
    base = match["base"].strip().rstrip(",;( ")
    if not re.search(rf"(?<![A-Za-z\\]){name}(?![A-Za-z])", base):
        return None
    domain = "N" if match["above"] else match["domain"] or "Z"
    return _parts("family", text, [base], depth, (name, domain))


def _residue(text: str, match: re.Match[str], depth: int) -> Form:
    modulus = next((g for g in match.groups()[1:] if g), "")
    left, _, value = match["left"].rpartition(r"\equiv")
    return _parts("residue", text, [value.strip(), modulus], depth, (left.strip(),))


def _all_but(text: str, depth: int) -> Form | None:
    """`all real numbers except 2`."""
    match = _EXCEPT.fullmatch(text)
    if match is None:
        return None
    points = re.sub(r"^[a-z]\s*=\s*", "", TEXT.sub(r" \1 ", match["points"]).strip())
    return _parts("minus", text, [r"\mathbb{R}", rf"\{{{points}\}}"], depth)


def _relation(text: str, depth: int) -> Form | None:
    text = text.replace(r"\not=", r"\neq ").replace("<=", r"\leq ").replace(">=", r"\geq ")
    text = text.replace("!=", r"\neq ").replace(":=", "=").replace("==", "=")
    signs, sides, start = [], [], 0
    for token, at, end in top_level(text):
        if token in _SIGNS:
            signs.append(_SIGNS[token])
            sides.append(text[start:at])
            start = end
    if not signs:
        return None
    sides.append(text[start:])
    if not sides[0].strip() and signs[0] in ("=", r"\approx"):
        sides[0] = r"\ell"  # a name, as in "the answer is approximately 3"
    return _parts("relation", text, sides, depth, tuple(signs))


def _ratio(text: str, depth: int) -> Form | None:
    if match := _TO.fullmatch(text):
        return _parts("ratio", text, [match[1], match[2]], depth)
    terms = split(text, frozenset([":"]))
    if len(terms) < 2:
        return None
    form = _parts("ratio", text, terms, depth)
    plain = all(part.kind == "value" for part in form.parts)
    return form if plain else Form(kind="opaque", text=text)


def _bracketed(text: str, depth: int) -> Form | None:
    scanned = SCAN.findall(text)
    first, last = scanned[0], scanned[-1]
    if first not in OPEN or last not in CLOSE or first == r"\begin" or any(top_level(text)):
        return None
    inner = text[len(first) : len(text) - len(last)].strip()
    members = split(inner, _COMMAS)
    if first == r"\{" and last == r"\}":
        return _braced(text, inner, members, depth)
    if first in "[(" and inner[:1] == first and len(members) > 1:
        return _nested_rows(text, members, depth) or _parts("tuple", text, members, depth)
    if len(members) < 2:
        return None
    if first == r"\langle" or (first == "(" and last == ")"):
        return _parts("tuple", text, members, depth)
    if len(members) == 2 and first in "([" and last in ")]":
        return _parts("interval", text, members, depth, (first, last))
    return Form(kind="opaque", text=text)


def _braced(text: str, inner: str, members: list[str], depth: int) -> Form | None:
    if not inner:
        return None
    for sign in ("|", ":"):
        head, *rest = split(inner, frozenset([sign]))
        match = _BUILDER_HEAD.fullmatch(head)
        if rest and match:
            return _parts("builder", text, [sign.join(rest)], depth, (match[1],))
        if rest:
            return Form(kind="opaque", text=text)
    return _parts("list", text, members, depth, ("{}",))


def _nested_rows(text: str, members: list[str], depth: int) -> Form | None:
    """`[[1, 2], [3, 4]]` is a matrix; `((1, 2), (3, 4))` is not."""
    rows = [m.strip() for m in members]
    if not text.startswith("[") or not all(r[:1] == "[" and r[-1:] == "]" for r in rows):
        return None
    return _rows(text, [split(row[1:-1], _COMMAS) for row in rows], "", None, depth)


def _matrix(text: str, depth: int) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None or r"\begin" in match["body"]:
        return None
    body, kind = match["body"], match["kind"]
    if kind == "array":
        body = _COLUMNS.sub("", body)
        kind = {"(": "pmatrix", "[": "bmatrix", "|": "vmatrix"}.get(match["open"], "")
    elif match["open"]:
        return None
    if not kind:
        return None
    body = _ROW_GAP.sub(ROW, body).strip().removesuffix(ROW)
    rows = [row.split("&") for row in body.split(ROW)]
    if match["flip"]:
        rows = [list(column) for column in zip(*rows, strict=True)] if _is_even(rows) else []
    scale = _math_leaves.value(match["scale"]) if match["scale"] else None
    if not rows or (match["scale"] and scale is None):
        return None
    style = "det" if kind in ("vmatrix", "Vmatrix") else ""
    return _rows(text, rows, style, scale, depth)


def _is_even(rows: list[list[str]]) -> bool:
    return len({len(row) for row in rows}) == 1


def _rows(text: str, rows: list[list[str]], style: str, scale: Form | None, depth: int) -> Form:
    """A matrix of these cells, each times the scale."""
    cells = [cell for row in rows for cell in row]
    form = _parts("matrix", text, cells, depth, (style, *(str(len(row)) for row in rows)))
    if scale is None or scale.node is None or form.kind == "opaque":
        return form
    if any(part.node is None or part.kind != "value" for part in form.parts) or style:
        return Form(kind="opaque", text=text)
    parts = tuple(_times(scale.node, p.node) for p in form.parts if p.node is not None)
    return Form(kind="matrix", text=text, parts=parts, marks=form.marks)


def _times(scale: Node, cell: Node) -> Form:
    """A cell of a scaled matrix, worked out where it is rational."""
    node = Node("mul", (scale, cell))
    with contextlib.suppress(TooLarge, Undefined):
        if (value := exact(node)) is not None:
            node = Node("num", value=value)
    return Form(kind="value", text=f"cell {node}", node=node)


def _cases(text: str, depth: int) -> Form | None:
    system = _SYSTEM.fullmatch(text)
    match = _CASES.fullmatch(system[1] if system else text)
    if match is None or r"\begin" in match["body"] or (match["kind"] == "array" and not system):
        return None
    body = _COLUMNS.sub("", match["body"]) if match["kind"] == "array" else match["body"]
    body = body if match["kind"] == "cases" else body.replace("&", "")
    rows = [row.split("&") for row in body.strip().removesuffix(ROW).split(ROW)]
    if all(len(row) == 1 for row in rows):
        return _parts("list", text, [row[0].strip(" ,") for row in rows], depth, ("and",))
    if any(len(row) != 2 for row in rows):
        return Form(kind="opaque", text=text)
    members = [m for value, when in rows for m in (value.strip(" ,"), _CONDITION.sub("", when))]
    return _parts("cases", text, members, depth)
