"""The crew on a Ray cluster, and what else is spread over one: the module that imports ray.

One actor per replica, in a placement group of its own (the GPUs of a tensor- or pipeline-parallel
replica lie together, or node by node where the engine says they may spread); one actor per judge
on CPUs. The same code runs on a cluster that is started here for the run and on one that is given
by its address. What the actors do is in `factory.replica` and `factory.verdicts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from factory import plugins
from factory.crew import Crew, JudgeHandle, LocalJudge, LocalReplica, Pair, ReplicaHandle
from factory.engines import EngineInfo, Request, Resources
from factory.errors import EngineError, FactoryError, PublishError
from factory.quiet import QUIET, SECRETS
from factory.recipe import Recipe
from factory.replica import ReplicaEvent
from factory.types import RolloutKey, Verdict

_OBJECT_STORE_BYTES = 256 << 20
_STOP_S = 15.0
_CONNECT_S = 10.0
_UPLOADS_END_S = 60.0

Item = TypeVar("Item")
Done = TypeVar("Done")


class _ReplicaActor(LocalReplica):
    """A replica in a process of its own."""


class _JudgeActor(LocalJudge):
    """A judge in a process of its own, with its worker process beside it."""


def connect(recipe: Recipe, resources: Resources) -> None:
    """Join the recipe's cluster, or start one on this machine that fits the recipe."""
    if ray.is_initialized():
        return
    os.environ.update(QUIET)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if recipe.cluster.address is not None:
        _join(recipe.cluster.address, common)
        return
    needed = recipe.cluster.replicas * resources.cpus + recipe.cluster.judges
    ray.init(
        num_cpus=max(int(needed + 0.999), os.cpu_count() or 1),
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        **common,
    )


def join(address: str) -> None:
    """Connect to a running cluster, with nothing of ours on it yet.

    Raises:
        EngineError: there is none.
    """
    if not ray.is_initialized():
        os.environ.update(QUIET)
        _join(address, {"log_to_driver": False, "logging_level": "error"})


def _join(address: str, options: dict[str, Any]) -> None:
    """Connect to a running cluster.

    Raises:
        EngineError: there is none.
    """
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"no Ray cluster at {address!r}: {error}. Give the address of a running head node "
            "(HOST:PORT), `auto` on one of its machines, or null to start a cluster here"
        ) from error


class RayReplica:
    """Handle of a replica actor."""

    def __init__(self, recipe: Recipe, name: str) -> None:
        self._recipe = recipe
        self._name = name
        self._group: PlacementGroup | None = None
        self._actor: Any = None

    async def start(self) -> EngineInfo:
        engine = plugins.build("engine", self._recipe.engine.name, self._recipe.engine.options)
        needs: Resources = engine.resources()
        self._group = placement_group(*_bundles(needs))
        await self._group.ready()
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_capture_child_tasks=True
        )
        self._actor = (
            ray.remote(_ReplicaActor)
            .options(
                num_cpus=needs.cpus,
                num_gpus=0 if needs.spread else needs.gpus,
                scheduling_strategy=strategy,
                max_concurrency=64,
                runtime_env={
                    "env_vars": {**QUIET, **({} if needs.hub else SECRETS), **needs.environment}
                },
            )
            .remote(self._recipe, self._name)
        )
        info: EngineInfo = await _answer(self._actor.start.remote())
        return info

    async def submit(self, requests: list[Request]) -> None:
        await self._actor.submit.remote(requests)

    async def abort(self, keys: list[RolloutKey]) -> None:
        await self._actor.abort.remote(keys)

    async def poll(self) -> list[ReplicaEvent]:
        events: list[ReplicaEvent] = await _answer(self._actor.poll.remote())
        return events

    async def drain(self) -> None:
        await _answer(self._actor.drain.remote())

    async def stop(self) -> None:
        if self._actor is not None:
            # An engine has processes of its own: ask first, so that it takes them along.
            with contextlib.suppress(RayActorError, GetTimeoutError, TimeoutError, RayTaskError):
                await asyncio.wait_for(self._actor.stop.remote(), _STOP_S)
            ray.kill(self._actor)
        if self._group is not None:
            remove_placement_group(self._group)


