"""The crew on a Ray cluster, and what else is spread over one: the module that imports ray.

One actor per replica, in a placement group of its own (the GPUs of a tensor- or pipeline-parallel
replica lie together, or node by node where the engine says they may spread); one actor per judge
on CPUs. The same code runs on a cluster that is started here for the run and on one that is given
by its address (`factory.crew.own_ray` keeps the former alive as long as it is needed). What the
actors do is in `factory.crew.replica` and `factory.verdicts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import AuthenticationError, GetTimeoutError, RayActorError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from factory import plugins
from factory.crew import Crew, JudgeHandle, LocalJudge, LocalReplica, Pair, ReplicaHandle, own_ray
from factory.crew.bundles import bundles_of, listed, total
from factory.crew.fence import Fence
from factory.crew.replica import ReplicaEvent
from factory.curation import setwide
from factory.engines import EngineInfo, Request, Resources
from factory.errors import ClusterError, EngineError, FactoryError, PublishError
from factory.quiet import QUIET, SECRETS
from factory.recipe import Recipe
from factory.types import RolloutKey, Verdict

_OBJECT_STORE_BYTES = 256 << 20
_STOP_S = 15.0
# One that is still starting hears nothing while it loads, and has written nothing.
_STOP_UNREADY_S = 1.0
_CONNECT_S = 10.0
_SILENT: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
_SAY_S = 10.0
_WATCH_S = 0.5
# A judge at work is asked so often whether it is still there, and has so long to answer.
_PING_S = 60.0
_PING_LIMIT_S = 300.0
# So many replicas lost on a node, each soon after its start, and others are placed elsewhere, if
# there is room within so many seconds.
_AVOIDED_AT = 3
_ELSEWHERE_S = 10.0

Item = TypeVar("Item")
Done = TypeVar("Done")


class _ReplicaActor(LocalReplica):
    """A replica in a process of its own."""

    def __init__(self, recipe: Recipe, name: str, folder: str) -> None:
        _enter(folder)
        super().__init__(recipe, name)
        if recipe.cluster.address is None:
            own_ray.ignore_sigterm()

    async def start(self) -> EngineInfo:
        own_ray.unblock_sigterm()
        return await super().start()


class _JudgeActor(LocalJudge):
    """A judge in a process of its own, with its worker process beside it."""

    def __init__(self, recipe: Recipe, folder: str) -> None:
        _enter(folder)
        super().__init__(recipe)

    async def start(self) -> None:
        own_ray.unblock_sigterm()
        await super().start()

    async def ping(self) -> None:
        """Answers, if anything does."""


def _enter(folder: str) -> None:
    """Relative paths, and modules of one's own, are the driver's; Ray starts actors elsewhere."""
    with contextlib.suppress(OSError):  # the checkout is not at this place here
        os.chdir(folder)


def connect(recipe: Recipe, resources: Resources) -> None:
    """Join the recipe's cluster, or start one on this machine that fits the recipe."""
    if recipe.cluster.address is not None:
        join(recipe.cluster.address)
        return
    if ray.is_initialized():
        return
    os.environ.update(QUIET)
    needed = recipe.cluster.replicas * resources.cpus + recipe.cluster.judges
    with own_ray.apart():
        ray.init(
            address="local",  # also where another Ray runs on this machine
            num_cpus=max(int(needed + 0.999), os.cpu_count() or 1),
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            **_SILENT,
        )


def join(address: str) -> None:
    """Connect to a running cluster, unless this process is on one already.

    Raises:
        EngineError: there is none.
    """
    if ray.is_initialized():
        return
    os.environ.update(QUIET)
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
            own_ray.show_token(address)
        ray.init(address=address, **_SILENT)
    except AuthenticationError as error:
        raise EngineError(
            f"the Ray cluster at {address!r} asks for another token than this user's: put the one "
            "of the user who started it into ~/.ray/auth_token"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"no Ray cluster at {address!r}: {error}. Give the address of a running head node "
            "(HOST:PORT), `auto` on one of its machines, or null to start a cluster here"
        ) from error


