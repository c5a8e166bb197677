"""Forecasts beside real runs, and what a simulation of a large cluster costs.

    python -m benchmarks.simulation [--parts scripted,saturation,tail] [--rollouts N] [--json]
                                    [--pictures DIR]

scripted    runs with the scripted engine at a set pace: one with fixed n is measured and recorded,
            another with the adaptive policy is forecast from it, and then run. Rollouts are the
            recorded ones (their seeds decide what they are), so what is forecast is the schedule.
vllm        the same with the tiny model: two runs with batches of 16 and 128 give the engine's two
            speeds (fitted until their own forecast takes as long as they did), a third is forecast.
            The second is run twice: no forecast is closer than two equal runs are to each other.
saturation  512 replicas, log-normal lengths (sigma 1), 1 % of the verifications hung, one replica
            in twenty lost per hour: slot use, and CPU seconds of the foreman per virtual second.
replayed    an adaptive run that there is (`--runs RECORD,ADAPTIVE`), forecast from the record of
            another with a fixed number of rollouts and the same seeds: tokens, problems, rollouts.
tail        one replica, few problems: what `haste` of the adaptive policy does to time and tokens.
scale       1,000 replicas of 256 places, `--rollouts` of them (ten million take a while).
driver      the whole driver of a run on 512 virtual replicas (`benchmarks._driven`): its CPU
            seconds per virtual second, `--seconds` of them, and with a log entry every 1,024
            tokens, as the recipes for clusters have it.

Wall times are from the first replica's readiness to the last verdict.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _driven, _pictures
from factory import plugins
from factory.curation import groups
from factory.policies import Policy, adaptive, fixed
from factory.recipe import load
from factory.report.progress import Snapshot
from factory.simulation.assumptions import Judging, Losses, Scenario, Speed, Supply
from factory.simulation.pool import POOLS, Drawn, Lengths, Recorded
from factory.simulation.result import summary
from factory.simulation.world import World
from factory.types import Outcome

PARTS = ("scripted", "vllm", "replayed", "saturation", "tail", "scale", "driver")
STOP = adaptive.Policy(accept=2, at_most=12)
STOP_YAML = "policy={name: adaptive, accept: 2, at_most: 12}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that took place."""

    folder: Path
    seconds: float
    tokens: int
    rollout_s: float
    """Mean time of a token of one rollout, waiting included."""
    judgement_s: float

    @classmethod
    def read(cls, folder: Path) -> Run:
        snapshot = Snapshot.read(folder)
        assert snapshot is not None
        tokens = seconds = judged = judging = 0.0
        for group in groups.read(folder / "ledger"):
            for rollout, verdict in group.judged:
                tokens += rollout.completion.num_tokens
                seconds += rollout.seconds
                if verdict is not None:
                    judged += 1
                    judging += verdict.seconds
        return cls(
            folder=folder,
            seconds=snapshot.generating_s,
            tokens=int(tokens),
            rollout_s=seconds / tokens,
            judgement_s=judging / judged,
        )


def run(recipe: str, folder: Path, *changes: str) -> Run:
    """A run in a process of its own."""
    options = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "factory", "run", recipe, "--out", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return Run.read(folder)


def forecast(
    record: Run, policy: Policy, speed: Speed, *, replicas: int, judges: int
) -> tuple[float, int]:
    """Seconds and tokens of a run on the problems and rollouts of another."""
    pool = Recorded(groups.read(record.folder / "ledger"), seed=0)
    scenario = Scenario(
        supply=Supply(problems=len(pool)),
        replicas=replicas,
        speed=speed,
        judging=Judging(judges=judges, seconds=record.judgement_s),
    )
    world = World(scenario, policy, pool)
    figures = world.run()
    return world.now, figures.tokens.total


