"""A cluster by its address: it asks for a token, and its actors start in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from factory.ledger import scan
from factory.types import Verdict

BIN = Path(sys.executable).parent
OWN = """
from dataclasses import dataclass

from verifiers.math import Verifier as Math


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier(Math):
    pass
"""


@pytest.fixture
def home(tmp_path) -> Path:
    """A home in which a first Ray has left its token."""
    made = tmp_path / "home"
    (made / ".ray").mkdir(parents=True)
    (made / ".ray" / "auth_token").write_text("0" * 64, encoding="utf-8")
    return made


@pytest.fixture
def head(home) -> Iterator[str]:
    """A head node as `ray start` starts one there."""
    sockets = tempfile.mkdtemp(prefix="ray-")  # their paths must be short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = f"start --head --block --port {port} --num-cpus 2 --include-dashboard=false"
    words += f" --object-store-memory 80000000 --temp-dir {sockets}"
    process = subprocess.Popen(
        [BIN / "ray", *words.split()],
        env=at_home(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not listens(port):
        assert process.poll() is None, "the head did not start"
        assert time.monotonic() < deadline, "the head does not listen"
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    tree = [*psutil.Process(process.pid).children(recursive=True), process]
    for one in tree:
        one.kill()
    process.wait()
    shutil.rmtree(sockets)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def at_home(home: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**inherited, "HOME": str(home)}


def run(folder: Path, address: str, home: Path) -> subprocess.CompletedProcess[str]:
    words = ["run", "own.yaml", "--out", "run", "--limit", "3"]
    words += ["--set", f"cluster={{address: '{address}'}}"]
    return subprocess.run(
        [BIN / "factory", *words],
        cwd=folder,
        env=at_home(home),
        check=False,
        capture_output=True,
        text=True,
    )


def test_relative_paths_and_own_modules_are_the_drivers(sums, tmp_path, head, home):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(OWN, encoding="utf-8")
    text = sums.yaml().replace(f"{tmp_path}/", "").replace("name: math", "name: mine.own")
    assert "script: script.jsonl" in text
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    refused = run(tmp_path, head, stranger)
    assert "asks for another token than this user's" in refused.stderr
    done = run(tmp_path, head, home)
    assert done.returncode == 0, done.stderr
    verdicts = [one for one in scan(tmp_path / "run" / "ledger") if isinstance(one, Verdict)]
    assert {one.verifier for one in verdicts} == {"mine.own"}
    assert len(verdicts) == 18
