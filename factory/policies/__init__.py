"""How many rollouts, for whom.

A policy is a pure function from what is known of one problem (`Tally`) and of all of them (`Pool`,
by its census) to a `Decision`. The foreman asks it after every event that changes the tally. It
keeps no state of its own: what it learns is in the pool, which the ledger gives back, so a resumed
run decides as the interrupted one would have.

    policy.decide(tally, pool) -> start n more | close "why" | neither: wait for what is out

A problem closed as `deferred` is unknown, not impossible. The foreman parks it and asks again at
every new census, and once more when the source has ended and nothing is queued (`pool.closing`),
the most promising first: then it goes on (budget is left), or is closed for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from factory.scheduling.pool import Pool, Sums

MOST = 100_000
"""Upper bound on the rollouts that a policy may ask for per problem."""
DEFERRED = "deferred"
"""The reason of a problem that is given up for now."""
BUDGETS = {"tokens": "budget", "gpu_hours": "gpu_hours"}
"""Options with which a policy caps a whole run; one of GPU-hours has somebody meter them."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What is known of one problem so far, in rollouts."""

    started: int = 0
    """Handed out, whatever became of them."""
    running: int = 0
    """Queued for a replica, or generating on one."""
    waiting: int = 0
    """Finished, verdict outstanding."""
    correct: int = 0
    """No two in the same words."""
    incorrect: int = 0
    repeats: int = 0
    """Correct, in the words of an earlier correct one: tokens that brought no new trace."""
    unknown: int = 0
    """Ended without a verdict that tells: checker failed, or generation failed for good."""
    doomed: int = 0
    """Cut short by a detector whose measured chance of being wrong is at most 1 %."""
    forked_correct: int = 0
    """Forks (`factory.scheduling.branching`) are in none of the counts above: they are no samples
    of the pass rate. These are new words and correct."""
    forked_failed: int = 0
    """Those that were wrong, repeats or doomed."""
    ended: int = 0
    """Came to an end, in any way."""
    tokens: int = 0
    """Of those."""
    right_tokens: int = 0
    """Of the correct ones."""

    @property
    def judged(self) -> int:
        return (
            self.correct + self.incorrect + self.repeats + self.forked_correct + self.forked_failed
        )

    @property
    def failed(self) -> int:
        """Samples of the pass rate that brought nothing."""
        return self.incorrect + self.repeats + self.doomed

    @property
    def found(self) -> int:
        """Traces that there are, forks included."""
        return self.correct + self.forked_correct

    @property
    def missed(self) -> int:
        """Rollouts that brought nothing, forks included."""
        return self.failed + self.forked_failed

    @property
    def outstanding(self) -> int:
        return self.running + self.waiting

    @property
    def mean_tokens(self) -> float:
        """Mean length of its rollouts; 0: none has ended."""
        return self.tokens / self.ended if self.ended else 0.0

    @property
    def sums(self) -> Sums:
        """What it adds to the pool."""
        return Sums.of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next for one problem."""

    start: int = 0
    """How many further rollouts to hand out now."""
    close: str = ""
    """Why the problem is finished; empty while it is not."""
    worth: float = field(default=0.0, compare=False)
    """Of a deferred problem: chance of a correct rollout per token. The best go on first."""


WAIT = Decision()
"""Nothing new, nothing closed: most decisions are this one."""


class Policy(Protocol):
    """The contract of every file in this room: a dataclass `Policy` with this method."""

    def decide(self, tally: Tally, pool: Pool) -> Decision: ...


def budgets(policy: Policy) -> dict[str, float]:
    """What a run may spend at most: `tokens`, `gpu_hours`, or neither."""
    given = {name: getattr(policy, field, None) for name, field in BUDGETS.items()}
    return {name: most for name, most in given.items() if most is not None}


def is_spent(policy: Policy, pool: Pool) -> bool:
    """Whether its budget is, by what the pool has come to; never, where it has none."""
    spent = getattr(policy, "spent", None)
    return spent is not None and bool(spent(pool))
