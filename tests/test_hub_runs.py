"""Several runs in one repository: refused, appended, replaced."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import RepoFile
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import PublishError
from factory.hub.folder import File, sha256_of
from factory.hub.runs import Other, Tree, plan
from tests.hub_double import HubDouble
from tests.hub_double.dataset import CARD, ONE, THREE, TWO, row, write_dataset
from tests.hub_double.trials import REPO, hub_in, push

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

LATER = {"data/train-00000.parquet": range(100, 104), "all/train-00000.parquet": range(100, 110)}
GROWN = {**LATER, "data/train-00001.parquet": range(104, 106)}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubDouble]:
    """A Hub on which the run `first` has been published."""
    with hub_in("lfs", tmp_path / "hub") as double:
        push(write_dataset(tmp_path / "first", TWO, run="first"))
        yield double


def append(folder: Path, shards: dict[str, range] = LATER, **options: Any) -> Any:
    return push(write_dataset(folder, shards, run=folder.name), other=Other.APPEND, **options)


def entries(hub: HubDouble) -> dict[str, str]:
    """Path -> what names its content, at the head."""
    commit = hub.repositories[REPO].resolve("main")
    assert commit is not None
    return {path: entry.oid for path, entry in commit.files.items()}


def shards(hub: HubDouble) -> set[str]:
    return {path for path in entries(hub) if path.endswith(".parquet")}


def test_the_dataset_of_another_run_is_refused_before_anything_is_sent(
    hub: HubDouble, tmp_path: Path
) -> None:
    before, seen = entries(hub), len(hub.requests)
    folder = write_dataset(tmp_path / "second", LATER, run="second")
    says = r"alice/traces holds the shards of the run 'first', and this is 'second': add .*--append"
    with pytest.raises(PublishError, match=says):
        push(folder)
    assert entries(hub) == before
    assert not [r for r in hub.requests[seen:] if re.search("/commit/|/lfs|/preupload/", r.path)]
    push(write_dataset(tmp_path / "first", THREE, run="first"))
    assert shards(hub) == set(THREE), "its own next version is not refused"


def test_shards_that_no_run_published_are_not_overwritten(hub: HubDouble, tmp_path: Path) -> None:
    hub.create("alice/hand")
    hub.commit("alice/hand", {"data/train-0.parquet": b"by hand", "recipe.yaml": b"[a list]"})
    folder = write_dataset(tmp_path / "second", LATER, run="second")
    with pytest.raises(PublishError, match=r"the shards of no run that is known"):
        push(folder, "alice/hand")
    with pytest.raises(PublishError, match=r"holds shards and no README\.md"):
        push(folder, "alice/hand", other=Other.APPEND)
    push(folder, "alice/hand", other=Other.REPLACE)
    commit = hub.repositories["alice/hand"].resolve("main")
    assert commit is not None
    assert {path for path in commit.files if path.endswith(".parquet")} == set(LATER)


def test_append_adds_new_shards_and_touches_no_old_one(hub: HubDouble, tmp_path: Path) -> None:
    before = entries(hub)
    done = append(tmp_path / "second")
    after = entries(hub)
    assert {path: oid for path, oid in after.items() if path in before} == {
        **before,
        "README.md": after["README.md"],
    }
    assert after.keys() - before.keys() == {
        "data/train-second-00000.parquet",
        "all/train-second-00000.parquet",
        "runs/second/README.md",
        "runs/second/manifest.json",
        "runs/second/recipe.yaml",
    }
    assert (done.uploaded_files, done.deleted_files) == (6, 0)
    listed = json.loads(hub.read(REPO, "runs/second/manifest.json"))["shards"]
    assert {shard["path"] for shard in listed} == after.keys() & {
        "data/train-second-00000.parquet",
        "all/train-second-00000.parquet",
    }
    card = hub.read(REPO, "README.md").decode()
    assert card.startswith(CARD[: CARD.index("# Traces")])
    assert "speaks of the run `first`" in card
    assert "[its own card](runs/second/README.md)" in card
    assert append(tmp_path / "second").commit is None


LOAD = """
import json, sys
from datasets import load_dataset
rows = [load_dataset("alice/traces", name, split="train") for name in ("default", "all")]
print(json.dumps([[r["problem"] for r in config] for config in rows]))
"""


def test_the_rows_of_all_runs_load_together(hub: HubDouble, tmp_path: Path) -> None:
    append(tmp_path / "second")
    switches = {"HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**os.environ, **switches},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    kept, everything = json.loads(loaded.stdout.splitlines()[-1])
    assert kept == [row(n)["problem"] for n in (*range(3), *range(100, 104))]
    assert everything == [row(n)["problem"] for n in (*range(5), *range(100, 110))]


def test_every_run_keeps_its_own_up_to_date(hub: HubDouble, tmp_path: Path) -> None:
    append(tmp_path / "second")
    append(tmp_path / "second-b")
    append(tmp_path / "second", GROWN)
    names = {p.replace("train-", "train-second-") for p in GROWN}
    beside = {p.replace("train-", "train-second-b-") for p in LATER}
    assert shards(hub) == {*TWO, *names, *beside}
    append(tmp_path / "second", LATER)
    names.remove("data/train-second-00001.parquet")
    assert shards(hub) == {*TWO, *names, *beside}
    push(write_dataset(tmp_path / "first", THREE, run="first"))
    push(write_dataset(tmp_path / "first", TWO, run="first"))
    assert shards(hub) == {*TWO, *names, *beside}
    card = hub.read(REPO, "README.md").decode()
    assert re.findall(r"\(runs/(.*)/README.md\)", card) == ["second", "second-b"]
    assert card.count("<!-- other runs -->") == 1


def test_replace_leaves_nothing_of_the_others(hub: HubDouble, tmp_path: Path) -> None:
    append(tmp_path / "second")
    third = write_dataset(tmp_path / "third", GROWN, run="third")
    push(third, other=Other.REPLACE)
    documents = {".gitattributes", "README.md", "manifest.json", "recipe.yaml"}
    assert entries(hub).keys() == {*documents, *GROWN}
    assert hub.read(REPO, "README.md") == (third / "README.md").read_bytes()
    assert push(third, other=Other.REPLACE).commit is None
    assert push(third).commit is None


def test_the_first_run_may_be_published_with_append(hub: HubDouble, tmp_path: Path) -> None:
    done = push(tmp_path / "first", other=Other.APPEND)
    assert done.commit is None
    push(tmp_path / "first", "alice/new", other=Other.APPEND)
    assert hub.read("alice/new", "data/train-00000.parquet")


COLUMNS = CARD.replace(
    "---\n\n",
    "dataset_info:\n- config_name: default\n  features: [{name: x, dtype: int64}]\n---\n\n",
)
NARROW = {"data/train-00000.parquet": range(3)}


@pytest.mark.parametrize(
    ("card", "files", "run", "says"),
    [
        (CARD.replace("apache-2.0", "mit"), LATER, "s", "is under 'apache-2.0', .* under 'mit'"),
        (COLUMNS, LATER, "s", "config 'default' of alice/traces has other columns"),
        (CARD, LATER, "", r"only a run can be appended to alice/traces: there is no recipe\.yaml"),
    ],
)
def test_what_does_not_fit_is_not_appended(
    card: str, files: dict[str, range], run: str, says: str, hub: HubDouble, tmp_path: Path
) -> None:
    before = entries(hub)
    with pytest.raises(PublishError, match=says):
        push(write_dataset(tmp_path / "s", files, card, run=run), other=Other.APPEND)
    assert entries(hub) == before


def test_a_config_that_the_first_run_has_not_is_not_appended(
    hub: HubDouble, tmp_path: Path
) -> None:
    push(write_dataset(tmp_path / "narrow", NARROW, ONE, run="narrow"), "alice/narrow")
    folder = write_dataset(tmp_path / "wide", TWO, run="wide")
    with pytest.raises(PublishError, match=r"no config 'all' \(it has default\).*traces\.configs"):
        push(folder, "alice/narrow", other=Other.APPEND)


def test_a_run_that_comes_in_between_is_seen(hub: HubDouble, tmp_path: Path) -> None:
    """Two first publications at a time: the second one finds out, and destroys nothing."""
    hub.create("alice/race")
    theirs = {"data/train-00000.parquet": b"theirs", "recipe.yaml": b"name: theirs\n"}
    hub.fail("POST", "/commit/", action=lambda: hub.commit("alice/race", theirs))
    with pytest.raises(PublishError, match="holds the shards of the run 'theirs'"):
        push(write_dataset(tmp_path / "ours", TWO, run="ours"), "alice/race")
    assert hub.read("alice/race", "data/train-00000.parquet") == b"theirs"


# Whatever comes after whatever: each run has its last version, and nothing else is there.


def file_of(path: str, content: bytes) -> File:
    return File(
        path=path,
        location=Path(path),
        size=len(content),
        sha256=sha256_of(content),
        changed_ns=0,
        content=content,
    )


def version(run: str, number: int, count: int) -> list[File]:
    """A run's dataset of so many shards."""
    paths = [f"data/train-{n:05d}.parquet" for n in range(count)]
    manifest = {"shards": [{"path": path} for path in paths], "configs": {"default": count}}
    return [
        file_of("README.md", ONE.encode()),
        file_of("manifest.json", json.dumps(manifest).encode()),
        file_of("recipe.yaml", f"name: '{run}'\n".encode()),
        *(file_of(path, f"{run} {number} {n}".encode()) for n, path in enumerate(paths)),
    ]


