"""Does an interruption change what is sampled, and how many tokens does it cost?

    python -m benchmarks.interruption [--rollouts 4000] [--real 0] [--json]

An engine of known length distribution (log-normal, sigma 1; whether a rollout ends is drawn anew at
every token, so a continuation is a new sample) decodes in lockstep under `factory.crew.replica` as
it ships. It is killed every so many rollouts with everything in flight, and only what the replica
had handed over by then is there to continue from. Three ways to deal with that are compared with
the undisturbed run, by the lengths of all rollouts (two-sample Kolmogorov-Smirnov; the 1 % critical
value is printed beside the distance), their mean, and the tokens that were generated in vain:

    continued    as it ships: from the last logged token
    restarted    the same engine, saying that it cannot continue: what is lost starts over
    dropped      every interrupted rollout is given up and another one drawn in its place, as a
                 script does that collects whatever has ended when a worker dies

`--real N` does the first for the tiny model in data/ on the CPU, N rollouts: drained and continued
every so many tokens, by vLLM itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from factory.crew.replica import Ended, Progressed, Replica
from factory.engines import Chunk, EngineDead, EngineInfo, Request
from factory.types import RolloutKey, Sampling

_CHUNK = 16


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
                finish = "stop" if ends else None
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


def synthetic(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the table: mode x rollouts between two losses x cadence."""
    rows: list[dict[str, Any]] = []
    plain = World(given.mean, given.slots, _CHUNK, 0, "continued", random.Random(1))
    asyncio.run(play(plain, given.rollouts))
    base = list(plain.lengths.values())
    plan = [
        ("continued", every, log) for every in (given.every, given.every // 8) for log in given.log
    ]
    plan += [(mode, given.every // 8, 16) for mode in ("restarted", "dropped")]
    for number, (mode, every, log_every) in enumerate(plan):
        world = World(given.mean, given.slots, log_every, every, mode, random.Random(100 + number))
        asyncio.run(play(world, given.rollouts))
        lengths = list(world.lengths.values())
        distance, critical = ks(base, lengths)
        kept = sum(lengths)
        rows.append(
            {
                "mode": mode,
                "loss_every": every,
                "log_every": log_every,
                "losses": world.losses,
                "regenerated_share": round(world.generated / kept - 1, 5),
                "mean_shift": round(statistics.mean(lengths) / statistics.mean(base) - 1, 4),
                "ks": round(distance, 4),
                "ks_critical_1pct": round(critical, 4),
            }
        )
        _print(rows[-1])
    return rows


def _print(row: dict[str, Any]) -> None:
    told = "same" if row["ks"] < row["ks_critical_1pct"] else "DIFFERS"
    print(
        f"{row['mode']:10} loss every {row['loss_every']:>5} rollouts, log_every "
        f"{row['log_every']:>4}: {row['losses']:>3} losses, regenerated "
        f"{row['regenerated_share']:8.3%}, mean length {row['mean_shift']:+7.2%}, KS "
        f"{row['ks']:.4f} (1 %: {row['ks_critical_1pct']:.4f}) {told}",
        flush=True,
    )


async def _real(rollouts: int, every_s: float) -> dict[str, Any]:
    """Lengths of the tiny model's completions, undisturbed and interrupted, by vLLM."""
    from factory.engines.vllm import Engine

    engine = Engine(model="data/tiny_model", max_num_seqs=64, enforce_eager=True)
    info = await engine.start()
    with Path("data/quickstart.jsonl").open(encoding="utf-8") as lines:
        prompts = [json.loads(line)["prompt"] for line in islice(lines, 100)]
    sampling = Sampling(max_tokens=256, seed=None)

    def ask(index: int, prefix: Sequence[int] = (), restarts: int = 0) -> Request:
        messages = ({"role": "user", "content": prompts[index % len(prompts)]},)
        return Request(
            key=RolloutKey("p", index), messages=messages, sampling=sampling,  # type: ignore[arg-type]
            prefix=tuple(prefix), restarts=restarts,
        )  # fmt: skip

    async def sample(interrupt: bool) -> tuple[list[int], int, int]:
        lengths: dict[int, int] = {}
        prefixes: dict[int, list[int]] = {}
        restarts: dict[int, int] = {}
        todo = list(range(rollouts))
        interruptions = 0
        while todo:
            replica = Replica(engine, "r", 16)
            replica._info = info
            batch = todo[: info.slots] if interrupt else todo
            replica.submit(ask(i, prefixes.get(i, ()), restarts.get(i, 0)) for i in batch)
            deadline = time.monotonic() + every_s if interrupt else math.inf
            while replica._tasks and time.monotonic() < deadline:
                for event in await replica.poll(0.1):
                    _note(event, lengths, prefixes)
            if replica._tasks:  # killed: what is not logged is lost
                for task in list(replica._tasks.values()):
                    task.cancel()
                await asyncio.gather(*replica._tasks.values(), return_exceptions=True)
            for event in replica._events:
                _note(event, lengths, prefixes)
            cut = [i for i in batch if i not in lengths]
            for i in cut:
                if i in prefixes:
                    interruptions += 1
                restarts[i] = restarts.get(i, 0) + 1
            todo = [i for i in todo if i not in lengths]
        return list(lengths.values()), interruptions, sum(1 for i in restarts)

    base, _, _ = await sample(False)
    cut, interruptions, touched = await sample(True)
    await engine.stop()
    distance, critical = ks(base, cut)
    return {
        "rollouts": rollouts,
        "interruptions": interruptions,
        "interrupted_rollouts": touched,
        "mean_shift": round(statistics.mean(cut) / statistics.mean(base) - 1, 4),
        "ks": round(distance, 4),
        "ks_critical_1pct": round(critical, 4),
    }


def _note(event: Any, lengths: dict[int, int], prefixes: dict[int, list[int]]) -> None:
    match event:
        case Progressed(key, start, tokens):
            prefixes.setdefault(key.index, [])[start:] = tokens
        case Ended(rollout) if rollout.completion.finish_reason != "abort":
            lengths[rollout.index] = rollout.completion.num_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=4000)
    parser.add_argument("--mean", type=float, default=3000.0)
    parser.add_argument("--slots", type=int, default=256)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--log", type=int, nargs="+", default=[16, 128, 512])
    parser.add_argument("--real", type=int, default=0, metavar="ROLLOUTS")
    parser.add_argument("--every-s", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures: dict[str, Any] = {"synthetic": synthetic(given) if given.rollouts else []}
    if given.real:
        figures["vllm"] = asyncio.run(_real(given.real, given.every_s))
        print(f"vLLM, tiny model: {figures['vllm']}")
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
