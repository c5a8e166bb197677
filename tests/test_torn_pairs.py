"""Two records that belong together, of which a tear has left one: it counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.ledger import Ledger, scan, standing
from factory.ledger.records import MARK, Audit, Closed, unframe
from factory.ledger.segments import HEAD
from factory.types import Completion, Outcome, Problem, Reject, Rollout, Verdict

PID = "0123456789abcdef"


def rollout(index: int, finish: str, doomed: str = "") -> Rollout:
    done = Completion(text="x", finish_reason=finish, num_tokens=5)
    return Rollout(
        problem_id=PID, index=index, model="m", completion=done, doomed=doomed, doomed_at=3
    )


def verdict(index: int) -> Verdict:
    return Verdict(
        problem_id=PID,
        index=index,
        outcome=Outcome.INCORRECT,
        reward=0.0,
        extracted=None,
        detail="",
        verifier="v",
        verifier_version="1",
    )


def audit(index: int, outcome: Outcome | None) -> Audit:
    return Audit(problem_id=PID, index=index, detector="loop", outcome=outcome, at=3)


BEFORE = [Problem(id=PID, prompt="q", source="f", source_id="1"), rollout(0, "stop", "loop")]
LAST = [
    audit(1, None),
    rollout(1, "abort", "loop"),
    audit(0, Outcome.INCORRECT),
    verdict(0),
    Reject(source="f", row="9", rule="no_answer", reason="none", problem_id="f" * 16),
    Reject(source="f", row="1", rule="set_aside", reason="set aside: why", problem_id=PID),
    Closed(problem_id=PID, reason="set aside: why"),
]


def written(folder: Path, *batches: list) -> Path:
    """The only log of a writer that was killed behind its last commit."""
    with Ledger(folder) as ledger:
        for batch in batches:
            for record in batch:
                ledger.append(record)
            ledger.commit()
    (log,) = folder.glob("*.log")
    data = log.read_bytes()
    log.write_bytes(data.removesuffix(MARK))
    return log


def consistent(folder: Path) -> None:
    counts = standing.read(folder).counts
    assert counts.rejects["set_aside"] == counts.closed["set aside"]
    of_rollouts = [r for r in scan(folder) if isinstance(r, Rollout)]
    judged = [r for r in scan(folder) if isinstance(r, Verdict)]
    assert counts.cut["loop"] == sum(r.completion.finish_reason == "abort" for r in of_rollouts)
    assert counts.audited["loop"] == len(judged)


def test_a_batch_torn_anywhere_leaves_no_half_of_a_pair(tmp_path):
    log = written(tmp_path, BEFORE, LAST)
    data = log.read_bytes()
    begin = len(written(tmp_path / "before", BEFORE).read_bytes())
    ends = {end for _, end in unframe(data, len(HEAD)) if end >= begin}
    for end in sorted({begin} | ends | {end - 1 for end in ends if end > begin}):
        log.write_bytes(data[:end])
        with Ledger(tmp_path):
            pass
        consistent(tmp_path)
        for torn in tmp_path.glob("*.torn*"):
            torn.unlink()


def test_of_a_whole_batch_nothing_is_cut(tmp_path):
    log = written(tmp_path, BEFORE, LAST)
    before = log.read_bytes()
    with Ledger(tmp_path):
        pass
    assert log.read_bytes().startswith(before)
    assert not list(tmp_path.glob("*.torn*"))


@pytest.mark.parametrize("last", [LAST[0], LAST[5]])
def test_what_a_writer_ended_with_in_good_order_stays(tmp_path, last):
    """As in ledgers in which an audit came behind what it is about."""
    with Ledger(tmp_path) as ledger:
        for record in [*BEFORE, last]:
            ledger.append(record)
    with Ledger(tmp_path):
        pass
    assert list(scan(tmp_path))[-1] == last


def test_the_half_that_was_cut_is_kept_beside_the_log(tmp_path):
    log = written(tmp_path, BEFORE, LAST[:-1])
    whole = log.read_bytes()
    with Ledger(tmp_path):
        pass
    (torn,) = tmp_path.glob("*.torn")
    assert whole.endswith(torn.read_bytes())
    assert list(scan(tmp_path)) == [*BEFORE, *LAST[:-2]]
