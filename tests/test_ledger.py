"""The ledger on disk: what is committed is there, what is torn is cut, nothing counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import ledger as module
from factory.errors import LedgerError
from factory.ledger import Ledger, scan
from factory.records import Closed, Partial, frame, from_row, to_row, unframe
from factory.types import Completion, Outcome, Problem, Reject, Rollout, Verdict

RECORDS = [
    Problem(
        id="a" * 16,
        prompt="2 + 2? \N{SNOWMAN}",
        answer="4",
        messages=({"role": "user", "content": "2 + 2?"},),
        spec={"choices": ["4", 5, None, 1.5]},
    ),
    Partial(problem_id="a" * 16, index=0, token_ids=(1, 2, 3)),
    Rollout(problem_id="a" * 16, index=0, model="m", completion=Completion(text="x\n4")),
    Verdict(
        problem_id="a" * 16,
        index=0,
        outcome=Outcome.UNSURE,
        reward=None,
        extracted=None,
        detail="checks disagree",
        verifier="math",
        verifier_version="1",
    ),
    Reject(source="f.jsonl", row="7", rule="no_answer", reason="no answer"),
    Closed(problem_id="a" * 16, reason="complete"),
]


def write(folder, records):
    with Ledger(folder) as ledger:
        for record in records:
            ledger.append(record)


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_both_encodings_give_the_record_back(record):
    assert [r for r, _ in unframe(frame(record))] == [record]
    row = to_row(record)
    assert from_row(row["kind"], row["data"]) == record


def test_order_is_that_of_writing_across_commands_and_sealing(tmp_path):
    write(tmp_path, RECORDS[:2])
    write(tmp_path, RECORDS[2:4])
    with Ledger(tmp_path) as ledger:
        ledger.seal()
        ledger.append(RECORDS[4])
        ledger.commit()
        assert list(scan(tmp_path)) == RECORDS[:5]
    assert list(scan(tmp_path)) == RECORDS[:5]


def test_sealed_file_is_a_plain_parquet_table(tmp_path):
    with Ledger(tmp_path) as ledger:
        for record in RECORDS:
            ledger.append(record)
        ledger.seal()
    (path,) = tmp_path.glob("*.parquet")
    table = pq.read_table(path)
    assert table["kind"].to_pylist() == [
        "problem", "partial", "rollout", "verdict", "reject", "closed"
    ]  # fmt: skip
    assert table["outcome"].to_pylist()[3] == "unsure"
    assert not list(tmp_path.glob("*.tmp"))


def test_grown_log_is_sealed_in_the_background(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2000)
    with Ledger(tmp_path) as ledger:
        for _ in range(50):
            for record in RECORDS:
                ledger.append(record)
            ledger.commit()
    assert len(list(tmp_path.glob("*.parquet"))) > 3
    assert list(scan(tmp_path)) == RECORDS * 50


@given(cut=st.integers(0, 10_000), noise=st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_torn_tail_is_cut_to_the_longest_valid_prefix(tmp_path_factory, cut, noise):
    folder = tmp_path_factory.mktemp("torn")
    write(folder, RECORDS)
    (log,) = folder.glob("*.log")
    data = log.read_bytes()
    ends = [len(module._MAGIC), *(end for _, end in unframe(data, len(module._MAGIC)))]
    cut = cut % (len(data) + 1)
    log.write_bytes(data[:cut] + (noise if cut < len(data) else b""))
    whole = max((i for i, end in enumerate(ends) if end <= cut), default=0)
    if not data[:cut].startswith(module._MAGIC) and noise and cut < len(module._MAGIC):
        return  # a file that does not begin as ours is refused, see below
    write(folder, [RECORDS[-1]])
    assert list(scan(folder)) == [*RECORDS[:whole], RECORDS[-1]]


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_noticed(position, bit):
    data = bytearray(b"".join(frame(r) for r in RECORDS))
    data[position % len(data)] ^= 1 << bit
    found = [r for r, _ in unframe(data)]
    assert len(found) < len(RECORDS)
    assert found == RECORDS[: len(found)]


def test_a_foreign_file_is_refused_and_left_alone(tmp_path):
    (tmp_path / "000001.log").write_bytes(b"something else entirely")
    with pytest.raises(LedgerError, match="not a ledger file"):
        Ledger(tmp_path)
    assert (tmp_path / "000001.log").read_bytes() == b"something else entirely"
    assert not (tmp_path / "lock").exists()


def test_interrupted_sealing_counts_each_record_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module.Path, "unlink", lambda *a, **k: None)
    with Ledger(tmp_path) as ledger:
        ledger.append(RECORDS[0])
        ledger.seal()
    monkeypatch.undo()
    assert {p.name for p in tmp_path.glob("000001.*")} == {"000001.log", "000001.parquet"}
    assert list(scan(tmp_path)) == RECORDS[:1]
    (tmp_path / "lock").unlink()
    write(tmp_path, [])
    assert not (tmp_path / "000001.log").exists()
    assert list(scan(tmp_path)) == RECORDS[:1]


def test_full_disk_is_a_clear_error_and_leaves_the_ledger_whole(tmp_path, monkeypatch):
    real = os.write

    def full(fd, data):
        real(fd, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    with Ledger(tmp_path) as ledger:
        ledger.append(RECORDS[0])
        ledger.commit()
        monkeypatch.setattr(module.os, "write", full)
        ledger.append(RECORDS[1])
        with pytest.raises(LedgerError, match="No space left on device"):
            ledger.commit()
        monkeypatch.undo()
        ledger.append(RECORDS[2])
    assert list(scan(tmp_path)) == [RECORDS[0], RECORDS[2]]


def test_second_writer_is_refused_by_name(tmp_path):
    with Ledger(tmp_path), pytest.raises(LedgerError, match=f"process {os.getpid()}"):
        Ledger(tmp_path)
    write(tmp_path, RECORDS[:1])


def test_lock_of_a_killed_writer_is_taken_over(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from factory.ledger import Ledger
        from factory.records import Closed
        ledger = Ledger(Path({str(tmp_path)!r}))
        ledger.append(Closed(problem_id="p", reason="complete"))
        ledger.commit()
        ledger.append(Closed(problem_id="q", reason="complete"))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "lock").exists()
    write(tmp_path, RECORDS[:1])
    assert list(scan(tmp_path)) == [Closed(problem_id="p", reason="complete"), RECORDS[0]]


def test_read_only_folder_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LedgerError, match="cannot be written"):
        Ledger(tmp_path / "file" / "ledger")
