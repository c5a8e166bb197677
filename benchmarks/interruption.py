"""Does an interruption change what is sampled, and how many tokens does it cost?

    python -m benchmarks.interruption [--rollouts 4000] [--seeds 5] [--real 0] [--json]

An engine of known length distribution (log-normal, sigma 1; whether a rollout ends is drawn anew at
every token, so a continuation is a new sample) decodes in lockstep under `factory.crew.replica` as
it ships. It is killed every so many rollouts with everything in flight, and only what the replica
had handed over by then is there to continue from. Three ways to deal with that are compared with
the undisturbed run, by the lengths of all rollouts (two-sample Kolmogorov-Smirnov: distance and
asymptotic p-value), their mean, and the tokens that were generated in vain, each as median and
range over the seeds. A seed has an undisturbed run of its own to be compared with; the row
`undisturbed` holds another one against it, which shows what chance alone does:

    continued    as it ships: from the last logged token
    restarted    the same engine, saying that it cannot continue: what is lost starts over
    dropped      every interrupted rollout is given up and another one drawn in its place, as a
                 script does that collects whatever has ended when a worker dies

`--real N` does the first two with vLLM itself and the tiny model in data/ on the CPU: N rollouts
each, undisturbed twice (what chance alone does), continued, restarted. Everything in flight is lost
whenever so many rollouts have ended, whatever the clock says: a slow machine only takes longer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from factory.crew.replica import Ended, Progressed, Replica
from factory.engines import Chunk, EngineDead, EngineInfo, Request, Resources
from factory.types import FinishReason, Message, RolloutKey, Sampling

_CHUNK = 16
_REAL = ("continued", "restarted")


@dataclass(slots=True)
class World:
    """One replica after another, all on one clock of decoding steps, and what became of it all."""

    mean: float
    slots: int
    log_every: int
    loss_every: int
    """Rollouts between two losses; 0: none."""
    mode: str
    rng: random.Random
    generated: int = 0
    """Tokens that any engine made."""
    losses: int = 0
    lengths: dict[RolloutKey, int] = field(default_factory=dict)
    prefixes: dict[RolloutKey, list[int]] = field(default_factory=dict)


class Steps:
    """An engine in lockstep: at each step every running rollout gets one token, or ends.

    The chance to end at a token is the hazard of the log-normal at that length, so what a rollout
    becomes does not depend on what it was before the interruption but on its length, as with a
    model that has read its own prefix.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._queues: dict[RolloutKey, asyncio.Queue[Chunk | None]] = {}
        self._at: dict[RolloutKey, int] = {}
        self._part: dict[RolloutKey, int] = {}

    async def start(self) -> EngineInfo:
        can = self.world.mode == "continued"
        return EngineInfo(model="steps", slots=self.world.slots, can_continue=can)

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._queues[request.key] = queue
        self._at[request.key] = len(request.prefix)
        self._part[request.key] = 0
        while True:
            chunk = await queue.get()
            if chunk is None:
                raise EngineDead("killed")
            yield chunk
            if chunk.finish_reason:
                return

    def step(self) -> None:
        """One token for everybody."""
        for key in list(self._at):
            at = self._at[key] = self._at[key] + 1
            self._part[key] += 1
            self.world.generated += 1
            ends = self.world.rng.random() < hazard(at, self.world.mean)
            if ends or self._part[key] == _CHUNK:
                part, self._part[key] = self._part[key], 0
                finish: FinishReason | None = "stop" if ends else None
                self._queues[key].put_nowait(
                    Chunk(token_ids=(7,) * part, num_tokens=part, finish_reason=finish)
                )
            if ends:
                del self._at[key], self._queues[key], self._part[key]

    async def abort(self, request: Request) -> bool:
        return False

    async def stop(self) -> None:
        self._at.clear()


def _cdf(length: float, mean: float) -> float:
    """Of a log-normal with sigma 1 and this mean."""
    return 0.5 * (1 + math.erf((math.log(length) - math.log(mean) + 0.5) / math.sqrt(2)))


_HAZARDS: dict[float, list[float]] = {}


def hazard(at: int, mean: float) -> float:
    """Chance that a rollout which has come to `at - 1` tokens ends with the next one."""
    table = _HAZARDS.setdefault(mean, [0.0])
    while len(table) <= at:
        low, high = (_cdf(max(n - 0.5, 1e-9), mean) for n in (len(table), len(table) + 1))
        table.append((high - low) / (1 - low) if low < 1 - 1e-9 else 1.0)
    return table[at]


