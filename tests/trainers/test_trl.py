"""The commands of the dataset card, run as they stand on the published dataset."""

from __future__ import annotations

import json
import re
import shlex
from statistics import fmean

import pytest

from factory.configs import CONFIGS
from factory.configs.trainers import snippets
from tests.trainers.conftest import PRM, STEPS, needs_prm, needs_trl

BATCHES = ["--max_steps", str(STEPS), "--per_device_train_batch_size", "4", "--logging_steps", "1"]
RATE = ["--learning_rate", "1e-3"]  # of a model so small; the default is for large ones
SHORT = [*BATCHES, *RATE, "--report_to", "none", "--save_strategy", "no", "--use_cpu"]


def losses(output: str) -> list[float]:
    return [float(x) for x in re.findall(r"'loss': '?([-+.\de]+)", output)]


def metric(output: str, name: str) -> list[float]:
    return [float(x) for x in re.findall(rf"'{re.escape(name)}': '?([-+.\de]+|nan)", output)]


def told(output: str, more: str = "") -> str:
    """The result of a training, for the table: single batches differ more than the trend."""
    found = losses(output)
    first, last = found[: len(found) // 6 or 1], found[-(len(found) // 6 or 1) :]
    return f"{len(found)} steps, loss {fmean(first):.3f} to {fmean(last):.3f}{more}"


@needs_trl
def test_trl_sft_trains_on_the_dataset_by_its_name_and_nothing_else(published, report, tmp_path):
    words = shlex.split(published.snippet("trl sft"))
    assert words[1:] == ["sft", "--model_name_or_path", words[3], "--dataset_name", "me/traces"]
    done = published.call("-m", "trl.cli.main", *words[1:], *SHORT, "--output_dir", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(losses(done.stdout)) == STEPS
    assert (tmp_path / "model.safetensors").is_file()
    command = shlex.join([*words, *SHORT])
    report("TRL", "trl", None, config="default", command=command, result=told(done.stdout))


@pytest.fixture(scope="module")
def trained(published, report, tmp_path_factory):
    """Output of the short trainings, by command."""
    commands, typed = [], {}
    for name in ("dpo", "kto", "grpo"):
        words = shlex.split(published.snippet(f"trl {name}"))[1:]
        words += [*SHORT, "--output_dir", str(tmp_path_factory.mktemp(name))]
        if name == "grpo":
            words += ["--num_generations", "4", "--max_completion_length", "48"]
        commands.append(words)
        typed[name] = words
    done = published.call("-m", "tests.trainers.scripts", json.dumps(commands))
    assert done.returncode == 0, done.stderr[-3000:]
    parts = re.split(r"^== (\w+)\n", done.stdout, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    for name, words in typed.items():
        config = words[words.index("--dataset_config") + 1]
        of = metric(found[name], "rewards/reward/mean")
        more = f", mean reward {fmean(of):.2f}" if of else ""
        command = shlex.join(["trl", *words])
        report("TRL", "trl", None, config=config, command=command, result=told(found[name], more))
    return found


@needs_trl
def test_dpo_trains_on_preference(trained):
    assert len(losses(trained["dpo"])) == STEPS
    assert losses(trained["dpo"])[0] == pytest.approx(0.6931, abs=1e-3)
    assert len(metric(trained["dpo"], "rewards/margins")) == STEPS


@needs_trl
def test_kto_trains_on_unpaired(trained):
    assert len(losses(trained["kto"])) == STEPS


@needs_trl
def test_grpo_trains_on_rl_with_our_verifiers_as_the_reward(trained):
    assert len(losses(trained["grpo"])) == STEPS
    rewards = metric(trained["grpo"], "rewards/reward/mean")
    assert len(rewards) == STEPS
    assert all(0 <= reward <= 1 for reward in rewards), "nan: nothing could be judged"


@needs_trl
@needs_prm
def test_prm_trains_on_stepwise(published, report, tmp_path):
    code = published.snippet("from datasets import load_dataset\nfrom transformers import")
    short = f'output_dir="out", max_steps={STEPS}, report_to="none", save_strategy="no"'
    assert 'output_dir="prm"' in code
    script = tmp_path / "train.py"
    code = code.replace('output_dir="prm"', short + ", use_cpu=True, logging_steps=1")
    script.write_text(code, encoding="utf-8")
    done = published.call(script, PYTHONPATH=str(PRM))
    assert done.returncode == 0, done.stderr[-3000:]
    output = done.stdout + done.stderr
    assert len(losses(output)) == STEPS
    report("TRL", "trl", PRM, config="stepwise", command=code, result=told(output))


def test_every_config_that_trl_trains_on_has_its_command():
    found = [s.config for s in snippets([c.name for c in CONFIGS]) if s.trainer == "TRL"]
    assert found == ["default", "preference", "unpaired", "rl", "stepwise"]