def compared(name: str, real: Run, seconds: float, tokens: int) -> dict[str, Any]:
    row = {
        "run": name,
        "seconds": round(real.seconds, 2),
        "seconds_forecast": round(seconds, 2),
        "seconds_off": round(seconds / real.seconds - 1, 4),
        "tokens": real.tokens,
        "tokens_forecast": tokens,
        "tokens_off": round(tokens / real.tokens - 1, 4),
    }
    print(
        f"{name}: {seconds:.1f} s forecast, {real.seconds:.1f} s measured "
        f"({row['seconds_off']:+.1%}); {tokens:,} tokens forecast, {real.tokens:,} generated "
        f"({row['tokens_off']:+.1%})",
        flush=True,
    )
    return row


def write_script(folder: Path, problems: int = 120) -> Path:
    """Sums with completions of log-normal length, right by a pass rate of the problem's own."""
    rng, drawn = random.Random(0), np.random.default_rng(0)
    rows, script = [], []
    for number in range(problems):
        a, b, rate = rng.randrange(100), number, rng.betavariate(0.8, 0.8)
        prompt, texts = f"What is {a} + {b}?", []
        for _ in range(100):  # so many that next to none is drawn twice: repeats are no traces
            shown = a + b + (0 if rng.random() < rate else rng.randrange(1, 9))
            filler = "and so on, " * int(drawn.lognormal(np.log(25), 0.7))
            texts.append(f"<think>{filler}</think>The answer is \\boxed{{{shown}}}.")
        rows.append({"prompt": prompt, "answer": str(a + b)})
        script.append({"prompt": prompt, "completions": texts})
    for name, content in (("problems", rows), ("script", script)):
        text = "".join(json.dumps(row) + "\n" for row in content)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    path = folder / "recipe.yaml"
    path.write_text(
        f"""
name: forecast
sources: [{{name: jsonl, path: {folder}/problems.jsonl}}]
intake: {{near_duplicates: null}}
engine: {{name: scripted, script: {folder}/script.jsonl, slots: 24, tokens_per_second: 200}}
sampling: {{max_tokens: 2000}}
verifiers: [{{name: math}}]
cluster: {{backend: local, replicas: 2, log_every: 512}}
card: {{license: apache-2.0}}
""",
        encoding="utf-8",
    )
    return path


