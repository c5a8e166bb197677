"""Faults by the ten thousand: what was lost, repeated, generated again, and what stayed the same.

    python -m benchmarks.chaos [--trials N] [--kills N] [--real N] [--seed N] [--json]
    python -m benchmarks.chaos --trials 30000 --kills 60 --real 20    # the table of the docs

It prints the table of `docs/reliability.md`, and what of the promise was not tried.


- crashes: what a death, a torn write or a loss of power may leave at every call to the disk, for
  several ways in which a run goes; states that are equal count once in each way, unless there
  are not enough different ones (`tests.chaos.trials`)
- errors: a full, broken or read-only disk, at one call or for good, and deaths for real
- messages: a dead actor, a late or lost answer, a clock that jumps (`tests.chaos.messages`)
- kills: `--kills` real SIGKILLs of real processes at random moments, and small full disks
- real: `--real` faults of the main job, vLLM on the CPU in Ray: its driver, engine, judge, raylet,
  everything at once, SIGTERM. Half a minute each on an idle machine, and more.

The column `again` is the share of tokens that were generated more than once. These runs have nine
rollouts of fifty tokens, so one interruption of a few half-written ones is per cents. `same` counts
the dataset folders that are byte for byte those of the undisturbed run, card and manifest included;
for the real engine, see what is printed about its texts.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos import check, killing, messages, real, sweep
from tests.chaos.killing import Killed
from tests.chaos.trials import Trial
from tests.conftest import Sums

_ERRORS_EVERY = 8
"""Of the calls of a scenario; each such trial is a process."""
_LEAST_CRASHES, _MORE_CRASHES = 3000, 500
"""States with one choice by chance, over all scenarios, and with one more."""


@dataclass(slots=True, kw_only=True)
class Row:
    """What came of the faults of one kind."""

    trials: int = 0
    lost: int = 0
    repeated: int = 0
    tokens: int = 0
    again: int = 0
    same: int = 0
    wrong: int = 0
    """Trials with anything else amiss: refused, stuck, contradictory."""

    def add(self, trial: Trial | Killed, count: int = 1) -> None:
        self.trials += count
        self.lost += trial.lost
        self.repeated += trial.repeated
        self.tokens += trial.tokens
        self.again += trial.written_again
        self.same += count * trial.identical
        self.wrong += bool(trial.wrong)


Table = dict[str, Row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=3000, help="crashes, errors and messages")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs of real processes")
    parser.add_argument("--real", type=int, default=0, help="faults of Ray and vLLM runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    table: Table = defaultdict(Row)
    bad: list[str] = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=memory) as place:
        for trial in made_up(Path(place), given.trials, given.seed):
            table[trial.kind].add(trial)
            if not trial.passed:
                bad.append(repr(trial))
            if sys.stderr.isatty():
                done = sum(row.trials for row in table.values())
                print(f"\r{done} of {given.trials}, {len(bad)} bad", end="", file=sys.stderr)
        really_killed(Path(place), given.kills, given.seed, table)
    more = real_job(given.real, given.seed, table) if given.real else {}
    show(table, bad, more)
    if given.json:
        print(json.dumps(summary(table) | more))


def made_up(place: Path, count: int, seed: int) -> Iterator[Trial]:
    """So many crashes, errors and messages, of every scenario in turn."""
    if not count:
        return
    sweep.quietly()
    scenarios = sweep.scenarios(place / "files")
    left = count
    for trial in _messages_and_errors(scenarios, place, seed):
        if left <= count * 0.7:  # most of them are crashes
            break
        left -= 1
        yield trial
    some, every = max(1, (left - _LEAST_CRASHES) // _MORE_CRASHES), max(1, _LEAST_CRASHES // left)
    while left:
        for scenario in scenarios:
            for trial in sweep.crashes(scenario, place, seed=seed, some=some, every=every):
                yield trial
                left -= 1
                if not left:
                    return
        seed += 1  # what follows differs in what is left to chance alone


def _messages_and_errors(
    scenarios: list[sweep.Scenario], place: Path, seed: int
) -> Iterator[Trial]:
    for scenario in scenarios:
        if scenario.name in ("fresh", "dying engine"):
            bench, _ = scenario.bench(place)
            yield from messages.trials(bench)
    for scenario in scenarios:
        yield from sweep.live(scenario, place, seed=seed, every=_ERRORS_EVERY)


def really_killed(place: Path, count: int, seed: int, table: Table) -> None:
    """Real processes, real signals, real disks."""
    if not count:
        return
    files = place / "killed"
    files.mkdir()
    recipe = Sums(files, count=6).file()
    whole = files / "whole"
    expected, _ = killing.undisturbed(killing.command(recipe, whole), whole)
    number = 0
    while table["SIGKILL of a process"].trials < count:
        folder = files / f"run-{number}"
        worker = number % 4 == 3  # with the judge's process, which takes seconds to start
        came = killing.killed(
            killing.command(recipe, folder),
            folder,
            within_s=(0.5, 6) if worker else (0.1, 1.5),
            seed=seed + number,
            expected=expected,
            worker=worker,
        )
        table["SIGKILL of a process"].add(came, came.kills)
        number += 1
    if killing.may_mount():
        for size_kb in (16, 20, 24, 40):
            table["a small disk that is full"].add(_small_disk(files, recipe, size_kb, expected))


def _small_disk(place: Path, recipe: Path, size_kb: int, expected: dict[str, str]) -> Killed:
    small, out = place / f"small-{size_kb}", place / f"out-{size_kb}"
    small.mkdir()
    out.mkdir()
    words = killing.command(recipe, small / "run")
    killing.on_small_disk(words, small, out, size_kb=size_kb, read_only=True)
    met = check.ledger(out / "met" / "run")
    end = check.ledger(out / "end" / "run")
    return Killed(
        kills=1,
        lost=sum((check.bag(met) - check.bag(end)).values()),
        repeated=check.repeated(end),
        wrong=tuple(check.wrong(end)),
        tokens=check.tokens(end),
        written_again=check.logged(end) - check.tokens(end),
        identical=check.digest(out / "end" / "run" / "dataset") == expected,
    )


def real_job(count: int, seed: int, table: Table) -> dict[str, Any]:
    """Faults of the main job, and whether its texts are those of an undisturbed run."""
    with tempfile.TemporaryDirectory(prefix="chaos-real-") as name:
        place = Path(name)
        for hit in real.faults(place, count, problems=60, seed=seed):
            row = table[f"main job: {hit.victim}"]
            row.trials += 1
            row.lost += hit.lost
            row.repeated += hit.repeated
            row.wrong += hit.stuck
            print(json.dumps(asdict(hit)), file=sys.stderr, flush=True)
        whole = real.Job(real.command(place / "whole", 60), place / "whole.log")
        whole.process.wait()
        whole.end()
        texts: Counter[str] = Counter()
        same = 0
        runs = sorted(place.glob("run-*[0-9]"))
        for folder in runs:
            texts += real.same_texts(folder, place / "whole")
            same += check.digest(folder / "dataset") == check.digest(place / "whole" / "dataset")
    return {"real_texts": dict(texts), "real_runs": len(runs), "real_same_datasets": same}


def summary(table: Table) -> dict[str, Any]:
    """The whole table, and its sums."""
    sums = {
        name: sum(getattr(row, name) for row in table.values())
        for name in ("trials", "lost", "repeated", "tokens", "again", "same", "wrong")
    }
    return {
        "trials": sums["trials"],
        "lost": sums["lost"],
        "duplicated": sums["repeated"],
        "regenerated_share": sums["again"] / max(1, sums["tokens"]),
        "identical_shards": sums["same"],
        "wrong": sums["wrong"],
        "kinds": {kind: asdict(row) for kind, row in sorted(table.items())},
    }


NAMES = {
    "death": "the process is gone at a call",
    "torn": "the process is gone in the middle of a write",
    "die": "the process really dies before a call",
    "died": "the process really dies after a call",
    "short": "a write is cut short",
    "SIGKILL of a process": "SIGKILL of driver or judge process, anywhere",
    "a small disk that is full": "a small disk that is full, then made read-only",
    "dead": "an actor is dead when it is asked",
    "dead after": "an actor dies before its answer arrives",
    "late": "an answer comes late",
    "twice": "a message comes twice",
    "late news": "news come late",
    "standstill": "the driver is suspended for an hour",
    "clock ahead": "the clock jumps a year ahead",
    "clock back": "the clock jumps a year back",
    "power: nothing": "power: nothing unsynced is left",
    "power: names": "power: names are, contents are not",
    "power: content": "power: contents are, names are not",
    "power: some": "power: some of the unsynced is left, in any order",
    "power: holes": "power: the same, with holes inside of files",
}
"""Kinds of fault, in words; the others are their own."""
PROMISED = {
    "driver": ("SIGKILL of a process", "main job: driver"),
    "engine": ("dead", "dead after", "main job: engine"),
    "verifier": ("SIGKILL of a process", "main job: judge"),
    "whole node": ("main job: everything", "main job: raylet"),
    "power loss": ("power: some", "power: names", "torn, then power"),
    "torn write": ("torn",),
    "signals": ("main job: SIGTERM", "main job: SIGTERM to all"),
    "full disk": ("ENOSPC", "a small disk that is full"),
    "broken disk": ("EIO",),
    "read-only disk": ("EROFS, for good",),
    "clock jumps": ("clock ahead", "clock back", "standstill"),
}
"""What the promise names, and the kinds of fault that put it to the test."""


def untried(table: Table) -> list[str]:
    """What of the promise was not put to the test, as kind: fault."""
    return [f"{k}: {f}" for k, faults in PROMISED.items() for f in faults if f not in table]


def show(table: Table, bad: list[str], more: dict[str, Any]) -> None:
    """The table as Markdown, for `docs/reliability.md`; then whatever was not as it must be."""
    sums = summary(table)
    print(
        f"{sums['trials']:,} faults. Lost: {sums['lost']}. Twice on record: {sums['duplicated']}.\n"
    )
    print("| fault | trials | lost | twice | tokens again | dataset identical |")
    print("|---|--:|--:|--:|--:|--:|")
    for kind, row in sorted(table.items(), key=lambda item: NAMES.get(item[0], item[0]).lower()):
        counted = bool(row.tokens)
        again = f"{row.again / row.tokens:.2%}" if counted else "-"
        same = f"{row.same:,}" if counted else "-"
        name = NAMES.get(kind, kind)
        print(f"| {name} | {row.trials:,} | {row.lost} | {row.repeated} | {again} | {same} |")
    if missing := untried(table):
        print(f"\nnot tried here: {', '.join(missing)}")
    if sums["wrong"]:
        wrong = [f"{kind}: {row.wrong}" for kind, row in sorted(table.items()) if row.wrong]
        print(f"\nnot as it must be: {', '.join(wrong)}")
    for line in bad[:5]:
        print(line)
    for name, value in more.items():
        print(f"\n{name}: {value}")


if __name__ == "__main__":
    main()
