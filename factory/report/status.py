"""How a run stands, from its folder alone: live or finished, from any machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from factory.errors import LedgerError
from factory.ledger import standing
from factory.ledger.lock import is_held
from factory.report.counts import Counts, listed
from factory.report.progress import Snapshot
from factory.report.summary import table

DONE = {
    "enough": "it has as many traces as were wanted",
    "complete": "it has all its rollouts",
    "spent": "it had `at_most` rollouts, and has fewer traces than were wanted",
    "deferred": "further rollouts promised less than they cost",
    "budget": "the tokens or hours of the run were used up",
    "refused": "the engine does not take it",
    "set aside": "generating or judging it kept failing; --retry-set-aside tries again",
}
"""Why a problem is done with."""


def status(run: Path) -> Iterator[str]:
    """Lines for a person.

    Raises:
        LedgerError: `run` is not a run folder.
    """
    if not (run / "recipe.yaml").exists():
        raise LedgerError(f"{run} is not a run: it has no recipe.yaml")
    state = standing.read(run / "ledger")
    snapshot = Snapshot.read(run)
    live = is_held(run / "ledger" / "lock")
    if live:
        head = "running" if state.counts.problems else "starting"
    elif not state.open and _made_from(run).startswith(made_from(run, state.records)):
        head = "finished"
    else:
        head = "interrupted: run the same command again to go on"
    yield f"{run}: {head}"
    yield table([*_rows(state, snapshot, live), *_dataset(run)])
    for reason in sorted(state.counts.closed):
        yield f"  {reason}: {DONE.get(reason, 'the policy said so')}"


def made_from(run: Path, records: int) -> str:
    """Names the ledger and the recipe that a dataset is made from.

    Args:
        records: how many the ledger holds: it only grows.
    """
    chosen = (run / "recipe.yaml").read_bytes()
    return f"{records} records, recipe {sha256(chosen).hexdigest()}"


def _made_from(run: Path) -> str:
    """The same of the dataset that is there; empty for none."""
    try:
        return (run / "dataset.made-from").read_text(encoding="utf-8")
    except OSError:
        return ""


def _dataset(run: Path) -> Iterator[tuple[str, str]]:
    try:
        manifest = (run / "dataset" / "manifest.json").read_text(encoding="utf-8")
        accepted = json.loads(manifest)["counts"]["accepted"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    yield "accepted traces", f"{accepted:,}"
    yield "dataset", str(run / "dataset")


def _rows(
    state: standing.Standing, snapshot: Snapshot | None, live: bool
) -> Iterator[tuple[str, str]]:
    counts = state.counts
    reasons = f" ({listed(counts.closed)})" if counts.closed else ""
    done = f"{counts.closed.total():,} done{reasons}"
    yield "problems", f"{counts.problems:,} admitted, {done}, {len(state.open):,} open"
    yield "solved", f"{counts.solved:,}"
    yield "rollouts", f"{counts.rollouts:,} ended, {counts.aborted:,} aborted"
    if counts.false_aborts:
        yield "found doomed", counts.false_aborts
    yield "verdicts", listed(counts.outcomes) or "none"
    if counts.correct:
        yield "yield", f"{counts.pass_rate:.1%} of the judged are correct"
        yield "tokens per correct", f"{counts.tokens / counts.correct:,.0f}"
    yield "tokens", f"{counts.tokens:,}"
    if state.pool.gpu_s:
        yield "GPU-hours", f"{state.pool.gpu_s / 3600:,.2f}"
    if counts.rejected:
        yield "rejected rows", listed(counts.rejected)
    if snapshot is not None and (counts.continued or snapshot.regenerated):
        share = snapshot.regenerated / max(counts.tokens, 1)
        again = f"about {snapshot.regenerated:,} tokens regenerated ({share:.2%})"
        yield "interrupted", f"{counts.continued:,} rollouts were continued; {again}"
    if live and snapshot is not None and snapshot.paused:
        yield "paused", snapshot.paused
    if live and snapshot is not None:
        yield "now", f"{snapshot.running} rollouts running, {snapshot.tokens_per_s:,.0f} tok/s"
        if eta := _eta(counts, snapshot):
            yield "admitted ones end in", eta


def _eta(counts: Counts, snapshot: Snapshot) -> str:
    """From the tokens that a finished problem took so far; empty while none has finished."""
    closed = counts.closed.total()
    if not closed or not snapshot.tokens_per_s:
        return ""
    seconds = (counts.problems - closed) * counts.tokens / closed / snapshot.tokens_per_s
    return f"about {seconds / 60:.0f} min" if seconds > 120 else f"about {seconds:.0f} s"
