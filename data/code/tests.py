"""The tests of every problem. Expected answers come from here, not from the solutions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

Tests = list[dict[str, Any]]


def printed(cases: Iterable[tuple[str, Any]]) -> Tests:
    """Tests of a program, from inputs and expected outputs."""
    return [{"input": text, "output": f"{answer}\n"} for text, answer in cases]


def called(name: str, cases: Iterable[tuple[Any, Any]]) -> Tests:
    """Tests of a function of one argument, from arguments and expected values."""
    return [{"call": name, "args": [argument], "output": answer} for argument, answer in cases]


def sized(items: list[Any]) -> str:
    """A list as input: its length, then the items."""
    return f"{len(items)}\n{' '.join(map(str, items))}\n"


def words_by_length() -> Tests:
    lines = [
        "the quick brown fox jumps over the lazy dog",
        "a",
        "one two six ten",
        "zebra  apple   fig",
        "bb a ccc bb a",
        "longest words come last here obviously",
    ]
    return printed((f"{line}\n", " ".join(_stable(line.split()))) for line in lines)


def _stable(words: list[str]) -> list[str]:
    """Insertion sort by length."""
    done: list[str] = []
    for word in words:
        at = len(done)
        while at and len(done[at - 1]) > len(word):
            at -= 1
        done.insert(at, word)
    return done


def brackets() -> Tests:
    texts = ["()", "([]{})", "(]", "((", "))", "([)]", "{[()()]}", "", "]", "(((())))", "(()"]
    return printed((f"{text}\n", "YES" if _reduces(text) else "NO") for text in texts)


def _reduces(text: str) -> bool:
    shorter = text
    for pair in ("()", "[]", "{}"):
        shorter = shorter.replace(pair, "")
    return shorter == "" if shorter == text else _reduces(shorter)


def lamps() -> Tests:
    rng = random.Random(5)
    runs: list[tuple[int, list[list[int]]]] = [
        (5, [[1, 3]]),
        (5, [[1, 3], [2, 5]]),
        (1, [[1, 1], [1, 1]]),
        (10, [[2, 9], [3, 4], [4, 4]]),
    ]
    for _ in range(3):
        n = rng.randint(20, 60)
        runs.append((n, [sorted((rng.randint(1, n), rng.randint(1, n))) for _ in range(12)]))
    cases = []
    for n, switches in runs:
        lit = [False] * n
        for a, b in switches:
            lit[a - 1 : b] = [not lamp for lamp in lit[a - 1 : b]]
        lines = "".join(f"{a} {b}\n" for a, b in switches)
        cases.append((f"{n} {len(switches)}\n{lines}", sum(lit)))
    return printed(cases)


def pairs() -> Tests:
    lists = [(5, [1, 4, 2, 3]), (0, [-1, 1, 2]), (8, [4, 1, 7, 9, -1, 10, -2]), (3, [3, 5])]
    cases = []
    for total, numbers in lists:
        found = [
            f"{min(a, b)} {max(a, b)}"
            for a, b in itertools.combinations(numbers, 2)
            if a + b == total
        ]
        text = f"{total}\n{' '.join(map(str, numbers))}\n"
        cases.append((text, "\n".join([str(len(found)), *found])))
    return printed(cases)


def longest_word() -> Tests:
    tests = []
    for line in ("red green blue brown", "one two three", "aa bb cc", "single", "x yy zzz yyy"):
        most = max(len(word) for word in line.split())
        answers = list(dict.fromkeys(word for word in line.split() if len(word) == most))
        tests.append({"input": f"{line}\n", "outputs": answers})
    return tests


def running_median() -> Tests:
    rng = random.Random(3)
    lists = [[5], [1, 2], [3, 1, 2], [-5, -4, 10, 10], [rng.randint(-99, 99) for _ in range(15)]]
    return printed(
        (sized(numbers), "\n".join(_median(numbers[:n]) for n in range(1, len(numbers) + 1)))
        for numbers in lists
    )


def _median(numbers: list[int]) -> str:
    low, high = sorted(numbers)[(len(numbers) - 1) // 2], sorted(numbers)[len(numbers) // 2]
    return f"{Decimal(low + high) / 2:.1f}"


def blocked_paths() -> Tests:
    cases = []
    for grid in ("..\n..", ".", "...\n.#.\n...", ".#\n#.", "....\n....\n..#.\n....", "#.\n.."):
        rows = grid.split("\n")
        cases.append((f"{len(rows)} {len(rows[0])}\n{grid}\n", _walks(rows, 0, 0)))
    cases.append(("30 30\n" + ("." * 30 + "\n") * 30, _binomial(58, 29) % 1_000_000_007))
    return printed(cases)


def _walks(rows: list[str], i: int, j: int) -> int:
    """By trying every way."""
    if i >= len(rows) or j >= len(rows[0]) or rows[i][j] == "#":
        return 0
    if (i, j) == (len(rows) - 1, len(rows[0]) - 1):
        return 1
    return _walks(rows, i + 1, j) + _walks(rows, i, j + 1)


def _binomial(n: int, k: int) -> int:
    row = [1]
    for _ in range(n):
        row = [1, *(a + b for a, b in itertools.pairwise(row)), 1]
    return row[k]


def polyline() -> Tests:
    lines = [
        [(0, 0), (3, 4)],
        [(0, 0), (1, 1), (2, 0)],
        [(5, 5), (5, 5)],
        [(-1, -2), (4, 10), (4, 0)],
    ]
    cases = []
    for points in lines:
        steps = [
            Decimal((a - c) ** 2 + (b - d) ** 2) for (a, b), (c, d) in itertools.pairwise(points)
        ]
        text = "".join(f"{x} {y}\n" for x, y in points)
        total = sum((step.sqrt() for step in steps), Decimal(0))
        cases.append((f"{len(points)}\n{text}", f"{total:.9f}"))
    return printed(cases)


def merge_ranges() -> Tests:
    lists = [
        [],
        [[1, 3]],
        [[1, 3], [2, 6], [8, 10]],
        [[5, 6], [1, 2]],
        [[1, 4], [4, 5]],
        [[1, 10], [2, 3], [4, 5]],
        [[-3, -1], [-1, 0], [7, 7], [6, 8]],
    ]
    return called("merge_ranges", ((ranges, _merged(ranges)) for ranges in lists))


def _merged(ranges: list[list[int]]) -> list[list[int]]:
    """By counting every number: two ranges are one where they share one."""
    groups: list[set[int]] = []
    for first, last in ranges:
        group = set(range(first, last + 1))
        for other in [other for other in groups if other & group]:
            groups.remove(other)
            group |= other
        groups.append(group)
    return sorted([min(group), max(group)] for group in groups)


def to_roman() -> Tests:
    known = {1: "I", 4: "IV", 9: "IX", 14: "XIV", 40: "XL", 58: "LVIII", 90: "XC", 400: "CD"}
    known |= {949: "CMXLIX", 1994: "MCMXCIV", 3000: "MMM", 3999: "MMMCMXCIX"}
    return called("to_roman", known.items())


def rotate() -> Tests:
    grids = [
        [[1]],
        [[1, 2], [3, 4]],
        [[1, 2, 3], [4, 5, 6]],
        [[7], [8], [9]],
        [[0, 1], [1, 0], [2, 2]],
    ]
    cases = []
    for grid in grids:
        high, wide = range(len(grid)), range(len(grid[0]))
        cases.append((grid, [[grid[len(grid) - 1 - j][i] for j in high] for i in wide]))
    return called("Solution.rotate", cases)


def count_islands() -> Tests:
    rng = random.Random(7)
    grids = [["0"], ["1"], ["11", "11"], ["10", "01"], ["111", "000", "101"]]
    grids += [["".join(rng.choice("0011") for _ in range(9)) for _ in range(7)] for _ in range(3)]
    return called("count_islands", ((grid, _islands(grid)) for grid in grids))


def _islands(grid: list[str]) -> int:
    """By merging labels until nothing changes."""
    label = {(i, j): (i, j) for i, row in enumerate(grid) for j, c in enumerate(row) if c == "1"}
    changed = True
    while changed:
        changed = False
        for i, j in label:
            for near in ((i + 1, j), (i, j + 1)):
                if near in label and label[near] != label[i, j]:
                    label[near] = label[i, j] = min(label[near], label[i, j])
                    changed = True
    return len(set(label.values()))


def trimmed_mean() -> Tests:
    lists = [
        [1, 2, 3],
        [4, 4, 4, 4],
        [10, 1, 5, 7],
        [-3, 0, 8, 8, 1],
        [1, 2, 5, 9],
        [0, 1, 1, 2, 7],
    ]
    means = ((numbers, sum(sorted(numbers)[1:-1]) / (len(numbers) - 2)) for numbers in lists)
    return called("trimmed_mean", means)


def composite_sum() -> Tests:
    return [{"input": f"{n}\n"} for n in (12, 13, 15, 23, 100, 9999, 65537, 100000)]


def no_neighbours() -> Tests:
    return [{"input": f"{n}\n"} for n in (4, 5, 6, 7, 10, 101, 1000)]


def inversions() -> Tests:
    rng = random.Random(11)
    lists = [
        [1],
        [2, 1],
        [1, 2, 3],
        [3, 2, 1],
        [2, 2, 1],
        [rng.randint(-50, 50) for _ in range(40)],
    ]
    lists.append(list(range(5000, 0, -1)))
    return printed(
        (sized(numbers), sum(a > b for a, b in itertools.combinations(numbers, 2)))
        for numbers in lists
    )


TESTS: dict[str, tuple[Callable[[], Tests], dict[str, Any]]] = {
    "words-by-length": (words_by_length, {}),
    "brackets": (brackets, {"compare": "yes_no"}),
    "lamps": (lamps, {}),
    "pairs": (pairs, {"compare": "unordered"}),
    "longest-word": (longest_word, {}),
    "running-median": (running_median, {}),
    "blocked-paths": (blocked_paths, {"time_limit_s": 0.25}),
    "polyline": (polyline, {"compare": "float", "tolerance": 1e-6}),
    "merge-ranges": (merge_ranges, {}),
    "to-roman": (to_roman, {}),
    "rotate": (rotate, {}),
    "count-islands": (count_islands, {}),
    "trimmed-mean": (trimmed_mean, {}),
    "composite-sum": (composite_sum, {}),
    "no-neighbours": (no_neighbours, {}),
    "inversions": (inversions, {"language": "cpp", "time_limit_s": 2}),
}
"""Tests by problem, and what else the verifier is told."""
