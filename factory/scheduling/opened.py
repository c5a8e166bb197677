"""An open problem, as the foreman sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.policies import Tally
from factory.scheduling.berth import Berth
from factory.scheduling.events import Finished, History, Judged
from factory.scheduling.pool import Pool
from factory.types import Outcome


@dataclass(slots=True)
class Opened:
    """What is known of it, and what is out for it."""

    tally: Tally
    next_index: int = 0
    closing: str = ""
    """Why it is finished; it stays open until nothing of it is outstanding."""
    attempts: dict[int, int] = field(default_factory=dict)
    """Failed attempts per rollout index."""
    suspects: dict[int, int] = field(default_factory=dict)
    """Per rollout index that lost a replica: how many suspects may share one with it."""
    convictions: dict[int, int] = field(default_factory=dict)
    """Per rollout index: replicas lost while it had them to itself."""
    first_alone: dict[int, int] = field(default_factory=dict)
    """Per rollout index: how many rollouts had ended anywhere when that happened first."""
    unchecked: int = 0
    """Rollouts over which the checker crashed or ran out of time."""
    placed: dict[int, Berth] = field(default_factory=dict)
    """Replica per generating rollout index."""
    lengths: dict[int, int] = field(default_factory=dict)
    """Tokens per finished rollout without a verdict."""

    @classmethod
    def of(cls, past: History) -> tuple[Opened, list[int]]:
        """A problem with its past, and the indices that run again.

        Indices below the highest one on record were in flight when the run was cut off. They run
        again under the same index, so that the cut favours no length.
        """
        known = set(past.ended)
        next_index = max((*past.ended, *past.partial), default=-1) + 1
        again = [i for i in range(next_index) if i not in known]
        tally = Tally(
            started=next_index,
            running=len(again),
            waiting=len(past.unjudged),
            correct=past.correct,
            incorrect=past.incorrect,
            unknown=past.unknown,
            repeats=past.repeats,
            doomed=past.doomed,
            forked_correct=past.forked_correct,
            forked_failed=past.forked_failed,
            ended=len(known),
            tokens=past.tokens,
            right_tokens=past.right_tokens,
        )
        lengths = dict(zip(past.unjudged, past.lengths, strict=False))
        return cls(tally=tally, next_index=next_index, lengths=lengths), again

    def run(self, by: int, pool: Pool) -> None:
        """So many more rollouts are queued or generating."""
        self.tally.running += by
        pool.running += by

    def finished(self, event: Finished, pool: Pool) -> None:
        """A rollout came to an end."""
        self.run(-1, pool)
        tally = self.tally
        tally.ended += 1
        tally.tokens += event.num_tokens
        pool.ended(event.num_tokens)
        if event.doomed and event.forked:
            tally.forked_failed += 1
        elif event.doomed:
            pool.judged(tally.correct, tally.failed, None)
            tally.doomed += 1
        elif event.aborted:
            tally.unknown += 1
        else:
            tally.waiting += 1
            self.lengths[event.key.index] = event.num_tokens

    def judged(self, event: Judged, pool: Pool) -> None:
        """A rollout has its verdict."""
        tally = self.tally
        tally.waiting -= 1
        length = self.lengths.pop(event.key.index, 0)
        if event.forked and event.outcome.judged:
            new = event.outcome is Outcome.CORRECT and not event.repeat
            tally.forked_correct += new
            tally.forked_failed += not new
        elif event.repeat:
            pool.judged(tally.correct, tally.failed, None)
            tally.repeats += 1
        elif event.outcome is Outcome.CORRECT:
            pool.judged(tally.correct, tally.failed, length)
            tally.correct += 1
            tally.right_tokens += length
        elif event.outcome.judged:
            pool.judged(tally.correct, tally.failed, None)
            tally.incorrect += 1
        else:
            tally.unknown += 1
            self.unchecked += event.outcome is not Outcome.UNSURE
