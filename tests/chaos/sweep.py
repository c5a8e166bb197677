"""Every fault at every call, for several ways in which a run can go."""

from __future__ import annotations

import asyncio
import gc
import random
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from factory import run
from factory.engines import Chunk, Request, scripted
from factory.recipe import Recipe
from tests.chaos.disk import Tree
from tests.chaos.tap import Fault
from tests.chaos.trials import Bench, Recording, Trial, crash_states
from tests.chaos.world import World, sums

CRASHES = (
    "death",
    "torn",
    "power: nothing",
    "power: names",
    "power: content",
    "power: some",
    "power: holes",
)
LIVE = (
    ("ENOSPC", False),
    ("ENOSPC", True),
    ("EIO", False),
    ("EIO", True),
    ("EROFS", True),
    ("short", False),
    ("die", False),
    ("died", False),
    ("torn", False),
)

_SLOW_S = 60.0
"""Between the words of a rollout that is cut before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way in which a command goes, and the folder it finds."""

    name: str
    world: World
    before: Callable[[Bench], Tree] = lambda bench: {}
    """Makes what an earlier command has left."""
    lag: int = 0
    """See `tests.chaos.world.Later`."""
    same: bool = True
    """The dataset does not depend on timing, so it must be that of the undisturbed run. Where the
    policy cuts rollouts short as others end, it must be what the ledger gives again."""

    def bench(self, place: Path) -> tuple[Bench, Tree]:
        bench = Bench(world=self.world, place=place, same=self.same)
        start = self.before(bench)
        bench.reference(start)
        return bench, start


def scenarios(place: Path) -> list[Scenario]:
    """The ways: `place` takes their files."""
    plain = sums(place / "plain")
    dying = sums(place / "dying", "engine.die_after=5", "cluster.log_every=8")
    adaptive = sums(
        place / "adaptive", "policy={name: adaptive, accept: 1, at_most: 4}", "engine.slots=3"
    )
    return [
        Scenario(name="fresh", world=plain),
        Scenario(name="sealing late", world=plain, lag=11),
        Scenario(name="resumed", world=plain, before=_interrupted),
        Scenario(name="resumed twice", world=plain, before=_interrupted_twice, lag=5),
        Scenario(name="grown", world=plain, before=_smaller),
        Scenario(name="dying engine", world=dying),
        Scenario(name="adaptive", world=adaptive, same=False),
        Scenario(
            name="judged again",
            world=replace(plain, command=_judge_again),
            before=lambda bench: _finished(bench, plain),
        ),
        Scenario(
            name="tried again",
            world=replace(plain, command=_try_again),
            before=lambda bench: _poisoned(bench, plain),
        ),
    ]


def _try_again(recipe: Recipe, folder: Path) -> Any:
    return run.run(recipe, folder, lambda line: None, retry_set_aside=True)


def _poisoned(bench: Bench, world: World) -> Tree:
    """A complete run in which one problem was set aside, a rollout of it half-written."""
    generate = scripted.Engine.generate

    async def breaking(self: scripted.Engine, request: Request) -> AsyncIterator[Chunk]:
        poison = re.match(r"What is 1\d ", str(request.messages[-1]["content"]))
        written = 0
        async for chunk in generate(self, request):
            if poison and request.key.index == 1 and chunk.finish_reason:
                raise RuntimeError("poisoned")
            yield chunk
            written += chunk.num_tokens
            if poison and request.key.index == 0 and written > 2 * world.recipe.cluster.log_every:
                await asyncio.sleep(_SLOW_S)

    with mock.patch.object(scripted.Engine, "generate", breaking):
        return _finished(bench, world)


def _judge_again(_: Recipe, folder: Path) -> Any:
    run.rejudge(folder, lambda line: None, ["verifiers=[{name: tests.never_sure}]"])
    return run.make_dataset(folder)


def _finished(bench: Bench, world: World) -> Tree:
    return replace(bench, world=world).record().end


def _smaller(bench: Bench) -> Tree:
    """A complete run of fewer problems."""
    recipe = bench.world.recipe.model_copy(update={"limit": 2})
    return _finished(bench, replace(bench.world, recipe=recipe))


def _interrupted(bench: Bench, start: Tree | None = None, share: float = 0.4) -> Tree:
    """A run that died in the middle of a write."""
    recording = bench.record(start, lag=11)
    torn = list(crash_states(recording, ["torn"]))
    in_log = [s for s in torn if recording.ops[s.position].path.endswith(".log")]
    return in_log[int(len(in_log) * share)].tree


def _interrupted_twice(bench: Bench) -> Tree:
    return _interrupted(bench, _interrupted(bench, share=0.3))


def quietly() -> None:
    """Collections of garbage cost more than the trials: what is there now stays."""
    gc.collect()
    gc.freeze()


def crashes(
    scenario: Scenario, place: Path, *, seed: int = 0, some: int = 1, every: int = 1
) -> Iterator[Trial]:
    """Deaths, torn writes and power losses at every call of a scenario.

    Args:
        some: states by chance of each call and kind that has a choice.
        every: take one state in so many.
    """
    bench, start = scenario.bench(place)
    recording = bench.record(start, lag=scenario.lag)
    check_recording(recording)
    yield from bench.trials(recording, CRASHES, seed=seed, some=some, every=every)


def check_recording(recording: Recording) -> None:
    """The harness saw everything, and the run went well."""
    assert not recording.error, recording.error
    assert recording.whole, "something was written past the harness"


def live(
    scenario: Scenario,
    place: Path,
    kinds: Sequence[tuple[str, bool]] = LIVE,
    *,
    seed: int = 0,
    every: int = 1,
    power: float = 0.3,
) -> Iterator[Trial]:
    """Errors of the disk, and deaths for real, at the calls of a scenario.

    Args:
        every: take one call in so many, another one for each kind.
        power: share of trials in which the machine goes down after the command has ended.
    """
    rng = random.Random(seed)
    bench, start = scenario.bench(place)
    sites = bench.record(start, lag=scenario.lag).sites
    for number, (kind, stays) in enumerate(kinds):
        for site in range(number % every, sites, every):
            fault = Fault(kind=kind, site=site, share=rng.random(), stays=stays)
            down = rng.random() < power
            yield bench.with_fault(fault, start, power=down, lag=scenario.lag)
