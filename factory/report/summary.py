"""The table at the end of a run, and what to type next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from factory.card import Counts as DatasetCounts
from factory.forecast import beside
from factory.report.counts import Counts, listed


def summary(
    run: Path, counts: Counts, dataset: DatasetCounts, generating_s: float
) -> list[tuple[str, str]]:
    """Name and value of each figure of a run, in the order in which they are read."""
    per_trace = f"{counts.tokens / dataset.accepted:,.0f}" if dataset.accepted else "-"
    speed = f"{counts.tokens / generating_s:,.0f}" if generating_s else "-"
    pass_at_1 = "-" if dataset.pass_at_1 is None else f"{dataset.pass_at_1:.1%}"
    rows = [
        ("problems", f"{counts.problems:,}"),
        ("solved", f"{dataset.solved:,}"),
        ("rollouts", f"{counts.rollouts:,}" + _aside(counts.aborted, "aborted")),
        *([("found doomed", counts.false_aborts)] if counts.false_aborts else []),
        ("correct", f"{dataset.correct:,}" + _aside(counts.unjudged, "could not be judged")),
        ("accepted traces", f"{dataset.accepted:,}"),
        *([("barred", f"{listed(dataset.barred)} (problems)")] if dataset.barred else []),
        ("pass@1", pass_at_1),
        ("tokens", f"{counts.tokens:,}"),
        ("tokens per accepted trace", per_trace),
        ("tok/s while generating", speed),
        ("rejected rows", _listed(counts.rejected)),
        *([("problems set aside", _listed(counts.aside))] if counts.aside else []),
        ("dataset", str(run / "dataset")),
    ]
    measured = {
        "solved": dataset.solved,
        "rollouts": counts.rollouts + counts.aborted,
        "tokens": counts.tokens,
        "hours": generating_s / 3600,
    }
    return [*rows, *beside.rows(run, measured)]


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two aligned columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def undone(run: Path, counts: Counts, changed: int) -> list[str]:
    """What was left undone, and what to do about it: the exit code is 0 only if it is nothing.

    Args:
        changed: problems of which the sources hold another reference than the ledger.
    """
    lines = []
    if failed := counts.closed["set aside"]:
        lines.append(
            f"{failed} problems were set aside, as generating or judging kept failing: "
            f"{run}/ledger says why, and --retry-set-aside tries them again"
        )
    if counts.unjudged and not counts.judged:
        lines.append(
            f"none of {counts.unjudged} rollouts could be judged: {run}/ledger says why; once this "
            f"is mended, factory verify {run} judges them without generating"
        )
    if changed:
        lines.append(f"{changed:,} references have changed in their sources: see above")
    return lines


def next_steps(run: Path, dataset: DatasetCounts, *, publish: bool = True) -> str:
    """What to type after a finished run.

    Args:
        publish: nothing speaks against it.
    """
    if not dataset.accepted:
        found = listed(dataset.outcomes) or "no rollout came to an end"
        return f"NO TRACE WAS ACCEPTED: the dataset is empty ({found})\n  factory status {run}"
    return "\n".join(
        (
            "next:",
            f"  python -c 'import datasets; print(datasets.load_dataset(\"{run}/dataset\"))'",
            f"  factory status {run}",
            *([f"  factory publish {run} --repo NAMESPACE/NAME"] if publish else []),
        )
    )


def _aside(count: int, what: str) -> str:
    return f" (+{count:,} {what})" if count else ""


def _listed(numbers: Mapping[str, int]) -> str:
    rules = listed(numbers)
    return f"{sum(numbers.values()):,}" + (f" ({rules})" if rules else "")
