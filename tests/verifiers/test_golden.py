"""Every golden case of every verifier, judged in a real worker process."""

import json

import pytest

from factory import plugins
from factory.types import Outcome, Problem
from tests.verifiers.subjects import Subject
from verifiers import _golden

NAMES = plugins.names("verifier")


def test_golden_cases(subject: Subject):
    cases = subject.suite.cases
    verdicts = subject.verdicts([(case.problem, case.completion) for case in cases])
    wrong = [
        f"{case.problem.answer!r:.60} <- {case.completion[-80:]!r}: wanted {case.outcome}, "
        f"got {verdict.outcome} ({verdict.detail})"
        for case, verdict in zip(cases, verdicts, strict=True)
        if not case.allows(verdict.outcome)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_golden_cases_cover_both_sides(name):
    outcomes = {case.outcome for suite in _golden.suites(name) for case in suite.cases}
    assert "correct" in outcomes
    assert outcomes & {"incorrect", "unparsable", "not_correct"}
    assert outcomes <= {*map(str, Outcome), "not_correct"}


def test_every_golden_file_has_its_verifier():
    assert {path.stem for path in _golden.FOLDER.glob("*.jsonl")} == set(NAMES)


def test_a_line_of_options_holds_for_the_lines_below(tmp_path, monkeypatch):
    rows = [
        {"answer": "a", "completion": "a", "outcome": "correct"},
        {"options": {"ignore_case": True}},
        {"answer": "a", "completion": "A", "outcome": "correct", "category": "case"},
        {"answer": "a", "spec": {"x": 1}, "completion": "a", "outcome": "correct"},
        {"answer": "b", "completion": "", "outcome": "not_correct"},
    ]
    (tmp_path / "exact.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.setattr(_golden, "FOLDER", tmp_path)
    first, second = _golden.suites("exact")
    assert (first.options, len(first.cases)) == ({}, 1)
    assert (second.options, len(second.cases)) == ({"ignore_case": True}, 3)
    assert second.cases[0].category == "case"
    assert second.problems() == [
        Problem(id="golden", prompt="", answer="a"),
        Problem(id="golden", prompt="", answer="a", spec={"x": 1}),
    ]
    assert not second.cases[2].allows(Outcome.CORRECT)
    assert not second.cases[2].allows(Outcome.ERROR)
    assert second.cases[2].allows(Outcome.UNSURE)
