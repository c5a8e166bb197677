"""When outputs and values count as the expected ones: rules, and what must never pass."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from verifiers._code_compare import Compare, output_accepts, value_accepts

TOKENS = Compare()
FLOAT = Compare(how="float", abs_tol=1e-6, rel_tol=1e-6)
PYTHON = Compare(how="exact", python_types=True)
UNORDERED = Compare(how="unordered")

words = st.lists(st.text("abcXYZ019-", min_size=1, max_size=6), min_size=1, max_size=8)
integers = st.integers(-(10**20), 10**20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("how", "wanted", "got", "accepted"),
    [
        ("tokens", "1 2\n3\n", "1\t2 3", True),
        ("tokens", "1 2", "1 2 3", False),
        ("tokens", "1 2", "1", False),
        ("tokens", "Yes", "yes", False),
        ("tokens", "3", "3.0", False),
        ("tokens", "3", "+3", False),
        ("tokens", "3.0", "3", True),
        ("tokens", "3.50", "3.5", True),
        ("tokens", "3.50", "3.501", False),
        ("tokens", "0.333333", "0.3333333333333333", True),
        ("tokens", "0.333333", "0.3333339", False),
        ("tokens", "0.333333", "0.333332", False),
        ("tokens", "0.33", "0.3333333333", False),
        ("tokens", "123456789.12", "123456789.13", False),
        ("tokens", "123456789.12", "123456789.126", False),
        ("tokens", "2.50", "2.4999999999999996", True),
        ("tokens", "0.30000000000000004", "0.3", True),
        ("tokens", "123456789.123456", "123456789.12346", False),
        ("tokens", "123456789.123456", "123456789.1234564", True),
        ("tokens", "1.2345678e-7", "0.00000012345678", True),
        ("tokens", "1.2345678e-7", "0.0000001234569", False),
        ("tokens", "1.5e-7", "0.00000015", True),
        ("tokens", "1.5e-7", "0.000000151", False),
        ("tokens", "0.1", "nan", False),
        ("tokens", "1e5", "100000", False),
        ("tokens", "1.0", "1e0", True),
        ("tokens", "1.0", "1_0e-1", False),
        ("tokens", "1.0", "\uff11.\uff10", False),
        ("tokens", "1.0", "0x1", False),
        ("tokens", "1.0", "1.0" + "0" * 500, False),
        ("tokens", "1.0", "1e999999999", False),
        ("tokens", "a\0b", "a b", False),
        ("float", "2", "2.000", True),
        ("float", "2", "2.0000001", False),
        ("float", "998244353", "998244352", False),
        ("float", "0.5", "0.5000009", True),
        ("float", "0.5", "0.50001", False),
        ("float", "1e-9", "0", True),
        ("float", "0.0", "-0", True),
        ("float", "nan", "nan", True),
        ("float", "1.5", "inf", False),
        ("lines", "a b\nc\n", "a b  \nc\n\n", True),
        ("lines", "a b\nc", "a  b\nc", False),
        ("lines", "a\nb", "a b", False),
        ("lines", " a", "a", False),
        ("exact", "a\n", "a", True),
        ("exact", "a", "a\n\n", False),
        ("exact", "a", "a ", False),
        ("unordered", "a b\nc\n", "c\n\na  b", True),
        ("unordered", "a b\nc", "b a\nc", False),
        ("unordered", "a\na\nb", "a\nb\nb", False),
        ("unordered", "a\na", "a", False),
        ("yes_no", "YES\nno", "yes NO", True),
        ("yes_no", "YES", "Y", False),
        ("yes_no", "Yes A", "yes a", False),
    ],
)
def test_outputs(how, wanted, got, accepted):
    tolerance = 1e-6 if how == "float" else 0.0
    compare = Compare(how=how, abs_tol=tolerance, rel_tol=tolerance)
    assert output_accepts(got.encode(), wanted.encode(), compare) is accepted


@pytest.mark.parametrize(
    ("wanted", "got", "compare", "accepted"),
    [
        (1, 1, TOKENS, True),
        (1, True, TOKENS, False),
        (True, 1, TOKENS, False),
        (1, 1.0, TOKENS, False),
        (1.0, 1, TOKENS, True),
        (1.0, True, TOKENS, False),
        (0.1 + 0.2, 0.3, TOKENS, True),
        (0.1 + 0.2, 0.3, PYTHON, False),
        (123456789.12, 123456789.13, TOKENS, False),
        (0.5, 0.5000001, FLOAT, True),
        (0.5, 0.5000001, TOKENS, False),
        (2**53 + 0.0, 2**53 + 1, TOKENS, True),
        (1e300, 10**300, TOKENS, True),
        (1e300, 10**400, TOKENS, False),
        (math.inf, math.inf, TOKENS, True),
        (math.inf, 1e308, FLOAT, False),
        (1.0, math.inf, FLOAT, False),
        (1.0, math.nan, FLOAT, False),
        ("a", "a ", TOKENS, False),
        (None, None, TOKENS, True),
        (None, 0, TOKENS, False),
        ([1, [2]], (1, (2,)), TOKENS, True),
        ([1, [2]], (1, (2,)), PYTHON, False),
        ((1, 2), [1, 2], PYTHON, False),
        ((1, 2), (1, 2), PYTHON, True),
        ([1, 2], {1, 2}, TOKENS, False),
        ({1, 2}, {2, 1}, PYTHON, True),
        ({1, 2}, {1, True + 1.0}, PYTHON, False),
        ({"a": 1}, {"a": 1}, TOKENS, True),
        ({"a": 1}, {"a": True}, TOKENS, False),
        ({"1": 1}, {1: 1}, TOKENS, False),
        ({"a": 0.3}, {"a": 0.1 + 0.2}, TOKENS, True),
        ([1, 2, 2], [2, 1, 2], UNORDERED, True),
        ([1, 2, 2], [2, 1, 1], UNORDERED, False),
        ([1, 2], {2, 1}, UNORDERED, True),
        ([1, 2], [1.0, 2.0], UNORDERED, False),
        ([[1], [2]], [(2,), (1,)], UNORDERED, True),
        ([1], 1, UNORDERED, False),
        (["a", "b"], "ba", UNORDERED, False),
    ],
)
def test_values(wanted, got, compare, accepted):
    assert value_accepts(got, wanted, compare) is accepted


@given(words, words)
@settings(max_examples=200, derandomize=True)
def test_words_are_accepted_in_their_order_alone(one, other):
    got, wanted = " ".join(one).encode(), "\n".join(other).encode()
    assert output_accepts(got, wanted, TOKENS) is (one == other)


@given(words, st.data())
@settings(max_examples=200, derandomize=True)
def test_lines_in_any_order_are_a_bag(lines, data):
    shuffled = data.draw(st.permutations(lines))
    wanted = "\n".join(lines).encode()
    assert output_accepts("\n".join(shuffled).encode(), wanted, UNORDERED)
    assert not output_accepts("\n".join([*shuffled, lines[0]]).encode(), wanted, UNORDERED)
    assert not output_accepts("\n".join(shuffled[:-1]).encode(), wanted, UNORDERED)


@given(integers, integers)
@settings(max_examples=300, derandomize=True)
def test_integers_are_never_compared_with_a_tolerance(a, b):
    for compare in (TOKENS, FLOAT):
        assert output_accepts(str(a).encode(), str(b).encode(), compare) is (a == b)
        assert value_accepts(a, b, compare) is (a == b)


@given(st.floats(-1e6, 1e6), st.floats(1e-5, 10))
@settings(max_examples=300, derandomize=True)
def test_numbers_beyond_the_tolerance_are_refused_and_those_within_are_not(x, off):
    allowed = max(1e-6, 1e-6 * abs(x))
    wanted = f"{x:.12f}".encode()
    assert output_accepts(f"{x + allowed / 2:.12f}".encode(), wanted, FLOAT)
    assert not output_accepts(f"{x + allowed * (2 + off):.12f}".encode(), wanted, FLOAT)


@given(plain)
@settings(max_examples=200, derandomize=True)
def test_a_value_equals_itself(value):
    assert value_accepts(value, value, TOKENS)


@given(plain, plain)
@settings(max_examples=300, derandomize=True)
def test_what_differs_for_python_is_never_equal(one, other):
    assume(one != other)
    assert not value_accepts(one, other, Compare(how="exact"))


@given(st.text(alphabet="0123456789.e+-nainf _", max_size=12))
@settings(max_examples=500, derandomize=True)
def test_any_text_is_compared_with_a_number(text):
    if output_accepts(text.encode(), b"0.5", TOKENS):
        assert float(text) == pytest.approx(0.5, rel=1e-8)


def test_members_that_share_a_hash_are_compared_as_fast_as_others():
    modulus = sys.hash_info.modulus
    wanted = [modulus * n for n in range(50_000)]
    assert len({hash(item) for item in wanted}) == 1
    assert value_accepts(wanted[::-1], wanted, UNORDERED)
    assert not value_accepts([*wanted[1:], 5], wanted, UNORDERED)
    assert not value_accepts([*wanted[1:], wanted[1]], wanted, UNORDERED)
