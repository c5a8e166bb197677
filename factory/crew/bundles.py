"""What a replica needs, as Ray counts it."""

from __future__ import annotations

from collections import defaultdict

from factory.engines import Resources


def bundles_of(needs: Resources) -> tuple[list[dict[str, float]], str]:
    """Placement bundles and their strategy for one replica."""
    if needs.spread and needs.gpus:
        first = {"CPU": needs.cpus, "GPU": 1.0}
        return [first, *({"GPU": 1.0} for _ in range(needs.gpus - 1))], "PACK"
    bundle = {"CPU": needs.cpus}
    if needs.gpus:
        bundle["GPU"] = float(needs.gpus)
    return [bundle], "STRICT_PACK"


def total(bundles: list[dict[str, float]]) -> dict[str, float]:
    """What all of them hold together."""
    found: dict[str, float] = defaultdict(float)
    for bundle in bundles:
        for kind, amount in bundle.items():
            found[kind] += amount
    return dict(found)


def listed(resources: dict[str, float]) -> str:
    """Resources in words."""
    return " + ".join(f"{amount:g} {kind}" for kind, amount in resources.items())
