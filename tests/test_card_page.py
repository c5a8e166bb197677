"""The dataset card in a real browser: nothing broken, nothing wider than the page."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from benchmarks.card import PHONE, WIDTH, browser, look, take_picture
from factory import run
from factory.configs import CONFIGS
from tests.conftest import Sums

pytestmark = pytest.mark.skipif(browser() is None, reason="Chromium: sudo apt install chromium")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With every config, and so every part of the card."""
    folder = tmp_path_factory.mktemp("sums")
    configs = ",".join(config.name for config in CONFIGS[1:])
    recipe = Sums(folder, count=12).recipe(
        f"traces.configs=[{configs}]", "traces.step_rollouts=2", "cluster.backend=local"
    )
    assert run.run(recipe, folder / "run", print).complete
    return folder / "run" / "dataset"


@pytest.mark.parametrize("width", [WIDTH, PHONE])
def test_the_card_shows_its_plots_and_fits(dataset: Path, width: int) -> None:
    found = look(dataset, width)
    assert found.images == len(list((dataset / "plots").iterdir())) > 0
    assert found.broken == []
    assert found.overflow <= 0
    if width == WIDTH:
        assert found.wide == [], "tables fit the column of the Hub"


def test_what_is_broken_is_seen(tmp_path: Path) -> None:
    wide = "| " + " | ".join(["a_column_of_a_certain_width"] * 9) + " |\n"
    table = wide + "|---" * 9 + "|\n" + wide
    broad = "<div style='width: 2000px'>x</div>"
    text = f"---\nx: 1\n---\n\n![gone](plots/gone.svg)\n\n{table}\n\n{broad}\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    found = look(tmp_path)
    assert found.broken == ["plots/gone.svg"]
    assert found.overflow > 0
    assert len(found.wide) == 1


def test_the_picture_is_the_whole_page(dataset: Path, tmp_path: Path) -> None:
    found = take_picture(dataset, tmp_path / "card.png")
    head = (tmp_path / "card.png").read_bytes()[:24]
    assert head[:8] == base64.b64decode("iVBORw0KGgo=")
    size = [int.from_bytes(head[start : start + 4]) for start in (16, 20)]
    assert size == [WIDTH, found.height]
