"""Units: equal quantities, and numbers with and without one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.types import Completion, Outcome, Problem
from verifiers import _units
from verifiers.math import Verifier

LENGTHS = {"mm": 1, "cm": 10, "m": 1000, "km": 1_000_000}


def is_accepted(reference: str, answer: str, prompt: str = "What is the answer?") -> bool:
    problem = Problem(id="x", prompt=prompt, answer=reference)
    completion = Completion(text=f"\\boxed{{{answer}}}")
    return Verifier().verify(problem, completion).outcome is Outcome.CORRECT


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(1, 500), st.sampled_from(list(LENGTHS)), st.sampled_from(list(LENGTHS)))
def test_a_length_is_the_same_in_another_unit(number, one, other):
    converted = Fraction(number * LENGTHS[one], LENGTHS[other])
    reference = rf"{number} \text{{ {one}}}"
    assert is_accepted(reference, rf"{converted} \text{{ {other}}}")
    assert is_accepted(reference, rf"{number} \text{{ {other}}}") is (one == other)
    assert not is_accepted(reference, rf"{number} \text{{ {one}}}^2")
    assert not is_accepted(reference, rf"{converted + 1} \text{{ {other}}}")


@pytest.mark.parametrize(
    ("prompt", "right", "wrong"),
    [
        ("What is the speed in miles per hour? It drives 3 hours.", ["mph", "miles per hour"],
         ["hours", "miles", "km/h"]),
        ("How many red apples does Tom have?", ["apples", "red apples"], ["pears", "Tom", "does"]),
        ("Which is not the number of apples?", ["apples"], ["not", "is not"]),
        ("A bird flies 12 m in 4 s. How fast is it?", ["m/s"], ["m", "s", "km/h"]),
        ("How old is Ann?", ["years", "years old"], ["months"]),
        ("A circle has radius 3 cm. What is its area?", ["cm^2"], ["cm", "m^2"]),
        ("What is the area of the triangle?", ["square units"], ["units", "cubic units", "cm^2"]),
        ("A shirt costs \\$20. What is the sale price?", ["dollars"], ["cents", "shirts"]),
        ("In how many minutes is it full?", ["minutes", "min"], ["hours"]),
        ("What is the temperature in degrees Celsius?", ["degrees Celsius"],
         ["degrees Fahrenheit"]),
        ("Compute it.", [], ["cm", "apples", "units"]),
    ],
)  # fmt: skip
def test_a_unit_may_be_added_where_the_question_asks_for_it(prompt, right, wrong):
    for unit in right:
        assert is_accepted("30", rf"30 \text{{ {unit}}}", prompt), unit
    for unit in wrong:
        assert not is_accepted("30", rf"30 \text{{ {unit}}}", prompt), unit


@pytest.mark.parametrize(
    ("reference", "prompt", "accepted"),
    [
        (r"10 \text{ cm}", "The sides are 2 cm and 3 cm. What is the perimeter?", True),
        (r"10 \text{ cm}", "The sides are 2 cm and 0.03 m. What is the perimeter?", False),
        (r"10 \text{ cm}", "How long is it?", False),
        (r"10 \text{ weeks}", "For how many weeks does it last?", True),
        (r"\$10", "What does it cost?", True),
        (r"\$10", "How many cents does it cost?", False),
        (r"74^\circ", "What is the angle?", True),
        (r"74^\circ", "What is the angle in radians?", False),
    ],
)
def test_a_unit_may_be_left_out_where_the_question_names_it(reference, prompt, accepted):
    assert is_accepted(reference, "74" if "74" in reference else "10", prompt) is accepted


@pytest.mark.parametrize("sign", [r"^\circ", r"\%", r" \text{ dollars}"])
def test_a_count_takes_no_sign(sign):
    assert not is_accepted("30", f"30{sign}", "How many apples does Tom have?")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("m/s^2", "meters per second squared"),
        ("m s^{-2}", "m/s^2"),
        ("square meters", "m^2"),
        ("sq ft", "ft2"),
        ("cubic inches", "in^3"),
        ("mph", "miles per hour"),
        ("years old", "years"),
    ],
)
def test_units_in_other_words(text, same):
    one, other = _units.parse(text), _units.parse(same)
    assert one is not None
    assert other is not None
    assert (one.factor, one.dimensions) == (other.factor, other.dimensions)


@pytest.mark.parametrize("text", ["", "/", "/s", "m/", "m/s/s", "million", "squared", "not", "5"])
def test_what_is_no_unit(text):
    assert _units.parse(text) is None


def test_time_in_several_units():
    assert is_accepted(r"2.5 \text{ hours}", r"2 \text{ hours } 30 \text{ minutes}")
    assert is_accepted(r"150 \text{ minutes}", "2 hours and 30 minutes")
    assert not is_accepted(r"2.5 \text{ hours}", r"2 \text{ hours } 50 \text{ minutes}")
    assert not is_accepted(r"2.5 \text{ hours}", r"30 \text{ minutes } 2 \text{ hours}")
