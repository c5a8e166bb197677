"""A corpus for measuring decontamination: evaluation items, edited copies, and clean problems.

Everything is made here from a seed. An item is worded by one random source and numbered by
another, so three kinds of problem exist beside its copies: `reworded` (same family, other wording,
other numbers), `renumbered` (same wording, other numbers) and `foreign` (a family that no
evaluation item is from). reasoning-gym, where it is installed, adds a hundred families of puzzles;
theirs are `reworded` by nature: one template, everything that is filled in differs.
"""

# ruff: noqa: E501, SIM905  (sentences and word lists read best as they are)

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import _heldout
from benchmarks._edits import NAMES, PUZZLE, Edit, edited

Maker = Callable[[random.Random, random.Random], str]

THINGS = (
    "apples pencils marbles stickers tickets bottles candles tiles cookies stamps oranges notebooks"
    " bricks ribbons postcards lanterns buttons seashells"
).split()
PLACES = (
    "market school library bakery harbor farm museum station garden workshop festival theater"
).split()
FUNCTIONS = "merge_runs count_gaps fold_pairs rank_words split_blocks find_peaks".split()


def shopping(w: random.Random, n: random.Random) -> str:
    a, b = w.sample(NAMES, 2)
    thing, other = w.sample(THINGS, 2)
    place, day = w.choice(PLACES), w.choice(["Monday", "Friday", "Sunday"])
    x, y, z, k = n.randint(11, 98), n.randint(3, 40), n.randint(2, 19), n.randint(2, 9)
    first = w.choice(
        [
            f"{a} brings {x} {thing} to the {place} and sells {y} of them before noon.",
            f"On {day} {a} packs {x} {thing} for the {place}, but {y} of them turn out to be broken.",
            f"At the {place}, {a} finds {x} {thing} in a crate and hands {y} of them to the keeper.",
        ]
    )
    second = w.choice(
        [
            f"{b} then trades {z} {other} for {k} {thing} from the same stall.",
            f"Later {b} gives {a} another {z} {thing} and takes {k} {other} in return.",
            f"In the afternoon {b} drops off {z} boxes that each hold {k} {thing}.",
        ]
    )
    last = w.choice(
        [
            f"How many {thing} does {a} have at the end of the day?",
            f"What is the total number of {thing} that {a} can still sell?",
            f"How many {thing} are left with {a} after {b} has gone?",
        ]
    )
    return f"{first} {second} {last}"


def journey(w: random.Random, n: random.Random) -> str:
    a = w.choice(NAMES)
    way = w.choice(["cycles", "drives a van", "rides a train", "hikes", "rows a boat"])
    v, t, u, d = n.randint(12, 95), n.randint(2, 9), n.randint(10, 80), n.randint(100, 900)
    middle = w.choice(
        [
            f"After a break of {u} minutes, the second half of the trip is covered at twice the speed.",
            f"A headwind then slows the rest of the trip down by {u} percent.",
            f"The return trip uses a shortcut that saves {u} minutes.",
            f"A friend who left {u} minutes later follows on the same road at a steady pace.",
        ]
    )
    last = w.choice(
        [
            f"If the whole route is {d} kilometers long, how many hours does the journey take?",
            f"How far from the start is {a} when {d} kilometers of the route remain?",
            f"How many kilometers per hour is the average over all {d} kilometers?",
        ]
    )
    place = w.choice(PLACES)
    return f"{a} {way} from the {place} at {v} kilometers per hour for {t} hours. {middle} {last}"


def contest(w: random.Random, n: random.Random) -> str:
    x, y = w.sample("xyabnmkpqt", 2)
    c, d, e, f = n.randint(2, 30), n.randint(2, 60), n.randint(100, 2000), n.randint(3, 40)
    opening = w.choice(
        [
            f"Find the number of positive integers ${x} \\leq {e}$ such that",
            f"Let ${x}$ be a positive integer less than ${e}$ for which",
            f"How many ordered pairs of integers $({x}, {y})$ with $1 \\leq {x}, {y} \\leq {e}$ satisfy",
            f"Determine the sum of all positive integers ${x} < {e}$ with the property that",
        ]
    )
    condition = w.choice(
        [
            f"${x}^2 + {c}{x} + {d}$ is divisible by ${f}$",
            f"$\\frac{{{x} + {c}}}{{{d}}}$ is the square of an integer and ${x}$ is prime to ${f}$",
            f"the digits of ${x}$ in base ${f}$ add up to at most ${c}$ and ${x} \\equiv {d} \\pmod {{{f}}}$",
            f"$\\lfloor {x}/{c} \\rfloor + \\lfloor {x}/{d} \\rfloor = {f}$",
            f"the greatest common divisor of ${x}$ and ${c} \\cdot {d}$ is exactly ${f}$",
        ]
    )
    closing = w.choice(
        [
            ".",
            ". The answer can be written as $\\frac{m}{n}$, where $m$ and $n$ are relatively prime"
            " positive integers. Find $m+n$.",
            ". Express your answer as an integer between 0 and 999, inclusive.",
        ]
    )
    return f"{opening} {condition}{closing}"


