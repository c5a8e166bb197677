"""The options of `factory simulate`, and what it does with them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.simulation.assumptions import Judging, Losses, Scenario, Speed, Supply

if TYPE_CHECKING:
    from factory.policies import Policy
    from factory.recipe import Recipe
    from factory.simulation.pool import Pool
    from factory.simulation.world import World

_PART_OF_MOST = 8
_SHOW_S = 10.0
_POOLS = ("openr1", "mid", "hard", "uniform")


def options(parser: argparse.ArgumentParser) -> None:
    """Declare them; each default is that of `factory.simulation.assumptions`."""
    add = parser.add_argument
    add("recipe", type=Path, metavar="RECIPE")
    add("--set", action="append", default=[], metavar="KEY.KEY=VALUE")
    add("--json", action="store_true", help="print one JSON object")
    add("--plots", type=Path, metavar="DIR", help="write slots.svg, tokens.svg, coverage.svg")
    add("--seed", type=int, default=0, metavar="N")
    _about_problems(parser.add_argument_group("problems and rollouts"))
    _about_engines(parser.add_argument_group("engines"))
    _about_the_rest(parser.add_argument_group("verification, failures, cost"))


def _about_problems(group: argparse._ArgumentGroup) -> None:
    _each(
        group,
        ("--hours", float, None, "H", "the source ends after so many virtual hours"),
        ("--limit", int, None, "N", "problems of the source (the recipe's limit)"),
        (
            "--lengths",
            _numbers(2),
            None,
            "MEDIAN,SIGMA",
            "log-normal lengths in tokens (an eighth of sampling.max_tokens, 1)",
        ),
        ("--wrong", float, 1.0, "TIMES", "wrong rollouts are so many times longer (1)"),
        (
            "--rates",
            _rates,
            "openr1",
            "POOL",
            f"pass rates: {', '.join(_POOLS)}, or A,B of a Beta distribution (openr1)",
        ),
        (
            "--repeats",
            float,
            0.0,
            "SHARE",
            "chance that two right rollouts of a problem are in the same words (0)",
        ),
        ("--prompt", int, 200, "TOKENS", "of a prompt (200)"),
        (
            "--replay",
            Path,
            None,
            "DIR",
            "lengths and outcomes of an earlier run, problem by problem",
        ),
        (
            "--source",
            _numbers(2),
            (0.0, 0.0),
            "PER_S,LATENCY_S",
            "problems read per second, 0 for at once, and the wait for the first (0,0)",
        ),
    )


def _about_engines(group: argparse._ArgumentGroup) -> None:
    speed = Speed()
    _each(
        group,
        ("--replicas", int, None, "N", "engine replicas (the recipe's)"),
        (
            "--engine-speed",
            _numbers(2),
            None,
            "ALONE,FULL",
            "tokens/s of one request alone and of a full batch "
            f"({speed.alone:g},{speed.full:g}: an 8B model on an H100)",
        ),
        (
            "--sequences",
            int,
            None,
            "N",
            f"requests that run at once (the engine's max_num_seqs or slots, {speed.sequences})",
        ),
        ("--prefill", float, speed.prefill, "PER_S", f"prompt tokens/s ({speed.prefill:g})"),
        (
            "--start-up",
            float,
            speed.start_s,
            "S",
            f"seconds until a replica is ready ({speed.start_s:g})",
        ),
    )


def _about_the_rest(group: argparse._ArgumentGroup) -> None:
    usual = Judging().seconds
    _each(
        group,
        ("--judges", int, None, "N", "verifier workers (the recipe's)"),
        (
            "--judging",
            _numbers(2),
            (usual, 0.0),
            "S,HUNG",
            f"mean seconds of a judgement, share that runs into the recipe's limit ({usual:g},0)",
        ),
        (
            "--losses",
            float,
            0.0,
            "PER_HOUR",
            "of each replica: 0.05 is one in twenty an hour (0)",
        ),
        (
            "--preempt",
            _numbers(3),
            None,
            "EVERY_S,SHARE,BACK_S",
            "a share of the replicas is taken every so often and given back later",
        ),
        ("--gpus", float, None, "N", "per replica (the engine's)"),
        ("--price", float, 2.5, "P", "of a GPU for an hour (2.5)"),
    )


def _each(
    group: argparse._ArgumentGroup, *given: tuple[str, Callable[[str], Any], Any, str, str]
) -> None:
    for name, kind, default, shown, text in given:
        group.add_argument(name, type=kind, default=default, metavar=shown, help=text)


def simulate(recipe: Recipe, given: argparse.Namespace) -> dict[str, Any]:
    """Simulate a recipe's run; the outcome of `factory.simulation.result.summary`.

    Raises:
        FactoryError: an option that makes no sense, by name, or a run that cannot be replayed.
    """
    from factory import plugins
    from factory.policies import budgets
    from factory.simulation import plots, result
    from factory.simulation.world import World

    for line in left_out(recipe):
        print(line, file=sys.stderr, flush=True)
    policy: Policy = plugins.build("policy", recipe.policy.name, recipe.policy.options)
    pool, count = _pool(recipe, given)
    scenario = _scenario(recipe, given, count)
    world = World(scenario, policy, pool)
    figures = world.run(_watcher())
    outcome = result.summary(
        figures, scenario, world.now, price=given.price, budget=budgets(policy)
    )
    if given.plots is not None:
        plots.write(given.plots, outcome)
    print(json.dumps(outcome) if given.json else result.table(outcome))
    return outcome


def left_out(recipe: Recipe) -> Iterator[str]:
    """What a recipe asks for and no simulation has, a line for each."""
    if recipe.branching.after:
        yield "branching is not simulated: reckoned as if it were off"
    if recipe.aborts.detectors:
        yield "aborts is not simulated: reckoned as if it were off (no rollout is cut short)"


def _pool(recipe: Recipe, given: argparse.Namespace) -> tuple[Pool, int | None]:
    """The problems, and how many there are where that is known."""
    from factory.simulation.pool import POOLS, Drawn, Lengths, Recorded

    if given.replay is not None:
        from factory.curation import groups

        recorded = Recorded(groups.read(given.replay / "ledger"), seed=given.seed)
        return recorded, len(recorded)
    most = recipe.sampling.max_tokens
    median, sigma = given.lengths or (most / _PART_OF_MOST, 1.0)
    rates = POOLS[given.rates] if isinstance(given.rates, str) else given.rates
    with _naming("--lengths, --wrong, --rates, --repeats"):
        lengths = Lengths(median=median, sigma=sigma, wrong=given.wrong, most=most)
        pool = Drawn(
            rates, lengths, prompt_tokens=given.prompt, seed=given.seed, repeats=given.repeats
        )
        return pool, None


def _scenario(recipe: Recipe, given: argparse.Namespace, count: int | None) -> Scenario:
    problems = recipe.limit or (None if given.hours is not None else count)
    with _naming("--hours, --limit, --source"):
        supply = Supply(
            problems=problems,
            hours=1.0 if given.hours is None and problems is None else given.hours,
            per_s=given.source[0],
            latency_s=given.source[1],
        )
    with _naming("--engine-speed, --sequences, --prefill, --start-up"):
        speed = _speed(recipe, given)
    limits = recipe.judging
    with _naming("--judges, --judging"):
        judging = Judging(
            judges=recipe.cluster.judges if given.judges is None else given.judges,
            seconds=given.judging[0],
            hung=given.judging[1],
            hang_s=limits.timeout_s * (1 + limits.retries),
        )
    with _naming("--losses, --preempt"):
        losses = Losses(per_hour=given.losses)
        if given.preempt:
            every, share, back = given.preempt
            losses = replace(
                losses, preempt_every_s=every, preempt_share=share, preempt_back_s=back
            )
    cluster = recipe.cluster
    if given.replicas is not None:
        cluster = cluster.model_copy(update={"replicas": given.replicas})
    with _naming("--replicas, --gpus"):
        return Scenario(
            supply=supply,
            replicas=cluster.replicas,
            gpus=_gpus(recipe) if given.gpus is None else given.gpus,
            speed=speed,
            judging=judging,
            losses=losses,
            log_every=cluster.cadence,
            keep=recipe.traces.max_per_problem,
            seed=given.seed,
        )


def _speed(recipe: Recipe, given: argparse.Namespace) -> Speed:
    sequences = places(recipe) if given.sequences is None else given.sequences
    alone, full = given.engine_speed or (Speed().alone, Speed().full)
    if not given.engine_speed and sequences != Speed().sequences:
        steps = Speed().steps  # the same engine with another batch
        per_request = steps[2] - steps[1]
        full = sequences / (steps[1] + per_request * (sequences - 1))
    return Speed(
        alone=alone,
        full=full,
        sequences=sequences,
        ahead=1.0 if recipe.engine.name == "scripted" else Speed().ahead,
        prefill=given.prefill,
        start_s=given.start_up,
    )


def places(recipe: Recipe) -> int:
    """Requests that run at once on one replica, as the recipe's engine section says."""
    named = recipe.engine.options
    return int(named.get("max_num_seqs", named.get("slots", Speed().sequences)))


