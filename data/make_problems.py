"""Writes the held-out problem set: twelve families, three levels, ten problems each.

    python -m data.make_problems [--seed 0] [--out data/quickstart.jsonl]

Only problems that training never sees are taken, and no two are nearly the same text: a run
drops near-duplicates, and a set that shrinks when it is used would be a bad example.
"""

import argparse
import json
import random
import re
from pathlib import Path

from data.families import FAMILIES, LEVELS, Problem, is_held_out

PROBLEMS_PER_CELL = 10
SHINGLE_WORDS = 5
MOST_OVERLAP = 0.6
"""Jaccard similarity of word shingles that two prompts must stay below."""


def shingles(prompt: str) -> set[tuple[str, ...]]:
    """Every run of five words; a shorter prompt is one run. Numbers count as words."""
    words = re.findall(r"\w+", prompt.lower())
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return {tuple(words[i : i + SHINGLE_WORDS]) for i in range(last)}


def overlap(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    """Jaccard similarity of two sets of shingles."""
    return len(a & b) / len(a | b)


class Collection:
    """The problems taken so far, and what the next one must differ from."""

    def __init__(self) -> None:
        self.problems: dict[tuple[str, str], Problem] = {}
        self.shingles: list[set[tuple[str, ...]]] = []

    def take(self, problem: Problem) -> bool:
        """Add a problem that is held out and new in numbers and in text; say whether it was."""
        key, runs = (problem.family, problem.key), shingles(problem.prompt)
        if key in self.problems or not is_held_out(problem):
            return False
        if any(overlap(runs, other) >= MOST_OVERLAP for other in self.shingles):
            return False
        self.problems[key] = problem
        self.shingles.append(runs)
        return True


def make_problems(seed: int) -> list[Problem]:
    """The whole set, family by family and level by level."""
    collection = Collection()
    for family, draw in FAMILIES.items():
        for level in LEVELS:
            # A generator of its own keeps a cell as it is when another family changes.
            rng, taken = random.Random(f"{seed} {family} {level}"), 0
            while taken < PROBLEMS_PER_CELL:
                taken += collection.take(draw(rng, level))
    return list(collection.problems.values())


def to_row(problem: Problem) -> dict[str, str | int]:
    """The columns of the file; a run derives the identifiers from the content."""
    return {
        "prompt": problem.prompt,
        "answer": problem.answer,
        "domain": "math",
        "family": problem.family,
        "level": problem.level,
    }


def to_jsonl(problems: list[Problem]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(to_row(problem)) + "\n" for problem in problems)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the held-out problem set.")
    parser.add_argument("--seed", type=int, default=0, help="decides which problems are drawn")
    parser.add_argument("--out", type=Path, default=Path("data/quickstart.jsonl"), help="file")
    arguments = parser.parse_args()
    problems = make_problems(arguments.seed)
    arguments.out.write_text(to_jsonl(problems), encoding="utf-8")
    print(f"{len(problems)} problems in {arguments.out}")


if __name__ == "__main__":
    main()
