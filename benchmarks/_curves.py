"""The pictures of docs/sampling.md, from what `benchmarks.tokens` measured (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BARS = {
    "stop_at_k": ("stop at 4", "#c9b27c"),
    "policy": ("adaptive", "#2f6fb3"),
    "bound": ("best rule for the pool's prior", "#8fb8de"),
    "told_every_rate": ("told every pass rate", "#cfcfcf"),
}


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Writes `sampling-savings.png` and `sampling-coverage.png`.

    Args:
        figures: lines of `benchmarks.tokens.compare`, under `simulated` and `replayed`.
    """
    import matplotlib

    matplotlib.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for line in [*figures["simulated"], *figures.get("replayed", [])]
             if line["k"] == 4 and line["cover"] == "full" and "bound" in line]  # fmt: skip
    _savings(lines, folder / "sampling-savings.png")
    _coverage([line for line in lines if line["n"] == 64], folder / "sampling-coverage.png")


def _savings(lines: list[dict[str, Any]], path: Path) -> None:
    """Times fewer tokens than a fixed number of rollouts, by pool, with the goal as a line."""
    from matplotlib import pyplot

    sizes = sorted({line["n"] for line in lines}, reverse=True)
    figure, panels = pyplot.subplots(1, len(sizes), figsize=(11, 4.2), squeeze=False)
    for panel, n in zip(panels[0], sizes, strict=True):
        of = [line for line in lines if line["n"] == n]
        for i, (key, (label, colour)) in enumerate(BARS.items()):
            places = np.arange(len(of)) + 0.2 * (i - 1.5)
            bars = panel.bar(places, [line[key] for line in of], 0.19, label=label, color=colour)
            panel.bar_label(bars, fmt="%.1f", fontsize=7)
        panel.axhline(of[0]["goal"], color="#c2564f", linestyle="--", linewidth=1)
        panel.set_xticks(range(len(of)), [line["pool"] for line in of], fontsize=8)
        panel.set_title(f"times fewer tokens than n = {n}, four correct wanted", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(BARS), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _coverage(lines: list[dict[str, Any]], path: Path) -> None:
    """Share of problems with four correct rollouts, by tenth of the pool, hardest first."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(lines), figsize=(11, 3), sharey=True, squeeze=False)
    for panel, line in zip(panels[0], lines, strict=True):
        tenths = np.arange(1, 11)
        panel.plot(tenths, line["coverage_fixed"], "o-", color="#8c8c8c", label="64 for each")
        panel.plot(tenths, line["coverage_policy"], "x--", color="#2f6fb3", label="adaptive")
        panel.set_title(f"{line['pool']}: {line['policy']} times fewer tokens", fontsize=9)
        panel.set_xticks(tenths)
        panel.set_xlabel("tenth by pass rate, hardest first", fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("share with 4 correct", fontsize=8)
    panels[0][0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
