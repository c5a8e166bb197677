"""Plug-ins from outside: whatever is wrong with one is a PluginError that names it."""

from __future__ import annotations

import sys

import pytest

from factory import plugins
from factory.errors import PluginError
from factory.types import Completion, Problem, Rollout
from factory.verdicts import Judge

HEAD = "from dataclasses import dataclass\n"
BROKEN = {
    "syntax": ("def (", "SyntaxError"),
    "raises": ("raise ValueError('not today')", "ValueError: not today"),
    "leaves": ("raise SystemExit(3)", "SystemExit: 3"),
    "missing": ("import no_such_module", "no_such_module"),
    "empty": ("", "defines no class 'Policy'"),
    "value": ("Policy = 3", "defines no class 'Policy'"),
    "plain": ("class Policy:\n    n = 1", "is no dataclass"),
    "schema": (HEAD + "@dataclass\nclass Policy:\n    n: 'Nowhere'", "PydanticUserError"),
    "post": (
        HEAD + "@dataclass\nclass Policy:\n"
        "    n: int = 1\n    def __post_init__(self): raise KeyError('gone')",
        "KeyError: 'gone'",
    ),
}


@pytest.mark.parametrize("flaw", BROKEN)
def test_what_is_wrong_with_a_plugin_is_named(flaw, tmp_path, monkeypatch):
    code, message = BROKEN[flaw]
    package = tmp_path / "outside_plugins"
    package.mkdir()
    (package / f"{flaw}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    name = f"outside_plugins.{flaw}"
    try:
        with pytest.raises(PluginError) as caught:
            plugins.build("policy", name, {})
    finally:
        for module in ("outside_plugins", name):
            sys.modules.pop(module, None)
    assert name in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [".rel", "a.", "a..b", "."])
def test_a_module_path_is_absolute(name):
    with pytest.raises(PluginError, match="absolute"):
        plugins.load("verifier", name)


def test_what_a_verifier_writes_can_be_stored():
    name = "tests.verifiers.faulty"
    problem = Problem(id="p", prompt="?", answer="yes")
    rollout = Rollout(problem_id="p", index=0, model="m", completion=Completion(text="a\ud800b"))
    with Judge({name: {}}, default=name) as judge:
        verdict = judge.judge(problem, rollout)
    assert verdict.outcome == "incorrect"
    assert verdict.extracted == "a?b"


def test_every_plugin_that_is_listed_has_a_summary():
    assert all(plugins.summary("policy", name) for name in plugins.names("policy"))
