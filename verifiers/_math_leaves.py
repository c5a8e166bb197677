r"""Reads answers without parts: words, digits in a base, named sets, numbers with a unit."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction

from verifiers import _units
from verifiers._math_form import Form
from verifiers._math_tokens import CONSTANTS, FUNCTIONS, Unreadable
from verifiers._math_tree import Node, parse

TEXT = re.compile(r"\\text\s*\{([^{}\\]*)\}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'.\- ]*[A-Za-z.]|[A-Za-z]")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)\s*(?:\\text\s*\{)?\s*([AaPp])\.?\s*[Mm]\.?\s*\}?", re.DOTALL)
_BASE_WORDS_FROM_TWO = "two three four five six seven eight nine ten eleven twelve"
_BASE_NAMES = {name: n for n, name in enumerate(_BASE_WORDS_FROM_TWO.split(), start=2)}
_BASE_NAMES["sixteen"] = 16
_BASED = re.compile(
    r"\(?\s*([0-9][0-9A-Fa-f]*|[A-Fa-f][0-9A-Fa-f]+)\s*\)?\s*_\s*(?:\{\s*(\d{1,2})\s*\}|(\d)"
    rf"|\{{?\s*(?:\\text\s*\{{)?\s*({'|'.join(_BASE_NAMES)})\s*\}}?\s*\}}?)"
)
_BASE_WORDS = re.compile(
    r"([0-9A-Fa-f]+)\s*(?:\\text\s*\{)?\s*\(?\s*(?:in )?base[\s-]*\}?\s*(?:(\d{1,2})"
    rf"|({'|'.join(_BASE_NAMES)}))\s*\)?\s*\}}?"
)
_SPACES = {
    r"\emptyset": "empty", r"\{\}": "empty", "no solution": "empty", "no solutions": "empty",
    "no real solution": "empty", "no real solutions": "empty", "empty set": "empty",
    "the empty set": "empty", "there is no solution": "empty", "there are no solutions": "empty",
    r"\mathbb{R}": "reals", "all real numbers": "reals", "all reals": "reals",
    "the set of all real numbers": "reals", "the set of real numbers": "reals",
    "all real values": "reals", "any real number": "reals", "all real": "reals",
    r"\mathbb{Z}": "integers", "all integers": "integers", "the set of integers": "integers",
    r"\mathbb{N}": "naturals", r"\mathbb{Q}": "rationals", r"\mathbb{C}": "complex",
    "dne": "none", "does not exist": "none", "the limit does not exist": "none",
}  # fmt: skip
_THOUSANDS = re.compile(r"([-+]?(?:\\dollar )?\d{1,3}(?:,\d{3})+(?:\.\d+)?)(?![\d,])([^,]*)")
_SPACED = re.compile(r"[-+]?\d{1,3}(?: \d{3})+")
_TEXT_UNIT = r"\\text\s*\{[^{}\\]*\}(?:\s*\^\s*(?:\{\s*-?\d\s*\}|\d))?"
_UNIT = re.compile(
    r"(?P<core>.*(?:[\d})!|]|\\pi|(?<![A-Za-z\\])[a-z]))\s*(?:(?P<mark>%|\\degree(?:\s*(?:\\text\s*\{\s*[CFK]\s*\}|[CFK]))?)"
    rf"|(?P<text>{_TEXT_UNIT}(?:\s*(?:\*|/)?\s*{_TEXT_UNIT})*)"
    rf"|\\frac\s*\{{\s*(?P<top>{_TEXT_UNIT})\s*\}}\s*\{{\s*(?P<bottom>{_TEXT_UNIT})\s*\}}"
    r"|(?P<words>(?<=\d)\s*[A-Za-z][A-Za-z./ ]*(?:\^\{?-?\d\}?)?))",
    re.DOTALL,
)
_CURRENCY = re.compile(r"(-?)\s*(?:\\dollar|\\text\s*\{\s*(euro|gbp|rupee)\s*\})\s*(.*)", re.DOTALL)
_PIECE = re.compile(
    r"\s*(?:and|\\text\s*\{\s*,?\s*and\s*\}|,)?\s*(\d+(?:\.\d+)?)\s*"
    r"(?:\\text\s*\{\s*([A-Za-z]+)\s*(?:,?\s*and)?\s*\}|([A-Za-z]+))"
)
_MULTIPLES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_MANY = re.compile(
    rf"(-?\d{{1,12}}(?:\.\d{{1,12}})?)\s*(?:\\text\s*\{{\s*({'|'.join(_MULTIPLES)})\s*\}}"
    rf"|({'|'.join(_MULTIPLES)}))"
)
_PERCENT = _units.Unit(Fraction(1, 100), (), ("%",))
_DEGREES = {"": "degree", "C": "celsius", "F": "fahrenheit", "K": "kelvin"}


def value(text: str) -> Form | None:
    """An expression, or a number with a number word (`1.5 million`)."""
    if match := _MANY.fullmatch(text):
        count = Fraction(match[1]) * _MULTIPLES[match[2] or match[3]]
        return Form(kind="value", text=text, node=Node("num", value=count))
    with contextlib.suppress(Unreadable):
        return Form(kind="value", text=text, node=parse(text))
    return None


def words(text: str) -> Form | None:
    """Words, quoted or bare. Bare letters may also be a product, which is kept beside."""
    if clock := _CLOCK.fullmatch(text):
        spoken = f"{int(clock[1])}:{clock[2]} {clock[3].lower()}m"
        return Form(kind="words", text=spoken, quoted=True)
    plain = TEXT.sub(r"\1", text).strip()
    quoted = plain != text
    if quoted and TEXT.sub("", text).strip(" .()"):
        return None
    inner = plain[1:-1] if plain.startswith("(") and plain.endswith(")") else plain
    if not _WORDS.fullmatch(inner):
        return None
    if inner.casefold() == "infinity":
        return value(r"\infty")
    single = re.split(r"[ .\-]+", inner)
    if not quoted and (len(inner) < 2 or any(w in FUNCTIONS or w in CONSTANTS for w in single)):
        return None
    if not quoted and any(w in ("and", "or") for w in single) and all(len(w) < 4 for w in single):
        return None
    product = value(inner)
    node = product.node if product else None
    return Form(kind="words", text=inner, node=node, quoted=quoted)


def space(text: str) -> Form | None:
    """A set with a name, and the words for having no solution or no value."""
    plain = TEXT.sub(lambda m: m[1], text)
    name = _SPACES.get(" ".join(plain.split()).strip(" .").lower()) or _SPACES.get(
        plain.replace(" ", "")
    )
    return Form(kind="space", text=text, marks=(name,)) if name else None


def based(text: str) -> Form | None:
    """Digits in a base that is named."""
    match = _BASED.fullmatch(text) or _BASE_WORDS.fullmatch(text)
    if match is None:
        return None
    name = next(g for g in match.groups()[1:] if g)
    base = _BASE_NAMES.get(name) or int(name)
    try:
        int(match[1], base)
    except ValueError:
        return Form(kind="opaque", text=text) if match[1][0].isdigit() else None
    return Form(kind="based", text=match[1].lstrip("0").upper() or "0", marks=(str(base),))


def ungrouped(text: str) -> str:
    """A number without the commas or spaces between its thousands."""
    if match := _THOUSANDS.fullmatch(text):
        return match[1].replace(",", "") + match[2]
    return text.replace(" ", "") if _SPACED.fullmatch(text) else text


def quantity(text: str, loose: bool = False) -> Form | None:
    r"""A number with a unit. A bare letter (`5 m`) is one only if `loose`."""
    if match := _CURRENCY.fullmatch(text):
        return _with_unit(text, match[1] + match[3], match[2] or "dollar")
    if form := several(text):
        return form
    match = _UNIT.fullmatch(text)
    if match is None:
        return None
    if mark := match["mark"]:
        return _with_unit(text, match["core"], "%" if mark == "%" else _DEGREES[_letter(mark)])
    if match["top"]:
        unit = f"{TEXT.sub(_inner, match['top'])}/{TEXT.sub(_inner, match['bottom'])}"
        return _with_unit(text, match["core"], unit)
    unit = TEXT.sub(_inner, match["text"] or match["words"] or "").strip()
    if unit in ("percent", "per cent", "pct", "percentage"):
        return _with_unit(text, match["core"], "%")
    bare = match["words"] is not None
    if bare and not _units.is_known(unit) and value(text) is not None:
        return None
    if bare and len(unit) == 1 and not (loose and _units.is_known(unit)):
        return None
    return _with_unit(text, match["core"], unit)


def _letter(mark: str) -> str:
    rest = mark.removeprefix(r"\degree").replace(r"\text", "").strip(" {}")
    return rest


def _inner(match: re.Match[str]) -> str:
    return f" {match[1].strip()} " if match[1][:1] != "/" else match[1]


def _with_unit(text: str, core: str, name: str) -> Form | None:
    number = value(ungrouped(core.strip()))
    unit = _PERCENT if name == "%" else _units.parse(name)
    if number is None or unit is None:
        return None
    return Form(kind="quantity", text=text, node=number.node, unit=unit)


def several(text: str) -> Form | None:
    """`2 hours 30 minutes`: one quantity, in the unit named last."""
    pieces, at = [], 0
    while match := _PIECE.match(text, at):
        pieces.append((Fraction(match[1]), _units.parse(match[2] or match[3])))
        at = match.end()
    if at < len(text.rstrip()) or not 2 <= len(pieces) <= 3:
        return None
    units = [unit for _, unit in pieces if unit is not None]
    if len(units) < len(pieces) or len({unit.dimensions for unit in units}) > 1:
        return None
    factors = [unit.factor for unit in units]
    if factors != sorted(set(factors), reverse=True) or not _units.is_known(units[0].names[0]):
        return None
    total = sum(count * factor for (count, _), factor in zip(pieces, factors, strict=True))
    node = Node("num", value=total / factors[-1])
    return Form(kind="quantity", text=text, node=node, unit=units[-1])


def loosely(form: Form) -> Form:
    """The form read again, with a bare letter at the end taken for a unit."""
    return quantity(form.text, loose=True) or form if form.kind == "value" else form
