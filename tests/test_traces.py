import random
from dataclasses import replace

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.curation.quality import Flaw, Quality
from factory.traces import Group, Reply, TraceOptions, flaw, select, take_apart
from factory.types import Completion, Outcome, Problem, Rollout, Verdict, problem_id

PROBLEM = Problem(id=problem_id("2 + 2?"), prompt="2 + 2?", answer="4", verifier="math")
EXACT_ONLY = TraceOptions(near_duplicates=None, max_per_problem=99)
ANY_TEXT = Quality(max_repetition=None, max_loop=None, printable=False, secrets=False)


def judged(index, text, outcome=Outcome.CORRECT, *, reason="stop", tokens=5, reasoning=None):
    completion = Completion(text=text, reasoning=reasoning, finish_reason=reason, num_tokens=tokens)
    rollout = Rollout(problem_id=PROBLEM.id, index=index, model="m", completion=completion)
    if outcome is None:
        return rollout, None
    verdict = Verdict(
        problem_id=PROBLEM.id,
        index=index,
        outcome=outcome,
        reward={"correct": 1.0, "incorrect": 0.0, "unparsable": 0.0}.get(outcome),
        extracted="4",
        detail="",
        verifier="math",
        verifier_version="1",
    )
    return rollout, verdict


def group(*pairs):
    return Group(problem=PROBLEM, judged=list(pairs))


def indices(traces):
    return [trace.rollout.index for trace in traces]


def test_only_correct_rollouts_are_kept_and_all_are_told():
    selection = select(
        group(
            judged(5, "f", Outcome.TIMEOUT),
            judged(0, "a"),
            judged(1, "b", Outcome.INCORRECT),
            judged(2, "c", Outcome.UNPARSABLE),
            judged(3, "d", Outcome.UNSURE),
            judged(4, "e", Outcome.ERROR),
            judged(6, "g", None),
            judged(7, "h", None, reason="abort"),
            judged(8, "i", None, reason="error"),
            judged(9, "j", Outcome.INCORRECT, reason="length"),
        ),
        TraceOptions(),
    )
    assert indices(selection.kept) == [0]
    assert indices(selection.all) == [0, 1, 2, 3, 4, 5, 6, 9]
    assert selection.dropped == {}
    assert {trace.num_generations for trace in selection.all} == {8}
    assert {trace.pass_rate for trace in selection.all} == {1 / 4}


def test_a_rollout_without_a_verdict_has_no_verifier():
    (trace,) = select(group(judged(0, "a", None)), TraceOptions()).all
    assert (trace.verdict.verifier, trace.verdict.reward, trace.pass_rate) == ("", None, None)
    assert trace.verdict.key == trace.rollout.key


def test_an_empty_group_has_no_traces():
    selection = select(group(), TraceOptions())
    assert (selection.kept, selection.all, selection.dropped) == ([], [], {})


@pytest.mark.parametrize(
    ("text", "reasoning", "reply"),
    [
        ("4", None, Reply(reasoning=None, answer="4")),
        ("<think>a</think>b", None, Reply(reasoning="a", answer="b")),
        ("\n <think>\na\n</think>\n\nb", None, Reply(reasoning="\na\n", answer="\n\nb")),
        ("<think></think>b", None, Reply(reasoning="", answer="b")),
        ("b", "a 😀", Reply(reasoning="a 😀", answer="b")),
        ("b", " \n", Reply(reasoning=None, answer="b")),
        ("<think>a", None, None),
        ("a</think>b", None, None),
        ("So: <think>a</think>b", None, None),
        ("</think>a<think>", None, None),
        ("<think>a</think>b<think>c</think>", None, None),
        ("<think><think>a</think>b", None, None),
        ("<think>a</think></think>b", None, None),
        ("<think>a</think>b", "c", None),
        ("b", "a</think>", None),
    ],
)
def test_a_completion_is_taken_apart_or_malformed(text, reasoning, reply):
    assert take_apart(text, reasoning) == reply


