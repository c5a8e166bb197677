"""The published rows as the loaders of axolotl, LLaMA-Factory and verl take them.

Settings are those of the card; what the loader makes of the first row is what would be learnt.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import yaml

from factory.configs.trainers import SNIPPETS
from tests.trainers.conftest import LOADERS, TINY, needs_loaders

pytestmark = needs_loaders

QUIET = {
    "PYTHONPATH": str(LOADERS),
    "PYTHONWARNINGS": "ignore",
    "DO_NOT_TRACK": "1",
    "AXOLOTL_DO_NOT_TRACK": "1",
    # It refuses newer libraries than it was released with.
    "DISABLE_VERSION_CHECK": "1",
}


def text(trainer, config, language):
    (found,) = (
        s.filled("me/traces")
        for s in SNIPPETS
        if (s.trainer, s.config, s.language) == (trainer, config, language)
    )
    return found


PACKAGES = {"axolotl": "axolotl", "LLaMA-Factory": "llamafactory", "verl": "verl"}


def loaded(published, report, trainer, jobs, folder):
    """What the loader says of each config, as `tests.trainers.loaders` prints it."""
    common = {"model": str(TINY)}
    listed = [{**common, "folder": str(folder / config), **job} for config, job in jobs.items()]
    words = ("-m", "tests.trainers.loaders", trainer, json.dumps(listed))
    done = published.call(*words, **QUIET)
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(zip(jobs, json.loads(done.stdout.splitlines()[-1]), strict=True))
    for config, said in found.items():
        parts = [
            s.filled("me/traces") for s in SNIPPETS if (s.trainer, s.config) == (trainer, config)
        ]
        result = f"its loader took {said['rows']:,} rows"
        result += f"; rewards {said['scores']}" if "scores" in said else ""
        place = {"config": config, "command": "\n\n".join(parts), "result": result}
        report(trainer, PACKAGES[trainer], LOADERS, **place)
    return found


def rows(made, config, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return list(datasets.load_dataset(str(made), config, split="train", cache_dir=cache))


@pytest.fixture(scope="module")
def replies(made, tmp_path_factory):
    """What `default` teaches: the assistant's turns."""
    return [row["messages"][-1]["content"] for row in rows(made, None, tmp_path_factory)]


def plain(learnt):
    """Without the tokens that end a turn."""
    return learnt.replace("<|im_end|>", "").strip()


@pytest.fixture(scope="module")
def by_axolotl(published, report, workshop, tmp_path_factory):
    jobs = {}
    for config in ("default", "preference", "stepwise"):
        settings = text("axolotl", config, "yaml")
        settings = settings.replace("path: preference", f"path: {workshop}/preference")
        jobs[config] = {"config": yaml.safe_load(settings)}
    return loaded(published, report, "axolotl", jobs, tmp_path_factory.mktemp("axolotl"))


def test_axolotl_learns_the_replies_of_default(by_axolotl, replies):
    assert by_axolotl["default"]["rows"] == len(replies)
    assert plain(by_axolotl["default"]["learnt"]) in replies


def test_axolotl_takes_the_pairs(by_axolotl, made, tmp_path_factory):
    pairs = rows(made, "preference", tmp_path_factory)
    found = by_axolotl["preference"]
    assert found["rows"] == len(pairs)
    sides = {(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs}
    assert (plain(found["first"]["chosen"]), plain(found["first"]["rejected"])) in sides


def test_axolotl_takes_the_steps(by_axolotl, made, tmp_path_factory):
    assert by_axolotl["stepwise"]["rows"] == len(rows(made, "stepwise", tmp_path_factory))


@pytest.fixture(scope="module")
def by_llama_factory(published, report, workshop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    jobs = {}
    for config, stage in (("default", "sft"), ("preference", "dpo"), ("unpaired", "kto")):
        entries = json.loads(text("LLaMA-Factory", config, "json"))
        (folder / config).mkdir()
        info = folder / config / "dataset_info.json"
        info.write_text(json.dumps(entries), encoding="utf-8")
        (name,) = entries
        for file in workshop.glob("*.jsonl"):
            (folder / config / file.name).write_bytes(file.read_bytes())
        jobs[config] = {"stage": stage, "name": name}
    return loaded(published, report, "LLaMA-Factory", jobs, folder)


def test_llama_factory_learns_the_replies_of_default(by_llama_factory, replies):
    assert by_llama_factory["default"]["rows"] == len(replies)
    assert plain(by_llama_factory["default"]["learnt"]) in replies


def test_llama_factory_takes_the_pairs(by_llama_factory, made, tmp_path_factory):
    pairs = rows(made, "preference", tmp_path_factory)
    assert by_llama_factory["preference"]["rows"] == len(pairs)
    chosen = {pair["chosen"][0]["content"] for pair in pairs}
    assert plain(by_llama_factory["preference"]["learnt"]) in chosen


def test_llama_factory_takes_the_singles(by_llama_factory, made, tmp_path_factory):
    singles = rows(made, "unpaired", tmp_path_factory)
    found = by_llama_factory["unpaired"]
    assert found["rows"] == len(singles)
    labels = {single["completion"][0]["content"]: single["label"] for single in singles}
    assert labels[plain(found["learnt"])] is found["kto_tags"]


@pytest.fixture(scope="module")
def by_verl(published, report, tmp_path_factory):
    """The card's commands as they stand, `hf download` included, up to where training starts."""
    folder = tmp_path_factory.mktemp("verl")
    jobs = {}
    for config in ("default", "rl"):
        download, command = text("verl", config, "bash").split("\n", 1)
        done = subprocess.run(
            [Path(sys.executable).with_name("hf"), *shlex.split(download)[1:]],
            cwd=folder,
            env=published.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        (inner,) = re.findall(r"\$\((python3 .*?)\)\s", command) or [""]
        if inner:
            asked = [sys.executable, *shlex.split(inner)[1:]]
            path = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            command = command.replace(f"$({inner})", path.strip())
        words = shlex.split(command.replace("=traces", f"={folder}/traces"))
        overrides = [w.replace("[traces", f"[{folder}/traces") for w in words if "=" in w[1:]]
        (module,) = re.findall(r"verl\.trainer\.(\w+)", command)
        overrides = [word for word in overrides if not word.startswith("--")]
        jobs[config] = {"command": module, "overrides": overrides}
    return loaded(published, report, "verl", jobs, folder)


def test_verl_learns_the_replies_of_default(by_verl, replies):
    assert by_verl["default"]["rows"] == len(replies)
    assert plain(by_verl["default"]["learnt"]) in replies


def test_verl_asks_the_problems_of_rl_and_our_verifiers_reward_it(by_verl, made, tmp_path_factory):
    tasks = rows(made, "rl", tmp_path_factory)
    assert by_verl["rl"]["rows"] == len(tasks)
    assert by_verl["rl"]["asked"] in [task["prompt"] for task in tasks]
    assert by_verl["rl"]["scores"] == {"right": 1.0, "wrong": 0.0}
