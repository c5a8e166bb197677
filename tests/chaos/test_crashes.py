"""Thousands of faults: after each, the same command ends as if nothing had been.

The numbers of trials are asserted from below, so that a harness that looks away fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import datasets
import pytest

from benchmarks import chaos
from tests.chaos import messages, real, sweep
from tests.chaos.check import readable
from tests.chaos.disk import read_tree
from tests.chaos.sweep import Scenario
from tests.chaos.trials import Trial, crash_states
from tests.chaos.world import COMPACTED

CRASHES = {
    "fresh": 600,
    "sealing late": 650,
    "resumed": 530,
    "resumed twice": 540,
    "grown": 450,
    "dying engine": 830,
    "adaptive": 350,
    "judged again": 280,
    "tried again": 500,
}
"""At least so many different crash states of each scenario."""
MOST_WRITTEN_AGAIN = 0.1
"""Of all tokens, in runs of nine rollouts of which each trial interrupts one to four."""


def scenario(name: str, place: Path) -> Scenario:
    return next(s for s in sweep.scenarios(place / "files") if s.name == name)


def passed(found: Iterable[Trial]) -> list[Trial]:
    """All of them, when all are as they must be; the first bad ones are shown."""
    trials = list(found)
    bad = [trial for trial in trials if not trial.passed]
    assert not bad, "\n".join(map(repr, bad[:5])) + f"\n{len(bad)} of {len(trials)}"
    return trials


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CRASHES)
def test_nothing_is_lost_or_repeated_wherever_the_process_or_the_machine_dies(name, place):
    trials = passed(sweep.crashes(scenario(name, place), place, some=3))
    assert len(trials) >= CRASHES[name]
    assert {trial.kind for trial in trials} >= {"death", "torn", "power: holes"}
    total = sum(trial.tokens for trial in trials)
    assert sum(trial.written_again for trial in trials) < MOST_WRITTEN_AGAIN * total


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["fresh", "resumed twice", "grown"])
def test_a_disk_that_is_full_or_broken_stops_the_run_and_loses_nothing(name, place):
    trials = passed(sweep.live(scenario(name, place), place, every=12))
    assert len(trials) >= 100
    assert {t.kind.partition(",")[0] for t in trials} == {kind for kind, _ in sweep.LIVE}


@pytest.mark.timeout(900)
def test_messages_are_lost_or_late_and_clocks_jump(place):
    kinds = messages.OF_HANDLES + messages.OF_NEWS
    bench, _ = scenario("fresh", place).bench(place)
    trials = passed(messages.trials(bench, kinds))
    bench, _ = scenario("dying engine", place).bench(place)
    trials += passed(messages.trials(bench, kinds, every=4))
    assert len(trials) >= 150
    assert {trial.kind for trial in trials} == set(kinds)
    assert any("judge" in trial.where for trial in trials)
    assert any("poll" in trial.where for trial in trials)


def test_the_harness_sees_every_call_and_the_run_makes_every_sort(place):
    late = scenario("sealing late", place)
    bench, start = late.bench(place)
    recording = bench.record(start, lag=late.lag)
    sweep.check_recording(recording)
    done = {op.kind for op in recording.ops}
    assert done == {
        *("create", "mkdir", "write", "fsync", "rename", "link", "unlink"),
        *("acted", "tokens"),
    } | (done & {"truncate", "rmdir", "failed"})
    sealed = [op for op in recording.ops if op.kind == "rename" and "ledger/" in op.target]
    assert len(sealed) > COMPACTED
    assert any("-" in op.target for op in sealed), "no sealed files were put into one"
    assert any(op.target.endswith("train-00000.parquet") for op in recording.ops)
    assert any(op.target == "dataset" for op in recording.ops)


def test_a_death_that_was_made_up_is_one_that_happens(place):
    """The process really dies at some calls, and leaves what the model says it does."""
    fresh = scenario("fresh", place)
    bench, start = fresh.bench(place)
    recording = bench.record(start)
    states = {state.position: state.tree for state in crash_states(recording, ["death"])}
    positions = [n for n, op in enumerate(recording.ops) if op.on_disk]
    for site in range(0, recording.sites, 9):
        met = bench.record(start, fault=sweep.Fault(kind="die", site=site))
        assert met.whole
        assert met.error == "died"
        assert _without_names(met.end) == _without_names(states[positions[site]])


def _without_names(tree):
    """Nonces, process ids and names of scratch folders differ from process to process."""
    unlike = ("/lock", ".tmp")
    kept = {p: data for p, data in tree.items() if not any(name in p for name in unlike)}
    return {re.sub(r"^\.groups-\w+", ".groups", p): data for p, data in kept.items()}


def test_what_was_interrupted_loads_as_a_dataset(place, tmp_path):
    fresh = scenario("fresh", place)
    bench, start = fresh.bench(place)
    recording = bench.record(start)
    states = list(crash_states(recording, ["torn"]))
    folder = bench.fresh(states[len(states) // 2].tree)
    assert not bench.go_on(folder, lambda number: None)
    assert bench.identical(folder)
    loaded = datasets.load_dataset(str(folder / "dataset"), cache_dir=str(tmp_path))
    assert len(loaded["train"]) > 0
    assert readable(folder)[0]
    assert not [path for path in read_tree(folder) if path.endswith((".tmp", "lock"))]


def test_what_is_promised_is_tried_by_the_benchmark():
    kinds = {*sweep.CRASHES, *messages.OF_HANDLES, *messages.OF_NEWS, "torn, then power"}
    kinds |= {"SIGKILL of a process", "a small disk that is full"}
    kinds |= {f"{kind}{', for good' if stays else ''}" for kind, stays in sweep.LIVE}
    kinds |= {f"main job: {victim}" for victim in real.VICTIMS}
    assert chaos.untried(dict.fromkeys(kinds, chaos.Row())) == []
    assert chaos.untried({}) != []
    assert chaos.NAMES.keys() <= kinds
