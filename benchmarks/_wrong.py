"""Wrong answers for `benchmarks.verifiers --fuzz`, each wrong by an oracle that is no verifier.

Every family makes problems and, for each, answers whose wrongness follows from how they were made:
other fractions by exact arithmetic, other sets of letters, other JSON values by a comparison of its
own. `benchmarks._tricks` makes completions of them.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from factory.types import Problem
from verifiers._edits import edits


class Asked(NamedTuple):
    """A problem, its right answer as a model would write it, and what is surely wrong."""

    problem: Problem
    right: str
    wrong: Callable[[random.Random], str]
    style: str = "box"
    """What the answer is put into: a box, a block of json, or tags."""


def problem(answer: str, **spec: Any) -> Problem:
    return Problem(id="fuzz", prompt="What is it?", answer=answer, spec=spec)


def _value(rng: random.Random) -> Fraction:
    kind = rng.randrange(4)
    if kind == 0:
        return Fraction(rng.randint(-99, 99))
    if kind == 1:
        return Fraction(rng.randint(-(10**9), 10**9))
    if kind == 2:
        return Fraction(rng.randint(-999, 999), rng.randint(1, 60))
    return Fraction(rng.randint(-(10**6), 10**6), 10 ** rng.randint(1, 5))


def _spelled(value: Fraction, rng: random.Random) -> str:
    forms = [f"{value.numerator}/{value.denominator}"]
    sign, top = ("-" if value < 0 else ""), abs(value.numerator)
    forms.append(f"{sign}\\frac{{{top}}}{{{value.denominator}}}")
    if value.denominator == 1:
        forms += [str(value), f"{value}.0", f"{int(value):,}", f"x = {value}"] * 2
    if 10**6 % value.denominator == 0:
        size = int(abs(value) * 10**6)
        forms += [f"{sign}{size // 10**6}.{size % 10**6:06d}"] * 2
        forms.append(f"{sign}{size} \\times 10^{{-6}}")
    return rng.choice(forms)


def _near(value: Fraction, rng: random.Random) -> Fraction:
    """Another value, often a near one."""
    steps = (Fraction(1), Fraction(-1), Fraction(1, 10), Fraction(1, 10**6), value, -2 * value)
    other = value + rng.choice(steps) * rng.choice((1, 1, 10, -1))
    digits = list(str(value))
    at = rng.randrange(len(digits))
    if digits[at].isdigit() and rng.random() < 0.4:
        digits[at] = rng.choice(string.digits)
        text = "".join(digits)
        other = Fraction(text) if not text.endswith("/0") and "/0" not in text else other
    return other if other != value else value + 1


def numbers(rng: random.Random) -> Asked:
    value = _value(rng)
    right = _spelled(value, rng)
    return Asked(problem(right), right, lambda r: _spelled(_near(value, r), r))


_SIZES = {
    "length": {"m": "1", "cm": "1/100", "km": "1000", "mm": "1/1000", "ft": "381/1250"},
    "time": {"s": "1", "min": "60", "h": "3600", "ms": "1/1000"},
    "speed": {"m/s": "1", "km/h": "5/18", "mph": "1397/3125"},
    "energy": {"J": "1", "kJ": "1000", "kWh": "3600000", "N m": "1"},
    "mass": {"kg": "1", "g": "1/1000", "lb": "45359237/100000000", "t": "1000"},
}


def quantities(rng: random.Random) -> Asked:
    kind = rng.choice(sorted(_SIZES))
    unit = rng.choice(sorted(_SIZES[kind]))
    value, tolerance = _value(rng) or Fraction(7), rng.choice((0, 0, Fraction(1, 100)))
    size = Fraction(_SIZES[kind][unit])

    def wrong(r: random.Random) -> str:
        while True:
            other_kind = kind if r.random() < 0.7 else r.choice(sorted(_SIZES))
            other_unit = r.choice(sorted(_SIZES[other_kind]))
            other = value if r.random() < 0.4 else _near(value, r)
            si = other * Fraction(_SIZES[other_kind][other_unit])
            if other_kind != kind or abs(si - value * size) > tolerance * abs(value * size):
                return f"{_spelled(other, r)} {other_unit}"

    right = f"{_spelled(value, rng)} {unit}"
    return Asked(problem(right, tolerance=float(tolerance)), right, wrong)


def lists(rng: random.Random) -> Asked:
    """Tuples, whose order counts, and lists, whose order does not."""
    members = rng.sample(range(-30, 30), rng.randint(2, 5))
    ordered = rng.random() < 0.5

    def spell(found: list[int]) -> str:
        return f"({', '.join(map(str, found))})" if ordered else ", ".join(map(str, found))

    def wrong(r: random.Random) -> str:
        while True:
            other = list(members)
            change = r.randrange(4)
            if change == 0:
                other[r.randrange(len(other))] += r.choice((-1, 1, 10))
            elif change == 1:
                other.pop(r.randrange(len(other)))
            elif change == 2:
                other.insert(r.randrange(len(other) + 1), r.randint(-30, 30))
            else:
                r.shuffle(other)
            same = other == members if ordered else sorted(other) == sorted(members)
            if len(other) > 1 and not same:  # `1 = 1, 2` is true, and shows the list 1, 2
                return spell(other)

    return Asked(problem(spell(members)), spell(members), wrong)


def polynomials(rng: random.Random) -> Asked:
    coefficients = [rng.randint(-9, 9) for _ in range(rng.randint(2, 4))]
    coefficients[-1] = coefficients[-1] or 3

    def spell(found: list[int]) -> str:
        terms = [
            f"{c}x^{n}" if n > 1 else f"{c}x" if n else f"{c}" for n, c in enumerate(found) if c
        ]
        return " + ".join(reversed(terms)).replace("+ -", "- ")

    def wrong(r: random.Random) -> str:
        other = list(coefficients)
        other[r.randrange(len(other))] += r.choice((-1, 1, 2, 10))
        return spell(other) if any(other) else "x^9"

    return Asked(problem(spell(coefficients)), spell(coefficients), wrong)


def words(rng: random.Random) -> Asked:
    size = rng.randint(1, 12)
    right = "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(size))
    right += rng.choice(("", "", " ", "-", "+", "_")) + rng.choice(string.ascii_lowercase)
    others = list(edits(right))
    return Asked(problem(right), right, lambda r: r.choice(others))


def choices(rng: random.Random) -> Asked:
    letters = string.ascii_uppercase[: rng.randint(2, 8)]
    texts = [
        f"{rng.choice(('about', 'exactly', 'no more than'))} {n} {rng.random():.4f}"
        for n in letters
    ]
    right = rng.choice(letters)
    others = [letter for letter in letters if letter != right]

    def wrong(r: random.Random) -> str:
        other = r.choice(others)
        index = letters.index(other)
        forms = (
            other,
            f"({other})",
            f"\\text{{{other}}}",
            f"{other}. {texts[index]}",
            texts[index],
        )
        several = (f"{right}, {other}", f"{other} or {right}", f"{right}/{other}", "".join(letters))
        return r.choice((*forms, *forms, *several, f"{right}. {texts[index]}", "\u0410", "\uff21"))

    return Asked(problem(right, choices=texts), right, wrong)


def _is_date(text: str) -> bool:
    year, _, rest = text.partition("-")
    month, _, day = rest.partition("-")
    sizes = (len(year), len(month), len(day)) == (4, 2, 2)
    plain = all(part.isascii() and part.isdigit() for part in (year, month, day))
    return sizes and plain and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _is_color(text: str) -> bool:
    return len(text) == 7 and text[0] == "#" and set(text[1:]) <= set("0123456789abcdef")


def _is_even(text: str) -> bool:
    return text.isascii() and text.isdigit() and text[-1] in "02468" and len(text) <= 8


_LANGUAGES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    (r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", "2024-02-29", _is_date),
    (r"#[0-9a-f]{6}", "#00ff7f", _is_color),
    (r"\d{0,7}[02468]", "271828", _is_even),
)


def patterns(rng: random.Random) -> Asked:
    pattern, right, member = rng.choice(_LANGUAGES)

    def wrong(r: random.Random) -> str:
        text = right
        while member(text.strip()):
            text = r.choice(list(edits(text)))
        return text

    return Asked(problem(right, pattern=pattern), right, wrong)


def _json_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(7 if depth < 2 else 5)
    leaves = (
        None,
        rng.random() < 0.5,
        rng.randint(-3, 9),
        rng.randint(0, 9) / 4,
        rng.choice("ab1") * 2,
    )
    if kind < 5:
        return leaves[kind]
    members = [_json_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return members if kind == 5 else {str(n): m for n, m in enumerate(members)}


def same_json(a: Any, b: Any) -> bool:
    """Equality as JSON, the long way."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    number = isinstance(a, int | float) and isinstance(b, int | float)
    return bool(a == b) and (number or type(a) is type(b))


