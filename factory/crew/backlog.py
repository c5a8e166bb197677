"""Finished rollouts that wait for a judge, and which of them a judge dies of.

Judges take batches of about `BATCH_S` of work, so that a program that hangs holds up next to
nobody. A verifier runs in a worker process with limits, so a judge itself is lost, or raises, next
to never; should a rollout manage it all the same, its batch is halved each time until it is alone,
and at the `CONVICTIONS`th time alone it has a verdict of its own: an error, with what was seen.
Where `_MANY` judges were lost and none of them or the others has judged anything between, the fault
is hardly that of what they had in hand, as when machines go: then it takes `LONELY` times.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from factory.types import Outcome, Problem, Rollout, Verdict

BATCH_S = 1.0
CONVICTIONS = 2
LONELY = 6
_MANY = 8
_MOST = 64

Pair = tuple[Problem, Rollout]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one judge has in hand."""

    pairs: tuple[Pair, ...]
    losses: int = 0
    """Judges that were lost over it, or raised, while it was a single pair."""


class Backlog:
    """The queue between the driver and its judges.

    Args:
        default: the verifier of problems that name none.
    """

    def __init__(self, default: str) -> None:
        self._default = default
        self._pairs: deque[Pair] = deque()
        self._again: deque[Batch] = deque()
        self._some = asyncio.Event()
        self._mean_s = 0.0  # what one judgement takes, lately
        self._row = 0  # judges lost since the last verdict of any

    def __len__(self) -> int:
        return len(self._pairs) + sum(len(batch.pairs) for batch in self._again)

    def put(self, pairs: Iterable[Pair]) -> None:
        self._pairs.extend(pairs)
        if self._pairs:
            self._some.set()

    async def take(self) -> Batch:
        """The next batch; waits for one."""
        while not self._pairs and not self._again:
            self._some.clear()
            await self._some.wait()
        if self._again:
            return self._again.popleft()
        most = int(min(_MOST, max(1.0, BATCH_S / max(self._mean_s, 1e-6))))
        return Batch(tuple(self._pairs.popleft() for _ in range(min(most, len(self._pairs)))))

    def judged(self, verdicts: list[Verdict]) -> None:
        """A batch is done: the next ones are cut by how long it took."""
        self._row = 0
        if verdicts:
            self._mean_s = (self._mean_s + sum(v.seconds for v in verdicts) / len(verdicts)) / 2

    def give_back(self, batch: Batch) -> None:
        """Its judge could not begin: nobody's fault, the same batch again."""
        self._again.appendleft(batch)
        self._some.set()

    def lost(self, batch: Batch, reason: str, *, raised: bool = False) -> list[Verdict]:
        """A judge was lost over it, or raised: halve it, or give the one rollout its verdict."""
        self._row += not raised
        times = batch.losses + 1
        enough = CONVICTIONS if self._row < _MANY else LONELY
        if len(batch.pairs) > 1:
            middle = len(batch.pairs) // 2
            self._again.extend((Batch(batch.pairs[:middle]), Batch(batch.pairs[middle:])))
        elif times < enough:
            self._again.append(Batch(batch.pairs, times))
        else:
            lost, failed = f"{times} judges were lost", f"judging failed {times} times"
            seen = f"{failed if raised else lost} over this rollout alone; the last: {reason}"
            return [self._convicted(*batch.pairs[0], seen)]
        self._some.set()
        return []

    def _convicted(self, problem: Problem, rollout: Rollout, detail: str) -> Verdict:
        return Verdict(
            problem_id=rollout.problem_id,
            index=rollout.index,
            outcome=Outcome.ERROR,
            reward=None,
            extracted=None,
            detail=detail,
            verifier=problem.verifier or self._default,
            verifier_version="",
        )
