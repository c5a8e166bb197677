"""The figures of a run, kept up record by record: live, from a ledger, or across both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from factory.records import Closed, Record
from factory.types import Outcome, Problem, Reject, Rollout, Verdict


def listed(numbers: Mapping[str, int]) -> str:
    """`3 duplicate, 1,200 no_answer`: by name; empty for nothing."""
    return ", ".join(f"{n:,} {name}" for name, n in sorted(numbers.items()))


@dataclass(slots=True, kw_only=True)
class Counts:
    """Sums over the records of a ledger."""

    problems: int = 0
    """Admitted."""
    closed: Counter[str] = field(default_factory=Counter)
    """Finished problems by reason."""
    solved: int = 0
    """Problems with at least one correct rollout, by first verdicts."""
    rollouts: int = 0
    """Generated to their end."""
    aborted: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Verdicts by outcome."""
    tokens: int = 0
    """Generated, aborted rollouts included."""
    continued: int = 0
    """Rollouts that were interrupted and went on."""
    rejects: Counter[str] = field(default_factory=Counter)
    """What was set aside, by rule."""
    rejects_by_source: dict[str, Counter[str]] = field(default_factory=dict)
    """The same by source."""
    _solved_open: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        match record:
            case Rollout():
                self._add_rollout(record)
            case Verdict():
                self._add_verdict(record)
            case Problem():
                self.problems += 1
            case Closed():
                self.closed[record.reason.partition(":")[0]] += 1
                self._solved_open.discard(record.problem_id)
            case Reject():
                self.rejects[record.rule] += 1
                of_source = self.rejects_by_source.setdefault(record.source, Counter())
                of_source[record.rule] += 1

    def _add_verdict(self, verdict: Verdict) -> None:
        self.outcomes[verdict.outcome] += 1
        if verdict.replaces is not None:
            self.outcomes[verdict.replaces] -= 1
        elif verdict.outcome is Outcome.CORRECT and verdict.problem_id not in self._solved_open:
            self._solved_open.add(verdict.problem_id)
            self.solved += 1

    def _add_rollout(self, rollout: Rollout) -> None:
        if rollout.completion.finish_reason == "abort":
            self.aborted += 1
        else:
            self.rollouts += 1
        self.tokens += rollout.completion.num_tokens
        self.continued += rollout.restarts > 0

    @property
    def correct(self) -> int:
        return self.outcomes[Outcome.CORRECT]

    @property
    def judged(self) -> int:
        return sum(n for outcome, n in self.outcomes.items() if Outcome(outcome).judged)

    @property
    def unjudged(self) -> int:
        """Verdicts in which the checker could not tell."""
        return sum(self.outcomes.values()) - self.judged

    @property
    def pass_rate(self) -> float | None:
        return self.correct / self.judged if self.judged else None
