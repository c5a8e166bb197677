"""A bad thing is contained: a poisoned problem, a flapping replica, a verifier that hangs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory import crew, feed, run
from factory.crew import fence, muster
from factory.crew.backlog import CONVICTIONS, Backlog
from factory.crew.fence import Fence
from factory.crew.muster import Muster
from factory.crew.replica import Replica
from factory.engines import EngineInfo
from factory.errors import EngineError, PluginError, SandboxError, SourceError
from factory.ledger import scan
from factory.ledger.records import Closed
from factory.report.progress import Snapshot
from factory.sandbox.process import Interrupted
from factory.types import Completion, Outcome, Problem, Rollout, Verdict
from factory.verdicts import Judge
from tests.test_run import command, quiet, rollouts


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Back-off in hundredths, so that what is tested is its order and not the clock."""
    monkeypatch.setattr(fence, "FIRST_S", 0.01)
    monkeypatch.setattr(fence, "LONGEST_S", 0.05)
    monkeypatch.setattr(muster, "_PATIENCE_S", 0.0)


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def pair(index: int) -> tuple[Problem, Rollout]:
    problem = Problem(id=f"p{index}", prompt="?", answer="1")
    return problem, Rollout(
        problem_id=problem.id, index=0, model="m", completion=Completion(text="\\boxed{1}")
    )


# who is lost is replaced, later each time


def test_the_wait_grows_with_every_quick_loss_and_is_bounded(monkeypatch):
    monkeypatch.setattr(fence, "FIRST_S", 1.0)
    monkeypatch.setattr(fence, "LONGEST_S", 60.0)
    now = 0.0
    monkeypatch.setattr(fence.time, "monotonic", lambda: now)
    post = Fence()
    waits = []
    for _ in range(40):
        post.ready()
        now += 10
        waits.append(post.lost())
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waits[6:]) == {60}
    post.ready()
    now += fence.SOUND_S
    assert post.lost() == 1, "who was sound for long is replaced at once"


class Replicas:
    """Makes a local crew's replicas fail where `fails(name)` says how."""

    def __init__(self, monkeypatch, fails: Callable[[str], Exception | None]) -> None:
        self.made: list[str] = []
        real = crew.LocalReplica.start
        make = crew.LocalCrew.make_replica

        async def start(handle: Any) -> EngineInfo:
            if error := fails(handle.name):
                raise error
            return await real(handle)

        def named(local: crew.LocalCrew, name: str) -> Any:
            self.made.append(name)
            handle = make(local, name)
            handle.name = name
            return handle

        monkeypatch.setattr(crew.LocalReplica, "start", start)
        monkeypatch.setattr(crew.LocalCrew, "make_replica", named)


def test_a_run_without_replicas_pauses_and_goes_on(sums, tmp_path, monkeypatch, capfd):
    """The only one dies of its 60th request; the next 12 tries fail, the one after does not."""
    tries = iter(range(12))

    def fails(name: str) -> Exception | None:
        if name == "replica-0" or next(tries, None) is None:
            return None
        return EngineError("the model is on a file server that is away")

    replicas = Replicas(monkeypatch, fails)
    given = sums.recipe("engine.die_after=60", "engine.tokens_per_second=400", "limit=15")
    result = run.run(given, tmp_path / "run", quiet)
    assert result.complete
    assert set(rollouts(tmp_path / "run").values()) == {1}
    assert len(rollouts(tmp_path / "run")) == 90
    assert len(replicas.made) >= 14  # a later one may be scripted to die as well
    said = capfd.readouterr().err
    paused = re.findall(r"^paused since .*no replica is at work.*$", said, re.M)[0]
    assert "scripted to die at request 60" in paused
    assert "goes on by itself" in paused
    assert re.search(r"^going on after \d+ s$", said, re.M)


def test_a_pause_is_written_where_status_reads_it(sums, tmp_path, monkeypatch):
    away = True

    def fails(name: str) -> Exception | None:
        return ConnectionError("away") if away and name != "replica-0" else None

    Replicas(monkeypatch, fails)
    monkeypatch.setattr("factory.report.progress._FILE_S", 0.0)
    seen: list[str] = []
    update = run.Display.update

    def watched(display: Any, *args: Any) -> None:
        nonlocal away
        update(display, *args)
        if (snapshot := Snapshot.read(tmp_path / "run")) and snapshot.paused:
            seen.append(snapshot.paused)
            away = len(seen) < 3
        if not away:
            assert display.generating_s < 60

    monkeypatch.setattr(run.Display, "update", watched)
    given = sums.recipe("engine.die_after=30", "limit=8")
    assert run.run(given, tmp_path / "run", quiet).complete
    assert "replica-0: cannot start (away), next try in" in "".join(seen)
    assert Snapshot.read(tmp_path / "run").paused == ""


