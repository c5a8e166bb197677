"""Processes that are really killed, and file systems that are really full."""

from __future__ import annotations

import pytest

from tests.chaos import check, killing, real
from tests.conftest import Sums


@pytest.mark.timeout(300)
def test_killed_some_tens_of_times_and_nothing_is_lost_or_repeated(place, tmp_path):
    recipe = Sums(tmp_path, count=6).file()
    expected, _ = killing.undisturbed(killing.command(recipe, place / "whole"), place / "whole")
    folder = place / "killed"
    came = killing.killed(
        killing.command(recipe, folder), folder, within_s=(0.1, 1.0), seed=0, expected=expected
    )
    assert came.passed, came
    assert came.kills >= 10


@pytest.mark.skipif(not killing.may_mount(), reason="needs root: mounts a file system")
@pytest.mark.timeout(300)
def test_a_full_disk_then_a_read_only_one_then_room_again(tmp_path):
    recipe = Sums(tmp_path, count=6).file()
    whole, small, out = (tmp_path / name for name in ("whole", "small", "out"))
    expected, _ = killing.undisturbed(killing.command(recipe, whole), whole)
    small.mkdir()
    out.mkdir()
    words = killing.command(recipe, small / "run")
    done = killing.on_small_disk(words, small, out, size_kb=20, read_only=True)
    said = {path.name: path.read_text(encoding="utf-8") for path in out.iterdir() if path.is_file()}
    assert not done.stderr, done.stderr
    assert (said["first.rc"], said["read-only.rc"], said["last.rc"]) == ("1\n", "1\n", "0\n"), said
    assert "No space left on device" in said["first"]
    assert "Read-only file system" in said["read-only"]
    assert "Traceback" not in said["first"] + said["read-only"]
    met, end = check.ledger(out / "met" / "run"), check.ledger(out / "end" / "run")
    assert 0 < check.tokens(met) < check.tokens(end)
    assert not check.bag(met) - check.bag(end)
    assert not check.repeated(end)
    assert not check.wrong(end)
    assert check.digest(out / "end" / "run" / "dataset") == expected


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_the_main_job_with_its_judge_and_its_driver_killed(tmp_path):
    hits = list(real.faults(tmp_path, 2, problems=30, victims=("judge", "driver")))
    assert [hit.victim for hit in hits] == ["judge", "driver"]
    assert all(not (hit.lost or hit.repeated or hit.stuck) for hit in hits), hits
    assert hits[0].survived
    records = check.ledger(tmp_path / "run-0")
    assert not check.repeated(records)
    assert len({r for r in map(check.identity, records) if r and r[0] == "rollout"}) == 30 * 4
