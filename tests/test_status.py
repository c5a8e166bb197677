"""What `factory status` and the end of `factory run` say, and when."""

from __future__ import annotations

import json
import re
import time
from collections import Counter

import pytest

from factory import cli, run
from factory.card import Counts as DatasetCounts
from factory.ledger import Ledger
from factory.report import meanwhile
from factory.report.counts import Counts
from factory.report.status import DONE, status
from factory.report.summary import next_steps, undone
from factory.types import Reject


def quiet(_: str) -> None:
    pass


def head(folder) -> str:
    return next(status(folder)).removeprefix(f"{folder}: ")


def command(sums, folder, *more: str) -> int:
    return cli.main(["run", str(sums.file()), "--out", str(folder), *more])


def rows(text: str) -> dict[str, str]:
    found = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in text.splitlines())
    return {row[0]: row[1] for row in found if len(row) == 2}


def stopped(*_, **__):
    """Stands in for the driver of a run that is stopped before it has begun."""
    return False


def test_a_run_that_nobody_works_on_is_finished_or_interrupted(sums, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run, "_generate", stopped)
        assert run.run(sums.recipe("limit=4"), folder, quiet).dataset is None
    assert head(folder).startswith("interrupted: run the same command again")
    run.run(sums.recipe("limit=4"), folder, quiet)
    assert head(folder) == "finished"
    with monkeypatch.context() as patch:  # a larger one, stopped while nothing is open
        patch.setattr(run, "_generate", stopped)
        run.run(sums.recipe("limit=8"), folder, quiet)
    assert head(folder).startswith("interrupted")
    run.run(sums.recipe("limit=8"), folder, quiet)
    assert head(folder) == "finished"
    run.make_dataset(folder, ["traces.max_per_problem=1"])
    assert head(folder) == "finished"


def test_while_somebody_works_it_starts_and_then_runs(sums, tmp_path):
    folder = tmp_path / "run"
    with Ledger(folder / "ledger"):
        run.freeze(sums.recipe(), folder)
        assert head(folder) == "starting"
    run.run(sums.recipe("limit=2"), folder, quiet)
    with Ledger(folder / "ledger"):
        assert head(folder) == "running"


def test_it_says_how_many_traces_there_are_and_where(sums, tmp_path):
    folder = tmp_path / "run"
    result = run.run(sums.recipe("limit=5"), folder, quiet)
    shown = "\n".join(status(folder))
    assert rows(shown)["accepted traces"] == f"{result.dataset.accepted:,}"
    assert rows(shown)["dataset"] == str(folder / "dataset")
    assert f"complete: {DONE['complete']}" in shown


def test_rows_are_rejected_and_problems_set_aside(sums, tmp_path, capsys):
    bad = sums.problems.read_text(encoding="utf-8") + "{\n" * 3
    sums.problems.write_text(bad, encoding="utf-8")
    folder = tmp_path / "run"
    lines = [json.loads(line) for line in bad.splitlines()[:30]]
    refused = json.dumps([lines[0]["prompt"]])
    assert command(sums, folder, "--set", f"engine.refuse={refused}") == 0
    closing = rows(capsys.readouterr().out)
    assert closing["rejected rows"] == "3 (3 malformed)"
    assert closing["problems set aside"] == "1 (1 refused)"
    shown = rows("\n".join(status(folder)))
    assert shown["rejected rows"] == "3 malformed"
    assert "1 refused" in shown["problems"]


def test_what_was_given_up_is_no_row():
    counts = Counts()
    for rule in ("duplicate", "set_aside", "refused"):
        counts.add(Reject(source="f", row="1", rule=rule, reason=""))
    assert counts.rejected == {"duplicate": 1}


def test_no_trace_is_said_loudly_and_nothing_is_to_be_published(sums, tmp_path, capsys):
    script = [json.loads(line) for line in sums.script.read_text(encoding="utf-8").splitlines()]
    sums.write(sums.script, [{**one, "completions": ["no idea"]} for one in script])
    assert command(sums, tmp_path / "run", "--limit", "2") == 0
    out = capsys.readouterr().out
    assert "NO TRACE WAS ACCEPTED: the dataset is empty (12 incorrect)" in out
    assert "factory publish" not in out


def test_publishing_is_proposed_where_nothing_speaks_against_it(sums, tmp_path, capsys):
    assert command(sums, tmp_path / "run", "--limit", "2") == 0
    assert "factory publish" in capsys.readouterr().out
    dataset = DatasetCounts(accepted=3)
    assert "factory publish" not in next_steps(tmp_path, dataset, publish=False)


def test_what_was_left_undone_is_listed(tmp_path):
    assert undone(tmp_path, Counts(), changed=0) == []
    counts = Counts(closed=Counter({"set aside": 2, "refused": 1}), outcomes=Counter(error=5))
    aside, unjudged, changed = undone(tmp_path, counts, changed=3)
    assert aside.startswith("2 problems were set aside")
    assert unjudged.startswith("none of 5 rollouts could be judged")
    assert changed.startswith("3 references have changed")


def test_a_dataset_made_again_in_another_view_is_said(sums, tmp_path, capsys):
    folder = tmp_path / "run"
    assert command(sums, folder) == 0
    run.make_dataset(folder, ["traces.max_per_problem=1", "card.title=Mine"])
    capsys.readouterr()
    assert command(sums, folder) == 0
    said = capsys.readouterr().err
    assert "dataset made again: " in said
    assert "traces.max_per_problem: 1 -> 4" in said
    assert command(sums, folder) == 0
    assert "made again" not in capsys.readouterr().err


@pytest.mark.parametrize("limit", [2, 5])
def test_nothing_of_it_is_said_of_a_new_run(sums, tmp_path, capsys, limit):
    assert command(sums, tmp_path / "run", "--limit", str(limit)) == 0
    assert "made again" not in capsys.readouterr().err


def test_a_check_that_takes_long_says_how_far_it_is(sums, capsys, monkeypatch):
    monkeypatch.setattr(meanwhile, "LINE_S", 0.02)
    rows = sums.problems.read_text(encoding="utf-8")
    sums.problems.write_text("{broken\n" + rows, encoding="utf-8")
    assert cli.main(["check", str(sums.file())]) == 0
    told = capsys.readouterr()
    assert "references passed, 0 rows rejected so far" in told.err
    assert "problems.jsonl:1: malformed: line 1: " in told.out
    assert "rejected rows: 1 malformed" in told.out
    said = told.err
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
    assert said.startswith("[0 s] ")
