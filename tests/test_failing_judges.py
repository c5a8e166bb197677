"""Judges and verifiers that fail whatever they are given: the run says so, and ends in time."""

from __future__ import annotations

import asyncio
import errno
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from factory import crew, run
from factory.cli import main
from factory.crew import backlog as backlog_module
from factory.crew import fence, fuse, muster, tending
from factory.crew.backlog import Backlog
from factory.crew.fence import Fence
from factory.crew.fuse import Fuse
from factory.errors import JudgingError, PluginError, SandboxError
from factory.ledger import scan
from factory.ledger.records import Closed
from factory.sandbox import process
from factory.types import Outcome, Problem, Rollout, Verdict
from factory.verdicts import Judge
from tests.test_containment import pair
from tests.test_run import quiet, rollouts

Pairs = Sequence[tuple[Problem, Rollout]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Back-off in hundredths, so that what is tested is its order and not the clock."""
    monkeypatch.setattr(fence, "FIRST_S", 0.01)
    monkeypatch.setattr(fence, "LONGEST_S", 0.05)
    monkeypatch.setattr(muster, "_PATIENCE_S", 0.0)


def raising(patch: Any, error: Exception, over: Callable[[Problem], bool]) -> list[int]:
    """Judges raise where a problem is among those; the size of each batch over which one did."""
    real, sizes = Judge.judge_many, []

    def judge_many(judge: Judge, pairs: Pairs) -> list[Verdict]:
        if any(over(problem) for problem, _ in pairs):
            sizes.append(len(pairs))
            raise error
        return real(judge, pairs)

    patch.setattr(Judge, "judge_many", judge_many)
    return sizes


def verdicts(folder: Path) -> list[Verdict]:
    return [r for r in scan(folder / "ledger") if isinstance(r, Verdict)]


def says(sums: Any, completions: Callable[[int], list[str]]) -> Path:
    """Sums judged by the faulty verifier, with these completions for each number."""
    rows = [json.loads(line) for line in sums.script.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        row["completions"] = completions(number)
    sums.write(sums.script, rows)
    path: Path = sums.folder / "faulty.yaml"
    text = sums.yaml().replace("name: math", "name: tests.verifiers.faulty")
    path.write_text(text, encoding="utf-8")
    return path


# one problem


def test_a_problem_over_which_judging_raises_is_set_aside(sums, tmp_path, monkeypatch, capfd):
    sizes = raising(monkeypatch, KeyError("outcome"), lambda p: p.prompt.startswith("What is 6 "))
    result = run.run(sums.recipe("limit=5", "policy.n=9"), tmp_path / "run", quiet)
    assert result.complete
    assert "no judge is at work" not in capfd.readouterr().err, "it is there, and answers"
    assert result.counts.closed == {"complete": 4, "set aside": 1}
    bad = [v for v in verdicts(tmp_path / "run") if v.outcome is Outcome.ERROR]
    assert len({v.problem_id for v in bad}) == 1
    assert {v.detail for v in bad} == {
        "judging failed 2 times over this rollout alone; the last: KeyError: 'outcome'"
    }
    assert result.counts.judged == 36, "every other rollout has its verdict"
    assert len(sizes) < 9 * 2 * 8
    (aside,) = (
        r for r in scan(tmp_path / "run" / "ledger") if isinstance(r, Closed) and ":" in r.reason
    )
    assert re.fullmatch(
        r"set aside: the checker failed on \d rollouts and judged none, the last outcome: error "
        r"\(math: judging failed 2 times over this rollout alone; the last: KeyError: 'outcome'\)",
        aside.reason,
    )


def test_a_problem_whose_verifier_raises_is_set_aside_with_what_it_said(sums, tmp_path, capfd):
    path = says(sums, lambda number: ["raise" if number == 1 else "no"])
    words = ["run", path, "--out", tmp_path / "run", "--limit", "3", "--set", "policy.n=9"]
    assert main([*map(str, words)]) == 1
    said = capfd.readouterr().err
    assert "1 problems were set aside" in said
    assert "(tests.verifiers.faulty: TypeError: no such thing (faulty.py:" in said


# every problem


@pytest.mark.parametrize("where", ["judge", "verifier"])
def test_a_verifier_that_fails_on_everything_ends_the_run(sums, tmp_path, monkeypatch, where):
    folder = tmp_path / "run"
    given = sums.recipe("policy.n=9")
    with monkeypatch.context() as patch:
        if where == "judge":
            raising(patch, KeyError("outcome"), lambda _: True)
            last = "KeyError: 'outcome'"
        else:
            patch.setattr(Judge, "_request", lambda *_: b'{"op": "verify", "verifier": "math"}')
            patch.setattr(Judge, "self_check_many", lambda _, problems: [None] * len(problems))
            last = "KeyError: 'problem'"
        with pytest.raises(JudgingError) as caught:
            run.run(given, folder, quiet)
    said = str(caught.value)
    assert re.search(r"verifier math could judge none of the last \d+ rollouts", said)
    assert last in said
    assert "the same command" in said
    assert "factory verify" in said
    made = rollouts(folder)
    bad = verdicts(folder)
    assert fuse.FAILURES <= len(bad) < fuse.FAILURES + 64
    assert {v.outcome for v in bad} == {Outcome.ERROR}

    result = run.run(given, folder, quiet, retry_set_aside=True)
    assert result.complete
    assert made.keys() <= rollouts(folder).keys()
    assert set(rollouts(folder).values()) == {1}
    assert len(rollouts(folder)) == 270, "what had been generated was not generated again"
    run.rejudge(folder, quiet)
    assert Counter(v.outcome for v in _last(folder).values())[Outcome.ERROR] == 0
    assert len(_last(folder)) == 270


def _last(folder: Path) -> dict[Any, Verdict]:
    return {v.key: v for v in verdicts(folder)}


def test_a_small_run_of_which_nothing_could_be_judged_has_not_succeeded(sums, tmp_path, capfd):
    path = says(sums, lambda _: ["raise"])
    assert main(["run", str(path), "--out", str(tmp_path / "run"), "--limit", "2"]) == 1
    said = capfd.readouterr().err
    assert "none of 12 rollouts could be judged" in said
    assert "factory verify" in said


def verdict(problem: int, outcome: Outcome, verifier: str = "math") -> Verdict:
    return Verdict(
        problem_id=f"p{problem}",
        index=0,
        outcome=outcome,
        reward=None,
        extracted=None,
        detail="boom",
        verifier=verifier,
        verifier_version="1",
    )


@examples(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(Outcome)), max_size=300))
def test_only_a_row_of_failures_over_many_problems_blows_the_fuse(told):
    one, row = Fuse(), []
    for problem, outcome in told:
        row = [*row, problem] if outcome in (Outcome.ERROR, Outcome.TIMEOUT) else []
        blown = one.blows([verdict(problem, outcome)])
        due = len(row) >= fuse.FAILURES and len(set(row)) >= fuse.PROBLEMS
        assert bool(blown) == due
        if due:
            assert f"the last {len(row)} rollouts" in str(blown)
            assert not one.blows([verdict(problem, outcome)]), "once is enough"
            return


def test_one_verifier_that_works_does_not_excuse_another():
    one = Fuse()
    for number in range(fuse.FAILURES - 1):
        assert not one.blows([verdict(number, Outcome.ERROR, "code")])
        assert not one.blows([verdict(number, Outcome.CORRECT, "math")])
    blown = one.blows([verdict(9, Outcome.ERROR, "code")])
    assert str(blown).startswith("verifier code could judge none")
    assert "boom" in str(blown)


# judges that are lost, over and over, and whose fault that is


def lost_all(backlog: Backlog, times: int) -> list[Verdict]:
    """Every judge is lost, each with a batch in hand, so many times in a row."""

    async def lose() -> list[Verdict]:
        given: list[Verdict] = []
        for _ in range(times):
            taken = [await backlog.take() for _ in range(len(backlog))]
            given += [v for batch in taken for v in backlog.lost(batch, "preempted")]
        return given

    return asyncio.run(lose())


def slow(count: int) -> Backlog:
    """So many rollouts of which each takes long, and is therefore judged alone."""
    backlog = Backlog("code")
    backlog.judged([replace(verdict(0, Outcome.CORRECT), seconds=60.0)])
    backlog.put(pair(number) for number in range(count))
    return backlog


def test_nobody_is_to_blame_where_all_judges_are_lost_again_and_again():
    backlog = slow(64)
    assert lost_all(backlog, 4) == []
    assert len(backlog) == 64


def test_rollouts_of_which_each_takes_its_judge_along_have_their_verdicts_in_the_end():
    backlog = slow(20)
    convicted = lost_all(backlog, backlog_module.LONELY)
    assert len({v.problem_id for v in convicted}) == len(convicted) == 20
    assert not len(backlog)
    assert re.match(r"\d judges were lost over this rollout alone", convicted[-1].detail)


# judges that cannot work


def test_judges_whose_sandbox_never_starts_again_end_the_run(sums, tmp_path, monkeypatch):
    tries = 0

    def judge_many(_: Judge, __: Pairs) -> list[Verdict]:
        nonlocal tries
        tries += 1
        raise SandboxError("the verifier process did not start: exited with code 1")

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "start", lambda _: None)
        patch.setattr(Judge, "judge_many", judge_many)
        with pytest.raises(SandboxError, match="did not start") as caught:
            run.run(sums.recipe("limit=4", "cluster.judges=2"), folder, quiet)
    assert re.search(r"judge-[01] has failed \d+ times in a row", str(caught.value))
    assert tending.TRIES_AT_WORK <= tries <= 2 * tending.TRIES_AT_WORK
    assert not verdicts(folder)
    assert len(rollouts(folder)) == 24
    assert run.run(sums.recipe("limit=4"), folder, quiet).complete
    assert len(rollouts(folder)) == len(verdicts(folder)) == 24


def test_a_machine_that_starts_no_process_for_a_while_is_no_rollouts_fault(
    sums, tmp_path, monkeypatch, capfd
):
    real, tries = process._spawn, 0

    def spawn(keys: Sequence[str]) -> Any:
        nonlocal tries
        tries += 1
        if 3 <= tries < 12:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(keys)

    def judge_many(judge: Judge, pairs: Pairs) -> list[Verdict]:
        judge._worker.close()  # as one does that has served for long
        return judged(judge, pairs)

    judged = Judge.judge_many
    monkeypatch.setattr(Judge, "judge_many", judge_many)
    monkeypatch.setattr(process, "_spawn", spawn)
    result = run.run(sums.recipe("limit=4"), tmp_path / "run", quiet)
    assert result.complete
    assert tries > 12
    assert result.counts.judged == 24
    assert "the verifier process did not start: Resource temporarily" in capfd.readouterr().err


def test_judging_again_with_a_verifier_that_fails_on_everything_stops(sums, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    before = run.run(sums.recipe(), folder, quiet).counts.outcomes
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "_request", lambda *_: b'{"op": "verify", "verifier": "math"}')
        with pytest.raises(JudgingError, match=r"verifier math could judge none"):
            run.rejudge(folder, quiet)
    spoilt = Counter(v.outcome for v in _last(folder).values())
    assert fuse.FAILURES <= spoilt[Outcome.ERROR] < fuse.FAILURES + 6
    assert run.rejudge(folder, quiet) == spoilt[Outcome.ERROR]
    assert Counter(v.outcome for v in _last(folder).values()) == before


def test_a_node_that_lacks_a_plug_in_does_not_end_what_works_elsewhere():
    lacks = PluginError("no verifier 'mine'")
    for kind in ("judge", "replica"):
        posts = tending._Beginning(2, kind)
        with pytest.raises(PluginError):
            posts.failed(f"{kind}-0", lacks, Fence(), "why")
        posts.came_up = True
        for _ in range(2 * tending.TRIES_AT_WORK):
            posts.failed(f"{kind}-0", lacks, Fence(), "why")
            posts.at_work()


@pytest.mark.parametrize("wrong", [SandboxError, PluginError])
def test_a_judge_that_cannot_work_is_no_matter_while_another_one_does(wrong):
    judges, post = tending._Beginning(2, "judge"), Fence()
    error = wrong("the verifier process did not start")
    judges.came_up = True
    for _ in range(3):
        for _ in range(tending.TRIES_AT_WORK - 1):
            post.lost()
            judges.failed("judge-0", error, post, "why")
        judges.at_work()
    for _ in range(tending.TRIES_AT_WORK - 1):
        judges.failed("judge-0", error, post, "why")
        judges.failed("judge-1", ConnectionError("its node is gone"), post, "gone")
    with pytest.raises(SandboxError, match=r"judge-0 has failed \d+ times in a row"):
        judges.failed("judge-0", error, post, "why")


def test_a_judge_that_cannot_even_be_made_ends_a_run_in_words(sums, tmp_path, monkeypatch):
    def make(_: crew.LocalCrew, __: str) -> Any:
        raise RuntimeError("no module named sympy")

    monkeypatch.setattr(crew.LocalCrew, "make_judge", make)
    with pytest.raises(SandboxError, match=r"no judge could be started.*no module named sympy"):
        run.run(sums.recipe(), tmp_path / "run", quiet)


class Actor:
    """A Ray actor of which a method answers with what it is given, or never."""

    def __init__(self, **answers: Any) -> None:
        self.asked: Counter[str] = Counter()
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        async def remote(*_: Any) -> Any:
            self.asked[name] += 1
            await asyncio.sleep(self._answers.get(name, 3600))
            return [verdict(1, Outcome.CORRECT)]

        return SimpleNamespace(remote=remote)


@pytest.mark.parametrize("answers", [{"judge": 0.3, "ping": 0.0}, {"ping": 3600}])
def test_a_judge_that_says_nothing_any_more_counts_as_lost(sums, monkeypatch, answers):
    cluster = pytest.importorskip("factory.cluster")
    monkeypatch.setattr(cluster, "_PING_S", 0.05)
    monkeypatch.setattr(cluster, "_PING_LIMIT_S", 0.1)
    judge = cluster.RayJudge(sums.recipe(), lambda _: None)
    judge._actor = actor = Actor(**answers)

    async def ask() -> list[Verdict]:
        async with asyncio.timeout(20):
            done: list[Verdict] = await judge.judge([])
            return done

    if "judge" in answers:  # it takes its time, and can be asked meanwhile
        assert asyncio.run(ask()) == [verdict(1, Outcome.CORRECT)]
        assert actor.asked["ping"] > 1
        return
    with pytest.raises(ConnectionError, match=r"no sign of life for 0\.1 s"):
        asyncio.run(ask())
