"""How the evaluation reads boxes and counts; the engine itself is not started here."""

import random
from itertools import combinations
from types import SimpleNamespace

import pytest

from data.evaluate_tiny import Reply, judge, make_table, pass_at_k, print_table, read_box


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("The answer is \\boxed{-17}.", "-17"),
        ("\\boxed{1} no, \\boxed{(2, 5)}", "(2, 5)"),
        ("\\boxed{2012_3}", "2012_3"),
        ("no box", None),
    ],
)
def test_read_box(text: str, content: str | None) -> None:
    assert read_box(text) == content


@pytest.mark.parametrize("correct", range(7))
@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_pass_at_k_is_the_share_of_subsets_with_a_hit(correct: int, k: int) -> None:
    samples = [True] * correct + [False] * (6 - correct)
    random.Random(0).shuffle(samples)
    subsets = list(combinations(samples, k))
    assert pass_at_k(6, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(
    ("reason", "text", "expected"),
    [
        ("stop", "\\boxed{5}.", Reply(correct=True, finished=True, boxed=True, tokens=3)),
        ("length", "\\boxed{6}", Reply(correct=False, finished=False, boxed=True, tokens=3)),
        ("stop", "5", Reply(correct=False, finished=True, boxed=False, tokens=3)),
    ],
)
def test_judge(reason: str, text: str, expected: Reply) -> None:
    completion = SimpleNamespace(text=text, finish_reason=reason, token_ids=(1, 2, 3))
    assert judge(completion, "5") == expected


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    right = Reply(correct=True, finished=True, boxed=True, tokens=10)
    wrong = Reply(correct=False, finished=False, boxed=True, tokens=30)
    problems = [{"family": "gcd", "level": 1}, {"family": "base", "level": 1}]
    rows = make_table(problems, [[right] * 4, [right, wrong, wrong, wrong]], k=4)
    assert [row.name for row in rows] == ["gcd 1", "base 1", "level 1", "all"]
    assert rows[-1].passed == {1: 0.625, 4: 1.0}
    assert (rows[-1].tokens, rows[-1].boxed) == (17.5, 1.0)
    print_table(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "| all | 2 | 62.5 | 100.0 | 18 | 62.5 | 100.0 |"