def geometry(w: random.Random, n: random.Random) -> str:
    p, q, r, s = w.sample("ABCDEFPQRS", 4)
    x, y, z = n.randint(5, 60), n.randint(5, 60), n.randint(2, 40)
    setting = w.choice(
        [
            f"In triangle ${p}{q}{r}$, the side ${p}{q}$ has length ${x}$ and the side ${q}{r}$ has length ${y}$.",
            f"Let ${p}{q}{r}{s}$ be a rectangle with ${p}{q} = {x}$ and ${q}{r} = {y}$.",
            f"A circle of radius ${x}$ touches both legs of a right angle, and a point ${p}$ lies ${y}$ from its center.",
            f"The parallel sides of trapezoid ${p}{q}{r}{s}$ measure ${x}$ and ${y}$ centimeters.",
        ]
    )
    condition = w.choice(
        [
            f"A line through ${p}$ meets the opposite side at distance ${z}$ from ${q}$.",
            f"A point is chosen inside so that its distance to ${p}$ is ${z}$ and the two angles there agree.",
            f"The figure is folded along a segment of length ${z}$ that starts in ${p}$.",
        ]
    )
    last = w.choice(
        [
            "Find the area of the region that lies on both sides of the line.",
            "What is the perimeter of the resulting figure? Express your answer in simplest radical form.",
            "Compute the square of the longest distance between two of its vertices.",
        ]
    )
    return f"{setting} {condition} {last}"


def code(w: random.Random, n: random.Random) -> str:
    name = w.choice(FUNCTIONS)
    kind = w.choice(["list of integers", "string of lowercase letters", "list of intervals"])
    m = n.randint(2, 99)
    limit = 10 ** n.randint(3, 6)
    k = n.randint(2, 50)
    task = w.choice(
        [
            f"returns the length of the longest contiguous part in which no value occurs more than {k} times within {m} steps",
            f"removes every element that is followed by a smaller one within {k} positions, at most {m} of them, and returns the rest",
            f"groups neighbouring elements whose distance is at most {k} and returns the size of each group above {m}",
            f"returns the smallest number of swaps after which every block of {k} elements is sorted, modulo {m}",
        ]
    )
    detail = w.choice(
        [
            "If the input is empty, return an empty result.",
            "Ties are broken in favour of the element that comes first.",
            "The input may contain duplicates and must not be changed.",
        ]
    )
    return (
        f"Write a Python function `{name}(values, k)` that takes a {kind} and {task}. {detail}"
        f" The input has at most {limit} elements, so a quadratic solution is too slow."
    )


TOPICS = (
    "mitochondria|electron transport chain|ribosomes|protein synthesis|tectonic plates|mantle"
    " convection|inflation|money supply|photosynthesis|light absorption|antibodies|immune memory"
    "|capacitors|charge storage|enzymes|activation energy|glaciers|valley erosion|catalysts"
    "|reaction rate|neurons|signal propagation|vaccines|herd protection|lenses|light refraction"
    "|tariffs|domestic prices|comets|solar radiation|estuaries|salinity gradients"
).split("|")


SITES = (
    "a closed tank|a tropical forest|a desert basin|an urban clinic|a coastal town|a mountain lake"
    "|an orbital station|a rural county|a cold cellar|a river delta|a textile mill|a test reactor"
).split("|")


