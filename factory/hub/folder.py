"""What is published of a dataset folder, and whether it may be.

Everything that can be said without asking the Hub is said here, before the first request: the
shards are those that the manifest lists, byte for byte, the card loads them, nothing is too
large, and no document holds a token.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import RepoFile

from factory.card import PLACEHOLDER
from factory.errors import PublishError
from factory.hub.header import check_card
from factory.plots import FOLDER as PLOTS

CARD, MANIFEST, RECIPE = "README.md", "manifest.json", "recipe.yaml"

MAX_FILE_BYTES = 500 * 10**9
"""Of one file: the Hub takes no larger one."""
MAX_FILES = 25_000
"""Of one commit."""
MAX_ENTRIES = 10_000
"""Of one folder in a repository."""
SECRET = re.compile(r"\b(?:hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{32,})")
"""What tokens of the Hub and keys of inference services look like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file to publish."""

    path: str
    """Relative to the dataset folder and to the repository alike."""
    location: Path
    size: int
    sha256: str
    changed_ns: int
    """Time of its last change when it was read."""
    content: bytes | None = None
    """What is sent in place of the file's own: of the card, which then names its repository."""

    @property
    def is_shard(self) -> bool:
        return is_shard(self.path)

    def is_at(self, remote: RepoFile | None) -> bool:
        """Whether the Hub has this very content under this path."""
        if remote is None or remote.size != self.size:
            return False
        if remote.lfs:
            return bool(remote.lfs.sha256 == self.sha256)
        own = self.location.read_bytes() if self.content is None else self.content
        return is_content(own, remote)

    def check_unchanged(self) -> None:
        """That what was sent is what was read: the Hub takes a file's hash on trust.

        Raises:
            PublishError: someone wrote the file in the meantime.
        """
        try:
            now = self.location.stat()
        except OSError as error:
            raise PublishError(f"{self.location} is gone: {error.strerror}") from None
        if now.st_mtime_ns != self.changed_ns or (not self.content and now.st_size != self.size):
            raise PublishError(
                f"{self.location} changed while it was being published; run the same command "
                "again when nothing writes the folder"
            )


def finished_files(folder: Path, token: str, repo: str) -> list[File]:
    """The files to publish, sorted by path.

    Args:
        token: no document may hold it.
        repo: takes the place of its placeholder in the card.

    Raises:
        PublishError: the folder is not finished, not intact, or not fit for the Hub.
    """
    for name in (MANIFEST, CARD):
        if not (folder / name).is_file():
            raise PublishError(
                f"{folder} is not a finished dataset folder (no {name}); "
                "run `factory curate DIR` first"
            )
    listed = _listed_shards(folder / MANIFEST)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet") if p.is_file()}
    if missing := sorted(listed.keys() - found):
        raise PublishError(f"{folder / missing[0]} is missing, but {MANIFEST} lists it")
    if unlisted := sorted(found - listed.keys()):
        raise PublishError(f"{folder / unlisted[0]} is not listed in {MANIFEST}: a leftover?")
    documents = [n for n in (CARD, MANIFEST, RECIPE) if (folder / n).is_file()]
    documents += [p.relative_to(folder).as_posix() for p in (folder / PLOTS).glob("*.svg")]
    paths = sorted([*documents, *listed])
    _check_limits(folder, paths)
    check_card(folder / CARD, listed)
    _check_secrets(folder, documents, token)
    # Reading is most of the work, and hashing lets other threads run.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        files = list(pool.map(lambda path: _read(folder, path), paths))
    for file in files:
        if file.sha256 != listed.get(file.path, file.sha256):
            raise PublishError(
                f"{file.location} does not match {MANIFEST}: "
                f"sha256 is {file.sha256}, listed {listed[file.path]}"
            )
    return [_named(file, repo) if file.path == CARD else file for file in files]


def is_content(content: bytes, remote: RepoFile) -> bool:
    """Whether this is what the Hub has there."""
    if remote.lfs:
        return bool(remote.lfs.sha256 == sha256_of(content))
    blob = b"blob %d\0" % len(content) + content
    return bool(remote.blob_id == hashlib.sha1(blob).hexdigest())


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_shard(path: str) -> bool:
    return path.endswith(".parquet")


def split_of(path: str) -> tuple[str, str]:
    """Folder and split of a shard: `data/train-00000-of-00002.parquet` -> `data`, `train`."""
    pure = PurePosixPath(path)
    return pure.parent.as_posix(), pure.stem.partition("-")[0]


def _listed_shards(manifest: Path) -> dict[str, str]:
    """Path -> sha256, as the manifest lists them."""
    try:
        data: Any = json.loads(manifest.read_text(encoding="utf-8"))
        listed = {str(shard["path"]): str(shard["sha256"]) for shard in data["shards"]}
        counts: Mapping[str, Any] = data.get("counts", {})
        accepted = counts.get("accepted")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishError(
            f"{manifest} is not a manifest ({error!r}); run `factory curate DIR` again"
        ) from None
    if not listed:
        raise PublishError(f"{manifest} lists no shards: there is nothing to publish")
    if accepted == 0:
        raise PublishError(f"{manifest}: no trace was accepted, and an empty dataset does not load")
    for path in listed:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not path.endswith(".parquet"):
            raise PublishError(
                f"{manifest} lists {path!r}: a shard is FOLDER/NAME.parquet within the dataset"
            )
    return listed


def _check_limits(folder: Path, paths: Iterable[str]) -> None:
    """What the Hub would refuse, after hours of uploading."""
    paths = list(paths)
    if len(paths) > MAX_FILES:
        raise PublishError(
            f"{folder} holds {len(paths)} files, and one commit takes {MAX_FILES}: "
            "make the shards larger"
        )
    crowds = Counter(PurePosixPath(path).parent.as_posix() for path in paths)
    place, entries = crowds.most_common(1)[0]
    if entries > MAX_ENTRIES:
        raise PublishError(
            f"{folder / place} holds {entries} files, and a folder of the Hub {MAX_ENTRIES}: "
            "make the shards larger"
        )
    for path in paths:
        size = (folder / path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise PublishError(
                f"{folder / path} has {size} bytes, and the Hub takes no file above "
                f"{MAX_FILE_BYTES}: make the shards smaller"
            )


def _check_secrets(folder: Path, documents: Iterable[str], token: str) -> None:
    """That nothing a person or a recipe wrote carries a key out of the house."""
    for path in documents:
        text = (folder / path).read_text(encoding="utf-8", errors="replace")
        if token in text or SECRET.search(text):
            raise PublishError(
                f"{folder / path} holds what looks like a token or an API key: take it out of "
                "the recipe (keys belong in the environment), and run `factory curate DIR` again"
            )


def _named(card: File, repo: str) -> File:
    """The card with its snippets naming the repository in which it stands."""
    own = card.location.read_bytes()
    content = own.replace(PLACEHOLDER.encode(), repo.encode())
    if content == own:
        return card
    return replace(card, content=content, size=len(content), sha256=sha256_of(content))


def _read(folder: Path, path: str) -> File:
    location = folder / path
    with location.open("rb") as stream:
        status = os.fstat(stream.fileno())
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(
        path=path,
        location=location.absolute(),
        size=status.st_size,
        sha256=sha256,
        changed_ns=status.st_mtime_ns,
    )
