"""Where an answer is found, and what the text around it does to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.types import Completion, Outcome, Problem
from verifiers import _final
from verifiers.math import Verifier


def outcome(reference: str, text: str, prompt: str = "What is the answer?") -> Outcome:
    problem = Problem(id="x", prompt=prompt, answer=reference)
    return Verifier().verify(problem, Completion(text=text)).outcome


OPERATORS = [
    "+", "-", "*", "/", "^", "_", "<", ">", r"\times", r"\cdot", r"\pm", r"\div", r"\ne", r"\le",
    r"\sqrt", r"\frac{1}", r"\ln", "!=", "2", "x", "|", "(", "[", "{3}", r"\in", "\u2260", "\u00d7",
]  # fmt: skip


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_box_behind_an_operator_is_no_answer(operator, space):
    assert outcome("5", f"${operator}{space}\\boxed{{5}}$") is not Outcome.CORRECT
    assert outcome("5", f"$7 {operator}{space}\\boxed{{5}}$") is not Outcome.CORRECT


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize(
    "behind",
    ["+ 1", "- 1", "^2", "_2", r"\times 10^3", r"\cdot 2", r"\pm 1", "!", "< 6", "= 6", "0", "x",
     "/2", r"\sqrt{2}", "e3", r"\%", r"\text{ million}", r"\to 6", ":3", ".5", ",5", r"^{\circ}"],
)  # fmt: skip
def test_a_box_before_an_operator_is_no_answer(behind, space):
    assert outcome("5", f"$\\boxed{{5}}{space}{behind}$") is not Outcome.CORRECT


@pytest.mark.parametrize(
    "text",
    [
        "4 or $\\boxed{5}$",
        "$\\boxed{5}$ or $6$",
        "It cannot be $\\boxed{5}$.",
        "$\\boxed{5}$ is not the answer.",
        "$\\boxed{5}$ doesn't work.",
        "A tempting wrong answer is $\\boxed{5}$.",
        "$\\boxed{5}$. Wait, that is $6$.",
        "The answer is 6.\n$\\boxed{5}$",
        "$\\boxed{5}$\n\nThe answer is 6.",
        "$\\boxed{5}$\n\n6",
        "$6 = \\boxed{5}$",
        "$2+2 = \\boxed{5}$",
        "$\\boxed{5}$ and a half",
        "$\\boxed{5}$ dozen",
        "$\\boxed{5}$%",
        "minus $\\boxed{5}$",
        "The answer is 5.\nActually, it is 6.",
        "The answer is 5. The answer is 6.",
        "\\boxed{5} \\boxed{6}",
        "<think>\\boxed{5}</think> I do not know.",
        "<think>\\boxed{5}",
    ],
)
def test_what_is_denied_taken_back_or_changed_is_no_answer(text):
    assert outcome("5", text) is not Outcome.CORRECT


@pytest.mark.parametrize(
    "text",
    [
        "$x = \\boxed{5}$",
        "$2 + 3 = \\boxed{5}$, as claimed.",
        "\\[ \\boxed{5} \\]",
        "\\begin{align*} x &= 2+3 \\\\ &= \\boxed{5} \\end{align*}",
        "- $\\boxed{5}$",
        "1. \\boxed{5}",
        "| Answer | $\\boxed{5}$ |",
        "**Answer:** $\\boxed{5}$ \u2713",
        "**Answer: 5**",
        "The answer is **5**.",
        "The answer is $5$, since $2+3=5$.",
        "## Final Answer\n\n$5$",
        "#### 5",
        "I put the answer in \\boxed{}.\n\n$\\boxed{5}$",
        "$\\boxed{5}$ (check: $2+3=5$)",
        "The answer is 5.0.\n\n$\\boxed{5}$",
        "<think>Is it \\boxed{4}? No.</think>$\\boxed{5}$",
        "$\\boxed{\\boxed{5}}$",
        "\\fbox{5}",
    ],
)
def test_what_is_an_answer(text):
    assert outcome("5", text) is Outcome.CORRECT


def test_the_unit_behind_a_box_counts():
    prompt = "How many seconds does it take?"
    assert outcome("5", "It takes $\\boxed{5}$ seconds.", prompt) is Outcome.CORRECT
    assert outcome("5", "It takes $\\boxed{5}$ minutes.", prompt) is not Outcome.CORRECT
    assert outcome(r"5 \text{ m}", "It is $\\boxed{5}\\text{ m}$.") is Outcome.CORRECT
    assert outcome(r"5 \text{ m}", "It is $\\boxed{5}\\text{ cm}$.") is not Outcome.CORRECT


def test_answers_outside_the_box_count_unless_they_are_equal():
    equal = "The answer is $\\frac{1}{2}$.\n\n$\\boxed{0.5}$"
    assert outcome("0.5", equal) is Outcome.CORRECT
    assert outcome("0.5", equal.replace("{2}", "{3}")) is Outcome.UNSURE


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet="5 6$\\()[]{}.,:=-+*orntias\n", max_size=20), st.booleans())
def test_a_changed_number_is_never_read_as_another(text, before):
    whole = f"{text}\\boxed{{271828}}" if before else f"\\boxed{{271828}}{text}"
    assert outcome("5", whole) is not Outcome.CORRECT
    assert outcome("271828271828", whole) is not Outcome.CORRECT


def test_deep_boxes_are_read_in_linear_time():
    text = "\\boxed{" * 50_000 + "5" + "}" * 50_000
    assert _final.read(Completion(text=text)).problem
    assert _final.read(Completion(text="answer is 5 " * 50_000)).problem