def choice(w: random.Random, n: random.Random) -> str:
    causes, effects = TOPICS[::2], TOPICS[1::2]
    a, c, d, e, f = w.sample(causes, 5)
    b = w.choice(effects)
    place = w.choice(SITES)
    stem = w.choice(
        [
            f"A student claims that {a} have no part in {b} when seen in {place}."
            f" Which of the following observations about {c} would most directly contradict it?",
            f"Which of the following best describes how {a} and {c} are related to {b} in {place}?",
            f"In {place}, a decline of {a} is followed by a rise of {b}, while {c} stay as they were."
            f" What can be concluded?",
            f"A report on {place} names {a} as the cause of {b} and {c} as a by-product."
            f" Which statement, if true, would weaken the report the most?",
            f"Which change in {place} would make {a} less important for {b} than {c} are?",
            f"Researchers in {place} remove {a} from a sample and find that {b} can no longer be"
            f" measured beside {c}. Which explanation fits the finding best?",
        ]
    )
    lines = [f"{x} depend on {w.choice(effects)} in every case" for x in (d, e, f)]
    lines.append(f"{b} would stop without {a}")
    w.shuffle(lines)
    choices = "\n".join(f"({letter}) {line}" for letter, line in zip("ABCD", lines, strict=True))
    return f"{stem}\n{choices}"


def short(w: random.Random, n: random.Random) -> str:
    a, b, c = n.randint(12, 999), n.randint(12, 999), n.randint(2, 99)
    return w.choice(
        [
            f"Compute ${a} + {b} - {c}$.",
            f"What is {a} times {b}?",
            f"Solve ${c}x + {a} = {b}$ for $x$.",
            f"Evaluate $\\frac{{{a}}}{{{c}}} + {b}$.",
        ]
    )


def savings(w: random.Random, n: random.Random) -> str:
    a = w.choice(NAMES)
    rate, years, sum_ = n.randint(2, 9), n.randint(3, 20), n.randint(200, 9000)
    return (
        f"{a} puts {sum_} dollars into an account that pays {rate} percent interest a year."
        f" The {w.choice(PLACES)} where {a} works adds {n.randint(10, 90)} dollars every"
        f" {w.choice(['month', 'quarter', 'year'])}. How much is in the account after {years} years?"
    )


HERE: tuple[Maker, ...] = (shopping, journey, contest, geometry, code, choice, short)
ELSEWHERE: tuple[Maker, ...] = (savings,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What decontamination is measured on."""

    items: list[str]
    copies: dict[str, list[str]]
    """By how much they were edited."""
    clean: dict[str, list[str]]
    """By what they have in common with an item."""


def _plain(text: str) -> str:
    return "".join(re.findall(r"\w|[^\w\s.,;:!?$\\{}()]", text.casefold()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Whose problems are planted, and how their copies are edited."""

    families: tuple[Maker, ...]
    edit: Callable[[random.Random, str, int, int], str]
    """Copy after so many deep and so many light edits."""
    puzzle_edits: tuple[Edit, ...]


TUNED = Kind(families=HERE, edit=edited, puzzle_edits=PUZZLE)
"""What the bounds of the comparison were chosen by."""
HELD_OUT = Kind(families=_heldout.HERE, edit=_heldout.edited, puzzle_edits=_heldout.PUZZLE)
"""What was only measured on."""


def corpus(
    seed: int,
    size: int,
    puzzles: tuple[tuple[list[str], list[str]], ...] = (),
    kind: Kind = TUNED,
) -> Corpus:
    """The corpus of a seed.

    Args:
        size: items per family.
        puzzles: for each further family its evaluation items and its other problems.
    """
    rng = random.Random(seed)
    items: list[str] = []
    copies: dict[str, list[str]] = {"light": [], "medium": [], "heavy": [], "puzzle": []}
    clean: dict[str, list[str]] = {"reworded": [], "renumbered": [], "puzzle": [], "foreign": []}

    def draw() -> random.Random:
        return random.Random(rng.getrandbits(64))

    for make in kind.families:
        for _ in range(size):
            words, numbers = rng.getrandbits(64), rng.getrandbits(64)
            text = make(random.Random(words), random.Random(numbers))
            items.append(text)
            copies["light"].append(kind.edit(draw(), text, 0, 3))
            copies["medium"].append(kind.edit(draw(), text, 2, 2))
            if make is not short:
                copies["heavy"].append(kind.edit(draw(), text, 4, 3))
            clean["renumbered"].append(make(random.Random(words), draw()))
            clean["reworded"] += [make(draw(), draw()) for _ in range(2)]
    for make in ELSEWHERE:
        clean["foreign"] += [make(draw(), draw()) for _ in range(4 * size)]
    for held, others in puzzles:
        items += held
        clean["puzzle"] += others
        for text in held:
            own = draw()
            for edit in own.sample(kind.puzzle_edits, 2):
                text = edit(own, text)
            copies["puzzle"].append(text)
    known = {_plain(item) for item in items}
    for name, texts in clean.items():
        clean[name] = [text for text in texts if _plain(text) not in known]
    return Corpus(items=items, copies=copies, clean=clean)
