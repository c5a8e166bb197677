r"""Units of measurement: what an answer's unit means, and in which dimension.

A unit is a factor and the dimensions it is in: `km/h` is 5/18 of length per time. Words that are
no unit (`apples`) are dimensions of their own.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

# dimension, factor, names; a name of more than two letters has a plural in -s as well.
_TABLE = """
length   1         m meter metre
length   1000      km kilometer kilometre
length   1/10      dm decimeter decimetre
length   1/100     cm centimeter centimetre
length   1/1000    mm millimeter millimetre
length   1/1000000 micrometer micrometre
length   127/5000  in inch inches
length   381/1250  ft foot feet
length   1143/1250 yd yard
length   201168/125 mi mile
mass     1         kg kilogram
mass     1/1000    g gram
mass     1/1000000 mg milligram
mass     1000      tonne
mass     45359237/100000000 lb lbs pound
mass     45359237/1600000000 oz ounce
time     1         s sec second
time     60        min minute
time     3600      h hr hrs hour
time     86400     day
time     604800    week
time     1/1000    ms millisecond
month    1         month
month    12        yr yrs year
month    120       decade
month    1200      century centuries
volume   1         L l liter litre
volume   1/1000    mL ml milliliter millilitre
volume   473176473/125000000 gallon gal
volume   473176473/500000000 quart
volume   473176473/1000000000 pint
money    1         dollar usd buck
money    1/100     cent
euro     1         euro eur
gbp      1         gbp sterling
rupee    1         rupee
yen      1         yen
yuan     1         yuan
force    1         N newton
energy   1         J joule
energy   1000      kJ kilojoule
power    1         W watt
power    1000      kW kilowatt
current  1         ampere amp
voltage  1         V volt
charge   1         coulomb
resistance 1       ohm
frequency 1        Hz hertz
pressure 1         Pa pascal
pressure 1000      kPa kilopascal
amount   1         mol mole
kelvin   1         K kelvin
celsius  1         celsius
fahrenheit 1       fahrenheit
angle    1         degree deg
radian   1         radian rad
acre     1         acre
hectare  1         hectare
unit     1         unit
"""


def _table() -> dict[str, tuple[str, Fraction]]:
    units: dict[str, tuple[str, Fraction]] = {}
    for line in _TABLE.split("\n"):
        if not line:
            continue
        dimension, factor, *names = line.split()
        for name in names:
            units[name] = (dimension, Fraction(factor))
            if len(name) > 2:
                units[name + "s"] = units[name]
    return units


UNITS = _table()
_FOLDED = {name.casefold(): unit for name, unit in UNITS.items() if len(name) > 1}
# Number words: they change what is counted, so they are no units but must not be lost either.
_MULTIPLES = """
    hundred thousand million billion trillion dozen score half halves third quarter fourth fifth
    tenth percent factorial squared cubed times dozens pairs plus minus over divided point mod
    modulo"""
MULTIPLES = frozenset(_MULTIPLES.split())
_NOT_UNITS = """
    over minus plus divided pi e i or and to by mod remainder base point x y z not no never is
    isn't are was were be wrong false true incorrect correct answer approximately about at least
    most more less fewer than exactly only if when where for from until between the a an of
    none nothing maybe perhaps other others another each every total per cent"""
NOT_UNITS = frozenset(_NOT_UNITS.split()) | MULTIPLES
_PART = re.compile(
    r"(?P<word>[A-Za-z]+)(?:\s*\^\s*\{?\s*(?P<power>-?\d)\s*\}?|(?P<digit>[23])(?![0-9]))?"
    r"|(?P<slash>/)|[\s.*]+|\\cdot"
)
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}


class Unit(NamedTuple):
    """What a unit stands for."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]
    """Sorted (dimension, power) pairs."""
    names: tuple[str, ...]
    """The words it was written with, in lower case and singular."""


class _Word(NamedTuple):
    name: str
    power: int


def parse(text: str) -> Unit | None:
    """The unit a text stands for; None if it is no unit."""
    words = _words(text)
    if not words:
        return None
    factor, powers = Fraction(1), dict[str, int]()
    for name, power in words:
        if name.casefold() in NOT_UNITS:
            return None
        dimension, size = _lookup(name)
        factor *= size**power
        powers[dimension] = powers.get(dimension, 0) + power
    dimensions = tuple(sorted((d, p) for d, p in powers.items() if p))
    return Unit(factor, dimensions, tuple(singular(word.name) for word in words))


def _words(text: str) -> list[_Word] | None:
    """The words of a unit with their powers; None where it is not written like a unit."""
    text = text.strip().strip(".").replace("\u00b2", "^2").replace("\u00b3", "^3")
    text = re.sub(r"\bmph\b", "mile/hour", re.sub(r"\bper\b", "/", text), flags=re.IGNORECASE)
    text = re.sub(r"\bdegrees?\s+([CF])(?:elsius|ahrenheit)?\b", _scale, text, flags=re.IGNORECASE)
    text = re.sub(r"\s(?:ago|later|long|tall|high|wide|deep|away|apart|in total)$", "", text)
    text = re.sub(r"\byears?(?:\s+old|\s+of\s+age|-old)\b", "year", text)
    words: list[_Word] = []
    at, below, prefix = 0, False, 1
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return None
        at = match.end()
        if match["slash"]:
            if below or not words or prefix != 1:
                return None
            below = True
        elif name := match["word"]:
            sign = -1 if below else 1
            if name.casefold() in _POWERS and not (match["power"] or match["digit"]):
                prefix = _POWERS[name.casefold()]
            elif name.casefold() in _AFTER and words and abs(words[-1].power) == 1:
                words[-1] = _Word(words[-1].name, words[-1].power * _AFTER[name.casefold()])
            else:
                power = int(match["power"] or match["digit"] or prefix)
                words.append(_Word(name, sign * power))
                prefix = 1
    if prefix != 1 or (below and text.rstrip().endswith("/")):
        return None
    return words


def _scale(match: re.Match[str]) -> str:
    return "celsius" if match[1].upper() == "C" else "fahrenheit"


def is_known(text: str) -> bool:
    """Whether every word of a unit is in the table."""
    words = _words(text)
    return bool(words) and all(find(word.name) is not None for word in words or ())


def is_measure(text: str) -> bool:
    """Whether a number means something else with this behind it: `cm`, `million`, `percent`."""
    return text.strip().casefold() in MULTIPLES or is_known(text)


def find(word: str) -> tuple[str, Fraction] | None:
    """The dimension and factor of a unit's name."""
    return UNITS.get(word) or _FOLDED.get(word.casefold())


def _lookup(word: str) -> tuple[str, Fraction]:
    return find(word) or ("word " + singular(word), Fraction(1))


def singular(word: str) -> str:
    """The word in lower case without the plural's ending."""
    word = word.casefold()
    if word in ("feet", "inches", "centuries"):
        return {"feet": "foot", "inches": "inch", "centuries": "century"}[word]
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


def spellings(name: str) -> frozenset[str]:
    """All names of the unit that goes by this name."""
    wanted = find(name)
    if wanted is None:
        return frozenset((name,))
    return frozenset(singular(n) for n, unit in UNITS.items() if unit == wanted) | {name}
