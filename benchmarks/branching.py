"""Forks beside plain sampling, at equal tokens: is it worth parting where the model was unsure?

    python -m benchmarks.branching [--keep DIR] [--n 16] [--each 1] [--json]

The factory for real on the tiny model: `n` rollouts per problem with forks, in several settings,
beside the same number of tokens spent on plain rollouts of the same problems and seeds (the first
rollouts of a problem are the very same texts). What plain sampling brings with just so many tokens
is read off a run of 64 plain rollouts per problem, between two numbers of rollouts where need be.

    words      different correct rollouts, no two in the same words: as a policy counts
    traces     those that are left when near-repeats are gone: as the dataset counts
    solved     problems with a correct rollout
    hard       the same two of the third of the problems with the lowest pass rate (of 64 plain
               rollouts)
    shared     tokens that forks took over and did not pay for, of all that would have been paid

A figure below 1 says that plain sampling is better. Intervals are 95 %, by drawing problems again
(bootstrap): problems differ much more than draws of them do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tokens import Sample, sampled
from factory.ledger import scan
from factory.traces import Group, TraceOptions, select
from factory.types import Outcome, Problem, Rollout, Verdict

SETTINGS = {
    "2, every 2nd": "{after: 2, every: 2, points: 2, entropy: 0.3}",
    "4, every 2nd": "{after: 4, every: 2, points: 2, entropy: 0.3}",
    "4, all": "{after: 4, every: 1, points: 4, entropy: 0.3}",
}
"""Plain ones first, and which of the later ones are forks: the section `branching`."""
_ALL = TraceOptions(max_per_problem=1000)
_DRAWS = 2000
CORRECT = Outcome.CORRECT
MEASURES = ("words", "traces", "solved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What some rollouts brought, per problem."""

    tokens: Any
    found: Any
    """(measure, problem)."""


def brought(problems: list[Problem], judged: Sample, n: int) -> Brought:
    """Of the first `n` rollouts of each problem."""
    tokens, found = [], []
    for problem in problems:
        pairs = [judged[problem.id][i] for i in sorted(judged[problem.id])[:n]]
        verdicts = [(r, _verdict(r, outcome)) for r, outcome in pairs]
        right = {" ".join(r.completion.text.split()) for r, o in pairs if o is CORRECT}
        kept = select(Group(problem=problem, judged=list(verdicts)), _ALL).kept
        tokens.append(sum(r.completion.num_tokens for r, _ in pairs))
        found.append((len(right), len(kept), bool(right)))
    return Brought(tokens=np.array(tokens, float), found=np.array(found, float).T)


def _verdict(rollout: Rollout, outcome: Outcome) -> Verdict:
    """As on record, as far as a selection reads it."""
    reward = float(outcome is CORRECT) if outcome.judged else None
    return Verdict(
        problem_id=rollout.problem_id,
        index=rollout.index,
        outcome=outcome,
        reward=reward,
        extracted=None,
        detail="",
        verifier="math",
        verifier_version="",
    )


def ratios(forked: Brought, plain: list[Brought], chosen: Any) -> Any:
    """Forked over plain at equal tokens, by measure, over some problems (with repetition)."""
    spent = forked.tokens[chosen].sum()
    costs = np.array([one.tokens[chosen].sum() for one in plain])
    like = np.array([one.found[:, chosen].sum(1) for one in plain]).T
    at_equal = np.array([np.interp(spent, costs, row) for row in like])
    return forked.found[:, chosen].sum(1) / np.maximum(1e-9, at_equal)


def compare(name: str, forked: Brought, plain: list[Brought], rates: Any) -> dict[str, Any]:
    """One line of the table."""
    rng = np.random.default_rng(0)
    everything, hard = np.arange(len(rates)), np.argsort(rates, kind="stable")[: len(rates) // 3]
    line: dict[str, Any] = {"setting": name, "tokens": int(forked.tokens.sum())}
    for label, of in (("", everything), ("hard_", hard)):
        value = ratios(forked, plain, of)
        again = [ratios(forked, plain, rng.choice(of, len(of))) for _ in range(_DRAWS)]
        low, high = np.quantile(again, (0.025, 0.975), axis=0)
        for i, measure in enumerate(MEASURES):
            line[label + measure] = [round(float(x), 3) for x in (value[i], low[i], high[i])]
    return line


def forks(judged: Sample) -> dict[str, Any]:
    """How many there were, and what they shared."""
    every = [(r, o) for of in judged.values() for r, o in of.values()]
    made = [(r, o) for r, o in every if r.forked]
    shared = sum(r.length - r.completion.num_tokens for r, _ in made)
    paid = sum(r.completion.num_tokens for r, _ in every)
    plain = [o for r, o in every if not r.forked]
    return {
        "rollouts": len(every),
        "forks": len(made),
        "shared": round(shared / (shared + paid), 3),
        "forks_correct": round(sum(o is CORRECT for _, o in made) / max(1, len(made)), 3),
        "plain_correct": round(sum(o is CORRECT for o in plain) / max(1, len(plain)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder to keep the runs in")
    parser.add_argument("--n", type=int, default=16, help="rollouts per problem, forks included")
    parser.add_argument("--each", type=int, default=1, help="take every so many-th problem")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keep = given.keep or Path(folder)
        like = sampled(keep / "fixed", "{name: fixed, n: 64}")
        problems = [r for r in scan(keep / "fixed" / "ledger") if isinstance(r, Problem)]
        chosen = keep / "problems.jsonl"
        rows = Path("data/quickstart.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        chosen.write_text("".join(rows[:: given.each]), encoding="utf-8")
        lines = []
        for number, (name, section) in enumerate(SETTINGS.items()):
            told = f"sources=[{{name: jsonl, path: {chosen}}}]", f"branching={section}"
            folder_of = keep / f"forked-{number}"
            judged = sampled(folder_of, f"{{name: fixed, n: {given.n}}}", *told)
            here = [problem for problem in problems if judged.get(problem.id)]
            rates = np.array(
                [np.mean([o is CORRECT for _, o in like[p.id].values()]) for p in here]
            )
            plain = [brought(here, like, n) for n in range(1, given.n + 5)]
            lines.append(
                compare(name, brought(here, judged, given.n), plain, rates) | forks(judged)
            )
            print(json.dumps(lines[-1]), flush=True)
    if given.json:
        print(json.dumps({"branching": lines}))


if __name__ == "__main__":
    main()