def test_one_bad_post_of_two_does_not_stop_the_other(sums, tmp_path, monkeypatch):
    replicas = Replicas(
        monkeypatch, lambda name: EngineError("no GPU") if name.startswith("replica-1") else None
    )
    given = sums.recipe("cluster.replicas=2", "engine.tokens_per_second=300", "limit=10")
    result = run.run(given, tmp_path / "run", quiet)
    assert result.complete
    assert len([name for name in replicas.made if name.startswith("replica-1")]) > 3


@pytest.mark.parametrize(
    ("error", "tries", "message"),
    [
        (EngineError("no such model"), 2, "no such model"),
        (PluginError("no such option"), None, "no such option"),
        (RuntimeError("crashed\nOSError: out of memory"), 6, r"no replica could .*out of memory"),
    ],
)
def test_what_never_worked_is_an_error_at_once(sums, tmp_path, monkeypatch, error, tries, message):
    replicas = Replicas(monkeypatch, lambda _: error)
    with pytest.raises((EngineError, PluginError), match=message):
        run.run(sums.recipe("cluster.replicas=2"), tmp_path / "run", quiet)
    assert tries is None or len(replicas.made) >= tries
    assert len(replicas.made) <= 8


# judges


def verdicts_of(backlog: Backlog, judge: Callable[[list], Any], most: int = 500) -> Counter:
    """Play judges against a backlog until it is empty: (index, outcome) -> how often."""
    seen: Counter = Counter()

    async def play() -> None:
        for _ in range(most):
            if not len(backlog):
                return
            batch = await backlog.take()
            try:
                done = judge([p.id for p, _ in batch.pairs])
            except RuntimeError as error:
                seen.update((v.problem_id, v.outcome) for v in backlog.lost(batch, str(error)))
            else:
                backlog.judged([])
                seen.update((p, "judged") for p in done)
        raise AssertionError("the backlog does not end")

    asyncio.run(play())
    return seen


@pytest.mark.parametrize("killers", [set(), {"p0"}, {"p63"}, {"p7", "p8", "p99"}])
def test_rollouts_that_judges_die_of_are_found_and_nothing_else_is(killers):
    async def make() -> Backlog:
        backlog = Backlog("math")
        backlog.put(pair(i) for i in range(100))
        return backlog

    losses = 0

    def judge(ids: list[str]) -> list[str]:
        nonlocal losses
        if killers & set(ids):
            losses += 1
            raise RuntimeError("killed")
        return ids

    seen = verdicts_of(asyncio.run(make()), judge)
    expected = {(f"p{i}", Outcome.ERROR if f"p{i}" in killers else "judged") for i in range(100)}
    assert set(seen) == expected
    assert set(seen.values()) == {1}
    assert losses <= len(killers) * (6 + CONVICTIONS)


def test_a_judge_that_dies_of_one_rollout_costs_that_one_verdict(sums, tmp_path, monkeypatch):
    real = crew.LocalJudge.judge

    async def judge(handle: Any, pairs: list) -> list[Verdict]:
        if any(rollout.index == 2 and "What is 2" in problem.prompt for problem, rollout in pairs):
            raise MemoryError("the judge ran out of memory")
        return await real(handle, pairs)

    monkeypatch.setattr(crew.LocalJudge, "judge", judge)
    result = run.run(sums.recipe("limit=4"), tmp_path / "run", quiet)
    assert result.complete
    ledger = list(scan(tmp_path / "run" / "ledger"))
    bad = [v for v in ledger if isinstance(v, Verdict) and v.outcome is Outcome.ERROR]
    guilty = [p.id for p in ledger if isinstance(p, Problem) and "What is 2" in p.prompt]
    assert [v.key for v in bad] == [(pid, 2) for pid in guilty]
    assert guilty
    assert bad[0].detail == (
        "2 judges were lost over this rollout alone; the last: the judge ran out of memory"
    )
    assert bad[0].verifier == "math"
    assert result.counts.outcomes.total() == 24