class RayJudge:
    """Handle of a judge actor."""

    def __init__(self, recipe: Recipe) -> None:
        self._actor: Any = (
            ray.remote(_JudgeActor)
            .options(num_cpus=1, max_concurrency=4, runtime_env={"env_vars": {**QUIET, **SECRETS}})
            .remote(recipe)
        )

    async def start(self) -> None:
        await _answer(self._actor.start.remote())

    async def judge(self, pairs: list[Pair]) -> list[Verdict]:
        verdicts: list[Verdict] = await _answer(self._actor.judge.remote(pairs))
        return verdicts

    async def stop(self) -> None:
        with contextlib.suppress(RayActorError, TimeoutError, RayTaskError):
            await asyncio.wait_for(self._actor.stop.remote(), _STOP_S)
        ray.kill(self._actor)


class RayCrew(Crew):
    """Everyone as Ray actors."""

    async def start(self) -> None:
        engine = plugins.build("engine", self._recipe.engine.name, self._recipe.engine.options)
        await asyncio.to_thread(connect, self._recipe, engine.resources())
        # Ray has put handlers of its own beneath Python's.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.getsignal(number))
        await super().start()

    def make_replica(self, name: str) -> ReplicaHandle:
        return RayReplica(self._recipe, name)

    def make_judge(self) -> JudgeHandle:
        return RayJudge(self._recipe)

    async def close(self) -> None:
        await super().close()
        if self._recipe.cluster.address is None:
            await asyncio.to_thread(ray.shutdown)


def spread(work: Callable[[Item], Done], items: Sequence[Item]) -> Iterator[Done]:
    """`map` over the cluster that this process has joined, one item to a CPU: a `hub.Spread`.

    The token travels as an argument: what is in a worker's environment, Ray writes to its logs.
    A worker that dies is replaced, and finds what the first one had uploaded. After an error, what
    is under way is let end and nothing further begins (Ray 2.60 can abort a driver that cancels).

    Raises:
        PublishError: workers keep dying.
    """
    task = ray.remote(_carry).options(
        num_cpus=1,
        max_retries=3,
        scheduling_strategy="SPREAD",
        runtime_env={"env_vars": {**QUIET, **SECRETS}},
    )
    ahead = iter(items)
    at_once = max(1, int(ray.cluster_resources().get("CPU", 1)))
    flying = deque(task.remote(work, item) for item in islice(ahead, at_once))
    try:
        while flying:
            done: Done = ray.get(flying[0])
            flying.popleft()
            flying.extend(task.remote(work, item) for item in islice(ahead, 1))
            yield done
    except RayError as error:
        ray.wait(list(flying), num_returns=len(flying), timeout=_UPLOADS_END_S)
        if isinstance(error, RayTaskError):
            if isinstance(error.cause, FactoryError):
                raise error.cause from None
            raise
        raise PublishError(
            f"the worker that uploads was lost ({type(error).__name__}); run the same command "
            "again: what has been uploaded is not uploaded again"
        ) from None


def _carry(work: Callable[[Item], Done], item: Item) -> Done:
    return work(item)


async def _answer(reference: Any) -> Any:
    """An actor's answer; an error that is meant for the user comes without the remote trace."""
    try:
        return await reference
    except RayTaskError as error:
        if isinstance(error.cause, FactoryError):
            raise error.cause from None
        raise


def _bundles(needs: Resources) -> tuple[list[dict[str, float]], str]:
    """Placement bundles and their strategy for one replica."""
    if needs.spread and needs.gpus:
        first = {"CPU": needs.cpus, "GPU": 1.0}
        return [first, *({"GPU": 1.0} for _ in range(needs.gpus - 1))], "PACK"
    bundle = {"CPU": needs.cpus}
    if needs.gpus:
        bundle["GPU"] = float(needs.gpus)
    return [bundle], "STRICT_PACK"
