"""Units of measurement for `numeric`: which spellings mean what, and conversion between them.

A unit is a product of powers of the units in the tables below, and of no other. pint holds their
sizes and converts; it only ever sees its own names, never a candidate's text. Values are exact
fractions. What shares a dimension and is another thing all the same (Hz and Bq, Gy and Sv, lm and
cd, a radian and the number one) is kept apart by its kind.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pint

MAX_FACTORS = 12
"""Most units in one product; powers have one digit."""

# pint's name | kind | symbols, which take k, M, ... | names, which take kilo, mega, ...
_SI = """
meter | | m | meter metre
gram | | g | gram gramme
second | | s | second
ampere | | A | ampere
kelvin | | K | kelvin
mole | | mol | mole
candela | | cd | candela
liter | | L l | liter litre
hertz | | Hz | hertz
newton | | N | newton
pascal | | Pa | pascal
joule | | J | joule
watt | | W | watt
coulomb | | C | coulomb
volt | | V | volt
farad | | F | farad
ohm | | \u03a9 | ohm
siemens | | S | siemens
weber | | Wb | weber
tesla | | T | tesla
henry | | H | henry
lumen | solid | lm | lumen
lux | solid | lx | lux
steradian | solid | sr | steradian
becquerel | decay | Bq | becquerel
curie | decay | Ci | curie
gray | | Gy | gray
sievert | dose | Sv | sievert
radian | angle | rad | radian
electron_volt | | eV | electronvolt
calorie | | cal | calorie
parsec | | pc | parsec
molar | | M | molar
dalton | | Da | dalton
"""
# pint's name | kind | symbols | names; they take no prefixes.
_OTHER = """
minute | | min mins | minute
hour | | h hr hrs | hour
day | | d | day
week | | wk wks | week
month | | | month
year | | yr yrs | year
second | | sec secs |
kilogram | | Kg kgs |
kilometer | | Km kms |
ampere | | amp amps |
degree | angle | \u00b0 deg | degree
arcminute | angle | arcmin | arcminute
arcsecond | angle | arcsec | arcsecond
turn | angle | rev | revolution turn
bit | data | | bit
byte | data | B | byte
kilobyte | data | kB | kilobyte
megabyte | data | MB | megabyte
gigabyte | data | GB | gigabyte
terabyte | data | TB | terabyte
percent | | % | percent
permille | | \u2030 | permille
ppm | | ppm |
degree_Celsius | | \u00b0C degC | celsius
degree_Fahrenheit | | \u00b0F degF | fahrenheit
inch | | in | inch inches
foot | | ft | foot feet
yard | | yd yds | yard
mile | | mi | mile
nautical_mile | | nmi |
angstrom | | \u00c5 | angstrom
astronomical_unit | | au AU |
light_year | | ly | lightyear
hectare | | ha | hectare
gallon | | gal | gallon
quart | | qt | quart
pint | | | pint
pound | | lb lbs | pound
ounce | | oz | ounce
slug | | | slug
metric_ton | | t | tonne
unified_atomic_mass_unit | | u amu |
force_pound | | lbf |
dyne | | dyn | dyne
erg | | erg | erg
kilocalorie | | Cal |
watt_hour | | Wh |
kilowatt_hour | | kWh |
megawatt_hour | | MWh |
ampere_hour | | Ah |
milliampere_hour | | mAh |
horsepower | | hp | horsepower
standard_atmosphere | | atm | atmosphere
bar | | | bar
millibar | | mbar | millibar
millimeter_Hg | | mmHg |
torr | | | torr
pound_force_per_square_inch | | psi |
knot | | kn | knot
mile_per_hour | | mph |
kilometer_per_hour | | kph kmh |
revolutions_per_minute | angle | rpm RPM |
"""
_PREFIXES = (
    ("f", "femto"), ("p", "pico"), ("n", "nano"), ("\u03bc", "micro"), ("u", "micro"),
    ("m", "milli"), ("c", "centi"), ("d", "deci"), ("h", "hecto"), ("k", "kilo"),
    ("M", "mega"), ("G", "giga"), ("T", "tera"), ("P", "peta"), ("E", "exa"),
)  # fmt: skip
_DELTA = {
    "degree_Celsius": "delta_degree_Celsius",
    "degree_Fahrenheit": "delta_degree_Fahrenheit",
}
"""Scales with an offset, and the name of one step on them."""


class Unit(NamedTuple):
    """What a unit stands for."""

    powers: tuple[tuple[str, int], ...] = ()
    """Sorted (pint's name, power) pairs; none of them is the number one."""
    kinds: tuple[tuple[str, int], ...] = ()
    """Sorted (kind, power) pairs."""

    @property
    def is_scale(self) -> bool:
        """Whether it has a zero of its own: a temperature in degrees."""
        return len(self.powers) == 1 and self.powers[0][1] == 1 and self.powers[0][0] in _DELTA


PLAIN = Unit()
"""The number one."""


class _Named(NamedTuple):
    pint_name: str
    kind: str


def _rows(table: str) -> Iterator[tuple[_Named, list[str], list[str]]]:
    """Each line's unit, its symbols and its names, plurals included."""
    for line in table.strip().split("\n"):
        pint_name, kind, symbols, names = (column.strip() for column in line.split("|"))
        plurals = [name + "s" for name in names.split() if name[-1] not in "sxz"]
        yield _Named(pint_name, kind), symbols.split(), names.split() + plurals


def _spellings() -> tuple[dict[str, _Named], dict[str, _Named]]:
    """Units by symbol, where case counts, and by name, where it does not."""
    by_symbol: dict[str, _Named] = {}
    by_name: dict[str, _Named] = {}
    for unit, symbols, names in _rows(_SI):
        for short, long in (("", ""), *_PREFIXES):
            prefixed = unit._replace(pint_name=long + unit.pint_name)
            by_symbol.update((short + symbol, prefixed) for symbol in symbols)
            by_name.update((long + name, prefixed) for name in names)
    for unit, symbols, names in _rows(_OTHER):
        by_symbol.update((symbol, unit) for symbol in symbols)
        by_name.update((name, unit) for name in names)
    return by_symbol, by_name


_BY_SYMBOL, _BY_NAME = _spellings()
_PHRASES = (
    (re.compile(r"(?:\bdeg(?:ree)?s?|\u00b0) +(?:C|celsius)\b", re.IGNORECASE), "\u00b0C"),
    (re.compile(r"(?:\bdeg(?:ree)?s?|\u00b0) +(?:F|fahrenheit)\b", re.IGNORECASE), "\u00b0F"),
    (re.compile(r"\blight[ -]year", re.IGNORECASE), "lightyear"),
    (re.compile(r"\belectron[ -]volt", re.IGNORECASE), "electronvolt"),
    (re.compile(r"\bnautical miles?\b", re.IGNORECASE), "nmi"),
    (re.compile(r"\bper\b", re.IGNORECASE), "/"),
)
_WORD = re.compile(
    r"([A-Za-z\u03bc\u03a9\u00c5\u00b0%\u2030]+)(?:\^?(?:([+-]?[0-9])|\(([+-]?[0-9])\)))?"
)
_BETWEEN = re.compile(r"[\s*\u00b7\u00d7]+|(?<=[A-Za-z])-(?=[A-Za-z])")
_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}


