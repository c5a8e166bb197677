"""The driver of a run at work on a virtual cluster: its CPU seconds per virtual second.

The driver is the real one (`factory.rollouts`) with a real ledger on disk, fed by a crew whose
replicas and judges live on the virtual clock of `factory.simulation`. What that crew costs is
timed and taken out; what is left is recording, commits with their fsync, the standing, the
foreman, requests, the display and the feed. Ray is not in it: `benchmarks.messages` has what it
costs the driver per message.
"""

from __future__ import annotations

import asyncio
import io
import random
import resource
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.driver import problems, verdict
from factory import feed, recipe
from factory.crew import Crew, CrewEvent, Happened, Joined, JudgedBatch, Left, Pair
from factory.crew.replica import Ended, Progressed, ReplicaEvent
from factory.engines import EngineInfo, Request
from factory.ledger import Ledger
from factory.ledger.standing import Standing
from factory.policies import fixed
from factory.report.progress import Display
from factory.rollouts import Driver
from factory.scheduling import events as ev
from factory.simulation.assumptions import Judging, Losses, Scenario, Speed, Supply
from factory.simulation.flight import Open
from factory.simulation.pool import POOLS, Drawn, Lengths, Pool
from factory.simulation.replica import VirtualReplica
from factory.simulation.world import World
from factory.types import Completion, Rollout, RolloutKey, Verdict

RECIPE = """
name: driven
sources: [{name: jsonl, path: data/quickstart.jsonl}]
engine: {name: scripted, script: data/quickstart.jsonl}
policy: {name: adaptive}
verifiers: [{name: math}]
cluster: {backend: local, replicas: REPLICAS, log_every: EVERY}
card: {license: apache-2.0}
"""
_CHARS = 12_000
_CORPUS = 8_000_000
_IDS = [tuple((7919 * (n + i)) % 150_000 for i in range(1024)) for n in range(64)]


class _Cluster(World):
    """Replicas, judges and losses without a foreman: the driver that is measured has one."""

    def __init__(self, scenario: Scenario, pool: Pool) -> None:
        super().__init__(scenario, fixed.Policy(), pool)
        self._corpus = _corpus()
        self._numbers = 0
        self._where: dict[RolloutKey, str] = {}
        self._reported: dict[RolloutKey, int] = {}
        self._happened: dict[str, list[ReplicaEvent]] = {}
        for seat in range(scenario.replicas):
            self._start(seat, 0.0)
        self._plan_losses()

    def round(self) -> list[CrewEvent]:
        """Everything that happens in the time for which events gather."""
        self.now = until = self.now + self._scenario.gather_s
        self._happened = defaultdict(list)
        self._gather(until)
        told: list[CrewEvent] = []
        verdicts: list[Verdict] = []
        for event in self._events:
            if isinstance(event, ev.Finished):
                name = self._where.pop(event.key)
                self._happened[name].append(Ended(self._rollout(event.key, event.num_tokens)))
            elif isinstance(event, ev.Judged):
                verdicts.append(verdict(event.key, event.outcome))
            elif isinstance(event, ev.ReplicaReady):
                info = EngineInfo(model="none", slots=event.slots, can_continue=True)
                told.append(Joined(event.replica, info))
            elif isinstance(event, ev.ReplicaLost):
                told.append(Left(event.replica, "lost"))
        self._events = []
        told += [Happened(name, events) for name, events in self._happened.items()]
        self._judge()
        return [*told, JudgedBatch(verdicts)] if verdicts else told

    def generate(self, name: str, requests: Sequence[Request]) -> None:
        if name not in self._replicas:
            return
        started: dict[VirtualReplica, None] = {}
        for request in requests:
            key = request.key
            if key.problem_id not in self._open:
                self._numbers += 1
                self._open[key.problem_id] = Open(self._pool.problem(self._numbers))
            self._generate(ev.Generate(name, key, bool(request.prefix)), started)
            self._where[key] = name
            self._reported[key] = len(request.prefix)
            self._look_again(key, name)
        for one in started:
            self._plan(one)

    def cut(self, name: str, keys: Sequence[RolloutKey]) -> None:
        touched: dict[VirtualReplica, None] = {}
        for key in keys:
            self._abort(ev.Abort(name, key), touched)
        for one in touched:
            self._plan(one)

    def judge(self, keys: Sequence[RolloutKey]) -> None:
        for key in keys:
            self._reported.pop(key, None)
            self._judges.add(self._flights.pop(key))
        self._judge()

    def _look_again(self, key: RolloutKey, name: str) -> None:
        running = max(1, self._replicas[name].running)
        later = self._scenario.log_every * self._steps[running]
        self._at(self.now + later, partial(self._progress, key, name))

    def _progress(self, key: RolloutKey, name: str, _: float) -> None:
        """Reports what a rollout has written, in pieces of `log_every`."""
        flight = self._flights.get(key)
        if flight is None or self._where.get(key) != name or name not in self._replicas:
            return
        every = self._scenario.log_every
        written = flight.logged + (self._replicas[name].written(flight) or 0)
        while written - (start := self._reported[key]) >= every:
            ids = _IDS[start % len(_IDS)][:every]
            self._happened[name].append(Progressed(key, start, ids))
            self._reported[key] = start + every
        self._look_again(key, name)

    def _rollout(self, key: RolloutKey, tokens: int) -> Rollout:
        place = zlib.crc32(f"{key}".encode()) % (_CORPUS - _CHARS)
        text = self._corpus[place : place + _CHARS]
        return Rollout(
            problem_id=key.problem_id,
            index=key.index,
            model="none",
            completion=Completion(text=text, prompt_tokens=200, num_tokens=tokens),
            seed=key.index,
            replica=self._where.get(key, ""),
            seconds=100.0,
        )


