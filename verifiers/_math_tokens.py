r"""Cuts an expression into tokens, and reads its numbers and its letters."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

MAX_LENGTH = 1024
MAX_TOKENS = 500
MAX_DIGITS = 400
MAX_POWER_OF_TEN = 2000


class Unreadable(Exception):
    """The text is outside the grammar; the message says where."""


_FUNCTIONS = "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan ln log lg exp"
FUNCTIONS = frozenset(_FUNCTIONS.split())
_PLAIN = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "infinity": "infty", "inf": "infty",
    "oo": "infty",
}  # fmt: skip
CONSTANTS = frozenset(["sqrt", "pi", *_PLAIN])
"""Plain words that stand for a command."""
_DIFFERENTIAL = re.compile("d[rstuvxyz]")
_HIDDEN_FUNCTION = re.compile("sin|cos|tan|cot|sec|csc|ln|log|exp|max|min|mod|gcd|lcm|lim|det")
_LONGEST_PRODUCT = 4
_TOKEN = re.compile(
    r"\s*(?:(?P<num>(?:\d*\.\d*(?=\\overline)|\d+(?:\.\d+)?|\.\d+)"
    r"(?:\\overline\s*\{\d+\}|[eE][-+]?\d{1,4})?)"
    r"|(?P<cmd>\\(?:[A-Za-z]+|.))|(?P<word>[A-Za-z]+)|(?P<other>\*\*|\S))"
)


def tokens(text: str) -> list[str]:
    """The tokens of an expression.

    Raises:
        Unreadable: too long, not ASCII, or with a word that is no product.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise Unreadable(f"longer than {MAX_LENGTH} characters")
    if not text.isascii():
        raise Unreadable("a character outside ASCII")
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        if word := match["word"]:
            found += _letters(word, alone=text.isalpha())
        else:
            found.append(match.group().strip())
    if len(found) > MAX_TOKENS:
        raise Unreadable(f"more than {MAX_TOKENS} tokens")
    return found


def _letters(word: str, alone: bool) -> list[str]:
    """A plain word: a function, pi, or a product of letters.

    A word that is all there is counts as a product only in alphabetical order: `silent` must not
    equal `listen`.
    """
    if word in FUNCTIONS or word in CONSTANTS:
        return ["\\" + _PLAIN.get(word, word)]
    if word in ("arcsin", "arccos", "arctan"):
        return ["\\" + word]
    if _DIFFERENTIAL.match(word):
        raise Unreadable(f"the differential {word[:40]!r}")
    if len(word) > 2 and not all(a < b for a, b in itertools.pairwise(word)):
        if alone or len(word) > _LONGEST_PRODUCT or _HIDDEN_FUNCTION.search(word):
            raise Unreadable(f"the word {word[:40]!r}")
    elif _HIDDEN_FUNCTION.fullmatch(word):
        raise Unreadable(f"the word {word!r}")
    return list(word)


def number(token: str) -> Fraction:
    r"""The value of `12`, `0.5`, `1.5e7`, `0.1\overline{6}`."""
    if sum(c.isdigit() for c in token) > MAX_DIGITS:
        raise Unreadable("a number of too many digits")
    if "overline" not in token and "e" in token.lower():
        return _scientific(token)
    plain, _, period = token.partition(r"\overline")
    value = Fraction(plain if not plain.endswith(".") else plain + "0")
    if not period:
        return value
    if "." not in plain:
        raise Unreadable("a bar over whole digits")
    digits = re.sub(r"\D", "", period)
    places = len(plain.partition(".")[2])
    return value + Fraction(int(digits), 10**places * (10 ** len(digits) - 1))


def _scientific(token: str) -> Fraction:
    """`1.5e-7`; without a point and with a sign it could be e times two, minus seven."""
    mantissa, _, exponent = token.lower().partition("e")
    if "." not in mantissa and mantissa != "1" and not exponent.isdigit():
        raise Unreadable("a power of ten, or the number e?")
    if abs(int(exponent)) > MAX_POWER_OF_TEN:
        raise Unreadable("a power of ten beyond what is read")
    return number(mantissa) * Fraction(10) ** int(exponent)
