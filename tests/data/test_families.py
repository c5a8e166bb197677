"""Every answer is computed again from the text of the question, by other means than its family."""

import datetime
import math
import random
import re
from collections.abc import Callable
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conversations import training_conversations, training_problems, write_reply
from data.families import FAMILIES, LEVELS, STYLES, Problem, is_held_out
from data.families.everyday import MONTHS, WEEKDAYS

CELLS = [(family, level) for family in FAMILIES for level in LEVELS]
A_MONDAY = datetime.date(2024, 1, 1)


def integers(text: str) -> list[int]:
    """The unsigned whole numbers of a text in order."""
    return [int(run) for run in re.findall(r"\d+", text)]


def solve_addition(problem: Problem) -> str:
    return str(sum(integers(problem.prompt)))


def solve_subtraction(problem: Problem) -> str:
    first, second = integers(problem.prompt)
    swapped = re.match(r"Subtract|Take", problem.prompt)
    return str(second - first if swapped else first - second)


def solve_chain(problem: Problem) -> str:
    terms = re.findall(r"[+-]?\d+", problem.prompt.replace(" ", ""))
    return str(sum(map(int, terms)))


def solve_multiplication(problem: Problem) -> str:
    return str(math.prod(integers(problem.prompt)))


def solve_gcd(problem: Problem) -> str:
    a, b = integers(problem.prompt)
    return str(max(d for d in range(1, a + 1) if a % d == 0 and b % d == 0))


def solve_equation(problem: Problem) -> str:
    match = re.search(r"(?:: |Solve (?!for)|if |when )(.+?)(?: for [a-z])?[.?]?$", problem.prompt)
    assert match
    sides = match[1].split(" = ")
    roots = [x for x in range(-200, 200) if evaluate(sides[0], x) == evaluate(sides[1], x)]
    assert len(roots) == 1
    return str(roots[0])


def evaluate(side: str, x: int) -> int:
    """The value of a side such as `12x - 7`."""
    total = 0
    for sign, factor, letter in re.findall(r"([+-]?)(\d*)([xyznt]?)", side.replace(" ", "")):
        if factor or letter:
            value = int(factor or 1) * (x if letter else 1)
            total += -value if sign == "-" else value
    return total


def solve_power(problem: Problem) -> str:
    a, n, m = integers(problem.prompt)
    return str(math.prod([a] * n) % m)


def solve_base(problem: Problem) -> str:
    number, base = integers(problem.prompt)
    digits, _, suffix = problem.answer.partition("_")
    assert int(suffix) == base
    assert not digits.startswith("0")
    return problem.answer if int(digits, base) == number else "another number"


