"""The ledger's files: any cut and any flipped bit is noticed, and other tools read them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import LedgerError
from factory.ledger import Ledger, scan, sealed, sealing, standing
from factory.ledger.records import MARK, SEALED, Closed, Partial, from_row, to_batch, to_row
from factory.ledger.sealed import Sealed
from factory.ledger.segments import MAGIC
from factory.types import Completion, Outcome, Problem, Reject, Rollout, Verdict

PID = "0123456789abcdef"
RECORDS = [
    Problem(id=PID, prompt="2 + 2? \N{SNOWMAN}", answer="4", source="f", source_id="1"),
    Partial(problem_id=PID, index=0, start=0, token_ids=(1, 2, 3)),
    Rollout(
        problem_id=PID,
        index=0,
        model="m",
        completion=Completion(text="x\n4", finish_reason="length", num_tokens=3),
        restarts=1,
    ),
    Verdict(
        problem_id=PID,
        index=0,
        outcome=Outcome.CORRECT,
        reward=1.0,
        extracted=None,
        detail="",
        verifier="math",
        verifier_version="1",
        replaces=Outcome.UNSURE,
    ),
    Reject(source="f.jsonl", row="7", rule="no_answer", reason="no answer"),
    Closed(problem_id=PID, reason="set aside: why"),
    Problem(id="f" * 16, prompt="open"),
]
OLD = pa.schema([SEALED.field(n) for n in SEALED.names[:6]] + [SEALED.field("data")])
"""The columns of an earlier version."""


def old_file(path, records):
    rows = [{name: to_row(r)[name] for name in OLD.names} for r in records]
    with pq.ParquetWriter(path, OLD, compression="zstd") as writer:
        for row in rows:
            writer.write_table(pa.Table.from_pylist([row], OLD))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "000001.parquet"
    assert sealed.write(path, [to_batch(RECORDS[:4]), to_batch(RECORDS[4:])]) == len(RECORDS)
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    with Ledger(folder) as ledger:
        for record in RECORDS:
            ledger.append(record)
    return folder / "000001.log"


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=250, deadline=None)
def test_a_flipped_bit_anywhere_in_a_sealed_file_is_an_error(file, tmp_path_factory, place, bit):
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    folder = tmp_path_factory.mktemp("flipped")
    (folder / file.name).write_bytes(data)
    with pytest.raises(LedgerError, match=r"000001\.parquet is damaged, restore it from a copy"):
        list(scan(folder))


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_never_changes_how_a_run_stands(file, tmp_path_factory, place, bit):
    expected = standing.read(file.parent)
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    folder = tmp_path_factory.mktemp("flipped")
    (folder / file.name).write_bytes(data)
    try:
        found = standing.read(folder)
    except LedgerError:
        return
    assert found.counts == expected.counts
    assert list(found.open) == list(expected.open) == ["f" * 16]
    assert found.knows(PID)


@given(place=st.floats(0, 1, exclude_max=True))
@settings(max_examples=80, deadline=None)
def test_a_sealed_file_cut_anywhere_is_an_error(file, tmp_path_factory, place):
    data = file.read_bytes()
    folder = tmp_path_factory.mktemp("cut")
    (folder / file.name).write_bytes(data[: int(place * len(data))])
    with pytest.raises(LedgerError, match=r"000001\.parquet is damaged"):
        list(scan(folder))


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), follows=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_in_a_log_is_an_error_or_ends_it(log, tmp_path_factory, place, bit, follows):
    data = bytearray(log.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "000001.log").write_bytes(data)
    if follows:
        (folder / "000002.log").write_bytes(MAGIC)
    try:
        found = list(scan(folder))
    except LedgerError:
        return
    assert int(place * len(data)) >= len(data) - len(MARK), "the end mark alone may look torn"
    assert not follows
    assert found == RECORDS


@given(place=st.floats(0, 1, exclude_max=True), follows=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_log_cut_anywhere_ends_with_its_last_whole_record(log, tmp_path_factory, place, follows):
    data = log.read_bytes()
    folder = tmp_path_factory.mktemp("cut")
    kept = data[: int(place * len(data))]
    (folder / "000001.log").write_bytes(kept)
    if follows:
        (folder / "000002.log").write_bytes(MAGIC)
    found = []
    try:
        for record in scan(folder):
            found.append(record)
    except LedgerError:
        assert follows
    assert found == RECORDS[: len(found)]
    if not follows:
        with Ledger(folder) as ledger:
            ledger.append(RECORDS[0])
        assert list(scan(folder)) == [*found, RECORDS[0]]


def test_other_tools_read_a_sealed_file_and_check_its_pages(file, tmp_path):
    table = pq.read_table(file, page_checksum_verification=True)
    assert table.schema.names == SEALED.names
    assert [from_row(r["kind"], r["data"]) for r in table.to_pylist()] == RECORDS
    rows = load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path))
    assert rows["kind"] == [type(r).__name__.lower() for r in RECORDS]
    assert rows["rule"][4:6] == ["no_answer", "set aside"]


@pytest.mark.parametrize("skip", range(len(RECORDS) + 1))
def test_what_was_read_of_a_file_is_left_out(file, tmp_path, skip):
    old_file(tmp_path / "000001.parquet", RECORDS)
    for path in (file, tmp_path / "000001.parquet"):
        with Sealed(path, skip) as opened:
            assert opened.rows == len(RECORDS) - skip
            assert list(opened.records()) == RECORDS[skip:]
            assert sum(batch.num_rows for batch in opened.batches(["kind"])) == opened.rows


def test_a_ledger_of_an_earlier_version_is_read_and_its_files_are_brought_up(tmp_path, monkeypatch):
    for number in range(1, 4):
        old_file(tmp_path / f"{number:06}.parquet", RECORDS)
    assert list(scan(tmp_path)) == RECORDS * 3
    before = standing.read(tmp_path)
    assert (before.counts.closed["set aside"], before.counts.continued) == (3, 3)
    monkeypatch.setattr(sealing, "BATCH", 3)
    with Ledger(tmp_path):
        pass
    (path,) = tmp_path.glob("*.parquet")
    assert path.name == "000001-000003.parquet"
    assert pq.read_schema(path).names == SEALED.names
    assert list(scan(tmp_path)) == RECORDS * 3
    assert standing.read(tmp_path).counts == before.counts
    assert list(standing.read(tmp_path).open) == list(before.open)


def test_texts_of_finished_problems_are_not_read_to_resume(tmp_path, monkeypatch):
    closed = [r for r in RECORDS if r != RECORDS[-1]]
    sealed.write(tmp_path / "000001.parquet", [to_batch(closed)])
    sealed.write(tmp_path / "000002.parquet", [to_batch(closed), to_batch(RECORDS[-1:])])
    read = []
    real = Sealed._read

    def look(self, number, columns, skip):
        if "data" in columns:
            read.append((self.path.name, number))
        return real(self, number, columns, skip)

    monkeypatch.setattr(Sealed, "_read", look)
    assert list(standing.read(tmp_path).open) == ["f" * 16]
    assert read == [("000002.parquet", 1)]
