"""Addition, subtraction, chains of both, and multiplication."""

import random

from data.families.core import Problem, write_workings

PLACES = ("ones", "tens", "hundreds", "thousands", "ten thousands", "hundred thousands")

ADDITION_DIGITS = {1: (2, 2), 2: (3, 3), 3: (4, 5)}
ADDITION_PHRASES = (
    "What is {a} + {b}?",
    "Add {a} and {b}.",
    "Compute {a} + {b}.",
    "Find the sum of {a} and {b}.",
    "How much is {a} plus {b}?",
)

SUBTRACTION_DIGITS = {1: (2, 2), 2: (3, 3), 3: (4, 5)}
SUBTRACTION_PHRASES = (
    "What is {a} - {b}?",
    "Subtract {b} from {a}.",
    "Compute {a} - {b}.",
    "Take {b} away from {a}. What is left?",
    "How much is {a} minus {b}?",
)

CHAIN_TERMS = {1: (3, 3), 2: (4, 4), 3: (5, 6)}
CHAIN_LARGEST = {1: 20, 2: 50, 3: 99}
CHAIN_PHRASES = (
    "What is {chain}?",
    "Compute {chain}.",
    "Work out {chain} from left to right.",
    "Find the value of {chain}.",
)

MULTIPLICATION_RANGES = {
    1: ((2, 9), (11, 99)),
    2: ((11, 40), (11, 40)),
    3: ((21, 199), (21, 99)),
}
MULTIPLICATION_PHRASES = (
    "What is {a} * {b}?",
    "Multiply {a} by {b}.",
    "Compute {a} * {b}.",
    "Find the product of {a} and {b}.",
    "How much is {a} times {b}?",
)


def digit(number: int, place: int) -> int:
    """The digit of `number` at 10**place."""
    return number // 10**place % 10


def parts(number: int) -> list[int]:
    """The non-zero places of a number, largest first: 407 -> [400, 7]; 0 has the one part 0."""
    places = range(len(str(number)) - 1, -1, -1)
    return [digit(number, p) * 10**p for p in places if digit(number, p)] or [0]


def draw_number(rng: random.Random, fewest: int, most: int) -> int:
    """A number with `fewest` to `most` digits, each length equally likely."""
    digits = rng.randint(fewest, most)
    return rng.randrange(10 ** (digits - 1), 10**digits)


def add_columns(a: int, b: int) -> list[str]:
    """Column addition, one line a place, carrying into the next."""
    lines, carry = [], 0
    for place in range(max(len(str(a)), len(str(b)))):
        x, y = digit(a, place), digit(b, place)
        total = x + y + carry
        lines.append(f"{PLACES[place]}: {x}+{y}{'+1' if carry else ''}={total}")
        carry = total // 10
    return lines


def subtract_columns(a: int, b: int) -> list[str]:
    """Column subtraction of b <= a, one line a place, borrowing from the next."""
    lines, borrow = [], 0
    for place in range(len(str(a))):
        x, y = digit(a, place), digit(b, place)
        needs = x - borrow < y
        x += 10 * needs
        rest = x - borrow - y
        lines.append(
            f"{PLACES[place]}: {x}-{y}{'-1' if borrow else ''}={rest}{' borrow' if needs else ''}"
        )
        borrow = int(needs)
    return lines


def walk(total: int, sign: str, pieces: list[int]) -> list[str]:
    """Add or subtract the pieces one after the other, one line each."""
    lines = []
    for piece in pieces:
        after = total + piece if sign == "+" else total - piece
        lines.append(f"{total}{sign}{piece}={after}")
        total = after
    return lines


def addition(rng: random.Random, level: int) -> Problem:
    """a + b with two digits, three, four to five."""
    a, b = (draw_number(rng, *ADDITION_DIGITS[level]) for _ in range(2))
    answer = str(a + b)
    return Problem(
        family="addition",
        level=level,
        key=f"{a}+{b}",
        prompt=rng.choice(ADDITION_PHRASES).format(a=a, b=b),
        answer=answer,
        workings=write_workings(
            rng,
            answer,
            steps=walk(a, "+", parts(b)),
            careful=[*add_columns(a, b), f"so {answer}"],
        ),
    )


def subtraction(rng: random.Random, level: int) -> Problem:
    """a - b; the third level lets the result be negative."""
    a, b = (draw_number(rng, *SUBTRACTION_DIGITS[level]) for _ in range(2))
    if level < 3 and a < b:
        a, b = b, a
    large, small = max(a, b), min(a, b)
    answer = str(a - b)
    swapped = [f"{a} is less than {b}, so the result is -({b}-{a})"] if a < b else []
    return Problem(
        family="subtraction",
        level=level,
        key=f"{a}-{b}",
        prompt=rng.choice(SUBTRACTION_PHRASES).format(a=a, b=b),
        answer=answer,
        workings=write_workings(
            rng,
            answer,
            steps=swapped + walk(large, "-", parts(small)),
            careful=[*swapped, *subtract_columns(large, small), f"so {answer}"],
        ),
    )


def chain(rng: random.Random, level: int) -> Problem:
    """Three to six terms added and subtracted from left to right."""
    terms = [rng.randint(2, CHAIN_LARGEST[level]) for _ in range(rng.randint(*CHAIN_TERMS[level]))]
    signs = [rng.choice("+-") for _ in terms[1:]]
    total, steps, careful = terms[0], [], []
    for sign, term in zip(signs, terms[1:], strict=True):
        careful += walk(total, sign, parts(term))
        steps += walk(total, sign, [term])
        total += term if sign == "+" else -term
    pairs = zip(signs, terms[1:], strict=True)
    text = str(terms[0]) + "".join(f" {sign} {term}" for sign, term in pairs)
    return Problem(
        family="chain",
        level=level,
        key=text,
        prompt=rng.choice(CHAIN_PHRASES).format(chain=text),
        answer=str(total),
        workings=write_workings(rng, str(total), steps, careful),
    )


def multiplication(rng: random.Random, level: int) -> Problem:
    """One digit by two; two by two up to 40; two or three digits by two."""
    a, b = (rng.randint(*bounds) for bounds in MULTIPLICATION_RANGES[level])
    first, second = (b, a) if level == 1 else (a, b)
    answer = str(a * b)
    rows = [f"{first}*{part}={first * part}" for part in parts(second)]
    products = [(x, y) for y in parts(second) for x in parts(first)]
    cells = [f"{x}*{y}={x * y}" for x, y in products]
    if rng.random() < 0.5:
        a, b = b, a
    return Problem(
        family="multiplication",
        level=level,
        key=f"{min(a, b)}*{max(a, b)}",
        prompt=rng.choice(MULTIPLICATION_PHRASES).format(a=a, b=b),
        answer=answer,
        workings=write_workings(
            rng,
            answer,
            steps=rows + sum_up([first * part for part in parts(second)]),
            careful=cells + sum_up([x * y for x, y in products]),
        ),
    )


def sum_up(numbers: list[int]) -> list[str]:
    """Running total of the numbers, one line each."""
    return walk(numbers[0], "+", numbers[1:])
