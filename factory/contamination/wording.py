"""Text as the words by which two questions are compared, whatever their typography.

    NFKC and case; LaTeX layout dropped, LaTeX commands as words; `\\frac{a}{b}` as `a/b`;
    thousands separators out; numbers written as words as digits; unit names in one spelling;
    plural `s`, articles and sentence punctuation out; multiplication signs out (`3 x` is `3x`);
    a single letter is a variable, and every variable is the word `?`; in a block of three or more
    lines without words (a grid, a matrix) each line is one word, and so is a row of six or more
    single letters or signs.

What a variable was called is kept beside the words, since two grids of letters are not one.
"""

# ruff: noqa: RUF001  (mathematical signs look like letters)

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

VARIABLE = "?"
"""The word for every single letter."""
GRID = "▦"
"""Begins the word for a line of a grid."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_PUNCTUATION = re.escape(".,;:!?\"'()[]{}\\$*_#~`&…‘’“”«»·×⋅∗")
_TOKEN = re.compile(rf"{GRID}\w+|\d+(?:\.\d+)?|[{_CJK}]|[^\W\d_{_CJK}]+|[^\w\s{_PUNCTUATION}]")
_LAYOUT = re.compile(
    r"\\(?:left|right|big+[lr]?|displaystyle|textstyle|limits|q?quad|times|cdot|ldots|cdots|dots"
    r"|text(?:bf|it|rm)?|mathrm|mathbf|mathit|operatorname|boxed|begin|end|item)(?![a-z])"
    r"|\\[,;:!>\s]|&nbsp;"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_COMMAND = re.compile(r"\\([a-z]+)")
_SIGNS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "—": "-",
        "∕": "/",
        "⁄": "/",
        "÷": "/",
        "⩽": "≤",
        "⩾": "≥",
    }
)
_NAMES = {"le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "div": "/"}
_NAMES |= {"leqslant": "≤", "geqslant": "≥", "pm": "±", "to": "→", "infty": "∞", "in": "∈"}
_NAMES |= {"rightarrow": "→", "cap": "∩", "cup": "∪", "subset": "⊂", "sum": "∑", "int": "∫"}
_WORDS_OF = {"%": "percent", "°": "degree", "√": "sqrt", "π": "pi", "θ": "theta", "α": "alpha"}
_WORDS_OF |= {"β": "beta", "γ": "gamma", "λ": "lambda", "μ": "mu", "σ": "sigma", "φ": "phi"}
_BOLD = re.compile(r"(?<![\w)\]*])\*\*(?=[^\s*])([^*\n]*[^\s*])\*\*(?![\w(*])")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_LETTERS = re.compile(r"(?<!\w)[a-z](?:[\s,'\"#]+[a-z](?!\w)){3,}|[-+<>\[\].|/]{6,}")
_HYPHEN = re.compile(r"(?<=[a-z0-9])-(?=[a-z]{2})")
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\}|\\,)(?=\d{3}(?!\d))")
_PROSE = re.compile(r"[^\W\d_]{3}|[\\$]")
_CELLS = re.compile(r"[^A-Za-z\\$]*\s(?=[A-Za-z])")
_BLANK = re.compile(r"(?<=\S) (?=\S)")
_GRID_LINES = 3
_GRID_WIDTH = 4
_IDLE = frozenset({"the", "an"})

_UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "mg": "milligram",
    "ml": "milliliter", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute",
    "sec": "second", "secs": "second", "mph": "mph", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "ft": "foot", "feet": "foot", "inches": "inch", "yd": "yard", "yds": "yard", "deg": "degree",
    "kilometre": "kilometer", "centimetre": "centimeter", "millimetre": "millimeter",
    "metre": "meter", "litre": "liter", "millilitre": "milliliter", "gramme": "gram",
    "pct": "percent", "usd": "dollar",
}  # fmt: skip
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: value for value, word in enumerate(_ONES)}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS, 2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_COUNTING = frozenset(_SMALL) | frozenset(_SCALES) | {"dozen"}


@dataclass(frozen=True, slots=True)
class Wording:
    """A text as its words."""

    words: list[str]
    letters: list[str]
    """At the place of every variable its letter, elsewhere the word itself."""


def wording(text: str) -> Wording:
    """The words of a text."""
    read = Wording([], [])
    for part in _parts(text):
        if isinstance(part, list):
            lines = [GRID + unicodedata.normalize("NFKC", line).casefold() for line in part]
            read.words.extend(lines)
            read.letters.extend(lines)
        else:
            _read(part, read)
    return read


def _parts(text: str) -> list[str | list[str]]:
    """Prose as text, and each grid between it as its lines, single blanks out."""
    if text.count("\n") < _GRID_LINES - 1:
        return [text]
    parts: list[str | list[str]] = []
    prose: list[str] = []
    grid: list[str] = []
    for line in [*text.splitlines(), ""]:
        if len(line.rstrip()) >= _GRID_WIDTH and not _PROSE.search(line):
            grid.append(line)
            continue
        if len(grid) >= _GRID_LINES - 1 and (last := _last_line(line, len(grid[-1].rstrip()))):
            grid.append(line[:last])
            line = line[last:]
        if len(grid) >= _GRID_LINES:
            parts += ["\n".join(prose), [_BLANK.sub("", row.rstrip()) for row in grid]]
            prose = []
        else:
            prose += grid
        grid = []
        prose.append(line)
    return [*parts, "\n".join(prose)]


def _last_line(line: str, width: int) -> int:
    """Width of a grid's last line where a text goes on behind it; 0 where it is none."""
    cells = _CELLS.match(line)
    end = len(cells[0].rstrip()) if cells else 0
    return end if end >= _GRID_WIDTH and abs(end - width) <= 2 and end < len(line) else 0


