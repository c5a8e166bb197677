"""Golden cases and speed of every verifier; with `--fuzz`, wrong answers by the ten thousand.

    python -m benchmarks.verifiers [NAME ...] [--repeats 3] [--json]
    python -m benchmarks.verifiers [NAME ...] --fuzz 30000 [--seed 0] [--json]

Both judge in a worker process, as a run does. A false accept is a case that must not be CORRECT and
is; a false reject, one that must be and is not. Times are taken in this process, on one core, after
a pass that warms it (none, where programs are run); cases that must time out are left out of them.

The fuzz takes answers that are wrong by an oracle of their own (`benchmarks._wrong`) and the
perturbed references of all golden problems, for every verifier that runs no code. Every
problem is asked with its right answer as well: where that is not accepted, nothing is proved.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks import _tricks, _wrong
from benchmarks._tricks import Wrong
from factory import plugins, sandbox
from factory.errors import FactoryError
from factory.types import Completion, Outcome, Problem, Rollout, Verdict
from factory.verdicts import Judge
from verifiers import _golden

_BATCH = 2000
_EXAMPLES = 3
"""How many are shown of each verifier and kind."""
_PER_PROBLEM = 10
"""Wrong answers asked of one problem before the next is made."""


def judged(judge: Judge, pairs: list[tuple[Problem, str]]) -> list[Verdict]:
    rollouts = (
        Rollout(problem_id=p.id, index=n, model="", completion=Completion(text=text))
        for n, (p, text) in enumerate(pairs)
    )
    return judge.judge_many([(p, r) for (p, _), r in zip(pairs, rollouts, strict=True)])


def timed(suite: _golden.Suite, repeats: int) -> list[float]:
    """Seconds of each judgement in this process; the first pass warms it and is not counted."""
    verifier = plugins.build("verifier", suite.name, suite.options)
    cases = [case for case in suite.cases if case.outcome != Outcome.TIMEOUT]
    runs_code = getattr(verifier, "runs_code", False)
    found = []
    for number in range(1 if runs_code else 1 + repeats):
        for case in cases:
            started = time.perf_counter()
            verifier.verify(case.problem, Completion(text=case.completion))
            if number or runs_code:
                found.append(time.perf_counter() - started)
    sandbox.close()
    return found


def golden(name: str, repeats: int) -> dict[str, Any]:
    """One row of the table: a verifier on its golden cases."""
    seconds: list[float] = []
    accepts = rejects = cases = 0
    for suite in _golden.suites(name):
        pairs = [(case.problem, case.completion) for case in suite.cases]
        with Judge({name: suite.options}, default=name, timeout_s=20) as judge:
            verdicts = judged(judge, pairs)
        seconds += timed(suite, repeats)
        cases += len(pairs)
        for case, verdict in zip(suite.cases, verdicts, strict=True):
            wanted, given = case.outcome == Outcome.CORRECT, verdict.outcome is Outcome.CORRECT
            accepts += given and not wanted
            rejects += wanted and not given
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "verifier": name,
        "cases": cases,
        "false_accepts": accepts,
        "false_rejects": rejects,
        "checks_per_s": round(len(seconds) / sum(seconds), 1),
        "p50_ms": round(cuts[49] * 1000, 3),
        "p99_ms": round(cuts[98] * 1000, 3),
    }


def table(names: list[str], repeats: int) -> dict[str, Any]:
    print(f"{'verifier':14} {'cases':>6} {'false+':>7} {'false-':>7} {'checks/s':>9} "
          f"{'p50 ms':>8} {'p99 ms':>9}")  # fmt: skip
    rows, left_out = [], {}
    for name in names:
        try:
            row = golden(name, repeats)
        except (FactoryError, OSError) as error:
            left_out[name] = str(error)
            print(f"{name:14} left out: {error}", flush=True)
            continue
        rows.append(row)
        print(f"{name:14} {row['cases']:6} {row['false_accepts']:7} {row['false_rejects']:7} "
              f"{row['checks_per_s']:9,.0f} {row['p50_ms']:8.2f} {row['p99_ms']:9.2f}",
              flush=True)  # fmt: skip
    return {"rows": rows, "left_out": left_out}


def made_up(name: str, rng: random.Random) -> Iterator[tuple[Wrong | None, _wrong.Asked]]:
    """Wrong answers without end, and for each problem the right one (None)."""
    while True:
        asked = rng.choice(_wrong.FAMILIES[name])(rng)
        yield None, asked
        for wrong in itertools.islice(_tricks.completions(asked, rng), _PER_PROBLEM):
            yield wrong, asked


def perturbed(name: str) -> Iterator[tuple[dict[str, Any], Wrong]]:
    """The perturbed references of all golden problems, with the options they are for."""
    for suite in _golden.suites(name):
        verifier = plugins.build("verifier", name, suite.options)
        for problem in suite.problems():
            for text in verifier.perturb(problem):
                yield suite.options, Wrong(problem, text, "perturbed")


class Tally:
    """What came of the answers to one verifier."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tried: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.right, self.right_accepted = 0, 0
        self.accepted: list[dict[str, str]] = []
        self.failed: list[dict[str, str]] = []
        """Those on which the checker failed."""

    def judge(self, judge: Judge, batch: list[Wrong]) -> None:
        verdicts = judged(judge, [(w.problem, w.completion) for w in batch])
        for wrong, verdict in zip(batch, verdicts, strict=True):
            self.tried[wrong.kind] += 1
            self.outcomes[verdict.outcome] += 1
            example = {
                "verifier": self.name, "kind": wrong.kind, "detail": verdict.detail,
                "answer": str(wrong.problem.answer), "completion": wrong.completion,
            }  # fmt: skip
            if verdict.outcome is Outcome.CORRECT:
                self.accepted.append(example)
            elif verdict.outcome in (Outcome.ERROR, Outcome.TIMEOUT):
                self.failed.append(example)

    def ask_right(self, judge: Judge, asked: list[_wrong.Asked]) -> None:
        texts = {"box": "\\boxed{%s}", "json": "```json\n%s\n```", "tags": "<answer>%s</answer>"}
        pairs = [(a.problem, texts[a.style].replace("%s", a.right)) for a in asked]
        verdicts = judged(judge, pairs)
        self.right += len(verdicts)
        self.right_accepted += sum(v.outcome is Outcome.CORRECT for v in verdicts)


