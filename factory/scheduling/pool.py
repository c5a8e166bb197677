"""What is known of all problems together, for policies that learn from it.

A `Pool` is kept up by the foreman, rollout by rollout. Policies decide by its `Census`: a picture
of the pool, taken when the judged rollouts have grown by 60 % since the last one. It goes on
record when it is taken, so a resumed run decides by the same picture as the interrupted one.
The rest of the pool is sums, which the ledger gives back: over the finished problems from their
closing records, over the open ones from their histories.

Memory: one number per distinct pair (correct, failed), never one per problem.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_FIRST_LOOK = 256
_GROWTH = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The pool at one moment, as policies see it."""

    tallies: tuple[tuple[int, int, int], ...] = ()
    """(correct, failed, problems with just these), sorted; problems without either left out."""
    judged: int = 0
    """Rollouts in `tallies`."""
    right_tokens: float = 0.0
    """Mean length of the correct rollouts; 0: none yet."""
    tokens: float = 0.0
    """Mean length of all rollouts that came to an end; 0: none yet."""

    @property
    def failed_tokens(self) -> float:
        """Mean length of the rollouts that are not correct; 0: none yet."""
        right = sum(c * n for c, _, n in self.tallies)
        failed = self.judged - right
        return max(0.0, self.tokens * self.judged - self.right_tokens * right) / max(1, failed)


@dataclass(slots=True, kw_only=True)
class Sums:
    """What one problem adds to the pool."""

    correct: int = 0
    failed: int = 0
    """Judged wrong, or cut short by a detector (`factory.scheduling.doomed`)."""
    ended: int = 0
    """Rollouts that came to an end in any way."""
    tokens: int = 0
    """Of those."""
    right_tokens: int = 0
    """Of the correct ones."""

    @classmethod
    def of(cls, counted: Any) -> Sums:
        """Of something that has counters of these names."""
        return cls(**{name: getattr(counted, name) for name in cls.__slots__})


@dataclass(slots=True, kw_only=True)
class Pool:
    """Sums over every problem of a run, open or finished."""

    census: Census = field(default_factory=Census)
    """The last one taken."""
    tokens: int = 0
    """Generated so far, by rollouts that came to an end in any way."""
    running: int = 0
    """Rollouts queued or generating."""
    gpu_s: float = 0.0
    """GPU-seconds so far, where the driver meters them."""
    closing: bool = False
    """The source has ended and nothing is queued: what is deferred goes on now, or is closed."""
    _tallies: Counter[tuple[int, int]] = field(default_factory=Counter)
    _judged: int = 0
    _correct: int = 0
    _ended: int = 0
    _right_tokens: int = 0

    @property
    def mean_tokens(self) -> float:
        """Mean length of a rollout so far; 0: none has ended."""
        return self.tokens / self._ended if self._ended else 0.0

    @property
    def tokens_ahead(self) -> float:
        """What there will be when the running ones have ended."""
        return self.tokens + self.running * self.mean_tokens

    @property
    def gpu_s_ahead(self) -> float:
        """The same of GPU-seconds, at what a token took so far."""
        return self.gpu_s * self.tokens_ahead / self.tokens if self.tokens else self.gpu_s

    def add(self, problem: Sums) -> None:
        """Take in all that is on record of a problem."""
        self._move((0, 0), (problem.correct, problem.failed))
        self._count(problem, 1)

    def remove(self, problem: Sums) -> None:
        """Take out what `add` took in: the problem is open again."""
        self._move((problem.correct, problem.failed), (0, 0))
        self._count(problem, -1)

    def add_alike(self, problems: int, sums: Sums) -> None:
        """The same for many problems with equally many correct and failed rollouts.

        Args:
            sums: `correct` and `failed` of each, the rest over all of them.
        """
        if sums.correct or sums.failed:
            self._tallies[sums.correct, sums.failed] += problems
        self._judged += problems * (sums.correct + sums.failed)
        self._correct += problems * sums.correct
        self._count(sums, 1)

    def _count(self, sums: Sums, by: int) -> None:
        """What does not depend on the tally."""
        self.tokens += by * sums.tokens
        self._ended += by * sums.ended
        self._right_tokens += by * sums.right_tokens

    def work(self, gpu_s: float) -> None:
        """Replicas were alive for so long."""
        self.gpu_s += gpu_s

    def ended(self, tokens: int) -> None:
        """A rollout came to an end."""
        self.tokens += tokens
        self._ended += 1

    def judged(self, correct: int, failed: int, right_tokens: int | None) -> None:
        """A problem that had `correct` and `failed` rollouts has one more.

        Args:
            right_tokens: its length if it is correct, else None.
        """
        right = right_tokens is not None
        self._move((correct, failed), (correct + right, failed + (not right)))
        self._right_tokens += right_tokens or 0

    def _move(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        tallies = self._tallies
        had, has = before[0] + before[1], after[0] + after[1]
        if had:
            tallies[before] -= 1
            if not tallies[before]:
                del tallies[before]
        if has:
            tallies[after] += 1
        self._judged += has - had
        self._correct += after[0] - before[0]

    def look(self) -> Census | None:
        """A new census if it is time for one."""
        if self._judged < max(_FIRST_LOOK, self.census.judged * _GROWTH):
            return None
        self.census = Census(
            tallies=tuple((c, f, n) for (c, f), n in sorted(self._tallies.items())),
            judged=self._judged,
            right_tokens=self._right_tokens / self._correct if self._correct else 0.0,
            tokens=self.mean_tokens,
        )
        return self.census
