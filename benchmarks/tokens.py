"""Tokens for equal coverage: the policies beside fixed numbers of rollouts, and beside bounds.

    python -m benchmarks.tokens [--problems 3000] [--lucks 5] [--repeats 20] [--keep DIR]
                              [--run-problems 360] [--plots DIR] [--simulated-only] [--json]

The claim is never tokens per trace alone, which is cheapest where hard problems are dropped. It is
tokens for the same coverage: the share of problems with k different correct rollouts, in every
tenth of the pool by pass rate, within one point of what n rollouts for each problem bring.

    simulated   pools of published shapes; the true foreman and policy in a world without an engine
    replayed    the tiny model's own rollouts, sampled once through vLLM (n = 64 for each of its
                360 problems), then drawn in other orders; once as judged, once (`new`) counting a
                text the first time only, as the policy does in a run
    aborts      every recorded rollout read by the detectors, as if all were audited
    run         the factory for real with the policy, on the same seeds: rollout i of a problem is
                the same text in both, so that coverage is compared problem by problem

Columns: times fewer tokens than fixed n of stopping at k, of the policy, of the best rule for the
pool's prior (a bound: `factory.scheduling.plan`) and of the best rule for one who is told every
pass rate (a bound); tokens of the policy over the first bound, and what of this is left where the
prior is known from the start (`known`: the rule that the policy would plan then); the largest loss
of coverage in any tenth, in points. `full` counts problems with k, `any` also those with one
(`policy.cover`). Where a bound lies below a goal, no policy can reach that goal on that pool: only
another pool, a higher pass rate, or cutting rollouts short can. A bound is one of expectations: on
one draw of a pool luck moves it a little either way; it is reckoned for a loss of one point; the
policy plans for less.

The last line of `--json` begins with the headline: `saving_vs_n64` and `saving_vs_n16` (four
correct wanted of each problem, `of` says of which pool), `vs_bayes_optimal` (the worst of all
lines), `worst_loss_points` (of all lines), `false_aborts` (share of the correct rollouts of the
tiny model that the default detectors would cut; null where nothing was run for real).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _curves
from benchmarks._pools import (
    SHAPES,
    Drawn,
    World,
    Yield,
    clairvoyant,
    draw,
    fixed,
    shuffled,
    stop_at,
)
from factory.ledger import scan
from factory.policies import adaptive
from factory.scheduling import plan
from factory.scheduling.doomed import Aborts, Watch, Watcher
from factory.types import Outcome, Problem, Rollout, Verdict

CASES: tuple[tuple[int, int, plan.Cover], ...] = (
    (4, 64, "full"),
    (4, 64, "any"),
    (4, 16, "full"),
    (1, 64, "full"),
    (1, 16, "full"),
)
GOALS = {64: 5.0, 16: 2.5}
CORRECT = Outcome.CORRECT
Sample = dict[str, dict[int, tuple[Rollout, Outcome]]]
"""Judged rollouts with outcomes by problem and index."""
RECIPE = "pipelines/quickstart.yaml"
HEAD = (
    f"{'pool':<12} {'k':>2} {'n':>3} {'cover':<5} {'goal':>5} {'stop@k':>7} {'policy':>7} "
    f"{'bound':>7} {'told':>7} {'/bound':>7} {'known':>6} {'loss':>6}"
)


def compare(
    name: str, pools: list[Drawn], k: int, n: int, cover: plan.Cover, *, bounds: bool = True
) -> dict[str, Any]:
    """One line of the table; several pools are the same one in other orders, or with other luck."""
    policy: Any
    sums = {"fixed": 0.0, "stop": 0.0, "policy": 0.0}
    lost, covered = [], []
    for pool in pools:
        base, stop = fixed(pool, n), stop_at(pool, k, n)
        policy = adaptive.Policy(accept=k, at_most=n, cover=cover)
        done = World(pool, policy, slots=320).play()
        order = np.argsort(pool.rates, kind="stable")
        levels = {k} if cover == "full" else {1, k}
        covered.append([y.coverage(order, k) for y in (base, done)])
        lost.append([base.coverage(order, v) - done.coverage(order, v) for v in sorted(levels)])
        for key, result in (("fixed", base), ("stop", stop), ("policy", done)):
            sums[key] += float(result.tokens.sum())
    figures = {
        "pool": name,
        "k": k,
        "n": n,
        "cover": cover,
        "goal": GOALS[n],
        "stop_at_k": round(sums["fixed"] / sums["stop"], 2),
        "policy": round(sums["fixed"] / sums["policy"], 2),
        "worst_loss_points": round(100 * float(np.mean(lost, axis=0).max()), 2),
        "coverage_fixed": np.mean(covered, axis=0)[0].round(4).tolist(),
        "coverage_policy": np.mean(covered, axis=0)[1].round(4).tolist(),
    }
    if not bounds:
        return figures
    prior, costs = pools[0].spread()
    told: dict[str, Any] = {"accept": k, "at_most": n, "loss": 0.01, "cover": cover}
    bound = plan.make(prior, costs=costs, steps=300, **told).bound
    rule = plan.make(prior, costs=costs, **told | {"loss": policy.loss}).cost
    best = clairvoyant(prior, costs, **told)
    unit = sum(pool.tokens.mean() * len(pool.rates) for pool in pools)
    return figures | {
        "bound": round(sums["fixed"] / (bound * unit), 2),
        "told_every_rate": round(sums["fixed"] / (best * unit), 2),
        "over_bound": round(sums["policy"] / (bound * unit), 3),
        "rule_over_bound": round(rule / bound, 3),
    }


def headline(figures: dict[str, Any]) -> dict[str, Any]:
    """What the whole comes to, in few figures."""
    lines = [*figures["simulated"], *figures.get("replayed", [])]
    pool = "tiny model" if "replayed" in figures else "OpenR1-like"
    of = {
        line["n"]: line["policy"]
        for line in lines
        if (line["pool"], line["k"], line["cover"]) == (pool, 4, "full")
    }
    strict = figures.get("aborts", [{}])[0]
    return {
        "of": pool,
        "saving_vs_n64": of[64],
        "saving_vs_n16": of[16],
        "vs_bayes_optimal": max(line.get("over_bound", 0.0) for line in lines),
        "worst_loss_points": max(line["worst_loss_points"] for line in lines),
        "false_aborts": strict.get("false_aborts_of_correct"),
    }


def told(row: dict[str, Any]) -> str:
    if "bound" not in row:  # repeats: the chance of a new text falls as one goes on
        none = ("bound", "told_every_rate", "over_bound", "rule_over_bound")
        row = {**row, **dict.fromkeys(none, "-")}
    beyond = row["bound"] != "-" and row["bound"] < row["goal"]
    return (
        f"{row['pool']:<12} {row['k']:>2} {row['n']:>3} {row['cover']:<5} {row['goal']:>5} "
        f"{row['stop_at_k']:>7} {row['policy']:>7} {row['bound']:>7} {row['told_every_rate']:>7} "
        f"{row['over_bound']:>7} {row['rule_over_bound']:>6} {row['worst_loss_points']:>6}"
        + ("  goal beyond the bound" if beyond else "")
    )


def sampled(folder: Path, policy: str, *more: str) -> Sample:
    """Rollouts with outcomes by problem and index: of this run, made if there is none."""
    if not (folder / "recipe.yaml").exists():
        # A process each: vLLM leaves its traces in the one that it ran in.
        changes = [f"policy={policy}", "sampling.seed=11", "cluster.backend=local", *more]
        told = [part for change in changes for part in ("--set", change)]
        command = [sys.executable, "-m", "factory", "run", RECIPE, "--out", str(folder), *told]
        subprocess.run(command, check=True, stdout=sys.stderr)
    rollouts: dict[str, dict[int, Rollout]] = {}
    judged: Sample = {}
    for record in scan(folder / "ledger"):
        match record:
            case Problem():
                rollouts[record.id], judged[record.id] = {}, {}
            case Rollout():
                rollouts[record.problem_id][record.index] = record
            case Verdict():
                rollout = rollouts[record.problem_id][record.index]
                judged[record.problem_id][record.index] = rollout, record.outcome
    return judged


def drawn(judged: Sample) -> Drawn:
    """A sample as a pool; the pass rate of a problem is that of its rollouts."""
    rows = [[of[index] for index in sorted(of)] for of in judged.values()]
    texts: dict[str, int] = {}
    right = np.array([[outcome is CORRECT for _, outcome in row] for row in rows])
    words = [[texts.setdefault(r.completion.text, len(texts)) for r, _ in row] for row in rows]
    tokens = [[r.completion.num_tokens for r, _ in row] for row in rows]
    return Drawn(rates=right.mean(1), right=right, tokens=np.array(tokens), words=np.array(words))


def for_real(folder: Path, repeats: int, limit: int) -> tuple[list[Any], dict[str, Any], list[Any]]:
    """The replayed lines, the figures of the run, and those of the detectors."""
    judged = sampled(folder / "fixed", "{name: fixed, n: 64}")
    pool = drawn(judged)
    lines = []
    for name, distinct in (("tiny model", False), ("tiny, new", True)):
        orders = [shuffled(pool, seed, distinct=distinct) for seed in range(repeats)]
        for k, n, cover in CASES:
            lines.append(compare(name, orders, k, n, cover, bounds=not distinct))
            print(told(lines[-1]), flush=True)
    return lines, run_for_real(folder, judged, limit) if limit else {}, aborts(judged)


def run_for_real(folder: Path, judged: Sample, limit: int) -> dict[str, Any]:
    """The factory with the policy, beside what fixed n brought on the same problems and seeds."""
    like = dict(list(judged.items())[:limit])
    base = found(like)
    folder = folder / "adaptive"
    policy = "{name: adaptive, accept: 4, at_most: 64}"
    done = found({pid: {} for pid in like} | sampled(folder, policy, f"limit={limit}"))
    tokens = sum(r.completion.num_tokens for r in scan(folder / "ledger") if isinstance(r, Rollout))
    figures = {
        "problems": len(like),
        "tokens": tokens,
        "fixed_64_tokens": int(base.tokens.sum()),
        "times_fewer": round(float(base.tokens.sum()) / tokens, 2),
        "with_4_different": [int((y.correct >= 4).sum()) for y in (done, base)],
        "with_1": [int((y.correct >= 1).sum()) for y in (done, base)],
    }
    print("run, policy beside fixed:", json.dumps(figures), flush=True)
    return figures


def found(judged: Sample) -> Yield:
    """Different correct texts, and tokens, per problem."""
    right = [{r.completion.text for r, o in of.values() if o is CORRECT} for of in judged.values()]
    tokens = [sum(r.completion.num_tokens for r, _ in of.values()) for of in judged.values()]
    return Yield(correct=np.array([len(texts) for texts in right]), tokens=np.array(tokens))


STRICT = Aborts(detectors=("loop", "degenerate", "room", "answered"))
SHORT = replace(STRICT, span=90, times=6, window=256, ratio=0.25, grace=100)


def aborts(judged: Sample) -> list[dict[str, Any]]:
    """Detectors on every rollout of the sample, all of them audited: what they would have cut.

    `strict` is the default, for reasoning of thousands of tokens; `short` suits the tiny model.
    `planted` are its rollouts, each stuck at its middle in a loop of its last 20 characters.
    """
    lines = []
    for name, options in (("strict", STRICT), ("short", SHORT)):
        found = right = correct = saved = total = caught = 0
        for rollout, outcome in (pair for of in judged.values() for pair in of.values()):
            done = rollout.completion
            pace = done.num_tokens / max(1, len(done.text))
            at = first_find(done.text, options, pace)
            total += done.num_tokens
            correct += outcome is CORRECT
            if at is not None:
                found += 1
                right += outcome is CORRECT
                saved += done.num_tokens - round(at * pace)
            half = done.text[: len(done.text) // 2]
            caught += first_find(half + (half[-20:] or " ") * 200, options, 0.0) is not None
        lines.append({
            "detectors": name,
            "rollouts": sum(map(len, judged.values())),
            "found": found,
            "found_correct": right,
            "false_aborts_of_correct": round(right / max(1, correct), 5),
            "tokens_saved_share": round(saved / max(1, total), 5),
            "planted_found_share": round(caught / sum(map(len, judged.values())), 4),
        })  # fmt: skip
        print("aborts:", json.dumps(lines[-1]), flush=True)
    return lines


def first_find(text: str, options: Aborts, pace: float) -> int | None:
    """Characters after which a rollout is found doomed, read 40 at a time."""
    watcher = Watcher(Watch(aborts=options, detectors=options.detectors, audit=True), 256)
    for start in range(0, len(text), 40):
        if watcher.add(text[start : start + 40], round(40 * pace)):
            return min(len(text), start + 40)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=3000, help="of a simulated pool")
    parser.add_argument("--lucks", type=int, default=5, help="with which a pool is simulated")
    parser.add_argument("--repeats", type=int, default=20, help="orders of the replay")
    parser.add_argument("--keep", type=Path, help="a folder to keep the real runs in")
    parser.add_argument("--plots", type=Path, help="a folder for charts (needs matplotlib)")
    parser.add_argument(
        "--run-problems", type=int, default=360, help="of the run for real; 0: none"
    )
    parser.add_argument("--simulated-only", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    print(HEAD)
    simulated = []
    for shape in SHAPES:
        pools = [draw(shape, given.problems, 64, seed=1, luck=i) for i in range(given.lucks)]
        for k, n, cover in CASES:
            simulated.append(compare(shape, pools, k, n, cover))
            print(told(simulated[-1]), flush=True)
    figures: dict[str, Any] = {"simulated": simulated}
    if not given.simulated_only:
        with tempfile.TemporaryDirectory() as folder:
            keep = given.keep or Path(folder)
            replayed, of_run, cuts = for_real(keep, given.repeats, given.run_problems)
        figures |= {"replayed": replayed, "run": of_run, "aborts": cuts}
    if given.plots:
        _curves.draw(figures, given.plots)
    if given.json:
        print(json.dumps(headline(figures) | figures))


if __name__ == "__main__":
    main()
