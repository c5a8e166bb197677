r"""Which unit a question asks for, so that a number with it and without it are one answer.

Nothing is guessed: `60 \text{ mph}` answers "60" only where the question names that unit, or names
the quantity and no other unit of its kind.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

from verifiers import _units

MAX_PROMPT = 6000
"""How much of a long prompt is read, from its end."""
_MARKUP = re.compile(
    r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|operatorname)\s*\{\s*~?([^{}]*)\}|\\[,;:! ]|[~${}]"
)
_ANGLE_SIGN = re.compile(r"\^?\s*\\(?:circ|degree)(?![A-Za-z])|\u00b0")
_NEAREST = re.compile(r"\bnearest\s+(?:whole\s+)?(?:cents?|penny|dollars?)\b", re.IGNORECASE)
_SCALE = re.compile(r"\bdegrees?\s+([CF])(?:elsius|ahrenheit)?\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.?!])\s+|\n+")
_ASKING = re.compile(
    r"\?|^\W*(?:find|what|how|compute|determine|calculate|express|give|evaluate|write|convert|state"
    r"|round|solve|which|estimate|work out|let)\b|\b(?:find|calculate|determine|compute)\b",
    re.IGNORECASE,
)
_PHRASE = (
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s+)?[A-Za-z]+(?:\^?[23]\b|[\u00b2\u00b3])?"
    r"(?:\s*(?:/|\bper\b)\s*(?:(?:square|cubic)\s+)?[A-Za-z]+(?:\^?[23]\b)?"
    r"(?:\s+(?:squared|per\s+second))?)?"
)
_CUE = re.compile(
    rf"\b(?:in(?! how)|into|to|how many|number of|nearest(?:\s+(?:whole|tenth"
    rf"|hundredth)(?:\s+of\s+an?)?)?)\s+(?:terms\s+of\s+)?({_PHRASE})",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"\b(?:how many|number of)\s+((?:[A-Za-z'-]+\s*){1,6})", re.IGNORECASE)
_ELIDED = re.compile(
    r"\bhow many\s+(?:are|were|is|was|do|does|did|remain|will|can|more|of|has|have|must|should)\b",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"\b(?:does|do|did|are|is|were|was|will|would|can|could|must|should|has|have|had|in|of|on|at"
    r"|from|to|with|for|that|who|which|there|where|if|when|between|so|such|and|or|not|they|he|she"
    r"|we|you|i|it|the|a|an)\b",
    re.IGNORECASE,
)
# The first of these in the asking sentence says which quantity is wanted.
_QUANTITIES = {
    "speed": r"speed|velocity|how fast",
    "acceleration": r"acceleration",
    "area": r"area",
    "volume": r"volume|capacity",
    "length": r"perimeter|circumference|distance|how far|lengths?|heights?|width|radius|diameter"
    r"|sides?|depth|hypotenuse|altitude|how (?:tall|high|deep|wide|long)",
    "time": r"how long|how much time|time|how soon",
    "age": r"how old|age",
    "money": r"costs?|price|pay|paid|money|how much|profit|earn\w*|spend|spent|owe|revenue|salary"
    r"|income|charge|fee|worth|save",
    "mass": r"mass|weigh\w*|how heavy",
    "angle": r"angle|degrees?|\\angle|rotat\w*|bearing|latitude",
    "count": r"how many|number of|probability|ratio|fraction|percent\w*",
}
_NAMED = (f"(?P<{name}>{words})" for name, words in _QUANTITIES.items())
_QUANTITY = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(_NAMED)})(?![A-Za-z])", re.IGNORECASE)
_DIMENSIONS: dict[str, tuple[tuple[tuple[str, int], ...], ...]] = {
    "speed": ((("length", 1), ("time", -1)),),
    "acceleration": ((("length", 1), ("time", -2)),),
    "area": ((("length", 2),), (("acre", 1),), (("hectare", 1),)),
    "volume": ((("length", 3),), (("volume", 1),)),
    "length": ((("length", 1),),),
    "time": ((("time", 1),), (("month", 1),)),
    "mass": ((("mass", 1),),),
}
ANGLE = (("angle", 1),)
_MONEY = (("money", 1),)
_YEARS, _YEAR = (("month", 1),), Fraction(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a prompt says about units."""

    units: tuple[_units.Unit, ...] = ()
    """Units that are asked for by name, the last ones count most."""
    nouns: frozenset[str] = frozenset()
    """What is counted: `red`, `apple` in "how many red apples are there"."""
    counted: frozenset[str] = frozenset()
    """What stands behind the numbers of a prompt that asks "how many are left"."""
    quantity: str = ""
    """The quantity asked for, as far as its word is known."""
    mentioned: frozenset[tuple[str, Fraction]] = frozenset()
    """(dimension, factor) of every unit in the prompt."""
    words: frozenset[str] = frozenset()
    """All words of the prompt, in lower case and singular."""
    has_angles: bool = False
    has_money: bool = False


