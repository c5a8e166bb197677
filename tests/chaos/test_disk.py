"""The model of a disk: what it keeps is what POSIX promises, and no more."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.disk import SECTOR, Disk, Op, Some, Worst, read_tree, write_tree
from tests.chaos.tap import Fault, Tap

NOTHING, NAMES, CONTENT = Worst(False, False), Worst(True, False), Worst(False, True)


def made(*ops: tuple, tree=None) -> Disk:
    disk = Disk(tree or {})
    for kind, path, *rest in ops:
        words = dict(zip({"write": ("data", "offset")}.get(kind, ("target",)), rest, strict=False))
        disk.apply(Op(kind=kind, path=path, **words))
    return disk


def test_what_is_not_synced_may_go():
    disk = made(("create", "a"), ("write", "a", b"x", 0))
    assert disk.now() == {"a": b"x"}
    assert disk.after_power_loss(NOTHING) == {}
    assert disk.after_power_loss(CONTENT) == {}
    assert disk.after_power_loss(NAMES) == {"a": b"\0"}


def test_fsync_of_a_file_keeps_its_content_and_not_its_name():
    disk = made(("create", "a"), ("write", "a", b"x", 0), ("fsync", "a"))
    assert disk.after_power_loss(NOTHING) == {}
    assert disk.after_power_loss(NAMES) == {"a": b"x"}
    disk.apply(Op(kind="fsync"))
    assert disk.after_power_loss(NOTHING) == {"a": b"x"}


def test_a_failed_fsync_has_dropped_the_content_for_good():
    disk = made(("write", "a", b"12", 0), ("unsynced", "a"), ("fsync", "a"), tree={"a": b"old"})
    assert disk.now() == {"a": b"12d"}
    assert disk.after_power_loss(Worst(True, True)) == {"a": b"old"}


def test_a_rename_is_one_name_or_the_other():
    disk = made(("rename", "new", "a"), tree={"a": b"old", "new": b"new"})
    assert disk.after_power_loss(NOTHING) == {"a": b"old", "new": b"new"}
    assert disk.after_power_loss(NAMES) == {"a": b"new"}


def test_a_rename_between_two_names_of_one_file_does_nothing():
    disk = made(("link", "a", "b"), ("rename", "a", "b"), tree={"a": b"x"})
    assert disk.now() == {"a": b"x", "b": b"x"}


def test_changes_of_names_go_one_without_the_other():
    disk = made(("rename", "a", "b"), ("unlink", "log"), tree={"a": b"", "log": b"x"})
    left = {frozenset(disk.after_power_loss(Some(random.Random(seed)))) for seed in range(50)}
    assert left == {frozenset(names) for names in (["a", "log"], ["b", "log"], ["a"], ["b"])}


def test_sectors_of_one_write_go_one_without_the_other():
    disk = made(("write", "a", b"x" * 2 * SECTOR, 0), tree={"a": b""})
    left = {disk.after_power_loss(Some(random.Random(seed)))["a"] for seed in range(99)}
    x, zero = b"x" * SECTOR, b"\0" * SECTOR
    assert left == {b"", x, x + x, zero + x, x + zero, zero + zero}


def test_a_folder_is_as_durable_as_its_entry():
    synced = [("fsync", "d/a"), ("fsync", "d")]
    disk = made(("mkdir", "d"), ("create", "d/a"), ("write", "d/a", b"x", 0), *synced)
    assert disk.after_power_loss(NOTHING) == {}
    disk.apply(Op(kind="fsync"))
    assert disk.after_power_loss(NOTHING) == {"d": None, "d/a": b"x"}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["write", "append", "cut", "sync", "rename", "replace", "link", "unlink", "tree"]
        ),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.binary(max_size=9),
    ),
    max_size=12,
)


def _step(folder: Path, step: str, one: str, other: str, data: bytes) -> None:
    path, target = folder / one, folder / other
    match step:
        case "write":
            path.write_bytes(data)
        case "append":
            with path.open("ab") as file:
                file.write(data)
        case "cut":
            with path.open("r+b") as file:
                file.seek(len(data))
                file.truncate()
        case "sync":
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        case "rename":
            os.rename(path, target)
        case "replace":
            path.replace(target)
        case "link":
            os.link(path, target)
        case "unlink":
            path.unlink()
        case "tree":
            (folder / "d" / one).mkdir(parents=True, exist_ok=True)
            (folder / "d" / one / other).write_text(repr(data), encoding="utf-8")


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_the_model_follows_the_disk_through_whatever_is_done(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("disk")
    tap = Tap(folder)
    with tap():
        for step in steps:
            try:
                _step(folder, *step)
            except OSError:
                continue
            assert tap.complete(), step
    durable = tap.disk.after_power_loss(NOTHING)
    tap.disk.sync_all()
    assert tap.disk.after_power_loss(NOTHING) == read_tree(folder)
    assert set(durable) <= {"a", "b", "c", "d"} | {p for p in durable if p.startswith("d/")}


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO", "short"])
def test_a_fault_hits_the_call_that_it_is_meant_for(tmp_path, kind):
    write_tree({"a": b"old"}, tmp_path / "d")
    tap = Tap(tmp_path / "d", Fault(kind=kind, site=0))
    raises = (
        contextlib.nullcontext()
        if kind == "short"
        else pytest.raises(OSError, match=r"No space|Input")
    )
    fd = os.open(tmp_path / "d" / "a", os.O_WRONLY | os.O_APPEND)
    with tap(), raises:
        assert os.write(fd, b"fresh") == 2
    os.close(fd)
    expected = b"oldfr" if kind == "short" else b"old"
    assert (tmp_path / "d" / "a").read_bytes() == expected
    assert tap.complete()
    assert tap.failed == 1
