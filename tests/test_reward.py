"""The verifiers as a reward function, on rows as they are published."""

from __future__ import annotations

import json

import pytest

from factory import reward
from factory.errors import PluginError
from factory.types import Completion


def info(answer="4", verifier="math", options=None, spec=None, prompt="2 + 2?"):
    return {
        "split": "train",
        "index": 0,
        "problem_id": "ab" * 8,
        "problem": prompt,
        "answer": answer,
        "verifier": verifier,
        "verifier_options": json.dumps(options or {}),
        "spec": json.dumps(spec or {}),
    }


@pytest.fixture(scope="module")
def rewarder():
    made = reward.Rewarder(timeout_s=20.0)
    yield made
    made.close()


def score(rewarder, *pairs):
    infos, completions = zip(*pairs, strict=True)
    prompts = [[{"role": "user", "content": "?"}]] * len(pairs)
    return rewarder.reward(prompts, list(completions), extra_info=list(infos), answer=["x"])


def test_right_is_one_wrong_is_nought_and_order_stays(rewarder):
    assert score(
        rewarder,
        (info(), "It is \\boxed{4}."),
        (info("Paris", "exact"), "\\boxed{London}"),
        (info(), "It is \\boxed{5}."),
        (info("Paris", "exact"), "\\boxed{Paris}"),
        (info(), "no idea"),
        (info(), ""),
    ) == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_replies_come_as_text_or_messages_with_or_without_their_reasoning(rewarder):
    think = {"role": "assistant", "content": "\\boxed{4}", "reasoning_content": "\\boxed{5}?"}
    assert score(
        rewarder,
        (info(), [{"role": "assistant", "content": "<think>\\boxed{5}</think>\\boxed{4}"}]),
        (info(), [think]),
        (info(), [{"role": "assistant", "content": None}]),
    ) == [1.0, 1.0, 0.0]
    assert reward.to_completion([think]) == Completion(text="\\boxed{4}", reasoning="\\boxed{5}?")
    assert reward.to_completion("a") == Completion(text="a")


def test_where_the_verifier_cannot_tell_there_is_no_reward(rewarder):
    assert score(rewarder, (info(answer=None), "\\boxed{4}"), (info(), "\\boxed{4}")) == [None, 1.0]
    assert score(rewarder, (info(verifier="tests.verifiers.faulty"), "raise")) == [None]


def test_options_and_spec_of_the_row_count(rewarder):
    plain, boxed = info(), info(options={"require_box": True})
    assert score(rewarder, (plain, "The answer is 4."), (boxed, "The answer is 4.")) == [1.0, 0.0]
    near = info("3.1416", spec={"tolerance": 0.01})
    assert score(rewarder, (near, "\\boxed{3.14}"), (info("3.1416"), "\\boxed{3.14}")) == [1.0, 0.0]


def test_odd_text_is_judged(rewarder):
    assert score(rewarder, (info(), "😀 \ud83d \\boxed{4}"), (info(), "x" * 5_000_000)) == [
        1.0,
        0.0,
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"answer": ["4"]}, "extra_info of config `rl`; got: answer"),
        ({}, "got: none"),
        ({"extra_info": [{"split": "train"}]}, "extra_info lacks problem_id, problem, .*; it has"),
        ({"extra_info": [info()] * 2}, "2 values of extra_info, 1 completions"),
        ({"extra_info": [info(verifier="")]}, "names no verifier"),
    ],
)
def test_rows_of_another_config_are_refused_with_what_is_missing(rewarder, columns, message):
    with pytest.raises(ValueError, match=message):
        rewarder.reward(["?"], ["4"], **columns)


def test_an_unknown_verifier_is_refused_with_the_known_ones(rewarder):
    with pytest.raises(PluginError, match=r"unknown verifier 'maths'; known: .*math"):
        score(rewarder, (info(verifier="maths"), "4"))


def test_verl_gets_a_number_and_whether_it_means_something():
    def of(extra, text):
        return reward.compute_score("sums", text, "4", extra_info=extra, sandbox_fusion_url=None)

    try:
        assert of(info(), "\\boxed{4}") == {"score": 1.0, "judged": 1.0}
        assert of(info(), "\\boxed{5}") == {"score": 0.0, "judged": 1.0}
        assert of(info(answer=None), "\\boxed{4}") == {"score": 0.0, "judged": 0.0}
        with pytest.raises(ValueError, match="extra_info"):
            reward.compute_score("sums", "4", "4")
        assert reward.reward(["?"], ["\\boxed{4}"], extra_info=[info()]) == [1.0]
    finally:
        reward._SHARED.close()


def test_closed_it_starts_again(rewarder):
    assert score(rewarder, (info(), "\\boxed{4}")) == [1.0]
    rewarder.close()
    assert score(rewarder, (info(), "\\boxed{4}")) == [1.0]
