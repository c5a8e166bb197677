"""What a Hub keeps: repositories of commits over content-addressed files."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

LARGE_SUFFIXES = (".parquet", ".arrow", ".bin", ".zip")
ATTRIBUTES = "".join(f"*{s} filter=lfs diff=lfs merge=lfs -text\n" for s in LARGE_SUFFIXES)
"""What a new repository's `.gitattributes` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a commit."""

    oid: str
    """Git's id of the file's blob; of its pointer, where the content is stored apart."""
    size: int
    sha256: str | None = None
    """Set where the content is stored apart, by LFS or by Xet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    author: str
    files: dict[str, Entry]


class Conflict(Exception):
    """The branch is not where the committer thinks it is."""


@dataclass(kw_only=True)
class PullRequest:
    """Its commits are on the branch `refs/pr/NUMBER`."""

    number: int
    title: str
    author: str
    status: str = "draft"


@dataclass(kw_only=True)
class Repository:
    """A dataset: commits, and the names that point to them."""

    id: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    """Those of pull requests too, as `refs/pr/NUMBER`."""
    tags: dict[str, str] = field(default_factory=dict)
    requests: list[PullRequest] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def resolve(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag or an id names."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    def history(self, revision: str = "main") -> list[Commit]:
        """Commits from the newest to the oldest."""
        commits, commit = [], self.resolve(revision)
        while commit is not None:
            commits.append(commit)
            commit = self.commits.get(commit.parent) if commit.parent else None
        return commits

    def commit(
        self,
        add: dict[str, Entry],
        delete: list[str] | None = None,
        *,
        branch: str = "main",
        parent: str | None = None,
        title: str = "commit",
        author: str = "someone",
    ) -> Commit:
        """Put a commit on a branch.

        Raises:
            Conflict: `parent` is given and is not the branch's head.
            KeyError: a file to delete does not exist.
        """
        with self.lock:
            head = self.branches.get(branch)
            if parent is not None and parent != head:
                raise Conflict(branch)
            files = dict(self.commits[head].files) if head else {}
            for path in delete or []:
                del files[path]
            files.update(add)
            # The number makes ids of equal content differ, as the date does in git.
            seed = f"{self.id} {head} {len(self.commits)} {title} {sorted(files.items())}"
            oid = hashlib.sha1(seed.encode()).hexdigest()
            made = Commit(oid=oid, parent=head, title=title, author=author, files=files)
            self.commits[oid] = made
            self.branches[branch] = oid
            return made


class Contents:
    """Files on disk under the hash that commits name them by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        return self.folder / key

    def has(self, key: str) -> bool:
        return self.path(key).is_file()

    def put_regular(self, content: bytes) -> Entry:
        oid = git_oid(content)
        self.path(oid).write_bytes(content)
        return Entry(oid=oid, size=len(content))

    def put_large(self, sha256: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"content does not match {sha256}")
        # A reader never sees half a file.
        part = self.path(f"{sha256}.part")
        part.write_bytes(content)
        part.replace(self.path(sha256))

    def large_entry(self, sha256: str) -> Entry:
        size = self.path(sha256).stat().st_size
        return Entry(oid=git_oid(pointer(sha256, size)), size=size, sha256=sha256)

    def read(self, entry: Entry) -> bytes:
        return self.path(entry.sha256 or entry.oid).read_bytes()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that stands in git for a large one."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    return text.encode()


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
