"""What a publication does about a fault: every fault at every request it makes, one at a time.

A trial publishes a folder to a fresh Hub on which one thing goes wrong, then, if that was refused,
once more without the fault, and once more for nothing. `tests/test_hub_faults.py` holds what must
come of it, `python -m benchmarks.publish` prints it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import httpcore2
import huggingface_hub
import huggingface_hub.utils._http

from factory import patience
from factory.errors import PublishError
from factory.hub import Published, publish
from tests.hub_double.dataset import THREE, TWO, write_dataset
from tests.hub_double.server import HubDouble

REPO, TOKEN = "alice/traces", "hf_alice0123456789secret"
TRUST = cache(httpcore2.default_ssl_context)
"""Reading the machine's certificates takes longer than most trials, and the double needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A request that a publication makes."""

    method: str
    path: str
    """Regular expression."""
    hit: int = 1
    modes: tuple[str, ...] = ("lfs",)
    """Those in which the request is worth a trial."""
    aim: tuple[tuple[str, Any], ...] = ()
    """Options of the publication that makes this request."""


BOTH = ("lfs", "xet")
BRANCH, TAG, REQUEST = (("revision", "staging"),), (("tag", "v1"),), (("pull_request", "New"),)
APPEND = (("other", "append"),)
PARTS = ("parts",)
FILE = "/lfs/[0-9a-f]{64}$"

PLACES = {
    "create repository": Place(method="POST", path="/repos/create"),
    "visibility": Place(method="GET", path="expand=private", aim=(("private", True),)),
    "references": Place(method="GET", path="/refs", aim=BRANCH),
    "create branch": Place(method="POST", path="/branch/", aim=BRANCH),
    "head": Place(method="GET", path="expand=sha"),
    "tree": Place(method="GET", path="/tree/"),
    "upload modes": Place(method="POST", path="/preupload/", modes=BOTH),
    "LFS batch": Place(method="POST", path="/objects/batch"),
    "LFS upload": Place(method="PUT", path=FILE),
    "LFS upload, second": Place(method="PUT", path=FILE, hit=2),
    "LFS part": Place(method="PUT", path="/part/", modes=PARTS),
    "LFS completion": Place(method="POST", path=FILE, modes=PARTS),
    "LFS verify": Place(method="POST", path="/verify"),
    "Xet token": Place(method="GET", path="/xet-write-token/", modes=("xet",)),
    "card": Place(method="POST", path="/validate-yaml"),
    "commit": Place(method="POST", path="/commit/", modes=BOTH),
    "read back": Place(method="GET", path="/tree/", hit=2, modes=BOTH),
    "references for the tag": Place(method="GET", path="/refs", hit=2, aim=TAG),
    "tag": Place(method="POST", path="/tag/", aim=TAG),
    "user": Place(method="GET", path="/whoami", aim=REQUEST),
    "pull requests": Place(method="GET", path="/discussions[?]", aim=REQUEST),
    "open pull request": Place(method="POST", path="/discussions$", aim=REQUEST),
    "commit to pull request": Place(method="POST", path="/commit/", aim=REQUEST),
    "pull request": Place(method="GET", path="/discussions/1", hit=2, aim=REQUEST),
    "show pull request": Place(method="POST", path="/status$", aim=REQUEST),
    "recipe of another run": Place(method="GET", path="/resolve/.*/recipe.yaml", aim=APPEND),
    "card of another run": Place(method="GET", path="/resolve/.*/README.md", aim=APPEND),
    "commit to another run": Place(method="POST", path="/commit/", aim=APPEND),
}

SPENT = {"RateLimit": '"api";r=0;t=0'}
FAULTS: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "503, but done": {"status": 503, "late": True},
    "rate limit": {"status": 429, "headers": SPENT},
    "hangs up": {"drop": "before"},
    "reply lost": {"drop": "after"},
    "reply cut off": {"cut": True},
    "reply empty": {"status": 200, "body": "{}", "late": True},
    "reply not JSON": {"status": 200, "body": "<html>", "late": True},
    "token expired": {"status": 401, "body": '{"error": "Invalid credentials"}'},
    "forbidden": {"status": 403, "body": '{"error": "Forbidden"}'},
    "outage": {"status": 503, "times": 100_000},
}
HASTE = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1", "HF_XET_CLIENT_RETRY_BASE_DELAY": "1ms"}
"""The Xet client waits by a clock of its own."""
SLOW = {"delay": 3.0}
"""Longer than the silence that the trial allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of a trial."""

    struck: bool
    """Whether the fault came about at all."""
    asked: int
    """How often the first run made the request."""
    refusal: str
    """What the first run said where it gave up; empty where it published."""
    commits: int
    """On the branch, beside what was there before."""
    right: bool
    """Whether the branch holds the folder, byte for byte."""
    again: int
    """Bytes uploaded by the first run although the Hub had them already."""
    again_later: int
    """The same of the later runs."""
    third: str | None
    """The commit that a further run made: none."""


