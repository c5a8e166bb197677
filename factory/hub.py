"""A finished dataset folder becomes one commit on the Hub: the `shards -> hub` arrow.

    folder -> what the Hub lacks -> upload -> one commit -> read back

Publishing is idempotent: every attempt reads the branch's head, works out what is missing there
and sends only that, as one commit on top of exactly that head. So "run the same command again"
is the answer to a kill, and "try again" the answer to a lost reply: a commit that landed
although its reply did not is found in place and not sent twice.

The card, the manifest, the recipe and the shards are replaced. Removed are shards of a split that
the folder has, under names that it has not: the card's `data/train-*` would load their rows too.
Everything else in the repository stays as it is, a config that is no longer published included.

Not here: tags, pull requests, deleting or renaming repositories, changing the visibility of an
existing one, more shards than one commit takes (25 000).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    RepoFile,
    get_token,
    is_offline_mode,
)
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from factory.errors import PublishError
from factory.patience import Patience

CARD, MANIFEST, RECIPE = "README.md", "manifest.json", "recipe.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publication did, or found already done."""

    repo: str
    revision: str | None
    """The branch; None for the default one."""
    commit: str | None
    """The commit's id; None if everything was there already and none was made."""
    url: str
    """The page of the dataset, for a person."""
    uploaded_files: int
    uploaded_bytes: int
    """Size of the uploaded files; content that the Hub knew already may not have travelled."""
    skipped_files: int
    """Files that were there already, byte for byte."""
    deleted_files: int
    """Shards of an earlier publication that the folder no longer has."""


