"""Numbers and lists of numbers under `math`, in every spelling: equal ones are, others are not."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from factory.types import Completion, Outcome, Problem
from verifiers.math import Verifier as MathVerifier


def outcome(reference: str, answer: str) -> Outcome:
    problem = Problem(id="x", prompt="What is it?", answer=reference)
    return MathVerifier().verify(problem, Completion(text=f"\\boxed{{{answer}}}")).outcome


def integer_forms(n: int) -> list[str]:
    sign, size = ("-" if n < 0 else ""), abs(n)
    return [
        f"{n}",
        f"{n}.0",
        f"{n:,}",
        f"{sign} {size}",
        f"x = {n}",
        f"\\left({n}\\right)",
        f"{sign}\\frac{{{2 * size}}}{{2}}",
        f"\\text{{{n}}}",
        f"{sign}{size}.",
    ]


def fraction_forms(f: Fraction) -> list[str]:
    top, bottom = f.numerator, f.denominator
    sign, size = ("-" if f < 0 else ""), abs(f)
    whole, rest = divmod(size.numerator, size.denominator)
    forms = [
        f"{top}/{bottom}",
        f"\\frac{{{top}}}{{{bottom}}}",
        f"\\dfrac{{{-top}}}{{{-bottom}}}",
        f"{sign}\\tfrac{{{3 * abs(top)}}}{{{3 * bottom}}}",
        f"x = {sign}{abs(top)}/{bottom}",
    ]
    if whole and rest:
        forms.append(f"{sign}{whole}\\frac{{{rest}}}{{{bottom}}}")
        forms.append(f"{sign}{whole} {rest}/{bottom}")
    return forms


integers = st.integers(-(10**12), 10**12) | st.integers(-50, 50)
fractions = st.fractions(max_denominator=500).filter(lambda f: f.denominator > 1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(integers, st.data())
def test_equal_integers_are_accepted_in_every_form(n, data):
    reference = data.draw(st.sampled_from(integer_forms(n)))
    assert outcome(reference, data.draw(st.sampled_from(integer_forms(n)))) is Outcome.CORRECT


@settings(max_examples=400, deadline=None, derandomize=True)
@given(integers, integers, st.data())
def test_unequal_integers_never_are(a, b, data):
    reference = data.draw(st.sampled_from(integer_forms(a)))
    answer = data.draw(st.sampled_from(integer_forms(b)))
    assert (outcome(reference, answer) is Outcome.CORRECT) == (a == b)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(fractions, st.data())
def test_equal_fractions_are_accepted_in_every_form(f, data):
    reference = data.draw(st.sampled_from(fraction_forms(f)))
    assert outcome(reference, data.draw(st.sampled_from(fraction_forms(f)))) is Outcome.CORRECT


@settings(max_examples=400, deadline=None, derandomize=True)
@given(fractions, fractions, st.data())
def test_unequal_fractions_never_are(a, b, data):
    reference = data.draw(st.sampled_from(fraction_forms(a)))
    answer = data.draw(st.sampled_from(fraction_forms(b)))
    assert (outcome(reference, answer) is Outcome.CORRECT) == (a == b)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(integers, min_size=2, max_size=5, unique=True), st.data())
def test_lists_need_every_member_once(numbers, data):
    # A space after the comma: without it `1,234` is one number.
    reference = ", ".join(map(str, numbers))
    shuffled = data.draw(st.permutations(numbers))
    assert outcome(reference, ", ".join(map(str, shuffled))) is Outcome.CORRECT
    shorter = ", ".join(map(str, shuffled[:-1]))
    assert outcome(reference, shorter) is not Outcome.CORRECT
    assert outcome(reference, ", ".join(map(str, [*shuffled, 7]))) is not Outcome.CORRECT
    assert outcome(f"({reference})", f"({', '.join(map(str, shuffled))})") is (
        Outcome.CORRECT if list(shuffled) == numbers else Outcome.INCORRECT
    )


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789+-*/^(){}[]\\,.=<>|!_% $xyzeif\u00b2\u221a", max_size=40))
def test_no_text_is_accepted_for_a_number_it_does_not_spell(text):
    wanted = "271828"
    if outcome(wanted, text) is Outcome.CORRECT:
        assert wanted in "".join(c for c in text if c.isdigit())


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_judged(text):
    problem = Problem(id="x", prompt=text, answer="\\frac{1}{2}")
    judgement = MathVerifier().verify(problem, Completion(text=text))
    assert judgement.outcome is not Outcome.ERROR