def solve_story(problem: Problem) -> str:
    a, b, *rest = integers(problem.prompt)
    less = re.search(r"gives \d+|lost|sells|takes", problem.prompt)
    if problem.level == 1:
        return str(a - b if less else a + b)
    if problem.level == 2:
        return str(a * b - rest[0] if less else a * b + rest[0])
    if "dollars" in problem.prompt:
        c, d, paid = rest
        return str(paid - a * b - c * d)
    extra, people = rest
    assert (a * b + extra) % people == 0
    return str((a * b + extra) // people)


def solve_sequence(problem: Problem) -> str:
    if problem.level == 3:
        return solve_recurrence(problem.prompt)
    terms = [int(run) for run in re.findall(r"-?\d+", problem.prompt)]
    differences = [b - a for a, b in pairwise(terms)]
    growths = [b - a for a, b in pairwise(differences)]
    if len(set(growths)) == 1:
        return str(terms[-1] + differences[-1] + growths[0])
    assert all(b * terms[0] == a * terms[1] for a, b in pairwise(terms))
    return str(terms[-1] * terms[1] // terms[0])


def solve_recurrence(prompt: str) -> str:
    if "two before it" in prompt or "two terms before it" in prompt:
        a, b, n = integers(prompt)
        for _ in range(n - 2):
            a, b = b, a + b
        return str(b)
    a, p, q, n = integers(prompt)
    # Closed form of x -> p x + q, applied n - 1 times.
    return str(a * p ** (n - 1) + q * (p ** (n - 1) - 1) // (p - 1))


def solve_weekday(problem: Problem) -> str:
    day = next(day for day in WEEKDAYS if day in problem.prompt)
    if problem.level == 3:
        months = list(MONTHS)
        dates = [
            datetime.date(2023, months.index(month) + 1, int(number))
            for number, month in re.findall(rf"(\d+) ({'|'.join(months)})", problem.prompt)
        ]
        offset = (dates[1] - dates[0]).days
        assert offset > 0
    else:
        (offset,) = integers(problem.prompt)
        if re.search(r"ago|before|earlier", problem.prompt):
            offset = -offset
    start = A_MONDAY + datetime.timedelta(days=WEEKDAYS.index(day))
    return f"{start + datetime.timedelta(days=offset):%A}"


def solve_sorting(problem: Problem) -> str:
    numbers = [int(run) for run in re.findall(r"-?\d+", problem.prompt)]
    assert len(set(numbers)) == len(numbers)
    return str(tuple(sorted(numbers)))


SOLVERS: dict[str, Callable[[Problem], str]] = {
    name: globals()[f"solve_{name}"] for name in FAMILIES
}


@pytest.mark.parametrize(("family", "level"), CELLS)
def test_answers_are_right(family: str, level: int) -> None:
    rng = random.Random(f"{family} {level}")
    for _ in range(200):
        problem = FAMILIES[family](rng, level)
        assert (problem.family, problem.level) == (family, level)
        assert SOLVERS[family](problem) == problem.answer, problem.prompt


@pytest.mark.parametrize(("family", "level"), CELLS)
def test_every_equality_in_a_working_holds(family: str, level: int) -> None:
    rng = random.Random(f"{family} {level}")
    checked = 0
    for _ in range(100):
        problem = FAMILIES[family](rng, level)
        for style in ("steps", "careful"):
            checked += check_lines(problem.workings[style])
    # Sorting and comparing words are the families without arithmetic in their working.
    assert checked or family == "sorting"


def check_lines(working: str) -> int:
    """Assert each `expression=expression` and `expression mod m = r`; how many there were."""
    checked = 0
    for statement in re.split(r"\n|, |: ", working):
        equality = re.fullmatch(r"([-+*/()\d]+)=([-+*\d]+)( borrow)?", statement)
        remainder = re.fullmatch(r"(?:.* )?([\d*]+) mod (\d+) = (\d+)", statement)
        if equality:
            # The arithmetic characters above are all that can reach eval.
            assert eval(equality[1]) == eval(equality[2]), statement
        elif remainder:
            assert eval(remainder[1]) % int(remainder[2]) == int(remainder[3]), statement
        checked += bool(equality or remainder)
    return checked


@given(seed=st.integers(0, 2**32), cell=st.sampled_from(CELLS))
@settings(deadline=None, derandomize=True)
def test_the_seed_decides_everything(seed: int, cell: tuple[str, int]) -> None:
    family, level = cell
    first, second = (FAMILIES[family](random.Random(seed), level) for _ in range(2))
    assert first == second
    assert set(first.workings) == set(STYLES)


@given(seed=st.integers(0, 2**32), cell=st.sampled_from(CELLS))
@settings(deadline=None, derandomize=True)
def test_replies_have_one_form(seed: int, cell: tuple[str, int]) -> None:
    family, level = cell
    problem = FAMILIES[family](random.Random(seed), level)
    for style in STYLES:
        reply = write_reply(problem, style)
        ending = f"\n</think>\n\nThe answer is \\boxed{{{problem.answer}}}."
        assert reply.startswith("<think>\n")
        assert reply.endswith(ending)
        assert reply.count("<think>") == reply.count("</think>") == reply.count("\\boxed") == 1


FORMS = {"base": r"\d+_\d", "sorting": r"\(-?\d+(, -?\d+)+\)", "weekday": "|".join(WEEKDAYS)}


@pytest.mark.parametrize(("family", "level"), CELLS)
def test_answers_have_the_form_a_verifier_expects(family: str, level: int) -> None:
    rng = random.Random(1)
    for _ in range(50):
        answer = FAMILIES[family](rng, level).answer
        assert re.fullmatch(FORMS.get(family, r"-?\d+"), answer)


def test_held_out_share_is_about_one_in_sixteen() -> None:
    rng = random.Random(2)
    problems = [FAMILIES[family](rng, level) for family, level in CELLS for _ in range(200)]
    share = sum(map(is_held_out, problems)) / len(problems)
    assert 0.05 < share < 0.075


def test_wording_does_not_move_a_problem_across_the_split() -> None:
    rng = random.Random(3)
    answers: dict[tuple[str, str], tuple[str, bool]] = {}
    prompts: dict[tuple[str, str], set[str]] = {}
    for _ in range(3000):
        for family in ("power", "gcd", "weekday", "multiplication"):
            problem = FAMILIES[family](rng, 1)
            key = (family, problem.key)
            outcome = (problem.answer, is_held_out(problem))
            assert answers.setdefault(key, outcome) == outcome
            prompts.setdefault(key, set()).add(problem.prompt)
    assert max(map(len, prompts.values())) >= 3


def test_training_draws_no_held_out_problem() -> None:
    for problem in islice(training_problems(random.Random(4)), 3000):
        assert not is_held_out(problem)


def test_training_conversations_repeat_with_the_seed() -> None:
    assert list(training_conversations(5, 200)) == list(training_conversations(5, 200))
    assert list(training_conversations(5, 50)) != list(training_conversations(6, 50))
    systems = sum(len(c.messages) == 2 for c in training_conversations(5, 2000))
    assert 300 < systems < 500
