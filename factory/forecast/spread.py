"""How the pass rates of all problems are spread, by the tallies of a few.

Few and coarse tallies leave much open: 0 of 8 may be never or one in ten. The nonparametric
estimate (`factory.scheduling.prior`) follows them closely, and so differs much from sample to
sample; a Beta distribution hardly does, but no two-humped pool is one. So the Beta distribution
that fits best (maximum likelihood over a grid) is imagined as some more problems, half as many as
the square root of their number, and the nonparametric estimate is made of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from factory.scheduling.pool import Census
from factory.scheduling.prior import Prior

_GRID = np.geomspace(0.05, 30, 40)
_USUAL = 0.5
_FAITH = 0.02


def learn(tallies: Iterable[tuple[int, int]]) -> Prior:
    """The distribution of pass rates that (correct, failed) of each problem speak for."""
    counts = Counter(tallies)
    census = Census(tallies=tuple((c, f, n) for (c, f), n in sorted(counts.items())))
    return Prior.learn(census, *beta(counts), imagined=counts.total() ** 0.5 / 2)


def beta(counts: Counter[tuple[int, int]]) -> tuple[float, float]:
    """(a, b) of the likeliest Beta distribution; (1/2, 1/2) where the tallies do not tell."""
    correct, failed = np.array(list(counts)).T
    number = np.array(list(counts.values()), float)
    sums = _GRID[:, None] + _GRID
    logs = (number @ _rising(_GRID, correct))[:, None] + number @ _rising(_GRID, failed)
    logs -= (number @ _rising(sums.ravel(), correct + failed)).reshape(sums.shape)
    doubt = _FAITH * np.log(_GRID / _USUAL) ** 2
    a, b = np.unravel_index((logs - doubt[:, None] - doubt).argmax(), logs.shape)
    return float(_GRID[a]), float(_GRID[b])


def _rising(x: Any, times: Any) -> Any:
    """log x (x + 1) ... (x + t - 1): a row for each t."""
    steps = np.arange(max(1, int(times.max())))
    table = np.concatenate([np.zeros((1, len(x))), np.cumsum(np.log(steps[:, None] + x), 0)])
    return table[times]
