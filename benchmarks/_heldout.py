"""Families of problems, and edits, that no rule of decontamination was tuned on.

`benchmarks._planted` and `benchmarks._edits` are what the bounds in `factory.contamination.overlap` and
`factory.contamination.alike` were chosen by. What is here was written afterwards and is only measured on:
other subjects, other sentence patterns, other ways to alter a text that leave its question alone.
"""

# ruff: noqa: E501, SIM905  (sentences and word lists read best as they are)

from __future__ import annotations

import random
import re

from benchmarks._edits import LIGHT, Edit, prose

METALS = "copper zinc nickel cobalt titanium silver lead iron".split()
ANIMALS = "goat heron otter lynx badger falcon turtle donkey".split()
TRADES = "baker mason tailor potter weaver glazier cooper joiner".split()
COLOURS = "crimson amber violet olive ivory teal maroon indigo".split()


def mixture(w: random.Random, n: random.Random) -> str:
    a, b = w.sample(METALS, 2)
    x, y, p, q = n.randint(12, 95), n.randint(12, 95), n.randint(5, 45), n.randint(46, 90)
    task = w.choice(
        [
            f"what percentage of the new alloy is {a}?",
            f"how many grams of pure {b} have to be added so that both metals weigh the same?",
            f"by how many grams does the {a} in the melt exceed the {b}?",
        ]
    )
    how = w.choice(
        ["melted together in a crucible", "rolled into one bar", "cast as a single disc"]
    )
    return (
        f"An alloy of {x} grams holds {p} percent {a}, a second one of {y} grams holds {q} percent;"
        f" the remainder of each is {b}. If the two are {how}, {task}"
    )


def probability(w: random.Random, n: random.Random) -> str:
    c, d, e = w.sample(COLOURS, 3)
    i, j, k, m = n.randint(3, 25), n.randint(3, 25), n.randint(3, 25), n.randint(2, 6)
    draw = w.choice(
        [
            f"{m} balls are taken out at once",
            f"a ball is drawn and put back {m} times",
            f"balls are removed one after the other until {m} are on the table",
        ]
    )
    ask = w.choice(
        [
            f"exactly one of them is {c}",
            f"none of them is {d}",
            f"the last one is {e}",
            f"more of them are {c} than {e}",
        ]
    )
    return (
        f"An urn contains {i} {c}, {j} {d} and {k} {e} balls. Without looking, {draw}. "
        f"What is the probability that {ask}? Give a fraction in lowest terms."
    )


def algebra(w: random.Random, n: random.Random) -> str:
    p, q = w.sample("acdhkmpstuvw", 2)
    c = [n.randint(2, 40) for _ in range(5)]
    body = w.choice(
        [
            f"${c[0]}{p} + {c[1]}{q} = {c[2]}$ and ${c[3]}{p} - {q} = {c[4]}$",
            f"${p}^2 + {q}^2 = {c[0] * c[1]}$ and ${p} + {q} = {c[2]}$",
            f"$\\sqrt{{{p} + {c[0]}}} = {q} - {c[1]}$ and ${p}{q} = {c[2]}$",
            f"$2^{{{p}}} \\cdot 3^{{{q}}} = {c[0]}^{{{c[1]}}}$ and ${p} - {q} = {c[2]}$",
        ]
    )
    ask = w.choice(
        [
            f"Find the value of ${p}{q}$.",
            f"Determine all possible values of ${p} - {q}$.",
            f"How many real pairs $({p}, {q})$ are there?",
            f"What is the largest possible value of ${p}$?",
        ]
    )
    return f"Real numbers ${p}$ and ${q}$ satisfy {body}. {ask}"


def workshop(w: random.Random, n: random.Random) -> str:
    a, b = w.sample(TRADES, 2)
    x, y, z, h = n.randint(3, 24), n.randint(3, 24), n.randint(20, 400), n.randint(2, 11)
    first = w.choice(
        [
            f"A {a} finishes an order of {z} pieces in {x} days when working alone.",
            f"It takes the {a} of the village {x} hours to complete {z} pieces.",
        ]
    )
    second = w.choice(
        [
            f"The {b} next door needs {y} for the same order but rests after every {h} pieces.",
            f"An apprentice, who was trained by a {b}, works {h} times as slowly and joins after {y}.",
            f"With the help of a {b} the order is done in {y}, although {h} pieces break on the way.",
        ]
    )
    last = w.choice(
        [
            "How long do they need together?",
            "What share of the order does the faster of the two complete?",
            f"How many pieces are ready after {h + 1} units of time?",
        ]
    )
    return f"{first} {second} {last}"


def herd(w: random.Random, n: random.Random) -> str:
    a, b, c = w.sample(ANIMALS, 3)
    i, j, k = n.randint(2, 9), n.randint(10, 70), n.randint(3, 40)
    clues = [
        w.choice([f"Every {a} eats {i} times as much as a {b}.", f"A {a} weighs {i} {b}s."]),
        w.choice([f"There are {j} animals in total.", f"Together they have {4 * j} legs."]),
        w.choice([f"The {c}s outnumber the {b}s by {k}.", f"No more than {k} of them are {c}s."]),
    ]
    w.shuffle(clues)
    ask = w.choice([f"How many {a}s can there be at most?", f"How many {c}s are there?"])
    return f"A keeper looks after some {a}s, {b}s and {c}s. {' '.join(clues)} {ask}"


