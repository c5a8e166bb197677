"""Forks: where they part, that they are told apart, and that nothing else changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import run
from factory.engines.vllm import _entropy
from factory.errors import RecipeError
from factory.ledger import Ledger, scan, standing
from factory.ledger.records import Closed, Partial
from factory.policies import Decision, Tally, adaptive, fixed
from factory.scheduling.branching import Branching
from factory.scheduling.pool import Pool
from factory.types import Outcome, Rollout, Verdict
from tests.conftest import Sums

ON = ("branching={after: 3, every: 2, points: 2}", "policy={name: fixed, n: 9}", "limit=12")


def records(folder: Path) -> list:
    return list(scan(folder / "ledger"))


def rollouts(folder: Path) -> dict:
    return {r.key: r for r in records(folder) if isinstance(r, Rollout)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Sums(tmp_path_factory.mktemp("sums"))


@pytest.fixture(scope="module")
def forked(shared):
    """A run with forks."""
    folder = shared.folder / "forked"
    assert run.run(shared.recipe(*ON), folder, lambda _: None).complete
    return folder


def test_forks_begin_as_their_parents_and_pay_for_the_rest_alone(forked):
    made = rollouts(forked)
    forks = {key: r for key, r in made.items() if r.forked}
    assert {key.index for key in forks} == {3, 5, 7}
    assert len(forks) == 3 * 12
    for key, fork in forks.items():
        assert fork.branch.parent < 3
        parent = made[key._replace(index=fork.branch.parent)]
        at = fork.branch.shared
        assert at in [place for place, _ in parent.branch.points]
        assert fork.completion.text[:at] == parent.completion.text[:at]
        assert parent.completion.text[at - 1] == " ", "the engine is unsure before a word"
        assert fork.completion.num_tokens == len(fork.completion.text) - at
        assert fork.length == len(fork.completion.text)
        assert fork.seed != parent.seed
    assert len({(k.problem_id, r.branch.parent, r.branch.shared) for k, r in forks.items()}) == 36
    told = standing.read(forked / "ledger").counts.tokens
    assert told == sum(r.completion.num_tokens for r in made.values())
    assert told == sum(len(r.completion.text) - (r.length - r.completion.num_tokens)
                       for r in made.values())  # fmt: skip


def test_the_card_shows_forks_apart(forked):
    made = [r for r in rollouts(forked).values() if r.forked]
    shared = sum(r.branch.shared for r in made)
    card = (forked / "dataset" / "README.md").read_text(encoding="utf-8")
    assert f"| forks of other rollouts, in no pass rate | {len(made)} |" in card
    assert f"| tokens that forks took over, not generated again | {shared:,} |" in card


def test_nothing_later_begins_before_the_first_have_ended(forked):
    ended: dict[str, int] = {}
    for record in records(forked):
        match record:
            case Rollout(problem_id=pid, index=index):
                if index >= 3:
                    assert ended[pid] == 3
                else:
                    ended[pid] = ended.get(pid, 0) + 1
            case Partial(problem_id=pid, index=index) if index >= 3:
                assert ended[pid] == 3


def test_pass_rates_rest_on_the_others_alone(forked):
    made = rollouts(forked)
    right: dict[str, list[bool]] = {}
    for record in records(forked):
        if isinstance(record, Verdict) and not made[record.key].forked:
            right.setdefault(record.problem_id, []).append(record.outcome is Outcome.CORRECT)
    rows = pq.read_table(forked / "dataset" / "all").to_pylist()
    assert len(rows) == 12 * 9
    for row in rows:
        own = right[row["problem_id"]]
        assert row["pass_rate"] == pytest.approx(sum(own) / len(own))
        assert row["num_generations"] == 9
    for record in records(forked):
        if isinstance(record, Closed):
            assert record.correct + record.failed == 6
            assert record.ended == 9


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_run_cut_off_anywhere_makes_the_same_forks(shared, forked, tmp_path, part):
    before = records(forked)
    folder = tmp_path / "again"
    folder.mkdir()
    shutil.copy(forked / "recipe.yaml", folder)
    with Ledger(folder / "ledger") as ledger:
        for record in before[: int(len(before) * part)]:
            ledger.append(record)
        ledger.commit()
    assert run.run(shared.recipe(*ON), folder, lambda _: None).complete
    whole, again = rollouts(forked), rollouts(folder)
    assert again.keys() == whole.keys()
    # Of one that went on, only the entropies behind the interruption are known.
    gone_on = {key.problem_id for key, r in again.items() if r.restarts and key.index < 3}
    same = [key for key in whole if key.problem_id not in gone_on]
    assert sum(whole[key].forked for key in same) > 9
    for key in same:
        assert again[key].branch == whole[key].branch
        assert again[key].completion == whole[key].completion
    for key, r in again.items():
        assert r.forked == whole[key].forked
        assert r.length == len(r.completion.text)


def test_the_standing_counts_forks_apart(forked):
    """Read up to each closing: what the foreman is told of an open problem."""
    made = rollouts(forked)
    state = standing.Standing()
    checked = 0
    for record in records(forked):
        if isinstance(record, Closed):
            open_ = state.open[record.problem_id]
            past = open_.history()
            own = [r for key, r in made.items() if key.problem_id == record.problem_id]
            forks = sum(r.forked for r in own)
            assert past.forked_correct + past.forked_failed == forks == 3
            assert past.correct + past.incorrect + past.repeats == len(own) - forks
            texts = {
                " ".join(r.completion.text.split())
                for r in own
                if r.index in _right(forked, r.problem_id)
            }
            assert past.correct + past.forked_correct == len(texts)
            checked += 1
        state.add(record)
    assert checked == 12


def _right(folder: Path, problem_id: str) -> set[int]:
    return {
        r.index
        for r in records(folder)
        if isinstance(r, Verdict) and r.problem_id == problem_id and r.outcome is Outcome.CORRECT
    }


def test_nothing_is_forked_unless_asked_for(sums, tmp_path):
    run.run(sums.recipe("policy={name: fixed, n: 9}", "limit=12"), tmp_path / "run", lambda _: None)
    made = rollouts(tmp_path / "run")
    assert len(made) == 12 * 9
    assert not any(r.branch for r in made.values())
    assert "| forks of" not in (tmp_path / "run" / "dataset" / "README.md").read_text("utf-8")


def test_where_the_model_is_sure_there_are_no_forks(sums, tmp_path):
    run.run(sums.recipe(*ON, "branching.entropy=1.5"), tmp_path / "run", lambda _: None)
    made = rollouts(tmp_path / "run")
    assert len(made) == 12 * 9
    assert not any(r.forked for r in made.values())


def test_an_engine_that_cannot_branch_is_refused(sums):
    openai = "engine={name: openai, model: m, endpoints: ['http://localhost:1/v1']}"
    with pytest.raises(RecipeError, match=r"branching.after must be 0 with engine 'openai'"):
        sums.recipe(openai, "branching.after=4")
    assert sums.recipe(openai).branching.after == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"after": -1}, "after must be at least 0, got -1"),
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"points": 0}, "points must be at least 1, got 0"),
        ({"top": 1}, "top must be at least 2, got 1"),
        ({"top": 21}, "top must be at most 20, got 21"),
        ({"entropy": 0.0}, "entropy must be above 0, got 0.0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Branching(**options)


@given(
    entropies=st.lists(st.floats(0, 3), max_size=40),
    before=st.integers(0, 5),
    points=st.integers(1, 4),
)
def test_what_is_lent_is_where_it_was_least_sure(entropies, before, points):
    tokens = list(range(100, 100 + before + len(entropies)))
    lent = Branching(after=2, points=points, entropy=0.5).lend(tokens, entropies)
    unsure = {before + i: round(e, 4) for i, e in enumerate(entropies) if e >= 0.5 and before + i}
    assert len(lent.points) == min(points, len(unsure))
    assert dict(lent.points).items() <= unsure.items()
    others = [e for at, e in unsure.items() if at not in dict(lent.points)]
    assert all(e >= max(others, default=0) for _, e in lent.points)
    assert list(lent.trunk) == tokens[: max((at for at, _ in lent.points), default=0)]


@given(
    st.dictionaries(
        st.integers(0, 3), st.lists(st.floats(0.3, 3), min_size=1, max_size=3), min_size=1
    ),
    st.integers(1, 3),
)
def test_forks_part_in_all_places_before_one_is_taken_twice(lenders, every):
    section = Branching(after=4, every=every, points=3)
    lent = {i: section.lend(range(50), [0.0, *found]) for i, found in lenders.items()}
    count = sum(map(len, lenders.values()))
    indices = [i for i in range(4, 4 + 3 * count * every) if section.forks(i)][: 2 * count]
    picked = [section.pick(i, lent) for i in indices]
    places = [(branch.parent, branch.shared) for branch, _ in picked]
    assert len(set(places[:count])) == count
    assert places[:count] == places[count:]
    assert {parent for parent, _ in places[: len(lenders)]} == set(lenders)
    assert all(shared == list(range(branch.shared)) for branch, shared in picked)


def test_the_gate_holds_back_what_comes_after_the_first():
    gated = Branching(after=4).gate(fixed.Policy(n=10))
    assert gated.decide(Tally(), Pool()) == Decision(start=4)
    assert gated.decide(Tally(started=2, running=2), Pool()) == Decision(start=2)
    assert gated.decide(Tally(started=4, running=1, incorrect=3), Pool()) == Decision()
    assert gated.decide(Tally(started=4, waiting=4), Pool()) == Decision(start=6)
    policy = fixed.Policy(n=10)
    assert Branching().gate(policy) is policy


def test_a_policy_counts_forks_as_traces_and_not_as_samples():
    policy = adaptive.Policy(accept=4, at_most=16, learn=0)
    assert policy.decide(Tally(started=8, correct=2, forked_correct=2)).close == "enough"
    assert policy.decide(Tally(started=8, correct=2, incorrect=4, forked_correct=1)).start == 1
    tally = Tally(started=8, correct=1, incorrect=3, forked_correct=2, forked_failed=2)
    assert (tally.sums.correct, tally.sums.failed) == (1, 3)


def test_the_entropy_is_that_of_the_distribution():
    class Token:
        def __init__(self, logprob):
            self.logprob = logprob

    even = {i: Token(-1.3862943611) for i in range(4)}
    assert _entropy(even) == pytest.approx(1.3862943611)
    # Half of the mass is not told: it counts as one token.
    assert _entropy({0: Token(-0.6931471806)}) == pytest.approx(0.6931471806)
    assert _entropy({0: Token(0.0)}) == 0.0
