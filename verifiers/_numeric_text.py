r"""Reads a quantity, `9.81 \times 10^{2}~\text{m/s}^2`, as an exact fraction and a unit.

Reads it, never evaluates it: a sign, one number, one unit, and nothing else. What is not in the
grammar is refused: ranges, sums, several numbers, decimal commas, names of constants.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from verifiers import _numeric_units
from verifiers._numeric_units import Unit

MAX_LENGTH = 200
MAX_EXPONENT = 400
"""Of ten: beyond any quantity of this world, and cheap."""

_CHARACTERS = str.maketrans(
    {
        "\u2212": "-",  # the minus sign
        "\u2013": "-",  # the en dash; a range is refused all the same
        "\u22c5": "\u00b7",  # dots and crosses
        "\u2219": "\u00b7",
        "\u2022": "\u00b7",
        "\u2715": "\u00d7",
        "\u00b5": "\u03bc",  # the micro sign
        "\u2126": "\u03a9",  # the ohm sign
        "\u212b": "\u00c5",  # the angstrom sign
        "\u00ba": "\u00b0",
        "\u2103": "\u00b0C",
        "\u2109": "\u00b0F",
        "\u223c": "~",
        "\u202f": "\u2009",  # thin spaces
        "\u00a0": " ",
    }
)
_RAISED = "\u207a\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
_LOWERED = str.maketrans(_RAISED, "+-0123456789")
_LATEX = (
    (re.compile(r"\\times(?![a-zA-Z])\s*"), "\u00d7"),
    (re.compile(r"\\cdot(?![a-zA-Z])\s*"), "\u00b7"),
    (re.compile(r"\\approx(?![a-zA-Z])\s*"), "\u2248"),
    (re.compile(r"\\mu(?![a-zA-Z])\s*"), "\u03bc"),
    (re.compile(r"\\Omega(?![a-zA-Z])\s*"), "\u03a9"),
    (re.compile(r"\\(?:left|right)(?![a-zA-Z])\s*"), ""),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,!]"), "\u2009"),
    (re.compile(r"\\[;: ]"), " "),
    (re.compile(r"\\(?:text|textrm|mathrm|mathsf|mbox|operatorname|textnormal)\s*\{([^{}\\]*)\}"),
     r"\1"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
    (re.compile(r"_\s*\{([^{}\\]*)\}"), r"_\1"),
    (re.compile(r"\^?\s*\(?\\(?:circ|degree)(?![a-zA-Z])\)?[ \u2009]*"), "\u00b0"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}\\]*)\}\s*\{([^{}\\]*)\}"), r" (\1)/(\2) "),
)  # fmt: skip
_RAISED_RUN = re.compile(f"[{_RAISED}]+")
_IN_DOLLARS = re.compile(r"\$([^$]*)\$")

_POWER_OF_TEN = r"10\s*\^\s*(?:\(\s*(?P<{0}a>[+-]?[0-9]{{1,6}})\s*\)|(?P<{0}b>[+-]?[0-9]{{1,6}}))"
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s*(?:"
    r"\(\s*(?P<top>-?[0-9]+)\s*\)\s*/\s*\(\s*(?P<bottom>[0-9]+)\s*\)"
    r"|(?P<over>[0-9]+)\s*/\s*(?P<under>[0-9]+)(?![0-9.,\u2009]|[eE][0-9+-])"
    rf"|{_POWER_OF_TEN.format('pure_')}(?![0-9.,])"
    r"|(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:\u2009[0-9]{3})+(?![0-9])|[0-9]*)"
    r"(?P<point>\.[0-9]+)?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,6})"
    rf"|\s*[\u00d7\u00b7*xX]\s*{_POWER_OF_TEN.format('times_')})?(?![0-9.,])"
    r")"
)
_NAME = re.compile(
    r"[A-Za-z\u0391-\u03a9\u03b1-\u03c9][A-Za-z ]{0,30}(?:_\w{1,20})?\s*[=\u2248]\s*"
)


class Quantity(NamedTuple):
    """A number with its unit."""

    value: Fraction
    unit: Unit | None
    """None where none was written."""
    is_integer: bool
    """Whether it was written as one: digits alone."""
    unit_text: str
    """The unit as it was written, without markup."""


def read(text: str) -> Quantity:
    """The quantity a text spells.

    Raises:
        ValueError: it spells none, in one line.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    text = plain(text)
    name = _NAME.match(text)
    rest = text[name.end() :] if name else text
    rest = re.sub(r"^[~\u2248]\s*", "", rest).replace("~", " ")
    number = _NUMBER.match(rest)
    if number is None or not re.search("[0-9]", number.group()):
        raise ValueError(f"not a number: {text[:60]!r}")
    value = _value(number)
    unit_text = rest[number.end() :].replace("\u2009", " ").strip()
    unit = _numeric_units.parse(unit_text) if unit_text else None
    is_integer = bool(number["whole"]) and value.denominator == 1 and not _is_scaled(number)
    return Quantity(value, unit, is_integer, unit_text)


def read_unit(text: str) -> Unit:
    """The unit a text spells.

    Raises:
        ValueError: it spells none.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    return _numeric_units.parse(plain(text).replace("~", " ").replace("\u2009", " ").strip())


def plain(text: str) -> str:
    """Without markup, and with one character for each meaning."""
    text = _IN_DOLLARS.sub(r"\1", text).translate(_CHARACTERS)
    text = _RAISED_RUN.sub(lambda run: f"^({run.group().translate(_LOWERED)})", text)
    for pattern, meaning in _LATEX:
        text = pattern.sub(meaning, text)
    return text.replace("**", "^").strip().removesuffix(".").strip()


def _is_scaled(number: re.Match[str]) -> bool:
    return any(number[g] for g in ("point", "exponent", "times_a", "times_b"))


def _value(number: re.Match[str]) -> Fraction:
    sign = -1 if number["sign"] == "-" else 1
    top, bottom = number["top"] or number["over"], number["bottom"] or number["under"]
    if top is not None and bottom is not None:
        if not int(bottom):
            raise ValueError("a division by zero")
        return sign * Fraction(int(top), int(bottom))
    powers = ("pure_a", "pure_b", "exponent", "times_a", "times_b")
    exponent = next((int(number[g]) for g in powers if number[g]), 0)
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"an exponent of ten beyond {MAX_EXPONENT}")
    if number["pure_a"] or number["pure_b"]:
        return sign * Fraction(10) ** exponent
    digits = re.sub("[,\u2009]", "", number["whole"]) + (number["point"] or "")
    return sign * Fraction(digits) * Fraction(10) ** exponent
