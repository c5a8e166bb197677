"""Shards that the workers of a real Ray cluster upload, and one commit that names them all."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import ray

from factory import cluster
from factory.errors import PublishError
from factory.hub import courier
from factory.hub.courier import Access
from factory.quiet import QUIET
from tests.conftest import Sums
from tests.hub_double import HubDouble
from tests.hub_double.dataset import ONE, write_dataset
from tests.hub_double.trials import REPO, TOKEN, hub_in, push

ROOT = Path(__file__).parent.parent
SHARDS = {f"data/train-{n:05d}.parquet": range(3 * n, 3 * n + 3) for n in range(6)} | {
    "all/train-00000.parquet": range(40)
}

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster whose log folder is ours, started with the token at the usual place."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PYTHONPATH", str(ROOT))
        # Without LFS the client would not upload from a worker what this process can count.
        patch.setenv("HF_HUB_DISABLE_XET", "1")
        ray.init(
            "local",
            num_cpus=2,
            object_store_memory=100 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
        yield Path(ray._private.worker._global_node.get_session_dir_path()) / "logs"
        ray.shutdown()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    monkeypatch.setattr(courier, "PARCEL_FILES", 2)
    with hub_in("lfs", tmp_path / "hub") as double:
        yield double


def content(hub: HubDouble, names: Any) -> dict[str, bytes]:
    return {name: hub.read(REPO, name) for name in names}


def test_workers_upload_and_one_commit_names_it_all(
    hub: HubDouble, logs: Path, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "dataset", SHARDS)
    done = push(folder, spread=cluster.spread)
    ours, _ = hub.repositories[REPO].history()
    assert done.commit == ours.oid
    assert content(hub, SHARDS) == {name: (folder / name).read_bytes() for name in SHARDS}
    assert len(hub.served("POST", "/preupload/")) == 5, "one for each parcel of at most two files"
    assert len(hub.served("PUT", "/lfs/")) == len(SHARDS)
    assert push(folder, spread=cluster.spread).commit is None
    grown = {**SHARDS, "data/train-00006.parquet": range(50, 53)}
    push(write_dataset(folder, grown), spread=cluster.spread)
    assert len(hub.served("PUT", "/lfs/")) == len(SHARDS) + 1
    leaks = [
        path for path in logs.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]
    assert not leaks, "the token is in no log of the cluster"


def test_the_environment_of_the_workers_holds_no_token(
    hub: HubDouble, logs: Path, tmp_path: Path
) -> None:
    def look(_: Any) -> list[str]:
        return [name for name, value in os.environ.items() if TOKEN in value]

    assert list(cluster.spread(look, [(), ()])) == [[], []]
    assert TOKEN not in repr(Access(endpoint=None, token=TOKEN))


def test_what_a_worker_says_is_what_the_user_reads(
    hub: HubDouble, logs: Path, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "dataset", SHARDS)
    hub.fail("POST", "/objects/batch", status=401, times=100, body=f'{{"error": "{TOKEN}"}}')
    with pytest.raises(PublishError, match="invalid or has expired") as caught:
        push(folder, spread=cluster.spread)
    assert TOKEN not in repr(caught.value)
    assert caught.value.__cause__ is None
    hub.faults.clear()
    assert push(folder, spread=cluster.spread).commit is not None
    assert hub.sent_again == 0


def die_once(marker: Path, work: Any, parcel: Any) -> Any:
    """The first worker that has uploaded something is killed before it can say so."""
    done = work(parcel)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return done


def test_a_worker_that_is_killed_is_replaced(hub: HubDouble, logs: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", SHARDS)

    def spread(work: Any, parcels: Any) -> Iterator[Any]:
        return cluster.spread(partial(die_once, tmp_path / "died", work), parcels)

    assert push(folder, spread=spread).commit is not None
    assert (tmp_path / "died").exists()
    assert len(hub.repositories[REPO].history()) == 2
    assert content(hub, SHARDS) == {name: (folder / name).read_bytes() for name in SHARDS}
    assert hub.sent_again == 0


def always_die(work: Any, parcel: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_keep_dying_are_given_up(hub: HubDouble, logs: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", {"data/train-00000.parquet": range(3)}, ONE)

    def spread(work: Any, parcels: Any) -> Iterator[Any]:
        return cluster.spread(partial(always_die, work), parcels[:1])

    with pytest.raises(PublishError, match=r"was lost .*run the same command again"):
        push(folder, spread=spread)
    assert push(folder, spread=cluster.spread).commit is not None


def by_xet(lock: Path, work: Any, parcel: Any) -> Any:
    """One at a time: the double's store, unlike the real one, has one door."""
    huggingface_hub.constants.HF_HUB_DISABLE_XET = False
    with lock.open("wb") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        return work(parcel)


def test_workers_upload_by_xet(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "PARCEL_FILES", 2)
    folder = write_dataset(tmp_path / "dataset", SHARDS)

    def spread(work: Any, parcels: Any) -> Iterator[Any]:
        return cluster.spread(partial(by_xet, tmp_path / "lock", work), parcels)

    with hub_in("xet", tmp_path / "hub") as hub:
        assert push(folder, spread=spread).commit is not None
        assert len(hub.repositories[REPO].history()) == 2
        assert content(hub, SHARDS) == {name: (folder / name).read_bytes() for name in SHARDS}
        assert not hub.served("PUT", "/lfs/")


def publish_from_the_command_line(
    folder: Path, address: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """With a recipe that names the cluster, by a process that would upload by Xet itself."""
    folder.mkdir(exist_ok=True)
    recipe = Sums(folder, count=2).recipe("cluster.backend=ray", f"cluster.address={address}")
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    write_dataset(folder / "dataset", SHARDS)
    return subprocess.run(
        [sys.executable, "-m", "factory", "publish", folder, "--repo", REPO, *words],
        env={**os.environ, "HF_HUB_DISABLE_XET": ""},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_command_uploads_from_the_cluster_of_the_recipe(
    hub: HubDouble, logs: Path, tmp_path: Path
) -> None:
    address = ray.get_runtime_context().gcs_address
    done = publish_from_the_command_line(tmp_path / "run", address)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    folder = tmp_path / "run" / "dataset"
    assert content(hub, SHARDS) == {name: (folder / name).read_bytes() for name in SHARDS}
    assert len(hub.repositories[REPO].history()) == 2
    assert len(hub.served("PUT", "/lfs/")) == len(SHARDS)
    assert not hub.served("GET", "/xet-write-token/"), "this process uploaded no shard"


def test_a_cluster_that_is_gone_is_said_and_can_be_done_without(
    hub: HubDouble, tmp_path: Path
) -> None:
    done = publish_from_the_command_line(tmp_path / "run", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert "give `--here` to upload from this machine" in done.stderr
    assert REPO not in hub.repositories
    with_xet = publish_from_the_command_line(tmp_path / "run", "127.0.0.1:1", "--here")
    assert with_xet.returncode == 1, "the Hub of this test takes no Xet, and this process sends it"
    assert hub.served("GET", "/xet-write-token/")
