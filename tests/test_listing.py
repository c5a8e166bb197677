"""`factory list` and docs/recipe.md: every key and option, with what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory import keys, plugins
from factory.errors import PluginError
from factory.listing import listing, markdown
from factory.recipe import Recipe

DOCUMENT = Path(__file__).parent.parent / "docs" / "recipe.md"


def test_the_document_is_up_to_date():
    made = "factory list --markdown > docs/recipe.md"
    assert DOCUMENT.read_text(encoding="utf-8") == markdown() + "\n", made


def test_every_key_of_a_recipe_says_what_it_is():
    assert [key.name for key in keys.keys(Recipe) if not key.doc] == []


@pytest.mark.parametrize("room", plugins.ROOMS)
def test_every_option_says_what_it_is(room):
    for name in plugins.names(room):
        options = keys.keys(plugins.load(room, name))
        assert [option.name for option in options if not option.doc] == []


def test_a_plugin_is_shown_with_type_default_and_docstring():
    text = "\n".join(listing("engine", "vllm"))
    assert text.startswith("engine vllm: vLLM (AsyncLLM)")
    assert "  model: text; required\n      A folder in Hugging Face format" in text
    assert "  max_num_seqs: integer; default 256\n      Requests that run at once." in text
    assert "_llm" not in text


def test_a_recipe_is_shown_by_section_with_bounds_and_choices():
    text = "\n".join(listing("recipe", "sandbox"))
    assert "sandbox.tier: namespaces, landlock or remote; default namespaces" in text
    assert "cluster" not in text
    whole = "\n".join(listing("recipe", None))
    assert "judging.timeout_s: number, above 0, at most 86400; default 5.0" in whole
    assert "card.license: text; required" in whole
    assert "traces.quality.personal: list of email, phone or card; default []" in whole
    assert "decontaminate.against[].path: text or null; default null" in whole


def test_a_room_is_listed_alone():
    assert {line.split()[0] for line in listing("policy", None)} == {
        "policies", "adaptive", "difficulty", "fixed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("room", "name", "message"),
    [
        ("engines", None, "'engines'; choices: source, engine, policy, verifier, recipe"),
        ("engine", "vlm", "unknown engine 'vlm'; known: openai"),
        ("recipe", "cards", "no section 'cards'; sections: name, sources"),
    ],
)
def test_what_is_not_there_is_named_with_the_choices(room, name, message):
    with pytest.raises(PluginError, match=message.replace("[", r"\[")):
        list(listing(room, name))


def test_options_of_a_base_class_bring_their_docstrings():
    (members, threshold) = keys.keys(plugins.load("verifier", "weighted"))
    assert members.doc.startswith("The members")
    assert threshold.default == "1.0"
