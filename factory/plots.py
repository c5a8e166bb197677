"""Counts -> the card's plots: three bar charts as SVG, written by hand.

A chart of bars needs no plotting library, and SVG is text: small, sharp, and equal for equal
counts. Colours are chosen to be read on a light page and on a dark one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from factory.card import Counts

FOLDER = "plots"
"""Within the dataset folder."""
WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 48, 48
BASE = HEIGHT - BOTTOM
COLOURS = ("#2f9e64", "#c98a3b", "#c2564f", "#7d8fb3", "#8c8c8c")
INK = "#808080"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars side by side, each a stack of the series."""

    name: str
    """Of the file."""
    title: str
    series: tuple[str, ...]
    bars: Mapping[str, Sequence[int]]
    """Label -> one value per series."""

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}.svg"


def charts(counts: Counts) -> list[Chart]:
    """The charts that have something to show."""
    accepted = ("accepted", "not accepted")
    found = [
        Chart(
            name="pass_rate",
            title="Problems by the share of their rollouts that is right",
            series=("problems",),
            bars={label: (number,) for label, number in counts.pass_rates.items()},
        ),
        Chart(
            name="length",
            title="Rollouts by generated tokens, from the number below each bar to the next",
            series=accepted,
            bars={label: [of.get(s, 0) for s in accepted] for label, of in counts.lengths.items()},
        ),
        Chart(
            name="tokens",
            title="Generated tokens by what became of their rollout",
            series=("tokens",),
            bars={label: (number,) for label, number in counts.token_fates.items()},
        ),
    ]
    return [chart for chart in found if any(map(any, chart.bars.values()))]


def write(folder: Path, counts: Counts) -> dict[str, str]:
    """Writes the charts into the dataset folder; their titles with where they lie in it."""
    written = {}
    for chart in charts(counts):
        path = folder / chart.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(svg(chart), encoding="utf-8")
        written[chart.title] = chart.path
    return written


def svg(chart: Chart) -> str:
    """The chart as a file."""
    highest = max(sum(values) for values in chart.bars.values())
    body = [
        _text(LEFT, 20, chart.title, size=14),
        *_legend(chart.series),
        *_axis(highest),
        *_bars(chart, highest),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" role="img">'
    )
    return "\n".join([head, f"<title>{escape(chart.title)}</title>", *body, "</svg>\n"])


def _legend(series: Sequence[str]) -> Iterator[str]:
    if len(series) < 2:
        return
    for number, name in enumerate(series):
        left = LEFT + 120 * number
        yield f'<rect x="{left}" y="28" width="10" height="10" fill="{COLOURS[number]}"/>'
        yield _text(left + 15, 37, name)


def _axis(highest: int) -> Iterator[str]:
    for value in sorted({0, highest // 2, highest}):
        y = BASE - _scale(value, highest)
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{INK}" stroke-width="0.5" opacity="0.6"/>'
        )
        yield _text(LEFT - 6, y + 4, short(value), anchor="end")


def _bars(chart: Chart, highest: int) -> Iterator[str]:
    step = (WIDTH - LEFT - RIGHT) / len(chart.bars)
    for place, (label, values) in enumerate(chart.bars.items()):
        left, top = LEFT + step * (place + 0.1), float(BASE)
        for number, value in enumerate(values):
            tall = _scale(value, highest)
            top -= tall
            what = f"{label}, {chart.series[number]}: {value:,}"
            yield (
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{step * 0.8:.1f}" '
                f'height="{tall:.1f}" fill="{COLOURS[number]}"><title>{escape(what)}</title></rect>'
            )
        yield _text(left + step * 0.4, BASE + 16, label, anchor="middle")
        yield _text(left + step * 0.4, BASE + 32, short(sum(values)), anchor="middle", faint=True)


def _scale(value: int, highest: int) -> float:
    return (BASE - TOP) * value / highest


def _text(
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", faint: bool = False
) -> str:
    opacity = ' opacity="0.7"' if faint else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}"{opacity}>{escape(text)}</text>'
    )


def short(number: int) -> str:
    """A number in at most four digits and a letter, rounded."""
    value, units = float(number), ["", "k", "M", "G", "T"]
    while value >= 9999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f}{units[0]}"
