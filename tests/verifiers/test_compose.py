"""all_of, any_of, weighted: what the members' outcomes come to."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import plugins
from factory.errors import PluginError
from factory.types import Completion, Judgement, Outcome, Problem
from tests.verifiers import saying

SAYING = "tests.verifiers.saying"
UNJUDGED = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.UNSURE)
FAILED = (Outcome.INCORRECT, Outcome.UNPARSABLE)


def build(name: str, *members: dict[str, Any], **options: Any) -> Any:
    given = [{"name": SAYING, "part": str(n), **m} for n, m in enumerate(members)]
    return plugins.build("verifier", name, {"verifiers": given, **options})


def parts() -> Problem:
    """A problem with an empty part for each member."""
    return Problem(id="x", prompt="?", answer="right", spec={str(n): {} for n in range(9)})


def verify(name: str, outcomes: tuple[Outcome, ...], **options: Any) -> Judgement:
    verifier = build(name, *({"outcome": str(o), "label": f"m{o}"} for o in outcomes), **options)
    judgement: Judgement = verifier.verify(parts(), Completion(text="right"))
    return judgement


@pytest.mark.parametrize("outcomes", list(itertools.product(Outcome, repeat=3)))
def test_all_of_is_correct_where_all_are_and_failed_where_one_is(outcomes):
    outcome = verify("all_of", outcomes).outcome
    assert (outcome is Outcome.CORRECT) == (set(outcomes) == {Outcome.CORRECT})
    failures = [o for o in outcomes if o in FAILED]
    if failures:
        assert outcome is failures[0]
    elif outcome is not Outcome.CORRECT:
        assert outcome is next(o for o in UNJUDGED if o in outcomes)


@pytest.mark.parametrize("outcomes", list(itertools.product(Outcome, repeat=3)))
def test_any_of_is_correct_where_one_is_and_all_could_judge(outcomes):
    outcome = verify("any_of", outcomes).outcome
    unjudged = [o for o in UNJUDGED if o in outcomes]
    if unjudged:
        assert outcome is unjudged[0]
    elif Outcome.CORRECT in outcomes:
        assert outcome is Outcome.CORRECT
    else:
        both = Outcome.INCORRECT in outcomes
        assert outcome is (Outcome.INCORRECT if both else Outcome.UNPARSABLE)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("outcomes", list(itertools.product(Outcome, repeat=2)))
def test_weighted_has_a_mean_where_all_could_judge(outcomes, threshold):
    judgement = verify("weighted", outcomes, threshold=threshold)
    unjudged = [o for o in UNJUDGED if o in outcomes]
    if unjudged:
        assert judgement.outcome is unjudged[0]
        assert judgement.reward is None
        return
    mean = sum(o is Outcome.CORRECT for o in outcomes) / 2
    assert judgement.reward == mean
    assert (judgement.outcome is Outcome.CORRECT) == (mean >= threshold)


def test_all_of_asks_nobody_after_a_failure():
    said = {"a": "unsure", "b": "incorrect", "c": "correct"}
    members = [{"label": label, "outcome": outcome} for label, outcome in said.items()]
    saying.ASKED.clear()
    judgement = build("all_of", *members).verify(parts(), Completion(text=""))
    assert saying.ASKED == ["a", "b"]
    assert judgement.detail == (
        f"{SAYING} 0: unsure (so it was told); {SAYING} 1: incorrect (so it was told); "
        f"{SAYING} 2: not run"
    )
    assert judgement.extracted == "a"


@pytest.mark.parametrize("name", ["any_of", "weighted"])
def test_the_others_ask_everybody(name):
    saying.ASKED.clear()
    build(name, {"label": "a"}, {"label": "b", "outcome": "incorrect"}, {"label": "c"}).verify(
        parts(), Completion(text="")
    )
    assert saying.ASKED == ["a", "b", "c"]


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=5),
    st.integers(1, 10),
)
def test_weighted_means_are_exact(members, threshold):
    """In tenths, where floats would be off."""
    given = [{"weight": w / 10, "reward": r / 10, "outcome": "correct"} for w, r in members]
    judgement = build("weighted", *given, threshold=threshold / 10).verify(
        parts(), Completion(text="")
    )
    total, weights = sum(w * r for w, r in members), sum(w for w, _ in members)
    assert judgement.reward == pytest.approx(total / weights / 10)
    assert (judgement.outcome is Outcome.CORRECT) == (total >= threshold * weights)


@pytest.mark.parametrize("name", ["all_of", "any_of", "weighted"])
@pytest.mark.parametrize("reward", [2.0, -0.1, float("nan"), float("inf")])
def test_a_reward_out_of_range_is_the_checkers_error(name, reward):
    verifier = build(name, {"reward": reward}, {"reward": 0.0})
    judgement = verifier.verify(parts(), Completion(text=""))
    assert judgement.outcome is Outcome.ERROR
    assert "is not in [0, 1]" in judgement.detail


def test_a_member_gets_its_own_part_of_the_spec_else_all_of_it():
    def outcome(spec: dict[str, Any], *members: dict[str, Any]) -> Outcome:
        verifier = plugins.build("verifier", "all_of", {"verifiers": list(members)})
        problem = Problem(id="x", prompt="?", answer="right", spec=spec)
        judgement: Judgement = verifier.verify(problem, Completion(text=""))
        return judgement.outcome

    plain, part = {"name": SAYING}, {"name": SAYING, "part": "own"}
    assert outcome({"outcome": "unsure"}, plain) is Outcome.UNSURE
    assert outcome({"outcome": "unsure", SAYING: {}}, plain) is Outcome.CORRECT
    assert outcome({"outcome": "unsure", SAYING: "text"}, plain) is Outcome.UNSURE
    assert outcome({"outcome": "unsure", "own": {"outcome": "timeout"}}, part) is Outcome.TIMEOUT
    assert outcome({"outcome": "unsure"}, part) is Outcome.ERROR
    assert outcome({"own": {}, "outcome": "incorrect"}, part, plain) is Outcome.INCORRECT


def test_a_part_that_is_missing_is_named():
    verifier = build("any_of", {}, {})
    problem = Problem(id="x", prompt="?", answer="right", spec={"0": {}, "1": 5})
    judgement = verifier.verify(problem, Completion(text="right"))
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail.startswith("the problem: ")
    assert "spec.1 must be a mapping, got 5" in judgement.detail
    with pytest.raises(ValueError, match=r"spec\.1 must be a mapping"):
        verifier.reference(problem)


def test_version_limits_and_need_of_a_sandbox_come_from_the_members():
    verifier = build("weighted", {"limit_s": 2.5}, {"runs_code": True, "limit_s": 4.0})
    assert verifier.version == f"1 ({SAYING} 0 7, {SAYING} 1 7)"
    assert verifier.limit_s == 6.5
    assert verifier.runs_code
    nested = plugins.build(
        "verifier",
        "all_of",
        {"verifiers": [{"name": "exact"}, {"name": "any_of", "verifiers": [{"name": "choice"}]}]},
    )
    assert nested.version == "1 (exact 2, any_of 1 (choice 2))"
    assert (nested.limit_s, nested.runs_code) == (0.0, False)


def test_a_reference_is_one_that_the_whole_accepts():
    first = {"label": "a", "outcome": "incorrect", "accepts": "one"}
    second = {"label": "b", "outcome": "incorrect", "accepts": "two"}
    free = {"label": "c"}
    assert build("any_of", first, second).reference(parts()) == "one"
    assert build("all_of", first, free).reference(parts()) == "one"
    with pytest.raises(ValueError, match="no member's reference is accepted"):
        build("all_of", first, second).reference(parts())
    with pytest.raises(ValueError, match=f"{SAYING} 0: no answer"):
        build("any_of", first, second).reference(Problem(id="x", prompt="?", spec=parts().spec))


def test_perturbations_are_those_where_the_members_no_is_decisive():
    refuses = {"label": "a", "outcome": "incorrect"}
    passes = {"label": "b", "outcome": "correct"}

    def texts(name: str, *members: dict[str, Any], **options: Any) -> list[str]:
        return list(build(name, *members, **options).perturb(parts()))

    every = ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert texts("all_of", refuses, passes) == every
    # What `a` rejects, `b` accepts; what `b` says of its own is left to be found out.
    assert texts("any_of", refuses, passes) == ["b0", "b1", "b2"]
    assert texts("weighted", refuses, passes) == every
    assert texts("weighted", refuses, passes, threshold=0.5) == ["b0", "b1", "b2"]
    heavy = {**passes, "weight": 3.0}
    assert texts("weighted", refuses, heavy, threshold=0.5) == ["b0", "b1", "b2"]
    light = {**passes, "weight": 0.5}
    assert texts("weighted", refuses, light, threshold=0.5) == every


def test_long_and_ragged_details_stay_one_line():
    members = [{"detail": "x\n\n" * 1000} for _ in range(9)]
    detail = build("any_of", *members).verify(parts(), Completion(text="")).detail
    assert len(detail) <= 1000
    assert "\n" not in detail
    assert all(f"{SAYING} {n}: correct" in detail for n in range(9))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("all_of", {}, "verifiers: Field required"),
        ("all_of", {"verifiers": []}, "must name at least one"),
        ("all_of", {"verifiers": [{}]}, "number 1 needs a name, got {}"),
        ("all_of", {"verifiers": [{"name": "nope"}]}, "unknown verifier 'nope'; known: "),
        ("any_of", {"verifiers": [{"name": "exact", "x": 1}]}, "no option 'x'; options: "),
        ("any_of", {"verifiers": [{"name": "exact"}] * 2}, "exact stands twice"),
        ("any_of", {"verifiers": [{"name": "exact", "part": 1}]}, "part of exact must be a key"),
        ("any_of", {"verifiers": [{"name": "exact", "weight": 1}]}, "no option 'weight'"),
        ("weighted", {"verifiers": [{"name": "exact", "weight": 0}]}, "must be above 0, got 0"),
        ("weighted", {"verifiers": [{"name": "exact", "weight": "x"}]}, "must be a number"),
        ("weighted", {"verifiers": [{"name": "exact"}], "threshold": 0}, r"in (0, 1], got 0"),
        ("weighted", {"verifiers": [{"name": "exact"}], "members": []}, "no option 'members'"),
    ],
)
def test_bad_options_name_the_rule_and_the_value(name, options, words):
    with pytest.raises(PluginError) as caught:
        plugins.build("verifier", name, options)
    assert words in str(caught.value)
