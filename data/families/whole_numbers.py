"""Greatest common divisors, powers modulo a number, and conversion to another base."""

import math
import random

from data.families.core import Problem, write_workings

GCD_LARGEST = {1: 50, 2: 150, 3: 600}
GCD_MOST_DIVISIONS = {1: 3, 2: 4, 3: 5}
GCD_PHRASES = (
    "What is the greatest common divisor of {a} and {b}?",
    "Find gcd({a}, {b}).",
    "Compute the gcd of {a} and {b}.",
    "What is the largest whole number that divides both {a} and {b}?",
)

POWER_RANGES = {
    1: ((2, 12), (2, 4), (3, 12)),
    2: ((3, 16), (3, 5), (7, 20)),
    3: ((7, 30), (4, 6), (13, 50)),
}
POWER_PHRASES = (
    "What is the remainder when {a}^{n} is divided by {m}?",
    "Compute {a}^{n} mod {m}.",
    "Find {a}^{n} modulo {m}.",
    "Divide {a}^{n} by {m}. What remainder is left?",
)

BASE_RANGES = {
    1: ((2, 5), (5, 60)),
    2: ((3, 7), (40, 200)),
    3: ((3, 9), (150, 900)),
}
BASE_PHRASES = (
    "Write {n} in base {b}. Answer as digits_base.",
    "Convert {n} to base {b}. Give the answer as digits_base.",
    "What is {n} in base {b}? Answer in the form digits_base.",
    "Express the number {n} in base {b}, written as digits_base.",
)


def euclid(a: int, b: int) -> list[tuple[int, int]]:
    """The pairs that Euclid's algorithm divides, the last one without remainder."""
    pairs = []
    while b:
        pairs.append((a, b))
        a, b = b, a % b
    return pairs


def to_base(number: int, base: int) -> str:
    """The digits of a positive number in a base below ten."""
    digits = ""
    while number:
        number, remainder = divmod(number, base)
        digits = str(remainder) + digits
    return digits


def gcd(rng: random.Random, level: int) -> Problem:
    """Two numbers up to 50, 150 or 600; those that need too many divisions are drawn again."""
    while True:
        a, b = draw_pair(rng, GCD_LARGEST[level])
        pairs = euclid(max(a, b), min(a, b))
        if len(pairs) <= GCD_MOST_DIVISIONS[level]:
            break
    answer = str(math.gcd(a, b))
    steps = [f"{x} mod {y} = {x % y}" for x, y in pairs]
    careful = [f"{x // y}*{y}={x // y * y}, {x}-{x // y * y}={x % y}" for x, y in pairs]
    return Problem(
        family="gcd",
        level=level,
        key=f"{min(a, b)},{max(a, b)}",
        prompt=rng.choice(GCD_PHRASES).format(a=a, b=b),
        answer=answer,
        workings=write_workings(rng, answer, steps, [*careful, f"last divisor {answer}"]),
    )


def draw_pair(rng: random.Random, largest: int) -> tuple[int, int]:
    """Two different numbers that often share a divisor, which independent draws rarely do."""
    while True:
        shared = rng.randint(1, max(2, largest // 6))
        a, b = (shared * rng.randint(1, largest // shared) for _ in range(2))
        if a != b and min(a, b) > 3:
            return a, b


def power(rng: random.Random, level: int) -> Problem:
    """a^n mod m by repeated multiplication, reducing after each."""
    a, n, m = (rng.randint(*bounds) for bounds in POWER_RANGES[level])
    answer = str(pow(a, n, m))
    steps, careful = [], []
    factor = residue = a % m
    if factor != a:
        steps.append(f"{a} mod {m} = {factor}")
        careful.append(f"{a}-{a // m * m}={factor}")
    for exponent in range(2, n + 1):
        product = residue * factor
        quotient, after = divmod(product, m)
        steps.append(f"power {exponent}: {residue}*{factor} mod {m} = {after}")
        careful.append(
            f"power {exponent}: {residue}*{factor}={product}, "
            f"{quotient}*{m}={quotient * m}, {product}-{quotient * m}={after}"
        )
        residue = after
    return Problem(
        family="power",
        level=level,
        key=f"{a}^{n} mod {m}",
        prompt=rng.choice(POWER_PHRASES).format(a=a, n=n, m=m),
        answer=answer,
        workings=write_workings(rng, answer, steps, careful),
    )


def base(rng: random.Random, level: int) -> Problem:
    """Decimal to base 2-9 by repeated division, remainders read from the last to the first."""
    bases, numbers = BASE_RANGES[level]
    b, n = rng.randint(*bases), rng.randint(*numbers)
    digits = to_base(n, b)
    answer = f"{digits}_{b}"
    steps, careful, rest = [], [], n
    while rest:
        quotient, remainder = divmod(rest, b)
        steps.append(f"{rest}={quotient}*{b}+{remainder}")
        whole = quotient * b
        careful.append(f"{quotient}*{b}={whole}, {rest}-{whole}={remainder}")
        rest = quotient
    # Reading the remainders off in order first makes turning them round a plain copy.
    order = " ".join(reversed(digits))
    return Problem(
        family="base",
        level=level,
        key=f"{n} base {b}",
        prompt=rng.choice(BASE_PHRASES).format(n=n, b=b),
        answer=answer,
        workings=write_workings(
            rng, answer, steps, [*careful, f"remainders {order}, backwards {digits}"]
        ),
    )
