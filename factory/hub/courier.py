"""Uploading ahead of the commit: on this machine, or on many.

What is uploaded is not visible until a commit names it, so anyone may upload. A `Courier` takes a
parcel of files to the Hub and comes back with what the commit needs; it is a plain value and
travels to other processes. Who walks is decided by a `Spread`, which is `map` in all but name:

    def spread(work, parcels): ...      # yields work(parcel) for each, in their order
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from huggingface_hub import CommitOperationAdd, HfApi

from factory.errors import PublishError
from factory.hub.folder import File
from factory.patience import Patience

PARCEL_BYTES = 1_000_000_000
PARCEL_FILES = 64

Parcel = tuple[File, ...]
Spread = Callable[
    [Callable[[Parcel], list[CommitOperationAdd]], Sequence[Parcel]],
    Iterable[list[CommitOperationAdd]],
]
"""Gives every parcel to the courier somewhere. Where the files are read, the dataset folder has
to be at the same path. It raises what the courier raised, or a PublishError of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the Hub is, and the token. A value for other processes; never shows the token."""

    endpoint: str | None
    token: str = field(repr=False)

    def api(self) -> HfApi:
        return HfApi(endpoint=self.endpoint, token=self.token)

    def redact(self, text: str) -> str:
        return text.replace(self.token, "***")


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Takes parcels to one branch of one repository."""

    access: Access
    repo: str
    branch: str | None
    sleep: Callable[[float], None]

    def __call__(self, parcel: Parcel) -> list[CommitOperationAdd]:
        """The uploaded files as operations for a commit.

        Raises:
            PublishError: a file is not as it was, or the Hub refused for good.
        """
        for file in parcel:
            file.check_unchanged()
        api = self.access.api()
        operations = [_operation(file) for file in parcel]

        def upload() -> None:
            """Repeated as a whole: what an earlier attempt has uploaded is found there."""
            for file in parcel:
                file.check_unchanged()
            api.preupload_lfs_files(
                self.repo,
                operations,
                repo_type="dataset",
                revision=self.branch,
                free_memory=False,
            )

        Patience(sleep=self.sleep, redact=self.access.redact).keep_trying(upload)
        for file in parcel:
            file.check_unchanged()
        for operation in operations:
            # Says what the branch had when it was asked; the commit may come to another head.
            operation._remote_oid = None
        return operations


def _operation(file: File) -> CommitOperationAdd:
    try:
        operation = CommitOperationAdd(file.path, file.content or os.fspath(file.location))
    except (OSError, ValueError) as error:
        raise PublishError(
            f"{file.location} cannot be read where it is sent from: {error}"
        ) from None
    operation.upload_info.sha256 = bytes.fromhex(file.sha256)  # saves another read
    return operation


def parcels(files: Iterable[File]) -> Iterator[Parcel]:
    """Files in portions: what a kill or a lost worker costs at most."""
    parcel: list[File] = []
    size = 0
    for file in files:
        if parcel and (size + file.size > PARCEL_BYTES or len(parcel) == PARCEL_FILES):
            yield tuple(parcel)
            parcel, size = [], 0
        parcel.append(file)
        size += file.size
    if parcel:
        yield tuple(parcel)


def one_after_another(
    work: Callable[[Parcel], list[CommitOperationAdd]], parcels: Sequence[Parcel]
) -> Iterator[list[CommitOperationAdd]]:
    """Here, in this process: within a parcel the client itself sends several files at once."""
    return map(work, parcels)
