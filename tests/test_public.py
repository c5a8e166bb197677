"""Paths of one machine stay on it: what is published holds their last part."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import public, recipe, run
from factory.engines import EngineInfo
from factory.engines.scripted import Engine

PARTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1))


@pytest.mark.parametrize(
    ("path", "published"),
    [
        ("/home/me/sets/train-*.jsonl", "train-*.jsonl"),
        ("/models/teacher/", "teacher"),
        ("~/sets/a.jsonl", "a.jsonl"),
        ("data/a.jsonl", "data/a.jsonl"),
        ("../a.jsonl", "../a.jsonl"),
        ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B"),
        ("http://fusion:8080", "http://fusion:8080"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_an_absolute_path_is_published_by_its_name(path, published):
    assert public.name(path) == published


@given(parts=PARTS)
def test_of_a_path_no_folder_is_published(parts):
    path = "/home/" + "/".join(parts)
    assert public.name(path) == (parts[-1] if parts else "home")


def test_prompts_are_no_paths(sums):
    given = sums.recipe("prompt.template=/no_think {prompt}", "prompt.system=/think")
    assert recipe.parse(given.published(), "r", build=False).prompt == given.prompt


def test_nothing_published_holds_a_path_of_this_machine(sums, tmp_path, monkeypatch):
    start = Engine.start

    async def from_a_folder(engine: Engine) -> EngineInfo:
        return replace(await start(engine), model=str(tmp_path / "teacher"))

    monkeypatch.setattr(Engine, "start", from_a_folder)
    broken = sums.problems.read_text(encoding="utf-8") + "{\n"
    sums.problems.write_text(broken, encoding="utf-8")
    run.run(sums.recipe("limit=40"), tmp_path / "run", lambda _: None)
    dataset = tmp_path / "run" / "dataset"
    for path in dataset.rglob("*"):
        if path.suffix in (".md", ".json", ".yaml"):
            assert str(tmp_path) not in path.read_text(encoding="utf-8"), path
    for path in dataset.rglob("*.parquet"):
        assert str(tmp_path) not in str(pq.read_table(path).to_pylist()), path
    rows = pq.read_table(next(Path(dataset, "data").glob("*.parquet"))).to_pylist()
    assert {row["source"] for row in rows} == {"problems.jsonl"}
    assert {row["model"] for row in rows} == {"teacher"}
    assert "problems.jsonl" in (dataset / "README.md").read_text(encoding="utf-8")
    assert str(sums.problems) in (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8")


def test_counts_of_paths_with_one_name_come_together():
    counts = {"/a/x": Counter(bad=2), "/b/x": Counter(bad=1, worse=3), "x/y": Counter(bad=5)}
    assert public.merged(counts) == {"x": Counter(bad=3, worse=3), "x/y": Counter(bad=5)}
