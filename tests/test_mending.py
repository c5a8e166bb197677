"""A run that has nothing on record takes another recipe; one that has takes what cannot matter."""

from __future__ import annotations

import json

import pytest

from factory import run
from factory.errors import EngineError, FactoryError, LedgerError


def quiet(_: str) -> None:
    pass


def test_a_recipe_whose_engine_never_started_can_be_mended(sums, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(EngineError, match=r"nope\.jsonl"):
        run.run(sums.recipe("engine.script=nope.jsonl"), folder, quiet)
    done = run.run(sums.recipe("sampling.temperature=0.5", "limit=3"), folder, quiet)
    assert done.complete
    assert done.counts.problems == 3
    assert run.frozen(folder).sampling.temperature == 0.5
    with pytest.raises(LedgerError, match="another recipe"):
        run.run(sums.recipe("limit=3"), folder, quiet)


def test_a_source_without_a_usable_row_can_be_mended_and_leaves_no_reject(sums, tmp_path):
    folder = tmp_path / "run"
    rows = sums.problems.read_text(encoding="utf-8").replace('"answer"', '"solution"')
    sums.problems.write_text(rows, encoding="utf-8")
    with pytest.raises(FactoryError, match="30 no_answer"):
        run.run(sums.recipe(), folder, quiet)
    mended = sums.recipe("sources.0.columns={answer: solution}", "limit=3")
    done = run.run(mended, folder, quiet)
    assert done.counts.problems == 3
    assert not done.counts.rejects


def test_a_source_that_is_added_at_the_end_is_taken_up(sums, tmp_path):
    folder = tmp_path / "run"
    lines = sums.problems.read_text(encoding="utf-8").splitlines(keepends=True)
    sums.problems.write_text("".join(lines[:4]), encoding="utf-8")
    assert run.run(sums.recipe(), folder, quiet).counts.problems == 4
    more = tmp_path / "more.jsonl"
    more.write_text("".join(lines[3:6]), encoding="utf-8")
    both = [{"name": "jsonl", "path": str(path)} for path in (sums.problems, more)]
    done = run.run(sums.recipe(f"sources={json.dumps(both)}"), folder, quiet)
    assert done.worked
    assert done.counts.problems == 6
    assert done.counts.rollouts == 36
    with pytest.raises(LedgerError, match="another recipe"):
        run.run(sums.recipe(), folder, quiet)


def test_how_fast_an_engine_works_may_differ(sums, tmp_path):
    folder = tmp_path / "run"
    run.run(sums.recipe("limit=2"), folder, quiet)
    done = run.run(sums.recipe("limit=4", "engine.slots=3"), folder, quiet)
    assert done.counts.problems == 4
    with pytest.raises(LedgerError, match="where and how fast"):
        run.run(sums.recipe("limit=4", "engine.default=Yes."), folder, quiet)
