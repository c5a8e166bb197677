"""How many rollouts, for whom.

A policy is a pure function from what is known of one problem (`Tally`) to a `Decision`. The
foreman asks it after every event that changes the tally; it keeps no state of its own, so a
resumed run decides as the interrupted one would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MOST = 100_000
"""Upper bound on the rollouts that a policy may ask for per problem."""


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
    incorrect: int = 0
    unknown: int = 0
    """Ended without a verdict that tells: checker failed, or generation failed for good."""

    @property
    def judged(self) -> int:
        return self.correct + self.incorrect

    @property
    def outstanding(self) -> int:
        return self.running + self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next for one problem."""

    start: int = 0
    """How many further rollouts to hand out now."""
    close: str = ""
    """Why the problem is finished; empty while it is not."""


class Policy(Protocol):
    """The contract of every file in this room: a dataclass `Policy` with this method."""

    def decide(self, tally: Tally) -> Decision: ...