async def play(world: World, rollouts: int) -> None:
    """Run until so many rollouts have ended; replicas are the ones that ship."""
    waiting = [RolloutKey("p", index) for index in range(rollouts)]
    drawn = rollouts
    waiting.reverse()
    while len(world.lengths) < rollouts:
        engine = Steps(world)
        replica = Replica(engine, "r", world.log_every)  # type: ignore[arg-type]
        info = await replica.start()
        flying: set[RolloutKey] = set()
        until = len(world.lengths) + world.loss_every if world.loss_every else rollouts
        while len(world.lengths) < min(until, rollouts):
            begin = [waiting.pop() for _ in range(min(info.slots - len(flying), len(waiting)))]
            flying.update(begin)
            replica.submit(_request(world, key, info) for key in begin)
            await asyncio.sleep(0)
            for _ in range(4):
                engine.step()
            for _ in range(3):  # the engine's streams, then the replica's tasks
                await asyncio.sleep(0)
            for event in replica._events:
                _take(world, event, flying)
            replica._events.clear()
        if len(world.lengths) < rollouts:  # the process is killed: nothing says a last word
            world.losses += 1
            again = sorted(flying)
            if world.mode == "dropped":
                again = [RolloutKey("p", drawn + n) for n in range(len(flying))]
                drawn += len(flying)
            waiting += again
        for task in replica._tasks.values():
            task.cancel()
        await asyncio.gather(*replica._tasks.values(), return_exceptions=True)


def _request(world: World, key: RolloutKey, info: EngineInfo) -> Request:
    prefix = tuple(world.prefixes.get(key, ())) if info.can_continue else ()
    sampling = Sampling(max_tokens=1 << 20)
    return Request(key=key, messages=(), sampling=sampling, prefix=prefix, restarts=bool(prefix))


def _take(world: World, event: Any, flying: set[RolloutKey]) -> None:
    match event:
        case Progressed(key, start, tokens):
            prefix = world.prefixes.setdefault(key, [])
            prefix[start:] = tokens
        case Ended(rollout):
            flying.discard(rollout.key)
            world.prefixes.pop(rollout.key, None)
            world.lengths[rollout.key] = rollout.completion.num_tokens


def p_value(distance: float, one: int, other: int) -> float:
    """Chance of so large a distance between samples of these sizes from one distribution.

    Kolmogorov's asymptotic series with Stephens' correction (1970); rather large for whole numbers.
    """
    root = math.sqrt(one * other / (one + other))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.3:  # where the series does not converge
        return 1.0
    terms = ((-1.0) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * sum(terms)))