def _corpus() -> str:
    """Words drawn as often as Zipf has them: about as compressible as what a model writes."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in range(20_000)]
    drawn = rng.choices(words, [1 / (n + 1) for n in range(len(words))], k=_CORPUS // 4)
    return " ".join(drawn)[:_CORPUS]


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What happened up to a moment of the virtual clock."""

    at: float = 0.0
    cpu_s: float = 0.0
    """Of the whole process."""
    crew_s: float = 0.0
    """Of the virtual cluster in it."""
    records: int = 0
    rollouts: int = 0
    steps: int = 0
    answers: int = 0
    """Batches of replicas' events."""
    submits: int = 0
    """Batches of requests to a replica."""


@dataclass(slots=True, kw_only=True)
class _Clock:
    """The window that is measured."""

    since: float
    until: float
    now: _Sums = field(default_factory=_Sums)
    first: _Sums | None = None
    last: _Sums | None = None


class _Crew(Crew):
    """The crew on the virtual clock."""

    def __init__(self, given: recipe.Recipe, cluster: _Cluster, clock: _Clock) -> None:
        super().__init__(given)
        self._cluster = cluster
        self._clock = clock
        self.over: Callable[[], None] = lambda: None

    async def start(self) -> None:
        pass

    async def events(self, timeout: float) -> list[CrewEvent]:
        await asyncio.sleep(0)
        clock, sums = self._clock, self._clock.now
        began = time.thread_time()
        happened = self._cluster.round()
        sums.crew_s += time.thread_time() - began
        sums.steps += 1
        sums.answers += sum(isinstance(item, Happened) for item in happened)
        sums.at, sums.cpu_s = self._cluster.now, time.process_time()
        if clock.first is None and sums.at >= clock.since:
            clock.first = replace(sums)
        if sums.at >= clock.until:
            clock.last = replace(sums)
            self.over()
        return happened

    def generate(self, replica: str, requests: list[Request]) -> None:
        self._clock.now.submits += 1
        self._timed(self._cluster.generate, replica, requests)

    def abort(self, replica: str, keys: list[RolloutKey]) -> None:
        self._timed(self._cluster.cut, replica, keys)

    def verify(self, pairs: Sequence[Pair]) -> None:
        self._timed(self._cluster.judge, [rollout.key for _, rollout in pairs])

    def drain(self) -> set[str]:
        return set()

    def _timed(self, work: Any, *given: Any) -> None:
        began = time.thread_time()
        work(*given)
        self._clock.now.crew_s += time.thread_time() - began