@functools.lru_cache(maxsize=256)
def read(prompt: str) -> Asked:
    """What a prompt says about units."""
    text = _ANGLE_SIGN.sub(" degrees ", prompt[-MAX_PROMPT:])
    text = _MARKUP.sub(lambda m: m[1] or " ", text.replace(r"\$", " dollars "))
    text = _NEAREST.sub("nearest", text)
    text = _SCALE.sub(lambda m: f"{m[1]}elsius" if m[1] in "cC" else f"{m[1]}ahrenheit", text)
    asking = " ".join(s for s in _SENTENCE.split(text) if _ASKING.search(s)) or text
    cues = [_units.parse(m[1]) for m in _CUE.finditer(asking) if _is_unit(m[1])]
    quantity = _QUANTITY.search(_SENTENCE.split(asking)[-1]) or _QUANTITY.search(asking)
    lower = text.casefold()
    return Asked(
        units=tuple(unit for unit in cues if unit is not None),
        nouns=frozenset(word for m in _COUNTED.finditer(asking) for word in _nouns(m[1])),
        counted=_counted(text) if _ELIDED.search(asking) else frozenset(),
        quantity=quantity.lastgroup or "" if quantity else "",
        mentioned=_mentioned(text),
        words=frozenset(_units.singular(w) for w in re.findall(r"[A-Za-z]+", text)),
        has_angles=re.search(r"degree|\\?angle", lower) is not None and "radian" not in lower,
        has_money=re.search(r"dollar|\bcosts?\b|\bprice|\bpay\b|\bmoney\b", lower) is not None,
    )


def _is_unit(phrase: str) -> bool:
    return phrase.casefold() not in ("in", "a", "square", "unit") and _units.is_known(phrase)


def _nouns(phrase: str) -> list[str]:
    words = _STOP.split(phrase, maxsplit=1)[0].split()
    return [_units.singular(word) for word in words]


def _counted(text: str) -> frozenset[str]:
    return frozenset(_units.singular(word) for word in re.findall(r"\d\s+([A-Za-z]{3,})", text))


def _mentioned(text: str) -> frozenset[tuple[str, Fraction]]:
    long = {w for w in re.findall(r"[A-Za-z]{2,}", text) if w.casefold() not in ("in", "second")}
    short = set(re.findall(r"\d\s*([A-Za-z]{1,2})(?![A-Za-z])", text))
    found = {_units.find(word) for word in long | short}
    return frozenset(unit for unit in found if unit is not None)


def takes(prompt: str, unit: _units.Unit) -> bool:
    """Whether an answer may carry this unit although the reference is a bare number."""
    asked = read(prompt)
    if unit.dimensions == ANGLE:
        return asked.has_angles and asked.quantity in ("angle", "")
    if unit.dimensions == _MONEY:
        named = any(u.dimensions == _MONEY and u.factor == unit.factor for u in asked.units)
        plain = unit.factor == 1 and asked.has_money and asked.quantity in ("money", "")
        return named or (plain and "cent" not in asked.words)
    if any(dimension == "unit" for dimension, _ in unit.dimensions):
        return _takes_units(asked, unit)
    if asked.units:
        wanted = asked.units[-1]
        return (wanted.dimensions, wanted.factor) == (unit.dimensions, unit.factor)
    if set(unit.names) <= asked.nouns or set(unit.names) == asked.counted:
        return True
    if asked.quantity == "age":
        other = {factor for dimension, factor in asked.mentioned if dimension == "month"}
        return unit.dimensions == _YEARS and unit.factor == _YEAR and other <= {_YEAR}
    return unit.dimensions in _DIMENSIONS.get(asked.quantity, ()) and _only_units(asked, unit)


def _takes_units(asked: Asked, unit: _units.Unit) -> bool:
    """`5 units`, `5 square units`: where lengths have no other unit, in the right power."""
    if asked.units or any(dimension == "length" for dimension, _ in asked.mentioned):
        return False
    powers = {"length": 1, "area": 2, "volume": 3}
    return unit.dimensions == (("unit", powers.get(asked.quantity, 0)),)


def implied(prompt: str, unit: _units.Unit) -> bool:
    """Whether a bare number is as good as the reference, which carries this unit."""
    asked = read(prompt)
    if unit.dimensions == ANGLE:
        return "radian" not in asked.words
    if unit.dimensions == _MONEY:
        return unit.factor != 1 or "cent" not in asked.words
    if asked.units:
        wanted = asked.units[-1]
        return (wanted.dimensions, wanted.factor) == (unit.dimensions, unit.factor)
    if set(unit.names) <= asked.nouns or all(n in asked.words for n in _plain_names(unit)):
        return True
    return _only_units(asked, unit)


def named(prompt: str) -> _units.Unit | None:
    """The unit that a prompt asks for by name."""
    units = read(prompt).units
    return units[-1] if units else None


def _plain_names(unit: _units.Unit) -> tuple[str, ...]:
    """The names of a unit of counted things; for a measure a name no prompt holds."""
    measure = any(_units.find(name) is not None for name in unit.names)
    return ("\n",) if measure else unit.names


def _only_units(asked: Asked, unit: _units.Unit) -> bool:
    """Whether every unit of this kind in the prompt is the one given."""
    for name in unit.names:
        found = _units.find(name)
        if found is None or {m for m in asked.mentioned if m[0] == found[0]} != {found}:
            return False
    return True