def scripted() -> list[dict[str, Any]]:
    """The scripted engine: every request at its own pace."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = str(write_script(folder))
        record = run(recipe, folder / "fixed", "policy={name: fixed, n: 12}")
        pace = 1 / record.rollout_s
        speed = Speed(
            alone=pace, full=pace * 24, sequences=24, ahead=1, prefill=1e12, start_s=0.0
        )  # fmt: skip
        rows = []
        for label, policy, change in (
            ("scripted, fixed", fixed.Policy(n=12), None),
            ("scripted, adaptive", STOP, STOP_YAML),
        ):
            seconds, tokens = forecast(record, policy, speed, replicas=2, judges=1)
            real = run(recipe, folder / "adaptive", change) if change else record
            rows.append(compared(label, real, seconds, tokens))
        return rows


def vllm(problems: int) -> list[dict[str, Any]]:
    """The tiny model on the CPU: a batch shares the engine."""
    with tempfile.TemporaryDirectory() as name:
        folder, given = Path(name), (f"limit={problems}", "engine.stream_interval=16")

        def real(label: str, policy: str, batch: int) -> Run:
            size = f"engine.max_num_seqs={batch}"
            return run("pipelines/quickstart.yaml", folder / label, policy, size, *given)

        small = real("small", "policy={name: fixed, n: 12}", 16)
        large = real("large", "policy={name: fixed, n: 12}", 128)
        measured = real("adaptive", STOP_YAML, 128)
        again = real("again", "policy={name: fixed, n: 12}", 128)
        apart = abs(large.seconds - again.seconds) / min(large.seconds, again.seconds)
        print(
            f"two equal runs took {large.seconds:.1f} and {again.seconds:.1f} s: {apart:.0%} apart"
        )
        large = replace(large, seconds=(large.seconds + again.seconds) / 2)
        step = fitted(small, large)
        print(f"a step takes {step[0] * 1e3:.2f} ms and {step[1] * 1e6:.0f} us per request")
        rows = []
        for label, policy, record in (
            ("vllm, fixed", fixed.Policy(n=12), large),
            ("vllm, adaptive", STOP, measured),
        ):
            seconds, tokens = forecast(large, policy, of_step(*step, 128), replicas=1, judges=1)
            rows.append(compared(label, record, seconds, tokens))
        return rows


def of_step(base: float, each: float, sequences: int) -> Speed:
    """The engine whose step takes `base + each * n` seconds."""
    full = sequences / (base + each * sequences)
    return Speed(alone=1 / (base + each), full=full, sequences=sequences, prefill=1e12, start_s=0)


def fitted(small: Run, large: Run) -> tuple[float, float]:
    """Seconds of a step, and what each request adds, from runs with batches of 16 and 128.

    A run of `steps` steps and `tokens` tokens takes `base * steps + each * tokens` seconds. How
    many steps it takes is simulated: with a second for each, it is the wall time. Prompts count as
    a part of it: they are short and of equal length in every run.
    """
    steps = [
        forecast(one, fixed.Policy(n=12), of_step(1.0, 0.0, size), replicas=1, judges=1000)[0]
        for one, size in ((small, 16), (large, 128))
    ]
    base = (small.seconds - large.seconds) / (steps[0] - steps[1])
    base = min(max(base, 1e-6), large.seconds / steps[1])
    return base, (large.seconds - base * steps[1]) / large.tokens


def saturation(hours: float) -> dict[str, Any]:
    """A large cluster with everything that troubles one."""
    scenario = Scenario(
        supply=Supply(hours=hours),
        replicas=512,
        judging=Judging(judges=256, hung=0.01),
        losses=Losses(per_hour=0.05),
        log_every=128,
    )
    return measured_world(scenario, adaptive.Policy(), "saturation")


def scale(rollouts: int) -> dict[str, Any]:
    """A thousand replicas; as many problems as make so many rollouts."""
    scenario = Scenario(
        supply=Supply(problems=rollouts // 8),
        replicas=1000,
        judging=Judging(judges=256),
        log_every=256,
    )
    return measured_world(scenario, fixed.Policy(n=8), "scale")


def replayed(record: Path, real: Path) -> list[dict[str, Any]]:
    """A real adaptive run beside what the record of a fixed one foretells."""
    recipe = load(real / "recipe.yaml", build=False)
    policy = plugins.build("policy", recipe.policy.name, recipe.policy.options)
    pool = Recorded(groups.read(record / "ledger"), seed=0)
    scenario = Scenario(
        supply=Supply(problems=len(pool)),
        speed=Speed(start_s=0),
        keep=recipe.traces.max_per_problem,
    )
    figures = World(scenario, policy, pool).run()
    came = groups.read(real / "ledger")
    rollouts = tokens = solved = 0
    for group in came:
        rollouts += len(group.judged)
        tokens += sum(rollout.completion.num_tokens for rollout, _ in group.judged)
        solved += any(v is not None and v.outcome is Outcome.CORRECT for _, v in group.judged)
    row = {
        "run": real.name,
        "tokens": tokens,
        "tokens_forecast": figures.tokens.total,
        "tokens_off": round(figures.tokens.total / tokens - 1, 4),
        "rollouts": rollouts,
        "rollouts_forecast": figures.rollouts + figures.aborted,
        "solved": solved,
        "solved_forecast": sum(band.solved for band in figures.bands),
    }
    print(", ".join(f"{name} {value}" for name, value in row.items()))
    return [row]


def tail() -> list[dict[str, Any]]:
    """Small pools on one replica: time against tokens."""
    rows = []
    for problems in (60, 400, 1500):
        for haste in (0.0, 0.5, 1.0):
            scenario = Scenario(
                supply=Supply(problems=problems), speed=Speed(start_s=0), judging=Judging(judges=8)
            )
            pool = Drawn(POOLS["openr1"], Lengths(), prompt_tokens=200, seed=0)
            world = World(scenario, adaptive.Policy(accept=4, at_most=16, haste=haste), pool)
            figures = world.run()
            rows.append(
                {
                    "problems": problems,
                    "haste": haste,
                    "wall_s": round(world.now),
                    "tokens": figures.tokens.total,
                    "slot_use": round(figures.whole.busy / figures.whole.ready, 3),
                    "tail_share": round(1 - figures.admitted_s / world.now, 3),
                    "solved": sum(band.solved for band in figures.bands),
                    "full": sum(band.full for band in figures.bands),
                }
            )
            print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    return rows


def measured_world(scenario: Scenario, policy: Policy, name: str) -> dict[str, Any]:
    pool = Drawn(POOLS["openr1"], Lengths(), prompt_tokens=200, seed=0)
    world = World(scenario, policy, pool)
    wall, cpu = time.monotonic(), time.process_time()
    figures = world.run(watched(name))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    rollouts = figures.rollouts + figures.aborted
    row = {
        "rollouts": rollouts,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "rollouts_per_cpu_s": round(rollouts / cpu),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "foreman_share": round(figures.foreman_s / cpu, 3),
        "virtual_s": round(world.now, 1),
        "slot_use_until_last_admitted": round(figures.fed.busy / (figures.fed.ready or 1), 4),
        "foreman_cpu_s_per_virtual_s": round(figures.foreman_s / world.now, 5),
        "slot_use_whole_run": round(figures.whole.busy / figures.whole.ready, 4),
        "replicas_lost": figures.losses,
        "most_open": figures.most_open,
        "admitted_s": round(figures.admitted_s, 1),
        "tokens": asdict(figures.tokens),
        "timeline": summary(figures, scenario, world.now, price=0, budget={})["timeline"],
    }
    print(
        f"{name}: {rollouts:,} rollouts in {wall:.0f} s, {cpu:.0f} CPU s "
        f"({row['rollouts_per_cpu_s']:,} per CPU s, foreman {row['foreman_share']:.0%}), "
        f"{row['peak_mb']:,} MB at most; "
        f"slot use {row['slot_use_until_last_admitted']:.1%} until the last problem was admitted; "
        f"foreman {row['foreman_cpu_s_per_virtual_s']:.4f} CPU s per virtual second"
    )
    return row


def watched(name: str) -> Callable[[World], None]:
    shown = time.monotonic()

    def watch(world: World) -> None:
        nonlocal shown
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(f"  {name}: {world.figures.rollouts:,} rollouts", file=sys.stderr, flush=True)

    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default="scripted,saturation", help=", ".join(PARTS))
    parser.add_argument("--rollouts", type=int, default=10_000_000, help="of the part scale")
    parser.add_argument("--hours", type=float, default=0.5, help="virtual, of the part saturation")
    parser.add_argument("--problems", type=int, default=120, help="of the part vllm")
    parser.add_argument("--seconds", type=float, default=20, help="virtual, of the part driver")
    parser.add_argument("--runs", help="of the part replayed: RECORD,ADAPTIVE")
    parser.add_argument("--pictures", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := sorted({*given.parts.split(",")} - {*PARTS}):
        parser.error(f"unknown part {unknown[0]!r}; known: {', '.join(PARTS)}")
    work: dict[str, Callable[[], Any]] = {
        "scripted": scripted,
        "vllm": lambda: vllm(given.problems),
        "replayed": lambda: replayed(*map(Path, given.runs.split(","))),
        "saturation": lambda: saturation(given.hours),
        "tail": tail,
        "scale": lambda: scale(given.rollouts),
        "driver": lambda: [_driven.at(512, given.seconds, each) for each in (None, 1024)],
    }
    figures = {part: work[part]() for part in given.parts.split(",")}
    if given.pictures:
        _pictures.draw(figures, given.pictures)
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
