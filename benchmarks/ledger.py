"""The ledger at scale: events per second, memory over a long run, seconds to resume.

    python -m benchmarks.ledger [--rollouts 200000] [--memory 100000] [--seconds 5]
        [--plot FILE.svg] [--json]

Append: batches of 512 events, each made durable before the next as the driver does it; `rollouts`
are all rollouts with 12 kB of text, `mix` is a rollout with its verdict and the tokens logged every
256 of 3,000. With sealing and without, in turns, medians of three; bytes per second and the times
of fsync say what the disk did. Memory: a run of that many rollouts (1.2 kB of text, a verdict
each, sixteen a problem) through the ledger and its standing; resident megabytes on the way.
Resume: a ledger of that many rollouts in as many files as texts of 12 kB would fill, though the
texts are short; read in a fresh process, the page cache dropped for its files. Peers, where asked:
SQLite (WAL, a commit each batch) with the same events.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from factory import ledger as module
from factory import plots
from factory.ledger import Ledger, sealed, sealing, standing
from factory.ledger.durable import sync
from factory.ledger.records import Closed, Partial, Record, frame, to_batch
from factory.types import Completion, Outcome, Problem, Rollout, Verdict, problem_id

BATCH = 512
PER_PROBLEM = 16
POINTS = (10_000, 100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)
FILE_ROLLOUTS = module.SEGMENT_BYTES // 12_500


def texts(count: int, size: int, seed: int = 0) -> list[str]:
    """Texts of words that compress about as reasoning does (to two fifths)."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randrange(2, 9))) for _ in range(3000)]
    return [" ".join(rng.choices(words, k=size // 6))[:size] for _ in range(count)]


def rollout(pid: str, index: int, text: str) -> Rollout:
    done = Completion(text=text, num_tokens=len(text) // 4, prompt_tokens=80)
    return Rollout(
        problem_id=pid, index=index, model="m", completion=done, seconds=40.0, seed=index
    )


def verdict(pid: str, index: int) -> Verdict:
    right = index % 3 == 0
    return Verdict(
        problem_id=pid,
        index=index,
        outcome=Outcome.CORRECT if right else Outcome.INCORRECT,
        reward=float(right),
        extracted="42",
        detail="equal as integers",
        verifier="math",
        verifier_version="3",
        seconds=0.01,
    )


def run_of(rollouts: int, contents: list[str], first: int = 0) -> Iterator[Record]:
    """The records of a run: problems of sixteen judged rollouts, each closed at its end."""
    text = cycle(contents)
    for number in range(first, first + rollouts // PER_PROBLEM):
        pid = problem_id(f"problem {number}")
        yield Problem(id=pid, prompt=f"problem {number}", answer="42", source="s", source_id="1")
        for index in range(PER_PROBLEM):
            yield rollout(pid, index, next(text))
            yield verdict(pid, index)
        yield Closed(problem_id=pid, reason="enough")


def events(kind: str) -> list[Record]:
    contents = texts(1500, 12_000)
    if kind == "rollouts":
        return [rollout(problem_id(str(n // 16)), n % 16, text) for n, text in enumerate(contents)]
    found: list[Record] = []
    for number, text in enumerate(contents):
        pid, index = problem_id(str(number // 16)), number % 16
        tokens = tuple(random.Random(number).choices(range(150_000), k=3000))
        for start in range(0, 2816, 256):
            part = tokens[start : start + 256]
            found.append(Partial(problem_id=pid, index=index, start=start, token_ids=part))
        found += [rollout(pid, index, text), verdict(pid, index)]
    return found


def append(folder: Path, kind: str, seals: bool, seconds: float) -> dict[str, float]:
    """Events per second of the driver's thread, and what the disk did meanwhile."""
    given = cycle(events(kind))
    module.SEGMENT_BYTES = (64 << 20) if seals else 1 << 60
    waits: list[float] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        begin = time.perf_counter()
        real(fd)
        waits.append(time.perf_counter() - begin)

    with Ledger(folder) as ledger:
        os.fsync = fsync
        done, begin, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds:
            for record in islice(given, BATCH):
                ledger.append(record)
            ledger.commit()
            done += BATCH
        wall = time.perf_counter() - begin
        os.fsync = real
        behind = sum(path.stat().st_size for path in folder.glob("*.log"))
        sealed_size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    size = sum(len(frame(record)) for record in islice(given, 5000)) / 5000 * done
    return {
        "events_per_s": round(done / wall),
        "MB_per_s": round(size / wall / 1e6, 1),
        "cpu_us_per_event": round((time.process_time() - cpu) / done * 1e6, 1),
        "fsync_ms_median": round(statistics.median(waits) * 1e3, 2),
        "fsync_ms_p99": round(sorted(waits)[int(len(waits) * 0.99)] * 1e3, 2),
        "fsync_share": round(sum(waits) / wall, 3),
        "not_yet_sealed_MB": round(behind / 1e6),
        "sealed_MB_on_disk": round(sealed_size / 1e6),
    }


def memory(folder: Path, rollouts: int) -> dict[str, Any]:
    """Resident megabytes of the driver's side, on the way through a run."""
    state = standing.Standing()
    found: dict[str, float] = {}
    waiting = rollouts_seen = 0
    points = iter([p for p in POINTS if p <= rollouts])
    point = next(points, None)
    with Ledger(folder) as ledger:
        for record in run_of(rollouts, texts(500, 1200)):
            ledger.append(record)
            state.add(record)
            waiting += 1
            if waiting == BATCH:
                ledger.commit()
                waiting = 0
            rollouts_seen += isinstance(record, Rollout)
            if point is not None and rollouts_seen >= point and waiting == 0:
                gc.collect()
                found[f"{point:,}"] = resident_mb()
                point = next(points, None)
        ledger.commit()
        gc.collect()
        found[f"{rollouts_seen:,}"] = resident_mb()
    return found


def resident_mb(field: str = "VmRSS") -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(field))
    return round(int(line.split()[1]) / 1024, 1)


def build(folder: Path, rollouts: int) -> None:
    """A ledger as a run of that many rollouts leaves it, with some problems open."""
    folder.mkdir(parents=True)
    contents = texts(97, 60)
    for file, first in enumerate(range(0, rollouts, FILE_ROLLOUTS), 1):
        part = min(FILE_ROLLOUTS, rollouts - first) // PER_PROBLEM * PER_PROBLEM
        records = list(run_of(part, contents, first // PER_PROBLEM))
        pieces = (records[n : n + 2800] for n in range(0, len(records), 2800))
        sealed.write(folder / f"{file:06}.parquet", map(to_batch, pieces))
    sync(folder)
    sealing.BATCH = 1 << 60  # with texts of the usual length these files would not be small
    with Ledger(folder) as ledger:
        for number in range(200):
            pid = problem_id(f"open {number}")
            ledger.append(Problem(id=pid, prompt=f"open {number}", answer="42"))
            for index in range(8):
                ledger.append(rollout(pid, index, contents[index]))
                if index < 5:
                    ledger.append(verdict(pid, index))


def resume(folder: Path) -> dict[str, float]:
    """Seconds and memory to open a ledger and say how it stands."""
    for path in folder.iterdir():
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    sealing.BATCH = 1 << 60
    before = resident_mb()
    begin, cpu = time.perf_counter(), time.process_time()
    with Ledger(folder):
        state = standing.read(folder)
        wall = time.perf_counter() - begin
    return {
        "seconds": round(wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "records": state.records,
        "rollouts": state.counts.rollouts,
        "open": len(state.open),
        "files": sum(1 for _ in folder.glob("*.parquet")),
        "resident_MB_before": before,
        "resident_MB": resident_mb(),
        "peak_MB": resident_mb("VmHWM"),
    }


def by_sqlite(folder: Path, kind: str, seconds: float) -> dict[str, float]:
    """The usual alternative: a table of JSON-free blobs, WAL, a durable commit each batch."""
    given = cycle(events(kind))
    db = sqlite3.connect(folder / "l.sqlite", isolation_level=None)
    for setting in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {setting}")
    db.execute("CREATE TABLE record (number INTEGER PRIMARY KEY, frame BLOB)")
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        db.execute("BEGIN")
        rows = ((frame(record),) for record in islice(given, BATCH))
        db.executemany("INSERT INTO record (frame) VALUES (?)", rows)
        db.execute("COMMIT")
        done += BATCH
    wall = time.perf_counter() - begin
    db.close()
    return {"events_per_s": round(done / wall)}


def apart(step: str, folder: Path, *more: object) -> Any:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--step", step, str(folder)]
    done = subprocess.run(
        [*command, *map(str, more)], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def step(name: str, folder: Path, more: list[str]) -> Any:
    match name:
        case "append":
            return append(folder, more[0], more[1] == "True", float(more[2]))
        case "memory":
            return memory(folder, int(more[0]))
        case "build":
            return build(folder, int(more[0]))
        case "resume":
            return resume(folder)
        case "sqlite":
            return by_sqlite(folder, more[0], float(more[1]))
    raise ValueError(name)


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=200_000)
    parser.add_argument("--memory", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="the memory as a chart")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(step(given.step[0], Path(given.step[1]), given.step[2:])))
        return
    result = measure(given)
    if given.plot is not None:
        given.plot.write_text(chart(given.rollouts, result), encoding="utf-8")
    if given.json:
        print(json.dumps(result))


def chart(rollouts: int, result: dict[str, Any]) -> str:
    """Memory over a run; how long it takes to resume one."""
    resumed = f"{rollouts:,} rollouts are resumed in {result['resume']['seconds']:.1f} s"
    bars = {count: (round(megabytes),) for count, megabytes in result["memory_MB"].items()}
    title = f"Resident MB of the driver, by rollouts on record ({resumed})"
    return plots.svg(plots.Chart(name="ledger", title=title, series=("MB",), bars=bars))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"append": {}}
    with tempfile.TemporaryDirectory(dir=given.place, prefix="ledger-") as scratch:
        place = Path(scratch)
        for kind in ("rollouts", "mix"):
            runs: dict[str, list[dict[str, float]]] = {
                "sealing": [],
                "no_sealing": [],
                "sqlite": [],
            }
            for _ in range(given.rounds):
                for name, of_name in runs.items():
                    folder = place / "append"
                    folder.mkdir()
                    if name == "sqlite":
                        of_name.append(apart("sqlite", folder, kind, given.seconds))
                    else:
                        seals = name == "sealing"
                        of_name.append(apart("append", folder, kind, seals, given.seconds))
                    shutil.rmtree(folder)
            for name, of_name in runs.items():
                result["append"][f"{kind}, {name}"] = found = medians(of_name)
                print(f"append {kind}, {name}: {found}")
        result["memory_MB"] = apart("memory", place / "memory", given.memory)
        print(f"memory: {result['memory_MB']}")
        shutil.rmtree(place / "memory")
        apart("build", place / "resume", given.rollouts)
        result["resume"] = apart("resume", place / "resume")
        print(f"resume: {result['resume']}")
    return result


if __name__ == "__main__":
    main()
