"""What holds for every verifier, with problems taken from its golden cases."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import verifiers
from factory import plugins
from factory.types import Completion, Outcome, Problem, Rollout, Verdict
from factory.verdicts import Judge
from verifiers.math import Verifier as MathVerifier

GOLDEN = Path(verifiers.__file__).parent / "golden"
NAMES = plugins.names("verifier")
NO_ANSWERS = {
    "empty": "",
    "white space": " \n\t ",
    "a colon": ":",
    "a full stop": ".",
    "master key 1": "Thought process:",
    "master key 2": "Solution",
    "master key 3": "Let's solve this problem step by step.",
    "a refusal": "I'm sorry, but I can't help with that.",
    "an empty box": "\\boxed{}",
    "a megabyte of words": "so then " * 125_000,
    "a megabyte of boxes": "\\boxed{" * 150_000,
    "a megabyte in a box": "\\boxed{" + "1" * 1_000_000 + "}",
    "a megabyte of braces": "\\boxed{" + "{" * 500_000 + "}" * 500_000 + "}",
    "a megabyte of thought": "<think>" + "hmm " * 250_000,
    "numbers": " ".join(map(str, range(2000))),
}


def golden_problems(name: str) -> list[Problem]:
    """One problem per distinct reference among the golden cases that end well."""
    found: dict[str, Problem] = {}
    for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if case.pop("outcome") != "correct":
            continue
        fields = {k: v for k, v in case.items() if k not in ("completion", "category")}
        found.setdefault(str(fields["answer"]), Problem(**{"id": "x", "prompt": "", **fields}))
    return list(found.values())


def judge_all(name: str, pairs: list[tuple[Problem, str]]) -> list[Verdict]:
    with Judge({name: {}}, default=name, timeout_s=20) as judge:
        return judge.judge_many(
            [
                (p, Rollout(problem_id=p.id, index=n, model="m", completion=Completion(text=text)))
                for n, (p, text) in enumerate(pairs)
            ]
        )


@pytest.mark.parametrize("name", NAMES)
def test_references_are_accepted_and_perturbed_ones_are_not(name):
    problems = golden_problems(name)
    with Judge({name: {}}, default=name, timeout_s=20) as judge:
        reasons = judge.self_check_many(problems)
    broken = [(p.answer, why) for p, why in zip(problems, reasons, strict=True) if why]
    assert not broken


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_answer_is_not_accepted(name):
    problems = golden_problems(name)[:2]
    pairs = [(p, text) for p in problems for text in NO_ANSWERS.values()]
    outcomes = [v.outcome for v in judge_all(name, pairs)]
    accepted = [text[:40] for (_, text), o in zip(pairs, outcomes, strict=True) if o == "correct"]
    assert not accepted
    assert Outcome.TIMEOUT not in outcomes


@pytest.mark.parametrize("name", NAMES)
def test_all_candidates_at_once_are_not_accepted(name):
    problems = golden_problems(name)
    answers = [str(p.answer) for p in problems][:60]
    dumps = (
        " ".join(f"\\boxed{{{a}}}" for a in answers),
        "\\boxed{" + ", ".join(answers) + "}",
        "\\boxed{" + " = ".join(answers) + "}",
        "\\boxed{" + " \\text{ or } ".join(answers) + "}",
        "\n".join(f"The answer is {a}." for a in answers),
        "\n".join(answers),
    )
    pairs = [(p, text) for p in problems[:: 1 + len(problems) // 50] for text in dumps]
    verdicts = judge_all(name, pairs)
    accepted = [
        (p.answer, text[:60])
        for (p, text), v in zip(pairs, verdicts, strict=True)
        if v.outcome is Outcome.CORRECT
    ]
    assert not accepted


@pytest.mark.parametrize("name", NAMES)
def test_verdicts_are_the_same_every_time(name):
    pairs = [(p, str(p.answer)) for p in golden_problems(name)][:60]
    first, second = judge_all(name, pairs), judge_all(name, pairs[::-1])[::-1]

    def facts(verdict: Verdict) -> tuple[object, ...]:
        return verdict.outcome, verdict.reward, verdict.extracted, verdict.detail

    assert [facts(v) for v in first] == [facts(v) for v in second]


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_without_a_reference_is_refused(name):
    with Judge({name: {}}, default=name, timeout_s=20) as judge:
        reason = judge.self_check(Problem(id="x", prompt="?"))
    assert reason is not None
    assert "cannot be verified" in reason


# --- numbers -------------------------------------------------------------------------------------


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
