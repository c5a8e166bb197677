"""Linear equations and number sequences."""

import random
from itertools import pairwise

from data.families.core import Problem, write_workings

EQUATION_PHRASES = (
    "Solve for {x}: {equation}",
    "Solve {equation} for {x}.",
    "Find {x} if {equation}.",
    "What is {x} when {equation}?",
)
LETTERS = "xyznt"

NEXT_PHRASES = (
    "What number comes next: {terms}?",
    "Find the next number: {terms}, ...",
    "Continue the sequence {terms} by one number.",
    "The sequence {terms} goes on by the same rule. What is the next number?",
)
FIBONACCI_PHRASES = (
    "A sequence starts {a}, {b} and each later term is the sum of the two before it. "
    "What is term {n}?",
    "Start with {a} and {b}. Every next term adds the two terms before it. Find term {n}.",
)
RULE_PHRASES = (
    "A sequence starts with {a}. Each next term is {p} times the last one plus {q}. "
    "What is term {n}?",
    "The first term is {a}. To get the next term, multiply by {p} and add {q}. Find term {n}.",
)


def signed(number: int) -> str:
    """A number as it follows another in a sum: ' + 3' or ' - 3'."""
    return f" + {number}" if number >= 0 else f" - {-number}"


def shift(value: int, by: int) -> str:
    """The sum value + by, written with its result: '12-5=7'."""
    return f"{value}{'+' if by >= 0 else '-'}{abs(by)}={value + by}"


def difference(a: int, b: int) -> str:
    """The difference a - b with its result; a negative b goes in brackets."""
    return f"{a}-{b if b >= 0 else f'({b})'}={a - b}"


def equation(rng: random.Random, level: int) -> Problem:
    """x + b = c or ax = c; ax + b = c; ax + b = cx + d."""
    x = rng.choice(LETTERS)
    text, steps, careful, value = (one_step, two_steps, both_sides)[level - 1](rng, x)
    return Problem(
        family="equation",
        level=level,
        key=text.replace(x, "x"),
        prompt=rng.choice(EQUATION_PHRASES).format(x=x, equation=text),
        answer=str(value),
        workings=write_workings(rng, str(value), steps, careful),
    )


def one_step(rng: random.Random, x: str) -> tuple[str, list[str], list[str], int]:
    """x + b = c or ax = c, one operation away from the answer."""
    if rng.random() < 0.5:
        value, a = rng.randint(2, 30), rng.randint(2, 9)
        lines = [f"{a * value}/{a}={value}"]
        return f"{a}{x} = {a * value}", lines, [f"divide by {a}", *lines], value
    value, b = rng.randint(1, 40), rng.choice([-1, 1]) * rng.randint(2, 40)
    lines = [shift(value + b, -b)]
    word = f"subtract {b}" if b > 0 else f"add {-b}"
    return f"{x}{signed(b)} = {value + b}", lines, [word, *lines], value


def two_steps(rng: random.Random, x: str) -> tuple[str, list[str], list[str], int]:
    """ax + b = c."""
    value, a = rng.randint(-5, 15), rng.randint(2, 9)
    b = rng.choice([-1, 1]) * rng.randint(2, 40)
    c = a * value + b
    steps = [f"{a}{x} = {a * value}", f"{x} = {value}"]
    careful = [
        f"subtract {b}" if b > 0 else f"add {-b}",
        shift(c, -b),
        f"{a}{x} = {c - b}",
        f"{c - b}/{a}={value}",
    ]
    return f"{a}{x}{signed(b)} = {c}", steps, careful, value


def both_sides(rng: random.Random, x: str) -> tuple[str, list[str], list[str], int]:
    """ax + b = cx + d with a > c."""
    value, c = rng.randint(-9, 15), rng.randint(2, 9)
    slope = rng.randint(2, 9)
    a, b = c + slope, rng.choice([-1, 1]) * rng.randint(2, 50)
    d = slope * value + b
    steps = [f"{slope}{x} = {d - b}", f"{x} = {value}"]
    careful = [
        f"{a}-{c}={slope}",
        f"{slope}{x}{signed(b)} = {d}",
        shift(d, -b),
        f"{slope}{x} = {d - b}",
        f"{d - b}/{slope}={value}",
    ]
    return f"{a}{x}{signed(b)} = {c}{x}{signed(d)}", steps, careful, value


