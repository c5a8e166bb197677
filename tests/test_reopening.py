"""Problems that were set aside are tried again: nothing of them is lost, or counted twice."""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from factory import run
from factory.cli import main
from factory.crew import fence
from factory.engines import EngineDead, scripted
from factory.ledger import Ledger, reopening, scan, standing
from factory.ledger.records import Closed, Partial, Reopened
from factory.ledger.unfinished import OpenProblem
from factory.report.status import status
from factory.types import Completion, Outcome, Problem, Reject, Rollout, Verdict
from factory.verdicts import Judge
from tests.chaos import check, sweep
from tests.chaos.world import Clock, Later, in_one_thread

PID = "0123456789abcdef"


def rollout(index: int, finish: str = "stop", tokens: int = 5, **more: Any) -> Rollout:
    done = Completion(text=f"answer {index}", finish_reason=finish, num_tokens=tokens)
    return Rollout(problem_id=PID, index=index, model="m", completion=done, **more)


def verdict(index: int, outcome: Outcome, replaces: Outcome | None = None) -> Verdict:
    return Verdict(
        problem_id=PID,
        index=index,
        outcome=outcome,
        reward=None,
        extracted=None,
        detail="",
        verifier="v",
        verifier_version="1",
        replaces=replaces,
    )


def partial(index: int, start: int, *tokens: int) -> Partial:
    return Partial(problem_id=PID, index=index, start=start, token_ids=tokens)


ASIDE = [
    Problem(id=PID, prompt="q", source="f", source_id="1"),
    partial(2, 0, 7, 8),
    rollout(0),
    verdict(0, Outcome.CORRECT),
    rollout(1),
    verdict(1, Outcome.TIMEOUT),
    rollout(2, "abort", 3),
    rollout(3, "abort", 4, doomed="loop"),
    rollout(4, "abort", 0),
    Reject(source="f", row="1", rule="set_aside", reason="set aside: why", problem_id=PID),
    Closed(
        problem_id=PID,
        reason="set aside: why",
        correct=1,
        failed=1,
        ended=5,
        tokens=17,
        right_tokens=5,
    ),
]
"""One correct, one the checker failed on, two cut (one with logged tokens), one found doomed."""


def write(folder, records):
    with Ledger(folder) as ledger:
        for record in records:
            ledger.append(record)


def reopened(folder) -> int:
    with Ledger(folder) as ledger:
        return reopening.reopen(ledger)


@pytest.fixture(params=["log", "sealed"])
def folder(request, tmp_path):
    write(tmp_path, ASIDE)
    if request.param == "sealed":
        with Ledger(tmp_path) as ledger:
            ledger.seal()
    return tmp_path


def test_what_is_on_record_stays_and_what_was_cut_or_not_judged_goes_on(folder):
    assert reopened(folder) == 1
    state = standing.read(folder)
    problem = state.open[PID]
    assert problem.prefixes == {2: array("i", [7, 8]), 4: array("i")}
    assert (problem.correct, problem.unknown, problem.doomed) == (1, 0, 1)
    assert (problem.tokens, problem.right_tokens) == (14, 5)
    assert (sorted(problem.ended), [*problem.unjudged]) == ([0, 1, 3], [1])
    assert problem.doubted == {1: Outcome.TIMEOUT}
    assert (state.counts.aborted, state.counts.tokens) == (1, 14)
    assert not state.counts.closed
    assert not state.counts.rejects
    assert not state.counts.rejects_by_source
    assert state.pool.tokens == 0


def test_a_problem_is_not_opened_twice(folder):
    assert reopened(folder) == 1
    assert reopened(folder) == 0


def test_the_second_time_starts_from_what_the_first_one_came_to(folder):
    reopened(folder)
    again = [
        partial(2, 2, 9),
        verdict(1, Outcome.INCORRECT, Outcome.TIMEOUT),
        rollout(2, "stop", 6),
        verdict(2, Outcome.CORRECT),
        rollout(4, "abort", 2),
        *ASIDE[-2:],
    ]
    write(folder, again)
    assert reopened(folder) == 1
    last = [r for r in scan(folder) if isinstance(r, Reopened)][-1]
    assert (last.cut, last.cut_tokens) == (1, 2)
    problem = standing.read(folder).open[PID]
    assert (problem.correct, problem.incorrect, problem.unknown) == (2, 1, 0)
    assert [*problem.prefixes] == [4]
    assert not problem.unjudged
    assert not problem.doubted
    assert len(problem.ended) == len(set(problem.ended)) == 4


def test_what_was_finished_otherwise_stays_closed(tmp_path):
    for reason in ("enough", "refused: too long", "spent"):
        write(tmp_path, [ASIDE[0], Closed(problem_id=PID, reason=reason)])
        assert reopened(tmp_path) == 0


