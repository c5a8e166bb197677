"""Pairs are close, sound, and the same every time."""

from dataclasses import replace
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.configs.evidence import wrong
from factory.configs.pairs import PREFERENCE, UNPAIRED, closeness, common_prefix, pairs
from factory.shards import ALL
from factory.traces import Group, TraceOptions, select
from factory.types import Outcome
from tests.configs.conftest import EVERY, ORIGIN, PROBLEM, RIGHT, WRONG, judged


def rows(config, selection, **options):
    return list(config.rows(selection, ORIGIN, TraceOptions(**options)))


def indices(found):
    return [(p.chosen.rollout.index, p.rejected.rollout.index) for p in found]


def test_the_wrong_one_is_the_closest_in_length_and_beginning(selection):
    made = selection(
        ("two and two make 4", RIGHT),
        ("no idea what it is", WRONG),
        ("two and two make 5", WRONG),
        ("two and two make a lot more than one would ever think, say 22", WRONG),
    )
    assert indices(pairs(made, 1)) == [(0, 2)]
    (row,) = rows(PREFERENCE, made)
    assert row["prompt"][-1] == {"role": "user", "content": "2 + 2? Box it."}
    assert row["chosen"] == [{"role": "assistant", "content": "two and two make 4"}]
    assert row["rejected"] == [{"role": "assistant", "content": "two and two make 5"}]
    assert row["closeness"] == pytest.approx((17 / 18 + 1) / 2)
    everything = {r["uuid"]: r for r in ALL.rows(made, ORIGIN, EVERY)}
    assert everything[row["chosen_uuid"]]["generation_index"] == 0
    assert everything[row["rejected_uuid"]]["generation_index"] == 2
    assert set(row) == set(PREFERENCE.schema.names)


def test_every_rollout_stands_in_one_pair_at_most(selection):
    made = selection(
        ("aaaa", RIGHT), ("aaab", WRONG), ("aabb", RIGHT), ("aabc", WRONG), ("abbb", RIGHT)
    )
    assert indices(pairs(made, 9)) == [(0, 1), (2, 3)]
    assert len(rows(PREFERENCE, made, max_pairs=1)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        ("b", Outcome.UNPARSABLE),
        ("b", Outcome.UNSURE),
        ("b", Outcome.ERROR),
        ("b", Outcome.TIMEOUT),
        ("b", None),
        ("b", WRONG, {"reason": "length"}),
        ("b</think>", WRONG),
        ("<think>b</think> ", WRONG),
        ("b", WRONG, {"reward": float("nan")}),
        ("a", WRONG),
        ("b", WRONG, {"extracted": "4"}),
    ],
)
def test_what_is_not_surely_wrong_is_never_rejected(selection, bad):
    made = selection(("a", RIGHT, {"extracted": "4"}), bad)
    assert pairs(made, 9) == []
    if bad != ("b", WRONG, {"extracted": "4"}):
        assert [row["label"] for row in rows(UNPAIRED, made)] == [True]


def test_a_problem_without_an_accepted_rollout_gives_no_row(selection):
    for made in (selection(("a", WRONG), ("b", WRONG)), selection()):
        assert rows(PREFERENCE, made) == rows(UNPAIRED, made) == []


def test_chosen_and_true_are_what_was_kept_and_nothing_else(selection):
    made = selection(
        ("a", RIGHT), ("A", RIGHT), ("c", RIGHT, {"reason": "length"}), ("d", RIGHT), ("e", WRONG),
        options=TraceOptions(max_per_problem=1),
    )  # fmt: skip
    assert indices(pairs(made, 9)) == [(0, 4)]
    found = rows(UNPAIRED, made)
    assert [(row["generation_index"], row["label"]) for row in found] == [(0, True), (4, False)]
    assert set(found[0]) == set(UNPAIRED.schema.names)
    assert found[1]["completion"] == [{"role": "assistant", "content": "e"}]


def test_a_wrong_text_is_published_once(selection):
    made = selection(("a", RIGHT), ("b", WRONG), ("b", WRONG), ("c", WRONG))
    assert [trace.rollout.index for trace, _ in wrong(made)] == [1, 3]


texts = st.sampled_from(
    ["a", "ab", "abc", "abd", "b", "<think>x</think>a", "<think>x</think>b", "😀"]
)
lines = st.lists(
    st.tuples(
        texts,
        st.sampled_from([None, RIGHT, RIGHT, WRONG, WRONG, *Outcome]),
        st.sampled_from(["stop", "stop", "length"]),
        st.sampled_from([None, "4", "5"]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(lines, st.integers(1, 5), st.randoms())
def test_pairs_are_sound_and_do_not_depend_on_the_order_of_the_ledger(drawn, most, rng):
    group = Group(
        problem=PROBLEM,
        judged=[
            judged(i, text, outcome, reason=reason, extracted=extracted)
            for i, (text, outcome, reason, extracted) in enumerate(drawn)
        ],
    )
    shuffled = list(group.judged)
    rng.shuffle(shuffled)
    made = select(group, EVERY)
    found = pairs(made, most)
    assert found == pairs(select(replace(group, judged=shuffled), EVERY), most)
    assert len(found) <= most
    used = [index for pair in indices(found) for index in pair]
    assert len(used) == len(set(used))
    for pair in found:
        assert pair.chosen in made.kept
        assert pair.rejected.verdict.outcome is WRONG
        assert pair.rejected.rollout.completion.finish_reason == "stop"
    for row in rows(UNPAIRED, made):
        outcome = dict(enumerate(line[1] for line in drawn))[row["generation_index"]]
        assert outcome is (RIGHT if row["label"] else WRONG)


@given(st.text(), st.text())
def test_closeness_is_what_it_says(a, b):
    assert common_prefix(a, b) == sum(
        1 for _ in takewhile(lambda p: p[0] == p[1], zip(a, b, strict=False))
    )
    assert 0 <= closeness(a, b) == closeness(b, a) <= 1
    assert closeness(a + "x", a + "x") == 1
    assert common_prefix(a + "x" + b, a + "y" + b) == len(a)