def program(w: random.Random, n: random.Random) -> str:
    m, k, t = n.randint(2, 60), n.randint(2, 60), n.randint(100, 9999)
    what = w.choice(
        ["graph", "matrix of digits", "tree with weights on its edges", "queue of jobs"]
    )
    goal = w.choice(
        [
            f"print the number of nodes that can be reached within {m} steps of node {k}",
            f"print the {k}-th smallest value after {m} rounds of removal",
            f"output YES if it can be split into {m} parts that differ by at most {k}",
            f"print the earliest moment at which {m} of them are idle, counted modulo {k}",
        ]
    )
    limit = w.choice([f"Time limit: {n.randint(1, 9)} s.", "Use standard input and output."])
    return f"You are given a {what} with up to {t} entries. Write a program to {goal}. {limit}"


HERE = (mixture, probability, algebra, workshop, herd, program)


def _emphasis(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    for place in rng.sample(range(len(words)), min(2, len(words))):
        if words[place].isalpha():
            words[place] = rng.choice(["**{}**", "*{}*", "_{}_", "<b>{}</b>"][:3]).format(
                words[place]
            )
    return " ".join(words)


def _entities(rng: random.Random, text: str) -> str:
    return text.replace(" ", "\u00a0", 3).replace("'", "\u2019").replace("-", "\u2013")


def _split(rng: random.Random, text: str) -> str:
    return re.sub(r"(; |, and |, although )", lambda m: rng.choice([". ", m[0]]), text)


def _joined(rng: random.Random, text: str) -> str:
    return re.sub(r"\. (?=[A-Z][a-z])", lambda m: rng.choice(["; ", ".\n\n", m[0]]), text)


_OTHER_WORDS = {
    "percentage": "percent share", "contains": "holds", "balls": "marbles", "finishes": "completes",
    "print": "output", "remainder": "rest", "probability": "chance", "satisfy": "fulfil",
    "largest": "greatest", "total": "all", "needs": "takes", "keeper": "farmer", "share": "part",
    "alone": "by himself", "program": "script", "given": "handed", "melted": "fused",
}  # fmt: skip


def _reworded(rng: random.Random, text: str) -> str:
    """Each of the words that have another one is exchanged by a coin's throw, everywhere."""
    new = {word: rng.random() < 0.6 for word in _OTHER_WORDS}
    change = lambda m: _OTHER_WORDS[m[0]] if new.get(m[0]) else m[0]  # noqa: E731
    return re.sub(r"[a-z]+", change, text)


def _doubled(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    place = rng.randrange(len(words))
    return (
        " ".join([*words[:place], words[place], *words[place:]]) if words[place].isalpha() else text
    )


def _lost(rng: random.Random, text: str) -> str:
    """Letters lost from long words, as by a poor scan."""
    words = text.split(" ")
    long = [
        i for i, word in enumerate(words) if word.isalpha() and word.islower() and len(word) > 5
    ]
    for i in rng.sample(long, min(2, len(long))):
        at = rng.randrange(1, len(words[i]) - 1)
        words[i] = words[i][:at] + words[i][at + 1 :]
    return " ".join(words)


def _aside(rng: random.Random, text: str) -> str:
    """Words put in behind a comma or a short word of a sentence."""
    places = [m.end() for m in re.finditer(r"(?:, | (?:is|are|can|must|will) )(?=[a-z]{2})", text)]
    for place in sorted(rng.sample(places, min(2, len(places))), reverse=True):
        text = (
            text[:place] + rng.choice(["of course ", "as always ", "here ", "thus "]) + text[place:]
        )
    return text


def _told(rng: random.Random, text: str) -> str:
    openings = [
        "Here is a question from my homework. ",
        "<problem>\n",
        "[Level 5] ",
        "User: ",
        "12) ",
        "Exercise 4.3. ",
    ]
    endings = ["\n</problem>", "\n\nExplain each step.", " Thanks!", "\nShow your work.", ""]
    return rng.choice(openings) + text + rng.choice(endings)


PLAIN: tuple[Edit, ...] = (_emphasis, _entities, _joined, _told)
DEEP: tuple[Edit, ...] = (_split, _reworded, _doubled, _lost)
PUZZLE: tuple[Edit, ...] = (_told, prose(_emphasis), prose(_aside))
"""Edits that leave a puzzle the same puzzle."""


def edited(rng: random.Random, text: str, deep: int, light: int) -> str:
    """A copy after so many edits of these, and one of those that were tuned on."""
    for edit in (*rng.sample(DEEP, deep), *rng.sample(PLAIN, light), rng.choice(LIGHT)):
        text = edit(rng, text)
    return text
