"""The figures of a run, kept up record by record: live, from a ledger, or across both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from factory.ledger.ids import Ids, numbers
from factory.ledger.records import Audit, Closed, Record, Reopened
from factory.report.aborts import Found, told
from factory.types import GIVEN_UP, Outcome, Problem, Reject, Rollout, Verdict

_KEYS = ["kind", "outcome", "finish_reason", "replaces", "rule", "continued"]
_REOPENED = ["rule", "source", "restarts", "num_tokens"]
_COULD_NOT_TELL = pa.array([str(outcome) for outcome in Outcome if not outcome.judged])


def listed(numbers: Mapping[str, int]) -> str:
    """`3 duplicate, 1,200 no_answer`: by name; empty for nothing."""
    return ", ".join(f"{n:,} {name}" for name, n in sorted(numbers.items()) if n)


def _more(counter: Counter[str], name: str, by: int) -> None:
    """Add, and keep no zeros."""
    counter[name] += by
    if not counter[name]:
        del counter[name]


@dataclass(slots=True, kw_only=True)
class Counts:
    """Sums over the records of a ledger."""

    problems: int = 0
    """Admitted."""
    closed: Counter[str] = field(default_factory=Counter)
    """Finished problems by reason."""
    solved: int = 0
    """Problems with at least one correct rollout, by the first verdicts that could tell."""
    rollouts: int = 0
    """Generated to their end."""
    aborted: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Verdicts by outcome."""
    tokens: int = 0
    """Generated, aborted rollouts included."""
    continued: int = 0
    """Rollouts that were interrupted and went on."""
    cut: Counter[str] = field(default_factory=Counter)
    """Rollouts found doomed and cut short, by detector; they are among the aborted."""
    audited: Counter[str] = field(default_factory=Counter)
    """Rollouts found doomed that ran on to their end and were judged, by detector."""
    audited_correct: Counter[str] = field(default_factory=Counter)
    """Of those, the correct ones: what cutting would have lost."""
    audited_rest: Counter[str] = field(default_factory=Counter)
    """Tokens that the audited ones wrote after they were found."""
    rejects: Counter[str] = field(default_factory=Counter)
    """Rejected rows, by rule; and the problems that were given up."""
    rejects_by_source: dict[str, Counter[str]] = field(default_factory=dict)
    """The same by source."""
    _solved: Ids = field(default_factory=Ids, repr=False, compare=False)

    def add(self, record: Record) -> None:
        match record:
            case Rollout():
                self._add_rollout(record)
            case Verdict():
                self._add_verdict(record)
            case Problem():
                self.problems += 1
            case Audit():
                self._add_audit(record)
            case Closed():
                _more(self.closed, record.rule, 1)
            case Reject():
                self._add_rejects(record.source, record.rule, 1)
            case Reopened():
                self._reopen(record.rule, record.source, record.cut, record.cut_tokens)

    def _add_rejects(self, source: str, rule: str, count: int) -> None:
        _more(self.rejects, rule, count)
        of_source = self.rejects_by_source.setdefault(source, Counter())
        _more(of_source, rule, count)
        if not of_source:
            del self.rejects_by_source[source]

    def _reopen(self, rule: str, source: str, cut: int, cut_tokens: int) -> None:
        """A closing is taken back, with its reject and the rollouts that were cut for it."""
        _more(self.closed, rule, -1)
        self._add_rejects(source, rule.replace(" ", "_"), -1)
        self.aborted -= cut
        self.tokens -= cut_tokens

    def _add_verdict(self, verdict: Verdict) -> None:
        self.outcomes[verdict.outcome] += 1
        if verdict.replaces is not None:
            self.outcomes[verdict.replaces] -= 1
        told = verdict.replaces is not None and verdict.replaces.judged
        correct = verdict.outcome is Outcome.CORRECT
        if correct and not told and verdict.problem_id not in self._solved:
            self._solved.add(verdict.problem_id)
            self.solved += 1

    def _add_audit(self, audit: Audit) -> None:
        self._add_audits(audit.detector, audit.outcome, 1, audit.rest)

    def _add_audits(self, detector: str, outcome: str | None, count: int, rest: int) -> None:
        if outcome is None:
            self.cut[detector] += count
        elif Outcome(outcome).judged:
            self.audited[detector] += count
            self.audited_correct[detector] += count * (outcome == Outcome.CORRECT)
            self.audited_rest[detector] += rest

    def _add_rollout(self, rollout: Rollout) -> None:
        if rollout.completion.finish_reason == "abort":
            self.aborted += 1
        else:
            self.rollouts += 1
        self.tokens += rollout.completion.num_tokens
        self.continued += rollout.restarts > 0

    def add_small(self, table: pa.Table) -> None:
        """The same for many records at once, given their small columns (`factory.ledger.records`).

        Raises:
            ForeignId: a problem id is not 16 hexadecimal digits.
        """
        continued = pc.greater(table["restarts"], 0)
        table = table.append_column("continued", continued)
        groups = table.group_by(_KEYS).aggregate([([], "count_all"), ("num_tokens", "sum")])
        for group in groups.to_pylist():
            self._add_group(group, group["count_all"])
        correct = pc.and_(pc.equal(table["kind"], "verdict"), pc.equal(table["outcome"], "correct"))
        doubted = pc.is_in(table["replaces"], _COULD_NOT_TELL)
        first = pc.and_(correct, pc.or_(pc.is_null(table["replaces"]), doubted))
        before = len(self._solved)
        self._solved.update(numbers(table["problem_id"].filter(first).combine_chunks()))
        self.solved += len(self._solved) - before
        rejects = table.filter(pc.equal(table["kind"], "reject"))
        of_sources = rejects.group_by(["source", "rule"]).aggregate([([], "count_all")])
        for row in of_sources.to_pylist():
            self._add_rejects(row["source"], row["rule"], row["count_all"])
        reopened = table.filter(pc.equal(table["kind"], "reopened")).select(_REOPENED)
        for row in reopened.to_pylist():
            self._reopen(*row.values())

    def _add_group(self, group: dict[str, Any], count: int) -> None:
        match group["kind"]:
            case "rollout":
                if group["finish_reason"] == "abort":
                    self.aborted += count
                else:
                    self.rollouts += count
                self.tokens += group["num_tokens_sum"]
                self.continued += count if group["continued"] else 0
            case "verdict":
                self.outcomes[Outcome(group["outcome"])] += count
                if group["replaces"] is not None:
                    self.outcomes[Outcome(group["replaces"])] -= count
            case "problem":
                self.problems += count
            case "audit":
                rest = group["num_tokens_sum"] or 0
                self._add_audits(group["rule"], group["outcome"], count, rest)
            case "closed":
                _more(self.closed, group["rule"], count)

    @property
    def rejected(self) -> dict[str, int]:
        """Rows that became no problem, by rule."""
        return {rule: n for rule, n in self.rejects.items() if rule not in GIVEN_UP}

    @property
    def aside(self) -> dict[str, int]:
        """Problems that were given up, as generating or judging kept failing, by rule."""
        return {rule: n for rule, n in self.closed.items() if rule.replace(" ", "_") in GIVEN_UP}

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
    def found(self) -> dict[str, Found]:
        """What each detector found."""
        return {
            name: Found(
                cut=self.cut[name],
                audited=self.audited[name],
                audited_correct=self.audited_correct[name],
                audited_rest=self.audited_rest[name],
            )
            for name in sorted({*self.cut, *self.audited})
        }

    @property
    def false_aborts(self) -> str:
        """What detectors cut, and how much of it the audit says was correct; empty for nothing."""
        return told(self.found)

    @property
    def pass_rate(self) -> float | None:
        return self.correct / self.judged if self.judged else None
