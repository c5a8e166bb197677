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
from factory.simulation.command import left_out

_BAR = 40
_FIGURES = ("solved", "traces", "rollouts", "tokens", "hours", "gpu_hours", "cost")
_UNITS = {"budget": "tokens", "gpu_hours": "GPU-hours"}


def plan(given: Recipe, arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Run the pilot, print what a run would come to, and keep it in the run's folder."""
    folder: Path = arguments.out or Path("runs") / given.name
    for line in left_out(given):
        say(f"{folder}: {line}")
    done = pilot(given, folder / "pilot", say, sample=arguments.sample, n=arguments.rollouts)
    engine = plugins.build("engine", given.engine.name, given.engine.options)
    gpus = engine.resources().gpus
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
                gpus=gpus,
            )
        )
    made = _plan(given, done, outlooks, gpus)
    beside.keep(folder, made)
    print(json.dumps(made) if arguments.json else "\n".join(_lines(made)))


def _plan(given: Recipe, done: Pilot, outlooks: Sequence[Outlook], gpus: float) -> dict[str, Any]:
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
        "gpus": gpus,
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
    yield from _bought(made)
    price = f"{made['gpu_hour_price']:g} per GPU and hour"
    yield (
        "time and money: at the pilot's speed, its start and thin end included, with as many "
        f"replicas as it had ({made['replicas']}); "
        f"{price if made['gpus'] else 'the engine asks for no GPU'}. "
        "Not foreseen: what filters for near-duplicates and quality drop."
    )


def _bought(made: dict[str, Any]) -> Iterator[str]:
    """What the recipe's budget comes to, beside the same policy without one."""
    own, without, *_ = made["outlooks"]
    caps = [
        f"{own['policy'][option]:,g} {unit}"
        for option, unit in _UNITS.items()
        if own["policy"].get(option) is not None
    ]
    if caps:
        yield (
            f"the budget of {' and '.join(caps)} buys {beside.shown(own['traces'])} traces, no "
            f"budget {beside.shown(without['traces'])}; it is spent before "
            f"{beside.shown(own['out_of_budget'])} of {made['problems']:,} problems are finished"
        )


def _named(policy: dict[str, Any]) -> str:
    given = ", ".join(f"{key}={value}" for key, value in policy.items() if key != "name")
    return f"{policy['name']}({given})"
