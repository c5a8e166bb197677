"""`factory plan`: the pilot, the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from factory import plugins
from factory.forecast import beside
from factory.forecast.outlook import BANDS, Outlook, alternatives, histogram, outlook
from factory.forecast.pilot import Pilot, pilot
from factory.recipe import Recipe

_BAR = 40
_FIGURES = ("solved", "traces", "rollouts", "tokens", "hours", "gpu_hours", "cost")


def plan(given: Recipe, arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Run the pilot, print what a run would come to, and keep it in the run's folder."""
    folder: Path = arguments.out or Path("runs") / given.name
    done = pilot(given, folder / "pilot", say, sample=arguments.sample, n=arguments.rollouts)
    engine = plugins.build("engine", given.engine.name, given.engine.options)
    outlooks = []
    for policy in alternatives(given):
        say(f"{folder}: looking ahead with policy {policy.name}")
        outlooks.append(
            outlook(
                policy,
                given,
                done.sampled,
                problems=done.problems,
                tokens_per_s=max(done.tokens_per_s, 1e-9),
                gpus=engine.resources().gpus,
            )
        )
    made = _plan(given, done, outlooks)
    beside.keep(folder, made)
    print(json.dumps(made) if arguments.json else "\n".join(_lines(made)))


def _plan(given: Recipe, done: Pilot, outlooks: Sequence[Outlook]) -> dict[str, Any]:
    return {
        "problems": done.problems,
        "pilot": {
            "problems": len(done.sampled),
            "rollouts": sum(len(p.right) + len(p.failed) for p in done.sampled),
            "tokens": done.tokens,
            "tokens_per_s": round(done.tokens_per_s, 1),
        },
        "pass_rates": [round(share, 4) for share in histogram(done.sampled)],
        "replicas": given.cluster.replicas,
        "gpu_hour_price": given.cluster.gpu_hour_price,
        "outlooks": [asdict(one) for one in outlooks],
    }


def _lines(made: dict[str, Any]) -> Iterator[str]:
    pilot_ = made["pilot"]
    yield (
        f"pilot: {pilot_['problems']:,} problems, {pilot_['rollouts']:,} judged rollouts, "
        f"{pilot_['tokens']:,} tokens at {pilot_['tokens_per_s']:,.0f} tokens/s"
    )
    yield f"pass rates, as they let one guess the {made['problems']:,} problems:"
    for band, share in enumerate(made["pass_rates"]):
        bar = "#" * round(share * _BAR)
        yield f"  {band / BANDS:.1f} to {(band + 1) / BANDS:.1f}  {share:6.1%}  {bar}"
    yield "what a run comes to, with 90 % intervals; the recipe's policy first:"
    names = [_named(one["policy"]) for one in made["outlooks"]]
    cells = [[beside.shown(one[name]) for one in made["outlooks"]] for name in _FIGURES]
    widths = [max(map(len, [name, *(row[i] for row in cells)])) for i, name in enumerate(names)]
    yield f"  {'':<10}  " + "  ".join(n.ljust(w) for n, w in zip(names, widths, strict=True))
    for name, row in zip(_FIGURES, cells, strict=True):
        text = "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
        yield f"  {name.replace('_', ' '):<10}  {text}".rstrip()
    yield (
        f"time and money: {made['replicas']} replicas at the pilot's speed, its start and thin end "
        f"included; {made['gpu_hour_price']:g} per GPU and hour. Not foreseen: what filters for "
        "near-duplicates and quality drop."
    )


def _named(policy: dict[str, Any]) -> str:
    given = ", ".join(f"{key}={value}" for key, value in policy.items() if key != "name")
    return f"{policy['name']}({given})"
