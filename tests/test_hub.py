"""Publishing, against a Hub in this process.

The client reads HF_ENDPOINT and HF_HUB_DISABLE_XET when it is imported. `publish` passes its
endpoint on explicitly and the client looks the Xet switch up on every upload, so publishing runs
in this process with both patched; `load_dataset` has no such way and runs in one of its own.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore2
import huggingface_hub
import pytest

from factory.errors import PublishError
from factory.hub import Published, publish
from factory.patience import MAX_FAILURES, QUOTA_PAUSE
from tests.hub_double import HubDouble
from tests.hub_double.dataset import CARD, THREE, TWO, row, write_dataset
from tests.hub_double.trials import TRUST

# The client's own LFS upload passes a file in a way that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "alice/traces"
TOKEN = "hf_alice0123456789secret"
QUOTA_TEXT = (
    "You have exceeded the rate limit for repository commits (128 per hour). "
    "You can retry this action in about 1 hour."
)
QUOTA_HEADERS = {"RateLimit": '"api";r=949;t=55'}
NOT_YET = {"X-Error-Code": "RevisionNotFound"}


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Xet client keeps its logs there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, xet: bool, page_size: int = 1000
) -> Iterator[HubDouble]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", not xet)
    monkeypatch.setattr(httpcore2, "default_ssl_context", TRUST)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with HubDouble(tmp_path / "hub", xet=xet, page_size=page_size) as hub:
        hub.add_user("alice", TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
        huggingface_hub.close_session()


@pytest.fixture(params=["lfs", "xet"])
def hub(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubDouble]:
    """A Hub in each of the two upload protocols."""
    yield from serve(tmp_path, monkeypatch, xet=request.param == "xet")


@pytest.fixture
def lfs_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    """A Hub whose uploads can be counted and made to fail."""
    yield from serve(tmp_path, monkeypatch, xet=False, page_size=2)


@pytest.fixture(autouse=True)
def _token_is_not_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, the token is in no log, the client's own debug log included."""
    huggingface_hub.logging.enable_propagation()
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "huggingface_hub")
    yield
    huggingface_hub.logging.disable_propagation()
    assert TOKEN not in caplog.text