def remote(path: str, content: bytes) -> RepoFile:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return RepoFile(path=path, size=len(content), oid=blob)


def apply(state: dict[str, bytes], files: list[File], other: Other) -> bool:
    """Publishes onto the state; whether anything had to be done."""
    listing = {path: remote(path, content) for path, content in state.items()}
    tree = Tree(repo=REPO, files=listing, read=state.__getitem__)
    made = plan(files, tree, other)
    lacking = [file for file in made.files if not file.is_at(listing.get(file.path))]
    for path in made.delete:
        del state[path]
    state.update({file.path: file.content or b"" for file in lacking})
    return bool(lacking or made.delete)


RUNS = st.sampled_from(["a", "a-b", "b", "00000", "a-00000", "train"])
STEP = st.tuples(RUNS, st.integers(1, 3), st.sampled_from(list(Other)))


@settings(deadline=None)
@given(st.lists(STEP, max_size=12))
def test_each_run_has_its_last_version_and_nothing_else_is_there(
    steps: list[tuple[str, int, Other]],
) -> None:
    state: dict[str, bytes] = {}
    expected: dict[str, list[bytes]] = {}
    for number, (run, count, other) in enumerate(steps):
        files = version(run, number, count)
        first = next(iter(expected), run)
        if other is Other.REFUSE and run != first:
            with pytest.raises(PublishError, match="another repository"):
                apply(state, files, other)
            continue
        if other is Other.REPLACE:
            expected.clear()
        assert apply(state, files, other)
        assert not apply(state, files, other), "a second time there is nothing to do"
        expected[run] = [f.content or b"" for f in files if f.is_shard]
        held = sorted(data for path, data in state.items() if path.endswith(".parquet"))
        assert held == sorted(data for shards in expected.values() for data in shards)
        told = re.findall(r"\(runs/(.*)/README\.md\)", state["README.md"].decode())
        assert told == sorted(expected.keys() - {next(iter(expected))})
