"""Edits that leave a question the same question: typography, wrappers, names, order, slips."""

# ruff: noqa: E501, SIM905  (sentences and word lists read best as they are)

from __future__ import annotations

import random
import re
from collections.abc import Callable

NAMES = (
    "Alice Bruno Chen Diego Elena Farid Grace Hana Ivan Julia Kofi Lena Marco Nadia Omar Priya Quinn"
    " Rosa Samir Tara Umar Vera Wei Ximena Yusuf Zoe Natalia Oskar Peter Ruth"
).split()

Edit = Callable[[random.Random, str], str]


def _case(rng: random.Random, text: str) -> str:
    return rng.choice([str.upper, str.lower, str.title])(text) if "`" not in text else text.lower()


def _blanks(rng: random.Random, text: str) -> str:
    return re.sub(" ", lambda _: rng.choice([" ", " ", " ", "  ", "\n", "\t"]), text)


def _latex(rng: random.Random, text: str) -> str:
    text = re.sub(r"\$([^$]+)\$", rng.choice([r"\\( \1 \\)", r"$ \1 $", r"$$\1$$", r"\1"]), text)
    text = text.replace(r"\frac", r"\dfrac").replace(r"\leq", rng.choice([r"\le", "≤"]))
    return re.sub(r"(?<=\d) ?([+=<]) ?", r" \\, \1 \\; ", text)


def _marks(rng: random.Random, text: str) -> str:
    text = text.replace(" - ", " − ").replace("'", "’").replace("^2", rng.choice(["²", "^{2}"]))  # noqa: RUF001
    return text.replace(",", rng.choice([",", " ,", ";"])).rstrip(".?") + rng.choice(
        ["", ".", " ?"]
    )


def _variables(rng: random.Random, text: str) -> str:
    inside = "".join(re.findall(r"\$([^$]*)\$", text))
    letters = sorted(set(re.findall(r"(?<![a-zA-Z\\])[a-z](?![a-zA-Z])", inside)))
    new = dict(zip(letters, rng.sample("bcdfghjkrsuvwz", len(letters)), strict=True))
    rename = lambda m: re.sub(  # noqa: E731
        r"(?<![a-zA-Z\\])[a-z](?![a-zA-Z])", lambda one: new[one[0]], m[0]
    )
    return re.sub(r"\$[^$]*\$", rename, text)


def _people(rng: random.Random, text: str) -> str:
    known = [name for name in NAMES if re.search(rf"\b{name}\b", text)]
    others = rng.sample([name for name in NAMES if name not in known], len(known))
    for name, other in zip(known, others, strict=True):
        text = re.sub(rf"\b{name}\b", other, text)
    return text


def _order(rng: random.Random, text: str) -> str:
    *body, last = re.split(r"(?<=[.?]) (?=[A-Z])", text)
    rng.shuffle(body)
    return " ".join([*body, last])


def prose(edit: Edit) -> Edit:
    """The edit on the lines that are sentences alone."""

    def on_lines(rng: random.Random, text: str) -> str:
        lines = text.split("\n")
        prose = [len(re.findall(r"\b[A-Za-z]{2,}\b", line)) >= 5 for line in lines]
        return "\n".join(
            edit(rng, line) if is_prose else line
            for line, is_prose in zip(lines, prose, strict=True)
        )

    return on_lines


def _insert(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    for _ in range(max(1, len(words) // 15)):
        filler = rng.choice(["also", "now", "exactly", "then", "again", "overall", "simply"])
        words.insert(rng.randrange(len(words)), filler)
    return " ".join(words)


def _drop(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    mixed = not text.isupper()
    # A word in capitals is data (letters to sort, a name of a point): without it, another question.
    plain = [
        i for i, w in enumerate(words) if w.isalpha() and len(w) > 1 and not (w.isupper() and mixed)
    ]
    gone = set(rng.sample(plain, len(plain) // 12))
    return " ".join(word for i, word in enumerate(words) if i not in gone)


_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()


def spelled(number: int) -> str:
    """A number below a million in words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = f" {'and ' if unit == 100 else ''}{spelled(number % unit)}" if number % unit else ""
    return f"{spelled(number // unit)} {name}{rest}"


def _numerals(rng: random.Random, text: str) -> str:
    free = r"(?<![\w.$\\{^/])\d{1,5}(?![\w.$}^/])"
    parts = re.split(r"(\$[^$]*\$|`[^`]*`)", text)
    parts[::2] = [re.sub(free, lambda m: spelled(int(m[0])), part) for part in parts[::2]]
    return "".join(parts)


def _units(rng: random.Random, text: str) -> str:
    for long, brief in (("kilometers per hour", "km per hour"), ("kilometers", "km")):
        text = text.replace(long, brief)
    text = re.sub(r"\b(\d+) percent", r"\1%", text).replace("centimeters", "centimetres")
    return text.replace("minutes", "mins").replace(" hours", " hrs")


_SYNONYMS = {
    "find": "determine", "determine": "find", "compute": "calculate", "brings": "takes",
    "returns": "gives back", "total": "overall", "left": "remaining", "whole": "entire",
    "each": "every", "best": "most accurately", "takes": "accepts", "another": "a further",
    "exactly": "precisely", "length": "size", "most": "maximum", "trip": "journey",
}  # fmt: skip


def _synonyms(rng: random.Random, text: str) -> str:
    return re.sub(r"[a-z]+", lambda m: _SYNONYMS.get(m[0], m[0]), text)


def _typos(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 4]
    for i in rng.sample(long, min(len(long), 2)):
        at = rng.randrange(1, len(words[i]) - 2)
        words[i] = words[i][:at] + words[i][at + 1] + words[i][at] + words[i][at + 2 :]
    return " ".join(words)


def _prefix(rng: random.Random, text: str) -> str:
    openings = [
        "Solve the following problem: ",
        "Problem 7. ",
        "You are a helpful assistant. Think step by step.\n\n### Question\n",
        "Please answer this question carefully.\n\n",
        "Q: ",
        "**Problem** (12 points)\n",
    ]
    return rng.choice(openings) + text


def _suffix(rng: random.Random, text: str) -> str:
    endings = [
        "\n\nLet's think step by step.",
        "\n\nPut your final answer within \\boxed{}.",
        " Give your answer rounded to 2 decimal places.",
        "\nAnswer:",
        "\n\nReturn only the final answer, without any explanation.",
    ]
    return text + rng.choice(endings)


LIGHT: tuple[Edit, ...] = (_case, _blanks, _latex, _marks, _prefix, _suffix, _numerals, _units)
DEEP: tuple[Edit, ...] = (_variables, _people, _order, _insert, _drop, _synonyms, _typos)
PUZZLE: tuple[Edit, ...] = (_prefix, _suffix, prose(_insert), prose(_drop), prose(_synonyms))
"""Edits that leave a puzzle the same puzzle."""


def edited(rng: random.Random, text: str, deep: int, light: int) -> str:
    """A copy after so many edits; what must see the original goes first."""
    for edit in (*rng.sample(DEEP, deep), *rng.sample(LIGHT, light)):
        text = edit(rng, text)
    return text
