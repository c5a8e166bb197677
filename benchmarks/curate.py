"""Memory and speed of curation as the ledger grows: from so many made-up traces to a dataset.

    python -m benchmarks.curate [--traces 100000 1000000] [--full] [--ways one ray data] [--json]

Memory is the peak of the whole process tree, sampled twice a second: PSS, so that what processes
share counts once, and without what they merely mapped from files. Seconds of CPU are those of the
tree as well: where other work is going on, they tell more than the clock. A way is `one` process,
`ray` (what `factory curate` does with more than a few ranges), or `data`: the same work through
`ray.data`, for comparison. The texts are short (`--chars`), eight rollouts a problem, half of them
right. `--full` is 10 million traces; the memory of every run is printed as it goes on, so one of
10 million shows how little the traces matter:

    python -m benchmarks.curate --traces 100000 --full --ways one --json

Ledger, range files and dataset lie below `--place`, 1.2 GB
for a million traces, and are deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from factory.card import About
from factory.curation import groups, parts, setwide
from factory.curation.curate import write
from factory.curation.groups import Range
from factory.curation.parts import Part, Plan
from factory.ledger import Ledger
from factory.ledger.records import Record
from factory.quiet import QUIET
from factory.shards import Origin
from factory.traces import TraceOptions
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id

PER_PROBLEM = 8
COMMIT = 20_000
"""Records."""
MARKS = (10_000, 30_000, 100_000, 300_000, *range(1_000_000, 10_000_001, 1_000_000))
"""Traces at which a line says how it goes."""
PLAN = Plan(options=TraceOptions(), origin=Origin(sampling=Sampling()))
ABOUT = About(title="made up", model="none")


def sentences(rng: random.Random, count: int = 4000) -> list[str]:
    """Sentences of some sixty characters."""
    parts = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    words = ["".join(rng.choices(parts, k=rng.randrange(2, 5))) for _ in range(4000)]
    return [" ".join(rng.choices(words, k=10)).capitalize() + "." for _ in range(count)]


def records(traces: int, chars: int, seed: int) -> Iterator[Record]:
    """A ledger: a problem, then its rollouts and verdicts."""
    rng = random.Random(seed)
    known = sentences(rng)
    for number in range(traces // PER_PROBLEM):
        prompt = f"{rng.choice(known)} {rng.choice(known)} What is {number} + {number % 7}?"
        problem = Problem(id=problem_id(prompt), prompt=prompt, answer="1", domain="math")
        yield problem
        for index in range(PER_PROBLEM):
            yield from sample(problem.id, index, chars, rng, known)


def sample(
    problem: str, index: int, chars: int, rng: random.Random, known: list[str]
) -> Iterator[Record]:
    """One rollout and its verdict."""
    thought = " ".join(rng.choices(known, k=max(1, chars // 60)))
    text = f"<think>\n{thought}\n\nSo {rng.random()}.\n</think>\n\nIt is {index}."
    completion = Completion(text=text, prompt_tokens=40, num_tokens=len(text) // 4)
    yield Rollout(problem_id=problem, index=index, model="m", completion=completion)
    right = rng.random() < 0.5
    yield Verdict(
        problem_id=problem,
        index=index,
        outcome=Outcome.CORRECT if right else Outcome.INCORRECT,
        reward=float(right),
        extracted=str(index),
        detail="",
        verifier="math",
        verifier_version="1",
    )


def synthesise(folder: Path, traces: int, chars: int, seed: int = 5) -> None:
    """Writes the ledger."""
    with Ledger(folder) as ledger:
        for number, record in enumerate(records(traces, chars, seed)):
            ledger.append(record)
            if number % COMMIT == 0:
                ledger.commit()
        ledger.seal()


def one(ledger: Path) -> Iterable[Part]:
    """Everything in this process."""
    return setwide.made(ledger, PLAN, map)


def ray(ledger: Path) -> Iterator[Part]:
    """A range to a worker."""
    with setwide.cluster(None) as spread:
        yield from setwide.made(ledger, PLAN, spread)


def data(ledger: Path) -> Iterator[Part]:
    """The same through Ray Data: the ranges in files, since it takes no rows as they are made."""
    import ray
    from ray import cloudpickle
    from ray.data import DataContext

    def work(batch: dict[str, Any]) -> dict[str, Any]:
        made = [parts.whole(_loaded(path).groups(), PLAN) for path in batch["item"]]
        return {"part": [cloudpickle.dumps(part) for part in made]}

    with setwide.cluster(None) as spread, tempfile.TemporaryDirectory(dir=ledger.parent) as scratch:
        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        paths = list(_saved(groups.ranges(ledger, spread=spread), Path(scratch)))
        rows = ray.data.from_items(paths, override_num_blocks=len(paths))
        for row in rows.map_batches(work, batch_size=1).iter_rows():
            yield cloudpickle.loads(row["part"])


def _saved(found: Iterable[Range], folder: Path) -> Iterator[str]:
    from ray import cloudpickle

    for number, part in enumerate(found):
        path = folder / str(number)
        path.write_bytes(cloudpickle.dumps(part))
        yield str(path)


def _loaded(path: str) -> Range:
    from ray import cloudpickle

    loaded: Range = cloudpickle.loads(Path(path).read_bytes())
    return loaded


WAYS: dict[str, Callable[[Path], Iterable[Part]]] = {"one": one, "ray": ray, "data": data}


def child(way: str, ledger: Path) -> None:
    """Curates, in a process of its own; a line of JSON at every mark and at the end."""
    began = time.monotonic()
    made = marked(WAYS[way](ledger))
    result = write(made, ledger.parent / "dataset", PLAN.options, about=ABOUT)
    done = {
        "seconds": time.monotonic() - began,
        "traces": result.counts.rollouts,
        "rows": sum(shard.num_rows for shard in result.shards),
        "bytes": sum(shard.num_bytes for shard in result.shards),
        "sha256": "".join(shard.sha256[:4] for shard in result.shards),
    }
    print(json.dumps(done), flush=True)


def marked(made: Iterable[Part]) -> Iterator[Part]:
    """The parts, with a line whenever another mark is passed."""
    done, left = 0, deque(MARKS)
    for part in made:
        done += part.tally.sums["rollouts"]
        if left and done >= left[0]:
            while left and done >= left[0]:
                left.popleft()
            print(json.dumps({"at": done}), flush=True)
        yield part


def measure(way: str, ledger: Path) -> dict[str, Any]:
    """What a curation did, and the most memory that it and all it started had, as it went on."""
    words = [sys.executable, "-m", "benchmarks.curate", "--child", way, "--place", str(ledger)]
    environment = {**os.environ, **QUIET}  # as the command line has it
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    peak, spent, lines, course = 0, dict[int, float](), deque[str](), []
    reader = Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    while process.poll() is None or lines or reader.is_alive():
        peak = max(peak, look_at_tree(process.pid, spent))
        while lines:
            found: dict[str, Any] = json.loads(lines.popleft())
            if "at" in found:
                course.append({**found, "peak_mb": peak / 1e6, "cpu_s": sum(spent.values())})
                print(f"  {way:5} {peak / 1e6:7.0f} MB at {found['at']} traces", flush=True)
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{way}: exit code {process.returncode}")
    row = {"way": way, "peak_mb": peak / 1e6, "cpu_s": sum(spent.values()), **found}
    return {**row, "course": course}


def look_at_tree(pid: int, spent: dict[int, float]) -> int:
    """Proportional memory of a process and everything below it; what each has `spent` so far."""
    total = 0
    try:
        top = psutil.Process(pid)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
                fields = dict(line.split(":") for line in file.readlines()[1:])
            times = process.cpu_times()
        except (OSError, ValueError, psutil.NoSuchProcess):  # has just ended
            continue
        spent[process.pid] = times.user + times.system
        names = ("Pss_Anon", "Pss_Shmem")
        total += sum(int(fields[name].split()[0]) * 1024 for name in names if name in fields)
    return total


def main() -> None:
    """Measures every way at every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--full", action="store_true", help="10 million traces as well")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["ray"])
    parser.add_argument("--chars", type=int, default=200)
    parser.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.place)
        return
    rows = []
    for traces in [*given.traces, *([10_000_000] if given.full else [])]:
        place = Path(tempfile.mkdtemp(dir=given.place, prefix="curate-"))
        try:
            rows += measure_all(place / "ledger", traces, given.chars, given.ways)
        finally:
            shutil.rmtree(place)
    if given.json:
        print(json.dumps({"cores": len(os.sched_getaffinity(0)), "rows": rows}))


def measure_all(ledger: Path, traces: int, chars: int, ways: Iterable[str]) -> list[dict[str, Any]]:
    """All ways at one size, printed as they end."""
    began = time.monotonic()
    make = partial(synthesise, ledger, traces, chars)
    make()
    size = sum(path.stat().st_size for path in ledger.iterdir())
    print(f"{traces} traces: ledger of {size / 1e6:.0f} MB in {time.monotonic() - began:.0f} s")
    rows = []
    for way in ways:
        row = {**measure(way, ledger), "ledger_mb": size / 1e6}
        print(
            f"  {way:5} {row['peak_mb']:7.0f} MB  {row['traces'] / row['seconds']:7.0f} traces/s  "
            f"{row['cpu_s'] / row['traces'] * 1e6:.0f} us of CPU a trace  "
            f"{row['rows']} rows  {row['bytes'] / 1e6:.0f} MB  {row['sha256'][:8]}",
            flush=True,
        )
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