def ks(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov: the distance, and its asymptotic critical value at 1 %."""
    a, b = sorted(one), sorted(other)
    distance, i, j = 0.0, 0, 0
    while i < len(a) and j < len(b):
        value = min(a[i], b[j])
        while i < len(a) and a[i] == value:
            i += 1
        while j < len(b) and b[j] == value:
            j += 1
        distance = max(distance, abs(i / len(a) - j / len(b)))
    return distance, 1.628 * math.sqrt((len(a) + len(b)) / (len(a) * len(b)))


@dataclass(slots=True, kw_only=True)
class Row:
    """What one way to deal with losses came to, over the seeds."""

    mode: str
    loss_every: int
    log_every: int
    losses: list[int] = field(default_factory=list)
    regenerated_share: list[float] = field(default_factory=list)
    mean_shift: list[float] = field(default_factory=list)
    ks: list[float] = field(default_factory=list)
    p: list[float] = field(default_factory=list)

    def add(self, world: World, base: list[int]) -> None:
        """One seed more, beside the lengths of an undisturbed run."""
        lengths = list(world.lengths.values())
        distance, _ = ks(base, lengths)
        self.losses.append(world.losses)
        self.regenerated_share.append(round(world.generated / sum(lengths) - 1, 5))
        shift = statistics.mean(lengths) / statistics.mean(base) - 1
        self.mean_shift.append(round(shift, 4))
        self.ks.append(round(distance, 4))
        self.p.append(float(f"{p_value(distance, len(base), len(lengths)):.2g}"))

    def show(self) -> None:
        """A line of the table: medians over the seeds, and from which value to which."""
        print(
            f"| {self.mode} | {self.loss_every or '-'} | {self.log_every} | "
            f"{statistics.median(self.losses):g} | {_spread(self.regenerated_share, '.2%')} | "
            f"{_spread(self.mean_shift, '+.1%')} | {_spread(self.ks, '.3f')} | "
            f"{' '.join(f'{p:.2g}' for p in self.p)} |",
            flush=True,
        )


def _spread(values: Sequence[float], form: str) -> str:
    """`0.026 (0.021 to 0.031)`: median, smallest and largest; one value is itself."""
    middle = format(statistics.median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"


HEAD = (
    "| after a loss | a loss every | logged every | losses | tokens again | mean length | "
    "KS | p, one for each seed |\n|---|--:|--:|--:|--:|--:|--:|---|"
)


def synthetic(given: argparse.Namespace) -> list[Row]:
    """Rows of the table: mode x rollouts between two losses x cadence."""

    def played(mode: str, every: int, log_every: int, seed: object) -> World:
        world = World(given.mean, given.slots, log_every, every, mode, random.Random(str(seed)))
        asyncio.run(play(world, given.rollouts))
        return world

    seeds = range(given.seeds)
    bases = [list(played("continued", 0, _CHUNK, ("base", s)).lengths.values()) for s in seeds]
    often = max(1, given.every // 8)
    plan = [("continued", every, log) for every in (given.every, often) for log in given.log]
    plan = [("continued", 0, _CHUNK), *plan, *((m, often, 16) for m in ("restarted", "dropped"))]
    rows = []
    print(f"{given.rollouts} made-up rollouts\n\n{HEAD}")
    for mode, every, log_every in plan:
        row = Row(mode=mode if every else "undisturbed", loss_every=every, log_every=log_every)
        for seed in seeds:
            row.add(played(mode, every, log_every, (mode, every, log_every, seed)), bases[seed])
        row.show()
        rows.append(row)
    return rows


class Metered:
    """A started engine that outlives the replicas in front of it, every token counted."""

    def __init__(self, engine: Any, info: EngineInfo, world: World) -> None:
        self._engine = engine
        self._info = info
        self._world = world

    async def start(self) -> EngineInfo:
        return replace(self._info, can_continue=self._world.mode == "continued")

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        stream = self._engine.generate(request)
        try:
            async for chunk in stream:
                self._world.generated += chunk.num_tokens
                yield chunk
        finally:
            await stream.aclose()

    def resources(self) -> Resources:
        return Resources()

    async def abort(self, request: Request) -> bool:
        done: bool = await self._engine.abort(request)
        return done

    async def stop(self) -> None: ...  # its next replica has it


async def play_real(
    world: World, engine: Any, info: EngineInfo, ask: Ask, numbers: Sequence[int]
) -> None:
    """The same with an engine that runs by itself: until these rollouts have ended."""
    waiting = [RolloutKey("p", number) for number in reversed(numbers)]
    tries: dict[RolloutKey, int] = {}
    while len(world.lengths) < len(numbers):
        replica = Replica(Metered(engine, info, world), "r", world.log_every)
        able = await replica.start()
        flying: set[RolloutKey] = set()
        until = len(world.lengths) + (world.loss_every or len(numbers))
        while len(world.lengths) < min(until, len(numbers)):
            begin = [waiting.pop() for _ in range(min(world.slots - len(flying), len(waiting)))]
            flying.update(begin)
            prefixes = {k: world.prefixes.get(k, []) if able.can_continue else [] for k in begin}
            replica.submit(ask(key, prefixes[key], tries.get(key, 0)) for key in begin)
            for event in await replica.poll():
                _take(world, event, flying)
        if flying:  # what the replica has not handed over is lost
            world.losses += 1
            waiting += sorted(flying)
            tries.update((key, tries.get(key, 0) + 1) for key in flying)
        for task in replica._tasks.values():
            task.cancel()
        await asyncio.gather(*replica._tasks.values(), return_exceptions=True)


Ask = Callable[[RolloutKey, Sequence[int], int], Request]


def asking(max_tokens: int) -> Ask:
    """Requests for the prompts of the quickstart, in turn, without a seed."""
    with Path("data/quickstart.jsonl").open(encoding="utf-8") as lines:
        prompts = [str(json.loads(line)["prompt"]) for line in lines]
    sampling = Sampling(temperature=1.5, top_p=1.0, max_tokens=max_tokens, seed=None)

    def ask(key: RolloutKey, prefix: Sequence[int], tries: int) -> Request:
        said: Message = {"role": "user", "content": prompts[key.index % len(prompts)]}
        return Request(
            key=key, messages=(said,), sampling=sampling, prefix=tuple(prefix), restarts=tries
        )

    return ask


async def real(given: argparse.Namespace) -> list[Row]:
    """The table for vLLM and the tiny model."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from factory.engines.vllm import Engine

    engine = Engine(model="data/tiny_model", max_num_seqs=64, enforce_eager=True)
    info = await engine.start()
    ask, numbers = asking(given.max_tokens), range(given.real)

    async def played(mode: str, every: int) -> World:
        world = World(0.0, 64, _CHUNK, every, mode, random.Random())
        await play_real(world, engine, info, ask, numbers)
        return world

    base = list((await played("continued", 0)).lengths.values())
    print(f"{given.real} rollouts by vLLM, mean length {statistics.mean(base):.0f}\n\n{HEAD}")
    rows = []
    for mode, every in (("continued", 0), *((m, given.real_every) for m in _REAL)):
        row = Row(mode=mode if every else "undisturbed", loss_every=every, log_every=_CHUNK)
        for _ in range(given.real_seeds):
            row.add(await played(mode, every), base)
        row.show()
        rows.append(row)
    await engine.stop()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--mean", type=float, default=3000.0)
    parser.add_argument("--slots", type=int, default=256)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--log", type=int, nargs="+", default=[16, 128, 512])
    parser.add_argument("--real", type=int, default=0, metavar="ROLLOUTS")
    parser.add_argument("--real-seeds", type=int, default=1)
    parser.add_argument("--real-every", type=int, default=24, help="rollouts between two losses")
    parser.add_argument("--max-tokens", type=int, default=256, help="of a real rollout")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures: dict[str, Any] = {"synthetic": synthetic(given) if given.rollouts else []}
    if given.real:
        figures["vllm"] = asyncio.run(real(given))
    if given.json:
        print(json.dumps({name: [asdict(row) for row in rows] for name, rows in figures.items()}))


if __name__ == "__main__":
    main()
