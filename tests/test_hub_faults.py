"""One fault at a time, at every request that a publication makes (`hub_double.trials`)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factory import patience
from tests.hub_double.dataset import THREE
from tests.hub_double.trials import (
    FAULTS,
    PLACES,
    SLOW,
    TOKEN,
    Sleeper,
    dataset_for,
    hub_in,
    prepare,
    push,
    try_fault,
    write_dataset,
)

# The client's own LFS upload passes a file in a way that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

ADVICE = {
    "token expired": "set HF_TOKEN or run `hf auth login`, and run the same command again",
    "forbidden": "does the token have write access",
    "outage": "run the same command again later",
}
STORAGE = ("LFS upload", "LFS upload, second", "LFS part")
"""Places where no token goes: an address that is refused has run out, and there are others."""
UNSURE = ("503, but done", "reply lost", "reply cut off")
"""Where the client sends a file again, since it cannot know that it arrived."""


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Xet client keeps its logs there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", PLACES)
def test_one_version_becomes_visible_whatever_goes_wrong(
    place: str, fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for mode in PLACES[place].modes:
        found = try_fault(PLACES[place], FAULTS[fault], mode, tmp_path / mode)
        assert found.struck, "the fault came about"
        assert found.commits == 1
        assert found.right
        assert found.third is None, "a further run has nothing to do"
        assert found.again_later == 0
        largest = max(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
        lost = place in STORAGE and mode == "lfs" and fault in UNSURE
        assert found.again <= (largest if lost else 0)
        # The next attempt finds the file there, and has nothing to verify.
        healed = (place, fault) == ("LFS verify", "outage")
        refused = fault in ADVICE and not (place in STORAGE and fault != "outage") and not healed
        assert (ADVICE.get(fault, "") if refused else "") in found.refusal
        assert bool(found.refusal) is refused
        assert TOKEN not in found.refusal + caplog.text
        assert "s3cret" not in found.refusal, "a signed address lets anyone in"


@pytest.mark.parametrize("place", ["upload modes", "LFS upload"])
def test_a_hub_that_falls_silent_is_not_waited_for_forever(place: str, tmp_path: Path) -> None:
    found = try_fault(PLACES[place], SLOW, "lfs", tmp_path)
    assert found.asked > (3 if place == "LFS upload" else 1), "the silence was broken off"
    assert (found.refusal, found.commits, found.right, found.third) == ("", 1, True, None)


def test_a_commit_whose_reply_does_not_come_is_found_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MAX_SILENCE", 1.0)
    dataset, sleep = write_dataset(tmp_path / "dataset", THREE), Sleeper()
    with hub_in("lfs", tmp_path / "hub") as hub:
        hub.fail("POST", "/commit/", **SLOW)
        done = push(dataset, sleep=sleep)
        assert sleep.pauses, "the silence was broken off"
        assert len(hub.repositories["alice/traces"].history()) == 2
        assert done.commit == hub.repositories["alice/traces"].branches["main"]


def requests_of(mode: str, folder: Path, aim: dict[str, Any]) -> set[tuple[str, str]]:
    """Method and path of all that a publication asks for."""
    with hub_in(mode, folder / "hub") as hub:
        prepare(hub, aim, folder)
        push(dataset_for(aim, folder), **aim)
        return {(request.method, request.path) for request in hub.requests}


@pytest.mark.parametrize(
    "aim",
    [
        {},
        {"private": True},
        {"revision": "staging"},
        {"tag": "v1"},
        {"pull_request": "New"},
        {"other": "append"},
    ],
)
def test_no_request_is_left_out(aim: dict[str, Any], tmp_path: Path) -> None:
    """Every request of a publication is one at which faults are tried."""

    def is_tried(method: str, path: str) -> bool:
        return any(p.method == method and re.search(p.path, path) for p in PLACES.values())

    for mode in ("lfs", "parts", "xet"):
        for method, path in requests_of(mode, tmp_path / mode, aim):
            assert is_tried(method, path), f"{method} {path}"


def test_content_that_the_hub_has_thrown_away_is_uploaded_again(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", THREE)
    with hub_in("lfs", tmp_path / "hub") as hub:

        def throw_away() -> None:
            for path in hub.contents.folder.iterdir():
                if len(path.name) == 64:
                    path.unlink()

        hub.fail("POST", "/commit/", action=throw_away)
        done = push(dataset)
        assert [r.status for r in hub.served("POST", "/commit/")] == [400, 200]
        assert len(hub.served("PUT", "/lfs/")) == 6
        assert done.commit == hub.repositories["alice/traces"].branches["main"]