def documents(rng: random.Random) -> Asked:
    value = {"answer": _json_value(rng), "note": "x"}
    schema = {"type": "object", "required": ["answer"]}

    def wrong(r: random.Random) -> str:
        twist = value["answer"]
        confusions = ([twist], str(twist), json.dumps(twist), bool(twist), {"answer": twist}, None)
        while True:
            other = r.choice(confusions) if r.random() < 0.5 else _json_value(r)
            if not same_json(other, twist):
                return json.dumps({"note": r.choice("xyz"), "answer": other})

    asked = problem(json.dumps(value), schema=schema, pointers=["/answer"])
    return Asked(asked, json.dumps(value), wrong, "json")


_TASKS = (
    "chain_sum", "gcd", "lcm", "products", "basic_arithmetic", "leg_counting", "caesar_cipher",
    "letter_counting", "spell_backward", "decimal_arithmetic", "decimal_chain_sum",
    "number_format", "number_sorting", "spiral_matrix", "base_conversion",
)  # fmt: skip
"""Of reasoning_gym: those with one right answer, in which every digit and every letter counts."""


def tasks(rng: random.Random) -> Asked:
    import reasoning_gym

    task = rng.choice(_TASKS)
    entry = reasoning_gym.create_dataset(task, size=1, seed=rng.randrange(10**6))[0]
    entry = json.loads(json.dumps(entry, default=list))
    right = entry["answer"]
    others = [right[:at] + d + right[at + 1 :] for at, c in enumerate(right) if c in string.digits
              for d in string.digits if d != c and not (at == 0 and "0" in (c, d))]  # fmt: skip
    if not others:
        others = [text for text in edits(right) if text.isascii() and text != f"-{right}"]
    asked = problem(right, task=task, entry=entry)
    return Asked(asked, right, lambda r: r.choice(others), "tags")


Family = Callable[[random.Random], Asked]
FAMILIES: dict[str, tuple[Family, ...]] = {
    "math": (numbers, numbers, lists, polynomials),
    "numeric": (numbers, quantities, quantities),
    "exact": (words,),
    "reasoning_gym": (tasks,),
    "choice": (choices,),
    "regex": (patterns,),
    "json_schema": (documents,),
    "all_of": (quantities,),
    "any_of": (numbers,),
    "weighted": (numbers, quantities),
}
_NUMERIC, _MATH, _EXACT = ({"name": name} for name in ("numeric", "math", "exact"))
OPTIONS: dict[str, dict[str, Any]] = {
    "all_of": {"verifiers": [_NUMERIC, {"name": "any_of", "verifiers": [_NUMERIC]}]},
    "any_of": {"verifiers": [_EXACT, _NUMERIC]},
    "weighted": {"verifiers": [{**_NUMERIC, "weight": 3}, _MATH], "threshold": 1.0},
}