class Sleeper:
    """Waits in no time, and remembers."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


def push(folder: Path, repo: str = REPO, **options: Any) -> Published:
    return publish(folder, repo, sleep=options.pop("sleep", Sleeper()), **options)


def committed(hub: HubDouble) -> dict[str, list[str]]:
    """Kind of operation -> paths, of the last commit that was sent."""
    lines = [json.loads(line) for line in hub.served("POST", "/commit/")[-1].body.splitlines()]
    kinds: dict[str, list[str]] = {"file": [], "lfsFile": [], "deletedFile": []}
    for line in lines[1:]:
        kinds[line["key"]].append(line["value"]["path"])
    return kinds


# What arrives.


def test_a_new_dataset_is_one_commit(hub: HubDouble, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", TWO)
    (folder / "recipe.yaml").write_text("model: teacher\n", encoding="utf-8")
    (folder / "notes.txt").write_text("not for the Hub", encoding="utf-8")
    done = push(folder)

    ours, initial = hub.repositories[REPO].history()
    assert done.commit == ours.oid
    assert (ours.parent, ours.title) == (initial.oid, "Publish 5 files")
    names = {"README.md", "manifest.json", "recipe.yaml", *TWO}
    assert set(ours.files) == names | {".gitattributes"}
    for name in names:
        assert hub.read(REPO, name) == (folder / name).read_bytes()
    assert done.uploaded_bytes == sum((folder / name).stat().st_size for name in names)
    assert (done.uploaded_files, done.skipped_files, done.deleted_files) == (5, 0, 0)
    assert done.url == f"{hub.url}/datasets/{REPO}"
    puts = hub.served("PUT", "/lfs/")
    assert len(puts) == (0 if hub.xet else 2)


LOAD = """
import json, sys
from datasets import load_dataset
plain, streamed = (load_dataset(sys.argv[1], split="train", streaming=s) for s in (False, True))
everything = load_dataset(sys.argv[1], "all", split="train")
print(json.dumps([[dict(r) for r in rows] for rows in (plain, streamed, everything)]))
"""


def test_what_was_published_loads_back(hub: HubDouble, tmp_path: Path) -> None:
    push(write_dataset(tmp_path / "dataset", THREE), private=True)
    switches = {"HF_HUB_DISABLE_XET": "" if hub.xet else "1", "HF_HOME": str(tmp_path / "home")}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, REPO],
        env={**os.environ, **switches},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    plain, streamed, everything = json.loads(loaded.stdout.splitlines()[-1])
    assert plain == streamed == [row(n) for n in range(6)]
    assert everything == [row(n) for n in range(5)]
    assert bool(hub.served("GET", "/xet-read-token/")) is hub.xet


# What a second run does.


def test_nothing_new_is_no_commit(hub: HubDouble, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", TWO)
    push(folder)
    again = push(folder)
    assert again.commit is None
    assert (again.uploaded_files, again.uploaded_bytes, again.skipped_files) == (0, 0, 4)
    assert len(hub.repositories[REPO].history()) == 2
    assert len(hub.served("POST", "/preupload/")) == len(hub.served("POST", "/commit/")) == 1


def test_only_a_new_shard_is_uploaded(hub: HubDouble, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", TWO)
    push(folder)
    stored, puts = hub.store_of(TOKEN).stored_bytes, len(hub.served("PUT", "/lfs/"))
    done = push(write_dataset(folder, THREE))
    new = (folder / "data/train-00001.parquet").stat().st_size
    assert committed(hub) == {
        "file": ["manifest.json"],
        "lfsFile": ["data/train-00001.parquet"],
        "deletedFile": [],
    }
    assert (done.uploaded_files, done.skipped_files) == (2, 3)
    if hub.xet:
        assert 0 < hub.store_of(TOKEN).stored_bytes - stored < 1.2 * new
    else:
        assert len(hub.served("PUT", "/lfs/")) == puts + 1


def test_a_smaller_dataset_leaves_no_rows_behind(hub: HubDouble, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", THREE)
    push(folder)
    by_hand = ["plot.png", "data/test-0.parquet", "data/train-notes.txt", "other/train-0.parquet"]
    hub.commit(REPO, dict.fromkeys(by_hand, b"by hand"))
    done = push(write_dataset(folder, TWO))
    assert committed(hub)["deletedFile"] == ["data/train-00001.parquet"]
    assert (done.deleted_files, done.uploaded_files) == (1, 1)
    now = hub.repositories[REPO].resolve("main")
    assert now is not None
    expected = {".gitattributes", "README.md", "manifest.json", *TWO, *by_hand}
    assert set(now.files) == expected


def test_a_killed_publication_goes_on_where_it_was(hub: HubDouble, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", THREE)
    reached, killed = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        killed.wait(30)

    hub.fail("POST", "/commit/", action=hold, drop="before")
    program = (
        "import sys; from factory.hub import publish, Path; publish(Path(sys.argv[1]), sys.argv[2])"
    )
    switch = {"HF_HUB_DISABLE_XET": "" if hub.xet else "1"}
    client = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), REPO],
        env={**os.environ, **switch},
        stderr=subprocess.DEVNULL,
    )
    assert reached.wait(60), "the first run did not come to its commit"
    client.send_signal(signal.SIGKILL)
    client.wait()
    killed.set()
    assert len(hub.repositories[REPO].history()) == 1

    stored, puts = hub.store_of(TOKEN).stored_bytes, len(hub.served("PUT", "/lfs/"))
    done = push(folder)
    assert done.uploaded_files == 5
    assert len(hub.repositories[REPO].history()) == 2
    assert (stored > 0) is hub.xet
    assert hub.store_of(TOKEN).stored_bytes == stored
    assert len(hub.served("PUT", "/lfs/")) == puts == (0 if hub.xet else 3)


# Where it goes.


@pytest.mark.parametrize(("branch", "page"), [("staging", "staging"), ("runs/1", "runs%2F1")])
def test_a_branch_is_made_and_main_stays(
    branch: str, page: str, lfs_hub: HubDouble, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "dataset", TWO)
    done = push(folder, revision=branch)
    repository = lfs_hub.repositories[REPO]
    assert [c.title for c in repository.history("main")] == ["initial commit"]
    assert done.commit == repository.branches[branch]
    assert done.url.endswith(f"/tree/{page}")
    again = push(folder, revision=branch)
    assert again.commit is None
    assert len(lfs_hub.served("POST", "/branch/")) == 1


def test_a_tag_is_no_branch(lfs_hub: HubDouble, tmp_path: Path) -> None:
    repository = lfs_hub.create(REPO)
    repository.tags["v1.0"] = repository.branches["main"]
    with pytest.raises(PublishError, match=r"'v1\.0' of alice/traces is a tag"):
        push(write_dataset(tmp_path / "dataset", TWO), revision="v1.0")


def test_private(lfs_hub: HubDouble, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", TWO)
    push(folder, private=True)
    assert lfs_hub.repositories[REPO].private
    lfs_hub.create("alice/open")
    with pytest.raises(PublishError, match="alice/open exists and is public"):
        push(folder, "alice/open", private=True)
    assert len(lfs_hub.repositories["alice/open"].history()) == 1


@pytest.mark.parametrize("repo", ["", "traces", "alice/", "/traces", "a/b/c", "alice/tr aces"])
def test_a_repo_is_namespace_slash_name(repo: str, lfs_hub: HubDouble, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="NAMESPACE/NAME"):
        push(write_dataset(tmp_path / "dataset", TWO), repo)
    assert not lfs_hub.requests


# Who may.


def test_a_wrong_token(lfs_hub: HubDouble, tmp_path: Path) -> None:
    wrong = "hf_wrong0123456789"
    with pytest.raises(PublishError, match="invalid or has expired; set HF_TOKEN") as caught:
        push(write_dataset(tmp_path / "dataset", TWO), token=wrong)
    assert wrong not in str(caught.value)
    assert not lfs_hub.repositories
    for garbled in ("hf_wrong 0123", "hf_wrong\n0123", "hf_wröng"):
        with pytest.raises(PublishError, match="no token has") as caught:
            push(tmp_path / "dataset", token=garbled)
        assert garbled not in str(caught.value)


def test_a_token_that_may_not_write(lfs_hub: HubDouble, tmp_path: Path) -> None:
    lfs_hub.add_user("alice", "hf_reader", read_only=True)
    folder = write_dataset(tmp_path / "dataset", TWO)
    with pytest.raises(PublishError, match="write access to the namespace"):
        push(folder, token="hf_reader")
    with pytest.raises(PublishError, match="write access to the namespace"):
        push(folder, "bob/traces")


def test_no_token(lfs_hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PublishError, match=r"set HF_TOKEN, or log in with `hf auth login`"):
        push(write_dataset(tmp_path / "dataset", TWO))
    assert not lfs_hub.requests


def test_offline(lfs_hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE"):
        push(write_dataset(tmp_path / "dataset", TWO))
    assert not lfs_hub.requests


def test_a_token_in_a_reply_is_not_shown(lfs_hub: HubDouble, tmp_path: Path) -> None:
    lfs_hub.fail("POST", "/commit/", status=400, body=f'{{"error": "no: Bearer {TOKEN}"}}')
    with pytest.raises(PublishError, match=r"no: Bearer \*\*\*") as caught:
        push(write_dataset(tmp_path / "dataset", TWO))
    assert TOKEN not in repr(caught.value)


# What is not publishable.


def break_folder(folder: Path, how: str) -> None:
    shard = folder / "data/train-00000.parquet"
    match how:
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "no card":
            (folder / "README.md").unlink()
        case "not a manifest":
            (folder / "manifest.json").write_text('{"shards": [1]}', encoding="utf-8")
        case "empty":
            (folder / "manifest.json").write_text('{"shards": []}', encoding="utf-8")
        case "missing":
            shard.unlink()
        case "corrupt":
            data = bytearray(shard.read_bytes())
            data[100] ^= 1
            shard.write_bytes(data)
        case "leftover":
            shard.with_name("train-00009.parquet").write_bytes(shard.read_bytes())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no manifest", r"not a finished dataset folder .*run `factory curate DIR` first"),
        ("no card", r"not a finished dataset folder \(no README\.md\)"),
        ("not a manifest", r"manifest\.json is not a manifest"),
        ("empty", "lists no shards"),
        ("missing", r"data/train-00000\.parquet is missing"),
        ("corrupt", r"data/train-00000\.parquet does not match manifest\.json"),
        ("leftover", r"data/train-00009\.parquet is not listed"),
    ],
)
def test_a_folder_that_is_not_whole(
    how: str, says: str, lfs_hub: HubDouble, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "dataset", TWO)
    break_folder(folder, how)
    with pytest.raises(PublishError, match=says):
        push(folder)
    assert not lfs_hub.requests


def test_a_card_that_the_hub_refuses(lfs_hub: HubDouble, tmp_path: Path) -> None:
    card = CARD.replace("license: apache-2.0", "license: [made, up]")
    folder, sleep = write_dataset(tmp_path / "dataset", TWO, card=card), Sleeper()
    with pytest.raises(PublishError, match=r'Invalid metadata in README\.md.*"license" must be a'):
        push(folder, sleep=sleep)
    assert not sleep.pauses
    assert len(lfs_hub.repositories[REPO].history()) == 1


def test_a_shard_that_the_repository_ignores(lfs_hub: HubDouble, tmp_path: Path) -> None:
    lfs_hub.create(REPO)
    lfs_hub.commit(REPO, {".gitignore": b"all/*\n"})
    with pytest.raises(PublishError, match=r"without all/train-00000\.parquet.*\.gitignore"):
        push(write_dataset(tmp_path / "dataset", TWO))


# What goes wrong on the way, and what is waited for it.


@dataclasses.dataclass(frozen=True)
class Mishap:
    """A fault, and what a publication does about it."""

    method: str
    path: str
    fault: dict[str, Any]
    pauses: list[float]
    """The waits of our own; those of the client are not counted."""
    commits_sent: int


MISHAPS = {
    "rate limit on preupload": Mishap(
        "POST", "/preupload/", {"status": 429, "headers": {"RateLimit": '"api";r=0;t=0'}}, [], 1
    ),
    "rate limit on commit": Mishap(
        "POST", "/commit/", {"status": 429, "headers": {"RateLimit": '"api";r=0;t=37'}}, [38], 2
    ),
    "refused for another reason than the rate": Mishap(
        "POST", "/commit/", {"status": 429, "headers": QUOTA_HEADERS}, [1], 2
    ),
    "retry-after on commit": Mishap(
        "POST", "/commit/", {"status": 503, "headers": {"Retry-After": "20"}}, [20], 2
    ),
    "retry-after of no time": Mishap(
        "POST", "/commit/", {"status": 503, "headers": {"Retry-After": "0"}}, [1], 2
    ),
    "commit quota": Mishap(
        "POST",
        "/commit/",
        {"status": 429, "headers": QUOTA_HEADERS, "body": QUOTA_TEXT, "times": 3},
        [QUOTA_PAUSE] * 3,
        4,
    ),
    "commit unavailable": Mishap("POST", "/commit/", {"status": 503, "times": 3}, [1, 2, 4], 4),
    "a proxy's error page": Mishap(
        "POST", "/validate-yaml", {"status": 502, "body": "<html>"}, [1], 1
    ),
    "no reply, nothing done": Mishap("POST", "/commit/", {"drop": "before"}, [1], 2),
    "reply lost, commit landed": Mishap("POST", "/commit/", {"drop": "after"}, [1], 1),
    "reply of the upload lost": Mishap("PUT", "/lfs/", {"drop": "after"}, [], 1),
    "creation unavailable": Mishap("POST", "/repos/create", {"status": 500}, [1], 1),
    "reply of the creation lost": Mishap("POST", "/repos/create", {"drop": "after"}, [1], 1),
    "head unreadable": Mishap("GET", r"/revision/|expand=sha", {"status": 504}, [1], 1),
    "commit not known yet": Mishap(
        "GET", "/tree/", {"hit": 2, "status": 404, "headers": NOT_YET}, [1], 1
    ),
}


@pytest.mark.parametrize("name", MISHAPS)
def test_a_mishap_ends_in_one_commit(name: str, lfs_hub: HubDouble, tmp_path: Path) -> None:
    mishap = MISHAPS[name]
    lfs_hub.fail(mishap.method, mishap.path, **mishap.fault)
    folder, sleep = write_dataset(tmp_path / "dataset", TWO), Sleeper()
    done = push(folder, sleep=sleep)
    assert sleep.pauses == mishap.pauses
    assert len(lfs_hub.served("POST", "/commit/")) == mishap.commits_sent
    assert len(lfs_hub.served("POST", "/lfs/objects/batch")) == 1
    ours, _ = lfs_hub.repositories[REPO].history()
    assert done.commit == ours.oid
    assert (done.uploaded_files, done.skipped_files) == (4, 0)
    assert push(folder).commit is None


@pytest.mark.parametrize(
    ("status", "says"), [(401, "invalid or has expired"), (403, "write access"), (404, "404")]
)
def test_a_refusal_by_the_xet_client(
    status: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextmanager(serve)(tmp_path, monkeypatch, xet=True) as hub:
        hub.fail("GET", "/xet-write-token/", status=status, times=100)
        sleep = Sleeper()
        with pytest.raises(PublishError, match=says):
            push(write_dataset(tmp_path / "dataset", TWO), sleep=sleep)
        assert not sleep.pauses


def test_a_commit_that_came_first_is_built_upon(hub: HubDouble, tmp_path: Path) -> None:
    theirs_first = {"plot.png": b"by hand"}
    hub.fail("POST", "/commit/", action=lambda: hub.commit(REPO, theirs_first))
    done = push(write_dataset(tmp_path / "dataset", TWO))
    assert [r.status for r in hub.served("POST", "/commit/")] == [412, 200]
    ours, theirs, _ = hub.repositories[REPO].history()
    assert (done.commit, theirs.title) == (ours.oid, "by hand")
    assert {"plot.png", *TWO} < set(ours.files)
    assert len(hub.served("PUT", "/lfs/")) == (0 if hub.xet else 2)


def test_a_commit_on_top_of_ours_is_no_obstacle(lfs_hub: HubDouble, tmp_path: Path) -> None:
    lfs_hub.fail(
        "GET",
        "/tree/",
        hit=2,  # reading back
        status=404,
        headers=NOT_YET,
        action=lambda: lfs_hub.commit(REPO, {"README.md": b"by hand"}),
    )
    done = push(write_dataset(tmp_path / "dataset", TWO))
    last, *earlier = lfs_hub.repositories[REPO].history()
    assert done.commit == last.oid
    assert [c.title for c in earlier] == ["by hand", "Publish 4 files", "initial commit"]
    assert committed(lfs_hub) == {"file": ["README.md"], "lfsFile": [], "deletedFile": []}


def test_an_outage_is_given_up_and_taken_up_again(lfs_hub: HubDouble, tmp_path: Path) -> None:
    lfs_hub.fail("POST", "/commit/", status=503, times=MAX_FAILURES + 1)
    folder, sleep = write_dataset(tmp_path / "dataset", TWO), Sleeper()
    with pytest.raises(PublishError, match="run the same command again later"):
        push(folder, sleep=sleep)
    assert sleep.pauses == [1, 2, 4, 8, 16, 32, 64, 64]
    assert push(folder).commit is not None
    assert len(lfs_hub.served("PUT", "/lfs/")) == 2


def test_a_quota_is_not_waited_for_forever(lfs_hub: HubDouble, tmp_path: Path) -> None:
    quota = {"status": 429, "headers": QUOTA_HEADERS, "body": QUOTA_TEXT}
    lfs_hub.fail("POST", "/commit/", times=1000, **quota)
    sleep = Sleeper()
    with pytest.raises(PublishError, match=r"gave up after 7200 s.*rate limit for repository"):
        push(write_dataset(tmp_path / "dataset", TWO), sleep=sleep)
    assert set(sleep.pauses) == {QUOTA_PAUSE}