class RayReplica:
    """Handle of a replica actor.

    Args:
        fences: per node, the losses of replicas there; a node that keeps losing them is avoided
            while another one has room.
        say: told what it waits for.
    """

    def __init__(
        self,
        recipe: Recipe,
        name: str,
        fences: defaultdict[str, Fence],
        say: Callable[[str], None],
    ) -> None:
        self._recipe = recipe
        self._name = name
        self._fences = fences
        self._say = say
        self._nodes: list[str] = []
        self._group: PlacementGroup | None = None
        self._actor: Any = None
        self._ready = False

    async def start(self) -> EngineInfo:
        engine = plugins.build("engine", self._recipe.engine.name, self._recipe.engine.options)
        needs: Resources = engine.resources()
        await self._place(needs)
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_capture_child_tasks=True
        )
        self._say("starting")
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
            .remote(self._recipe, self._name, os.getcwd())
        )
        info: EngineInfo = await self._blame(_answer(self._actor.start.remote()))
        self._ready = True
        for node in self._nodes:
            self._fences[node].ready()
        return info

    async def _place(self, needs: Resources) -> None:
        """A place in the cluster: first without the nodes that keep losing replicas."""
        bundles, strategy = bundles_of(needs)
        started_here = self._recipe.cluster.address is None
        if started_here and (lacking := await asyncio.to_thread(_lacking, bundles)):
            if own_ray.has_died():
                raise ClusterError(own_ray.DIED)
            raise EngineError(
                f"a replica needs {listed(total(bundles))}; this machine lacks {lacking}. Give "
                "the address of a cluster that has it (cluster.address), or ask for less"
            )
        if avoided := [n for n, fence in self._fences.items() if fence.losses >= _AVOIDED_AT]:
            selector = {"ray.io/node-id": f"!in({','.join(avoided)})"}
            selectors = [selector] * len(bundles)
            self._group = placement_group(bundles, strategy, bundle_label_selector=selectors)
            if not await self._placed(_ELSEWHERE_S):
                remove_placement_group(self._group)
                self._group = None
        if self._group is None:
            self._group = placement_group(bundles, strategy)
            while not await self._placed(_SAY_S):
                self._say(await asyncio.to_thread(_missing, bundles, strategy))
        table = await asyncio.to_thread(placement_group_table, self._group)
        self._nodes = sorted(set(table["bundles_to_node_id"].values()))

    async def _placed(self, seconds: float) -> bool:
        assert self._group is not None
        ready = asyncio.wrap_future(self._group.ready().future())
        ready.add_done_callback(lambda f: f.cancelled() or f.exception())  # or asyncio complains
        done, _ = await asyncio.wait({ready}, timeout=seconds)
        return bool(done)

    async def _blame(self, work: Awaitable[Any]) -> Any:
        """What goes wrong counts against the nodes on which it did."""
        try:
            return await work
        except Exception:
            for node in self._nodes:
                self._fences[node].lost()
            raise

    async def submit(self, requests: list[Request]) -> None:
        await self._actor.submit.remote(requests)

    async def abort(self, keys: list[RolloutKey]) -> None:
        await self._actor.abort.remote(keys)

    async def poll(self) -> list[ReplicaEvent]:
        events: list[ReplicaEvent] = await self._blame(_answer(self._actor.poll.remote()))
        return events

    async def drain(self) -> None:
        await _answer(self._actor.drain.remote())

    async def stop(self) -> None:
        if own_ray.has_died():
            return  # nobody answers any more, and Ray waits for a minute
        if self._actor is not None:
            # An engine has processes of its own: ask first, so that it takes them along.
            await _ask_to_stop(self._actor, _STOP_S if self._ready else _STOP_UNREADY_S)
        if self._group is not None:
            remove_placement_group(self._group)