def test_correct_rollouts_unfit_for_training_are_dropped_by_reason():
    selection = select(
        group(
            judged(0, "<think>a</think> 4"),
            judged(1, "<think>b</think> \n"),
            judged(2, "b</think> 4"),
            judged(3, "<think>c</think> 4", reason="length"),
            judged(4, "<THINK>A</think> 4"),
            judged(5, "<think>a</think>  4\n"),
        ),
        EXACT_ONLY,
    )
    assert indices(selection.kept) == [0]
    assert selection.dropped == {"duplicate": 1, "finish": 1, "think": 3}
    assert selection.why == {1: "think", 2: "think", 3: "finish", 4: "think", 5: "duplicate"}
    cut_off = flaw(selection.all[3])
    assert cut_off == Flaw("finish", "finish reason 'length', not 'stop'")


def test_quality_is_asked_of_correct_rollouts_before_any_is_compared_or_counted():
    pairs = [
        judged(0, long_text(1) + " \x07"),
        judged(1, long_text(1)),
        judged(2, long_text(2), tokens=3),
        judged(3, long_text(3) + " \x07", Outcome.INCORRECT),
    ]
    strict = TraceOptions(max_per_problem=1, quality=Quality(min_tokens=4))
    selection = select(group(*pairs), strict)
    assert indices(selection.kept) == [1]
    assert selection.dropped == {"length": 1, "unprintable": 1}
    assert selection.why == {0: "unprintable", 2: "length"}
    loose = select(group(*pairs), TraceOptions(quality=ANY_TEXT))
    assert (indices(loose.kept), loose.dropped) == ([0, 2], {"near_duplicate": 1})
    assert loose.why == {1: "near_duplicate"}


def test_a_lone_surrogate_is_compared_where_it_is_allowed():
    pairs = [judged(0, "a \ud800"), judged(1, "a \ud800"), judged(2, "b \udfff")]
    selection = select(group(*pairs), TraceOptions(quality=ANY_TEXT))
    assert (indices(selection.kept), selection.dropped) == ([0, 2], {"duplicate": 1})
    assert select(group(*pairs), TraceOptions()).dropped == {"unprintable": 3}


TAGGED = st.lists(st.sampled_from(["<think>", "</think>", "a", " ", "\n"]), max_size=6)


@given(TAGGED.map("".join), st.none() | TAGGED.map("".join))
def test_what_has_no_flaw_can_be_taken_apart(text, reasoning):
    (trace,) = select(group(judged(0, text, reasoning=reasoning)), EXACT_ONLY).all
    reply = take_apart(text, reasoning)
    assert (flaw(trace) is None) == (reply is not None and bool(reply.answer.strip()))


WORDS = [f"w{n}" for n in range(500)]


def long_text(seed, changes=0):
    tokens = random.Random(seed).choices(WORDS, k=200)
    for place in range(changes):
        tokens[place * 40 % 200] = "changed"
    return " ".join(tokens)


def test_near_duplicates_of_a_kept_trace_are_dropped():
    pairs = [
        judged(0, long_text(1)),
        judged(1, long_text(1, changes=2)),
        judged(2, long_text(2)),
        judged(3, long_text(1, changes=5)),
        judged(4, long_text(1).upper()),
    ]
    selection = select(group(*pairs), TraceOptions())
    assert indices(selection.kept) == [0, 2]
    assert selection.dropped == {"duplicate": 1, "near_duplicate": 2}
    assert indices(select(group(*pairs), TraceOptions(near_duplicates=0.9)).kept) == [0, 2, 3]
    assert indices(select(group(*pairs), EXACT_ONLY).kept) == [0, 1, 2, 3]


def test_reasoning_kept_apart_counts_like_inline_reasoning():
    pairs = [judged(0, "4", reasoning=long_text(1)), judged(1, "4", reasoning=long_text(2))]
    assert indices(select(group(*pairs), TraceOptions()).kept) == [0, 1]


@pytest.mark.parametrize(
    ("prefer", "kept"),
    [
        ("first", [0, 1]),
        ("shortest", [1, 3]),
        ("longest", [0, 2]),
        ("spread", [0, 1]),
        ("different", [0, 4]),
    ],
)
def test_the_cap_keeps_the_preferred_and_the_order_stays(prefer, kept):
    lengths = [40, 10, 30, 15, 20]
    half = long_text(9)
    starts = [half, half, half, half, long_text(8)]
    pairs = [
        judged(i, f"{start} {long_text(i)}", tokens=n)
        for i, (start, n) in enumerate(zip(starts, lengths, strict=True))
    ]
    selection = select(group(*pairs), TraceOptions(max_per_problem=2, prefer=prefer))
    assert indices(selection.kept) == kept
    assert selection.dropped == {"over_max_per_problem": 3}


