"""One run and twenty in a box, beside a bare subprocess and beside bubblewrap.

    python -m benchmarks.sandbox [--rounds 7] [--runs 20] [--python PATH] [--json]

Every way runs `print(1)`. CPU is charged to the whole process tree; the ways take turns, and the
ratios are medians over the rounds. `--json` ends with one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from factory.sandbox import kernel, open_sandbox
from factory.sandbox.box import Sandbox, Script

TESTS = 20
_PROGRAM = "print(1)"
_TICK = os.sysconf("SC_CLK_TCK")


def _tree_cpu(pids: list[int]) -> float:
    """CPU seconds of these processes and of all children that they have waited for."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / _TICK
    return total


def _bare(python: str) -> None:
    subprocess.run([python, "-c", _PROGRAM], check=True, capture_output=True)


def _bubblewrap(python: str) -> None:
    prefix = os.path.dirname(os.path.dirname(python))
    jail = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr"]
    jail += ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    jail += ["--ro-bind", prefix, prefix, "--dev", "/dev", "--tmpfs", "/tmp", python, "-c"]
    subprocess.run([*jail, _PROGRAM], check=True, capture_output=True)
    _bury()


def _bury() -> None:
    """Wait for what bubblewrap leaves to its parent, so that its CPU time is counted."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _boxed(sandbox: Sandbox, tests: int) -> None:
    with sandbox.box() as box:
        for _ in range(tests):
            if not box.run(Script(source=_PROGRAM)).ok:
                raise RuntimeError("a job failed")


def _measure(ways: dict[str, tuple[Callable[[], None], int]], pids: list[int]) -> dict[str, float]:
    """CPU milliseconds per call of each way."""
    found = {}
    for name, (call, times) in ways.items():
        before = _tree_cpu(pids)
        for _ in range(times):
            call()
        found[name] = 1000 * (_tree_cpu(pids) - before) / times
    return found


def _imports(sandbox: Sandbox, python: str) -> dict[str, float]:
    """Wall milliseconds until numpy is there: a new interpreter, and a fork that has it."""
    began = time.perf_counter()
    for _ in range(3):
        subprocess.run([sys.executable, "-c", "import numpy"], check=True)
    new = time.perf_counter() - began
    with sandbox.box(preload=("numpy",)) as box:
        job = Script(source="import numpy")
        box.run(job)
        began = time.perf_counter()
        for _ in range(30):
            box.run(job)
        forked = time.perf_counter() - began
    return {"numpy_new_ms": 1000 * new / 3, "numpy_forked_ms": 1000 * forked / 30}


def _worker(seconds: float) -> int:
    """Boxes of one worker in so many seconds."""
    done = 0
    with open_sandbox() as sandbox:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            _boxed(sandbox, 1)
            done += 1
    return done


def _pool(seconds: float) -> dict[str, float]:
    rates = {}
    for workers in (1, os.cpu_count() or 1):
        with ProcessPoolExecutor(workers) as pool:
            rates[f"boxes_per_s_{workers}_workers"] = (
                sum(pool.map(_worker, [seconds] * workers)) / seconds
            )
    return rates


def _tree(sandbox: Sandbox) -> list[int]:
    """This process, and what the sandbox consists of."""
    mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    found = [os.getpid()]
    for pid in map(int, mine.read_text(encoding="ascii").split()):
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        found += [pid, *map(int, below)]
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--python", default=getattr(sys, "_base_executable", sys.executable))
    arguments.add_argument("--tier", choices=["namespaces", "landlock"], default="namespaces")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    rounds: list[dict[str, float]] = []
    with open_sandbox(given.tier) as sandbox:
        _boxed(sandbox, 1)
        pids = _tree(sandbox)
        python = os.path.realpath(given.python)
        ways = {
            "bare": (lambda: _bare(python), given.runs),
            "bwrap": (lambda: _bubblewrap(python), given.runs),
            "box": (lambda: _boxed(sandbox, 1), 5 * given.runs),
            f"box of {TESTS}": (lambda: _boxed(sandbox, TESTS), given.runs),
        }
        for _ in range(given.rounds):
            rounds.append(_measure(ways, pids))
        figures = {f"{name} ms": statistics.median(r[name] for r in rounds) for name in ways}
        many = f"box of {TESTS}"
        figures |= {
            "bare / box": statistics.median(r["bare"] / r["box"] for r in rounds),
            "bwrap / box": statistics.median(r["bwrap"] / r["box"] for r in rounds),
            f"{TESTS} bare / {many}": statistics.median(
                TESTS * r["bare"] / r[many] for r in rounds
            ),
            f"{TESTS} bwrap / {many}": statistics.median(
                TESTS * r["bwrap"] / r[many] for r in rounds
            ),
        }
        figures |= _imports(sandbox, python)
    figures |= _pool(3.0)
    print(f"python: {python}")
    for name, value in figures.items():
        print(f"{name:>32}  {value:8.2f}")
    if given.json:
        print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == "__main__":
    main()
