"""The committed problem file is what its script writes, and none of it was trained on."""

import json
import random
from collections import Counter
from itertools import combinations, islice
from pathlib import Path

from data.conversations import training_problems
from data.families import FAMILIES, LEVELS, is_held_out
from data.make_problems import make_problems, overlap, shingles, to_jsonl

FILE = Path("data/quickstart.jsonl")


def rows() -> list[dict[str, str | int]]:
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def test_file_is_what_the_script_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == to_jsonl(make_problems(seed=0))


def test_every_cell_has_ten_problems() -> None:
    cells = Counter((row["family"], row["level"]) for row in rows())
    assert cells == {(family, level): 10 for family in FAMILIES for level in LEVELS}


def test_rows_have_the_expected_columns() -> None:
    for row in rows():
        assert list(row) == ["prompt", "answer", "domain", "family", "level"]
        assert row["domain"] == "math"
        assert isinstance(row["answer"], str)


def test_no_two_prompts_are_nearly_equal() -> None:
    runs = [shingles(str(row["prompt"])) for row in rows()]
    assert max(overlap(a, b) for a, b in combinations(runs, 2)) < 0.6


def test_overlap_counts_shared_runs_of_five_words() -> None:
    assert overlap(shingles("a b c d e f"), shingles("a b c d e f")) == 1
    assert overlap(shingles("a b c d e f"), shingles("a b c d e g")) == 1 / 3
    assert overlap(shingles("Add 3 and 5."), shingles("Add 3 and 6.")) == 0


def test_training_never_meets_the_problems() -> None:
    problems = make_problems(seed=0)
    assert all(map(is_held_out, problems))
    keys = {(problem.family, problem.key) for problem in problems}
    assert len(keys) == len(problems)
    trained = islice(training_problems(random.Random(0)), 5000)
    assert not keys & {(problem.family, problem.key) for problem in trained}
