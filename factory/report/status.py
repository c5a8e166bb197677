"""How a run stands, from its folder alone: live or finished, from any machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from factory.errors import LedgerError
from factory.ledger import standing
from factory.ledger.lock import is_held
from factory.report.counts import Counts, listed
from factory.report.progress import Snapshot
from factory.report.summary import table


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
        head = "running"
    elif state.open:
        head = "interrupted: run the same command again to go on"
    else:
        head = "finished" if (run / "dataset" / "manifest.json").exists() else "starting"
    yield f"{run}: {head}"
    yield table(_rows(state, snapshot, live))


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
    if counts.rejects:
        yield "set aside", listed(counts.rejects)
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
