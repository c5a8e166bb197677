"""Snippets for other trainers than TRL, held against what their loaders document.

Where the loader itself can be installed, `test_loaders.py` runs it. Each test names the document,
and restates what it asks of a row or of a setting.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
import tomllib

import datasets
import pytest
import yaml

from factory import reward
from factory.configs import CONFIGS
from factory.configs.trainers import SNIPPETS, snippets


def texts(trainer, config, language):
    return [
        s.filled("me/traces")
        for s in SNIPPETS
        if (s.trainer, s.config, s.language) == (trainer, config, language)
    ]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(made, config, cache):
    return list(datasets.load_dataset(str(made), config, split="train", cache_dir=str(cache)))


# data/README.md and src/llamafactory/data/parser.py of LLaMA-Factory
LLAMA_KEYS = {"hf_hub_url", "file_name", "formatting", "ranking", "subset", "columns", "tags"}
LLAMA_COLUMNS = {"messages", "system", "tools", "chosen", "rejected", "kto_tag"}
LLAMA_TAGS = {"role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag"}


def llama_factory_takes(entry, row):
    """The checks of its ShareGPT converter: roles alternate, and the count is as the task wants."""
    tags, columns = entry["tags"], entry["columns"]
    turns = row[columns["messages"]]
    if turns[0][tags["role_tag"]] == tags["system_tag"]:
        turns = turns[1:]
    roles = [turn[tags["role_tag"]] for turn in turns]
    expected = [tags["user_tag"], tags["assistant_tag"]] * len(turns)
    sides = [row[columns[side]] for side in ("chosen", "rejected") if side in columns]
    return (
        roles == expected[: len(roles)]
        and (len(roles) % 2 == 1) == entry.get("ranking", False)
        and all(isinstance(turn[tags["content_tag"]], str) for turn in [*turns, *sides])
        and all(side[tags["role_tag"]] == tags["assistant_tag"] for side in sides)
        and isinstance(row[columns.get("kto_tag", columns["messages"])], bool | list)
    )


@pytest.mark.parametrize("config", ["default", "preference", "unpaired"])
def test_llama_factory(made, workshop, tmp_path, config):
    (text,) = texts("LLaMA-Factory", config, "json")
    ((_, entry),) = json.loads(text).items()
    assert set(entry) <= LLAMA_KEYS
    assert set(entry["columns"]) <= LLAMA_COLUMNS
    assert set(entry["tags"]) == LLAMA_TAGS
    if config == "default":
        assert entry["hf_hub_url"] == "me/traces"
        found = rows(made, None, tmp_path)
    else:
        found = lines(workshop / entry["file_name"])
    assert found
    assert all(llama_factory_takes(entry, row) for row in found)
    if "kto_tag" in entry["columns"]:
        assert {row["label"] for row in found} == {True, False}


# docs/dataset-formats/conversation.qmd, stepwise_supervised.qmd, docs/rlhf.qmd of axolotl
def test_axolotl(made, workshop, tmp_path):
    (sft,) = yaml.safe_load(texts("axolotl", "default", "yaml")[0])["datasets"]
    assert sft == {"path": "me/traces", "split": "train", "type": "chat_template"}
    for row in rows(made, None, tmp_path):
        assert all(set(turn) == {"role", "content"} for turn in row["messages"])
    dpo = yaml.safe_load(texts("axolotl", "preference", "yaml")[0])
    (of,) = dpo["datasets"]
    assert (dpo["rl"], of["type"], of["ds_type"]) == ("dpo", "chat_template.default", "json")
    for row in lines(workshop / of["path"]):
        assert row[of["field_messages"]][-1]["role"] == "user"
        for side in (row[of["field_chosen"]], row[of["field_rejected"]]):
            assert (set(side), side["role"]) == ({"role", "content"}, "assistant")
    prm = yaml.safe_load(texts("axolotl", "stepwise", "yaml")[0])
    assert (prm["process_reward_model"], prm["num_labels"]) == (True, 2)
    assert prm["datasets"][0]["type"] == "stepwise_supervised"
    for row in rows(made, prm["datasets"][0]["name"], tmp_path):
        assert isinstance(row["prompt"], str)
        assert len(row["completions"]) == len(row["labels"]) > 0
        assert {*map(type, row["completions"])} == {str}
        assert {*map(type, row["labels"])} == {bool}


# docs/preparation/prepare_data.rst, docs/preparation/reward_function.rst of verl
def test_verl(made, tmp_path):
    (text,) = texts("verl", "rl", "bash")
    settings = dict(
        word.split("=", 1) for word in shlex.split(text) if re.match(r"[a-z_.]+=", word)
    )
    assert settings["data.prompt_key"] == "prompt"
    name = settings["reward.custom_reward_function.name"]
    assert "import factory.reward as r; print(r.__file__)" in text
    (shard,) = settings["data.train_files"].strip("[]").split(",")
    assert (made / shard.removeprefix("traces/")).is_file()
    taken = inspect.signature(getattr(reward, name)).parameters
    assert list(taken)[:4] == ["data_source", "solution_str", "ground_truth", "extra_info"]
    found = rows(made, "rl", tmp_path)
    for row in found:
        assert isinstance(row["data_source"], str)
        assert isinstance(row["ability"], str)
        assert row["prompt"][-1]["role"] == "user"
        assert row["reward_model"]["style"] == "rule"
        assert row["extra_info"]["split"] == "train"
        assert isinstance(row["extra_info"]["index"], int)
    first = found[0]
    answer = f"It is \\boxed{{{first['reward_model']['ground_truth']}}}."
    try:
        score = getattr(reward, name)(
            data_source=first["data_source"],
            solution_str=answer,
            ground_truth=first["reward_model"]["ground_truth"],
            extra_info=first["extra_info"],
        )
    finally:
        reward._SHARED.close()
    assert score["score"] == 1.0


# docs/guides/sft.md of NeMo-RL, "OpenAI Format Datasets"; oai_format_dataset.py
def test_nemo_rl(workshop):
    train = yaml.safe_load(texts("NeMo-RL", "default", "yaml")[0])["data"]["train"]
    assert (train["dataset_name"], set(train)) == (
        "openai_format",
        {"dataset_name", "data_path", "chat_key"},
    )
    found = lines(workshop / train["data_path"])
    assert found
    for row in found:
        assert row[train["chat_key"]][-1]["role"] == "assistant"
        assert "tools" not in row


# docs/algorithms/finetune.md of open-instruct; the columns of its RLVR datasets
def test_open_instruct(made, workshop, tmp_path):
    words = shlex.split(texts("open-instruct", "default", "bash")[0])
    flags = [word for word in words if word.startswith("--")]
    assert flags == ["--model_name_or_path", "--dataset_mixer_list", "--dataset_mixer_list_splits"]
    mixer = words.index("--dataset_mixer_list")
    assert words[mixer + 1 : mixer + 3] == ["me/traces", "1.0"]
    found = lines(workshop / "rlvr.jsonl")
    assert found
    for row in found:
        assert set(row) == {"messages", "ground_truth", "dataset"}
        assert row["messages"][-1]["role"] == "user"
        assert isinstance(row["ground_truth"], str)
    assert all("messages" in row for row in rows(made, None, tmp_path))


# docs/training.md of prime-rl, "Dataset Format"; its src/prime_rl/trainer/sft/data.py: what it
# reads of a row beside `messages`, the columns it adds itself, and the roles it knows.
PRIME_READS = {"tools", "tool_defs", "chat_template_kwargs", "reasoning_effort"}
PRIME_ADDS = {"__subset", "__split", "__index"}
PRIME_ROLES = {"system", "user", "assistant", "tool"}


def test_prime_rl(made, tmp_path):
    (text,) = texts("prime-rl", "default", "toml")
    settings = tomllib.loads(text)
    assert (set(settings), settings["data"]) == ({"model", "data"}, {"name": "me/traces"})
    found = datasets.load_dataset(str(made), None, split="train", cache_dir=str(tmp_path))
    assert "messages" in found.column_names
    assert not set(found.column_names) & (PRIME_READS | PRIME_ADDS)
    assert len(found)
    for row in found:
        roles = [turn["role"] for turn in row["messages"]]
        assert set(roles) <= PRIME_ROLES
        assert roles[-1] == "assistant"
        # It drops a turn's fields that are null; a turn without content would not be rendered.
        assert all(isinstance(turn["content"], str) for turn in row["messages"])
        assert row["messages"][-1]["content"].strip()


# What `trl sft`, and trainers like it, take for something else.
RESERVED = {
    "prompt", "completion", "chosen", "rejected", "labels", "text", "input_ids", "images", "image",
    "completion_mask", "assistant_masks", "tools", "chat_template_kwargs", "conversations",
}  # fmt: skip
# What TRL's GRPO hands to a reward function by itself.
OWN = {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric"}


def test_no_config_has_a_column_that_its_trainer_takes_for_something_else():
    for config in CONFIGS:
        names = set(config.schema.names)
        if "messages" in names:
            assert not names & RESERVED, config.name
        if config.name == "rl":
            assert not names & (OWN | (RESERVED - {"prompt"}))
        if config.name in ("preference", "unpaired", "rl"):
            assert not names & {"messages", "text", "input_ids", "images", "tools"}


def test_every_config_that_one_trains_on_has_a_snippet():
    told = {snippet.config for snippet in snippets([config.name for config in CONFIGS])}
    assert told == {"default", "preference", "unpaired", "rl", "stepwise"}
    assert list(snippets([])) == []
