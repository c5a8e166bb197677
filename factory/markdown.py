"""The pieces of Markdown that a dataset card is put together from."""

from __future__ import annotations

import re
from collections.abc import Iterable


def table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A table, its whole numbers to the right; the word "None." where there is nothing to show."""
    listed = list(rows)
    if not listed:
        return "None."
    numbers = [
        all(isinstance(value, int) for value in column) for column in zip(*listed, strict=True)
    ]
    rule = ["--:" if right else "---" for right in numbers]
    return "\n".join(map(_cells, [header, rule, *listed]))


def line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def count(number: int) -> str:
    """A whole number with thousands apart."""
    return f"{number:,}"


def ratio(total: int, parts: int) -> str:
    """A whole number per part; a dash where there is no part."""
    return f"{total / parts:,.0f}" if parts else "-"


def fence(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    mark = "`" * (longest + 1)
    return f"{mark}{language}\n{text.rstrip()}\n{mark}"


def image(title: str, path: str) -> str:
    """A picture that lies beside the page."""
    return f"![{line(title)}]({path})"


def _cells(values: Iterable[object]) -> str:
    texts = (count(v) if isinstance(v, int) else line(str(v)) for v in values)
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
