"""Units of measurement: what an answer's unit means, and in which dimension.

A unit is a factor and the dimensions it is in: `km/h` is 5/18 of length per time. Words that are
no unit (`apples`) are dimensions of their own.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

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
time     3600      h hr hour
time     86400     day
time     604800    week
time     1/1000    ms millisecond
month    1         month
month    12        yr year
volume   1         l liter litre
volume   1/1000    ml milliliter millilitre
volume   473176473/125000000 gallon gal
volume   473176473/500000000 quart
volume   473176473/1000000000 pint
money    1         dollar usd buck
money    1/100     cent
euro     1         euro eur
force    1         n newton
energy   1         j joule
energy   1000      kj kilojoule
power    1         w watt
power    1000      kw kilowatt
current  1         ampere amp
voltage  1         volt
pressure 1         pa pascal
pressure 1000      kpa kilopascal
amount   1         mol mole
kelvin   1         kelvin
celsius  1         celsius
fahrenheit 1       fahrenheit
angle    1         degree deg
radian   1         radian rad
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
# A number word or an operation is no unit: "5 million", "3 squared".
_NOT_UNITS = """
    hundred thousand million billion trillion dozen half halves third quarter fourth fifth tenth
    score squared cubed factorial over minus plus times divided percent pi e i or and to by mod
    remainder base point x y z"""
NOT_UNITS = frozenset(_NOT_UNITS.split())
_WORD = re.compile(r"([A-Za-z]+)(?:\^?\{?(-?\d)\}?)?")


class Unit(NamedTuple):
    """What a unit stands for."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]
    """Sorted (dimension, power) pairs."""
    names: tuple[str, ...]
    """The words it was written with, in lower case and singular."""


def parse(text: str) -> Unit | None:
    """The unit a text stands for; None if it is no unit."""
    text = text.strip().strip(".").replace(" per ", "/").replace("mph", "mile/hour")
    text = re.sub(r"\bsq(?:uare)?\b\.?", "square", text)
    factor, powers, names = Fraction(1), dict[str, int](), list[str]()
    for n, part in enumerate(text.split("/")):
        power = 1
        for word in part.replace(".", " ").replace("*", " ").split():
            if word in ("square", "cubic"):
                power = 2 if word == "square" else 3
                continue
            match = _WORD.fullmatch(word)
            if match is None or match[1].casefold() in NOT_UNITS:
                return None
            power = int(match[2]) if match[2] else power
            power = -power if n else power
            dimension, size = _lookup(match[1])
            factor *= size**power
            powers[dimension] = powers.get(dimension, 0) + power
            names.append(singular(match[1]))
            power = 1
        if power != 1:
            return None
    if not names:
        return None
    return Unit(factor, tuple(sorted((d, p) for d, p in powers.items() if p)), tuple(names))


def is_known(text: str) -> bool:
    """Whether every word of a unit is in the table."""
    unit = parse(text)
    return unit is not None and all(n in UNITS for n in unit.names)


def _lookup(word: str) -> tuple[str, Fraction]:
    return UNITS.get(word) or UNITS.get(word.casefold()) or ("word " + singular(word), Fraction(1))


def singular(word: str) -> str:
    """The word in lower case without the plural's ending."""
    word = word.casefold()
    if word in ("feet", "inches"):
        return {"feet": "foot", "inches": "inch"}[word]
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def spellings(name: str) -> frozenset[str]:
    """All names of the unit that goes by this name."""
    wanted = UNITS.get(name)
    if wanted is None:
        return frozenset((name,))
    return frozenset(singular(n) for n, unit in UNITS.items() if unit == wanted) | {name}
