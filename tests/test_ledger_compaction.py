"""Sealing beside the run, and small files put into one, while others read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import ledger as module
from factory.errors import LedgerError
from factory.ledger import Ledger, scan, sealed, sealing, standing
from factory.ledger.records import Closed, to_batch
from factory.ledger.segments import HEAD, Segment, current, sift
from factory.types import Problem


def record(number):
    return Closed(problem_id=f"{number:016x}", reason="enough")


def files(folder, sizes):
    """Sealed files with so many records each, in row groups of two; the records."""
    folder.mkdir(exist_ok=True)
    number = 0
    for name, size in enumerate(sizes, 1):
        records = [record(number + n) for n in range(size)]
        number += size
        groups = [to_batch(records[n : n + 2]) for n in range(0, size, 2)]
        sealed.write(folder / f"{name:06}.parquet", groups)
    return [record(n) for n in range(number)]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=6),
    spans=st.lists(st.integers(2, 4), max_size=3),
    after=st.lists(st.integers(0, 12), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_a_reader_goes_on_in_the_file_that_holds_its_records_now(
    tmp_path_factory, sizes, spans, after
):
    folder = tmp_path_factory.mktemp("many")
    expected = files(folder, sizes)
    reader = scan(folder)
    found = []
    for span, pause in zip(spans, after, strict=False):
        for item in reader:
            found.append(item)
            if len(found) % 13 == pause:
                break
        run = current(folder)[:span]
        if len(run) > 1:
            sealing.compact(folder, run)
    assert [*found, *reader] == expected
    assert list(scan(folder)) == expected


def test_how_a_run_stands_is_read_while_files_are_put_together(tmp_path, monkeypatch):
    expected = files(tmp_path, [3, 4, 5])
    with Ledger(tmp_path) as ledger:
        ledger.append(Problem(id="f" * 16, prompt="q"))
        ledger.seal()
    real = standing.records_of

    def between_the_passes(*given):
        sealing.compact(tmp_path, current(tmp_path)[:-1])
        return real(*given)

    monkeypatch.setattr(standing, "records_of", between_the_passes)
    state = standing.read(tmp_path)
    assert (tmp_path / "000001-000004.parquet").exists()
    assert list(state.open) == ["f" * 16]
    assert len(state.closed) == len(expected)


def test_neighbours_that_are_small_are_put_together_and_large_ones_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "BATCH", 3)
    files(tmp_path, [1, 1, 300, 1, 1, 1, 1])
    small = (tmp_path / "000001.parquet").stat().st_size
    large = (tmp_path / "000003.parquet").stat().st_size
    monkeypatch.setattr(sealing, "SMALL_BYTES", (small + large) // 2)
    assert [s.first for s in sealing.due(tmp_path)] == [4, 5, 6, 7]
    monkeypatch.setattr(sealing, "LARGE_BYTES", 3 * small)
    assert [s.first for s in sealing.due(tmp_path)] == [4, 5, 6]
    (tmp_path / "000005.parquet").rename(tmp_path / "moved away")
    assert sealing.due(tmp_path) == [], "it may come back"


def test_a_run_that_is_started_often_keeps_few_files(tmp_path):
    expected = []
    for number in range(40):
        with Ledger(tmp_path) as ledger:
            ledger.append(record(number))
            ledger.seal()
        expected.append(record(number))
    assert len(list(tmp_path.glob("*.parquet"))) <= sealing.BATCH
    assert list(scan(tmp_path)) == expected
    groups = [sealed.Sealed(p)._file.metadata.num_row_groups for p in tmp_path.glob("*-*")]
    assert groups == [1] * len(groups), "small row groups are put together too"


def test_of_files_that_hold_the_same_records_one_counts():
    def names(segments):
        return [segment.name for segment in segments]

    assert names(sift(["000001.log", "000001.parquet"])[0]) == ["000001.log"]
    whole = ["000001.parquet", "000002.parquet", "000001-000002.parquet"]
    assert names(sift(whole)[0]) == whole[:2]
    assert names(sift(whole[1:])[0]) == [whole[2]]
    assert names(sift(whole[1:])[1]) == [whole[1]]
    assert sift(["000002-000001.parquet", "1-2.parquet", "000001-000001.parquet"]) == ([], [])
    assert Segment.of("1000000-1000002.parquet") == (1_000_000, 1_000_002, "parquet")


def test_the_helper_seals_as_the_thread_does(tmp_path, monkeypatch):
    tables = []
    for name, at in (("thread", 1 << 60), ("helper", 0)):
        monkeypatch.setattr(sealing, "HELPED_BYTES", at)
        with Ledger(tmp_path / name) as ledger:
            for number in range(50):
                ledger.append(record(number))
            ledger.seal()
            process = ledger._helper._process
            assert (process is not None) == (name == "helper")
        if process is not None:
            assert process.returncode == 0, "it ends with the ledger"
        tables.append((tmp_path / name / "000001.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_a_helper_that_is_gone_is_replaced_by_the_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "HELPED_BYTES", 0)
    with Ledger(tmp_path) as ledger:
        for number in range(3):
            ledger.append(record(number))
            ledger.seal()
            process = ledger._helper._process
            if number == 0:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
    assert list(scan(tmp_path)) == [record(n) for n in range(3)]
    assert [p.stat().st_size for p in tmp_path.glob("*.log")] == [len(HEAD)]


def test_what_the_helper_refuses_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "HELPED_BYTES", 0)
    log = tmp_path / "000001.log"
    with Ledger(tmp_path) as ledger:
        ledger.append(record(0))
    log.write_bytes(data := log.read_bytes() + b"noise")
    helper = sealing.Helper()
    with pytest.raises(LedgerError, match=r"cannot seal .*000001\.log: byte \d+ of \d+ begins no"):
        sealing.seal(log, helper)
    helper.close()
    assert {p.name for p in tmp_path.iterdir()} == {"000001.log"}
    assert log.read_bytes() == data


def test_a_helper_ends_with_a_driver_that_is_killed(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from factory.ledger import sealing
        from factory.ledger import Ledger
        from factory.ledger.records import Closed
        sealing.HELPED_BYTES = 0
        ledger = Ledger(Path({str(tmp_path)!r}))
        ledger.append(Closed(problem_id="p", reason="complete"))
        ledger.seal()
        print(ledger._helper._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    pid = int(done.stdout)
    for _ in range(200):
        try:
            if ") Z " in (stat := Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")):
                break
        except FileNotFoundError:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f"the helper still runs: {stat}")
    assert list(scan(tmp_path)) == [Closed(problem_id="p", reason="complete")]


def test_a_reader_that_meets_a_name_that_cannot_be_opened_does_not_turn_for_ever(tmp_path):
    files(tmp_path, [1])
    (tmp_path / "000002.parquet").symlink_to("gone")
    with pytest.raises(LedgerError, match=r"000002\.parquet is listed and cannot be opened"):
        list(scan(tmp_path))
    assert module.SEGMENT_BYTES > sealing.HELPED_BYTES
