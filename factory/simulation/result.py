"""Figures -> what a person reads, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from factory.simulation.assumptions import Scenario
from factory.simulation.figures import Figures, Use


def share(part: float, whole: float) -> float | None:
    """part / whole; None of nothing."""
    return part / whole if whole else None


def summary(
    figures: Figures,
    scenario: Scenario,
    wall_s: float,
    *,
    price: float,
    budget: Mapping[str, float],
) -> dict[str, Any]:
    """The outcome as plain values.

    Args:
        wall_s: virtual seconds of the run.
        price: of one GPU for an hour, in whatever currency.
        budget: what the policy may spend (`factory.policies.budgets`).
    """
    hours = figures.whole.held / scenario.speed.sequences * scenario.gpus / 3600
    tokens = figures.tokens
    return {
        "assumed": asdict(scenario),
        "wall_s": round(wall_s, 3),
        "slot_use": {
            "until_last_admitted": _use(figures.fed),
            "whole_run": _use(figures.whole),
        },
        "admitted_s": round(figures.admitted_s, 3),
        "tail_share": _rounded(share(wall_s - figures.admitted_s, wall_s)),
        "tokens": {**asdict(tokens), "total": tokens.total},
        "tokens_per_accepted_token": _rounded(share(tokens.total, tokens.accepted)),
        "rollouts": figures.rollouts,
        "aborted": figures.aborted,
        "problems": dict(sorted(figures.closed.items())),
        "replicas_lost": figures.losses,
        "rollouts_interrupted": figures.interrupted,
        "most_open": figures.most_open,
        "most_unjudged": figures.most_unjudged,
        "gpu_hours": round(hours, 3),
        "cost": round(hours * price, 2),
        "budget": {
            "tokens": tokens.total,
            "gpu_hours": round(figures.gpu_s / 3600, 3),
            **{f"{name}_at_most": most for name, most in budget.items()},
        },
        "deciles": list(_bands(figures)),
        "timeline": {
            "step_s": figures.timeline.step_s,
            "busy": [_rounded(share(use.busy, use.held)) for use in figures.timeline.samples],
            "ready": [_rounded(share(use.ready, use.held)) for use in figures.timeline.samples],
        },
        "ledger_records_per_s": round(_records_per_s(figures, scenario)),
        "foreman": {
            "events": figures.events,
            "cpu_s": round(figures.foreman_s, 3),
            "cpu_s_per_virtual_s": round(figures.foreman_s / wall_s, 6),
        },
    }


def _bands(figures: Figures) -> Iterator[dict[str, Any]]:
    for number, band in enumerate(figures.bands):
        yield {
            "from": number / len(figures.bands),
            "problems": band.problems,
            "solved": _rounded(share(band.solved, band.problems)),
            "full": _rounded(share(band.full, band.problems)),
            "rollouts_per_problem": _rounded(share(band.rollouts, band.problems)),
            "tokens": band.tokens,
        }


def _records_per_s(figures: Figures, scenario: Scenario) -> float:
    """Ledger entries per second with every batch full: logged tokens, rollouts and verdicts."""
    ended = figures.rollouts + figures.aborted
    per_token = 1 / scenario.log_every + 2 * ended / max(1, figures.tokens.total)
    return scenario.replicas * scenario.speed.full * per_token


def _use(use: Use) -> dict[str, float | None]:
    return {
        "of_ready": _rounded(share(use.busy, use.ready)),
        "of_held": _rounded(share(use.busy, use.held)),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def table(outcome: dict[str, Any]) -> str:
    """The outcome of `summary` as text."""
    return "\n".join([*_head(outcome), "", *_fates(outcome), "", *_deciles(outcome)])


def _head(outcome: dict[str, Any]) -> Iterator[str]:
    use, assumed = outcome["slot_use"], outcome["assumed"]
    speed = assumed["speed"]
    rows = (
        (
            "assumed",
            f"{assumed['replicas']:,} replicas: {speed['alone']:,.0f} tokens/s alone, "
            f"{speed['full']:,.0f} with all of {speed['sequences']} requests",
        ),
        ("wall time", f"{_span(outcome['wall_s'])}, {_percent(outcome['tail_share'])} of it after "
         "the last problem was admitted"),
        ("slot use", f"{_percent(use['until_last_admitted']['of_ready'])} until then, "
         f"{_percent(use['whole_run']['of_ready'])} in all (of replicas held, ready or starting: "
         f"{_percent(use['until_last_admitted']['of_held'])}, "
         f"{_percent(use['whole_run']['of_held'])})"),
        ("problems", ", ".join(f"{n:,} {name}" for name, n in outcome["problems"].items())),
        ("rollouts", f"{outcome['rollouts']:,} to their end, {outcome['aborted']:,} aborted"),
        ("losses", f"{outcome['replicas_lost']:,} replicas, "
         f"{outcome['rollouts_interrupted']:,} rollouts interrupted and continued"),
        ("at most", f"{outcome['most_open']:,} problems open, "
         f"{outcome['most_unjudged']:,} rollouts waiting for a judge, "
         f"{outcome['ledger_records_per_s']:,} ledger entries a second"),
        ("GPU hours", f"{outcome['gpu_hours']:,.1f}, cost {outcome['cost']:,.2f}"),
        ("foreman", f"{outcome['foreman']['events']:,} events in {outcome['foreman']['cpu_s']:.1f} "
         f"CPU s: {outcome['foreman']['cpu_s_per_virtual_s']:.4f} of one core"),
    )  # fmt: skip
    for name, text in (*rows, *_budget(outcome["budget"])):
        yield f"{name:<12} {text}"


def _budget(budget: dict[str, float]) -> Iterator[tuple[str, str]]:
    units = {"tokens": "tokens", "gpu_hours": "GPU-hours of ready replicas"}
    for name, unit in units.items():
        if (most := budget.get(f"{name}_at_most")) is not None:
            yield "budget", f"{budget[name]:,.4g} of {most:,.4g} {unit} used"


def _fates(outcome: dict[str, Any]) -> Iterator[str]:
    tokens = outcome["tokens"]
    yield f"{'tokens':<12} {'':>18}"
    for name, number in tokens.items():
        yield f"  {name:<12} {number:>18,}  {_percent(share(number, tokens['total'])):>6}"


def _deciles(outcome: dict[str, Any]) -> Iterator[str]:
    yield "pass rate    problems  solved    full  rollouts each   tokens"
    total = outcome["tokens"]["total"]
    for row in outcome["deciles"]:
        each = row["rollouts_per_problem"]
        yield (
            f"  from {row['from']:.1f}  {row['problems']:>9,}  {_percent(row['solved']):>6}  "
            f"{_percent(row['full']):>6}  {'-' if each is None else f'{each:.1f}':>13}   "
            f"{_percent(share(row['tokens'], total)):>6}"
        )


def _percent(number: float | None) -> str:
    return "-" if number is None else f"{number:.1%}"


def _span(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.2f} h"