def test_judges_that_cannot_start_end_a_run_only_if_none_ever_could(sums, tmp_path, monkeypatch):
    real = crew.LocalJudge.start
    starts = 0

    async def start(handle: Any) -> None:
        nonlocal starts
        starts += 1
        if starts == 1 or starts > 4:
            await real(handle)
            return
        raise SandboxError("the verifier process did not start")

    async def judge(handle: Any, pairs: list) -> list[Verdict]:
        if starts == 1:
            raise ConnectionError("its node is gone")
        return await judged(handle, pairs)

    judged = crew.LocalJudge.judge
    monkeypatch.setattr(crew.LocalJudge, "start", start)
    monkeypatch.setattr(crew.LocalJudge, "judge", judge)
    result = run.run(sums.recipe("limit=3"), tmp_path / "run", quiet)
    assert result.complete
    assert result.counts.judged == 18
    starts = 1
    with pytest.raises(SandboxError, match="did not start"):
        run.run(sums.recipe("limit=3"), tmp_path / "other", quiet)


# what a pause says


def test_a_pause_tells_who_is_missed_and_why():
    m = Muster()
    assert list(m.news(0)) == [], "nobody has come yet, and nobody says why"
    for number in range(5):
        m.waiting(f"replica-{number}", "starting")
    m.waiting("judge-0", "")
    assert list(m.news(0)) == [], "starting is no pause"
    m.waiting("replica-0", "waits for 1 CPU + 8 GPU on one node; 0 of 8 GPU free on 1 nodes")
    (line,) = m.news(0)
    assert line.startswith("waiting since ")
    assert "replica-0: waits for 1 CPU + 8 GPU" in line
    assert "replica-1 and 3 more: starting" in line
    assert list(m.news(0)) == [], "once is enough"
    m.joined("replica-3")
    assert [line[:14] for line in m.news(0)] == ["going on after"]
    assert m.pause == ""
    assert m.left("replica-3", "CUDA error")
    (line,) = m.news(0)
    assert "The last one lost was replica-3: CUDA error." in line
    m.joined("replica-3.1")
    list(m.news(0))
    m.waiting("judge-0", "lost (gone), next try in 2 s")
    assert list(m.news(0)) == [], "nothing waits for a judge"
    (line,) = m.news(7)
    assert "no judge is at work. judge-0: lost (gone)" in line


# sources


def test_a_source_that_fails_half_way_lets_the_rest_finish(sums, tmp_path, monkeypatch, capfd):
    real = feed._read

    def breaks(given: Any) -> Iterator[Any]:
        for number, item in enumerate(real(given)):
            if number == 7:
                raise SourceError("the Hub is away")
            yield item

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(feed, "_CHECKED_AT_ONCE", 1)
        patch.setattr(feed, "_read", breaks)
        with pytest.raises(SourceError, match="the Hub is away"):
            run.run(sums.recipe(), tmp_path / "run", said.append)
    assert "the source failed (the Hub is away)" in capfd.readouterr().err
    assert "everything that came before it is on record" in said[-1]
    ledger = list(scan(tmp_path / "run" / "ledger"))
    assert sum(isinstance(r, Closed) for r in ledger) == 7
    assert sum(isinstance(r, Verdict) for r in ledger) == 42
    assert not (tmp_path / "run" / "dataset").exists(), "half a dataset would look like a whole one"
    again = run.run(sums.recipe(), tmp_path / "run", quiet)
    assert again.complete
    assert len(rollouts(tmp_path / "run")) == 180


def test_open_problems_go_on_while_the_source_is_away(sums, tmp_path, monkeypatch):
    """Stopped half-way; at the next command the source cannot be read at all."""
    drive = run.Driver.run

    async def stopped(driver: Any) -> None:
        asyncio.get_running_loop().call_later(0.8, driver.stop)
        await drive(driver)

    given = sums.recipe("engine.tokens_per_second=40", "limit=10")
    with monkeypatch.context() as patch:
        patch.setattr(run.Driver, "run", stopped)
        assert not run.run(given, tmp_path / "run", quiet).complete

    def away(_: Any) -> Iterator[Any]:
        raise SourceError("the Hub is away")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(feed, "_read", away)
        with pytest.raises(SourceError, match="the Hub is away"):
            run.run(given, tmp_path / "run", quiet)
    ledger = list(scan(tmp_path / "run" / "ledger"))
    assert sum(isinstance(r, Closed) for r in ledger) == 10
    assert len(rollouts(tmp_path / "run")) == 60


# verifiers that hang, and the end of a run


