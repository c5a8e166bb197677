"""A problem that is not finished, with what is on record of it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from factory.ledger.records import Partial, Record
from factory.scheduling.events import History
from factory.types import Branch, Outcome, Problem, Rollout, Verdict

_FAILED = (Outcome.TIMEOUT, Outcome.ERROR)


@dataclass(slots=True, kw_only=True)
class OpenProblem:
    """A problem that is not finished, with what is on record of it."""

    problem: Problem
    prefixes: dict[int, array[int]] = field(default_factory=dict)
    """Logged tokens of rollouts without an end, by index; four bytes each."""
    restarts: dict[int, int] = field(default_factory=dict)
    """Interruptions so far, by index."""
    unjudged: dict[int, Rollout] = field(default_factory=dict)
    """Finished rollouts without a verdict, by index."""
    doubted: dict[int, Outcome] = field(default_factory=dict)
    """Of those, the verdicts that told nothing, and that the next ones replace."""
    ended: list[int] = field(default_factory=list)
    correct: int = 0
    incorrect: int = 0
    unknown: int = 0
    repeats: int = 0
    """Correct, in the words of one in `correct`."""
    doomed: int = 0
    """Cut short by a detector."""
    forked_correct: int = 0
    """Forks are in none of the counts above."""
    forked_failed: int = 0
    lenders: dict[int, Branch] = field(default_factory=dict)
    """What later rollouts can part from, by index."""
    tokens: int = 0
    """Of the rollouts in `ended`."""
    right_tokens: int = 0
    """Of the correct ones."""
    _texts: set[bytes] = field(default_factory=set)
    _forks: set[int] = field(default_factory=set)
    """Indices among `ended`."""

    def add(self, record: Rollout | Verdict | Partial) -> None:
        match record:
            case Partial():
                prefix = self.prefixes.setdefault(record.index, array("i"))
                if record.start <= len(prefix):  # behind a gap nothing can be used
                    prefix[record.start :] = array("i", record.token_ids)
            case Rollout():
                self._end(record)
            case Verdict():
                rollout = self.unjudged.pop(record.index, None)
                doubted = self.doubted.pop(record.index, None)
                forked = record.index in self._forks
                if record.replaces is not None and doubted is None:
                    self._count(record.replaces, -1, forked)
                if rollout is not None and record.outcome is Outcome.CORRECT:
                    if self.is_repeat(rollout):
                        self.repeats += not forked
                        self.forked_failed += forked
                        return
                    self.right_tokens += 0 if forked else rollout.completion.num_tokens
                    self._texts.add(words(rollout))
                self._count(record.outcome, 1, forked)

    @classmethod
    def reopened(cls, past: Sequence[Record]) -> OpenProblem:
        """A problem that was set aside and is open again.

        Args:
            past: its records up to there, the problem first.
        """
        assert isinstance(past[0], Problem)
        found = cls(problem=past[0])
        last = {record.index: record for record in past if isinstance(record, Verdict)}
        for record in past:
            match record:
                case Rollout() if was_cut(record):
                    found.prefixes.setdefault(record.index, array("i"))
                case Verdict() if record is not last[record.index]:
                    continue
                case Verdict() if record.outcome in _FAILED and record.index in found.unjudged:
                    found.doubted[record.index] = record.outcome
                case Verdict():
                    found.add(replace(record, replaces=None))
                case Rollout() | Partial():
                    found.add(record)
        return found

    def is_repeat(self, rollout: Rollout) -> bool:
        """Whether a correct rollout says nothing that an earlier correct one did not say."""
        return words(rollout) in self._texts

    def _count(self, outcome: Outcome, by: int, forked: bool) -> None:
        right = outcome is Outcome.CORRECT
        if not outcome.judged:
            self.unknown += by
        elif forked:
            self.forked_correct += by * right
            self.forked_failed += by * (not right)
        else:
            self.correct += by * right
            self.incorrect += by * (not right)

    def _end(self, rollout: Rollout) -> None:
        self.prefixes.pop(rollout.index, None)
        self.restarts.pop(rollout.index, None)
        self.ended.append(rollout.index)
        self.tokens += rollout.completion.num_tokens
        if rollout.forked:
            self._forks.add(rollout.index)
        if rollout.completion.finish_reason == "abort":
            self.unknown += not rollout.doomed
            self.doomed += bool(rollout.doomed) and not rollout.forked
            self.forked_failed += bool(rollout.doomed) and rollout.forked
        else:
            if rollout.branch and rollout.branch.points:
                self.lenders[rollout.index] = rollout.branch
            self.unjudged[rollout.index] = rollout

    def history(self) -> History:
        """What the foreman needs to know of it."""
        return History(
            ended=tuple(self.ended),
            correct=self.correct,
            incorrect=self.incorrect,
            unknown=self.unknown,
            repeats=self.repeats,
            doomed=self.doomed,
            forked_correct=self.forked_correct,
            forked_failed=self.forked_failed,
            tokens=self.tokens,
            right_tokens=self.right_tokens,
            unjudged=tuple(self.unjudged),
            lengths=tuple(r.completion.num_tokens for r in self.unjudged.values()),
            partial=tuple(self.prefixes),
        )


def was_cut(rollout: Rollout) -> bool:
    """Whether its problem was closed before it had come to an end."""
    return rollout.completion.finish_reason == "abort" and not rollout.doomed


def words(rollout: Rollout) -> bytes:
    """Digest of what was written, spaces aside."""
    said = " ".join(f"{rollout.completion.reasoning or ''} {rollout.completion.text}".split())
    return blake2b(said.encode("utf-8", "replace"), digest_size=8).digest()