def publish(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Make the dataset `repo` on the Hub equal to a finished dataset folder.

    Args:
        folder: card, manifest and the Parquet shards that the manifest lists.
        repo: NAMESPACE/NAME; made if it does not exist.
        private: make it private; an existing public repository is then refused.
        revision: a branch, made if it does not exist; None for the default one.
        token: None takes the one of the environment or of the login.
        sleep: waits; replaced in tests.

    Raises:
        PublishError: the folder is not finished or not intact, or the Hub refused for good.
    """
    _check_repo(repo)
    secret = _find_token(token)
    files = _finished_files(folder)
    endpoint = (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    publication = _Publication(
        api=HfApi(endpoint=endpoint, token=secret), repo=repo, branch=revision, files=files
    )
    patience = Patience(sleep=sleep, redact=lambda text: text.replace(secret, "***"))
    patience.keep_trying(lambda: publication.prepare(private=private))
    return patience.keep_trying(publication.attempt)


def _check_repo(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise PublishError(f"repo {repo!r} is not of the form NAMESPACE/NAME: {error}") from None
    if "/" not in repo:
        raise PublishError(f"repo {repo!r} has no namespace: give NAMESPACE/NAME")


def _find_token(token: str | None) -> str:
    # The client reads the switch when it is imported; what the environment says now counts too.
    switch = os.environ.get("HF_HUB_OFFLINE", "").upper()
    if is_offline_mode() or switch in {"1", "ON", "YES", "TRUE"}:
        raise PublishError("offline mode is on (HF_HUB_OFFLINE): unset it to publish")
    found = (token or get_token() or "").strip()
    if not found:
        raise PublishError(
            "no Hub token: set HF_TOKEN, or log in with `hf auth login`, "
            "with a token that may write to the namespace"
        )
    if found.split() != [found] or not found.isascii():
        # The HTTP client would refuse it too, and would quote it.
        raise PublishError("the Hub token holds spaces or letters that no token has")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file to publish."""

    path: str
    """Relative to the dataset folder and to the repository alike."""
    location: Path
    size: int
    sha256: str

    def is_at(self, remote: RepoFile | None) -> bool:
        """Whether the Hub has this very content under this path."""
        if remote is None or remote.size != self.size:
            return False
        if remote.lfs:
            return bool(remote.lfs.sha256 == self.sha256)
        blob = b"blob %d\0" % self.size + self.location.read_bytes()
        return bool(remote.blob_id == hashlib.sha1(blob).hexdigest())


def _finished_files(folder: Path) -> list[_File]:
    """The files of a dataset folder, sorted; every shard is as its manifest says."""
    for name in (MANIFEST, CARD):
        if not (folder / name).is_file():
            raise PublishError(
                f"{folder} is not a finished dataset folder (no {name}); "
                "run `factory curate DIR` first"
            )
    listed = _listed_shards(folder / MANIFEST)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet") if p.is_file()}
    if missing := sorted(set(listed) - found):
        raise PublishError(f"{folder / missing[0]} is missing, but {MANIFEST} lists it")
    if unlisted := sorted(found - set(listed)):
        raise PublishError(f"{folder / unlisted[0]} is not listed in {MANIFEST}: a leftover?")
    documents = [n for n in (CARD, MANIFEST, RECIPE) if (folder / n).is_file()]
    files = [_read(folder, path) for path in sorted([*documents, *listed])]
    for file in files:
        if file.sha256 != listed.get(file.path, file.sha256):
            raise PublishError(
                f"{file.location} does not match {MANIFEST}: "
                f"sha256 is {file.sha256}, listed {listed[file.path]}"
            )
    return files


def _listed_shards(manifest: Path) -> dict[str, str]:
    """Path -> sha256, as the manifest lists them."""
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        listed = {str(shard["path"]): str(shard["sha256"]) for shard in data["shards"]}
        accepted = data.get("counts", {}).get("accepted")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishError(
            f"{manifest} is not a manifest ({error!r}); run `factory curate DIR` again"
        ) from None
    if not listed:
        raise PublishError(f"{manifest} lists no shards: there is nothing to publish")
    if accepted == 0:
        raise PublishError(f"{manifest}: no trace was accepted, and an empty dataset does not load")
    return listed


def _read(folder: Path, path: str) -> _File:
    location = folder / path
    with location.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return _File(path=path, location=location, size=location.stat().st_size, sha256=sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What one commit has to do to a branch."""

    add: list[_File]
    delete: list[str]

    @property
    def message(self) -> str:
        counts = [f"publish {len(self.add)} files"] if self.add else []
        counts += [f"remove {len(self.delete)} shards"] if self.delete else []
        return ", ".join(counts).capitalize()


@dataclass(kw_only=True)
class _Publication:
    """One folder on its way to one branch; every step may be repeated."""

    api: HfApi
    repo: str
    branch: str | None
    files: list[_File]
    additions: dict[str, CommitOperationAdd] = field(default_factory=dict)
    """Kept over attempts: an operation remembers that its content has been uploaded."""
    sent: _Change | None = None
    """The change last offered to the Hub, whose reply may have been lost."""

    def prepare(self, *, private: bool) -> None:
        """Make the repository and the branch where they do not exist."""
        where: dict[str, Any] = {"repo_id": self.repo, "repo_type": "dataset"}
        # Without `private` the namespace's own default holds: it may be stricter than public.
        self.api.create_repo(**where, private=private or None, exist_ok=True)
        if private and not self.api.repo_info(**where, expand=["private"]).private:
            raise PublishError(
                f"{self.repo} exists and is public: "
                "make it private in its settings, or publish without `--private`"
            )
        if self.branch is None or self.branch.startswith("refs/"):
            return
        refs = self.api.list_repo_refs(**where)
        if self.branch in {tag.name for tag in refs.tags}:
            raise PublishError(f"revision {self.branch!r} of {self.repo} is a tag: give a branch")
        if self.branch not in {branch.name for branch in refs.branches}:
            self.api.create_branch(**where, branch=self.branch, exist_ok=True)

    def attempt(self) -> Published:
        """Bring the branch's head up to date, with at most one commit."""
        where: dict[str, Any] = {"repo_id": self.repo, "repo_type": "dataset"}
        info = self.api.repo_info(**where, revision=self.branch, expand=["sha"])
        change = self._change_since(info.sha)
        if not (change.add or change.delete):
            return self._published(info.sha if self.sent else None, self.sent or change)
        additions = [self._addition(file) for file in change.add]
        deletions = [CommitOperationDelete(path, is_folder=False) for path in change.delete]
        self.api.preupload_lfs_files(
            self.repo, additions, repo_type="dataset", revision=self.branch, free_memory=False
        )
        self.sent = change
        commit = self.api.create_commit(
            **where,
            operations=[*additions, *deletions],
            commit_message=change.message,
            revision=self.branch,
            parent_commit=info.sha,
        )
        self.additions.clear()  # what has been committed cannot be offered again
        if left := self._change_since(commit.oid).add:
            raise PublishError(
                f"the Hub made commit {commit.oid} without {left[0].path}: "
                f"does the .gitignore of {self.repo} exclude it?"
            )
        return self._published(commit.oid, change)

    def _change_since(self, head: str | None) -> _Change:
        """What a commit lacks, and which of its shards are stale."""
        there: dict[str, RepoFile] = {}
        if head is not None:
            tree = self.api.list_repo_tree(
                self.repo, repo_type="dataset", revision=head, recursive=True
            )
            there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        ours = {file.path for file in self.files}
        splits = {_split(path) for path in ours if path.endswith(".parquet")}
        return _Change(
            add=[file for file in self.files if not file.is_at(there.get(file.path))],
            delete=sorted(
                path
                for path in there.keys() - ours
                if path.endswith(".parquet") and _split(path) in splits
            ),
        )

    def _addition(self, file: _File) -> CommitOperationAdd:
        if file.path not in self.additions:
            addition = CommitOperationAdd(file.path, file.location)
            addition.upload_info.sha256 = bytes.fromhex(file.sha256)  # saves another read
            self.additions[file.path] = addition
        return self.additions[file.path]

    def _published(self, commit: str | None, change: _Change) -> Published:
        page = f"{self.api.endpoint}/datasets/{self.repo}"
        return Published(
            repo=self.repo,
            revision=self.branch,
            commit=commit,
            url=f"{page}/tree/{quote(self.branch, safe='')}" if self.branch else page,
            uploaded_files=len(change.add),
            uploaded_bytes=sum(file.size for file in change.add),
            skipped_files=len(self.files) - len(change.add),
            deleted_files=len(change.delete),
        )


def _split(path: str) -> tuple[str, str]:
    """Folder and split of a shard: `data/train-00000-of-00002.parquet` -> `data`, `train`."""
    pure = PurePosixPath(path)
    return pure.parent.as_posix(), pure.stem.partition("-")[0]