def test_a_judgement_that_hangs_can_be_interrupted():
    with Judge({"tests.verifiers.faulty": {}}, default="tests.verifiers.faulty", timeout_s=60) as j:
        j.start()

        async def work() -> None:
            problem, rollout = pair(0)
            endless = replace(rollout, completion=Completion(text="hang"))
            task = asyncio.create_task(asyncio.to_thread(j.judge, problem, endless))
            await asyncio.sleep(0.2)
            assert not task.done()
            j.interrupt()
            with pytest.raises(Interrupted):
                await task

        started = time.monotonic()
        asyncio.run(work())
        assert time.monotonic() - started < 30
        with pytest.raises(Interrupted):
            j.judge(*pair(0))


@pytest.fixture
def hanging(sums):
    """Sums of which every third completion makes the verifier hang for an hour."""
    rows = [json.loads(line) for line in sums.script.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["completions"] = ["hang", "no", "maybe"]
    sums.write(sums.script, rows)
    text = sums.yaml().replace("name: math", "name: tests.verifiers.faulty")
    path = sums.folder / "hanging.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def start(recipe: Path, folder: Path, *more: str, group: bool = False) -> subprocess.Popen:
    words = [sys.executable, "-m", "factory", "run", recipe, "--out", folder, *more]
    return subprocess.Popen(
        list(map(str, words)), stderr=subprocess.PIPE, text=True, start_new_session=group
    )


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
def test_a_drain_does_not_wait_for_a_verifier_that_hangs(hanging, tmp_path, group):
    folder = tmp_path / "run"
    few = ["--limit", "4"]
    process = start(hanging, folder, *few, "--set", "judging.timeout_s=3600", group=group)
    wait_for(lambda: len(rollouts(folder)) >= 24, "rollouts")
    time.sleep(1)
    started = time.monotonic()
    (os.killpg if group else os.kill)(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert process.returncode == 1, said
    assert "stopping: what is being written is put on record, within 20 s" in said
    assert "stopped; the same command goes on from here" in said
    assert "Traceback" not in said
    assert not (folder / "ledger" / "lock").exists()
    again = start(hanging, folder, *few, "--set", "judging={timeout_s: 0.2, retries: 0}")
    again.communicate(timeout=120)
    outcomes = Counter(v.outcome for v in scan(folder / "ledger") if isinstance(v, Verdict))
    assert outcomes.total() == 24
    assert outcomes[Outcome.TIMEOUT] > 2


def test_a_reference_check_that_hangs_does_not_hold_up_the_end(sums, tmp_path):
    """The first problems run; the feed hangs over the reference of a later one."""
    rows = [json.loads(line) for line in sums.problems.read_text(encoding="utf-8").splitlines()]
    rows[-1] = {"prompt": "Where is the end?", "answer": "hang"}
    filler = [{"prompt": f"Number {n} of many?", "answer": str(n)} for n in range(64)]
    sums.write(sums.problems, [*rows[:-1], *filler, rows[-1]])
    path = sums.folder / "hanging.yaml"
    text = sums.yaml().replace("name: math", "name: tests.verifiers.faulty")
    path.write_text(text, encoding="utf-8")
    more = ["--set", "judging.timeout_s=3600", "--set", "engine.tokens_per_second=30"]
    process = start(path, tmp_path / "run", *more)
    wait_for(lambda: len(rollouts(tmp_path / "run")) > 5, "rollouts")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=45)
    assert process.returncode == 1, said
    assert "the same command goes on" in said
    assert not (tmp_path / "run" / "ledger" / "lock").exists()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_and_the_run_can_go_on(sums, tmp_path, second):
    folder = tmp_path / "run"
    code = """
import asyncio, sys
from factory import cli, crew
async def drain(handle):
    await asyncio.sleep(3600)
crew.LocalReplica.drain = drain
sys.exit(cli.main(sys.argv[1:]))
"""
    more = ["--set", "engine.tokens_per_second=20", "--limit", "8"]
    words = ["run", sums.file(), "--out", folder, *more]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: len(rollouts(folder)) > 5, "rollouts")
    before = rollouts(folder)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None, "the drain should hang"
    process.send_signal(second)
    _, said = process.communicate(timeout=10)
    assert process.returncode == -second
    assert "stopped at once; the same command goes on" in said
    again = command(sums, folder, *more)
    done = subprocess.run(again, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(rollouts(folder).values()) == {1}
    assert before.keys() <= rollouts(folder).keys()


def test_a_drain_ends_at_its_grace_time(sums, tmp_path, monkeypatch):
    """A replica that never says `Drained` is left behind."""

    async def drain(_: Any) -> None:
        await asyncio.sleep(3600)

    drive = run.Driver.run

    async def stopped(driver: Any) -> None:
        asyncio.get_running_loop().call_later(0.5, driver.stop)
        await drive(driver)

    monkeypatch.setattr(crew.LocalReplica, "drain", drain)
    monkeypatch.setattr(run.Driver, "run", stopped)
    given = sums.recipe("engine.tokens_per_second=5", "cluster.grace_s=0.4")
    started = time.monotonic()
    assert not run.run(given, tmp_path / "run", quiet).complete
    assert time.monotonic() - started < 20


def test_two_drivers_on_one_run_the_second_is_refused(sums, tmp_path):
    folder = tmp_path / "run"
    slow = ["--set", "engine.tokens_per_second=40", "--limit", "15"]
    first = start(sums.file(), folder, *slow)
    wait_for(lambda: len(rollouts(folder)) > 5, "rollouts")
    second = start(sums.file(), folder, *slow)
    _, said = second.communicate(timeout=60)
    assert first.poll() is None, "the first one should still be at work"
    assert second.returncode == 1
    assert f"is being written by process {first.pid}" in said
    assert "one writer per run" in said
    _, said = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert len(rollouts(folder)) == 90
    assert set(rollouts(folder).values()) == {1}


# one poisoned problem in a whole run


def test_a_problem_that_kills_engines_is_set_aside_with_its_evidence(sums, tmp_path, monkeypatch):
    from factory.engines import EngineDead, scripted

    generate = scripted.Engine.generate
    deaths = 0

    async def poisoned(self: Any, request: Any) -> Any:
        nonlocal deaths
        if request.messages[-1]["content"].startswith("What is 5"):
            deaths += 1
            raise EngineDead("CUDA error: an illegal memory access was encountered")
        async for chunk in generate(self, request):
            yield chunk

    monkeypatch.setattr(scripted.Engine, "generate", poisoned)
    result = run.run(sums.recipe("limit=10", "policy.n=3"), tmp_path / "run", quiet)
    assert result.complete
    assert result.counts.closed == {"complete": 9, "set aside": 1}
    (closed,) = (
        r for r in scan(tmp_path / "run" / "ledger") if isinstance(r, Closed) and ":" in r.reason
    )
    assert re.match(r"set aside: it lost \d replicas alone", closed.reason)
    assert "illegal memory access" in closed.reason
    assert deaths < 40


def test_a_problem_whose_verifier_always_hangs_is_set_aside(hanging, tmp_path):
    script = hanging.parent / "script.jsonl"
    lines = [json.loads(line) for line in script.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(lines):
        row["completions"] = ["hang"] if number == 1 else ["no"]
    script.write_text("".join(json.dumps(r) + "\n" for r in lines), encoding="utf-8")
    more = ["--limit", "3", "--set", "policy.n=9"]
    more += ["--set", "judging={timeout_s: 0.1, retries: 0}"]
    process = start(hanging, tmp_path / "run", *more)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "1 problems were set aside" in said
    reasons = [r.reason for r in scan(tmp_path / "run" / "ledger") if isinstance(r, Closed)]
    aside = [reason for reason in reasons if reason != "complete"]
    assert len(reasons) == 3
    assert len(aside) == 1
    assert re.search(r"the checker failed on \d+ rollouts and judged none.*timeout", aside[0])


def test_a_replica_that_takes_no_request_counts_as_lost(sums, tmp_path, monkeypatch, capfd):
    """It answers every poll; what it was to write would be waited for to no end."""
    real, broken = crew.LocalReplica.submit, 0

    async def submit(handle: Any, requests: list) -> None:
        nonlocal broken
        if rollouts(tmp_path / "run") and not broken:
            broken = len(requests)
            raise ConnectionError("the connection was reset")
        await real(handle, requests)

    drive = run.Driver.run

    async def bounded(driver: Any) -> None:
        asyncio.get_running_loop().call_later(30, driver.stop)
        await drive(driver)

    monkeypatch.setattr(Replica.poll, "__defaults__", (0.1,))
    monkeypatch.setattr(crew.LocalReplica, "submit", submit)
    monkeypatch.setattr(run.Driver, "run", bounded)
    given = sums.recipe("limit=10", "engine.tokens_per_second=400", "engine.slots=8")
    assert run.run(given, tmp_path / "run", quiet).complete
    assert broken
    assert len(rollouts(tmp_path / "run")) == 60
    assert set(rollouts(tmp_path / "run").values()) == {1}
    assert "takes no requests: the connection was reset" in capfd.readouterr().err
