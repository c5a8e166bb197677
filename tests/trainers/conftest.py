"""A small run with every config, published on a Hub of our own, and the trainers beside it.

`python -m benchmarks.trainers` runs the same tests on another dataset, for more steps, and makes a
table of what they report.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import datasets
import pytest

from factory import run
from factory.card import PLACEHOLDER
from factory.configs import CONFIGS
from factory.configs.trainers import MODEL, SNIPPETS
from tests.conftest import Sums
from tests.hub_double import HubDouble

TOKEN = "hf_me_0123456789"
TINY = Path("data/tiny_model").resolve()
STEPS = int(os.environ.get("TRAINERS_STEPS", "2"))
DATASET = os.environ.get("TRAINERS_DATASET")
"""A finished dataset folder to take instead of a small run."""
TABLE = os.environ.get("TRAINERS_TABLE")
"""Where the reports go, a JSON line each."""
PRM = Path(sys.prefix) / "prm"
"""Where a release of TRL lies that still has a trainer for process rewards."""
LOADERS = Path(sys.prefix) / "loaders"
"""Where the other trainers lie whose loaders are run."""

needs_trl = pytest.mark.skipif(
    find_spec("trl") is None, reason="trl: pip install --no-deps -r constraints/train.txt"
)
needs_prm = pytest.mark.skipif(
    not (PRM / "trl" / "experimental" / "prm").is_dir(),
    reason=f"PRMTrainer: pip install --no-deps --target {PRM.name} trl==1.13.0, in the venv",
)
needs_loaders = pytest.mark.skipif(
    not all((LOADERS / name).is_dir() for name in ("axolotl", "llamafactory", "verl")),
    reason="axolotl, LLaMA-Factory, verl: pip install --no-deps --target "
    f"{LOADERS.name} -r constraints/loaders.txt, in the venv",
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A dataset that one can load by its name."""

    folder: Path
    card: str
    environment: dict[str, str]

    def snippet(self, start: str) -> str:
        """The code block of the card that begins so, for this dataset and the tiny model."""
        (found,) = re.findall(rf"^```\w+\n({re.escape(start)}.*?)\n```$", self.card, re.S | re.M)
        return str(found).replace(PLACEHOLDER, "me/traces").replace(MODEL, str(TINY))

    def call(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, words)],
            env={**self.environment, **environment},
            check=False,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder."""
    folder = tmp_path_factory.mktemp("sums")
    if DATASET is not None:
        return Path(shutil.copytree(DATASET, folder / "run" / "dataset"))
    configs = ",".join(config.name for config in CONFIGS[1:])
    recipe = Sums(folder, count=12).recipe(
        f"traces.configs=[{configs}]", "traces.step_rollouts=2", "cluster.backend=local"
    )
    assert run.run(recipe, folder / "run", print).complete
    return folder / "run" / "dataset"


@pytest.fixture(scope="session")
def report(made: Path) -> Callable[..., None]:
    """Takes down what a trainer did, for the table."""
    rows = json.loads((made / "manifest.json").read_text(encoding="utf-8"))["configs"]

    def write(trainer: str, package: str, where: Path | None, **said: str) -> None:
        found = metadata.distributions(path=[str(where)] if where else sys.path)
        versions = {d.metadata["Name"].lower(): d.version for d in found}
        line = {"trainer": trainer, "version": versions[package], "rows": rows[said["config"]]}
        if TABLE is not None:
            with open(TABLE, "a", encoding="utf-8") as table:
                table.write(json.dumps({**line, **said}) + "\n")

    return write


@pytest.fixture(scope="session")
def workshop(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every data preparation of the card was run, on the dataset's folder."""
    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache"))
        datasets.disable_progress_bars()
        for snippet in SNIPPETS:
            if snippet.language == "python" and snippet.trainer != "TRL":
                exec(snippet.filled(str(made)), {})
    return folder


@pytest.fixture(scope="session")
def published(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("hub")
    with HubDouble(folder) as hub:
        hub.add_user("me", TOKEN)
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(folder / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TOKENIZERS_PARALLELISM": "false",
        }
        done = subprocess.run(
            [sys.executable, "-m", "factory", "publish", made.parent, "--repo", "me/traces"],
            env=environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        card = (made / "README.md").read_text(encoding="utf-8")
        yield Published(folder=made, card=card, environment=environment)
