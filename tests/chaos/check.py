"""What must be true of a run folder, whatever has happened to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from factory.errors import LedgerError
from factory.ledger import scan
from factory.ledger.records import Closed, Partial, Record, Reopened, frame
from factory.ledger.unfinished import was_cut
from factory.types import Outcome, Problem, Reject, Rollout, RolloutKey, Verdict

Bag = Counter[bytes]
"""Records as frames, counted."""


def bag(records: Iterable[Record]) -> Bag:
    """Records without the logged tokens: those may go once their rollout is whole."""
    return Counter(frame(r) for r in records if not isinstance(r, Partial))


def ledger(folder: Path) -> list[Record]:
    """Every record of a run; none if it has no ledger yet.

    Raises:
        LedgerError: its ledger is refused.
    """
    if not (folder / "ledger").is_dir():
        return []
    return list(scan(folder / "ledger"))


def identity(record: Record) -> object:
    """What there may be only one of."""
    match record:
        case Problem():
            return ("problem", record.id)
        case Rollout():
            return ("rollout", record.key)
        case Verdict():
            return ("verdict", record.key, record.replaces)
        case Closed():
            return ("closed", record.problem_id)
        case Reject():
            return ("reject", record.source, record.row, record.rule)
    return None


def repeated(records: Iterable[Record]) -> int:
    """How many records are there once too often."""
    count = 0
    seen: set[object] = set()
    free: dict[str, set[object]] = defaultdict(set)
    for record in records:
        if isinstance(record, Reopened):
            seen -= free.pop(record.problem_id, set())
        elif not isinstance(record, Partial):
            count += identity(record) in seen
            seen.add(identity(record))
            if may_come_again(record):
                free[record.problem_id].add(identity(record))
    return count


def may_come_again(record: Record) -> bool:
    """Whether it is taken back when its problem is reopened."""
    match record:
        case Closed():
            return True
        case Reject():
            return record.problem_id is not None
        case Rollout():
            return was_cut(record)
        case Verdict():
            return record.outcome in (Outcome.TIMEOUT, Outcome.ERROR)
    return False


def tokens(records: Iterable[Record]) -> int:
    """Generated tokens on record: of whole rollouts, and logged ones of others."""
    sizes: dict[RolloutKey, int] = {}
    for record in records:
        if isinstance(record, Partial):
            sizes[record.key] = record.start + len(record.token_ids)
        elif isinstance(record, Rollout):
            sizes[record.key] = record.completion.num_tokens
    return sum(sizes.values())


def logged(records: Iterable[Record]) -> int:
    """Tokens on record, those counted twice that were logged twice."""
    total = 0
    sizes: dict[RolloutKey, int] = defaultdict(int)
    for record in records:
        if isinstance(record, Partial):
            total += len(record.token_ids)
            sizes[record.key] = max(sizes[record.key], record.start + len(record.token_ids))
        elif isinstance(record, Rollout):
            total += record.completion.num_tokens - sizes[record.key]
    return total


@dataclass(slots=True)
class _Reading:
    """What has been read of a ledger so far."""

    problems: set[str] = field(default_factory=set)
    written: dict[RolloutKey, list[int]] = field(default_factory=lambda: defaultdict(list))
    rollouts: dict[RolloutKey, Rollout] = field(default_factory=dict)
    verdicts: set[RolloutKey] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)


def wrong(records: Iterable[Record], *, finished: bool = True) -> list[str]:
    """What contradicts itself in a ledger of the scripted engine, in words.

    Its tokens are the code points of its text, so logged tokens must be the beginning of what
    the rollout came to be.

    Args:
        finished: the run is complete: every rollout is judged and every problem closed.
    """
    seen, found = _Reading(), []
    for record in records:
        found += _next(seen, record)
    if finished:
        judged = {k for k, r in seen.rollouts.items() if r.completion.finish_reason != "abort"}
        found += [f"{key} has no verdict" for key in judged - seen.verdicts]
        found += [f"problem {one} is open" for one in seen.problems - seen.closed]
    indices = defaultdict(set)
    for key in seen.rollouts:
        indices[key.problem_id].add(key.index)
    for one in seen.closed & indices.keys():
        if indices[one] != set(range(len(indices[one]))):
            found.append(f"problem {one} has the rollouts {sorted(indices[one])}")
    return found


def _next(seen: _Reading, record: Record) -> list[str]:
    match record:
        case Problem():
            seen.problems.add(record.id)
        case Partial():
            prefix = seen.written[record.key]
            if record.key in seen.rollouts:
                return [f"{record.key}: tokens behind its end"]
            if record.start <= len(prefix):  # behind a gap nothing is used
                prefix[record.start :] = record.token_ids
        case Rollout():
            seen.rollouts[record.key] = record
            text, prefix = record.completion.text, seen.written[record.key]
            if record.problem_id not in seen.problems:
                return [f"{record.key} before its problem"]
            if record.completion.finish_reason == "abort":  # its text is nobody's
                return []
            if not text.startswith("".join(map(chr, prefix))):
                return [f"{record.key}: its text does not continue its logged tokens"]
            if record.completion.num_tokens != len(text):
                return [f"{record.key}: {record.completion.num_tokens} tokens of {len(text)}"]
        case Verdict():
            seen.verdicts.add(record.key)
            if record.key not in seen.rollouts:
                return [f"a verdict on {record.key} before its rollout"]
        case Reopened(problem_id=pid):
            was_closed = pid in seen.closed
            seen.closed.discard(pid)
            for key in [k for k, r in seen.rollouts.items() if k.problem_id == pid and was_cut(r)]:
                del seen.rollouts[key]
            return [] if was_closed else [f"{pid} reopened while it was open"]
        case Closed():
            seen.closed.add(record.problem_id)
            if record.problem_id not in seen.problems:
                return [f"{record.problem_id} closed before it was recorded"]
    return []


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a dataset folder, card and manifest included."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def readable(folder: Path) -> tuple[list[Record], str]:
    """The ledger of a run, or why it is refused."""
    try:
        return ledger(folder), ""
    except LedgerError as error:
        return [], f"refused: {error}"