def test_a_verdict_after_the_reopening_replaces_the_one_that_told_nothing():
    problem = OpenProblem.reopened(ASIDE)
    problem.add(verdict(1, Outcome.CORRECT, Outcome.TIMEOUT))
    assert (problem.correct, problem.unknown, problem.right_tokens) == (2, 0, 10)
    assert not problem.doubted


def test_the_dataset_is_the_one_of_a_run_in_which_nothing_went_wrong(tmp_path):
    """To the byte, card and manifest included; the cut rollout goes on from its logged tokens."""
    (tmp_path / "files").mkdir()
    scenarios = {s.name: s for s in sweep.scenarios(tmp_path / "files")}
    plain, _ = scenarios["fresh"].bench(tmp_path)
    bench, before = scenarios["tried again"].bench(tmp_path)
    records = bench.records(before)
    cut = [r for r in records if isinstance(r, Rollout) and r.completion.finish_reason == "abort"]
    logged = {r.key for r in records if isinstance(r, Partial)}
    assert [r.key in logged for r in cut] == [True]
    assert plain.expected == bench.expected

    folder = bench.fresh(before)
    with in_one_thread(Clock(), Later()):
        result = bench.world.run(folder)
    assert result.counts.closed == {"complete": 3}
    assert not result.counts.rejects
    whole = {r.key: r for r in scan(folder / "ledger") if isinstance(r, Rollout)}
    assert whole[cut[0].key].restarts == 1
    assert not check.wrong(check.ledger(folder))
    assert check.repeated(check.ledger(folder)) == 0


def test_by_command_after_an_engine_that_died_of_one_problem(sums, tmp_path, monkeypatch, capsys):
    generate = scripted.Engine.generate
    poison = re.compile(r"What is 5\d ")

    async def dying(self: Any, request: Any) -> Any:
        if poison.match(request.messages[-1]["content"]):
            raise EngineDead("CUDA error: an illegal memory access was encountered")
        async for chunk in generate(self, request):
            yield chunk

    monkeypatch.setattr(fence, "LONGEST_S", 0.01)
    folder = tmp_path / "run"
    words = ["run", str(sums.file()), "--limit", "10", "--set", "policy.n=3", "--out", str(folder)]
    with monkeypatch.context() as patched:
        patched.setattr(scripted.Engine, "generate", dying)
        assert main(words) == 1
        assert "--retry-set-aside tries them again" in capsys.readouterr().err
        assert main(words) == 1, "the same command takes up nothing"
        assert main([*words, "--retry-set-aside"]) == 1, "it dies of it as before"
    reasons = Counter(r.reason[:9] for r in scan(folder / "ledger") if isinstance(r, Closed))
    assert reasons == {"complete": 9, "set aside": 2}
    assert "10 done (9 complete, 1 set aside)" in "\n".join(status(folder))
    capsys.readouterr()

    assert main([*words, "--retry-set-aside"]) == 0
    assert "1 problems that were set aside are open again" in capsys.readouterr().err
    lines = "\n".join(status(folder))
    assert "10 done (10 complete), 0 open" in lines
    assert "set aside" not in lines
    assert main([*words, "--retry-set-aside"]) == 0, "nothing is left to do"
    manifest = json.loads((folder / "dataset" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["counts"]["rollouts"] == 30
    assert not check.repeated(check.ledger(folder))


def test_what_a_verifier_hung_on_is_judged_again_and_not_generated_again(
    sums, tmp_path, monkeypatch
):
    """Eight failures set it aside; mended, all of its rollouts have a verdict that tells."""
    judge_many = Judge.judge_many

    def failing(self: Judge, pairs: Any) -> list[Verdict]:
        verdicts = judge_many(self, pairs)
        return [
            replaced(found, Outcome.TIMEOUT) if "What is 1" in str(problem.prompt) else found
            for (problem, _), found in zip(pairs, verdicts, strict=True)
        ]

    recipe = sums.recipe("limit=2", "policy.n=9")
    with monkeypatch.context() as patched:
        patched.setattr(Judge, "judge_many", failing)
        result = run.run(recipe, tmp_path / "run", lambda _: None)
    aside = result.counts.closed["set aside"]
    assert aside
    before = [r for r in scan(tmp_path / "run" / "ledger") if isinstance(r, Rollout)]
    ended = {r.key for r in before if r.completion.finish_reason != "abort"}

    result = run.run(recipe, tmp_path / "run", lambda _: None, retry_set_aside=True)
    assert result.counts.closed == {"complete": 2}
    assert result.counts.solved == 2
    assert result.counts.judged == sum(result.counts.outcomes.values()) == 18
    after = [r for r in scan(tmp_path / "run" / "ledger") if isinstance(r, Rollout)]
    assert [r.key for r in after[len(before) :] if r.key in ended] == []
    assert not check.wrong(check.ledger(tmp_path / "run"))
    assert not check.repeated(check.ledger(tmp_path / "run"))


def replaced(found: Verdict, outcome: Outcome) -> Verdict:
    return replace(found, outcome=outcome, reward=None, extracted=None)
