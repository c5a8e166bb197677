"""A publication that is killed with SIGKILL, at every point where it waits for the Hub."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_double import HubDouble
from tests.hub_double.trials import (
    PLACES,
    REPO,
    TOKEN,
    dataset_for,
    hub_in,
    is_right,
    prepare,
    push,
    sent_again,
    target,
    undisturbed_size,
)

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

PROGRAM = """
import json, sys
from pathlib import Path
from factory.hub import publish
publish(Path(sys.argv[1]), sys.argv[2], **json.loads(sys.argv[3]))
"""

POINTS = [
    ("create repository", "before", "lfs"),
    ("create repository", "after", "lfs"),
    ("create branch", "after", "lfs"),
    ("upload modes", "before", "xet"),
    ("LFS upload", "before", "lfs"),
    ("LFS upload, second", "before", "lfs"),
    ("LFS upload, second", "after", "lfs"),
    ("LFS part", "after", "parts"),
    ("LFS completion", "before", "parts"),
    ("LFS completion", "after", "parts"),
    ("LFS verify", "before", "lfs"),
    ("Xet token", "before", "xet"),
    ("card", "before", "xet"),
    ("commit", "before", "lfs"),
    ("commit", "before", "xet"),
    ("commit", "after", "lfs"),
    ("commit", "after", "xet"),
    ("read back", "before", "lfs"),
    ("tag", "before", "lfs"),
    ("tag", "after", "lfs"),
    ("open pull request", "before", "lfs"),
    ("open pull request", "after", "lfs"),
    ("commit to pull request", "after", "lfs"),
    ("show pull request", "before", "lfs"),
    ("card of another run", "before", "lfs"),
    ("commit to another run", "before", "lfs"),
    ("commit to another run", "after", "lfs"),
]


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Xet client keeps its logs there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def killed_at(hub: HubDouble, place: str, when: str, folder: Path, aim: str) -> None:
    """Publish in a process of its own, which does not survive one request."""
    reached, over = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        over.wait(60)

    point = PLACES[place]
    fault = {"held": hold} if when == "after" else {"action": hold, "drop": "before"}
    hub.fail(point.method, point.path, hit=point.hit, **fault)
    switch = {"HF_HUB_DISABLE_XET": "" if hub.xet else "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    client = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), REPO, aim],
        env={**os.environ, **switch},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert reached.wait(120), "the publication did not come to that point"
    finally:
        client.send_signal(signal.SIGKILL)
        _, said = client.communicate()
        over.set()
    while hub.connections:
        time.sleep(0.05)  # what the client had sent by then still arrives
    assert TOKEN not in said
    hub.faults.clear()


@pytest.mark.parametrize(("place", "when", "mode"), POINTS)
def test_the_next_run_completes_and_uploads_nothing_twice(
    place: str, when: str, mode: str, tmp_path: Path
) -> None:
    aim = dict(PLACES[place].aim)
    if mode == "xet":
        undisturbed_size()
    with hub_in(mode, tmp_path / "hub") as hub:
        folder = dataset_for(aim, tmp_path)
        before = prepare(hub, aim, tmp_path)
        killed_at(hub, place, when, folder, json.dumps(aim))
        whole = {path.name for path in hub.contents.folder.glob("?" * 64)}
        puts = len(hub.requests)
        push(folder, **aim)
        assert len(hub.repositories[REPO].history(target(aim))) == before + 1
        assert is_right(hub, folder, aim)
        assert sent_again(hub) == 0
        sent = [re.search("/lfs/([0-9a-f]{64})", r.path) for r in hub.requests[puts:]]
        assert not whole & {found[1] for found in sent if found}
        assert push(folder, **aim).commit is None
