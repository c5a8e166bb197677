"""What many tests share: small runs with the scripted engine."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory import recipe

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Read once per process, when the Xet client first works: it waits by a clock of its own.
os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")
os.environ.setdefault("HF_XET_CLIENT_RETRY_BASE_DELAY", "1ms")


def _kept_environment() -> Iterator[None]:
    """An engine sets variables for its own process; no test sees another one's."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


_of_module = pytest.fixture(scope="module", autouse=True)(_kept_environment)
_of_test = pytest.fixture(autouse=True)(_kept_environment)


class Sums:
    """Additions with scripted completions of known worth, in files, and a recipe for them."""

    def __init__(self, folder: Path, count: int = 30, seed: int = 0) -> None:
        rng = random.Random(seed)
        self.folder = folder
        self.problems = folder / "problems.jsonl"
        self.script = folder / "script.jsonl"
        rows, script = [], []
        for number in range(count):
            a, b = 10 * number + rng.randrange(10), rng.randrange(100)
            prompt = f"What is {a} + {b}?"
            rows.append({"prompt": prompt, "answer": str(a + b), "domain": "math", "level": 1})
            good = [
                f"<think>\n{how} {a} and {b}: {a + b}\n</think>\n\nIt is \\boxed{{{a + b}}}."
                for how in ("adding together", "the sum of", "counting on from")
            ]
            bad = [f"<think>\nhm\n</think>\n\nIt is \\boxed{{{a + b + off}}}." for off in (1, 10)]
            script.append({"prompt": prompt, "completions": good + bad + ["no idea"]})
        self.write(self.problems, rows)
        self.write(self.script, script)

    @staticmethod
    def write(path: Path, rows: list[dict]) -> None:
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")

    def yaml(self) -> str:
        return f"""
name: sums
sources: [{{name: jsonl, path: {self.problems}}}]
engine: {{name: scripted, script: {self.script}}}
policy: {{name: fixed, n: 6}}
verifiers: [{{name: math}}]
cluster: {{backend: local, log_every: 16}}
card: {{license: apache-2.0}}
"""

    def recipe(self, *changes: str) -> recipe.Recipe:
        return recipe.parse(self.yaml(), "sums.yaml", changes)

    def file(self) -> Path:
        path = self.folder / "sums.yaml"
        path.write_text(self.yaml(), encoding="utf-8")
        return path


@pytest.fixture
def sums(tmp_path: Path) -> Sums:
    return Sums(tmp_path)
