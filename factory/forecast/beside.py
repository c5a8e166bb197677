"""What was planned: kept in the run's folder, and shown beside what the run then measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from factory.ledger import durable

NAME = "plan.json"


def keep(folder: Path, plan: dict[str, Any]) -> None:
    """Write a plan into the folder of the run that it is for."""
    folder.mkdir(parents=True, exist_ok=True)
    durable.write(folder / NAME, json.dumps(plan, indent=2) + "\n")


def rows(folder: Path, measured: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Planned and measured figures, where the run was planned.

    Args:
        measured: by the names of `factory.forecast.outlook.Outlook`.
    """
    try:
        plan = json.loads((folder / NAME).read_text(encoding="utf-8"))
        chosen = plan["outlooks"][0]
    except (OSError, ValueError, LookupError, TypeError):
        return
    for name, value in measured.items():
        expected = chosen.get(name)
        if expected and expected["value"]:
            error = value / expected["value"] - 1
            within = expected["low"] <= value <= expected["high"]
            yield (
                f"{name}: planned, measured",
                f"{shown(expected)}, {short(value)}: {error:+.0%}{'' if within else ', outside'}",
            )


def shown(figure: dict[str, float]) -> str:
    """An estimate with its interval."""
    return f"{short(figure['value'])} ({short(figure['low'])} to {short(figure['high'])})"


def short(value: float) -> str:
    """Three digits that count."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (1e3 if size == 1e4 else size):.3g}{unit}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
