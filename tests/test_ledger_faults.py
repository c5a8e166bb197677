"""What a disk can do to a ledger, through injected calls of the operating system."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import suppress

import pytest

from factory import ledger as module
from factory.errors import LedgerError
from factory.ledger import Ledger, durable, scan, sealed, sealing
from factory.ledger.records import MARK, Closed, to_batch
from factory.ledger.segments import HEAD

CALLS = ("write", "fsync", "rename", "unlink", "ftruncate", "open")


def record(number):
    return Closed(problem_id=f"{number:016x}", reason="enough")


def work(folder, committed, sessions=3):
    """Some commands on one run, each with a few commits and a sealing; notes what is durable."""
    number = 0
    for _ in range(sessions):
        with Ledger(folder) as ledger:
            for _ in range(2):
                for _ in range(3):
                    ledger.append(record(number))
                    number += 1
                ledger.commit()
                committed.append(number)
            ledger.seal()
    return number


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(sealing, "BATCH", 2)
    monkeypatch.setattr(module, "SEGMENT_BYTES", 150)


class Disk:
    """Stands in for `os`: one call of one kind fails, and every call may be looked at before."""

    def __init__(self, monkeypatch, folder, look=lambda: None):
        self.folder, self.look = str(folder), look
        self.fail: dict[str, tuple[int, int]] = {}
        """By kind of call: which one fails, and the error."""
        self.counts = dict.fromkeys(CALLS, 0)
        self.paths: dict[int, str] = {}
        self.synced_after_failure: list[str] = []
        self._failed: set[str] = set()
        self._turn = threading.RLock()  # calls of the sealing thread and of ours, one at a time
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name, real):
        def call(first, *more, **named):
            with self._turn:
                return self._call(name, real, first, *more, **named)

        return call

    def _call(self, name, real, first, *more, **named):
        path = self.paths.get(first, "") if isinstance(first, int) else str(first)
        if not path.startswith(self.folder) or "lock" in path:
            return real(first, *more, **named)
        if name != "open":
            self.look()
        self.counts[name] += 1
        if self.counts[name] == self.fail.get(name, (0, 0))[0]:
            code = self.fail[name][1]
            if name == "write":
                real(first, bytes(more[0])[: len(more[0]) // 2])
            self._failed.add(path)
            raise OSError(code, os.strerror(code))
        if name == "fsync" and path in self._failed and path.endswith(".log"):
            self.synced_after_failure.append(path)
        found = real(first, *more, **named)
        if name == "open":
            self.paths[found] = path
            self._failed.discard(path)  # read again from disk
        return found


def calls_of(name, tmp_path, monkeypatch):
    """How many calls of a kind the work makes."""
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path / "count")
        work(tmp_path / "count", [])
    return disk.counts[name]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("write", errno.ENOSPC),
        ("fsync", errno.EIO),
        ("rename", errno.ENOSPC),
        ("unlink", errno.EIO),
        ("open", errno.EROFS),
    ],
)
def test_a_failing_call_loses_nothing_and_repeats_nothing(tmp_path, monkeypatch, call, code):
    total = calls_of(call, tmp_path, monkeypatch)
    assert total > 3
    for number in range(1, total + 1):
        folder, committed = tmp_path / f"{number}", [0]
        with monkeypatch.context() as patch:
            disk = Disk(patch, folder)
            disk.fail[call] = (number, code)
            with suppress(LedgerError):
                work(folder, committed)
            assert disk.counts[call] >= number
            assert disk.synced_after_failure == []
        found = list(scan(folder)) if folder.exists() else []
        assert found == [record(n) for n in range(len(found))], number
        assert len(found) >= committed[-1], number
        with Ledger(folder) as ledger:
            assert list(scan(folder)) == found
            ledger.append(record(len(found)))
            ledger.seal()
        assert list(scan(folder)) == [record(n) for n in range(len(found) + 1)]
        assert not list(folder.glob("*.tmp"))


def test_killed_before_any_call_it_goes_on_with_all_that_was_committed(tmp_path, monkeypatch):
    folder, committed, taken = tmp_path / "run", [0], []

    def look():
        copy = tmp_path / f"copy{len(taken)}"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lock*"))
        taken.append((copy, committed[-1]))

    with monkeypatch.context() as patch:
        disk = Disk(patch, folder, look)
        work(folder, committed)
    assert disk.counts["rename"] > 4, "logs were sealed and small files put into one"
    names = {path.name for copy, _ in taken for path in copy.iterdir()}
    assert any("-" in name and name.endswith(".parquet") for name in names)
    assert any(name.endswith(".tmp") for name in names)
    for copy, least in taken:
        before = list(scan(copy))
        assert before == [record(n) for n in range(len(before))]
        assert len(before) >= least
        with Ledger(copy) as ledger:
            assert list(scan(copy)) == before
            ledger.seal()
        assert list(scan(copy)) == before
        assert not list(copy.glob("*.tmp"))


def sources(folder, count):
    """Sealed files, none of them put together."""
    folder.mkdir()
    for number in range(1, count + 1):
        batch = to_batch([record(10 * number), record(10 * number + 1)])
        sealed.write(folder / f"{number:06}.parquet", [batch])


@pytest.mark.parametrize("content", [b"", b"\0" * 5000])
def test_a_name_that_came_before_its_content_does_not_count(tmp_path, content):
    log = tmp_path / "log"
    with Ledger(log) as ledger:
        ledger.append(record(1))
    (log / "000001.parquet").write_bytes(content)
    assert list(scan(log)) == [record(1)]
    with Ledger(log) as ledger:
        ledger.seal()
    assert list(scan(log)) == [record(1)]
    many = tmp_path / "many"
    sources(many, 3)
    expected = list(scan(many))
    (many / "000001-000003.parquet").write_bytes(content)
    assert list(scan(many)) == expected
    with Ledger(many):
        pass
    assert list(scan(many)) == expected


def test_sources_that_came_back_are_not_counted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "BATCH", 1000)
    folder = tmp_path / "many"
    sources(folder, 4)
    expected = list(scan(folder))
    copies = {path.name: path.read_bytes() for path in folder.iterdir()}
    run = [s for s, _ in sealing_walk(folder)]
    sealing.compact(folder, run)
    assert {path.name for path in folder.iterdir()} == {"000001-000004.parquet"}
    for name in sorted(copies)[1:]:
        (folder / name).write_bytes(copies[name])
        assert list(scan(folder)) == expected
    with Ledger(folder):
        assert list(scan(folder)) == expected
    assert {p.name for p in folder.glob("*.parquet")} == {"000001-000004.parquet"}


def sealing_walk(folder):
    from factory.ledger.segments import walk

    return list(walk(folder))


def test_after_a_failed_fsync_the_error_that_stopped_it_is_told_again(tmp_path, monkeypatch):
    with Ledger(tmp_path) as ledger:
        ledger.append(record(0))
        ledger.commit()
        with monkeypatch.context() as patch:
            disk = Disk(patch, tmp_path)
            disk.paths[ledger._fd] = str(ledger._path)
            disk.fail["fsync"] = (1, errno.EIO)
            ledger.append(record(1))
            with pytest.raises(LedgerError, match=r"at byte \d+: Input/output error.*check the"):
                ledger.commit()
        ledger.append(record(2))
        with pytest.raises(LedgerError, match=r"no log is open: .*Input/output error"):
            ledger.commit()
        ledger._pending.clear()
    assert list(scan(tmp_path)) == [record(0)]
    with Ledger(tmp_path) as ledger:
        ledger.append(record(1))
    assert list(scan(tmp_path)) == [record(0), record(1)]


def test_no_room_to_put_small_files_together_is_no_error(tmp_path, monkeypatch):
    folder = tmp_path / "many"
    sources(folder, 3)
    expected = list(scan(folder))
    real = sealed.write

    def full(path, batches):
        real(path, batches)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealed, "write", full)
    with Ledger(folder) as ledger:
        ledger.seal()
    assert {p.name for p in folder.glob("*.parquet")} == {f"00000{n}.parquet" for n in (1, 2, 3)}
    assert list(scan(folder)) == expected
    assert not list(folder.glob("*.tmp"))


def test_a_small_file_that_is_damaged_is_not_put_together(tmp_path):
    folder = tmp_path / "many"
    sources(folder, 3)
    path = folder / "000002.parquet"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with (
        pytest.raises(LedgerError, match=r"000002\.parquet is damaged"),
        Ledger(folder) as ledger,
    ):
        ledger.seal()
    assert path.read_bytes() == data
    assert {p.name for p in folder.glob("*.parquet")} >= {"000001.parquet", "000003.parquet"}


def test_only_the_last_log_may_be_torn(tmp_path):
    first, second = tmp_path / "000001.log", tmp_path / "000002.log"
    with Ledger(tmp_path) as ledger:
        ledger.append(record(1))
    data = first.read_bytes()
    second.write_bytes(data)
    good = len(HEAD + MARK)
    first.write_bytes(data[: good + 20])
    with pytest.raises(LedgerError, match=rf"000001\.log .* at its end: byte {good} begins"):
        list(scan(tmp_path))
    with (
        pytest.raises(LedgerError, match=r"cannot seal .*000001\.log"),
        Ledger(tmp_path) as ledger,
    ):
        ledger.seal()
    assert first.read_bytes() == data[: good + 20]


@pytest.mark.parametrize("mode", ["closed", "killed"])
def test_of_the_last_commit_any_part_may_have_reached_the_disk(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1 << 20)
    folder = tmp_path / "run"
    with Ledger(folder) as ledger:
        for commit in range(3):
            for number in range(4):
                ledger.append(record(4 * commit + number))
            ledger.commit()
        (log,) = folder.glob("*.log")
        killed = log.read_bytes()
    data = killed if mode == "killed" else log.read_bytes()
    last = killed.rindex(MARK)
    assert data.count(MARK) == (4 if mode == "killed" else 5)
    for start in range(last, len(killed) - 60, 20):
        holed = data[:start] + bytes(60) + data[start + 60 :]  # lost, and what follows is there
        log.write_bytes(holed)
        if mode == "closed":
            with pytest.raises(LedgerError, match=r"000001\.log is damaged in the middle"):
                Ledger(folder)
            assert log.read_bytes() == holed
            continue
        found = list(scan(folder))
        assert found == [record(n) for n in range(len(found))]
        assert 8 <= len(found) < 12
        with Ledger(folder) as ledger:
            ledger.append(record(len(found)))
        assert list(scan(folder)) == [record(n) for n in range(len(found) + 1)]
        assert holed.endswith(next(folder.glob("*.torn")).read_bytes())
        shutil.rmtree(folder)
        folder.mkdir()
    log.write_bytes(data[: last - 30] + bytes(20) + data[last - 10 :])
    with pytest.raises(LedgerError, match="damaged in the middle"):
        list(scan(folder))


@pytest.mark.parametrize("content", [b"", bytes(len(HEAD)), HEAD[:5], HEAD[:20], HEAD])
def test_a_log_whose_head_did_not_reach_the_disk_is_begun_again(tmp_path, content):
    with Ledger(tmp_path) as ledger:
        ledger.append(record(0))
        ledger.seal()
    (tmp_path / "000002.log").write_bytes(content)
    assert list(scan(tmp_path)) == [record(0)]
    with Ledger(tmp_path) as ledger:
        ledger.append(record(1))
    assert list(scan(tmp_path)) == [record(0), record(1)]


def test_every_folder_that_is_made_is_made_durable(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(durable, "sync", synced.append)
    with Ledger(tmp_path / "runs" / "one" / "ledger"):
        pass
    assert synced[:3] == [tmp_path, tmp_path / "runs", tmp_path / "runs" / "one"]
