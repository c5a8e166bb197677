"""What the foreman hears and what it says.

Events come from the driver (or a simulator), actions go back to it. Plain values, in order. Those
of which every rollout makes one are not frozen: to make a frozen one takes three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.scheduling.pool import Census, Sums
from factory.types import Outcome, RolloutKey


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger holds of a problem that an earlier process left open."""

    ended: tuple[int, ...] = ()
    """Indices of rollouts that are on record, in any way."""
    correct: int = 0
    incorrect: int = 0
    unknown: int = 0
    repeats: int = 0
    """Correct, in the very words of one in `correct`."""
    doomed: int = 0
    """Cut short by a detector."""
    forked_correct: int = 0
    """Forks (`branching`) are in none of the counts above."""
    forked_failed: int = 0
    tokens: int = 0
    """Of the rollouts in `ended`."""
    right_tokens: int = 0
    """Of the correct ones."""
    lengths: tuple[int, ...] = ()
    """Tokens of each rollout in `unjudged`, in its order."""
    unjudged: tuple[int, ...] = ()
    """Indices (also in `ended`) that finished but have no verdict yet."""
    partial: tuple[int, ...] = ()
    """Indices with logged tokens but no end: to be continued."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A problem is ready, its reference checked."""

    problem_id: str
    history: History = History()


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """No further problem will come."""


@dataclass(frozen=True, slots=True)
class ReplicaReady:
    """A replica joined and holds up to `slots` rollouts."""

    replica: str
    slots: int


@dataclass(frozen=True, slots=True)
class ReplicaLost:
    """A replica is gone, with every rollout placed on it."""

    replica: str
    reason: str = ""
    """What it said last: evidence against a problem that is set aside for it."""


@dataclass(slots=True)
class Finished:
    """A rollout came to an end and is on record."""

    key: RolloutKey
    aborted: bool = False
    doomed: bool = False
    """Aborted because a detector found it doomed, not because it is not needed."""
    num_tokens: int = 0
    forked: bool = False
    """It began with another one's tokens (`branching`)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A rollout failed; nothing of it is on record."""

    key: RolloutKey
    reason: str
    fatal: bool = False
    """The problem itself is at fault (its prompt does not fit): no second try."""


@dataclass(slots=True)
class Judged:
    """A verdict is on record."""

    key: RolloutKey
    outcome: Outcome
    repeat: bool = False
    """Correct, in the very words of an earlier correct one: no new trace."""
    forked: bool = False
    why: str = ""
    """What kept the checker from telling, where it could not."""

    @property
    def said(self) -> str:
        """The outcome, with what was the matter."""
        return f"{self.outcome} ({self.why})" if self.why else str(self.outcome)


@dataclass(frozen=True, slots=True)
class Worked:
    """Replicas were alive, at work or not."""

    gpu_s: float
    """GPU-seconds since the last such event."""


Event = Admitted | SourceEnded | ReplicaReady | ReplicaLost | Finished | Failed | Judged | Worked


@dataclass(frozen=True, slots=True)
class Admit:
    """Bring so many further problems."""

    count: int


@dataclass(slots=True)
class Generate:
    """Start a rollout on a replica, or go on with it."""

    replica: str
    key: RolloutKey
    interrupted: bool
    """It ran before: continue from its logged tokens."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Cut a rollout short: it is not needed any more."""

    replica: str
    key: RolloutKey


@dataclass(slots=True)
class Verify:
    """Have a finished rollout judged."""

    key: RolloutKey


@dataclass(frozen=True, slots=True)
class Close:
    """A problem is finished; nothing of it is outstanding."""

    problem_id: str
    reason: str
    sums: Sums = field(default_factory=Sums, compare=False)
    """What it adds to the pool."""


@dataclass(frozen=True, slots=True)
class Note:
    """Put a census on record: what is decided from now on rests on it."""

    census: Census


Action = Admit | Generate | Abort | Verify | Close | Note
