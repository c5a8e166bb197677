"""A few rollouts of a random sample of a recipe's problems: a small run in a folder of its own.

It is resumed, drained and continued like any other; what it has recorded is not sampled again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from factory import feed, run
from factory.curation import groups
from factory.errors import FactoryError
from factory.forecast.world import Sampled
from factory.recipe import Plugin, Recipe
from factory.scheduling.branching import Branching
from factory.scheduling.doomed import Aborts
from factory.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """What a pilot measured."""

    problems: int
    """That a run of the recipe would take: all in the sources, up to the limit, less the share of
    the sample whose reference did not pass its verifier."""
    sampled: tuple[Sampled, ...]
    tokens: int
    generating_s: float

    @property
    def tokens_per_s(self) -> float:
        """Of all replicas together, their start and the pilot's thin end included."""
        return self.tokens / self.generating_s if self.generating_s else 0.0


def pilot(given: Recipe, folder: Path, say: Callable[[str], None], *, sample: int, n: int) -> Pilot:
    """Run the pilot of a recipe.

    Args:
        folder: of the pilot's own run.
        sample: problems; which ones follows from their ids.
        n: rollouts of each.

    Raises:
        FactoryError: it was stopped before its end, or no rollout could be judged.
    """
    chosen, total = _choose(given, sample)
    fixed = Plugin.model_validate({"name": "fixed", "n": n})
    # Forks are no samples of the pass rate, and what is cut short has no outcome.
    plain = {"branching": Branching(), "aborts": Aborts()}
    small = given.model_copy(update={"policy": fixed, **plain})
    most = n * len(chosen) * given.sampling.max_tokens
    say(
        f"{folder}: {n} rollouts of each of {len(chosen):,} problems (of {total:,}), at most "
        f"{most:,} tokens; a run does not take them over"
    )
    done = run.run(small, folder, say, takes=chosen.__contains__)
    if not done.complete:
        raise FactoryError(f"{folder}: the pilot was stopped; the same command goes on from here")
    found = [Sampled.of(group) for group in groups.read(folder / "ledger")]
    sampled = tuple(one for one in found if one is not None)
    if not sampled:
        raise FactoryError(f"{folder}: no rollout of the pilot could be judged; nothing to go by")
    return Pilot(
        problems=round(total * done.counts.problems / len(chosen)),
        sampled=sampled,
        tokens=done.counts.tokens,
        generating_s=done.generating_s,
    )


def _choose(given: Recipe, sample: int) -> tuple[set[str], int]:
    """The ids whose hashes come first, and how many problems there are."""
    total = 0
    lowest: list[tuple[int, str]] = []  # the largest hash on top
    problems = (item for item in feed.candidates(given) if isinstance(item, Problem))
    for problem in islice(problems, given.limit):
        total += 1
        place = -int.from_bytes(blake2b(problem.id.encode(), digest_size=8).digest(), "big")
        if len(lowest) < sample:
            heapq.heappush(lowest, (place, problem.id))
        else:
            heapq.heappushpop(lowest, (place, problem.id))
    if not total:
        raise FactoryError("no usable problem in the sources")
    return {problem_id for _, problem_id in lowest}, total
