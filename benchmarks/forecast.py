"""Whether `factory plan` says how sure it is: nominal against actual coverage of its intervals.

    python -m benchmarks.forecast [--pools 56] [--problems 360] [--sample 96] [--rollouts 6]
                                  [--pictures DIR] [--json]

Pools of problems are drawn, in the four shapes of `factory.simulation.pool.POOLS`, half of them
with right rollouts that often repeat each other. A pilot takes some rollouts of some of the
problems, as `factory plan` does; a simulated run of the quickstart's recipe on all of them says
what comes of it, with the rollouts that the pilot saw and all others. An interval of 90 % should
hold nine in ten of the figures. No engine and no file is involved.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import _pictures
from factory import plugins, recipe
from factory.forecast.outlook import Outlook, outlook
from factory.forecast.world import Sampled
from factory.simulation.assumptions import Judging, Scenario, Speed, Supply
from factory.simulation.pool import POOLS, Drawn, Lengths
from factory.simulation.world import World

RECIPE = Path("pipelines/quickstart.yaml")
REPEATS = (0.0, 0.35)
FIGURES = ("solved", "traces", "rollouts", "tokens")


def pools(count: int) -> Iterator[tuple[str, Drawn]]:
    """Pools of every shape in turn, no two alike."""
    kinds = [(name, repeats) for repeats in REPEATS for name in POOLS]
    lengths = Lengths(median=200, sigma=0.8, most=1024)
    for seed in range(count):
        name, repeats = kinds[seed % len(kinds)]
        yield (
            f"{name}, repeats {repeats:g}",
            Drawn(POOLS[name], lengths, prompt_tokens=20, seed=seed, repeats=repeats),
        )


def pilot(pool: Drawn, problems: int, sample: int, rollouts: int, seed: int) -> list[Sampled]:
    """What a pilot would have measured."""
    chosen = random.Random(seed).sample(range(problems), sample)
    return [
        Sampled.drawn([pool.problem(number).draw(i) for i in range(rollouts)], pool.prompt_tokens)
        for number in chosen
    ]


def truth(pool: Drawn, problems: int, given: recipe.Recipe) -> dict[str, float]:
    """What a run on the whole pool comes to."""
    scenario = Scenario(
        supply=Supply(problems=problems),
        speed=Speed(start_s=0.0),
        judging=Judging(judges=8),
        keep=given.traces.max_per_problem,
    )
    policy = plugins.build("policy", given.policy.name, given.policy.options)
    figures = World(scenario, policy, pool).run()
    return {
        "solved": sum(band.solved for band in figures.bands),
        "traces": figures.kept,
        "rollouts": figures.rollouts + figures.aborted,
        "tokens": figures.tokens.total,
    }


def covered(foreseen: Outlook, came: dict[str, float]) -> dict[str, tuple[bool, float]]:
    """By figure: whether it lies in its interval, and by how much the forecast is off."""
    found = {}
    for name in FIGURES:
        figure = getattr(foreseen, name)
        inside = figure.low <= came[name] <= figure.high
        found[name] = inside, figure.value / came[name] - 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", type=int, default=56)
    parser.add_argument("--problems", type=int, default=360)
    parser.add_argument("--sample", type=int, default=96)
    parser.add_argument("--rollouts", type=int, default=6)
    parser.add_argument("--pictures", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    given = recipe.load(RECIPE)
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in FIGURES}
    for seed, (name, pool) in enumerate(pools(asked.pools)):
        sampled = pilot(pool, asked.problems, asked.sample, asked.rollouts, seed)
        foreseen = outlook(
            given.policy, given, sampled, problems=asked.problems, tokens_per_s=1, gpus=0, seed=seed
        )
        row = covered(foreseen, truth(pool, asked.problems, given))
        told = ", ".join(f"{n} {off:+.0%}{'' if ok else '!'}" for n, (ok, off) in row.items())
        print(f"{name}: {told}", flush=True)
        for figure, one in row.items():
            found[figure].append(one)
    table: dict[str, Any] = {
        name: {
            "inside": round(fmean(ok for ok, _ in rows), 3),
            "mean_off": round(fmean(off for _, off in rows), 4),
            "mean_abs_off": round(fmean(abs(off) for _, off in rows), 4),
            "off": [round(off, 4) for _, off in rows],
        }
        for name, rows in found.items()
    }
    print(f"of {asked.pools} runs, in an interval of 90 %; mean error; mean size of the error:")
    for name, row_ in table.items():
        print(
            f"  {name:<9} {row_['inside']:.0%}  {row_['mean_off']:+.1%}  {row_['mean_abs_off']:.1%}"
        )
    if asked.pictures:
        _pictures.draw({"plan": table}, asked.pictures)
    if asked.json:
        print(
            json.dumps({"pools": asked.pools, "problems": asked.problems, "nominal": 0.9, **table})
        )


if __name__ == "__main__":
    main()
