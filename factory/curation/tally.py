"""What the selections came to, added up for manifest and card.

Sums of parts of a dataset add up to those of the whole, whatever the parts.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from factory.card import Counts
from factory.traces import Group, Selection
from factory.types import Outcome, Trace

FATES = ("accepted", "right, left out", "wrong", "could not tell")
OTHER = "not accepted"
RATES = ("0%", *(f"\u2264{upper}%" for upper in range(10, 100, 10)), "<100%", "100%")
"""Bars of the histogram: none right, shares up to a bound, all right."""


def rate_label(rate: float) -> str:
    """The bar that a pass rate belongs to."""
    return RATES[-1] if rate >= 1 else RATES[math.ceil(round(rate * 10, 6))]


def fate(trace: Trace) -> str:
    """What became of the tokens of a rollout that was not accepted."""
    if trace.verdict.outcome is Outcome.CORRECT:
        return "right, left out"
    return "wrong" if trace.verdict.outcome.judged else "could not tell"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Adds up what the selections came to; every field is a counter or holds counters."""

    sums: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_tokens: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    barred: Counter[str] = field(default_factory=Counter)
    contamination: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    verifiers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    domains: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    rates: Counter[float] = field(default_factory=Counter)
    """Pass rate -> problems: few different ones, and a sum that no order changes."""
    lengths: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    fates: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group, selection: Selection) -> None:
        """Counts one problem."""
        solved = 0
        kept = {trace.rollout.index for trace in selection.kept}
        for trace in selection.all:
            verdict, tokens = trace.verdict, trace.rollout.completion.num_tokens
            outcome = verdict.outcome.value if verdict.verifier else "not judged yet"
            self.outcomes[outcome] += 1
            accepted = trace.rollout.index in kept
            if rule := selection.why.get(trace.rollout.index):
                self.dropped_tokens[rule] += tokens
            self.fates["accepted" if accepted else fate(trace)] += tokens
            self.lengths[1 << tokens.bit_length() >> 1]["accepted" if accepted else OTHER] += 1
            if verdict.verifier:
                name = f"{verdict.verifier} {verdict.verifier_version}".strip()
                self.verifiers[name][outcome] += 1
            correct = verdict.outcome is Outcome.CORRECT
            solved |= correct
            self.sums.update(
                forks=trace.rollout.forked,
                shared_tokens=trace.rollout.length - tokens,
                rollouts=1,
                tokens=tokens,
                correct=correct,
                judged=verdict.outcome.judged,
            )
        if selection.all and (rate := selection.all[0].pass_rate) is not None:
            self.rates[rate] += 1
        kept_tokens = sum(trace.rollout.completion.num_tokens for trace in selection.kept)
        self.sums.update(problems=1, solved=solved, accepted=len(kept), accepted_tokens=kept_tokens)
        self.domains[group.problem.domain].update(problems=1, solved=solved, accepted=len(kept))
        self.dropped.update(selection.dropped)
        self.withheld.update(selection.withheld.values())
        if selection.barred:
            self.barred[selection.barred.rule] += 1
        for eval_set, how in selection.mark.met().items() if selection.mark else ():
            self.contamination[eval_set][how] += 1

    def merge(self, other: Tally) -> None:
        """Adds the sums of another part."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
                continue
            for key, counter in theirs.items():
                mine[key].update(counter)

    def counts(self) -> Counts:
        """The sums, in a stable order."""
        bars: Counter[str] = Counter()
        for rate, problems in self.rates.items():
            bars[rate_label(rate)] += problems
        total = math.fsum(rate * problems for rate, problems in self.rates.items())
        return Counts(
            **self.sums,
            pass_at_1=total / self.rates.total() if self.rates else None,
            outcomes=_sorted(self.outcomes),
            dropped=_sorted(self.dropped),
            dropped_tokens=_sorted(self.dropped_tokens),
            withheld=_sorted(self.withheld),
            barred=_sorted(self.barred),
            contamination=_each_sorted(self.contamination),
            verifiers=_each_sorted(self.verifiers),
            domains=_each_sorted(self.domains),
            pass_rates={label: bars[label] for label in RATES},
            lengths={str(low): _sorted(self.lengths[low]) for low in self._lows()},
            token_fates={name: self.fates[name] for name in FATES},
        )

    def _lows(self) -> list[int]:
        """Every power of two from the shortest rollouts' to the longest ones'."""
        top = max(self.lengths, default=0)
        powers = [0, *(1 << n for n in range(top.bit_length()))]
        return [low for low in powers if low >= min(self.lengths)] if self.lengths else []


def _sorted(counter: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counter.items()))


def _each_sorted(counters: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {name: _sorted(counters[name]) for name in sorted(counters)}
