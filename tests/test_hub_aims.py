"""Where a dataset may go, and what is refused before a byte has left the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.card import PLACEHOLDER
from factory.errors import PublishError
from factory.hub import _is_ref, folder
from factory.hub.courier import PARCEL_BYTES, PARCEL_FILES, Access, Courier, parcels
from factory.hub.folder import File, finished_files
from factory.patience import SIGNED
from tests.hub_double import HubDouble
from tests.hub_double.dataset import CARD, ONE, THREE, TWO, write_dataset
from tests.hub_double.trials import REPO, TOKEN, hub_in, push

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubDouble]:
    with hub_in("lfs", tmp_path / "hub") as double:
        yield double


# Tags.


def test_a_tag_names_a_version_and_is_never_moved(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    first = push(dataset, tag="v1.0")
    repository = hub.repositories[REPO]
    assert repository.tags == {"v1.0": first.commit}
    again = push(dataset, tag="v1.0")
    assert (again.commit, again.tag) == (None, "v1.0")
    write_dataset(dataset, THREE)
    seen = len(hub.requests)
    with pytest.raises(PublishError, match=r"tag 'v1\.0' of alice/traces names another version"):
        push(dataset, tag="v1.0")
    assert {r.method for r in hub.requests[seen:]} <= {"GET", "POST"}
    assert not [r for r in hub.requests[seen:] if "/commit/" in r.path or "/lfs/" in r.path]
    second = push(dataset, tag="v1.1")
    assert repository.tags == {"v1.0": first.commit, "v1.1": second.commit}


def test_what_is_published_already_can_be_tagged(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    commit = push(dataset).commit
    assert push(dataset, tag="v1").commit is None
    assert hub.repositories[REPO].tags == {"v1": commit}


def test_a_tag_on_a_branch(hub: HubDouble, tmp_path: Path) -> None:
    done = push(write_dataset(tmp_path / "dataset", TWO), revision="staging", tag="rc1")
    assert hub.repositories[REPO].tags == {"rc1": done.commit}
    assert len(hub.repositories[REPO].history("main")) == 1


# Pull requests.


def test_a_pull_request_is_opened_once_and_kept_up_to_date(hub: HubDouble, tmp_path: Path) -> None:
    repository = hub.create(REPO)
    dataset = write_dataset(tmp_path / "dataset", TWO)
    done = push(dataset, pull_request="Sums")
    (request,) = repository.requests
    assert (request.title, request.author, request.status) == ("Sums", "alice", "open")
    assert (done.revision, done.url) == ("refs/pr/1", f"{hub.url}/datasets/{REPO}/discussions/1")
    assert len(repository.history("main")) == 1
    assert push(dataset, pull_request="Sums").commit is None
    push(write_dataset(dataset, THREE), pull_request="Sums")
    assert len(repository.requests) == 1
    assert len(repository.history("refs/pr/1")) == 3
    request.status = "closed"
    push(dataset, pull_request="Sums")
    assert [r.number for r in repository.requests] == [1, 2]


def test_who_may_not_write_may_still_propose(hub: HubDouble, tmp_path: Path) -> None:
    hub.add_user("bob", "hf_bob0123456789secret")
    repository = hub.create(REPO)
    dataset = write_dataset(tmp_path / "dataset", TWO)
    push(dataset, token="hf_bob0123456789secret", pull_request="Sums")
    assert repository.requests[0].author == "bob"
    push(dataset, pull_request="Sums")
    assert [r.author for r in repository.requests] == ["bob", "alice"], "nobody writes into his"


def test_no_request_for_what_is_there_already(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    push(dataset)
    assert push(dataset, pull_request="Sums").commit is None
    assert not hub.repositories[REPO].requests


def test_a_branch_of_a_pull_request_is_a_revision(hub: HubDouble, tmp_path: Path) -> None:
    repository = hub.create(REPO)
    dataset = write_dataset(tmp_path / "dataset", TWO)
    push(dataset, pull_request="Sums")
    push(write_dataset(dataset, THREE), revision="refs/pr/1")
    assert len(repository.history("refs/pr/1")) == 3


# What cannot be had.

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BAD_AIMS: list[tuple[dict[str, Any], str]] = [
    ({"revision": COMMIT}, "is a commit: give a branch"),
    ({"revision": "refs/pr/7"}, r"'refs/pr/7' of alice/traces does not exist; pull requests: none"),
    ({"revision": "a b"}, "revision 'a b' is no name that git allows"),
    ({"revision": "../x"}, "is no name that git allows"),
    ({"tag": "v1.lock"}, r"tag 'v1\.lock' is no name that git allows"),
    ({"tag": ""}, "tag '' is no name that git allows"),
    ({"pull_request": " "}, "title of the pull request is empty"),
    ({"pull_request": "New", "tag": "v1"}, "leave --tag out"),
    ({"pull_request": "New", "revision": "x"}, "leave --revision out"),
    ({"pull_request": "New", "repo": "alice/none"}, "there is no dataset alice/none"),
    ({"private": True}, "exists and is public: make it private in its settings"),
    ({"repo": "bob/traces"}, "write access to the namespace"),
]


@pytest.mark.parametrize(("aim", "says"), BAD_AIMS)
def test_an_aim_that_cannot_be_had(
    aim: dict[str, Any], says: str, hub: HubDouble, tmp_path: Path
) -> None:
    hub.create(REPO)
    with pytest.raises(PublishError, match=says) as caught:
        push(write_dataset(tmp_path / "dataset", TWO), **aim)
    assert "\n" not in str(caught.value)
    assert set(hub.repositories) == {REPO}
    assert hub.repositories[REPO].branches.keys() == {"main"}
    assert not hub.served("PUT", "/")


@given(st.text(max_size=20))
def test_a_name_is_taken_only_if_git_would_take_it(name: str) -> None:
    if _is_ref(name):
        forbidden = ("..", "//", "@{", "\\", " ", "~", "^", ":", "?", "*", "[")
        assert name
        assert not any(part in name for part in forbidden)
        assert not name.startswith(("/", ".", "-"))
        assert not name.endswith(("/", ".", ".lock"))
        assert name.isascii()
        assert name.isprintable()


# What is not fit to be published.

SECRET = "hf_" + "x" * 34
BAD_CARDS = [
    ("# no header\n", "has no YAML header"),
    ("---\na: [\n---\n", "Invalid metadata: the header is not YAML"),
    ("---\n- a\n---\n", "the header is a list, not a mapping"),
    ("---\nlicense: mit\n---\n", "no list `configs`"),
    (CARD.replace("config_name: all", "name: all"), "a config is a mapping with config_name"),
    (CARD.replace("all/train-*", "al/train-*"), r"config 'all': no shard matches 'al/train-\*'"),
    (ONE, r"all/train-00000\.parquet is in no config"),
    (
        CARD.replace("name: default", "name: sft").replace("default: true", "default: false"),
        "no config is the default one.*give one of sft, all `default: true`",
    ),
    (CARD + SECRET, r"README\.md holds what looks like a token"),
    (CARD + TOKEN, r"README\.md holds what looks like a token"),
]


@pytest.mark.parametrize(("card", "says"), BAD_CARDS, ids=[says[:20] for _, says in BAD_CARDS])
def test_a_card_that_would_not_do(card: str, says: str, hub: HubDouble, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match=says) as caught:
        push(write_dataset(tmp_path / "dataset", TWO, card=card))
    assert not hub.requests
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_key_in_the_recipe_stays_here(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    (dataset / "recipe.yaml").write_text(f"api_key: sk-{'a1' * 20}\n", encoding="utf-8")
    with pytest.raises(PublishError, match=r"recipe\.yaml holds .*an API key"):
        push(dataset)
    assert not hub.requests


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("MAX_FILE_BYTES", 3000, "bytes, and the Hub takes no file above 3000"),
        ("MAX_FILES", 4, "holds 5 files, and one commit takes 4"),
        ("MAX_ENTRIES", 1, "holds 2 files, and a folder of the Hub 1"),
    ],
)
def test_limits_of_the_hub(
    limit: str,
    value: int,
    says: str,
    hub: HubDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folder, limit, value)
    with pytest.raises(PublishError, match=says):
        push(write_dataset(tmp_path / "dataset", THREE))
    assert not hub.requests


@pytest.mark.parametrize("path", ["../x.parquet", "/etc/x.parquet", "data/x.json"])
def test_a_manifest_that_points_elsewhere(path: str, hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    manifest = {"shards": [{"path": path, "sha256": "0" * 64}]}
    (dataset / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(PublishError, match="a shard is FOLDER/NAME"):
        push(dataset)


def test_the_dataset_in_the_documents_is_whole() -> None:
    files = finished_files(Path("docs/quickstart-dataset"), TOKEN, REPO)
    assert {"README.md", "manifest.json", "recipe.yaml"} < {file.path for file in files}
    assert sum(file.size for file in files) < 2_000_000, "the checkout stays small"


def test_no_accepted_trace_is_nothing_to_publish(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    manifest = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))
    manifest["counts"] = {"accepted": 0}
    (dataset / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(PublishError, match="no trace was accepted"):
        push(dataset)
    assert not hub.requests


@pytest.mark.parametrize("when", ["/preupload/", "/verify"])
def test_a_shard_that_is_written_meanwhile_is_not_published(
    when: str, hub: HubDouble, tmp_path: Path
) -> None:
    """The Hub is told the hash of a file; what is sent has to be what was hashed."""
    dataset = write_dataset(tmp_path / "dataset", TWO)

    def write() -> None:
        (dataset / "data/train-00000.parquet").write_bytes(b"half of it")

    hub.fail("POST", when, action=write)
    with pytest.raises(PublishError, match="changed while it was being published"):
        push(dataset)
    assert len(hub.repositories[REPO].history()) == 1


def test_the_plots_of_the_card_go_along(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    (dataset / "plots").mkdir()
    (dataset / "plots/length.svg").write_text("<svg/>", encoding="utf-8")
    (dataset / "plots/length.py").write_text("no plot", encoding="utf-8")
    push(dataset)
    assert hub.read(REPO, "plots/length.svg") == b"<svg/>"
    commit = hub.repositories[REPO].resolve("main")
    assert commit is not None
    assert "plots/length.py" not in commit.files


def test_the_published_card_names_its_repository(hub: HubDouble, tmp_path: Path) -> None:
    card = f'{CARD}load_dataset("{PLACEHOLDER}", "all")\n'
    dataset = write_dataset(tmp_path / "dataset", TWO, card=card)
    push(dataset)
    assert b'load_dataset("alice/traces", "all")' in hub.read(REPO, "README.md")
    assert PLACEHOLDER in (dataset / "README.md").read_text(encoding="utf-8")
    assert push(dataset).commit is None
    push(dataset, "alice/other")
    assert b'load_dataset("alice/other", "all")' in hub.read("alice/other", "README.md")


def test_two_at_a_time_make_one_commit(hub: HubDouble, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    hub.create(REPO)
    meeting = Barrier(2, timeout=30)
    hub.fail("POST", "/commit/", times=2, action=meeting.wait)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(push, dataset) for _ in range(2)]
        done = {run.result().commit for run in runs}
    assert done == {hub.repositories[REPO].branches["main"]}
    assert len(hub.repositories[REPO].history()) == 2
    assert sorted(r.status for r in hub.served("POST", "/commit/")) == [200, 412]


def test_what_others_put_there_and_took_away_again_is_sent_all_the_same(
    hub: HubDouble, tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    hub.create(REPO)
    same, other = {"README.md": (dataset / "README.md").read_bytes()}, {"README.md": b"by hand"}
    hub.fail("POST", "/preupload/", action=lambda: hub.commit(REPO, same))
    hub.fail("POST", "/commit/", action=lambda: hub.commit(REPO, other))
    push(dataset)
    assert hub.read(REPO, "README.md") == same["README.md"]


# Parcels, workers, secrets.


def file_of(number: int, size: int) -> File:
    path = f"data/train-{number:05d}.parquet"
    return File(path=path, location=Path(path), size=size, sha256="0" * 64, changed_ns=0)


@given(st.lists(st.integers(0, 2 * PARCEL_BYTES), max_size=200))
def test_parcels_hold_every_file_once_in_order(sizes: list[int]) -> None:
    files = [file_of(number, size) for number, size in enumerate(sizes)]
    packed = list(parcels(files))
    assert [file for parcel in packed for file in parcel] == files
    for parcel in packed:
        assert 1 <= len(parcel) <= PARCEL_FILES
        assert len(parcel) == 1 or sum(file.size for file in parcel) <= PARCEL_BYTES


def test_a_worker_that_does_not_see_the_folder_says_so(hub: HubDouble, tmp_path: Path) -> None:
    access = Access(endpoint=hub.url, token=TOKEN)
    courier = Courier(access=access, repo=REPO, branch=None, sleep=lambda _: None)
    with pytest.raises(PublishError, match=r"train-00000\.parquet is gone: No such file"):
        courier((file_of(0, 1),))
    assert TOKEN not in repr(courier)


def test_a_spread_that_loses_a_parcel_is_found_out(hub: HubDouble, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="was given to a worker and did not come back"):
        push(write_dataset(tmp_path / "dataset", TWO), spread=lambda work, parcels: [])
    assert len(hub.repositories[REPO].history()) == 1


def test_a_signed_address_is_not_shown() -> None:
    text = "403 for url https://storage.example/b/1?X-Signature=abc&x=1 (Request ID: 5)"
    assert (
        SIGNED.sub(r"\1?...", text) == "403 for url https://storage.example/b/1?... (Request ID: 5)"
    )


PROGRAM = """
import sys
from pathlib import Path
from factory.errors import PublishError
from factory.hub import publish
try:
    publish(Path(sys.argv[1]), "alice/traces", sleep=lambda _: None)
except PublishError as error:
    print(error)
"""


@pytest.mark.parametrize("xet", ["", "1"])
def test_the_token_is_not_in_the_debug_output_of_the_client(xet: str, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", TWO)
    with hub_in("lfs" if xet else "xet", tmp_path / "hub") as hub:
        hub.fail("POST", "/commit/", status=400, body=f'{{"error": "no: {TOKEN}"}}')
        debug = {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug", "RUST_LOG": "debug"}
        home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": xet}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(dataset)],
            env={**os.environ, **debug, **home},
            capture_output=True,
            text=True,
            check=True,
        )
    assert "no: ***" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    files = [p for p in [*(tmp_path / "home").rglob("*"), *dataset.rglob("*")] if p.is_file()]
    assert not [p for p in files if TOKEN.encode() in p.read_bytes()]
