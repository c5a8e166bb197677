"""What detectors found in a run, and what cutting it short was worth (`factory.scheduling.doomed`).

How often they were wrong, and what they saved, is known of the audited rollouts alone: those were
found doomed and ran on to their end all the same, a share drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_Z = 1.959964
"""Two-sided 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one detector found."""

    cut: int = 0
    """Rollouts that were cut short."""
    audited: int = 0
    """Rollouts that ran on to their end and could be judged."""
    audited_correct: int = 0
    """Of those: what cutting would have lost."""
    audited_rest: int = 0
    """Tokens that those wrote after they were found."""

    @property
    def saved(self) -> int:
        """Tokens that the cut ones would have written, going by the audited ones."""
        return round(self.cut * self.audited_rest / self.audited) if self.audited else 0

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share of correct ones, 95 %: Wilson's score interval (JASA 22, 1927)."""
        n, share = self.audited, self.audited_correct / max(1, self.audited)
        if not n:
            return 0.0, 1.0
        middle = share + _Z**2 / (2 * n)
        reach = _Z * (share * (1 - share) / n + _Z**2 / (4 * n * n)) ** 0.5
        low, high = ((middle + sign * reach) / (1 + _Z**2 / n) for sign in (-1, 1))
        return max(0.0, low), min(1.0, high)

    @property
    def false(self) -> str:
        """The share that cutting wronged: `2.0% (0.4% to 10.5%)`."""
        if not self.audited:
            return "none audited"
        low, high = self.interval
        return f"{self.audited_correct / self.audited:.1%} ({low:.1%} to {high:.1%})"


def told(found: Mapping[str, Found]) -> str:
    """In one line, by detector; empty for nothing."""
    return "; ".join(
        f"{name}: {one.cut:,} cut, {one.audited_correct:,} of {one.audited:,} audited correct"
        + (f" = {one.false}, about {one.saved:,} tokens saved" if one.audited else "")
        for name, one in sorted(found.items())
    )
