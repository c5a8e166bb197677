"""Ledger events per second of the driver's loop alone: no disk, no engine, no verifier.

    python -m benchmarks.driver [--rollouts 60000] [--chars 12000] [--partials 4] [--json]

A crew that answers at once stands in for replicas and judges, and a ledger that encodes nothing
for the real one (`benchmarks.ledger` measures that one alone). What is left is the cost of the
loop itself: recording, the standing, the foreman, the requests. One rollout makes `partials`
entries of logged tokens, one rollout and one verdict: as many events; its problem and its closing
are counted too. `--real-ledger` writes a real ledger into a temporary folder instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import json
import pstats
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from factory import feed, recipe
from factory.crew import Crew, CrewEvent, Happened, Joined, JudgedBatch, Pair
from factory.crew.replica import Ended, Progressed, ReplicaEvent
from factory.engines import EngineInfo, Request
from factory.ledger import Ledger
from factory.ledger.standing import Standing
from factory.report.progress import Display
from factory.rollouts import Driver
from factory.types import Completion, Outcome, Problem, Rollout, RolloutKey, Verdict, problem_id

RECIPE = """
name: driver
sources: [{name: jsonl, path: data/quickstart.jsonl}]
engine: {name: scripted, script: data/quickstart.jsonl}
policy: {name: fixed, n: 16}
verifiers: [{name: math}]
cluster: {backend: local, replicas: REPLICAS}
card: {license: apache-2.0}
"""


class NullLedger:
    """Takes everything and keeps nothing but the count."""

    def __init__(self) -> None:
        self.events = 0

    def append(self, _: object) -> None:
        self.events += 1

    def commit(self) -> None:
        pass


class Counting(Ledger):
    """A ledger that also counts."""

    events = 0

    def append(self, record: Any) -> None:
        self.events += 1
        super().append(record)


class AtOnce(Crew):
    """Replicas that have written everything by the time they are asked, judges likewise."""

    def __init__(self, given: recipe.Recipe, chars: int, partials: int) -> None:
        super().__init__(given)
        self._events: list[CrewEvent] = []
        self._text = "x" * chars
        self._tokens = tuple(range(100, 116))
        self._partials = partials

    async def start(self) -> None:
        info = EngineInfo(model="none", slots=320, can_continue=True)
        for number in range(self._recipe.cluster.replicas):
            self._events.append(Joined(f"replica-{number}", info))

    async def events(self, timeout: float) -> list[CrewEvent]:
        await asyncio.sleep(0)
        batch, self._events = self._events, []
        return batch

    def generate(self, replica: str, requests: list[Request]) -> None:
        events: list[ReplicaEvent] = []
        for request in requests:
            for part in range(self._partials):
                events.append(Progressed(request.key, part * 16, self._tokens))
            completion = Completion(text=self._text, num_tokens=16 * self._partials)
            key = request.key
            events.append(
                Ended(
                    Rollout(
                        problem_id=key.problem_id,
                        index=key.index,
                        model="none",
                        completion=completion,
                    )
                )
            )
        self._events.append(Happened(replica, events))

    def abort(self, replica: str, keys: list[RolloutKey]) -> None:
        pass

    def verify(self, pairs: Sequence[Pair]) -> None:
        self._events.append(JudgedBatch([judged(rollout) for _, rollout in pairs]))


def judged(rollout: Rollout) -> Verdict:
    return verdict(rollout.key, Outcome.CORRECT if rollout.index % 2 else Outcome.INCORRECT)


def verdict(key: RolloutKey, outcome: Outcome) -> Verdict:
    """One as the maths verifier gives it."""
    return Verdict(
        problem_id=key.problem_id,
        index=key.index,
        outcome=outcome,
        reward=float(outcome is Outcome.CORRECT) if outcome.judged else None,
        extracted="4",
        detail="equal as integers",
        verifier="math",
        verifier_version="1",
    )


def problems(count: int) -> Iterator[Problem]:
    for number in range(count):
        prompt = f"What is {number} + 1?"
        yield Problem(id=problem_id(prompt), prompt=prompt, answer=str(number + 1))


def drive(given: argparse.Namespace, profile: cProfile.Profile | None) -> dict[str, float]:
    """One run; its events, seconds and processor seconds."""
    text = RECIPE.replace("REPLICAS", str(given.replicas))
    chosen = recipe.parse(text, "driver.yaml", build=False)
    with tempfile.TemporaryDirectory() as folder:
        real = Counting(Path(folder) / "ledger") if given.real_ledger else None
        ledger: Any = real or NullLedger()

        async def work(ahead: feed.Feed) -> None:
            crew = AtOnce(chosen, given.chars, given.partials)
            with Display(Path(folder), None, io.StringIO()) as display:
                driver = Driver(chosen, ledger, Standing(), ahead, crew, display)
                await driver.run()

        started, cpu = time.perf_counter(), time.process_time()
        with real or nullcontext(), feed.Feed(problems(given.rollouts // 16)) as ahead:
            if profile is not None:
                profile.enable()
            asyncio.run(work(ahead))
            if profile is not None:
                profile.disable()
        seconds, used = time.perf_counter() - started, time.process_time() - cpu
    return {"events": ledger.events, "seconds": seconds, "cpu_s": used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=60_000)
    parser.add_argument("--replicas", type=int, default=8)
    parser.add_argument("--chars", type=int, default=12_000)
    parser.add_argument("--partials", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--real-ledger", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rates = []
    for _ in range(given.repeats):
        done = drive(given, None)
        rates.append(done["events"] / done["cpu_s"])
        print(
            f"{done['events']:,.0f} events in {done['seconds']:.2f} s, {done['cpu_s']:.2f} s of "
            f"processor: {done['events'] / done['seconds']:,.0f}/s by the clock, {rates[-1]:,.0f} "
            "per processor second"
        )
    if given.profile:
        profile = cProfile.Profile()
        drive(given, profile)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    if given.json:
        rates.sort()
        figures = {
            "events": done["events"],
            "events_per_cpu_s_median": round(rates[len(rates) // 2]),
        }
        print(json.dumps({**figures, "runs": [round(rate) for rate in rates]}))


if __name__ == "__main__":
    main()
