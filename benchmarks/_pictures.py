"""The pictures of docs/simulation.md, of what the benchmarks `simulation` and `forecast` found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

BLUE, SAND, PALE, GREY, GREEN = "#2f6fb3", "#c9b27c", "#8fb8de", "#cfcfcf", "#2f9e64"
FATES = {"accepted": GREEN, "surplus": PALE, "repeated": SAND, "wrong": GREY, "unjudged": "#c2564f",
         "aborted": "#7d8fb3", "regenerated": "#404040"}  # fmt: skip


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Writes `simulation-PART.png` for each part that there is.

    Args:
        figures: by part, as `benchmarks.simulation` prints them with `--json`; `plan`: by figure,
            as `benchmarks.forecast` does.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, Callable[[Any], Any]] = {
        "saturation": _saturation,
        "tail": _tail,
        "replayed": _beside,
        "plan": _plan,
    }
    for part in known.keys() & figures.keys():
        figure = known[part](figures[part])
        figure.tight_layout()
        figure.savefig(folder / f"simulation-{part}.png", dpi=110)
        pyplot.close(figure)


def _saturation(row: dict[str, Any]) -> Any:
    """Slot use over time, and what became of the tokens."""
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 3.8), gridspec_kw={"width_ratios": [2, 1]}
    )
    line = row["timeline"]
    minutes = [line["step_s"] * (place + 0.5) / 60 for place in range(len(line["busy"]))]
    left.fill_between(minutes, [100 * share for share in line["ready"]], color=GREY, label="idle")
    left.fill_between(minutes, [100 * share for share in line["busy"]], color=BLUE, label="busy")
    left.axvline(row["admitted_s"] / 60, color="black", linewidth=1, linestyle=":")
    left.text(row["admitted_s"] / 60, 50, " last problem admitted", fontsize=8)
    left.set(xlabel="virtual minutes", ylabel="% of the places held", ylim=(0, 100))
    left.legend(loc="lower center")
    fates = {name: count for name, count in row["tokens"].items() if name in FATES and count}
    total = sum(fates.values())
    right.barh(
        [f"{name} {count / total:.1%}" for name, count in fates.items()],
        [100 * count / total for count in fates.values()],
        color=[FATES[name] for name in fates],
    )
    right.invert_yaxis()
    right.set(xlabel="% of the generated tokens")
    return figure


def _tail(rows: list[dict[str, Any]]) -> Any:
    """Time and tokens by haste, in pools of several sizes."""
    from matplotlib import pyplot

    sizes = sorted({row["problems"] for row in rows})
    hastes = sorted({row["haste"] for row in rows})
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 3.4))
    for panel, name, label in (
        (panels[0], "wall_s", "virtual time"),
        (panels[1], "tokens", "generated tokens"),
    ):
        base = {row["problems"]: row[name] for row in rows if row["haste"] == 0}
        for place, haste in enumerate(hastes):
            heights = [
                row[name] / base[row["problems"]]
                for size in sizes
                for row in rows
                if (row["problems"], row["haste"]) == (size, haste)
            ]
            panel.bar(
                [at + 0.27 * (place - 1) for at in range(len(sizes))],
                heights,
                width=0.25,
                color=(BLUE, PALE, SAND)[place],
                label=f"haste {haste:g}",
            )
        panel.set_xticks(range(len(sizes)), [f"{size:,} problems" for size in sizes])
        panel.set(ylabel=f"{label}, haste 0 = 1")
    panels[0].legend(loc="lower right")
    return figure


def _beside(rows: list[dict[str, Any]]) -> Any:
    """Forecast and measured tokens of real runs."""
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(7, 3.2))
    for place, (kind, color) in enumerate((("tokens_forecast", PALE), ("tokens", BLUE))):
        panel.barh(
            [at + 0.38 * place for at in range(len(rows))],
            [row[kind] for row in rows],
            height=0.36,
            color=color,
            label="forecast" if place == 0 else "measured",
        )
    panel.set_yticks([at + 0.19 for at in range(len(rows))], [row["run"] for row in rows])
    panel.set(xlabel="tokens")
    panel.legend()
    return figure


def _plan(table: dict[str, Any]) -> Any:
    """How far plans are off, run by run."""
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(8, 3.2))
    for place, row in enumerate(table.values()):
        errors = sorted(100 * off for off in row["off"])
        at = [place + 0.5 * (rank / len(errors) - 0.5) for rank in range(len(errors))]
        panel.scatter(at, errors, s=12, color=BLUE)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.set_xticks(
        range(len(table)),
        [f"{name}\n{row['inside']:.0%} in their interval" for name, row in table.items()],
    )
    panel.set(ylabel="plan beside the run, %")
    return figure