def _gpus(recipe: Recipe) -> float:
    """GPUs of one replica, as the recipe's engine section says."""
    named = recipe.engine.options
    parallel = named.get("tensor_parallel_size", 1) * named.get("pipeline_parallel_size", 1)
    return float(parallel if named.get("gpus") is None else named["gpus"])


class _naming:
    """Turns a ValueError into an error that names the options it came from."""

    def __init__(self, names: str) -> None:
        self._names = names

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from factory.errors import RecipeError

        if isinstance(error, ValueError):
            raise RecipeError(f"{self._names}: {error}") from error


def _numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    def numbers(text: str) -> tuple[float, ...]:
        parts = tuple(float(part) for part in text.split(","))
        if len(parts) != count:
            raise argparse.ArgumentTypeError(f"expected {count} numbers, got {text!r}")
        return parts

    return numbers


def _rates(text: str) -> str | tuple[float, ...]:
    if text in _POOLS:
        return text
    try:
        return _numbers(2)(text)
    except ValueError:
        known = ", ".join(_POOLS)
        raise argparse.ArgumentTypeError(f"expected {known}, or A,B; got {text!r}") from None


def _watcher() -> Callable[[World], None]:
    """Says how far the simulation is, every now and then."""
    shown = time.monotonic()

    def watch(world: World) -> None:
        nonlocal shown
        if time.monotonic() - shown < _SHOW_S:
            return
        shown = time.monotonic()
        done = f"{world.figures.rollouts:,} rollouts, {world.problems:,} problems admitted"
        print(f"[{world.now / 3600:.2f} h] {done}", file=sys.stderr, flush=True)

    return watch