def parse(text: str) -> Unit:
    """The unit that a text spells: products, powers, `/` or `per`, one level of parentheses.

    Raises:
        ValueError: it spells none, or could mean two: what stands after a `/` is one unit or a
            product in parentheses.
    """
    for phrase, meaning in _PHRASES:
        text = phrase.sub(meaning, text)
    text = re.sub(r"\s*\^\s*", "^", text)
    powers: dict[str, int] = {}
    kinds: dict[str, int] = {}
    above, *below = text.split("/")
    _add(_factors(above) if above.strip() else [], 1, powers, kinds)
    for part in below:
        factors = _factors(part)
        if len(factors) > 1 and not part.strip().startswith("("):
            raise ValueError(f"ambiguous: {part.strip()!r} after a / needs parentheses")
        _add(factors, -1, powers, kinds)
    if not powers and not below:
        raise ValueError("no unit")
    return Unit(_sorted(powers), _sorted(kinds))


def _add(
    factors: list[tuple[_Named, int]], sign: int, powers: dict[str, int], kinds: dict[str, int]
) -> None:
    for named, power in factors:
        powers[named.pint_name] = powers.get(named.pint_name, 0) + sign * power
        if named.kind:
            kinds[named.kind] = kinds.get(named.kind, 0) + sign * power


def _sorted(powers: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def _factors(product: str) -> list[tuple[_Named, int]]:
    product = product.strip()
    if product.startswith("(") and product.endswith(")"):
        product = product[1:-1]
    found: list[tuple[_Named, int]] = []
    power = 0
    for word in filter(None, _BETWEEN.split(product)):
        if word in _BEFORE and not power:
            power = _BEFORE[word]
        elif word in _AFTER and found and not power and found[-1][1] == 1:
            found[-1] = (found[-1][0], _AFTER[word])
        else:
            found.append(_factor(word, power))
            power = 0
    if power or not found:
        raise ValueError(f"not a unit: {product[:40]!r}")
    if len(found) > MAX_FACTORS:
        raise ValueError(f"more than {MAX_FACTORS} units in one product")
    return found


def _factor(word: str, power: int) -> tuple[_Named, int]:
    match = _WORD.fullmatch(word)
    named = match and (_BY_SYMBOL.get(match[1]) or _BY_NAME.get(match[1].lower()))
    if match is None or named is None:
        raise ValueError(f"not a unit: {word[:40]!r}")
    written = match[2] or match[3]
    if written and power:
        raise ValueError(f"two powers: {word[:40]!r}")
    return named, int(written) if written else power or 1


def convert(value: Fraction, given: Unit, wanted: Unit, difference: bool) -> Fraction | None:
    """A value in another unit; None where the two are not of one kind.

    Args:
        difference: a lone degree Celsius is a step on the scale, not a point on it.
    """
    if given == wanted:
        return value
    if given.kinds != wanted.kinds:
        return None
    registry = _registry()
    source, target = (_container(unit, difference) for unit in (given, wanted))
    if registry.get_dimensionality(source) != registry.get_dimensionality(target):
        return None
    return Fraction(registry.convert(value, source, target))


def _container(unit: Unit, difference: bool) -> pint.util.UnitsContainer:
    scale = unit.is_scale and not difference
    names = ((name if scale else _DELTA.get(name, name), power) for name, power in unit.powers)
    return _registry().UnitsContainer(dict(names))


@functools.cache
def _registry() -> pint.UnitRegistry[Fraction]:
    import pint

    return pint.UnitRegistry(non_int_type=Fraction)


def load() -> None:
    """Read pint's definitions now rather than with the first verdict."""
    _registry()
