"""Steps are worth what came of them."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from factory.configs.steps import DOUBT, STEPWISE, paths, steps_of, tells_since
from factory.traces import TraceOptions
from factory.types import Branch, Outcome
from tests.configs.conftest import ORIGIN, RIGHT, WRONG


def rows(selection, least):
    return list(STEPWISE.rows(selection, ORIGIN, TraceOptions(step_rollouts=least)))


def think(*lines, answer="4"):
    newline = "\n"
    return f"<think>\n{newline.join(lines)}\n</think>\n\n{answer}"


def test_a_step_is_good_while_some_continuation_succeeds(selection):
    right = [(think("two", "and two", f"{n}, so 4"), RIGHT) for n in range(5)]
    made = selection(
        *right,
        (think("two", "and two", "5", answer="5"), WRONG),
        *((think("two", "and three", str(n), answer="5"), WRONG) for n in range(6)),
        (think("one", answer="1"), WRONG),
    )
    good, bad = rows(made, 2)
    assert good["completions"] == ["two", "and two"]
    assert (good["labels"], good["rollouts"]) == ([True, True], [12, 6])
    assert good["values"] == [5 / 12, 5 / 6]
    assert bad["completions"] == ["two", "and three"]
    assert (bad["labels"], bad["values"], bad["rollouts"]) == ([True, False], [5 / 12, 0], [12, 6])
    assert good["prompt"] == "2 + 2? Box it."
    assert set(good) == set(STEPWISE.schema.names)
    (only,) = rows(made, 7)
    assert (only["completions"], only["rollouts"]) == (["two"], [12])
    assert rows(made, 13) == []


def test_failures_that_may_be_an_accident_do_not_make_a_step_bad():
    half = [(["a"], True), (["b"], False)] * 4
    assert [[step.text for step in path] for path in paths(half, 2)] == [["a"]]
    half += [(["a"], True), (["b"], False)]
    assert [[step.text for step in path] for path in paths(half, 2)] == [["a"], ["b"]]
    (path,) = paths([(["x", "y"], False)] * 3, 3)
    assert [step.right for step in path] == [0, 0]


def test_a_fork_tells_of_the_last_step_it_shares_and_of_what_follows():
    plain = [(["a", "b", "c"], True), (["a", "b", "d"], True), (["x"], False)]
    forks = [(["a", "b", "e"], False), (["a", "b", "f"], False)]
    (path,) = paths(plain + forks, 2, [-1, -1, -1, 1, 1])
    assert [(step.text, step.rollouts, step.right) for step in path] == [("a", 2, 2), ("b", 4, 2)]
    (path,) = paths(plain + forks, 2)
    assert [step.rollouts for step in path] == [4, 4]


def test_what_a_fork_tells_follows_from_what_it_shares(selection):
    made = selection(
        (think("one", "two", "three"), RIGHT),
        (think("one", "two", "four"), WRONG),
        (think("one"), WRONG),
        (think("zero"), WRONG),
    ).told
    forks = [
        replace(t, rollout=replace(t.rollout, branch=Branch(parent=0, shared=9))) for t in made[1:]
    ]
    traces = [made[0], *forks]
    steps = [steps_of(trace) for trace in traces]
    assert tells_since(traces, steps) == [-1, 1, 0, -1]
    assert tells_since(made, steps) == [-1, -1, -1, -1]


def test_what_tells_nothing_is_no_evidence(selection):
    text = think("two")
    made = selection(
        (text, RIGHT),
        (think("two", answer="5"), WRONG),
        (text, Outcome.UNPARSABLE),
        (text, Outcome.UNSURE),
        (text, None),
        ("<think>two", WRONG),
        (text, WRONG, {"reason": "length"}),
    )
    (row,) = rows(made, 2)
    assert row["rollouts"] == [2]


def test_a_problem_that_was_never_solved_labels_nothing(selection):
    assert rows(selection((think("two"), WRONG), (think("two"), WRONG)), 2) == []
    assert rows(selection(), 2) == []


def test_steps_are_lines_of_reasoning_and_the_answer(selection):
    (trace,) = selection(("<think>\n a \n\n\nb\n</think>\n\nIt is\n\n4.", RIGHT)).all
    assert steps_of(trace) == ["a", "b", "It is\n\n4."]
    (trace,) = selection(("It is 4.", RIGHT)).all
    assert steps_of(trace) == ["It is 4."]
    (trace,) = selection(("4", RIGHT, {"reasoning": "a\nb"})).all
    assert steps_of(trace) == ["a", "b", "4"]


rollouts = st.lists(
    st.tuples(st.lists(st.sampled_from("ab"), min_size=1, max_size=6), st.booleans()), max_size=20
)


@settings(deadline=None)
@given(rollouts, st.integers(2, 6))
def test_paths_are_exactly_the_longest_ones_with_evidence(drawn, least):
    shared, right = Counter(), Counter()
    for steps, good in drawn:
        for end in range(1, len(steps) + 1):
            shared[tuple(steps[:end])] += 1
            right[tuple(steps[:end])] += good
    shared[()], right[()] = len(drawn), sum(good for _, good in drawn)
    enough = set()
    for path in sorted(shared.keys() - {()}, key=len):
        before = path[:-1]
        chance = (1 - right[before] / shared[before]) ** shared[path]
        sure = right[path] or not right[before] or chance <= DOUBT
        if shared[path] >= least and sure and (before in enough or not before):
            enough.add(path)
    longest = {p for p in enough if not any(q[: len(p)] == p and q != p for q in enough)}
    found = list(paths(drawn, least))
    texts = [tuple(step.text for step in path) for path in found]
    assert len(texts) == len(set(texts))
    assert set(texts) == longest
    for path in found:
        for end, step in enumerate(path, start=1):
            prefix = tuple(s.text for s in path[:end])
            assert (step.rollouts, step.right) == (shared[prefix], right[prefix])
        labels = [step.right > 0 for step in path]
        assert labels == sorted(labels, reverse=True), "no good step after a bad one"


def test_long_traces_that_are_all_alike_take_linear_time():
    steps = [str(n) for n in range(200_000)]
    (path,) = paths([(steps, True)] * 8, 8)
    assert [step.text for step in path] == steps
