"""A reference that is not what it was, or is two things at once: noticed, said, never published."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import cli, run
from factory.ledger import Ledger, standing
from factory.ledger.references import reference
from factory.types import Problem, problem_id

TEXT = st.text(max_size=6)
SPECS = st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=2)


def quiet(_: str) -> None:
    pass


def correct(sums, number: int, answer: str) -> None:
    """Another answer in a row of the source."""
    rows = [json.loads(line) for line in sums.problems.read_text(encoding="utf-8").splitlines()]
    rows[number]["answer"] = answer
    sums.write(sums.problems, rows)


def command(sums, folder, *more: str) -> int:
    return cli.main(["run", str(sums.file()), "--out", str(folder), *more])


def published(folder) -> dict[str, str]:
    lines = run.scan(folder / "ledger")
    return {one.prompt: one.answer for one in lines if isinstance(one, Problem)}


@pytest.mark.parametrize("sealed", [True, False])
def test_a_corrected_answer_is_noticed_and_said(sums, tmp_path, capsys, sealed, monkeypatch):
    if not sealed:
        monkeypatch.setattr(Ledger, "seal", lambda self: None)
    folder = tmp_path / "run"
    assert command(sums, folder, "--limit", "6") == 0
    rows = [json.loads(line) for line in sums.problems.read_text(encoding="utf-8").splitlines()]
    correct(sums, 2, "777")
    capsys.readouterr()
    assert command(sums, folder, "--limit", "6") == 1
    told = capsys.readouterr()
    assert "1 problem has another reference in its source than on record" in told.err
    assert f"problems.jsonl:3: answer '{rows[2]['answer']}' on record, '777' now" in told.err
    assert "factory publish" not in told.out
    assert published(folder)[rows[2]["prompt"]] == rows[2]["answer"]  # nothing was lost
    correct(sums, 2, rows[2]["answer"])
    assert command(sums, folder, "--limit", "6") == 0


def test_many_are_counted_and_the_first_are_named(sums, tmp_path, capsys):
    folder = tmp_path / "run"
    assert command(sums, folder) == 0
    for number in range(20):
        correct(sums, number, "-1")
    capsys.readouterr()
    assert command(sums, folder) == 1
    said = capsys.readouterr().err
    assert "20 problems have another reference in their source than on record" in said
    assert said.count("'-1' now") == 5
    assert "problems.jsonl:1:" in said


def test_another_verifier_or_spec_is_another_reference_too(sums, tmp_path, capsys):
    folder = tmp_path / "run"
    assert command(sums, folder, "--limit", "3") == 0
    rows = [json.loads(line) for line in sums.problems.read_text(encoding="utf-8").splitlines()]
    rows[0]["spec"] = {"tolerance": 0.5}
    rows[1]["verifier"] = "math"
    rows[2]["level"] = 7  # nothing that a verdict depends on
    sums.write(sums.problems, rows)
    assert command(sums, folder, "--limit", "3") == 1
    said = capsys.readouterr().err
    assert "2 problems have another reference" in said
    assert "problems.jsonl:1: spec {} on record, {'tolerance': 0.5} now" in said
    assert "problems.jsonl:2: verifier '' on record, 'math' now" in said


def test_what_is_read_for_the_first_time_is_compared_with_nothing(sums, tmp_path):
    given_ = sums.recipe("limit=4")
    assert run.run(given_, tmp_path / "run", quiet).changed == 0
    assert run.run(sums.recipe("limit=8"), tmp_path / "run", quiet).changed == 0


def test_a_ledger_that_does_not_say_is_not_accused(sums, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("factory.ledger.records.reference", lambda _: None)
        run.run(sums.recipe("limit=4"), tmp_path / "run", quiet)
    correct(sums, 0, "777")
    assert run.run(sums.recipe("limit=4"), tmp_path / "run", quiet).changed == 0


@given(one=st.tuples(st.none() | TEXT, TEXT, SPECS), other=st.tuples(st.none() | TEXT, TEXT, SPECS))
def test_a_reference_is_told_from_every_other_one(one, other):
    first, second = (
        Problem(id="a" * 16, prompt="q", answer=answer, verifier=verifier, spec=spec)
        for answer, verifier, spec in (one, other)
    )
    assert (reference(first) == reference(second)) == (one == other)


def disputed(sums, *answers: str) -> str:
    """The first rows of the source, and then one question with several answers."""
    rows = [json.loads(line) for line in sums.problems.read_text(encoding="utf-8").splitlines()][:3]
    question = rows[1]["prompt"]
    rows += [
        {"prompt": question + end, "answer": a} for a, end in zip(answers, " \n", strict=False)
    ]
    sums.write(sums.problems, rows)
    return str(question)


def test_a_question_with_two_answers_is_published_with_neither(sums, tmp_path, capsys):
    question = disputed(sums, "19", "18")
    folder = tmp_path / "run"
    assert command(sums, folder) == 0
    out = capsys.readouterr().out
    assert "1 conflicting_answer" in next(x for x in out.splitlines() if x.startswith("  barred"))
    assert standing.read(folder / "ledger").disputed == {problem_id(question)}
    shards = "".join(str(row) for row in rows_of(folder))
    assert question not in shards
    assert "conflicting_answer" in (folder / "dataset" / "README.md").read_text(encoding="utf-8")
    manifest = json.loads((folder / "dataset" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["counts"]["barred"] == {"conflicting_answer": 1}


def rows_of(folder) -> list[dict]:
    import pyarrow.parquet as pq

    shards = (folder / "dataset").rglob("*.parquet")
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


def test_the_second_answer_may_turn_up_later(sums, tmp_path):
    folder = tmp_path / "run"
    first = run.run(sums.recipe("limit=3"), folder, quiet)
    question = disputed(sums, "19")
    again = run.run(sums.recipe("limit=3"), folder, quiet)
    assert again.dataset.accepted < first.dataset.accepted
    assert question not in "".join(str(row) for row in rows_of(folder))


def test_equal_answers_are_no_dispute(sums, tmp_path):
    rows = [json.loads(line) for line in sums.problems.read_text(encoding="utf-8").splitlines()]
    disputed(sums, rows[1]["answer"])
    result = run.run(sums.recipe(), tmp_path / "run", quiet)
    assert result.dataset.barred == {}
    assert result.counts.rejects == {"duplicate": 1}
