"""Runs the data loaders of trainers as their own commands do, and says what came out.

    python -m tests.trainers.loaders TRAINER '[{"model": ..., "folder": ..., ...}, ...]'

Prints one JSON list, of an object for each job: `rows`, and `learnt`, the text of the first row
that the loss would be taken of (empty where the loader does not decide that). It runs in a process
of its own, in which PYTHONPATH names the folder of `constraints/loaders.txt`.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

IGNORED = -100
"""Label of a token that the loss leaves out."""


def without(*names: str) -> None:
    """Engines and codecs that the loaders would look at because they are there, or for sound."""
    sys.modules["vllm"] = None  # type: ignore[assignment]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)


def tokenizer_of(model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def learnt(tokenizer: Any, row: Any) -> str:
    """What of a tokenized row carries labels."""
    kept = [token for token in row["labels"] if token != IGNORED]
    return str(tokenizer.decode(kept))


def axolotl(model: str, folder: str, config: dict[str, Any]) -> dict[str, Any]:
    """`axolotl preprocess CONFIG`, up to the prepared dataset."""
    import yaml

    without()
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets, load_preference_datasets

    settings = {
        "base_model": model,
        "output_dir": f"{folder}/out",
        "dataset_prepared_path": f"{folder}/prepared",
        "sequence_len": 512,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "num_epochs": 1,
        "learning_rate": 1e-4,
        "optimizer": "adamw_torch",
        "bf16": False,
        "dataset_num_proc": 1,
        **config,
    }
    path = Path(folder) / "axolotl.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    made = load_cfg(str(path))
    if "rl" in config:
        rows = load_preference_datasets(cfg=made).train_dataset
        return {"rows": len(rows), "learnt": "", "first": dict(rows[0])}
    rows = load_datasets(cfg=made).train_dataset
    return {"rows": len(rows), "learnt": learnt(tokenizer_of(model), rows[0])}


def llama_factory(model: str, folder: str, stage: str, name: str) -> dict[str, Any]:
    """`llamafactory-cli train`, up to the tokenized dataset; `dataset_info.json` is in `folder`.

    Its model loader wants an older TRL, so the tokenizer is loaded without it.
    """
    without("torchaudio")
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args

    model_args, data_args, training_args, finetuning_args, _ = get_train_args(
        {
            "model_name_or_path": model,
            "stage": {"dpo": "rm"}.get(stage, stage),
            "do_train": True,
            "finetuning_type": "full",
            "dataset": name,
            "dataset_dir": folder,
            "template": "default",
            "cutoff_len": 512,
            "output_dir": f"{folder}/out",
            "report_to": "none",
            "use_cpu": True,
            **({"pref_loss": "sigmoid"} if stage == "dpo" else {}),
        }
    )
    tokenizer = tokenizer_of(model)
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    stage = finetuning_args.stage
    rows = get_dataset(template, model_args, data_args, training_args, stage, tokenizer)[
        "train_dataset"
    ]
    first = dict(rows[0])
    side = {"labels": first.get("labels") or first["chosen_labels"]}
    told = {key: value for key, value in first.items() if isinstance(value, bool)}
    return {"rows": len(rows), "learnt": learnt(tokenizer, side), **told}


def verl(model: str, folder: str, command: str, overrides: list[str]) -> dict[str, Any]:
    """`python -m verl.trainer.COMMAND OVERRIDES`, up to its dataset and its reward function."""
    without()
    from hydra import compose, initialize_config_module
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    name = {"main_ppo": "ppo_trainer", "sft_trainer": "sft_trainer_engine"}[command]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose(name, overrides)
    tokenizer = tokenizer_of(model)
    if command == "sft_trainer":
        rows = MultiTurnSFTDataset(config.data.train_files, tokenizer, config.data)
        first = rows[0]
        kept = first["input_ids"][first["loss_mask"].bool()]
        return {"rows": len(rows), "learnt": str(tokenizer.decode(kept))}
    rows = RLHFDataset(config.data.train_files, tokenizer, config.data)
    batch = collate_fn([rows[number] for number in range(len(rows))])
    named = {"data_source": batch["data_source"][0], "extra_info": batch["extra_info"][0]}
    truth = batch["reward_model"][0]["ground_truth"]
    judge = get_custom_reward_fn(config)
    said = {"right": f"It is \\boxed{{{truth}}}.", "wrong": f"It is \\boxed{{{truth}7}}."}
    scores = {
        how: judge(solution_str=text, ground_truth=truth, **named)["score"]
        for how, text in said.items()
    }
    return {"rows": len(rows), "learnt": "", "asked": batch["raw_prompt"][0], "scores": scores}


LOADERS = {"axolotl": axolotl, "LLaMA-Factory": llama_factory, "verl": verl}


def main(trainer: str, jobs: list[dict[str, Any]]) -> None:
    done = []
    for job in jobs:
        os.makedirs(job["folder"], exist_ok=True)
        done.append(LOADERS[trainer](**job))
    print(json.dumps(done), flush=True)
    os._exit(0)  # the verifiers' worker process would be waited for


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
