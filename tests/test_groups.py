"""Groups come in order and complete, whatever the ledger and however small the memory."""

from __future__ import annotations

import random
import struct
import zlib
from array import array

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.curation import groups
from factory.errors import LedgerError
from factory.ledger import Ledger, scan, standing
from factory.ledger.records import Closed, Partial, frame
from factory.ledger.segments import MAGIC
from factory.types import Completion, Outcome, Problem, Rollout, Verdict, problem_id


def verdict(rollout: Rollout, outcome: Outcome, **more) -> Verdict:
    return Verdict(
        problem_id=rollout.problem_id,
        index=rollout.index,
        outcome=outcome,
        reward=1.0 if outcome is Outcome.CORRECT else 0.0,
        extracted=None,
        detail="",
        verifier="math",
        verifier_version="1",
        **more,
    )


def write(folder, problems=40, per_problem=5, seed=0):
    rng = random.Random(seed)
    records = []
    for number in range(problems):
        problem = Problem(id=problem_id(f"q{number}"), prompt=f"q{number}", answer="1")
        rollouts = [
            Rollout(
                problem_id=problem.id,
                index=index,
                model="m",
                completion=Completion(
                    text="x" * rng.randrange(200),
                    finish_reason="abort" if index == per_problem - 1 else "stop",
                ),
            )
            for index in range(per_problem)
        ]
        rng.shuffle(rollouts)
        records.append([problem, *rollouts, *(verdict(r, Outcome.INCORRECT) for r in rollouts[:3])])
    with Ledger(folder) as ledger:
        while any(records):
            ledger.append(rng.choice([r for r in records if r]).pop(0))
    return problems * (per_problem - 1)


def test_in_order_and_complete_in_one_piece_and_in_many(tmp_path):
    expected = write(tmp_path / "ledger")
    whole = list(groups.read(tmp_path / "ledger"))
    pieces = list(groups.read(tmp_path / "ledger", bucket_bytes=20_000))
    assert pieces == whole
    ids = [g.problem.id for g in whole]
    recorded = [r.id for r in scan(tmp_path / "ledger") if isinstance(r, Problem)]
    assert ids == recorded
    assert len(set(ids)) == 40
    assert sum(len(g.judged) for g in whole) == expected
    for group in whole:
        assert [r.index for r, _ in group.judged] == [0, 1, 2, 3]
        assert all(v is None or v.key == r.key for r, v in group.judged)
    assert not list(tmp_path.glob(".groups-*"))


def test_the_last_verdict_counts_and_counts_once(tmp_path):
    problem = Problem(id=problem_id("q"), prompt="q")
    rollout = Rollout(problem_id=problem.id, index=0, model="m", completion=Completion(text="x"))
    first = verdict(rollout, Outcome.INCORRECT)
    second = verdict(rollout, Outcome.CORRECT, replaces=Outcome.INCORRECT)
    with Ledger(tmp_path) as ledger:
        for record in (problem, rollout, first, Closed(problem_id=problem.id, reason="x"), second):
            ledger.append(record)
    (group,) = groups.read(tmp_path)
    assert group.judged == [(rollout, second)]
    counts = standing.read(tmp_path).counts
    assert counts.judged == counts.correct == 1


def test_standing_of_an_open_problem_is_what_the_foreman_needs(tmp_path):
    problem = Problem(id=problem_id("q"), prompt="q")
    done = [
        Rollout(problem_id=problem.id, index=i, model="m", completion=Completion(text="x"))
        for i in (0, 2)
    ]
    with Ledger(tmp_path) as ledger:
        for record in (
            problem,
            Partial(problem_id=problem.id, index=1, start=0, token_ids=(5, 6)),
            Partial(problem_id=problem.id, index=2, start=0, token_ids=(9,)),
            *done,
            verdict(done[0], Outcome.CORRECT),
            Partial(problem_id=problem.id, index=1, start=2, token_ids=(7,)),
        ):
            ledger.append(record)
    state = standing.read(tmp_path)
    open_ = state.open[problem.id]
    assert open_.prefixes == {1: array("i", [5, 6, 7])}
    assert open_.unjudged == {2: done[1]}
    history = open_.history()
    assert (history.ended, history.correct, history.unjudged, history.partial) == (
        (0, 2), 1, (2,), (1,)
    )  # fmt: skip
    assert state.knows(problem.id)
    assert not state.knows("0" * 16)


def test_open_files_and_range_files_are_bounded(tmp_path, monkeypatch):
    write(tmp_path / "ledger")
    whole = list(groups.read(tmp_path / "ledger"))
    counts, spread = [], groups._spread
    monkeypatch.setattr(
        groups, "_spread", lambda r, o, p, b: (counts.append(len(p)), spread(r, o, p, b))[1]
    )
    assert list(groups.read(tmp_path / "ledger", bucket_bytes=10)) == whole
    assert counts[0] == 40, "no more files than problems"
    monkeypatch.setattr(groups, "_BUCKETS", 3)
    counts.clear()
    assert list(groups.read(tmp_path / "ledger", bucket_bytes=4000)) == whole
    assert len(counts) > 3, "files that are too large are spread again"
    assert max(counts) <= 3
    assert not list(tmp_path.rglob(".groups-*"))


