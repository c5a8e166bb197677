"""Near misses: many, near ones first, and never the reference itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.types import Completion, Outcome, Problem
from verifiers.math import Verifier

ENOUGH = 20


def near_misses(answer: str, prompt: str = "") -> list[str]:
    problem = Problem(id="x", prompt=prompt, answer=answer)
    return list(Verifier().perturb(problem))


def accepted(answer: str, texts: list[str]) -> list[str]:
    problem = Problem(id="x", prompt="Find all of it, in cm.", answer=answer)
    judged = ((t, Verifier().verify(problem, Completion(text=t)).outcome) for t in texts)
    return [text for text, outcome in judged if outcome is Outcome.CORRECT]


ANSWERS = [
    "0", "1", "-7", "1000000", r"\frac{7}{12}", "0.05", "x", "x^2-5x+6", r"3\sqrt{2}", r"\pi", "e",
    "i", "2+3i", r"\ln 2", r"\sin 2x", "x^2+C", r"\frac{x+1}{x-1}", "n!", r"|x-1|",
    r"12 \text{ cm}", r"36 \text{ m}^2", r"60 \text{ km/h}", r"25\%", r"90^\circ", r"\$3.50",
    r"0 \text{ cm}", "2, 3, 5", r"\{1, 2\}", r"\{5\}", r"\pm 3", "(3, -4)", "(1, 1)", "(0, 0, 0)",
    "[0, 1)", r"(-\infty, 2]", r"(-\infty, 2] \cup (5, \infty)", r"\mathbb{R}", r"\emptyset",
    "x = 4", "y = 3x - 2", "x > 2", r"-3 \le x < 5", r"x^2+y^2=9", "1101_2", "Friday", "Yes", "C",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 1 \end{pmatrix}", "3:5",
    r"\frac{\pi}{4} + k\pi, k \in \mathbb{Z}", r"3 \pmod 7", "1, 2, \\ldots, n", "271828",
    "7" * 300,
    r"\int_0^1 x \, dx", "x=2, y=3", r"\lfloor x \rfloor", "-314159", r"\infty", r"2^{1000}",
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_there_are_enough_and_none_is_the_reference(answer):
    texts = near_misses(answer)
    assert len(set(texts)) == len(texts) >= ENOUGH
    assert texts == near_misses(answer)
    assert not accepted(answer, texts)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.fractions(max_denominator=60))
def test_near_misses_of_numbers_are_other_numbers(number):
    texts = near_misses(str(number))
    more = abs(number + 1)
    whole = str(more) if more.denominator == 1 else f"{{{more.numerator}}}{{{more.denominator}}}"
    assert any(whole in text for text in texts[:3])
    assert not accepted(str(number), texts)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=4), st.sampled_from(["()", "{}", ""]))
def test_near_misses_of_several_numbers_are_other_numbers(numbers, brackets):
    inner = ", ".join(map(str, numbers))
    answer = {"()": f"({inner})", "{}": rf"\{{{inner}\}}", "": inner}[brackets]
    assert not accepted(answer, near_misses(answer))
