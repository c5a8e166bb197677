"""Signals: the first one ends in good order, the next one at once, however close they come."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import defaultdict

import pytest

from factory import cluster, run
from factory.crew import LocalReplica
from factory.crew.fence import Fence

PROGRAM = """
import asyncio, os, signal, sys, time
from factory.stopping import on_signal

async def main(numbers):
    on_signal(lambda: print("drains"), print, 5.0)
    for number in numbers:  # the loop comes to none of them before the last one
        os.kill(os.getpid(), number)
        time.sleep(0.05)
    await asyncio.sleep(0.5)
    print("lived")

asyncio.run(main([int(word) for word in sys.argv[1:]]))
"""
INT, TERM = signal.SIGINT, signal.SIGTERM


def after(*numbers: signal.Signals) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM, *(str(int(number)) for number in numbers)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [INT, TERM])
def test_the_first_signal_drains(number):
    done = after(number)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == ["drains", "lived"]


@pytest.mark.parametrize("numbers", [(INT, INT), (INT, TERM), (TERM, TERM)])
def test_a_second_one_ends_at_once_though_the_loop_was_busy(numbers):
    done = after(*numbers)
    assert -done.returncode in numbers
    assert "stopped at once" in done.stderr
    assert "lived" not in done.stdout


class NeverUp(LocalReplica):
    """A replica that loads for ever."""

    async def start(self):
        await asyncio.sleep(3600)


def test_a_stop_before_anybody_is_ready_says_so_and_waits_for_nobody(
    sums, tmp_path, monkeypatch, capfd
):
    def soon(stop, *_):
        asyncio.get_running_loop().call_later(0.1, stop)

    monkeypatch.setattr(run, "on_signal", soon)
    monkeypatch.setattr(
        run.LocalCrew, "make_replica", lambda self, name: NeverUp(self._recipe, name)
    )
    result = run.run(sums.recipe("limit=2"), tmp_path / "run", lambda _: None)
    assert result.dataset is None
    assert "no replica is ready, so nothing is being written" in capfd.readouterr().err


@pytest.mark.parametrize("ready", [False, True])
def test_only_a_replica_that_is_ready_has_time_to_end_in_good_order(sums, monkeypatch, ready):
    asked = []

    async def ask(actor, limit_s):
        asked.append(limit_s)

    monkeypatch.setattr(cluster, "_ask_to_stop", ask)
    replica = cluster.RayReplica(sums.recipe(), "replica-0", defaultdict(Fence), lambda _: None)
    replica._actor, replica._ready = object(), ready
    asyncio.run(replica.stop())
    assert (asked == [cluster._STOP_S]) == ready
    assert asked[0] >= 1
