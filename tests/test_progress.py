"""What a person sees: a live bar on a terminal, lines elsewhere, a file for `status`."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections import Counter

import pytest

from factory.policies.fixed import Policy
from factory.report import progress
from factory.report.counts import Counts
from factory.report.progress import Display, Snapshot
from factory.scheduling import events as ev
from factory.scheduling.foreman import Foreman


def test_a_terminal_gets_a_bar(sums, tmp_path):
    main, side = pty.openpty()
    words = ["-m", "factory", "run", sums.file(), "--out", tmp_path / "run"]
    words += ["--set", "engine.tokens_per_second=20"]
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=side, stderr=side)
    os.close(side)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(main)
    assert process.wait() == 0
    assert b"problem" in seen
    assert b"tok/s" in seen
    assert b"\r" in seen


def test_elsewhere_a_line_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_S", 0.0)
    monkeypatch.setattr(progress, "_FILE_S", 0.0)
    out = io.StringIO()
    with Display(tmp_path, None, out) as display:
        display.update(Counts(), Foreman(Policy()))
        display.joined("replica-0")
        display.update(Counts(problems=3, rollouts=5, tokens=70), Foreman(Policy()))
    lines = out.getvalue().splitlines()
    assert "waiting for a replica" in lines[0]
    assert lines[1] == "replica-0 is ready"
    assert "0 problems done, 3 admitted so far" in lines[2]
    assert "5 rollouts" in lines[2]
    snapshot = Snapshot.read(tmp_path)
    assert snapshot is not None
    assert snapshot.tokens == 70


@pytest.mark.parametrize(
    ("most", "ended", "said"),
    [
        (None, False, "1 problems done, 3 admitted so far"),
        (9, False, "1 of at most 9 problems done"),
        (9, True, "1 of 3 problems done"),
        (None, True, "1 of 3 problems done"),
    ],
)
def test_a_total_is_one_that_stays(tmp_path, monkeypatch, most, ended, said):
    monkeypatch.setattr(progress, "_LINE_S", 0.0)
    foreman = Foreman(Policy())
    foreman.handle(*[ev.SourceEnded()] * ended)
    out = io.StringIO()
    with Display(tmp_path, most, out) as display:
        display.joined("replica-0")
        display.update(Counts(problems=3, closed=Counter(complete=1)), foreman)
    assert said in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("most", "ended", "total"), [(9, False, 9), (9, True, 3), (None, False, None)]
)
def test_a_bar_grows_towards_the_same(tmp_path, monkeypatch, most, ended, total):
    monkeypatch.setattr(progress, "_LIVE_S", 0.0)
    foreman = Foreman(Policy())
    foreman.handle(*[ev.SourceEnded()] * ended)
    with Display(tmp_path, most, Terminal()) as display:
        display.update(Counts(problems=3, closed=Counter(complete=1)), foreman)
        assert display._bar.total == total
        assert display._bar.n == 1


def test_time_adds_up_over_commands_and_a_broken_file_is_no_obstacle(tmp_path):
    (tmp_path / "progress.json").write_text("{torn", encoding="utf-8")
    assert Snapshot.read(tmp_path) is None
    old = {"at": 0.0, "generating_s": 100.0, "tokens": 1, "tokens_per_s": 0.0}
    text = json.dumps({**old, "open_problems": 0, "running": 0})
    (tmp_path / "progress.json").write_text(text, encoding="utf-8")
    with Display(tmp_path, None, io.StringIO()) as display:
        assert display.generating_s == 100.0
        display.joined("r")
        assert display.generating_s >= 100.0


def test_a_folder_that_is_gone_does_not_end_a_run(tmp_path):
    with Display(tmp_path / "gone", None, io.StringIO()) as display:
        display.file(Counts(tokens=1), 0, 0)
    assert Snapshot.read(tmp_path / "gone") is None
