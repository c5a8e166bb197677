"""The ledger on disk: what is committed is there, what is torn is cut, nothing counts twice."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import threading

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import ledger as module
from factory.errors import LedgerError
from factory.ledger import Ledger, records, scan
from factory.ledger import lock as locks
from factory.ledger.lock import Lock, is_held
from factory.ledger.records import MARK, Closed, Partial, Reopened, frame, from_row, to_row, unframe
from factory.ledger.segments import MAGIC
from factory.types import Completion, Outcome, Problem, Reject, Rollout, Verdict

RECORDS = [
    Problem(
        id="a" * 16,
        prompt="2 + 2? \N{SNOWMAN}",
        answer="4",
        messages=({"role": "user", "content": "2 + 2?"},),
        spec={"choices": ["4", 5, None, 1.5]},
    ),
    Partial(problem_id="a" * 16, index=0, start=0, token_ids=(1, 2, 3)),
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
    Reopened(problem_id="a" * 16, reason="set aside: why", source="f", row="1", cut=1, tokens=9),
]


def write(folder, records):
    with Ledger(folder) as ledger:
        for record in records:
            ledger.append(record)


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


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
        "problem", "partial", "rollout", "verdict", "reject", "closed", "reopened"
    ]  # fmt: skip
    assert table["outcome"].to_pylist()[3] == "unsure"
    assert not list(tmp_path.glob("*.tmp"))


def test_grown_log_is_sealed_in_the_background(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2000)
    monkeypatch.setattr(module.sealing, "BATCH", 1000)
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
    ends = [len(MAGIC), *(end for _, end in unframe(data, len(MAGIC)))]
    ends[-1] -= len(MARK)  # it ends with the mark that its last commit was durable
    cut = cut % (len(data) + 1)
    log.write_bytes(data[:cut] + (noise if cut < len(data) else b""))
    whole = max((i for i, end in enumerate(ends) if end <= cut), default=0)
    if not data[:cut].startswith(MAGIC) and noise and cut < len(MAGIC):
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
        no_space()

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
        from factory.ledger.records import Closed
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


@pytest.mark.parametrize("where", [0, 5, 8, 20])
def test_damage_in_the_middle_is_refused_and_changes_nothing(tmp_path, where):
    write(tmp_path, RECORDS)
    log = tmp_path / "000001.log"
    data = bytearray(log.read_bytes())
    begin = len(MAGIC + MARK + MARK) + len(frame(RECORDS[0]))
    data[begin + where] ^= 4
    log.write_bytes(data)
    for attempt in (lambda: write(tmp_path, []), lambda: list(scan(tmp_path))):
        with pytest.raises(LedgerError, match=rf"000001\.log is damaged .* byte {begin} "):
            attempt()
    assert log.read_bytes() == data
    assert {p.name for p in tmp_path.iterdir()} == {"000001.log"}


def test_a_record_of_a_newer_version_is_no_torn_tail(tmp_path):
    write(tmp_path, RECORDS[:1])
    log = tmp_path / "000001.log"
    body = bytes((200,)) + b"new"
    data = log.read_bytes() + records._HEADER.pack(len(body), records.zlib.crc32(body)) + body
    log.write_bytes(data)
    with pytest.raises(LedgerError, match="no readable record"):
        write(tmp_path, [])
    assert log.read_bytes() == data


def test_every_torn_tail_is_kept(tmp_path):
    write(tmp_path, RECORDS)
    for tail in (b"one", b"two", b"three"):
        with (tmp_path / "000001.log").open("ab") as file:
            file.write(tail)
        assert list(scan(tmp_path)) == RECORDS
        write(tmp_path, [])
    kept = {p.name: p.read_bytes() for p in tmp_path.glob("*.torn*")}
    assert kept == {"000001.torn": b"one", "000001.torn1": b"two", "000001.torn2": b"three"}
    assert list(scan(tmp_path)) == RECORDS


def test_a_log_that_is_not_whole_is_not_sealed(tmp_path):
    write(tmp_path, RECORDS)
    log = tmp_path / "000001.log"
    log.write_bytes(data := log.read_bytes() + b"noise")
    with pytest.raises(LedgerError, match=r"cannot seal .*000001\.log"):
        module.sealing.seal(log)
    assert {p.name for p in tmp_path.iterdir()} == {"000001.log"}
    assert log.read_bytes() == data


@pytest.mark.parametrize("content", [b"", b"PAR1 and so on PAR1"])
def test_a_damaged_sealed_file_is_named(tmp_path, content):
    (tmp_path / "000001.parquet").write_bytes(content)
    with pytest.raises(LedgerError, match=r"000001\.parquet is damaged"):
        list(scan(tmp_path))


def test_a_missing_ledger_is_a_clear_error(tmp_path):
    with pytest.raises(LedgerError, match="no ledger at"):
        list(scan(tmp_path / "none"))


def test_failed_sealing_is_a_clear_error_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pq, "ParquetWriter", no_space)
    ledger = Ledger(tmp_path)
    ledger.append(RECORDS[0])
    with pytest.raises(LedgerError, match=r"cannot seal .*000001\.log: .*the log is intact"):
        ledger.seal()
    ledger.append(RECORDS[1])
    ledger.close()
    assert not (tmp_path / "lock").exists()
    assert list(scan(tmp_path)) == RECORDS[:2]
    monkeypatch.undo()
    write(tmp_path, RECORDS[2:3])
    assert (tmp_path / "000001.parquet").exists()
    assert list(scan(tmp_path)) == RECORDS[:3]


def test_close_after_a_failed_rotation_is_quiet_and_lets_go(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 200)
    monkeypatch.setattr(module.sealing, "seal", lambda *_: None)
    ledger = Ledger(tmp_path)
    ledger.append(RECORDS[0])
    ledger.append(RECORDS[2])
    (tmp_path / "000002.log").mkdir()
    with pytest.raises(LedgerError, match=r"000002\.log cannot be written"):
        ledger.commit()
    ledger.close()
    assert not (tmp_path / "lock").exists()
    ledger.append(RECORDS[1])
    with pytest.raises(LedgerError, match="no log is open"):
        ledger.close()


def test_scan_misses_nothing_when_a_log_is_sealed_meanwhile(tmp_path, monkeypatch):
    write(tmp_path, RECORDS)
    real = os.listdir

    def seal_behind(folder):
        names = real(folder)
        if "000001.log" in names:
            module.sealing.seal(tmp_path / "000001.log")
        return names

    monkeypatch.setattr(module.os, "listdir", seal_behind)
    real_glob = module.Path.glob

    def glob(self, pattern):
        yield from list(real_glob(self, pattern))
        if pattern == "*.parquet":
            module.sealing.seal(tmp_path / "000001.log")

    monkeypatch.setattr(module.Path, "glob", glob)
    assert list(scan(tmp_path)) == RECORDS


def test_foreign_files_are_ignored(tmp_path):
    write(tmp_path, RECORDS)
    for name in ("copy.parquet", "000001 (1).log", "7.log"):
        (tmp_path / name).write_bytes(b"x")
    assert list(scan(tmp_path)) == RECORDS
    write(tmp_path, RECORDS[:1])
    assert list(scan(tmp_path)) == [*RECORDS, RECORDS[0]]


def test_what_the_log_cannot_hold_is_replaced(tmp_path):
    spec = {"a\ud800": [2**70, -(2**63), 2**64 - 1, True, "\udfff"]}
    write(tmp_path, [Problem(id="a" * 16, prompt="bad \ud83d text", spec=spec)])
    clean = {"a?": [str(2**70), -(2**63), 2**64 - 1, True, "?"]}
    expected = Problem(id="a" * 16, prompt="bad ? text", spec=clean)
    assert list(scan(tmp_path)) == [expected]
    with Ledger(tmp_path) as ledger:
        ledger.seal()
    assert list(scan(tmp_path)) == [expected]


def dead() -> bytes:
    return json.dumps({"host": locks.socket.gethostname(), "pid": 2**30, "start": "1"}).encode()


def test_a_fresh_lock_is_not_stolen_by_one_who_saw_the_stale_one(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.write_bytes(dead())
    real = locks._alive
    winner = []

    def slow(owner, silent):
        verdict = real(owner, silent)
        if not winner:
            winner.append(None)
            winner[0] = Lock(path)  # another one is faster, between judging and renaming
        return verdict

    monkeypatch.setattr(locks, "_alive", slow)
    with pytest.raises(LedgerError, match="is being written by process"):
        Lock(path)
    assert is_held(path)
    winner[0].release()
    assert list(tmp_path.iterdir()) == []


def test_another_ones_lock_is_neither_released_nor_kept_alive(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.01)
    path = tmp_path / "lock"
    lock = Lock(path)
    path.unlink()
    path.write_bytes(dead())
    os.utime(path, (1, 1))
    lock._released.wait(0.1)
    assert path.stat().st_mtime == 1
    lock.release()
    assert path.read_bytes() == dead()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b'{"host": 1}'])
def test_a_malformed_lock_is_stale(tmp_path, content):
    path = tmp_path / "lock"
    path.write_bytes(content)
    assert not is_held(path)
    Lock(path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_empty_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.os, "fsync", no_space)
    with pytest.raises(LedgerError, match="No space left"):
        Ledger(tmp_path / "ledger")
    assert list((tmp_path / "ledger").iterdir()) == []


def test_a_zombie_holds_no_lock(tmp_path):
    with subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE) as child:
        owner = {"host": locks.socket.gethostname(), "pid": child.pid}
        owner["start"] = locks._start(child.pid)
        (tmp_path / "lock").write_text(json.dumps(owner), encoding="utf-8")
        assert is_held(tmp_path / "lock")
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet collected
        assert not is_held(tmp_path / "lock")


def test_a_process_of_another_container_on_this_host_is_not_taken_for_dead(tmp_path, monkeypatch):
    """Its number means nothing here: only its heartbeats tell, as for another host."""
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.02)
    path = tmp_path / "lock"
    held = Lock(path)
    owner = json.loads(path.read_bytes())
    held.release()
    path.write_text(json.dumps(owner | {"pid": 2**30, "pids": "pid:[1]"}), encoding="utf-8")
    assert is_held(path)
    stop = threading.Event()

    def beat():
        while not stop.wait(0.005):
            os.utime(path)

    beats = threading.Thread(target=beat)
    beats.start()
    with pytest.raises(LedgerError, match="is being written by process 1073741824"):
        Lock(path)
    stop.set()
    beats.join()
    os.utime(path, (1, 1))
    Lock(path).release()


def elsewhere(path, silent_s):
    """A lock of another host whose last heartbeat was so long ago by the clock."""
    owner = {"host": "elsewhere", "pid": 1, "start": "1"}
    path.write_text(json.dumps(owner), encoding="utf-8")
    then = path.stat().st_mtime - silent_s
    os.utime(path, (then, then))


@pytest.mark.parametrize("jump_s", [7200, -7200])
def test_a_clock_that_jumped_takes_no_lock_away(tmp_path, monkeypatch, jump_s):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.05)
    path = tmp_path / "lock"
    elsewhere(path, jump_s)
    beats = threading.Timer(0.05, lambda: os.utime(path))
    beats.start()
    with pytest.raises(LedgerError, match="written by process 1 on elsewhere"):
        Lock(path)
    beats.join()


@pytest.mark.parametrize("silent_s", [7200, -7200])
def test_a_lock_without_heartbeats_is_taken_over_whatever_the_clock_says(
    tmp_path, monkeypatch, silent_s
):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.02)
    path = tmp_path / "lock"
    elsewhere(path, silent_s)
    Lock(path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_lock_of_another_host_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.time, "sleep", lambda _: pytest.fail("waited"))
    elsewhere(tmp_path / "lock", 1)
    with pytest.raises(LedgerError, match="on elsewhere"):
        Lock(tmp_path / "lock")


def test_heartbeats_are_of_the_file_servers_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.01)
    given = []
    monkeypatch.setattr(locks.os, "utime", lambda *args, **named: given.append((args, named)))
    lock = Lock(tmp_path / "lock")
    lock._released.wait(0.2)
    lock.release()
    assert set(map(repr, given)) == {repr(((tmp_path / "lock",), {}))}


def test_a_writer_that_lost_its_lock_stops_and_what_it_committed_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.01)
    ledger = Ledger(tmp_path)
    ledger.append(RECORDS[0])
    ledger.commit()
    (tmp_path / "lock").write_bytes(dead())  # by another host, while this one was suspended
    for _ in range(500):
        if ledger._lock._lost:
            break
        ledger._lock._released.wait(0.01)
    ledger.append(RECORDS[1])
    with pytest.raises(LedgerError, match="another process has taken over this run"):
        ledger.close()
    assert (tmp_path / "lock").read_bytes() == dead()
    assert list(scan(tmp_path)) == RECORDS[:1]
