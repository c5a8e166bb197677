"""The main job with its real engine and cluster: vLLM on the CPU in a Ray actor, and real faults.

The run is a small one of the tiny model. A fault comes at a random moment while rollouts arrive;
if the driver survives it the run goes on, else the same command is given again.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from factory.types import Rollout, RolloutKey
from tests.chaos import check

VICTIMS = ("driver", "engine", "judge", "raylet", "gcs", "everything", "SIGTERM", "SIGTERM to all")
SETTINGS = ("policy={name: fixed, n: 4}", "engine.max_num_seqs=8", "cluster.log_every=16")
_NAMES = {
    "engine": "_ReplicaActor",
    "judge": "_JudgeActor",
    "raylet": "raylet",
    "gcs": "gcs_server",
}
_LOAD_S = 240.0
_END_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What came of one fault."""

    victim: str
    run: str
    lost: int
    repeated: int
    survived: bool
    """The driver went on; else the command was given again."""
    stuck: bool
    """The driver neither went on nor ended."""


def command(folder: Path, problems: int, recipe: str = "pipelines/quickstart.yaml") -> list[str]:
    """The words of the job."""
    words = [sys.executable, "-m", "factory", "run", recipe, "--limit", str(problems)]
    for setting in SETTINGS:
        words += ["--set", setting]
    return [*words, "--out", str(folder)]


class Job:
    """The command as a process with everything below it."""

    def __init__(self, words: list[str], log: Path) -> None:
        with log.open("ab") as file:
            self.process = subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True)
        self._seen: dict[int, psutil.Process] = {}

    def family(self) -> list[psutil.Process]:
        """Every living process of the job, the driver first."""
        try:
            driver = psutil.Process(self.process.pid)
            for one in (driver, *driver.children(recursive=True)):
                self._seen[one.pid] = one
        except psutil.NoSuchProcess:
            pass
        return [p for p in self._seen.values() if p.is_running()]

    def hit(self, victim: str) -> bool:
        """Do it; False if there is no such process now."""
        family = self.family()
        match victim:
            case "driver":
                chosen, number = family[:1], signal.SIGKILL
            case "everything":
                chosen, number = family, signal.SIGKILL
            case "SIGTERM":
                chosen, number = family[:1], signal.SIGTERM
            case "SIGTERM to all":
                chosen, number = family, signal.SIGTERM
            case _:
                chosen = [p for p in family if _NAMES[victim] in _words(p)][:1]
                number = signal.SIGKILL
        for one in chosen:
            try:
                one.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        return bool(chosen)

    def end(self) -> None:
        """Nothing of it is left."""
        for one in self.family():
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        psutil.wait_procs(list(self._seen.values()), timeout=30)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


def wait_for_rollouts(job: Job, folder: Path, count: int, limit_s: float) -> bool:
    """Until so many are on record; False if the job ended or the time was up before."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and job.process.poll() is None:
        if rollouts(folder) >= count:
            return True
        time.sleep(0.1)
    return False


def rollouts(folder: Path) -> int:
    return sum(isinstance(record, Rollout) for record in check.ledger(folder))


def faults(
    place: Path, count: int, *, problems: int, seed: int = 0, victims: tuple[str, ...] = VICTIMS
) -> Iterator[Hit]:
    """So many faults, over as many runs as they take; every run is completed in the end."""
    rng = random.Random(seed)
    order = [victims[n % len(victims)] for n in range(count)]
    number = 0
    while order:
        folder = place / f"run-{number}"
        number += 1
        yield from _one_run(folder, order, problems, rng)


def _one_run(folder: Path, order: list[str], problems: int, rng: random.Random) -> Iterator[Hit]:
    words = command(folder, problems)
    log = folder.with_suffix(".log")
    whole = problems * 4
    job = Job(words, log)
    try:
        while order and (have := rollouts(folder)) < whole * 0.8:
            goal = have + rng.randint(4, max(5, whole // 8))
            if not wait_for_rollouts(job, folder, goal, _LOAD_S):
                if job.process.poll() is None:
                    raise AssertionError(f"no rollout in {_LOAD_S} s: {log}")
                job.end()
                job = Job(words, log)
                continue
            time.sleep(rng.uniform(0, 0.5))
            before = check.bag(check.ledger(folder))
            if not job.hit(order[0]):
                continue
            survived, stuck = _aftermath(job, folder, order[0])
            if not survived:
                job.end()
                job = Job(words, log)
            yield _hit(folder, order.pop(0), before, survived, stuck)
        code = job.process.wait(timeout=_END_S)
        assert code == 0, f"exit code {code}: {log}"
    finally:
        job.end()


def _aftermath(job: Job, folder: Path, victim: str) -> tuple[bool, bool]:
    """Whether the driver goes on, and whether it does neither that nor end."""
    if victim in ("engine", "judge"):
        on = wait_for_rollouts(job, folder, rollouts(folder) + 20, _LOAD_S)
        on = on or job.process.poll() == 0
        return on, not on and job.process.poll() is None
    try:
        job.process.wait(timeout=90)
    except subprocess.TimeoutExpired:
        on = wait_for_rollouts(job, folder, rollouts(folder) + 20, _LOAD_S)
        return on, not on
    return False, False


def _hit(folder: Path, victim: str, before: check.Bag, survived: bool, stuck: bool) -> Hit:
    records = check.ledger(folder)
    return Hit(
        victim=victim,
        run=folder.name,
        lost=sum((before - check.bag(records)).values()),
        repeated=check.repeated(records),
        survived=survived,
        stuck=stuck,
    )


def texts(folder: Path) -> dict[RolloutKey, tuple[str, int]]:
    """Text and number of restarts of every rollout."""
    return {
        r.key: (r.completion.text, r.restarts)
        for r in check.ledger(folder)
        if isinstance(r, Rollout)
    }


def same_texts(folder: Path, undisturbed: Path) -> Counter[str]:
    """Rollouts that say what they say in the undisturbed run, and others."""
    ours, theirs = texts(folder), texts(undisturbed)
    assert ours.keys() == theirs.keys()
    counts: Counter[str] = Counter()
    for key, (text, restarts) in ours.items():
        how = "continued" if restarts else "straight"
        counts[f"{how}, {'same' if text == theirs[key][0] else 'other'}"] += 1
    return counts