class _Counting(Ledger):
    """A ledger that also counts."""

    sums: _Sums

    def append(self, record: Any) -> None:
        self.sums.records += 1
        self.sums.rollouts += isinstance(record, Rollout)
        super().append(record)


def at(
    replicas: int,
    seconds: float,
    log_every: int | None = None,
    *,
    places: int = 32,
    warm: float = 20.0,
) -> dict[str, Any]:
    """The driver of a run on such a cluster, with the cadences that its recipe resolves to.

    Lengths, pass rates, hung verifications and losses are those of the part saturation. A replica
    writes as many tokens a second as with 256 places, but in `places` requests that are faster:
    rollouts, entries and messages come at the same rate, and the benchmark needs an eighth of the
    memory and of the time until they do.
    """
    speed = Speed(alone=Speed().full / places, sequences=places, start_s=1.0)
    cluster = recipe.Cluster(replicas=replicas, log_every=log_every)
    scenario = Scenario(
        supply=Supply(hours=1),
        replicas=replicas,
        speed=speed,
        judging=Judging(judges=max(1, replicas // 2), hung=0.01),
        losses=Losses(per_hour=0.05),
        log_every=cluster.cadence,
        gather_s=cluster.gather_s,
    )
    pool = Drawn(POOLS["openr1"], Lengths(), prompt_tokens=200, seed=0)
    row = driven(scenario, pool, warm=warm, seconds=seconds)
    print(
        f"driver of {replicas} replicas, an entry every {cluster.cadence} tokens: "
        f"{row['driver_cores']:.2f} of a core for "
        f"{row['rollouts_per_s']:,.0f} rollouts and {row['records_per_s']:,.0f} entries a second; "
        f"{row['answers_per_s']:,.0f} answers and {row['submits_per_s']:,.0f} requests to replicas "
        "a second come on top, with what Ray takes for them"
    )
    return {"log_every": cluster.cadence, "gather_s": cluster.gather_s, **row}


def driven(scenario: Scenario, pool: Pool, *, warm: float, seconds: float) -> dict[str, Any]:
    """The driver on a cluster, from `warm` seconds after the replicas' start, for `seconds`."""
    text = RECIPE.replace("REPLICAS", str(scenario.replicas))
    given = recipe.parse(text.replace("EVERY", str(scenario.log_every)), "driven", build=False)
    since = scenario.speed.start_s + warm
    clock = _Clock(since=since, until=since + seconds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = _Cluster(scenario, pool)

        async def work(ledger: Ledger, ahead: feed.Feed) -> None:
            crew = _Crew(given, cluster, clock)
            with Display(folder, None, io.StringIO()) as display:
                driver = Driver(given, ledger, Standing(), ahead, crew, display)
                crew.over = driver.stop
                await driver.run()

        ledger = _Counting(folder / "ledger")
        ledger.sums = clock.now
        with ledger, feed.Feed(problems(10_000_000)) as ahead:
            asyncio.run(work(ledger, ahead))
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert clock.first is not None
    assert clock.last is not None
    first, last = clock.first, clock.last
    span = last.at - first.at
    cpu = (last.cpu_s - first.cpu_s) - (last.crew_s - first.crew_s)

    def per_s(name: str) -> float:
        happened: int = getattr(last, name) - getattr(first, name)
        return round(happened / span, 1)

    return {
        "virtual_s": round(span, 2),
        "driver_cores": round(cpu / span, 3),
        "records_per_s": per_s("records"),
        "rollouts_per_s": per_s("rollouts"),
        "steps_per_s": per_s("steps"),
        "answers_per_s": per_s("answers"),
        "submits_per_s": per_s("submits"),
        "us_per_record": round(1e6 * cpu / (last.records - first.records), 2),
        "mb_written": round(size / 1e6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
