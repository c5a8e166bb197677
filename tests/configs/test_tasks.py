"""Problems to try, as TRL and verl take them."""

import json
from dataclasses import replace

import pytest

from factory.configs.tasks import RL
from factory.shards import bare_question
from factory.traces import Group, TraceOptions, select
from factory.types import Outcome, problem_id
from tests.configs.conftest import ORIGIN, PROBLEM, RIGHT, WRONG, judged


def rows(selection, origin=ORIGIN):
    return list(RL.rows(selection, origin, TraceOptions()))


def test_a_row_holds_what_both_trainers_and_the_verifier_read(selection):
    (row,) = rows(selection(("a", RIGHT), ("b", WRONG), ("c", WRONG), ("d", Outcome.ERROR)))
    assert set(row) == set(RL.schema.names)
    assert row["prompt"] == ORIGIN.ask(PROBLEM)
    assert (row["data_source"], row["ability"]) == ("sums.jsonl", "math")
    assert row["reward_model"] == {"style": "rule", "ground_truth": "4"}
    assert row["pass_rate"] == pytest.approx(1 / 3)
    assert row["num_generations"] == 4
    info = row["extra_info"]
    assert (info["split"], info["problem_id"], info["answer"]) == ("train", PROBLEM.id, "4")
    assert json.loads(info["verifier_options"]) == {"require_box": True}
    assert json.loads(info["spec"]) == {"tolerance": 0.1}
    assert set(info) == {field.name for field in RL.schema.field("extra_info").type}
    assert 0 <= info["index"] < 2**52


def test_a_problem_counts_whether_it_was_solved_or_not_but_not_untried(selection):
    (row,) = rows(selection(("a", WRONG)))
    assert row["pass_rate"] == 0
    (row,) = rows(selection(("a", None)))
    assert row["pass_rate"] is None
    assert rows(selection()) == []


def test_the_verifier_is_the_problems_own_or_the_recipes_first():
    unnamed = replace(PROBLEM, verifier="")
    made = select(Group(problem=unnamed, judged=[judged(0, "a", RIGHT)]), TraceOptions())
    first = replace(ORIGIN, verifiers={"exact": {}, "math": {}})
    assert rows(made, first)[0]["verifier"] == "exact"
    assert rows(made, replace(ORIGIN, verifiers={}))[0]["verifier"] == "math"
    named = select(Group(problem=PROBLEM, judged=[judged(0, "a", RIGHT)]), TraceOptions())
    assert rows(named, first)[0]["verifier"] == "math"
    assert rows(named, replace(ORIGIN, verifiers={}))[0]["extra_info"]["verifier_options"] == "{}"


def test_a_problem_without_a_reference_answer_has_an_empty_ground_truth():
    problem = replace(PROBLEM, answer=None, id=problem_id("other"))
    made = select(Group(problem=problem, judged=[judged(0, "a", RIGHT)]), TraceOptions())
    (row,) = rows(made, replace(ORIGIN, ask=bare_question))
    assert row["reward_model"]["ground_truth"] == ""
    assert (row["answer"], row["extra_info"]["answer"]) == (None, None)
