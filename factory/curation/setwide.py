"""Work on a whole set, spread over a Ray cluster: results in order, memory that does not grow.

`factory curate` hands each worker one range of problems and takes what they make in order, so the
dataset is the one that a single process makes. A range travels as an argument: workers need not
see the run folder. At most one range for each CPU is under way; a worker that dies is replaced and
its range given to another one.

Plain tasks and not `ray.data`: it takes no rows as they are made, so that all ranges would have to
lie in the object store at once or in a folder that every machine sees, and it takes more memory
(`python -m benchmarks.curate --ways ray data`).
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from factory.curation.groups import RANGE_BYTES, Range, Spread, extent, ranges
from factory.curation.parts import Part, Plan, parts, whole
from factory.errors import CurateError, EngineError, FactoryError
from factory.quiet import QUIET, SECRETS
from factory.recipe import Cluster

Item = TypeVar("Item")
Done = TypeVar("Done")

WORTHWHILE = 8
"""Ranges from which on workers are started: that takes as long as some ranges do."""
RETRIES = 3
"""Times that an item is given to another worker after one has died of it."""
# What a range and what is made of it take in the object store, for each CPU.
_STORE_BYTES = 64 << 20
# How long that is waited for.
_END_S = 60.0


def made(
    ledger: Path, plan: Plan, spread: Spread, range_bytes: int = RANGE_BYTES
) -> Generator[Part]:
    """The parts of a ledger's dataset, in order. Closing it deletes its range files.

    Args:
        range_bytes: records of one range; the dataset does not depend on it.

    Raises:
        LedgerError: there is no ledger, or it is damaged.
        CurateError: a problem makes the code fail; it is named.
    """
    with contextlib.closing(ranges(ledger, range_bytes, spread)) as found:
        if spread is map:
            yield from parts((group for one in found for group in one.groups()), plan)
        else:
            yield from spread(partial(_part, plan), found)


def _part(plan: Plan, one: Range) -> Part:
    return whole(one.groups(), plan)


@contextlib.contextmanager
def workers(where: Cluster, ledger: Path, say: Callable[[str], None]) -> Iterator[Spread]:
    """Who works on a ledger: this process if there is little in it, else the recipe's cluster.

    A cluster that is gone, or a Ray that is not installed, is no reason to refuse: the work is
    the same anywhere. It is said, and done here.
    """
    if where.backend == "local" or extent(ledger) < WORTHWHILE * RANGE_BYTES:
        yield map
        return
    with contextlib.ExitStack() as stack:
        spread: Spread = map
        try:
            spread = stack.enter_context(cluster(where.address))
        except ImportError as error:
            say(f"{error}: curating in this process alone")
        except EngineError as error:
            say(f"{error}. Curating on this machine")
            spread = stack.enter_context(cluster(None))
        yield spread


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[Spread]:
    """The cluster at an address, or one on this machine for as long as it is needed.

    Args:
        address: as `cluster.address` in a recipe.

    Raises:
        EngineError: there is none at the address.
        ImportError: Ray is not installed.
    """
    import ray

    if ray.is_initialized():
        yield spread
        return
    if address is not None:
        from factory.cluster import join

        join(address)
    else:
        os.environ.update(QUIET)
        cpus = len(os.sched_getaffinity(0))
        ray.init(
            address="local",  # and no cluster that someone else has started here
            num_cpus=cpus,
            object_store_memory=(1 + cpus) * _STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
    try:
        yield spread
    finally:
        ray.shutdown()


def spread(
    work: Callable[[Item], Done],
    items: Iterable[Item],
    /,
    lost: FactoryError | None = None,
) -> Iterator[Done]:
    """`map` over the cluster that this process has joined, one item to a CPU.

    Work and items travel as arguments: what is in a worker's environment, Ray writes to its logs.
    After an error, what is under way is let end and nothing further begins (Ray 2.60 can abort a
    driver that cancels).

    Args:
        items: taken as workers become free, a few ahead of the results.
        lost: raised where workers keep dying.

    Raises:
        FactoryError: what the work raised, without the remote trace, or `lost`.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    task = ray.remote(_carry).options(
        num_cpus=1,
        max_retries=RETRIES,
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
            del done
    except RayError as error:
        ray.wait(list(flying), num_returns=len(flying), timeout=_END_S)
        if isinstance(error, RayTaskError):
            if isinstance(error.cause, FactoryError):
                raise error.cause from None
            raise
        raise lost or CurateError(
            f"a worker died {1 + RETRIES} times on the same range ({type(error).__name__}): it "
            "may need more memory than a node has. The ledger and the earlier dataset are intact"
        ) from None


def _carry(work: Callable[[Item], Done], item: Item) -> Done:
    return work(item)
