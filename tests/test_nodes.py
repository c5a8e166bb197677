"""A Ray cluster of several nodes on this machine: nodes come and go while a run works.

Each node is a raylet of its own; the run is a process of its own that joins by address. After every
trial: each rollout is in the ledger exactly once with exactly one verdict, and the run is complete.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from factory.cluster import RayReplica
from factory.crew.fence import Fence
from factory.engines import Resources
from factory.ledger import scan
from factory.types import Rollout, Verdict

PROBLEMS = 16


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs nothing, so that every other node may go."""
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20},
    )
    yield made
    made.shutdown()


def add_node(cluster: Cluster, cpus: int = 2) -> Any:
    return cluster.add_node(num_cpus=cpus, object_store_memory=80 << 20, wait=True)


def remove_all(cluster: Cluster) -> None:
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node, allow_graceful=False)
    cluster.wait_for_nodes()  # the head learns of it a moment later


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[list[Any]]:
    """Two nodes of two CPUs each; whatever a trial leaves is removed behind it."""
    there = [add_node(cluster) for _ in range(2)]
    yield there
    remove_all(cluster)


@pytest.fixture
def launch(sums, tmp_path, cluster) -> Iterator[Callable[..., Run]]:
    """Starts a run on the cluster; one that is left behind by a failure is killed."""
    runs: list[Run] = []

    def begin(*more: str) -> Run:
        runs.append(Run(sums, tmp_path, cluster.address, *more))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait()


class Run:
    """`factory run` on the cluster, as a process."""

    def __init__(self, sums: Any, folder: Path, address: str, *more: str) -> None:
        self.folder = folder / "run"
        self._log = folder / "log"
        words = [sys.executable, "-m", "factory", "run", sums.file(), "--out", self.folder]
        options = [
            f"cluster={{backend: ray, address: '{address}', replicas: 2, judges: 2}}",
            "engine.tokens_per_second=12",
            "engine.slots=12",
            *more,
        ]
        for option in options:
            words += ["--set", option]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*map(str, words), "--limit", str(PROBLEMS)], stdout=log, stderr=log
            )

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, condition: Callable[[], Any], what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.said}"
            assert self.process.poll() is None, f"it ended before {what}:\n{self.said}"
            time.sleep(0.2)

    def rollouts(self) -> Counter:
        if not (self.folder / "ledger").exists():
            return Counter()
        return Counter(r.key for r in scan(self.folder / "ledger") if isinstance(r, Rollout))

    def finish(self) -> None:
        """Wait for its end, and check what it left."""
        assert self.process.wait(timeout=200) == 0, self.said
        counts = self.rollouts()
        assert len(counts) == PROBLEMS * 6, "a rollout is lost"
        assert set(counts.values()) == {1}, "a rollout is there twice"
        verdicts = Counter(v.key for v in scan(self.folder / "ledger") if isinstance(v, Verdict))
        assert verdicts == counts


def actors_of(kind: str, node: Any = None) -> list[psutil.Process]:
    """Actor processes of a kind, on one node or on all of this machine that this test started."""
    found = []
    roots = [psutil.Process(node.all_processes["raylet"][0].process.pid)] if node else []
    pool = roots[0].children(recursive=True) if roots else psutil.process_iter()
    for process in pool:
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if words.startswith("ray::") and kind in words:
            found.append(process)
    return found


def busy(run: Run, count: int = 10) -> None:
    run.wait_for(lambda: len(run.rollouts()) >= count, f"{count} rollouts")


def test_killed_actors_and_a_node_that_goes_take_nothing_along(launch, cluster, nodes):
    """One replica, one judge, then everything that was on a node."""
    run = launch("cluster.replicas=3")
    busy(run)
    for kind in ("_ReplicaActor", "_JudgeActor"):

        def victims(kind: str = kind) -> list[psutil.Process]:
            return [p for node in nodes for p in actors_of(kind, node)]

        run.wait_for(victims, f"a {kind}")
        victims()[0].kill()
    run.wait_for(lambda: "is gone" in run.said, "the loss to be noticed")
    busy(run, 30)
    cluster.remove_node(nodes[0], allow_graceful=False)
    add_node(cluster)
    run.finish()


def test_without_any_node_the_run_waits_says_for_what_and_goes_on(launch, cluster):
    run = launch()
    run.wait_for(lambda: "waits for" in run.said, "a reason")
    assert "waiting since" in run.said
    assert "waits for 0.5 CPU on one node; 0 of 0 CPU free" in run.said
    assert "no node is large enough, so it waits for one that is" in run.said
    only = add_node(cluster, cpus=4)
    busy(run)
    cluster.remove_node(only, allow_graceful=False)
    run.wait_for(lambda: "paused since" in run.said, "a pause")
    before = run.rollouts()
    add_node(cluster, cpus=4)
    run.finish()
    assert before.keys() <= run.rollouts().keys()
    assert "going on after" in run.said
    remove_all(cluster)


def test_a_node_that_keeps_losing_replicas_is_avoided(sums, cluster, nodes):
    """The fences decide where a replica is placed, as long as there is room elsewhere."""
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    try:
        bad = nodes[0].node_id
        fences: defaultdict[str, Fence] = defaultdict(Fence)
        for _ in range(3):
            fences[bad].lost()
        given = sums.recipe("cluster={backend: ray, address: auto}")

        async def place() -> list[list[str]]:
            found = []
            for number in range(3):
                replica = RayReplica(given, f"replica-{number}", fences, lambda _: None)
                await replica._place(Resources(cpus=1))
                found.append(replica._nodes)
                if number < 2:
                    continue
                await replica.stop()
            return found

        first, second, third = asyncio.run(place())
        assert bad not in (*first, *second)
        assert third == [bad], "a bad place is better than none"
    finally:
        ray.shutdown()
