"""How a run stands, read from its ledger: what is finished, what is open, what is next.

Memory: the open problems with their unjudged rollouts, and one id per finished problem.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from factory.events import History
from factory.ledger import scan
from factory.records import Closed, Partial, Record
from factory.report.counts import Counts
from factory.types import Outcome, Problem, Reject, Rollout, Verdict


@dataclass(slots=True, kw_only=True)
class OpenProblem:
    """A problem that is not finished, with what is on record of it."""

    problem: Problem
    prefixes: dict[int, list[int]] = field(default_factory=dict)
    """Logged tokens of rollouts without an end, by index."""
    restarts: dict[int, int] = field(default_factory=dict)
    """Interruptions so far, by index."""
    unjudged: dict[int, Rollout] = field(default_factory=dict)
    """Finished rollouts without a verdict, by index."""
    ended: list[int] = field(default_factory=list)
    correct: int = 0
    incorrect: int = 0
    unknown: int = 0

    def add(self, record: Rollout | Verdict | Partial) -> None:
        match record:
            case Partial():
                prefix = self.prefixes.setdefault(record.index, [])
                if record.start <= len(prefix):  # behind a gap nothing can be used
                    prefix[record.start :] = record.token_ids
            case Rollout():
                self._end(record)
            case Verdict():
                self.unjudged.pop(record.index, None)
                self._count(record.outcome, 1)
                if record.replaces is not None:
                    self._count(record.replaces, -1)

    def _count(self, outcome: Outcome, by: int) -> None:
        if outcome is Outcome.CORRECT:
            self.correct += by
        elif outcome.judged:
            self.incorrect += by
        else:
            self.unknown += by

    def _end(self, rollout: Rollout) -> None:
        self.prefixes.pop(rollout.index, None)
        self.restarts.pop(rollout.index, None)
        self.ended.append(rollout.index)
        if rollout.completion.finish_reason == "abort":
            self.unknown += 1
        else:
            self.unjudged[rollout.index] = rollout

    def history(self) -> History:
        """What the foreman needs to know of it."""
        return History(
            ended=tuple(self.ended),
            correct=self.correct,
            incorrect=self.incorrect,
            unknown=self.unknown,
            unjudged=tuple(self.unjudged),
            partial=tuple(self.prefixes),
        )


@dataclass(slots=True, kw_only=True)
class Standing:
    """The state of a run at one moment."""

    open: dict[str, OpenProblem] = field(default_factory=dict)
    """By problem id, in the order of admission."""
    closed: set[str] = field(default_factory=set)
    """Ids of finished problems."""
    rejects: set[tuple[str, str, str]] = field(default_factory=set)
    """(source, row, rule) of everything already set aside."""
    counts: Counts = field(default_factory=Counts)
    records: int = 0
    """How many there are: a ledger only grows, so this is its version."""

    def add(self, record: Record) -> None:
        self.records += 1
        self.counts.add(record)
        match record:
            case Problem():
                self.open[record.id] = OpenProblem(problem=record)
            case Closed():
                self.open.pop(record.problem_id, None)
                self.closed.add(record.problem_id)
            case Reject():
                self.rejects.add((record.source, record.row, record.rule))
            case Rollout() | Verdict() | Partial() if record.problem_id in self.open:
                self.open[record.problem_id].add(record)

    def knows(self, problem_id: str) -> bool:
        return problem_id in self.open or problem_id in self.closed

    def has_reject(self, reject: Reject) -> bool:
        return (reject.source, reject.row, reject.rule) in self.rejects


def read(folder: Path) -> Standing:
    """The standing of the run whose ledger lies in `folder`."""
    standing = Standing()
    for record in scan(folder):
        standing.add(record)
    return standing
