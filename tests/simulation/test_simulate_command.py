"""`factory simulate`, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from factory import cli, run

CLUSTER = "pipelines/math-cluster.yaml"
SMALL = ["--limit", "60", "--replicas", "2", "--sequences", "16", "--start-up", "30"]


def simulate(capsys, *arguments):
    code = cli.main(["simulate", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_it_prints_a_table(capsys):
    code, out, _ = simulate(capsys, CLUSTER, *SMALL)
    assert code == 0
    for word in ("wall time", "slot use", "accepted", "aborted", "GPU hours", "from 0.9"):
        assert word in out


def test_json_holds_what_the_table_does_and_equal_seeds_agree(capsys):
    first, second, third = (
        json.loads(simulate(capsys, CLUSTER, *SMALL, "--json", "--seed", seed)[1])
        for seed in (1, 1, 2)
    )
    for outcome in (first, second, third):
        del outcome["foreman"]
    assert first == second != third
    assert sum(first["problems"].values()) == 60 == sum(d["problems"] for d in first["deciles"])
    fates = [n for name, n in first["tokens"].items() if name != "total"]
    assert first["tokens"]["total"] == sum(fates)
    assert 0 < first["slot_use"]["whole_run"]["of_held"] <= 1
    assert first["gpu_hours"] == pytest.approx(2 * 8 * first["wall_s"] / 3600, rel=0.01)
    assert first["cost"] == pytest.approx(first["gpu_hours"] * 2.5, abs=0.01)


def test_every_option_changes_the_forecast_as_it_says(capsys):
    def outcome(*options):
        return json.loads(simulate(capsys, CLUSTER, *SMALL, "--json", *options)[1])

    base = outcome()
    assert outcome("--engine-speed", "280,2000")["wall_s"] < base["wall_s"]
    assert outcome("--rates", "0.1,3")["problems"].get("enough", 0) < base["problems"]["enough"]
    assert outcome("--lengths", "300,1")["tokens"]["total"] < base["tokens"]["total"]
    assert outcome("--wrong", "2")["tokens"]["wrong"] > base["tokens"]["wrong"]
    assert outcome("--judging", "0.02,0.2")["tokens"]["unjudged"] > 0
    assert base["tokens"]["repeated"] == 0 < outcome("--repeats", "0.5")["tokens"]["repeated"]
    assert outcome("--prefill", "500")["wall_s"] > base["wall_s"]
    assert outcome("--source", "0.05,60")["admitted_s"] > 60 / 0.05
    assert outcome("--losses", "8")["replicas_lost"] > 0
    assert outcome("--preempt", "120,0.5,60")["replicas_lost"] > 0
    assert outcome("--gpus", "1")["gpu_hours"] == pytest.approx(base["gpu_hours"] / 8, rel=0.01)
    assert outcome("--price", "5")["cost"] == pytest.approx(2 * base["cost"], rel=0.01)
    assert outcome("--judges", "1", "--judging", "20,0")["most_unjudged"] > base["most_unjudged"]
    hours = ["--hours", "0.1", "--replicas", "1", "--sequences", "4", "--json"]
    timed = json.loads(simulate(capsys, CLUSTER, *hours)[1])
    assert timed["admitted_s"] <= 360 < timed["wall_s"]


def test_charts_are_written(capsys, tmp_path):
    code, _, _ = simulate(capsys, CLUSTER, *SMALL, "--plots", tmp_path / "charts")
    assert code == 0
    for name in ("slots", "tokens", "coverage"):
        root = ElementTree.parse(tmp_path / "charts" / f"{name}.svg").getroot()
        assert len(root.findall(".//{*}rect")) > 4
    slots = (tmp_path / "charts" / "slots.svg").read_text(encoding="utf-8")
    assert "busy" in slots
    assert "starting" in slots


def test_an_earlier_run_is_replayed(capsys, sums, tmp_path):
    folder = tmp_path / "run"
    run.run(sums.recipe(), folder, lambda _: None)
    counts = json.loads((folder / "dataset" / "manifest.json").read_text(encoding="utf-8"))
    given = ["--replay", folder, "--start-up", "0", "--sequences", "8", "--engine-speed", "50,200"]
    code, out, err = simulate(capsys, sums.file(), *given, "--json")
    assert code == 0, err
    outcome = json.loads(out)
    assert outcome["tokens"]["total"] == counts["counts"]["tokens"]
    assert outcome["rollouts"] == 30 * 6
    right = outcome["tokens"]["accepted"] + outcome["tokens"]["surplus"]
    assert 0 < right < outcome["tokens"]["total"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--replicas", "0"], "--replicas, --gpus: replicas must be at least 1, got 0"),
        (["--engine-speed", "100,50"], "--engine-speed"),
        (["--hours", "-1"], "--hours, --limit, --source: hours must be above 0, got -1.0"),
        (["--hours", "0"], "hours must be above 0, got 0.0"),
        (["--judges", "0"], "--judges, --judging: judges must be at least 1, got 0"),
        (["--preempt", "1,3,1"], "--losses, --preempt: preempt_share must be in [0, 1], got 3.0"),
        (["--lengths", "0,1"], "--lengths, --wrong, --rates, --repeats: median"),
        (["--replay", "nowhere"], "nowhere"),
    ],
)
def test_an_option_without_sense_is_an_error_that_names_it(capsys, options, said):
    code, _, err = simulate(capsys, CLUSTER, *options)
    assert code == 1
    assert said in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rates", "easy"], "expected openr1, mid, hard, uniform, or A,B; got 'easy'"),
        (["--engine-speed", "100"], "expected 2 numbers, got '100'"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_usage_error(capsys, options, said):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["simulate", CLUSTER, *options])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_the_pools_that_the_options_name_are_those_there_are():
    from factory.simulation.command import _POOLS
    from factory.simulation.pool import POOLS

    assert sorted(_POOLS) == sorted(POOLS)
    assert Path(CLUSTER).exists()
