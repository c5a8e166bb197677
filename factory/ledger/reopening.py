"""Problems that were set aside are opened again, once what made them fail is mended.

What is on record of them stays and counts again, but for two things that were not their doing: a
rollout that was cut short goes on from its logged tokens, under its own index, so that the cut
favours no length; and one over which the checker failed is judged again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from factory.ledger import Ledger
from factory.ledger.ids import Numbers, joined, numbers
from factory.ledger.records import Closed, Reopened
from factory.ledger.standing import records_of, small
from factory.ledger.unfinished import was_cut
from factory.types import Problem, Rollout

SET_ASIDE = "set aside"


@dataclass(slots=True)
class _Aside:
    """What has been read of a problem."""

    problem: Problem
    closed: Closed | None = None
    cut: dict[int, int] = field(default_factory=dict)
    """Tokens of the rollouts that were cut, by index."""


def reopen(ledger: Ledger) -> int:
    """Open every problem that is set aside now; how many.

    An interrupted call has opened some of them; those are not opened twice.

    Raises:
        LedgerError: the ledger is damaged, or cannot be written.
    """
    count = 0
    for record in _reopenings(ledger.folder):
        ledger.append(record)
        count += 1
    ledger.commit()
    return count


def _reopenings(folder: Path) -> Iterator[Reopened]:
    """In the order in which the problems were recorded."""
    found: dict[str, _Aside] = {}
    for record in records_of(folder, _candidates(folder)):
        match record:
            case Problem():
                found[record.id] = _Aside(record)
            case Rollout() if was_cut(record):
                found[record.problem_id].cut[record.index] = record.completion.num_tokens
            case Closed():
                found[record.problem_id].closed = record
            case Reopened():
                found[record.problem_id] = _Aside(found[record.problem_id].problem)
    for one in found.values():
        if one.closed is not None and one.closed.rule == SET_ASIDE:
            yield Reopened(
                problem_id=one.problem.id,
                reason=one.closed.reason,
                **asdict(one.closed.sums),
                source=one.problem.source,
                row=one.problem.source_id,
                cut=len(one.cut),
                cut_tokens=sum(one.cut.values()),
            )


def _candidates(folder: Path) -> Numbers:
    """Problems that were ever set aside."""
    found = []
    for _, table in small(folder):
        chosen = pc.and_(pc.equal(table["kind"], "closed"), pc.equal(table["rule"], SET_ASIDE))
        found.append(numbers(table["problem_id"].filter(chosen).combine_chunks()))
    return np.unique(joined(found))
