"""Figures -> charts, drawn as the card's are (`factory.plots`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.plots import Chart, svg

_BARS = 24


def charts(outcome: dict[str, Any]) -> list[Chart]:
    """The charts of `factory.simulation.result.summary`'s outcome that have something to show."""
    found = [
        Chart(
            name="slots",
            title="Places for requests over time (from the hour below), in percent",
            series=("busy", "idle", "starting"),
            bars=_over_time(outcome["timeline"]),
        ),
        Chart(
            name="tokens",
            title="Generated tokens by what became of their rollout",
            series=("tokens",),
            bars={name: (n,) for name, n in outcome["tokens"].items() if name != "total"},
        ),
        Chart(
            name="coverage",
            title="Problems by their true pass rate",
            series=("all traces found", "some", "none"),
            bars={f"{row['from']:.1f}": _split(row) for row in outcome["deciles"]},
        ),
    ]
    return [chart for chart in found if any(map(any, chart.bars.values()))]


def write(folder: Path, outcome: dict[str, Any]) -> list[Path]:
    """Write the charts into `folder`; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chart in charts(outcome):
        path = folder / f"{chart.name}.svg"
        path.write_text(svg(chart), encoding="utf-8")
        written.append(path)
    return written


def _over_time(timeline: dict[str, Any]) -> dict[str, Sequence[int]]:
    busy, ready, step_s = timeline["busy"], timeline["ready"], timeline["step_s"]
    group = -(-len(busy) // _BARS)
    bars: dict[str, Sequence[int]] = {}
    for first in range(0, len(busy), group):
        part = slice(first, first + group)
        ran = round(100 * _mean(busy[part]))
        could = round(100 * _mean(ready[part]))
        bars[f"{first * step_s / 3600:.2f}"] = (ran, max(0, could - ran), 100 - max(ran, could))
    return bars


def _mean(shares: list[float | None]) -> float:
    return sum(s or 0.0 for s in shares) / len(shares)


def _split(row: dict[str, Any]) -> tuple[int, int, int]:
    count = row["problems"]
    full, solved = round(count * (row["full"] or 0)), round(count * (row["solved"] or 0))
    return full, solved - full, count - solved
