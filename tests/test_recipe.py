"""Recipes: what is shipped loads, what is wrong is named with file, key, value and choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory import recipe
from factory.errors import RecipeError
from factory.types import Problem

PIPELINES = sorted(Path("pipelines").glob("*.yaml"))
MINIMAL = """
name: tiny
sources: [{name: jsonl, path: data/quickstart.jsonl}]
engine: {name: scripted, script: s.jsonl}
policy: {name: fixed}
verifiers: [{name: math}]
card: {license: apache-2.0}
"""


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_every_pipeline_loads_and_survives_its_own_frozen_form(path):
    if "reasoning_gym" in path.read_text(encoding="utf-8"):
        pytest.importorskip("reasoning_gym", reason="needs the `gym` extra: make test says how")
    given = recipe.load(path)
    again = recipe.parse(given.to_yaml(), "frozen")
    assert again == given
    assert again.to_yaml() == given.to_yaml()
    assert recipe.difference(again, given) == ""


def test_there_are_recipes_for_a_laptop_and_for_a_cluster():
    assert {p.stem for p in PIPELINES} >= {"quickstart", "math-cluster", "code-cluster"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("polcy.n=3", "unknown key 'polcy'; known: name, sources"),
        ("sampling.temprature=1", "unknown key 'temprature' in sampling; known: temperature"),
        ("traces.max=1", "unknown key 'max' in traces; known: max_per_problem"),
        ("policy.m=3", "policy 'fixed' has no option 'm'; options: n"),
        ("policy.n=0", "n must be at least 1, got 0"),
        ("policy.name=greedy", "unknown policy 'greedy'; known: adaptive, fixed"),
        ("engine.name=vlm", "unknown engine 'vlm'; known: openai, scripted, vllm"),
        ("verifiers.0.name=maths", "unknown verifier 'maths'; known: choice, exact, math"),
        ("sampling.temperature=hot", "sampling.temperature"),
        ("prompt.template=hello", "template must contain {prompt}"),
        ("cluster.replicas=0", "greater than or equal to 1"),
        ("limit", "expected KEY.KEY=VALUE"),
        ("sources.3.path=x", "'3' is no position in a list of 1"),
        ("name.x=1", "'name' holds 'tiny', not a mapping"),
        ("card={}", "card.license: Field required"),
    ],
)
def test_errors_name_key_value_and_choices(change, message):
    with pytest.raises(RecipeError) as caught:
        recipe.parse(MINIMAL, "tiny.yaml", [change])
    assert message in str(caught.value)
    assert "tiny.yaml" in str(caught.value) or change in str(caught.value)


def test_model_that_does_not_exist_is_found_before_anything_starts():
    with pytest.raises(RecipeError, match="no such folder"):
        recipe.parse(MINIMAL, "r", ["engine={name: vllm, model: ./nowhere}"])
    with pytest.raises(RecipeError, match="allow_download"):
        recipe.parse(MINIMAL, "r", ["engine={name: vllm, model: Qwen/Nope-1B}"])


def test_unreadable_and_broken_files(tmp_path):
    with pytest.raises(RecipeError, match="No such file"):
        recipe.load(tmp_path / "none.yaml")
    (tmp_path / "r.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(RecipeError, match="not YAML"):
        recipe.load(tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_text("- a", encoding="utf-8")
    with pytest.raises(RecipeError, match="a recipe is a mapping, got list"):
        recipe.load(tmp_path / "r.yaml")


def test_set_changes_values_as_yaml():
    given = recipe.parse(MINIMAL, "r", ["policy.n=8", "sampling.stop=[a, b]", "limit=5"])
    assert given.policy.options == {"n": 8}
    assert given.sampling.stop == ("a", "b")
    assert given.limit == 5


def test_what_may_vary_is_no_difference_and_the_rest_is_shown():
    old = recipe.parse(MINIMAL, "r")
    may = ["limit=3", "traces.max_per_problem=9", "cluster.replicas=4", "judging.timeout_s=9"]
    assert recipe.difference(old, recipe.parse(MINIMAL, "r", may)) == ""
    shown = recipe.difference(old, recipe.parse(MINIMAL, "r", ["sampling.temperature=0.5"]))
    assert "-  temperature: 1.0" in shown
    assert "+  temperature: 0.5" in shown


def test_prompt_renders_system_template_and_conversations():
    prompt = recipe.Prompt(system="Think.", template="Q: {prompt}")
    assert prompt.render(Problem(id="p", prompt="{2}?")) == (
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "Q: {2}?"},
    )
    turns = (
        {"role": "system", "content": "own"},
        {"role": "user", "content": "a"},
    )
    rendered = prompt.render(Problem(id="p", prompt="a", messages=turns))
    assert [m["content"] for m in rendered] == ["own", "Q: a"]