def try_perturbed(tally: Tally) -> None:
    for options, group in itertools.groupby(perturbed(tally.name), key=lambda pair: pair[0]):
        with Judge({tally.name: options}, default=tally.name, timeout_s=20) as judge:
            tally.judge(judge, [wrong for _, wrong in group])


def try_made_up(tally: Tally, count: int, seed: int) -> None:
    name = tally.name
    source = made_up(name, random.Random(f"{name} {seed}"))
    with Judge({name: _wrong.OPTIONS.get(name, {})}, default=name, timeout_s=20) as judge:
        while count > 0:
            drawn = list(itertools.islice(source, min(count, _BATCH)))
            tally.ask_right(judge, [asked for wrong, asked in drawn if wrong is None])
            tally.judge(judge, [wrong for wrong, _ in drawn if wrong is not None])
            count -= len(drawn)


def fuzz(names: list[str], count: int, seed: int) -> dict[str, Any]:
    print(f"{'verifier':14} {'wrong':>8} {'accepted':>9} {'right':>6} {'accepted':>9} {'s':>6}")
    tallies: list[Tally] = []
    left_out: dict[str, str] = {}
    share = -(-count // max(1, sum(name in _wrong.FAMILIES for name in names)))
    for name in names:
        started = time.monotonic()
        try:
            suites = _golden.suites(name)
            verifier = plugins.build("verifier", name, suites[0].options)
            if getattr(verifier, "runs_code", False):
                raise FactoryError("runs code")
            tally = Tally(name)
            try_perturbed(tally)
            if name in _wrong.FAMILIES:
                try_made_up(tally, share, seed)
        except (FactoryError, OSError) as error:
            left_out[name] = str(error)
            print(f"{name:14} left out: {error}", flush=True)
            continue
        tallies.append(tally)
        took = time.monotonic() - started
        print(f"{name:14} {tally.tried.total():8,} {len(tally.accepted):9} {tally.right:6} "
              f"{tally.right_accepted:9} {took:6.1f}", flush=True)  # fmt: skip
    return {**summed(tallies), "left_out": left_out, "seed": seed}


def summed(tallies: list[Tally]) -> dict[str, Any]:
    """All tallies together, printed and as figures."""
    kinds = sum((tally.tried for tally in tallies), Counter[str]())
    outcomes = sum((tally.outcomes for tally in tallies), Counter[str]())
    accepted = [example for tally in tallies for example in tally.accepted]
    said = ", ".join(f"{outcome} {n:,}" for outcome, n in outcomes.most_common())
    print(f"{kinds.total():,} wrong answers, {len(accepted)} accepted; {said}")
    print("kinds: " + ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common()))
    failed = [example for tally in tallies for example in tally.failed]
    for title, examples in (("accepted", few(accepted)), ("not judged", few(failed))):
        for example in examples:
            print(f"  {title}: {example['verifier']}, {example['kind']}: "
                  f"{example['answer']!r:.60} <- {example['completion']!r:.160} "
                  f"({example['detail']:.80})")  # fmt: skip
    return {
        "tried": {tally.name: tally.tried.total() for tally in tallies},
        "kinds": dict(kinds),
        "outcomes": dict(outcomes),
        "false_accepts": len(accepted),
        "accepted": few(accepted),
        "not_judged": few(failed),
    }


def few(examples: list[dict[str, str]]) -> list[dict[str, str]]:
    """Some of the examples of each verifier and kind."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for example in examples:
        seen[example["verifier"], example["kind"]] += 1
        if seen[example["verifier"], example["kind"]] <= _EXAMPLES:
            found.append(example)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = plugins.names("verifier")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fuzz", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(known)):
        parser.error(f"unknown verifier {unknown[0]!r}; known: {', '.join(known)}")
    logging.disable(logging.WARNING)
    names = given.names or known
    fuzzed = given.fuzz > 0
    figures = fuzz(names, given.fuzz, given.seed) if fuzzed else table(names, given.repeats)
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
