"""What a problem is, and which problems are never trained on.

A family is a function `(rng, level) -> Problem`. It draws numbers, words the question in one of
several ways, and writes the working in three styles. The model later learns all three and picks
one at random when it is sampled, which is where the spread between right and wrong comes from:

- `direct`:  no working, the answer at once. For hard problems that can only be a guess.
- `steps`:   coarse steps, each of which still hides some arithmetic.
- `careful`: digit by digit or fact by fact; long, and mostly right.

Every line of a working is one step.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Style = Literal["direct", "steps", "careful"]
STYLES: tuple[Style, ...] = ("direct", "steps", "careful")
LEVELS = (1, 2, 3)
HELD_OUT_ONE_IN = 16

GUESSES = (
    "I guess {answer}.",
    "At a glance: {answer}.",
    "It looks like {answer}.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question with its answer and a working in each style."""

    family: str
    """Name of the family, a key of `FAMILIES`."""
    level: int
    """1 (easy) to 3 (hard)."""
    key: str
    """The problem without its wording: two phrasings of one problem share it."""
    prompt: str
    """What the user asks."""
    answer: str
    """The content of the box."""
    workings: dict[Style, str]
    """Style -> the text between the think tags."""


Family = Callable[[random.Random, int], Problem]


def write_workings(
    rng: random.Random, answer: str, steps: list[str], careful: list[str]
) -> dict[Style, str]:
    """Join the lines of each style; `direct` needs none."""
    return {
        "direct": rng.choice(GUESSES).format(answer=answer),
        "steps": "\n".join(steps),
        "careful": "\n".join(careful),
    }


def is_held_out(problem: Problem) -> bool:
    """True for the one problem in sixteen that training never sees, however it is worded."""
    digest = hashlib.sha256(f"{problem.family}|{problem.key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0
