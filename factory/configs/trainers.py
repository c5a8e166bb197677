"""How the trainers take the published configs: the snippets of the card.

What stands under TRL is run as it is in the tests. axolotl, LLaMA-Factory and verl load the rows
there by their own loaders, as their commands would. NeMo-RL (`docs/guides`), open-instruct
(`docs/algorithms`) and prime-rl (`docs/training.md`), which no package index offers, are held
against what they document.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from string import Template

MODEL = "Qwen/Qwen3-0.6B-Base"

TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """How one trainer takes one config."""

    trainer: str
    url: str
    config: str
    language: str
    text: str
    """`$repo`, `$name` and `$model` stand for the dataset, its last part and a model."""
    said: str = ""
    """What a reader has to know first."""

    def filled(self, repo: str, model: str = MODEL) -> str:
        return Template(self.text).substitute(repo=repo, name=_name(repo), model=model)


def snippets(configs: Collection[str]) -> Iterator[Snippet]:
    """Those whose config is there, trainer by trainer."""
    return (snippet for snippet in SNIPPETS if snippet.config in configs)


def _name(repo: str) -> str:
    return repo.rpartition("/")[2]


def _entry(name: str, where: dict[str, object], columns: dict[str, str]) -> str:
    """An entry of LLaMA-Factory's `dataset_info.json`."""
    entry = {**where, "formatting": "sharegpt", "columns": columns, "tags": TAGS}
    return json.dumps({name: entry}, indent=2)


_TRL = "https://github.com/huggingface/trl"
_LLAMA = "https://github.com/hiyouga/LLaMA-Factory"
_AXOLOTL = "https://github.com/axolotl-ai-cloud/axolotl"
_VERL = "https://github.com/volcengine/verl"
_NEMO = "https://github.com/NVIDIA-NeMo/RL"
_OPEN = "https://github.com/allenai/open-instruct"
_PRIME = "https://github.com/PrimeIntellect-ai/prime-rl"

PAIRS_AS_JSONL = """\
from datasets import load_dataset

pairs = load_dataset("$repo", "preference", split="train")
pairs = pairs.map(lambda row: {"chosen": row["chosen"][0], "rejected": row["rejected"][0]})
pairs.to_json("preference.jsonl")"""

SINGLES_AS_JSONL = """\
from datasets import load_dataset

rows = load_dataset("$repo", "unpaired", split="train")
rows = rows.map(lambda row: {"messages": row["prompt"] + row["completion"]})
rows.select_columns(["messages", "label"]).to_json("unpaired.jsonl")"""

TRACES_AS_JSONL = """\
from datasets import load_dataset

load_dataset("$repo", split="train").select_columns("messages").to_json("traces.jsonl")"""

RL_AS_RLVR = """\
from datasets import load_dataset

rows = load_dataset("$repo", "rl", split="train")
rows = rows.map(
    lambda row: {"messages": row["prompt"], "ground_truth": row["answer"], "dataset": "math"},
    remove_columns=rows.column_names,
)
rows.to_json("rlvr.jsonl")"""

STEPS = """\
from datasets import load_dataset
from transformers import AutoModelForTokenClassification, AutoTokenizer
from trl.experimental.prm import PRMConfig, PRMTrainer

steps = load_dataset("$repo", "stepwise", split="train")
trainer = PRMTrainer(
    model=AutoModelForTokenClassification.from_pretrained("$model", num_labels=2),
    processing_class=AutoTokenizer.from_pretrained("$model"),
    args=PRMConfig(output_dir="prm"),
    train_dataset=steps.select_columns(["prompt", "completions", "labels"]),
)
trainer.train()"""


def _trl(config: str, command: str, more: str = "", said: str = "") -> Snippet:
    of = "" if config == "default" else f" --dataset_config {config}"
    text = f"trl {command} --model_name_or_path $model --dataset_name $repo{of}{more}"
    return Snippet(trainer="TRL", url=_TRL, config=config, language="bash", text=text, said=said)


