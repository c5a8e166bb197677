"""Uploading from the workers of a Ray cluster: a `Spread` for `factory.hub.publish`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from factory.errors import FactoryError, PublishError
from factory.quiet import QUIET, SECRETS


def spread_on_ray(work: Callable[[Any], Any], parcels: Sequence[Any]) -> Iterator[Any]:
    """Gives every parcel to a worker somewhere in the cluster, one to a CPU; see `hub.Spread`.

    The token travels as an argument: what is in a worker's environment, Ray writes to its logs.
    A worker that dies is replaced, and finds what the first one had uploaded.
    """
    task = ray.remote(_carry).options(
        num_cpus=1,
        max_retries=3,
        scheduling_strategy="SPREAD",
        runtime_env={"env_vars": {**QUIET, **SECRETS}},
    )
    waiting = [task.remote(work, parcel) for parcel in parcels]
    try:
        for reference in waiting:
            yield ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, FactoryError):
            raise error.cause from None
        raise
    except RayError as error:
        raise PublishError(
            f"the worker that uploads was lost ({type(error).__name__}); run the same command "
            "again: what has been uploaded is not uploaded again"
        ) from None
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)


def _carry(work: Callable[[Any], Any], parcel: Any) -> Any:
    return work(parcel)
