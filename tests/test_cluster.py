"""Runs on a real local Ray cluster: with the scripted engine, and with vLLM on the CPU."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import datasets
import psutil
import pytest

from factory.ledger import scan
from factory.ledger.records import Partial
from factory.report.progress import Snapshot
from factory.report.status import status
from factory.types import Rollout, Verdict
from tests.test_run import digests, rollouts

TRACES = ["factory.cluster", "EngineCore", "factory.sandbox.child", "raylet", "gcs_server"]


def command(recipe, folder, *more):
    return [sys.executable, "-m", "factory", "run", str(recipe), "--out", str(folder), *more]


def start(*words, log: Path):
    with log.open("wb") as file:
        return subprocess.Popen(list(map(str, words)), stdout=file, stderr=file)


def wait_for(condition, what, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def kill_tree(process) -> int:
    """SIGKILL a process and everything below it; how many that were."""
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in tree:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(tree, timeout=30)
    return len(tree)


def left_over(since: float) -> list[str]:
    """Processes of this module's runs that were started after `since` and are still there."""
    found = []
    for process in psutil.process_iter(["cmdline", "create_time", "environ", "ppid", "status"]):
        words = " ".join(process.info["cmdline"] or ())
        # A verifier's worker has an environment of its own: one that lost its parent counts.
        test = (process.info["environ"] or {}).get("PYTEST_CURRENT_TEST", "")
        ours = "test_cluster.py" in test or (not test and process.info["ppid"] == 1)
        young = ours and process.info["create_time"] >= since
        if young and process.info["status"] != "zombie" and any(t in words for t in TRACES):
            found.append(words[:120])
    return found


def test_ray_makes_the_dataset_that_one_process_makes(sums, tmp_path):
    since = time.time()
    more = ["--set", "cluster.backend=ray", "--set", "cluster.replicas=2", "--limit", "20"]
    more += ["--set", "engine.tokens_per_second=20", "--set", "engine.slots=16"]
    done = subprocess.run(
        command(sums.file(), tmp_path / "ray", *more), check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "replica-1 is ready" in done.stderr
    assert "accepted traces" in done.stdout
    local = command(sums.file(), tmp_path / "local", "--limit", "20")
    assert subprocess.run(local, check=False, capture_output=True).returncode == 0
    assert digests(tmp_path / "ray" / "dataset") == digests(tmp_path / "local" / "dataset")
    wait_for(lambda: not left_over(since), "Ray to be gone")


def test_a_killed_replica_is_replaced_and_its_work_handed_out_again(sums, tmp_path):
    slow = ["--set", "cluster.backend=ray", "--set", "engine.tokens_per_second=15"]
    process = start(*command(sums.file(), tmp_path / "run", *slow), log=tmp_path / "log")
    wait_for(lambda: len(rollouts(tmp_path / "run")) > 20, "rollouts")
    victims = [
        p
        for p in psutil.Process(process.pid).children(recursive=True)
        if "_ReplicaActor" in " ".join(p.cmdline())
    ]
    assert victims
    for victim in victims:
        victim.kill()
    assert process.wait(timeout=200) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    assert "is gone" in (tmp_path / "log").read_text(encoding="utf-8")
    counts = rollouts(tmp_path / "run")
    assert len(counts) == 180
    assert set(counts.values()) == {1}


def test_term_to_the_process_group_drains_before_ray_ends(sums, tmp_path):
    since = time.time()
    folder = tmp_path / "run"
    slow = ["--set", "cluster.backend=ray", "--set", "engine.tokens_per_second=6", "--limit", "6"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command(sums.file(), folder, *slow))),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_for(lambda: any(isinstance(r, Partial) for r in records(folder)), "logged tokens")
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=90) == 1
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "stopped; the same command goes on from here" in said
    assert "is gone" not in said
    assert "Traceback" not in said
    assert not (folder / "ledger" / "lock").exists()
    wait_for(lambda: not left_over(since), "Ray to be gone")


def test_term_to_every_process_of_the_job_drains_as_well(sums, tmp_path):
    """As Slurm sends it: Ray and the replica live until what was being written is on record."""
    since = time.time()
    folder = tmp_path / "run"
    slow = ["--set", "cluster.backend=ray", "--set", "engine.tokens_per_second=6", "--limit", "6"]
    job = command(sums.file(), folder, *slow)
    process = start(*job, "--set", "cluster.log_every=100000", log=tmp_path / "log")
    wait_for(lambda: running(folder) >= 16, "rollouts in flight")
    time.sleep(5)
    assert not any(isinstance(r, Partial) for r in records(folder)), "nothing is logged on the way"
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert {"raylet", "gcs_server"} <= {one.name() for one in family}
    for one in reversed(family):
        one.terminate()
    assert process.wait(timeout=120) == 1
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "stopped; the same command goes on from here" in said
    assert "replica-0 is gone" not in said
    assert "Traceback" not in said
    logged = {r.key: r.token_ids for r in records(folder) if isinstance(r, Partial)}
    assert len(logged) >= 8
    wait_for(lambda: not left_over(since), "Ray to be gone")

    again = start(*job, log=tmp_path / "log2")
    assert again.wait(timeout=200) == 0, (tmp_path / "log2").read_text(encoding="utf-8")
    texts = {r.key: r.completion.text for r in records(folder) if isinstance(r, Rollout)}
    assert len(texts) == 36
    for key, tokens in logged.items():
        assert texts[key].startswith("".join(map(chr, tokens)))


def running(folder):
    snapshot = Snapshot.read(folder)
    return snapshot.running if snapshot else 0


def records(folder):
    return scan(folder / "ledger") if (folder / "ledger").exists() else ()


