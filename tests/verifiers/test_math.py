"""What `math` takes for the same answer, by kind; the golden cases hold the long lists."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.types import Completion, Outcome, Problem
from verifiers.math import Verifier

NO_QUESTION = "What is the answer?"


def outcome(
    reference: str, answer: str, prompt: str = NO_QUESTION, spec: dict[str, object] | None = None
) -> Outcome:
    problem = Problem(id="x", prompt=prompt, answer=reference, spec=spec or {})
    return Verifier().verify(problem, Completion(text=f"\\boxed{{{answer}}}")).outcome


def is_accepted(reference: str, answer: str, prompt: str = NO_QUESTION) -> bool:
    return outcome(reference, answer, prompt) is Outcome.CORRECT


# --- expressions ---------------------------------------------------------------------------------

coefficients = st.lists(st.integers(-9, 9), min_size=2, max_size=5).filter(
    lambda c: sum(map(bool, c)) > 1
)


def polynomial(terms: list[tuple[int, int]]) -> str:
    return "".join(f"{c:+d}x^{{{power}}}" for power, c in terms if c) or "0"


@settings(max_examples=80, deadline=None, derandomize=True)
@given(coefficients, st.data())
def test_the_order_of_terms_does_not_matter(numbers, data):
    terms = list(enumerate(numbers))
    assert is_accepted(polynomial(terms), polynomial(data.draw(st.permutations(terms))))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(coefficients, st.data())
def test_another_coefficient_does(numbers, data):
    at = data.draw(st.integers(0, len(numbers) - 1))
    other = [*numbers[:at], numbers[at] + data.draw(st.sampled_from((-2, -1, 1, 2)))]
    other += numbers[at + 1 :]
    reference, answer = (polynomial(list(enumerate(n))) for n in (numbers, other))
    assert not is_accepted(reference, answer)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 300), st.sampled_from([r"\sqrt{2}", r"\pi", r"\ln 3", "x^2", "e^{x}"]))
def test_no_difference_is_too_small_to_be_seen(digits, text):
    assert not is_accepted(text, f"{text}+10^{{-{digits}}}")
    assert not is_accepted(f"{text}+10^{{-{digits}}}", text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(-(10**6), 10**6))
def test_a_piece_of_a_function_is_not_the_function(a):
    shifted = f"x-{a}" if a >= 0 else f"x+{-a}"
    assert not is_accepted(f"|{shifted}|", shifted)
    assert not is_accepted(shifted, f"|{shifted}|")
    assert not is_accepted(shifted, rf"\sqrt{{({shifted})^2}}")
    assert is_accepted(f"|{shifted}|", f"|-({shifted})|")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sqrt{x}-y", r"\sqrt{x}-\sqrt{y^2}"),
        (r"\sqrt{x}\sqrt{y}(x-50y)", r"\sqrt{x}\sqrt{y}\sqrt{(x-50y)^2}"),
        (r"\lfloor \frac{n}{100} \rfloor", r"\lfloor \frac{n}{1000} \rfloor"),
        (r"\lfloor \frac{n}{7} \rfloor", r"\lfloor \frac{n}{9} \rfloor"),
        (r"2\ln x", r"\ln(x^2)"),
        (r"\sqrt{ab}", r"\sqrt{a}\sqrt{b}"),
        ("x^2", r"x^2+e^{-1000}"),
        (r"\log 2", r"\ln 2"),
    ],
)
def test_functions_that_agree_in_places_alone_are_different(one, other):
    assert not is_accepted(one, other)
    assert not is_accepted(other, one)


def test_what_holds_for_positive_numbers_counts_where_the_question_says_so():
    reference, answer = r"x\sqrt{2}", r"\sqrt{2x^2}"
    assert is_accepted(reference, answer, "How long is the diagonal? Here $x$ is positive.")
    assert not is_accepted(reference, answer, "How long is the diagonal?")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-20, 20), st.integers(2, 9))
def test_a_multiple_of_an_equation_is_the_same_equation(a, b, c, factor):
    if a == 0 or b == 0:
        return
    reference = f"{a}x{b:+d}y{c:+d}=0"
    assert is_accepted(reference, f"{a * factor}x{b * factor:+d}y{c * factor:+d}=0")
    assert is_accepted(reference, f"{-a}x{-b:+d}y={c}")
    assert not is_accepted(reference, f"{a * factor}x{b * factor:+d}y{c * factor + 1:+d}=0")


def test_an_integral_is_known_but_for_its_constant():
    prompt = r"Find $\int 2x\,dx$."
    assert is_accepted("x^2 + C", "x^2 + 7 + C", prompt)
    assert is_accepted("x^2 + C", "x^2 + c", NO_QUESTION)
    assert not is_accepted("x^2 + C", "x^2 + 7 + C", NO_QUESTION)
    assert not is_accepted("x^2 + C", "x^2 + x + C", prompt)
    assert not is_accepted("x^2 + C", "x^2", prompt)


# --- sets of reals -------------------------------------------------------------------------------

intervals = st.tuples(
    st.integers(-9, 9), st.integers(1, 9), st.sampled_from("(["), st.sampled_from(")]")
)


def interval_forms(low: int, size: int, left: str, right: str) -> list[str]:
    high = low + size
    signs = [r"\le" if bracket in "[]" else "<" for bracket in (left, right)]
    french = {"(": "]", "[": "[", ")": "[", "]": "]"}
    above = ">" if left == "(" else r"\ge"
    chain = f"{low} {signs[0]} x {signs[1]} {high}"
    return [
        chain,
        f"{left}{low}, {high}{right}" if (left, right) != ("(", ")") else chain,
        rf"\{{x \mid {chain}\}}",
        rf"\{{t \in \mathbb{{R}} : {chain.replace('x', 't')}\}}",
        f"{french[left]}{low}, {high}{french[right]}" if left == "[" or right == "]" else chain,
        rf"x {above} {low} \text{{ and }} x {signs[1]} {high}",
        rf"{left}{low}, {low + Fraction(size, 2)}] \cup [{low + Fraction(size, 2)}, {high}{right}",
    ]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(intervals, st.data())
def test_a_set_is_the_same_in_every_notation(interval, data):
    forms = interval_forms(*interval)
    assert is_accepted(data.draw(st.sampled_from(forms)), data.draw(st.sampled_from(forms)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(intervals, intervals, st.data())
def test_other_sets_are_not(one, other, data):
    if one == other:
        return
    reference = data.draw(st.sampled_from(interval_forms(*one)))
    assert not is_accepted(reference, data.draw(st.sampled_from(interval_forms(*other))))


def test_an_open_interval_is_no_point():
    assert is_accepted("(1, 2)", "1 < x < 2", "Where is $f$ increasing?")
    assert not is_accepted("(1, 2)", "1 < x < 2", "Find the point of intersection.")


# --- several values ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=3, unique=True), st.data())
def test_names_say_the_order_of_a_tuple(numbers, data):
    named = list(zip("xyz", numbers, strict=False))
    shuffled = data.draw(st.permutations(named))
    listed = ", ".join(f"{name} = {value}" for name, value in shuffled)
    reference = "(" + ", ".join(map(str, numbers)) + ")"
    assert is_accepted(reference, listed)
    swapped = dict(zip([n for n, _ in named], [*numbers[1:], numbers[0]], strict=True))
    wrong = ", ".join(f"{name} = {value}" for name, value in swapped.items())
    assert not is_accepted(reference, wrong)


def test_the_question_says_the_order_of_names():
    prompt = "Find the pair $(y, x)$."
    assert is_accepted("(1, 2)", "x = 2, y = 1", prompt)
    assert not is_accepted("(1, 2)", "x = 1, y = 2", prompt)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 11), st.integers(-2, 2), st.sampled_from((1, -1)), st.sampled_from("knm"))
def test_a_family_is_the_same_however_it_is_counted(part, shift, sign, name):
    reference = rf"\frac{{{part}\pi}}{{12}} + k\pi, k \in \mathbb{{Z}}"
    start = part + 12 * shift
    family = rf"\frac{{{start}\pi}}{{12}} {'+' if sign > 0 else '-'} {name}\pi"
    assert is_accepted(reference, rf"{family}, {name} \in \mathbb{{Z}}")
    assert not is_accepted(reference, family.replace(r"\pi}{12}", r"\pi}{11}"))
    assert not is_accepted(reference, rf"{family} {name}, {name} \in \mathbb{{Z}}")


@pytest.mark.parametrize("answers", list(itertools.permutations("123")))
def test_a_list_may_be_given_in_several_boxes(answers):
    text = ", ".join(f"$\\boxed{{{a}}}$" for a in answers)
    problem = Problem(id="x", prompt="Find all roots.", answer="1, 2, 3")
    assert Verifier().verify(problem, Completion(text=text)).outcome is Outcome.CORRECT
    single = Problem(id="x", prompt="Find the root.", answer="3")
    assert Verifier().verify(single, Completion(text=text)).outcome is Outcome.INCORRECT


# --- what only the question can tell -------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "answer", "prompt", "accepted"),
    [
        ("7", "m+n = 7", "Find $m+n$.", True),
        ("7", "m+n = 7", "Find $m$, where $m+n=9$.", False),
        ("3", "2x = 3", "Solve $2x = 6$ for $x$.", False),
        ("65", r"\angle B = 65^\circ", r"Find $\angle A$ in degrees.", False),
        ("25", r"25\%", "What percent of 80 is 20?", True),
        ("25", r"2500\%", "What percent of 80 is 20?", False),
        (r"75\%", "0.75", "Express the score as a percentage.", False),
        ("101_2", "101", "Write 5 in base 2.", True),
        ("101_2", "101", "Write 5 in binary, then in base 3.", False),
        ("7", "C", "?\n(A) 5\n(B) 6\n(C) 7\n(D) 8", True),
        ("7", "(B) 7", "?\n(A) 5\n(B) 6\n(C) 7\n(D) 8", False),
        ("C", "7", "?\n(A) 5\n(B) 6\n(C) 7\n(D) 8", True),
        ("3:5", r"\frac{3}{5}", "What is the ratio?", True),
        ("3:30", r"\frac{1}{10}", "When does it begin?", False),
        (r"6\sqrt{2}", r"3\sqrt{8}", r"Simplify $\sqrt{72}$.", False),
        ("y = 2x+1", "2x-y+1=0", "Write $2x-y+1=0$ in slope-intercept form.", False),
        (r"\frac{1}{4}", "0.25", "Write $0.25$ as a fraction.", False),
        ("ab", "ba", "Express the area in terms of $a$ and $b$.", True),
        ("ab", "ba", "Which two letters come first?", False),
    ],
)
def test_the_question_decides(reference, answer, prompt, accepted):
    assert is_accepted(reference, answer, prompt) is accepted


# --- bad problems, bad text ----------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", ["0.1", True, None, -0.1, 1, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_the_problems_fault(tolerance):
    problem = Problem(id="x", prompt="", answer="0.33", spec={"tolerance": tolerance})
    judgement = Verifier().verify(problem, Completion(text="\\boxed{0.33}"))
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail.startswith("the problem: spec.tolerance must be a number in [0, 1)")
    with pytest.raises(ValueError, match=r"spec\.tolerance"):
        Verifier().reference(problem)


def test_a_declared_tolerance_is_relative():
    assert outcome("200", "201", spec={"tolerance": 0.01}) is Outcome.CORRECT
    assert outcome("200", "203", spec={"tolerance": 0.01}) is not Outcome.CORRECT


@pytest.mark.parametrize("answer", [None, "", " ", "{", "}", "\\boxed{", "x" * 5000])
def test_a_reference_that_cannot_stand_in_a_box_is_refused(answer):
    problem = Problem(id="x", prompt="", answer=answer)
    with pytest.raises(ValueError):  # noqa: PT011  # every reason is as good
        Verifier().reference(problem)
    assert Verifier().verify(problem, Completion(text="\\boxed{5}")).outcome is Outcome.ERROR


_PIECES = [
    r"\frac{1}{2}", r"\pm", r"\infty", "(", ")", "[", "]", r"\{", r"\}", "{", "}", "|", ",", ";",
    ":", "=", "<", ">", r"\le", r"\ne", r"\approx", r"\equiv", r"\cup", r"\cap", r"\setminus",
    r"\in", r"\mathbb{R}", r"\mathbb{Z}", "x", "y", "k", r"\pi", "e", "i", "1", "2", "10", "0.5",
    "3/4", "^2", "^{", "_2", "_{10}", r"\sqrt", r"\log", r"\text{and}", r"\text{or}", r"\text{cm}",
    "%", r"\$", r"^\circ", r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\\", r"\begin{cases}",
    r"\pmod{7}", "!", r"\binom{5}{2}", r"\lfloor", r"\rfloor", r"\overline{3}", r"\ldots", "and",
    "or", "million", "hours", "f(x)", "(x,y)", r"\text{no solution}", r"\langle", "+", "-", "*",
    "/", "'", r"\to", r"\boxed{", r"\text{", "A", "(B)", "\u00bd", "\u221a",
]  # fmt: skip
_REFERENCES = [
    "5", r"\frac{1}{2}", "x^2+1", r"(-\infty,2]\cup(5,\infty)", r"\{1,2\}", "(1,2)", "y=2x+1",
    r"5 \text{ cm}", r"50\%", r"\frac{\pi}{4}+k\pi, k \in \mathbb{Z}", "3:5", "101_2", "Friday",
    r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"3 \pmod{7}", r"x=1,y=2", r"90^\circ", "2+3i",
]  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(_REFERENCES), st.lists(st.sampled_from(_PIECES), max_size=10), st.data())
def test_any_pieces_of_answers_are_judged(reference, pieces, data):
    text = data.draw(st.sampled_from(("", " "))).join(pieces)
    for problem_answer, answer in ((reference, text), (text, reference)):
        problem = Problem(id="x", prompt="Find $x$ in cm.", answer=problem_answer)
        judgement = Verifier().verify(problem, Completion(text=f"\\boxed{{{answer}}}"))
        assert judgement.detail
        assert judgement.outcome is not Outcome.ERROR or problem_answer is text


@pytest.mark.parametrize(
    "bomb",
    [
        "1+" * 500 + "1",
        "(" * 500 + "1" + ")" * 500,
        r"\frac{1}{" * 60 + "x" + "}" * 60,
        "1," * 1999 + "1",
        r"\pm" * 1000,
        r"\{" * 300 + "1" + r"\}" * 300,
        r"[1,2]\cup" * 60 + "[1,2]",
        "<".join("x" * 40),
        "x" + "^{x" * 20 + "}" * 20,
        "+".join(rf"\lfloor x+{i} \rfloor" for i in range(40)),
        "+".join(rf"\frac{{1}}{{{3000 + i}!}}" for i in range(40)),
        r"\text{ cm}" * 90,
        "e^{e^{e^{e^{x}}}}",
        "(((3!)!)!)!",
        "1e9999",
        r"2^{10^9} \bmod 7",
        "2 h " * 100,
        "|x" * 100 + "|" * 100,
    ],
)
@pytest.mark.parametrize("reference", ["5", "x^2+1", r"(-\infty,2]\cup(5,\infty)", "y=2x+1"])
def test_bombs_are_judged_and_not_accepted(reference, bomb):
    assert outcome(reference, bomb) in (Outcome.INCORRECT, Outcome.UNSURE)


@pytest.mark.parametrize(
    "answer",
    ["proof", "Proof.", "notfound", "Not found", r"\text{See the solution}", r"\boxed{proof}"],
)
def test_a_reference_that_says_there_is_no_answer_is_refused(answer):
    problem = Problem(id="x", prompt="Prove that it is so.", answer=answer)
    with pytest.raises(ValueError, match="says that there is no answer"):
        Verifier().reference(problem)
    echo = Verifier().verify(problem, Completion(text=r"So it is \boxed{proof}."))
    assert echo.outcome is Outcome.ERROR


@pytest.mark.parametrize("answer", ["None", "no solution", "Monday", "yes", "n", "Na", "p"])
def test_a_word_is_an_answer(answer):
    assert is_accepted(answer, answer)