def _read(text: str, into: Wording) -> None:
    tokens = _TOKEN.findall(_LETTERS.sub(_as_row, flat(text)))
    if not _COUNTING.isdisjoint(tokens):
        tokens = _digits(tokens)
    for token in tokens:
        if len(token) == 1:
            written = _WORDS_OF.get(token, token)
            variable = len(written) == 1 and "a" <= written <= "z"
            into.words.append(VARIABLE if variable else written)
            into.letters.append(written)
        elif token not in _IDLE:
            into.words.append(_stem(token))
            into.letters.append(into.words[-1])


def is_given(word: str) -> bool:
    """Whether a word is a number or a line of a grid: what another problem would have others of."""
    return word[0].isdecimal() or word[0] == GRID


def flat(text: str) -> str:
    """The text without its typography: one case, LaTeX as plain signs and words."""
    text = unicodedata.normalize("NFKC", _RAISED.sub(_as_power, text)).casefold()
    text = text.translate(_SIGNS)
    text = _THOUSANDS.sub("", text)
    if "\\" in text:
        for _ in range(3):  # fractions within fractions
            text, found = _FRACTION.subn(r" \1\2/\3\4 ", text)
            if not found:
                break
        text = _LAYOUT.sub(" ", text)
        text = _COMMAND.sub(lambda m: f" {_NAMES.get(m[1], m[1])} ", text)
    text = (
        _BOLD.sub(r"\1", text)
        .replace("**", "^")
        .replace("<=", "≤")
        .replace(">=", "≥")
        .replace("!=", "≠")
    )
    text = text.replace("'s ", " ").replace("\u2019s ", " ")
    return _HYPHEN.sub(" ", text)


def _as_row(found: re.Match[str]) -> str:
    return f" {GRID}{''.join(f'{ord(c):x}' for c in found[0] if not c.isspace() and c != ',')} "


def _as_power(raised: re.Match[str]) -> str:
    return "^" + unicodedata.normalize("NFKC", raised[0])


@lru_cache(1 << 16)
def _stem(word: str) -> str:
    if word[0].isdecimal():
        return word.rstrip("0").rstrip(".") if "." in word else word.lstrip("0") or "0"
    word = _UNITS.get(word, word)
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
        return _UNITS.get(word, word)
    return word


def _digits(tokens: list[str]) -> list[str]:
    """Runs of number words as one number each: `one hundred and five` is `105`."""
    found: list[str] = []
    place = 0
    while place < len(tokens):
        if tokens[place] not in _COUNTING:
            found.append(tokens[place])
            place += 1
            continue
        value, place = _number(tokens, place)
        found.append(str(value))
    return found


def _number(tokens: list[str], place: int) -> tuple[int, int]:
    """The number that begins at `place`, and where it ends."""
    total, part, last = 0, 0, None
    start = place
    while place < len(tokens):
        word = tokens[place]
        if word == "and" and last in _SCALES and tokens[place + 1 : place + 2]:
            if tokens[place + 1] not in _SMALL:
                break
        elif word in _SMALL:
            tens_and_one = last in _TENS and _SMALL[word] in range(1, 10)
            if place > start and last not in _SCALES and last != "and" and not tens_and_one:
                break
            part += _SMALL[word]
        elif word == "hundred" and part < 100 and last not in _SCALES:
            part = (part or 1) * 100
        elif word == "dozen" and last not in _SCALES:
            return total + (part or 1) * 12, place + 1
        elif word in ("thousand", "million", "billion") and part < 1000 and last != "thousand":
            total += (part or 1) * _SCALES[word]
            part = 0
        else:
            break
        last = word
        place += 1
    return total + part, max(place, start + 1)