def test_a_replica_larger_than_this_machine_is_an_error_at_once(sums, tmp_path, monkeypatch):
    """There is nothing to wait for on a cluster that was started for the run."""
    (tmp_path / "greedy").mkdir()
    (tmp_path / "greedy" / "engine.py").write_text(
        "from dataclasses import dataclass\n"
        "from factory.engines import Resources, scripted\n"
        "@dataclass(slots=True, kw_only=True)\n"
        "class Engine(scripted.Engine):\n"
        "    def resources(self):\n"
        "        return Resources(cpus=1, gpus=64)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    more = ["--set", "cluster.backend=ray", "--set", "engine.name=greedy.engine"]
    done = subprocess.run(
        command(sums.file(), tmp_path / "run", *more), check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "error: a replica needs 1 CPU + 64 GPU; this machine lacks" in done.stderr
    assert "cluster.address" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_a_run_whose_own_ray_died_says_so_and_goes_on_with_the_same_command(sums, tmp_path, victim):
    """At once, though its actors would take the dead raylet for alive, and live on."""
    since = time.time()
    slow = ["--set", "cluster.backend=ray", "--set", "engine.tokens_per_second=8"]
    job = command(sums.file(), tmp_path / "run", *slow)
    process = start(*job, log=tmp_path / "log")
    wait_for(lambda: len(rollouts(tmp_path / "run")) > 20, "rollouts")
    children = psutil.Process(process.pid).children()
    (part,) = [child for child in children if child.name() == victim]
    part.kill()
    assert process.wait(timeout=150) == 1, (tmp_path / "log").read_text(encoding="utf-8")
    wait_for(lambda: not left_over(since), "the actors to be gone", 20)
    assert "the Ray that this command had started has died" in (tmp_path / "log").read_text("utf-8")
    before = rollouts(tmp_path / "run")
    again = start(*job, log=tmp_path / "log2")
    assert again.wait(timeout=200) == 0, (tmp_path / "log2").read_text(encoding="utf-8")
    counts = rollouts(tmp_path / "run")
    assert before.keys() <= counts.keys()
    assert len(counts) == 180
    assert set(counts.values()) == {1}
    wait_for(lambda: not left_over(since), "everything to be gone")


def test_no_cluster_at_the_address_is_a_clear_error(sums, tmp_path):
    more = ["--set", "cluster.backend=ray", "--set", "cluster.address=127.0.0.1:1"]
    done = subprocess.run(
        command(sums.file(), tmp_path / "run", *more), check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "error: no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap: apt install bubblewrap")
def test_judges_on_a_cluster_have_a_sandbox_each(tmp_path):
    """One program hangs until its limit; the others are judged meanwhile."""
    more = ["--limit", "3", "--set", "cluster.backend=ray", "--set", "cluster.judges=2"]
    done = subprocess.run(
        command("pipelines/code-sandbox.yaml", tmp_path / "run", *more),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    verdicts = [r for r in scan(tmp_path / "run" / "ledger") if isinstance(r, Verdict)]
    assert {v.sandbox for v in verdicts if v.outcome.judged and v.extracted} == {"namespaces"}
    outcomes = Counter(v.outcome.value for v in verdicts)
    assert outcomes["correct"] >= 3
    assert outcomes["incorrect"] >= 3
    assert not outcomes["error"]


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_main_job_killed_in_the_middle_and_run_again(tmp_path):
    """The quickstart for real: vLLM in a Ray actor, kill -9 of the whole tree, the same command."""
    since = time.time()
    folder = tmp_path / "run"
    job = command("pipelines/quickstart.yaml", folder, "--limit", "120")
    process = start(*job, log=tmp_path / "log1")
    wait_for(lambda: len(rollouts(folder)) > 200, "rollouts")
    assert kill_tree(process) > 5
    wait_for(lambda: not left_over(since), "the killed tree to be gone")
    before = rollouts(folder)
    assert len(before) > 200
    judged = Counter(v.key for v in scan(folder / "ledger") if isinstance(v, Verdict))
    texts = {r.key: r for r in scan(folder / "ledger") if isinstance(r, Rollout)}
    assert any("interrupted" in line for line in status(folder))

    again = start(*job, log=tmp_path / "log2")
    assert again.wait(timeout=400) == 0, (tmp_path / "log2").read_text(encoding="utf-8")
    after = rollouts(folder)
    assert set(after.values()) == {1}, "a rollout was repeated"
    assert before.keys() <= after.keys(), "a rollout was lost"
    kept = {r.key: r for r in scan(folder / "ledger") if isinstance(r, Rollout)}
    assert all(kept[key] == rollout for key, rollout in texts.items())
    verdicts = Counter(v.key for v in scan(folder / "ledger") if isinstance(v, Verdict))
    assert set(verdicts.values()) == {1}
    assert judged.keys() <= verdicts.keys()

    loaded = datasets.load_dataset(
        str(folder / "dataset"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(loaded) > 0
    assert set(loaded["correct"]) == {True}
    assert all("</think>" in row["messages"][-1]["content"] for row in loaded)
    third = subprocess.run(job, check=False, capture_output=True, text=True)
    assert third.returncode == 0
    assert "nothing left to do" in third.stderr
    assert "replica-0 is ready" not in third.stderr
    wait_for(lambda: not left_over(since), "every process to be gone")


@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_driver_killed_alone_takes_everything_along(tmp_path):
    since = time.time()
    folder = tmp_path / "run"
    job = command("pipelines/quickstart.yaml", folder)
    process = start(*job, log=tmp_path / "log")
    wait_for(lambda: len(rollouts(folder)) > 50, "rollouts")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not left_over(since), "raylet, actors and engine to be gone")