def test_different_measures_by_what_it_is_told():
    sums = [["3 + 4 = 7", "7 + 1 = 8"], ["3 + 4 = 7", "7 + 1 = 8"], ["2 * 4 = 8", "8 - 0 = 8"]]
    fillers = [long_text(1), long_text(2), long_text(1, changes=5)]
    pairs = [
        judged(i, f"{filler}\n" + "\n".join(f"So ${line}$." for line in lines))
        for i, (filler, lines) in enumerate(zip(fillers, sums, strict=True))
    ]
    for measure, kept in (("auto", [0, 2]), ("equations", [0, 2]), ("words", [0, 1])):
        options = {"prefer": "different", "measure": measure, "near_duplicates": None}
        selection = select(group(*pairs), TraceOptions(max_per_problem=2, **options))
        assert indices(selection.kept) == kept


def test_unknown_options_and_values_are_errors():
    for options in (
        {"prefers": "first"},
        {"measure": "letters"},
        {"quality": {"min_token": 3}},
        {"prefer": "random"},
        {"max_per_problem": 0},
        {"max_pairs": 0},
        {"step_rollouts": 1},
    ):
        with pytest.raises(pydantic.ValidationError):
            TraceOptions(**options)
    with pytest.raises(pydantic.ValidationError, match="'all', 'preference', 'unpaired', 'rl'"):
        TraceOptions(configs=["default"])
    with pytest.raises(pydantic.ValidationError, match="'rl' is listed twice"):
        TraceOptions(configs=["rl", "all", "rl"])


@pytest.mark.parametrize("reward", [float("nan"), 1.5, -0.1])
def test_a_correct_rollout_without_a_sound_reward_is_not_kept(reward):
    rollout, verdict = judged(0, "4")
    selection = select(group((rollout, replace(verdict, reward=reward))), TraceOptions())
    assert (selection.kept, selection.dropped) == ([], {"bad_reward": 1})
    assert str(reward) in flaw(selection.all[0]).reason


outcomes = st.sampled_from([None, *Outcome])
rollouts = st.lists(
    st.tuples(
        st.sampled_from(["a b", "A  b", "a c", "<think>x</think>y", "<think>x", "", "😀"])
        | st.text(max_size=20),
        outcomes,
        st.sampled_from(["stop", "stop", "length", "abort"]),
        st.integers(0, 9),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(
    rollouts,
    st.integers(1, 4),
    st.sampled_from(["first", "shortest", "longest", "spread", "different"]),
    st.randoms(),
)
def test_selection_is_sound_complete_and_deterministic(drawn, most, prefer, rng):
    pairs = [
        judged(i, text, outcome, reason=reason, tokens=tokens)
        for i, (text, outcome, reason, tokens) in enumerate(drawn)
    ]
    options = TraceOptions(max_per_problem=most, prefer=prefer, quality=ANY_TEXT)
    selection = select(group(*pairs), options)
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    assert select(group(*shuffled), options) == selection
    correct = [t for t in selection.all if t.verdict.outcome is Outcome.CORRECT]
    assert len(selection.kept) <= most
    assert len(selection.kept) + sum(selection.dropped.values()) == len(correct)
    assert all(trace in correct for trace in selection.kept)
    assert indices(selection.kept) == sorted(indices(selection.kept))
    texts = [trace.rollout.completion.text.split() for trace in selection.kept]
    assert all(texts.count(text) == 1 for text in texts)


def test_five_megabyte_traces():
    pairs = [judged(i, long_text(i) + " so" * 1_600_000) for i in range(2)]
    pairs.append(judged(2, pairs[0][0].completion.text + " done"))
    assert indices(select(group(*pairs), TraceOptions(quality=ANY_TEXT)).kept) == [0, 1]
    assert select(group(*pairs), TraceOptions()).dropped == {"repetition": 3}
