"""The statements in `data/proofs`: what is written is what they are, end to end as well."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.proofs import make
from factory import cli, sandbox
from factory.errors import SandboxError
from factory.types import Completion, Outcome, Problem, Rollout
from factory.verdicts import Judge
from verifiers import _proof_coq

FOLDER = Path("data/proofs")
WORTH = {
    "Solution": Outcome.CORRECT,
    "Right": Outcome.CORRECT,
    "Wrong": Outcome.INCORRECT,
    "Unsure": Outcome.UNSURE,
}


def _missing() -> str:
    if not all(os.access(path, os.X_OK) for path in (_proof_coq.COQC, _proof_coq.COQCHK)):
        return f"needs Coq: {_proof_coq.INSTALL}"
    try:
        with sandbox.open_sandbox():
            return ""
    except SandboxError as error:
        return str(error)


@pytest.fixture(scope="module")
def _needed():
    if reason := _missing():
        pytest.skip(reason)
    yield
    sandbox.close()


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def expected(name: str) -> list[Outcome]:
    """What each reply is worth, by its heading."""
    found = [WORTH[heading.partition(":")[0]] for heading, _ in make.read(name).answers]
    return [*found, Outcome.UNPARSABLE]


@pytest.mark.parametrize("name", ["problems.jsonl", "replies.jsonl"])
def test_the_files_are_what_the_script_writes(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == make.files()[name]


def test_the_readme_has_its_figures():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    replies = sum(len(row["completions"]) for row in rows("replies.jsonl"))
    assert f"{len(make.names())} statements in Coq and {replies} replies" in readme
    assert all(f"`{name}`" in readme for name in make.names())


def test_every_statement_has_both_sides():
    for name in make.names():
        assert expected(name).count(Outcome.CORRECT) >= 2
        assert expected(name).count(Outcome.INCORRECT) >= 2


@pytest.mark.usefixtures("_needed")
def test_every_reply_is_judged_as_its_heading_says():
    pairs, wanted = [], []
    for row, replies in zip(rows("problems.jsonl"), rows("replies.jsonl"), strict=True):
        assert row["prompt"] == replies["prompt"]
        problem = Problem(id=row["id"], prompt=row["prompt"], spec=row["spec"])
        for text in replies["completions"]:
            completion = Completion(text=text)
            rollout = Rollout(problem_id=problem.id, index=0, model="m", completion=completion)
            pairs.append((problem, rollout))
        wanted += [(row["id"], outcome) for outcome in expected(row["id"])]
    with Judge({"proof": {}}, default="proof") as judge:
        verdicts = judge.judge_many(pairs)
    assert [(v.problem_id, v.outcome) for v in verdicts] == wanted


@pytest.mark.usefixtures("_needed")
def test_the_recipe_runs_and_keeps_proofs_alone(tmp_path):
    out, few = tmp_path / "run", tmp_path / "problems.jsonl"
    few.write_text(make.lines(map(make.problem, ("add_swap", "de_morgan"))), encoding="utf-8")
    changes = ["--set", f"sources.0.path={few}"]
    assert cli.main(["run", "pipelines/proofs.yaml", "--out", str(out), *changes]) == 0
    kept = pq.read_table(out / "dataset" / "data").to_pylist()
    right = {
        (problem["prompt"], text)
        for problem, replies in zip(rows("problems.jsonl"), rows("replies.jsonl"), strict=True)
        for text, worth in zip(replies["completions"], expected(problem["id"]), strict=True)
        if worth is Outcome.CORRECT
    }
    assert len(kept) >= 2
    assert {(row["problem"], row["messages"][-1]["content"]) for row in kept} <= right
    assert {row["verifier"] for row in kept} == {"proof"}
