"""Recipes: what is shipped loads, what is wrong is named with file, key, value and choices."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume
from hypothesis import given as of_all
from hypothesis import strategies as st

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
        ("traces.max=1", "unknown key 'max' in traces; known: quality, max_per_problem"),
        ("policy.m=3", "policy 'fixed' has no option 'm'; options: n"),
        ("policy.n=0", "n must be at least 1, got 0"),
        ("policy.name=greedy", "unknown policy 'greedy'; known: adaptive, difficulty, fixed"),
        ("engine.name=vlm", "unknown engine 'vlm'; known: openai, scripted, vllm"),
        ("verifiers.0.name=maths", "unknown verifier 'maths'; known: all_of, any_of"),
        ("sampling.temperature=hot", "sampling.temperature"),
        ("prompt.template=hello", "template must contain {prompt}"),
        ("cluster.replicas=0", "greater than or equal to 1"),
        ("limit", "expected KEY.KEY=VALUE"),
        ("sources.3.path=x", "'3' is no position in a list of 1"),
        ("name.x=1", "'name' holds 'tiny', not a mapping"),
        ("card={}", "card.license: Field required"),
        ("sampling.max_tokens=0", "max_tokens must be at least 1, got 0"),
        ("sampling.top_p=0", "top_p must be in (0, 1], got 0"),
        ("sampling.top_p=1.5", "top_p must be in (0, 1], got 1.5"),
        ("sampling.temperature=-1", "temperature must be finite and at least 0, got -1"),
        ("sampling.temperature=.nan", "temperature must be finite and at least 0, got nan"),
        ("sampling.temperature=.inf", "temperature must be finite and at least 0, got inf"),
        ("sampling.top_k=-1", "top_k must be at least 0, got -1"),
        ("sampling.min_p=2", "min_p must be in [0, 1], got 2"),
        ("sampling.repetition_penalty=0", "repetition_penalty must be finite and above 0, got 0"),
        ("judging.timeout_s=.inf", "less than or equal to 86400"),
        ("judging.timeout_s=.nan", "judging.timeout_s"),
        ("judging.memory_mb=1048577", "less than or equal to 1048576"),
        ("policy.n=100001", "n must be at most 100000, got 100001"),
        ("policy={name: adaptive, at_most: 100001}", "at_most must be at most 100000, got 100001"),
        ("verifiers=[{name: math}, {name: exact}, {name: math}]", "'math' is listed twice"),
        ("sources.\u00b2=1", "'\u00b2' is no position in a list of 1"),
        ("policy={n: 1, n: 2}", "the key 'n' is written twice"),
        ("limit=2024-13-45", "not YAML"),
        ("limit=" + "[" * 5000, "nested too deeply"),
        ("policy=adaptive", "policy: a mapping with `name` is wanted, as {name: adaptive}, got"),
        ("verifiers.0=math", "verifiers.0: a mapping with `name` is wanted, as {name: math}, got"),
        ("sampling=hot", "sampling: a mapping is wanted, got 'hot'"),
        ("verifiers={name: math}", "verifiers: a list is wanted, got {'name': 'math'}"),
        ("limit=true", "limit: integer or null is wanted, got true"),
        ("policy.n=true", "policy 'fixed': n: integer is wanted, got true"),
        ("sampling.stop=[yes]", "sampling.stop.0: text is wanted, got true"),
        ("engine.fail_share=true", "engine 'scripted': fail_share: number is wanted, got true"),
        ("branching.after=100", "branching.after must be below policy.n (4), or no rollout is"),
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


def test_a_key_written_twice_is_named_with_its_line():
    with pytest.raises(RecipeError, match=r"the key 'name' is written twice(?s:.*)line 8"):
        recipe.parse(MINIMAL + "name: again\n", "r")
    merged = MINIMAL + "sampling: {<<: {top_p: 0.5, top_k: 3}, top_p: 0.9}\n"
    assert recipe.parse(merged, "r").sampling.top_p == 0.9


def test_yaml_without_end_is_no_traceback():
    with pytest.raises(RecipeError, match="r: not YAML: nested too deeply"):
        recipe.parse("a: " + "[" * 5000 + "]" * 5000, "r")


def test_a_change_inside_a_plain_list_item_is_named():
    with pytest.raises(RecipeError, match="'0' holds 'math', not a mapping"):
        recipe.parse(MINIMAL, "r", ["verifiers=[math]", "verifiers.0.name=exact"])


def test_without_build_a_recipe_loads_where_its_plugins_are_not(tmp_path):
    absent = ["engine={name: vllm, model: ./nowhere}", "sources.0.name=no_such.module"]
    given = recipe.parse(MINIMAL, "r", absent, build=False)
    assert given.engine.options == {"model": "./nowhere"}
    (tmp_path / "r.yaml").write_text(given.to_yaml(), encoding="utf-8")
    assert recipe.load(tmp_path / "r.yaml", build=False) == given
    with pytest.raises(RecipeError, match=r"no_such\.module"):
        recipe.load(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="unknown key 'polcy'"):
        recipe.parse(MINIMAL, "r", ["polcy.n=3"], build=False)


def test_set_changes_values_as_yaml():
    given = recipe.parse(MINIMAL, "r", ["policy.n=8", "sampling.stop=[a, b]", "limit=5"])
    assert given.policy.options == {"n": 8}
    assert given.sampling.stop == ("a", "b")
    assert given.limit == 5


@pytest.mark.parametrize(
    ("change", "section", "key", "value"),
    [
        ("sources.0.path=*.jsonl", "sources", "path", "*.jsonl"),
        ("sources.0.columns.prompt=no", "sources", "columns", {"prompt": "no"}),
        ("card.title=no", "card", "title", "no"),
        ("card.title='no'", "card", "title", "no"),
        ("card.title=a: b # c", "card", "title", "a: b # c"),
        ("card.title='tis", "card", "title", "'tis"),
        ('prompt.template="{prompt}\\n"', "prompt", "template", "{prompt}\n"),
        ("engine.script=007", "engine", "script", "007"),
        ("prompt.system=null", "prompt", "system", None),
        ("cluster.address=", "cluster", "address", None),
    ],
)
def test_where_text_is_wanted_it_is_taken_as_it_is(change, section, key, value):
    data = recipe.parse(MINIMAL, "r", [change]).model_dump()[section]
    assert (data[0] if isinstance(data, tuple) else data)[key] == value


@of_all(text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_text_is_its_own_change(text):
    assume(text[0] not in "'\"")
    assert recipe.parse(MINIMAL, "r", [f"card.title={text}"]).card.title == text


def test_an_error_is_told_once_and_without_its_surroundings():
    with pytest.raises(RecipeError) as caught:
        recipe.parse(MINIMAL, "r", ["sandbox.url=http://x", "prompt.system=" + "word " * 100])
    assert str(caught.value) == "r: sandbox: url is given with tier remote, and with it alone"
    with pytest.raises(RecipeError) as caught:
        recipe.parse(MINIMAL, "r", ["verifiers=[math]"])
    wanted = "r: verifiers.0: a mapping with `name` is wanted, as {name: math}, got 'math'"
    assert str(caught.value) == wanted
    with pytest.raises(RecipeError) as caught:
        recipe.parse(MINIMAL, "r", ["verifiers=[]"])
    assert str(caught.value) == "r: verifiers: at least 1 wanted, got 0"


def test_where_and_how_fast_may_vary_and_what_a_rollout_is_may_not():
    def vllm(options, *more):
        return recipe.parse(
            MINIMAL, "r", [f"engine={{name: vllm, model: data/tiny_model{options}}}", *more]
        )

    old = vllm("")
    fast = vllm(", tensor_parallel_size: 8, engine_args: {gpu_memory_utilization: 0.8}")
    assert recipe.difference(old, fast) == ""
    assert "max_model_len" in recipe.difference(old, vllm(", max_model_len: 512"))
    assert "fp8" in recipe.difference(old, vllm(", engine_args: {quantization: fp8}"))
    assert "+  n: 9" in recipe.difference(old, vllm("", "policy.n=9"))


def test_sources_may_be_added_at_the_end_and_not_elsewhere():
    more = "sources=[{name: jsonl, path: %s}, {name: jsonl, path: %s}]"
    quick = "data/quickstart.jsonl"
    old = recipe.parse(MINIMAL, "r")
    longer = recipe.parse(MINIMAL, "r", [more % (quick, "more.jsonl")])
    assert recipe.difference(old, longer) == ""
    assert "more.jsonl" in recipe.difference(longer, old)
    assert recipe.difference(old, recipe.parse(MINIMAL, "r", [more % ("more.jsonl", quick)]))


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


def test_a_secret_in_a_recipe_is_refused_without_being_quoted(sums):
    key = "AKIA" + "Q7W2E9R4T6Y1U3I5"
    with pytest.raises(RecipeError, match=r"sums.yaml: prompt.system: looks like AWS") as caught:
        sums.recipe(f"prompt.system=Use {key} now")
    assert key not in str(caught.value)
    assert "api_key_env" in str(caught.value)


@pytest.mark.parametrize(
    ("replicas", "seconds"), [(1, 0.025), (5, 0.025), (64, 0.32), (512, 2.56), (10_000, 5.0)]
)
def test_many_replicas_send_their_events_more_rarely(replicas, seconds):
    assert recipe.Cluster(replicas=replicas).gather_s == pytest.approx(seconds)
