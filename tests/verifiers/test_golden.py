"""Every golden case of every verifier, judged in a real worker process."""

import json
from pathlib import Path
from typing import Any

import pytest

import verifiers
from factory import plugins
from factory.types import Completion, Outcome, Problem, Rollout
from factory.verdicts import Judge

GOLDEN = Path(verifiers.__file__).parent / "golden"


def cases(name: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def problem(case: dict[str, Any]) -> Problem:
    fields = {k: v for k, v in case.items() if k not in ("completion", "outcome", "category")}
    return Problem(**{"id": "golden", "prompt": "", **fields})


@pytest.mark.parametrize("name", plugins.names("verifier"))
def test_golden_cases(name):
    golden = cases(name)
    pairs = []
    for n, case in enumerate(golden):
        completion = Completion(text=case["completion"])
        pairs.append(
            (
                problem(case),
                Rollout(problem_id="golden", index=n, model="m", completion=completion),
            )
        )
    with Judge({name: {}}, default=name, timeout_s=20) as judge:
        verdicts = judge.judge_many(pairs)
    wrong = []
    for case, verdict in zip(golden, verdicts, strict=True):
        wanted = case["outcome"]
        if wanted == "not_correct":
            fine = verdict.outcome in set(Outcome) - {
                Outcome.CORRECT,
                Outcome.ERROR,
                Outcome.TIMEOUT,
            }
        else:
            fine = verdict.outcome == wanted
        if not fine:
            wrong.append(
                f"{case['answer']!r:.60} <- {case['completion'][-80:]!r}: wanted {wanted}, "
                f"got {verdict.outcome} ({verdict.detail})"
            )
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", plugins.names("verifier"))
def test_golden_cases_cover_both_sides(name):
    outcomes = {case["outcome"] for case in cases(name)}
    assert "correct" in outcomes
    assert outcomes & {"incorrect", "unparsable", "not_correct"}


def test_every_golden_file_has_its_verifier():
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} <= set(plugins.names("verifier"))