SNIPPETS = (
    _trl("default", "sft"),
    _trl("preference", "dpo"),
    _trl("unpaired", "kto"),
    _trl(
        "rl",
        "grpo",
        " --reward_funcs factory.reward.reward",
        "With the verifiers that made this dataset as the reward: `reasoning-trace-factory` is "
        "installed beside TRL, or the command is given in its checkout.",
    ),
    Snippet(
        trainer="TRL",
        url=_TRL,
        config="stepwise",
        language="python",
        text=STEPS,
        said="Releases up to 1.13 have a trainer for process rewards:",
    ),
    Snippet(
        trainer="LLaMA-Factory",
        url=_LLAMA,
        config="default",
        language="json",
        text=_entry("$name", {"hf_hub_url": "$repo"}, {"messages": "messages"}),
        said="In `dataset_info.json`:",
    ),
    Snippet(
        trainer="LLaMA-Factory",
        url=_LLAMA,
        config="preference",
        language="python",
        text=PAIRS_AS_JSONL,
        said="It takes one message for `chosen` and `rejected`, not a list (so does axolotl):",
    ),
    Snippet(
        trainer="LLaMA-Factory",
        url=_LLAMA,
        config="preference",
        language="json",
        text=_entry(
            "preference",
            {"file_name": "preference.jsonl", "ranking": True},
            {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
        ),
    ),
    Snippet(
        trainer="LLaMA-Factory",
        url=_LLAMA,
        config="unpaired",
        language="python",
        text=SINGLES_AS_JSONL,
        said="It takes the whole conversation for KTO:",
    ),
    Snippet(
        trainer="LLaMA-Factory",
        url=_LLAMA,
        config="unpaired",
        language="json",
        text=_entry(
            "unpaired",
            {"file_name": "unpaired.jsonl"},
            {"messages": "messages", "kto_tag": "label"},
        ),
    ),
    Snippet(
        trainer="axolotl",
        url=_AXOLOTL,
        config="default",
        language="yaml",
        text="datasets:\n  - path: $repo\n    split: train\n    type: chat_template",
    ),
    Snippet(
        trainer="axolotl",
        url=_AXOLOTL,
        config="preference",
        language="yaml",
        text=(
            "rl: dpo\ndatasets:\n  - path: preference.jsonl\n    ds_type: json\n    split: train\n"
            "    type: chat_template.default\n    field_messages: prompt\n"
            "    field_chosen: chosen\n    field_rejected: rejected"
        ),
        said="With the file made for LLaMA-Factory above:",
    ),
    Snippet(
        trainer="axolotl",
        url=_AXOLOTL,
        config="stepwise",
        language="yaml",
        text=(
            "model_type: AutoModelForTokenClassification\nnum_labels: 2\n"
            "process_reward_model: true\ndatasets:\n  - path: $repo\n    name: stepwise\n"
            '    split: train\n    type: stepwise_supervised\n    step_separator: "\\n"'
        ),
    ),
    Snippet(
        trainer="verl",
        url=_VERL,
        config="default",
        language="bash",
        text=(
            "hf download $repo --repo-type dataset --include 'data/*' --local-dir $name\n"
            "torchrun --nproc_per_node=1 -m verl.trainer.sft_trainer \\\n"
            "    data.train_files='[$name/data/train-00000.parquet]' data.messages_key=messages"
        ),
        said="Beside the model's options; further shards go into the list:",
    ),
    Snippet(
        trainer="verl",
        url=_VERL,
        config="rl",
        language="bash",
        text=(
            "hf download $repo --repo-type dataset --include 'rl/*' --local-dir $name\n"
            "python3 -m verl.trainer.main_ppo \\\n"
            "    data.train_files='[$name/rl/train-00000.parquet]' data.prompt_key=prompt \\\n"
            "    reward.custom_reward_function.path=$$(python3 -c "
            "'import factory.reward as r; print(r.__file__)') \\\n"
            "    reward.custom_reward_function.name=compute_score"
        ),
        said="Beside the model's and the cluster's options; further shards go into the list:",
    ),
    Snippet(
        trainer="NeMo-RL",
        url=_NEMO,
        config="default",
        language="python",
        text=TRACES_AS_JSONL,
        said="It reads conversations from JSON Lines:",
    ),
    Snippet(
        trainer="NeMo-RL",
        url=_NEMO,
        config="default",
        language="yaml",
        text=(
            "data:\n  train:\n    dataset_name: openai_format\n"
            "    data_path: traces.jsonl\n    chat_key: messages"
        ),
    ),
    Snippet(
        trainer="open-instruct",
        url=_OPEN,
        config="default",
        language="bash",
        text=(
            "python open_instruct/finetune.py --model_name_or_path $model \\\n"
            "    --dataset_mixer_list $repo 1.0 --dataset_mixer_list_splits train"
        ),
    ),
    Snippet(
        trainer="open-instruct",
        url=_OPEN,
        config="rl",
        language="python",
        text=RL_AS_RLVR,
        said="Its own verifiers are named in `dataset`; for those of mathematical answers:",
    ),
    Snippet(
        trainer="prime-rl",
        url=_PRIME,
        config="default",
        language="toml",
        text='[model]\nname = "$model"\n\n[data]\nname = "$repo"',
        said="As `sft.toml`, for `uv run sft @ sft.toml`:",
    ),
)