class RayJudge:
    """Handle of a judge actor.

    Args:
        say: told what it waits for.
    """

    def __init__(self, recipe: Recipe, say: Callable[[str], None]) -> None:
        self._recipe = recipe
        self._say = say
        self._actor: Any = None

    async def start(self) -> None:
        self._actor = (
            ray.remote(_JudgeActor)
            .options(num_cpus=1, max_concurrency=4, runtime_env={"env_vars": {**QUIET, **SECRETS}})
            .remote(self._recipe, os.getcwd())
        )
        started = asyncio.ensure_future(_answer(self._actor.start.remote()))
        try:
            while not (await asyncio.wait({started}, timeout=_SAY_S))[0]:
                self._say(await asyncio.to_thread(_missing, [{"CPU": 1.0}], "PACK"))
            await started
        finally:
            started.cancel()

    async def judge(self, pairs: list[Pair]) -> list[Verdict]:
        """One verdict per pair; a batch may take its time, as long as the judge can be asked.

        Raises:
            ConnectionError: it does not answer any more.
        """
        judged = asyncio.ensure_future(_answer(self._actor.judge.remote(pairs)))
        try:
            while not (await asyncio.wait({judged}, timeout=_PING_S))[0]:
                async with asyncio.timeout(_PING_LIMIT_S):
                    await self._actor.ping.remote()
            verdicts: list[Verdict] = await judged
        except TimeoutError:
            raise ConnectionError(f"no sign of life for {_PING_LIMIT_S:g} s") from None
        finally:
            judged.cancel()
        return verdicts

    async def stop(self) -> None:
        if self._actor is not None and not own_ray.has_died():
            await _ask_to_stop(self._actor, _STOP_S)


class RayCrew(Crew):
    """Everyone as Ray actors."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._fences: defaultdict[str, Fence] = defaultdict(Fence)

    async def start(self) -> None:
        engine = plugins.build("engine", self._recipe.engine.name, self._recipe.engine.options)
        await asyncio.to_thread(connect, self._recipe, engine.resources())
        # Ray has put handlers of its own beneath Python's.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.getsignal(number))
        await super().start()
        if self._recipe.cluster.address is None:
            self.spawn(self._watch(), "ray")

    async def _watch(self) -> None:
        while not own_ray.has_died():
            await asyncio.sleep(_WATCH_S)
        raise ClusterError(own_ray.DIED)

    def make_replica(self, name: str) -> ReplicaHandle:
        return RayReplica(self._recipe, name, self._fences, partial(self.waiting, name))

    def make_judge(self, name: str) -> JudgeHandle:
        return RayJudge(self._recipe, partial(self.waiting, name))

    async def close(self) -> None:
        await super().close()
        if self._recipe.cluster.address is None:
            await asyncio.to_thread(ray.shutdown)


async def _ask_to_stop(actor: Any, limit_s: float) -> None:
    with contextlib.suppress(RayActorError, GetTimeoutError, TimeoutError, RayTaskError):
        async with asyncio.timeout(limit_s):
            await actor.stop.remote()
    ray.kill(actor)


def _lacking(bundles: list[dict[str, float]]) -> str:
    """What the whole cluster has too little of, with what it has; empty if it has all."""
    there = ray.cluster_resources()
    needs = total(bundles)
    return listed({k: there.get(k, 0.0) for k, n in needs.items() if there.get(k, 0.0) < n})


def _missing(bundles: list[dict[str, float]], strategy: str) -> str:
    """What a placement waits for, beside what the cluster has."""
    there, free = ray.cluster_resources(), ray.available_resources()
    needs = total(bundles)
    has = ", ".join(f"{free.get(k, 0):g} of {there.get(k, 0):g} {k}" for k in needs)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    together = " on one node" if strategy == "STRICT_PACK" else ""
    fits = any(all(node.get(k, 0) >= n for k, n in bundles[0].items()) for node in nodes)
    never = "" if fits else "; no node is large enough, so it waits for one that is"
    return f"waits for {listed(needs)}{together}; {has} free on {len(nodes)} nodes{never}"


def spread(work: Callable[[Item], Done], items: Sequence[Item]) -> Iterator[Done]:
    """`map` over the cluster that this process has joined, one item to a CPU: a `hub.Spread`.

    A worker that dies is replaced, and finds what the first one had uploaded.

    Raises:
        PublishError: workers keep dying.
    """
    lost = PublishError(
        "the worker that uploads was lost (and those after it); run the same command again: what "
        "has been uploaded is not uploaded again"
    )
    return setwide.spread(work, items, lost=lost)


async def _answer(reference: Any) -> Any:
    """An actor's answer; an error that is meant for the user comes without the remote trace."""
    try:
        return await reference
    except RayTaskError as error:
        if isinstance(error.cause, FactoryError):
            raise error.cause from None
        raise
