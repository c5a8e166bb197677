"""Real processes that get a real SIGKILL, and real file systems that are full or read-only.

Threads, clock and disk are the real ones. A killed process is a fork of one that has the factory
imported already, which saves the seconds that Python needs to start; the judge's worker process,
which needs as many, is replaced by a function unless it is asked for.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from factory import cli, ledger, verdicts
from factory.types import Rollout
from tests.chaos import check
from tests.chaos.world import InlineWorker

SLOW = ("engine.tokens_per_second=80", "engine.slots=2", "policy.n=3", "cluster.log_every=8")
"""Settings with which a run of a few problems takes some seconds."""
_MOST_KILLS = 50


def command(recipe: Path, folder: Path, *more: str) -> list[str]:
    """The words of `factory run`, slowed down; `more` are settings."""
    words = ["run", str(recipe), "--out", str(folder)]
    for setting in (*SLOW, *more):
        words += ["--set", setting]
    return words


def start(words: list[str], *, worker: bool = False, segment_bytes: int = 4000) -> int:
    """Run a command in a fork of this process, in a process group of its own; its process id.

    Args:
        worker: judge in a process beside it, as always outside of tests.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        ledger.SEGMENT_BYTES = segment_bytes
        if not worker:
            verdicts.Worker = InlineWorker  # type: ignore[assignment, misc]
        code = cli.main(words)
    finally:
        os._exit(code)


def finish(process: int) -> int:
    """Wait for a process; its exit code, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of one run that was killed several times."""

    kills: int
    """Signals that hit a living process; the others came after its end."""
    lost: int
    repeated: int
    wrong: tuple[str, ...]
    tokens: int
    written_again: int
    """Tokens that were logged, then logged again: what was not logged cannot be counted here."""
    identical: bool

    @property
    def passed(self) -> bool:
        return self.identical and not (self.lost or self.repeated or self.wrong)


def killed(
    words: list[str],
    folder: Path,
    *,
    within_s: tuple[float, float],
    seed: int,
    expected: dict[str, str],
    worker: bool = False,
) -> Killed:
    """Kill a command again and again until it has done its work in between.

    Args:
        within_s: each life lasts so many seconds, by chance.
        expected: digest of the undisturbed dataset.
        worker: see `start`.
    """
    rng = random.Random(seed)
    lost = hits = 0
    before = check.bag([])
    code = -signal.SIGKILL
    while code == -signal.SIGKILL and hits < _MOST_KILLS:
        process = start(words, worker=worker)
        time.sleep(rng.uniform(*within_s))
        os.killpg(process, signal.SIGKILL) if _leads(process) else os.kill(process, signal.SIGKILL)
        code = finish(process)
        hits += code == -signal.SIGKILL
        now = check.bag(check.ledger(folder))
        lost += sum((before - now).values())
        before = now
    if code == -signal.SIGKILL:
        code = finish(start(words, worker=worker))
    records = check.ledger(folder)
    lost += sum((before - check.bag(records)).values())
    wrong = check.wrong(records) + ([f"exit code {code}"] if code else [])
    return Killed(
        kills=hits,
        lost=lost,
        repeated=check.repeated(records),
        wrong=tuple(wrong),
        tokens=check.tokens(records),
        written_again=check.logged(records) - check.tokens(records),
        identical=not wrong and check.digest(folder / "dataset") == expected,
    )


def _leads(process: int) -> bool:
    """Whether it has its own process group already."""
    return os.getpgid(process) == process


def undisturbed(words: list[str], folder: Path) -> tuple[dict[str, str], float]:
    """The dataset of a command that nothing happens to, and how many seconds it takes."""
    began = time.monotonic()
    assert finish(start(words)) == 0
    seconds = time.monotonic() - began
    return check.digest(folder / "dataset"), seconds


def may_mount() -> bool:
    """Whether this user can mount a file system in a namespace of its own."""
    if not shutil.which("unshare"):
        return False
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


_SCRIPT = """
set -u
mount -t tmpfs -o size={size}k none {place}
{python} -m factory {words} >{out}/first 2>&1; echo $? >{out}/first.rc
mkdir {out}/met && cp -a {place}/. {out}/met
mount -o remount,size=64m {place}
{between}
{python} -m factory {words} >{out}/last 2>&1; echo $? >{out}/last.rc
mkdir {out}/end && cp -a {place}/. {out}/end
"""
_READ_ONLY = """
mount -o remount,ro {place}
{python} -m factory {words} >{out}/read-only 2>&1; echo $? >{out}/read-only.rc
mount -o remount,rw {place}
"""


def on_small_disk(
    words: list[str], place: Path, out: Path, *, size_kb: int, read_only: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command on a file system of that size, again when there is room.

    What it said goes to `out`, with copies of the disk when it was full (`met`) and at the end.

    Args:
        read_only: between the two, the file system cannot be written, and the command is given.
    """
    names = {
        "size": size_kb,
        "place": place,
        "python": sys.executable,
        "words": " ".join(words),
        "out": out,
    }
    names["between"] = _READ_ONLY.format(**names) if read_only else ""
    script = _SCRIPT.format(**names)
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script], check=False, capture_output=True, text=True
    )


def rollouts(folder: Path) -> int:
    """How many are on record."""
    return sum(isinstance(record, Rollout) for record in check.ledger(folder))
