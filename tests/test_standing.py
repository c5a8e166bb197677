"""How a run stands: the same from columns as from records, sealed or not, whatever happened."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import LedgerError
from factory.ledger import Ledger, scan, standing
from factory.ledger.ids import Ids
from factory.ledger.records import Audit, Closed, Partial, Reopened
from factory.scheduling.pool import Census
from factory.types import Completion, Outcome, Problem, Reject, Rollout, Verdict

IDS = [f"{number:016x}" for number in (0, 1, 2**63, 2**64 - 1)]


def of_kinds(ids):
    """Records in any order whatever: also such as no run writes."""
    pid, index = st.sampled_from(ids), st.integers(0, 3)
    outcomes = st.sampled_from(Outcome)
    completion = st.builds(
        Completion,
        text=st.just("text"),
        finish_reason=st.sampled_from(["stop", "length", "abort"]),
        num_tokens=st.integers(0, 9),
    )
    return st.one_of(
        st.builds(Problem, id=pid, prompt=st.just("q")),
        st.builds(
            Partial,
            problem_id=pid,
            index=index,
            start=st.integers(0, 3),
            token_ids=st.lists(st.integers(0, 9), max_size=3).map(tuple),
        ),
        st.builds(
            Rollout,
            problem_id=pid,
            index=index,
            model=st.just("m"),
            completion=completion,
            restarts=st.integers(0, 2),
        ),
        st.builds(
            Verdict,
            problem_id=pid,
            index=index,
            outcome=outcomes,
            reward=st.none(),
            extracted=st.none(),
            detail=st.just(""),
            verifier=st.just("v"),
            verifier_version=st.just("1"),
            replaces=st.none() | outcomes,
        ),
        st.builds(
            Closed,
            problem_id=pid,
            reason=st.sampled_from(["enough", "set aside: it kills", "a:"]),
            correct=index,
            failed=index,
            tokens=index,
        ),
        st.builds(
            Reopened,
            problem_id=pid,
            reason=st.just("set aside: it kills"),
            correct=index,
            failed=index,
            tokens=index,
            source=st.just("f"),
            row=st.just("1"),
            cut=index,
            cut_tokens=index,
        ),
        st.builds(Census, judged=st.integers(0, 9)),
        st.builds(
            Audit,
            problem_id=pid,
            index=index,
            detector=st.sampled_from(["loop", "room"]),
            outcome=st.none() | outcomes,
        ),
        st.builds(
            Reject,
            source=st.sampled_from(["f", "g"]),
            row=st.sampled_from(["1", "2"]),
            rule=st.sampled_from(["duplicate", "no_answer", "set_aside"]),
            reason=st.just("why"),
            problem_id=st.none() | pid,
        ),
    )


def reopened(records):
    return frozenset(r.problem_id for r in records if isinstance(r, Reopened))


def by_records(folder):
    state = standing.Standing(again=reopened(scan(folder)))
    for record in scan(folder):
        state.add(record)
    return state


def assert_equal(one, other, ids=IDS):
    assert list(one.open.items()) == list(other.open.items())
    assert (one.counts, one.records) == (other.counts, other.records)
    assert one.pool == other.pool
    assert (len(one.closed), len(one.rejects)) == (len(other.closed), len(other.rejects))
    for pid in ids:
        assert (pid in one.closed, one.knows(pid)) == (pid in other.closed, other.knows(pid))
    for source, row, rule in [("f", "1", "duplicate"), ("g", "2", "no_answer")]:
        reject = Reject(source=source, row=row, rule=rule, reason="")
        assert one.has_reject(reject) == other.has_reject(reject)


@given(records=st.lists(of_kinds(IDS), max_size=60), cuts=st.lists(st.integers(0, 60), max_size=3))
@settings(max_examples=50, deadline=None)
def test_columns_say_what_the_records_say(tmp_path_factory, records, cuts):
    folder = tmp_path_factory.mktemp("standing")
    with Ledger(folder) as ledger:
        for number, record in enumerate(records):
            ledger.append(record)
            if number in cuts:
                ledger.seal()
    live = standing.Standing(again=reopened(records))
    for record in records:
        live.add(record)
    found = standing.read(folder)
    assert_equal(found, by_records(folder))
    assert_equal(found, live)


@given(records=st.lists(of_kinds([*IDS, "p", "A" * 16]), max_size=40))
@settings(max_examples=15, deadline=None)
def test_ids_of_another_form_are_told_apart_as_well(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("standing")
    with Ledger(folder) as ledger:
        for record in records:
            ledger.append(record)
        ledger.seal()
    assert_equal(standing.read(folder), by_records(folder), [*IDS, "p", "A" * 16, "a" * 16])


IDS_OF_ANY_FORM = st.one_of(
    st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"),
    st.integers(0, 40).map(lambda n: f"{n:016x}"),
    st.text("0123456789abcdefABC_x ", max_size=18),
)


@given(ids=st.lists(IDS_OF_ANY_FORM, max_size=60), others=st.lists(IDS_OF_ANY_FORM, max_size=20))
@settings(max_examples=100, deadline=None)
def test_ids_are_the_set_of_what_was_added(ids, others):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.ledger.ids.MERGE", 5)
        found = Ids()
        for pid in ids:
            found.add(pid)
    assert len(found) == len(set(ids))
    for pid in [*ids, *others]:
        assert (pid in found) == (pid in set(ids))


def test_an_id_that_was_added_is_known_to_every_thread_from_then_on(monkeypatch):
    monkeypatch.setattr("factory.ledger.ids.MERGE", 7)
    found, added, missed, done = Ids(), [], [], threading.Event()

    def ask():
        while not done.is_set():
            missed.extend(pid for pid in added[-30:] if pid not in found)

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(4000):
        found.add(f"{number * 7919 % 4001:016x}")
        added.append(f"{number * 7919 % 4001:016x}")
    done.set()
    thread.join()
    assert missed == []


def test_a_damaged_file_is_an_error_of_the_ledger(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.append(Problem(id=IDS[1], prompt="q"))
        ledger.seal()
    path = tmp_path / "000001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LedgerError, match=r"000001\.parquet is damaged"):
        standing.read(tmp_path)