class Sleeper:
    """Waits in no time, and remembers."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


def push(folder: Path, repo: str = REPO, **options: Any) -> Published:
    return publish(folder, repo, sleep=options.pop("sleep", Sleeper()), **options)


@contextmanager
def hub_in(mode: str, folder: Path, **options: Any) -> Iterator[HubDouble]:
    """A Hub that this process publishes to: `lfs`, `parts` (LFS in several pieces) or `xet`."""
    with ExitStack() as stack:
        part_size = 4096 if mode == "parts" else None
        double = HubDouble(folder, xet=mode == "xet", part_size=part_size, **options)
        hub = stack.enter_context(double)
        hub.add_user("alice", TOKEN)
        switch = (huggingface_hub.constants, "HF_HUB_DISABLE_XET", mode != "xet")
        stack.enter_context(mock.patch.object(*switch))
        stack.enter_context(mock.patch.object(httpcore2, "default_ssl_context", TRUST))
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "", **HASTE}
        stack.enter_context(mock.patch.dict(os.environ, variables))
        stack.callback(huggingface_hub.close_session)
        yield hub


def try_fault(place: Place, fault: dict[str, Any], mode: str, folder: Path) -> Finding:
    """Run one trial in a folder of its own."""
    aim = dict(place.aim)
    dataset = dataset_for(aim, folder)
    refusal = ""
    with ExitStack() as stack:
        hub = stack.enter_context(hub_in(mode, folder / "hub"))
        before = prepare(hub, aim, folder)
        # The client's own pauses; ours are not waited for either.
        stack.enter_context(mock.patch.object(huggingface_hub.utils._http.time, "sleep"))
        if "delay" in fault:
            stack.enter_context(mock.patch.object(patience, "MAX_SILENCE", 1.0))
        injected = hub.fail(place.method, place.path, **{"hit": place.hit, **fault})
        try:
            push(dataset, **aim)
        except PublishError as error:
            refusal = str(error)
        hub.faults.clear()
        first, asked = sent_again(hub), injected.hits
        if refusal:
            push(dataset, **aim)
        third = push(dataset, **aim)
        later = sent_again(hub) - first
        return Finding(
            struck=asked >= place.hit,
            asked=asked,
            refusal=refusal,
            commits=len(hub.repositories[REPO].history(target(aim))) - before,
            right=is_right(hub, dataset, aim),
            again=first,
            again_later=later,
            third=third.commit,
        )


def dataset_for(aim: dict[str, Any], folder: Path) -> Path:
    """What is published: of a run with a name where it is to be told from another one."""
    return write_dataset(folder / "dataset", THREE, run="second" if "other" in aim else "")


def prepare(hub: HubDouble, aim: dict[str, Any], folder: Path) -> int:
    """What has to be there before; how many commits that makes."""
    if "pull_request" in aim:
        hub.create(REPO)
    if "other" in aim:
        push(write_dataset(folder / "other", TWO, run="first"))
        huggingface_hub.close_session()
        hub.requests.clear()
        return 2
    return 1


def sent_again(hub: HubDouble) -> int:
    """Bytes that were uploaded although the Hub had them already.

    By Xet it is what its store holds beyond what an undisturbed publication leaves there.
    """
    if not hub.xet:
        return hub.sent_again
    return max(0, hub.store_of(TOKEN).stored_bytes - undisturbed_size())


@cache
def undisturbed_size() -> int:
    """What an undisturbed publication leaves in a Xet store."""
    with tempfile.TemporaryDirectory() as name, hub_in("xet", Path(name) / "hub") as hub:
        push(write_dataset(Path(name) / "dataset", THREE))
        return hub.store_of(TOKEN).stored_bytes


def target(aim: dict[str, Any]) -> str:
    """The branch that a publication goes to."""
    return "refs/pr/1" if "pull_request" in aim else str(aim.get("revision", "main"))


def is_right(hub: HubDouble, dataset: Path, aim: dict[str, Any]) -> bool:
    """Whether the Hub holds the folder, byte for byte, and nothing else."""
    repository = hub.repositories[REPO]
    wanted = {
        name: (dataset / name).read_bytes() for name in ("README.md", "manifest.json", *THREE)
    }
    if "other" in aim:
        wanted = beside_the_other(hub, dataset)
    commit = repository.resolve(target(aim))
    if commit is None or set(commit.files) != {*wanted, ".gitattributes"}:
        return False
    tags = {aim["tag"]: commit.oid} if "tag" in aim else {}
    requests = ["open"] if "pull_request" in aim else []
    if (repository.tags, [r.status for r in repository.requests]) != (tags, requests):
        return False
    return all(hub.read(REPO, name, target(aim)) == data for name, data in wanted.items())


def beside_the_other(hub: HubDouble, dataset: Path) -> dict[str, bytes]:
    """What an append leaves: all of the other run's, and ours under names of our own."""
    other = dataset.with_name("other")
    names = ("manifest.json", "recipe.yaml", *TWO)
    wanted = {name: (other / name).read_bytes() for name in names}
    for name in THREE:
        wanted[name.replace("train-", "train-second-")] = (dataset / name).read_bytes()
    for name in ("README.md", "recipe.yaml"):
        wanted[f"runs/second/{name}"] = (dataset / name).read_bytes()
    listing = (dataset / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(listing.replace("/train-", "/train-second-"))
    text = json.dumps(manifest, indent=2) + "\n"
    wanted["runs/second/manifest.json"] = text.encode()
    card = hub.read(REPO, "README.md")
    told = b"(runs/second/README.md)" in card and card.startswith(b"---\nlicense: apache-2.0\n")
    return {**wanted, "README.md": card if told else b""}
