"""One folder on its way to one branch: every step may be repeated, and finds out what is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    GitRefs,
    HfApi,
    RepoFile,
    hf_hub_url,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from factory.errors import PublishError
from factory.hub.courier import Courier, Spread, parcels
from factory.hub.folder import File, is_content
from factory.hub.runs import Other, Tree, plan
from factory.patience import LOST_CONTENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publication did, or found already done."""

    repo: str
    revision: str | None
    """The branch; None for the default one."""
    commit: str | None
    """The commit's id; None if everything was there already and none was made."""
    url: str
    """The page of the dataset, branch or pull request, for a person."""
    uploaded_files: int
    uploaded_bytes: int
    """Size of the uploaded files; content that the Hub knew already may not have travelled."""
    skipped_files: int
    """Files that were there already, byte for byte."""
    deleted_files: int
    """Shards of an earlier publication that the folder no longer has."""
    tag: str | None = None
    """The tag that names this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a folder is to go."""

    repo: str
    private: bool = False
    revision: str | None = None
    tag: str | None = None
    pull_request: str | None = None
    """Title of the pull request; None to commit to the branch."""
    other: Other = Other.REFUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one commit has to do to a branch."""

    add: list[File]
    delete: list[str]
    there: int
    """Files that need no change."""

    @property
    def message(self) -> str:
        counts = [f"publish {len(self.add)} files"] if self.add else []
        counts += [f"remove {len(self.delete)} shards"] if self.delete else []
        return ", ".join(counts).capitalize()


@dataclass(kw_only=True)
class Publication:
    """The steps, in order: `prepare`, `open_request`, `attempt`, `finish`."""

    api: HfApi
    aim: Aim
    files: list[File]
    courier: Callable[[str | None], Courier]
    """Makes the one that goes to a branch."""
    spread: Spread
    branch: str | None = None
    request: int | None = None
    """Number of the pull request."""
    additions: dict[tuple[str, str], CommitOperationAdd] = field(default_factory=dict)
    """Path and sha256 -> what has been uploaded, kept over attempts."""
    known: dict[str, bytes] = field(default_factory=dict)
    """Blob -> content of the documents that were read."""
    sent: Change | None = None
    """The change last offered to the Hub, whose reply may have been lost."""

    @property
    def where(self) -> dict[str, Any]:
        return {"repo_id": self.aim.repo, "repo_type": "dataset"}

    def prepare(self) -> None:
        """Make the repository and the branch where they do not exist, and see what is in the way.

        Raises:
            PublishError: visibility, revision or tag cannot be had as asked for.
        """
        self.branch = self.aim.revision
        if self.aim.pull_request is None:
            # Without `private` the namespace's own default holds: it may be stricter than public.
            self.api.create_repo(**self.where, private=self.aim.private or None, exist_ok=True)
        else:
            self._check_exists()
        if self.aim.private and not self.api.repo_info(**self.where, expand=["private"]).private:
            raise PublishError(
                f"{self.aim.repo} exists and is public: "
                "make it private in its settings, or publish without `--private`"
            )
        if self.branch is None and self.aim.tag is None:
            return
        refs = self.api.list_repo_refs(**self.where, include_pull_requests=True)
        self._check_tag(refs)
        self._make_branch(refs)

    def _check_exists(self) -> None:
        try:
            self.api.repo_info(**self.where, expand=["private"])
        except RepositoryNotFoundError:
            raise PublishError(
                f"there is no dataset {self.aim.repo} (or the token may not see it): "
                "a pull request needs one; publish without `--pull-request` to make it"
            ) from None

    def _check_tag(self, refs: GitRefs) -> None:
        """A tag is never moved: whoever pinned it gets what they pinned."""
        there = {tag.name: tag.target_commit for tag in refs.tags}.get(self.aim.tag or "")
        if there and (change := self._change_since(there)).message:
            raise PublishError(
                f"tag {self.aim.tag!r} of {self.aim.repo} names another version "
                f"({change.message.lower()} would be between them): give a new tag"
            )

    def _make_branch(self, refs: GitRefs) -> None:
        name = self.branch
        if name is None or name in {branch.name for branch in refs.branches}:
            return
        if name in {tag.name for tag in refs.tags}:
            raise PublishError(f"revision {name!r} of {self.aim.repo} is a tag: give a branch")
        if name.startswith("refs/"):
            requests = [request.ref for request in refs.pull_requests or []]
            if name not in requests:
                raise PublishError(
                    f"revision {name!r} of {self.aim.repo} does not exist; "
                    f"pull requests: {', '.join(requests) or 'none'}"
                )
            return
        self.api.create_branch(**self.where, branch=name, exist_ok=True)

    def open_request(self) -> None:
        """Find our pull request, or make it, as a draft; its branch is where the commit goes."""
        title = self.aim.pull_request
        if title is None or not self._change_since(self._head()).message:
            return  # what is on the default branch already needs no request
        me = self.api.whoami()["name"]
        ours = [
            found.num
            for found in self.api.get_repo_discussions(
                self.aim.repo, repo_type="dataset", discussion_type="pull_request", author=me
            )
            if (found.title, found.author) == (title, me) and found.status in ("draft", "open")
        ]
        if not ours:
            made = self.api.create_pull_request(
                self.aim.repo, title, repo_type="dataset", description="Shards, card and manifest."
            )
            ours = [made.num]
        self.request = ours[0]
        self.branch = f"refs/pr/{self.request}"

    def attempt(self) -> Published:
        """Bring the branch's head up to date, with at most one commit."""
        head = self._head()
        change = self._change_since(head)
        if not change.message:
            return self._published(head if self.sent else None, self.sent or change)
        self._upload(change)
        self.sent = change
        try:
            commit = self.api.create_commit(
                **self.where,
                operations=[
                    *(self.additions[file.path, file.sha256] for file in change.add),
                    *(CommitOperationDelete(path, is_folder=False) for path in change.delete),
                ],
                commit_message=change.message,
                revision=self.branch,
                parent_commit=head,
            )
        except HfHubHTTPError as error:
            if LOST_CONTENT in str(error):
                self.additions.clear()  # the next attempt uploads again
            raise
        self.additions.clear()  # what has been committed cannot be offered again
        # Asked a second time before it is held against the Hub.
        if self._change_since(commit.oid).add and (left := self._change_since(commit.oid).add):
            raise PublishError(
                f"the Hub made commit {commit.oid} without {left[0].path}: "
                f"does the .gitignore of {self.aim.repo} exclude it?"
            )
        return self._published(commit.oid, change)

    def _upload(self, change: Change) -> None:
        def is_lacking(file: File) -> bool:
            return (file.path, file.sha256) not in self.additions

        lacking = [file for file in change.add if is_lacking(file)]
        for operations in self.spread(self.courier(self.branch), list(parcels(lacking))):
            for done in operations:
                self.additions[done.path_in_repo, done.upload_info.sha256.hex()] = done
        if lost := [file.path for file in lacking if is_lacking(file)]:
            raise PublishError(f"{lost[0]} was given to a worker and did not come back")

    def finish(self) -> None:
        """Name the version, and show the pull request to others."""
        if self.aim.tag is not None:
            refs = self.api.list_repo_refs(**self.where)
            if self.aim.tag not in {tag.name for tag in refs.tags}:
                self.api.create_tag(**self.where, tag=self.aim.tag, revision=self._head())
        if self.request is not None:
            details = self.api.get_discussion_details(
                self.aim.repo, self.request, repo_type="dataset"
            )
            if details.status == "draft":
                self.api.change_discussion_status(
                    self.aim.repo, self.request, "open", repo_type="dataset"
                )

    def _head(self) -> str | None:
        found: str | None = self.api.repo_info(
            **self.where, revision=self.branch, expand=["sha"]
        ).sha
        return found

    def _change_since(self, head: str | None) -> Change:
        """What a commit lacks, and what of it is stale."""
        there: dict[str, RepoFile] = {}
        if head is not None:
            listing = self.api.list_repo_tree(
                self.aim.repo, repo_type="dataset", revision=head, recursive=True
            )
            there = {entry.path: entry for entry in listing if isinstance(entry, RepoFile)}
        tree = Tree(
            repo=self.aim.repo, files=there, read=lambda path: self._read(there[path], head)
        )
        wanted = plan(self.files, tree, self.aim.other)
        add = [file for file in wanted.files if not file.is_at(there.get(file.path))]
        return Change(add=add, delete=wanted.delete, there=len(wanted.files) - len(add))

    def _read(self, file: RepoFile, head: str | None) -> bytes:
        """A document of the repository; asked for once."""
        if file.blob_id not in self.known:
            place = hf_hub_url(
                self.aim.repo,
                file.path,
                repo_type="dataset",
                revision=head,
                endpoint=self.api.endpoint,
            )
            reply = get_session().get(place, headers=build_hf_headers(token=self.api.token))
            hf_raise_for_status(reply)
            if not is_content(reply.content, file):
                raise ValueError(f"what came is not {file.path}")
            self.known[file.blob_id] = reply.content
        return self.known[file.blob_id]

    def _published(self, commit: str | None, change: Change) -> Published:
        page = f"{self.api.endpoint}/datasets/{self.aim.repo}"
        if self.request is not None:
            page = f"{page}/discussions/{self.request}"
        elif self.branch is not None:
            page = f"{page}/tree/{quote(self.branch, safe='')}"
        return Published(
            repo=self.aim.repo,
            revision=self.branch,
            commit=commit,
            url=page,
            uploaded_files=len(change.add),
            uploaded_bytes=sum(file.size for file in change.add),
            skipped_files=change.there,
            deleted_files=len(change.delete),
            tag=self.aim.tag,
        )
