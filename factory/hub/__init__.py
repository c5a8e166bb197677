"""A finished dataset folder becomes one commit on the Hub: the `shards -> hub` arrow.

    folder -> what the Hub lacks -> upload -> one commit -> read back

Publishing is idempotent: every attempt reads the branch's head, works out what is missing there
and sends only that, as one commit on top of exactly that head. So "run the same command again"
is the answer to a kill, and "try again" the answer to a lost reply: a commit that landed
although its reply did not is found in place and not sent twice.

The card, its plots, the manifest, the recipe and the shards are replaced; where the card's
snippets say NAMESPACE/NAME, the published one says which. Removed are shards of a
split that the folder has, under names that it has not: the card's `data/train-*` would load their
rows too. Everything else in the repository stays as it is, a config that is no longer published
included. A repository that holds another run's dataset is refused, or added to (`runs`).

    header.py       whether the card loads the shards
    folder.py       what is published, and whether it may be
    runs.py         several runs in one repository
    courier.py      uploads, here or on workers
    publication.py  the steps

Not here: merging pull requests, moving tags, deleting or renaming repositories, changing the
visibility of an existing one, more shards than one commit takes (25 000).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from huggingface_hub import get_token, is_offline_mode
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from factory.errors import PublishError
from factory.hub.courier import Access, Courier, Spread, one_after_another
from factory.hub.folder import finished_files
from factory.hub.publication import Aim, Publication, Published
from factory.hub.runs import Other
from factory.patience import Patience

__all__ = ["Other", "Published", "Spread", "publish"]


def publish(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    pull_request: str | None = None,
    other: Other = Other.REFUSE,
    token: str | None = None,
    spread: Spread = one_after_another,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Make the dataset `repo` on the Hub equal to a finished dataset folder.

    Args:
        folder: card, manifest and the Parquet shards that the manifest lists.
        repo: NAMESPACE/NAME; made if it does not exist.
        private: make it private; an existing public repository is then refused.
        revision: a branch, made if it does not exist; None for the default one.
        tag: names the version; made last. One that names another version is refused.
        pull_request: a title: the commit goes to the open pull request that this user gave it, or
            to a new one, instead of a branch. The repository has to exist.
        other: what to do where the repository holds the dataset of another run.
        token: None takes the one of the environment or of the login.
        spread: has the shards uploaded elsewhere; by default this process does it.
        sleep: waits; replaced in tests.

    Raises:
        PublishError: the folder is not finished or not intact, or the Hub refused for good.
    """
    aim = Aim(
        repo=repo,
        private=private,
        revision=revision,
        tag=tag,
        pull_request=pull_request,
        other=Other(other),
    )
    _check_aim(aim)
    secret = _find_token(token)
    files = finished_files(folder, secret, repo)
    endpoint = (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    access = Access(endpoint=endpoint, token=secret)
    publication = Publication(
        api=access.api(),
        aim=aim,
        files=files,
        courier=lambda branch: Courier(access=access, repo=repo, branch=branch, sleep=sleep),
        spread=spread,
    )
    keep_trying = partial(Patience.keep_trying, Patience(sleep=sleep, redact=access.redact))
    keep_trying(publication.prepare)
    keep_trying(publication.open_request)
    done = keep_trying(publication.attempt)
    keep_trying(publication.finish)
    return done


def _check_aim(aim: Aim) -> None:
    """What is wrong whatever the Hub holds."""
    try:
        validate_repo_id(aim.repo)
    except HFValidationError as error:
        raise PublishError(
            f"repo {aim.repo!r} is not of the form NAMESPACE/NAME: {error}"
        ) from None
    if "/" not in aim.repo:
        raise PublishError(f"repo {aim.repo!r} has no namespace: give NAMESPACE/NAME")
    for what, name in (("revision", aim.revision), ("tag", aim.tag)):
        if name is not None and not _is_ref(name):
            raise PublishError(
                f"{what} {name!r} is no name that git allows: give letters, digits, `-`, `_`, "
                "`.` and `/`, for example v1.0"
            )
    if aim.revision is not None and re.fullmatch("[0-9a-f]{40}", aim.revision):
        raise PublishError(f"revision {aim.revision!r} is a commit: give a branch")
    if aim.pull_request is None:
        return
    if not aim.pull_request.strip():
        raise PublishError("the title of the pull request is empty")
    for what, given in (("--revision", aim.revision), ("--tag", aim.tag)):
        if given is not None:
            raise PublishError(f"a pull request goes to the default branch: leave {what} out")


def _is_ref(name: str) -> bool:
    """What git takes for a name, less the exotic."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name, re.ASCII) is not None and not any(
        part.startswith((".", "-")) or part.endswith((".", ".lock")) or ".." in part
        for part in name.split("/")
    )


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
