import json
import os
import subprocess
import sys

import pytest

from factory.errors import SourceError
from factory.sources._row import Row
from factory.sources.reasoning_gym import UNREPEATABLE, Source, changed, plain, task_names
from factory.types import Reject

pytest.importorskip("reasoning_gym")


def test_a_row_carries_all_that_its_scorer_needs():
    rows = list(Source(tasks=["gcd", "word_sorting"], size=3, seed=5).rows())
    assert [row.id for row in rows] == [
        *(f"gcd-5-{n}" for n in range(3)),
        *(f"word_sorting-5-{n}" for n in range(3)),
    ]
    row = rows[0]
    assert row.source == "reasoning_gym"
    assert row.values["verifier"] == "reasoning_gym"
    assert row.values["domain"] == "arithmetic"
    entry = row.values["spec"]["entry"]
    assert (row.values["prompt"], row.values["answer"]) == (entry["question"], entry["answer"])
    assert json.loads(json.dumps(row.values, allow_nan=False)) == row.values


def test_the_seed_decides_the_problems():
    prompts = [
        [row.values["prompt"] for row in Source(tasks=["gcd"], size=5, seed=seed).rows()]
        for seed in (1, 1, 2)
    ]
    assert prompts[0] == prompts[1] != prompts[2]


def test_tasks_take_options():
    tasks = {"leg_counting": {"min_animals": 9, "max_animals": 9, "size": 2}}
    first, _ = Source(tasks=tasks, size=50).rows()
    assert first.values["spec"]["entry"]["metadata"]["animals"].__len__() == 9


def test_unknown_tasks_and_options_are_errors():
    with pytest.raises(SourceError, match="no task 'gcdd'; tasks: "):
        list(Source(tasks=["gcdd"]).rows())
    with pytest.raises(SourceError, match=r"task 'gcd': .*max_nmbers"):
        list(Source(tasks={"gcd": {"max_nmbers": 3}}).rows())
    with pytest.raises(SourceError, match="task 'gcd': "):
        list(Source(tasks={"gcd": {"max_numbers": -3}}).rows())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_task_yields_rows_or_is_named_as_left_out(capfd):
    found = list(Source(size=1, seed=1).rows())
    left_out = {item.row.removesuffix("-1"): item for item in found if isinstance(item, Reject)}
    assert set(left_out) == {"graph_color", *UNREPEATABLE}
    assert left_out["graph_color"].rule == "not_json"
    assert left_out["ransom_note"].rule == "not_repeatable"
    assert "task 'graph_color' left out" in left_out["graph_color"].reason
    assert sum(isinstance(item, Row) for item in found) == len(task_names()) - 5 >= 100


PRINT_PROMPTS = """
import json
from factory.sources import reasoning_gym
rows = list(reasoning_gym.Source(size=2, seed=3).rows())
rows = [row for row in rows if hasattr(row, "values")]
tasks = {row.values["spec"]["task"]: [] for row in rows}
for row in rows:
    tasks[row.values["spec"]["task"]].append(row.values["prompt"])
print("\\n" + json.dumps(tasks))
"""


def test_the_seed_decides_the_problems_in_every_process():
    found = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PRINT_PROMPTS],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert [task for task in found[0] if found[0][task] != found[1][task]] == []


def test_what_json_does_to_an_entry_is_noticed():
    assert changed(plain({"a": (1, 2)}), {"a": (1, 2)}) == ""
    assert "change" in changed(plain({"a": {1: 2}}), {"a": {1: 2}})
    assert "not JSON" in changed(plain({"a": {1, 2}}), {"a": {1, 2}})
    assert "not JSON" in changed(plain({"a": float("nan")}), {"a": float("nan")})
