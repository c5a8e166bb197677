"""The programming problems in `data/code`: what is written is what they are, end to end as well."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.code import make
from data.code.tests import TESTS
from factory import cli
from factory.types import Completion, Outcome, Problem, Rollout
from factory.verdicts import Judge

FOLDER = Path("data/code")


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def expected(name: str) -> list[Outcome]:
    """What each reply is worth, by its heading."""
    headings = [heading for heading, _, _ in make.read(name).sections if heading != "Checker"]
    worth = [Outcome.INCORRECT if h.startswith("Wrong: ") else Outcome.CORRECT for h in headings]
    return [*worth, Outcome.UNPARSABLE]


@pytest.mark.parametrize("name", ["problems.jsonl", "replies.jsonl"])
def test_the_files_are_what_the_script_writes(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == make.files()[name]


def test_every_text_has_its_tests_and_the_readme_its_figures():
    assert {path.stem for path in (FOLDER / "texts").glob("*.md")} == set(TESTS)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    replies = sum(len(row["completions"]) for row in rows("replies.jsonl"))
    assert f"{len(TESTS)} problems and {replies} replies" in readme
    assert all(f"`{name}`" in readme for name in TESTS)


@pytest.mark.parametrize("verifier", ["code"])
def test_every_reply_is_judged_as_its_heading_says(verifier):
    pairs, wanted = [], []
    for row, replies in zip(rows("problems.jsonl"), rows("replies.jsonl"), strict=True):
        assert row["prompt"] == replies["prompt"]
        problem = Problem(id=row["id"], prompt=row["prompt"], spec=row["spec"])
        for text in replies["completions"]:
            completion = Completion(text=text)
            rollout = Rollout(problem_id=problem.id, index=0, model="m", completion=completion)
            pairs.append((problem, rollout))
        wanted += [(row["id"], outcome) for outcome in expected(row["id"])]
    with Judge({verifier: {}}, default=verifier) as judge:
        verdicts = judge.judge_many(pairs)
    assert [(v.problem_id, v.outcome) for v in verdicts] == wanted
    assert {outcome for _, outcome in wanted} == {
        Outcome.CORRECT,
        Outcome.INCORRECT,
        Outcome.UNPARSABLE,
    }


@pytest.mark.parametrize("verifier", ["code"])
def test_the_recipe_runs_and_keeps_right_programs_alone(verifier, tmp_path):
    out = tmp_path / "run"
    command = ["run", "pipelines/code-sandbox.yaml", "--out", str(out), "--set", "policy.n=6"]
    assert cli.main(command) == 0
    kept = pq.read_table(out / "dataset" / "data").to_pylist()
    right = {
        (problem["prompt"], text)
        for problem, replies in zip(rows("problems.jsonl"), rows("replies.jsonl"), strict=True)
        for text, worth in zip(replies["completions"], expected(problem["id"]), strict=True)
        if worth is Outcome.CORRECT
    }
    assert len(kept) >= len(TESTS)
    assert {(row["problem"], row["messages"][-1]["content"]) for row in kept} <= right
    assert {row["verifier"] for row in kept} == {verifier}