def test_what_is_added_comes_last_and_a_problem_recorded_again_keeps_its_place(tmp_path):
    write(tmp_path / "ledger", problems=10)
    before = list(groups.read(tmp_path / "ledger"))
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append(before[3].problem)
        new = Problem(id="0" * 16, prompt="first by its id")
        ledger.append(new)
    for size in (512 << 20, 1000):
        after = list(groups.read(tmp_path / "ledger", bucket_bytes=size))
        assert after[:-1] == before
        assert after[-1].problem == new


def test_one_problem_larger_than_a_range_file_is_not_spread_for_ever(tmp_path, monkeypatch):
    write(tmp_path / "ledger", problems=1, per_problem=300)
    counts = []
    spread = groups._spread
    monkeypatch.setattr(
        groups, "_spread", lambda r, o, p, b: (counts.append(len(p)), spread(r, o, p, b))[1]
    )
    (group,) = groups.read(tmp_path / "ledger", bucket_bytes=100)
    assert len(group.judged) == 299
    assert counts == []
    write(tmp_path / "more", problems=2, per_problem=300)
    assert len(list(groups.read(tmp_path / "more", bucket_bytes=100))) == 2
    assert counts == [2]


@settings(deadline=None)
@given(st.lists(st.integers(0, 300) | st.integers(0, 2**64 - 1), max_size=60))
def test_the_first_places_are_those_where_an_id_was_not_seen_before(ids):
    expected = [place for place, id in enumerate(ids) if id not in ids[:place]]
    assert groups._first(np.array(ids, dtype=np.uint64)).tolist() == expected


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_a_range_file_is_read_in_pieces_of_any_size(tmp_path, monkeypatch, at_once):
    write(tmp_path / "ledger", problems=3)
    whole = list(groups.read(tmp_path / "ledger"))
    monkeypatch.setattr(groups, "_AT_ONCE", at_once)
    assert list(groups.read(tmp_path / "ledger", bucket_bytes=100)) == whole
    path = tmp_path / "range"
    records = [Problem(id=g.problem.id, prompt=g.problem.prompt) for g in whole]
    data = b"".join(map(frame, records))
    path.write_bytes(data)
    assert list(groups._stream(path)) == records
    path.write_bytes(data[:-1])
    with pytest.raises(LedgerError, match="was cut or changed"):
        list(groups._stream(path))


def test_a_ledger_of_an_earlier_version_reads_with_what_it_lacks_left_empty(tmp_path):
    problem = Problem(id=problem_id("q"), prompt="q")
    rollout = Rollout(problem_id=problem.id, index=0, model="m", completion=Completion(text="x"))
    judged = verdict(rollout, Outcome.CORRECT, sandbox="namespaces")
    old = msgspec.to_builtins(judged)
    for name in ("sandbox", "seconds", "replaces"):
        del old[name]
    body = frame(judged)[8:9] + msgspec.msgpack.encode(old)
    with Ledger(tmp_path):
        pass
    log = tmp_path / "000000.log"
    data = MAGIC + frame(problem) + frame(rollout)
    data += struct.pack("<II", len(body), zlib.crc32(body)) + body
    log.write_bytes(data)
    (group,) = groups.read(tmp_path)
    assert group.judged == [(rollout, verdict(rollout, Outcome.CORRECT))]


@pytest.mark.parametrize("sealed", [False, True])
def test_the_extent_is_about_what_the_records_take(tmp_path, sealed):
    write(tmp_path / "ledger", problems=200)
    if sealed:
        with Ledger(tmp_path / "ledger") as ledger:
            ledger.seal()
    size = sum(len(frame(record)) for record in scan(tmp_path / "ledger"))
    assert 0.7 * size < groups.extent(tmp_path / "ledger") < 1.5 * size


def test_ranges_are_about_as_large_whatever_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "_BUCKETS", 4)
    largest = {}
    for problems in (40, 400):
        folder = tmp_path / str(problems)
        write(folder / "ledger", problems=problems)
        found = list(groups.ranges(folder / "ledger", 10_000, map))
        largest[problems] = max(len(one.data) for one in found)
        assert [name for one in found for name in one.clusters] == [
            group.cluster for one in found for group in one.groups()
        ]
    assert largest[400] < 1.5 * largest[40] < 30_000


def test_a_log_sealed_since_the_listing_is_no_error(tmp_path):
    write(tmp_path / "ledger", problems=2)
    (tmp_path / "ledger" / "000000.log").symlink_to("gone")
    assert groups.extent(tmp_path / "ledger") > 0


def test_a_missing_ledger_is_a_clear_error(tmp_path):
    with pytest.raises(LedgerError, match="no ledger at"):
        list(groups.read(tmp_path / "none"))
