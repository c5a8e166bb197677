"""Patterns: what they match is checked against `re`, what they must not be is refused."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _patterns
from verifiers.regex import Verifier


def judge(pattern: object, answer: str, text: str, **options: bool) -> Judgement:
    problem = Problem(id="x", prompt="?", answer=answer, spec={"pattern": pattern})
    return Verifier(**options).verify(problem, Completion(text=text))


SHAPES = {
    r"[A-F0-9]{2}(?::[A-F0-9]{2}){2}": "0A:1B:FF",
    r"[ab]+c?": "abba",
    r"(?P<x>[xy])\d(?P=x)": "x1x",
    r"v\d+(\.\d+){1,2}": "v1.2.3",
    r"\$\d{1,3}(,\d{3})*": "$1,234",
    r"(?!00)\d\d": "42",
}


@settings(deadline=None, max_examples=600, derandomize=True)
@given(st.sampled_from(sorted(SHAPES)), st.data())
def test_what_is_accepted_is_what_re_matches_from_end_to_end(pattern, data):
    kinds = st.text(max_size=9) | st.from_regex(pattern) | st.from_regex(pattern, fullmatch=True)
    answer = data.draw(kinds).strip()
    text = f"\\boxed{{{answer}}}"
    matched = re.fullmatch(pattern, answer, re.ASCII) is not None
    outcome = judge(pattern, SHAPES[pattern], text).outcome
    # A brace or a backslash in the answer can break its box: then it is not accepted.
    assert outcome is not Outcome.CORRECT or matched
    if matched and not set(answer) & set("{}\\$"):
        assert outcome is Outcome.CORRECT


def test_no_digit_of_another_script_passes_unless_declared():
    assert judge(r"\d+", "12", "\\boxed{\u0661\u0662}").outcome is Outcome.INCORRECT
    assert judge(r"\d+", "12", "\\boxed{\u0661\u0662}", unicode=True).outcome is Outcome.CORRECT


def test_no_letter_folds_into_another_script():
    for look_alike in ("\u212a", "\u017f"):  # the Kelvin sign folds to k, the long s to s
        assert judge("[ks]1", "k1", f"\\boxed{{{look_alike}1}}", ignore_case=True).outcome is (
            Outcome.INCORRECT
        )


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [(r"(a|aa)+", "aa"), (r"(a|a?)+b", "ab"), (r"(.*a){25}", "a" * 25), (r"(\w+\s?)*x", "x")],
)
def test_an_endless_match_is_a_timeout_and_never_a_yes(pattern, answer):
    judgement = judge(pattern, answer, "\\boxed{" + "a" * 3000 + "!}")
    assert judgement.outcome in (Outcome.TIMEOUT, Outcome.INCORRECT)


def test_a_pattern_that_is_slow_on_its_own_answer_is_the_problems_fault():
    judgement = judge("(a|aa)+b?", "a" * 200 + "!", "x")
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail == "the problem: spec.pattern takes too long to match a short text"


@pytest.mark.parametrize(
    ("pattern", "answer", "words"),
    [
        (None, "a", "spec.pattern must be a text, got None"),
        ("", "a", "spec.pattern must be a text, got ''"),
        ("(", "a", "no regular expression: missing )"),
        ("a{e<=1}", "a", "'{e<=1}' is no repetition"),
        ("[[:alpha:]]", "a", "Possible nested set"),
        (r"\pL", "a", r"bad escape \p"),
        ("a" * 2001, "a", "longer than 2000 characters"),
        ("a", "", "no answer"),
        ("a", "b", "the answer 'b' does not match"),
        ("}+", "}", "the answer cannot stand in a box: '}'"),
        (".+", "b", "matches '.' too: it asks for nothing"),
        ("[A-Z][a-z]+", "Paris", "matches 'Solution' too"),
        (r"(?i)[\w' ]+", "Paris", "matches 'Solution' too"),
    ],
)
def test_a_pattern_that_asks_for_nothing_or_is_none_is_refused(pattern, answer, words):
    judgement = judge(pattern, answer, f"\\boxed{{{answer}}}")
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail.startswith("the problem: ")
    assert words in judgement.detail


def test_an_escaped_brace_is_a_brace():
    assert judge(r"\{e\}", "{e}", "\\boxed{{e}}").outcome is Outcome.CORRECT
    assert judge(r"\\\{e\}", "\\{e}", "\\boxed{x}").outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        ("a$|b", "a\n", False),
        (r"^\$[$]$", "$$", True),
        (r"^[^$]\$$", "a$", True),
        (r"^\d$", "\u0661", False),
        ("b", "abc", True),
        ("[]$]", "]", True),
    ],
)
def test_patterns_of_a_schema_end_where_the_text_ends(pattern, text, found):
    assert _patterns.is_found(_patterns.compiled_ecma(pattern), text) is found


def test_perturbations_hold_for_patterns_that_allow_much():
    for pattern, answer in ((r"[a-z]+\d*", "abc"), (r"\w{1,40}!?\d", "x1"), (r"[^ ]+;", "a;")):
        problem = Problem(id="x", prompt="?", answer=answer, spec={"pattern": pattern})
        texts = list(dict.fromkeys(Verifier().perturb(problem)))
        assert len(texts) >= 20
        for text in texts:
            judgement = Verifier().verify(problem, Completion(text=text))
            assert judgement.outcome is not Outcome.CORRECT, text
