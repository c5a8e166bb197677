"""What Ray costs the driver: CPU milliseconds of its process for each answer of a replica.

    python -m benchmarks.messages [--actors 2] [--polls 2000] [--json]

Actors answer polls as replicas do (`factory.cluster`), without an engine, with so many events at
once: logged tokens (128 each) and, one in twenty-five, an ended rollout of 12,000 characters. The
driver asks each of them one poll at a time and does nothing with the answers. Counted is the CPU
time of the driver's whole process, Ray's threads in it included; so a cluster's driver pays
`polls/s * per_poll_ms`, whatever it does with the events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from typing import Any

import ray

from factory.crew.replica import Ended, Progressed, ReplicaEvent
from factory.quiet import QUIET
from factory.types import Completion, Rollout, RolloutKey

AT_ONCE = (0, 1, 5, 25, 100)
ONE_ENDS_IN = 25


class Replica:
    """Answers at once, always with as many events."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._number = 0

    async def poll(self) -> list[ReplicaEvent]:
        return [self._event() for _ in range(self._events)]

    def _event(self) -> ReplicaEvent:
        self._number += 1
        key = RolloutKey(f"problem-{self._number:012d}", self._number % 16)
        if self._number % ONE_ENDS_IN:
            return Progressed(key, 128, tuple(range(self._number, self._number + 128)))
        text = f"{self._number:012d}" * 1000
        return Ended(
            Rollout(
                problem_id=key.problem_id,
                index=key.index,
                model="none",
                completion=Completion(text=text, num_tokens=3200),
                seed=self._number,
                replica="replica-0",
            )
        )


async def asked(actors: list[Any], polls: int) -> float:
    """CPU seconds of this process for so many polls of each."""

    async def ask(actor: Any, times: int) -> None:
        for _ in range(times):
            await actor.poll.remote()

    await asyncio.gather(*(ask(actor, 20) for actor in actors))
    before = time.process_time()
    await asyncio.gather(*(ask(actor, polls) for actor in actors))
    return time.process_time() - before


def measured(events: int, actors: int, polls: int) -> dict[str, float]:
    kind = ray.remote(Replica).options(num_cpus=0, max_concurrency=4)
    handles = [kind.remote(events) for _ in range(actors)]
    each = asyncio.run(asked(handles, polls)) / (actors * polls)
    for handle in handles:
        ray.kill(handle)
    row = {"events": events, "per_poll_ms": round(1000 * each, 3)}
    print(f"{events:>4} events a poll: {1000 * each:.3f} ms of CPU a poll", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--polls", type=int, default=2000, help="of each actor")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ.update(QUIET)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = [measured(n, given.actors, max(200, given.polls // max(1, n))) for n in AT_ONCE]
    finally:
        ray.shutdown()
    if given.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