def sequence(rng: random.Random, level: int) -> Problem:
    """Equal differences; growing differences or a fixed ratio; a term of a stated recurrence."""
    if level == 1:
        return next_term(rng, level, *equal_differences(rng))
    if level == 2:
        draw = growing_differences if rng.random() < 0.7 else fixed_ratio
        return next_term(rng, level, *draw(rng))
    return fibonacci(rng) if rng.random() < 0.5 else recurrence(rng)


def next_term(
    rng: random.Random, level: int, terms: list[int], steps: list[str], careful: list[str]
) -> Problem:
    """Ask for the last of the terms and show those before it."""
    shown, answer = ", ".join(map(str, terms[:-1])), str(terms[-1])
    return Problem(
        family="sequence",
        level=level,
        key=shown,
        prompt=rng.choice(NEXT_PHRASES).format(terms=shown),
        answer=answer,
        workings=write_workings(rng, answer, steps, careful),
    )


def equal_differences(rng: random.Random) -> tuple[list[int], list[str], list[str]]:
    """An arithmetic sequence, rising or falling."""
    start, step = rng.randint(1, 60), rng.randint(2, 15)
    if rng.random() < 0.3:
        start, step = start + 4 * step, -step
    terms = [start + step * i for i in range(5)]
    last = shift(terms[-2], step)
    differences = [difference(b, a) for a, b in pairwise(terms[:-1])]
    return terms, [f"difference {step}", last], [*differences, last]


def growing_differences(rng: random.Random) -> tuple[list[int], list[str], list[str]]:
    """A sequence whose differences grow by the same amount each time."""
    terms, step, growth = [rng.randint(1, 40)], rng.randint(1, 12), rng.randint(1, 6)
    for _ in range(5):
        terms.append(terms[-1] + step)
        step += growth
    gaps = [b - a for a, b in pairwise(terms)]
    last = shift(terms[-2], gaps[-1])
    steps = [f"differences {', '.join(map(str, gaps[:-1]))}", f"next {gaps[-1]}", last]
    careful = [difference(b, a) for a, b in pairwise(terms[:-1])]
    careful += [f"{gaps[-2]}-{gaps[-3]}={growth}", f"{gaps[-2]}+{growth}={gaps[-1]}", last]
    return terms, steps, careful


def fixed_ratio(rng: random.Random) -> tuple[list[int], list[str], list[str]]:
    """A geometric sequence."""
    start, ratio = rng.randint(1, 20), rng.randint(2, 3)
    terms = [start * ratio**i for i in range(5)]
    last = f"{terms[-2]}*{ratio}={terms[-1]}"
    ratios = [f"{b}/{a}={ratio}" for a, b in pairwise(terms[:-1])]
    return terms, [f"ratio {ratio}", last], [*ratios, last]


def fibonacci(rng: random.Random) -> Problem:
    """Term n of a sequence in which each term is the sum of the two before."""
    n, terms = rng.randint(5, 8), [rng.randint(1, 20), rng.randint(1, 20)]
    while len(terms) < n:
        terms.append(terms[-1] + terms[-2])
    a, b = terms[:2]
    prompt = rng.choice(FIBONACCI_PHRASES).format(a=a, b=b, n=n)
    careful = [
        f"term {i + 1}: {terms[i - 2]}+{terms[i - 1]}={terms[i]}" for i in range(2, len(terms))
    ]
    return sequence_term(rng, f"fibonacci {a},{b},{n}", prompt, terms, careful)


def recurrence(rng: random.Random) -> Problem:
    """Term n of a sequence in which each term is p times the last plus q."""
    a, p, q, n = rng.randint(1, 12), rng.randint(2, 3), rng.randint(1, 12), rng.randint(3, 5)
    terms = [a]
    while len(terms) < n:
        terms.append(p * terms[-1] + q)
    prompt = rng.choice(RULE_PHRASES).format(a=a, p=p, q=q, n=n)
    careful = [
        f"term {i + 1}: {p}*{terms[i - 1]}={p * terms[i - 1]}, {shift(p * terms[i - 1], q)}"
        for i in range(1, len(terms))
    ]
    return sequence_term(rng, f"rule {a},{p},{q},{n}", prompt, terms, careful)


def sequence_term(
    rng: random.Random, key: str, prompt: str, terms: list[int], careful: list[str]
) -> Problem:
    """A level 3 sequence; the coarse working just lists the terms."""
    answer = str(terms[-1])
    return Problem(
        family="sequence",
        level=3,
        key=key,
        prompt=prompt,
        answer=answer,
        workings=write_workings(rng, answer, ["terms " + ", ".join(map(str, terms))], careful),
    )
