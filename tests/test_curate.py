import hashlib
import json
from dataclasses import replace

import datasets
import pyarrow.parquet as pq
import pytest

from factory.card import About
from factory.configs import CONFIGS
from factory.curation.curate import curate
from factory.curation.tally import rate_label
from factory.shards import DEFAULT, Origin
from factory.traces import Group, TraceOptions
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id

ABOUT = About(title="Demo", model="m", recipe="name: demo\n", rejects={"f": {"duplicate": 2}})
ORIGIN = Origin(sampling=Sampling())


def make_group(number, outcomes):
    prompt = f"What is {number} + 1? 😀"
    problem = Problem(id=problem_id(prompt), prompt=prompt, answer=str(number + 1), domain="math")
    judged = []
    for index, outcome in enumerate(outcomes):
        text = f"<think>{number} {index} {'so ' * index}</think>{number + 1}"
        completion = Completion(text=text, num_tokens=10 + index)
        rollout = Rollout(problem_id=problem.id, index=index, model="m", completion=completion)
        judged.append((rollout, outcome and make_verdict(problem, index, outcome)))
    return Group(problem=problem, judged=judged)


def make_verdict(problem, index, outcome):
    return Verdict(
        problem_id=problem.id,
        index=index,
        outcome=outcome,
        reward=float(outcome is Outcome.CORRECT) if outcome.judged else None,
        extracted=problem.answer if outcome is Outcome.CORRECT else "0",
        detail="",
        verifier="math",
        verifier_version="1",
    )


def make_groups(count, outcomes=(Outcome.CORRECT, Outcome.INCORRECT, Outcome.TIMEOUT, None)):
    groups = [make_group(number, outcomes) for number in range(count)]
    return sorted(groups, key=lambda group: group.problem.id)


def run(groups, folder, **options):
    return curate(groups, folder, TraceOptions(**options), about=ABOUT, origin=ORIGIN)


def load(folder, config, cache):
    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), config, cache_dir=str(cache))


def snapshot(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_folder_is_a_dataset(tmp_path):
    result = run(make_groups(5), tmp_path / "dataset")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset"]
    default, everything = (
        load(tmp_path / "dataset", config, tmp_path / "cache") for config in (None, "all")
    )
    assert list(default) == list(everything) == ["train"]
    assert (len(default["train"]), len(everything["train"])) == (5, 20)
    assert set(default["train"]["correct"]) == {True}
    assert set(everything["train"]["outcome"]) == {"correct", "incorrect", "timeout", None}
    keys = list(
        zip(everything["train"]["problem_id"], everything["train"]["generation_index"], strict=True)
    )
    assert keys == sorted(keys)
    assert default["train"][0]["messages"][-1]["content"].startswith("<think>\n")
    rows = {s.path.partition("/")[0]: s.num_rows for s in result.shards}
    assert rows == {"data": 5, "all": 20, "preference": 5, "unpaired": 10, "rl": 5}


def test_a_run_without_an_accepted_trace_has_the_schema_and_says_so(tmp_path):
    run(make_groups(2, (Outcome.INCORRECT,)), tmp_path / "a")
    run([], tmp_path / "b")
    for name in ("a", "b"):
        folder = tmp_path / name
        stream = datasets.load_dataset(str(folder), split="train", streaming=True)
        assert (list(stream), stream.column_names) == ([], DEFAULT.schema.names)
        assert "**No trace was accepted.**" in (folder / "README.md").read_text(encoding="utf-8")
    assert len(load(tmp_path / "a", "all", tmp_path / "cache")["train"]) == 2
    assert len(load(tmp_path / "a", "rl", tmp_path / "cache")["train"]) == 2
    assert datasets.get_dataset_config_names(str(tmp_path / "a")) == ["default", "all", "rl"]
    assert datasets.get_dataset_config_names(str(tmp_path / "b")) == ["default"]
    files = sorted(str(p.relative_to(tmp_path / "b")) for p in (tmp_path / "b").rglob("*.parquet"))
    assert files == ["data/train-00000.parquet"]


def test_only_the_configs_that_are_asked_for_are_written(tmp_path):
    run(make_groups(5), tmp_path / "d", configs=["thinking", "rl"])
    assert datasets.get_dataset_config_names(str(tmp_path / "d")) == ["default", "rl", "thinking"]
    folders = {path.name for path in (tmp_path / "d").iterdir() if path.is_dir()}
    assert folders == {"data", "rl", "thinking", "plots"}
    run(make_groups(5), tmp_path / "e", configs=[])
    assert datasets.get_dataset_config_names(str(tmp_path / "e")) == ["default"]


def test_every_config_has_its_schema_and_loads_as_the_card_says(tmp_path):
    names = [config.name for config in CONFIGS[1:]]
    groups = [make_group(n, [Outcome.CORRECT, Outcome.INCORRECT] * 4) for n in range(4)]
    groups = [with_text(group, lambda i: f"<think>a\nb {i}</think>{i}") for group in groups]
    groups.sort(key=lambda group: group.problem.id)
    run(groups, tmp_path / "d", configs=names, step_rollouts=2)
    lines = (tmp_path / "d" / "README.md").read_text(encoding="utf-8").splitlines()
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text(encoding="utf-8"))
    assert list(manifest["configs"]) == ["default", *names]
    for config in CONFIGS:
        loaded = load(tmp_path / "d", config.name, tmp_path / "cache")["train"]
        assert len(loaded) == manifest["configs"][config.name] > 0
        assert loaded.features == datasets.Features.from_arrow_schema(config.schema)
        assert f"| `{config.name}` | {len(loaded)} | {config.about} |" in lines


def test_a_single_trace_is_a_dataset(tmp_path):
    run(make_groups(1, [Outcome.CORRECT]), tmp_path / "d")
    names = datasets.get_dataset_config_names(str(tmp_path / "d"))
    assert names == ["default", "all", "unpaired", "rl"]
    for name in names:
        assert len(load(tmp_path / "d", name, tmp_path / "cache")["train"]) == 1


def with_text(group, text):
    judged = []
    for rollout, verdict in group.judged:
        completion = replace(rollout.completion, text=text(rollout.index))
        judged.append((replace(rollout, completion=completion), verdict))
    return replace(group, judged=judged)


def test_large_odd_and_broken_texts_go_through_every_config(tmp_path):
    outcomes = [Outcome.CORRECT, Outcome.INCORRECT, Outcome.INCORRECT, Outcome.CORRECT]
    texts = ["y" * 5_000_000, "y" * 4_999_999 + "z", "cut \ud83d 😀\0", "<think>\ud83d</think>é"]
    group = with_text(make_group(1, outcomes), texts.__getitem__)
    problem = replace(group.problem, spec={"tests": ["\ud83d"]}, metadata={"x": float("nan")})
    options = {"configs": [config.name for config in CONFIGS[1:]], "step_rollouts": 2}
    options["quality"] = {"printable": False}
    run([replace(group, problem=problem)], tmp_path / "d", **options)
    (pair, other) = load(tmp_path / "d", "preference", tmp_path / "cache")["train"]
    assert len(pair["chosen"][0]["content"]) == len(pair["rejected"][0]["content"]) == 5_000_000
    assert other["rejected"][0]["content"] == "cut ? 😀\0"
    assert other["chosen"][0]["content"] == "<think>\n?\n</think>\n\né"
    (task,) = load(tmp_path / "d", "rl", tmp_path / "cache")["train"]
    assert json.loads(task["extra_info"]["spec"]) == {"tests": ["?"]}


def test_the_numbers_add_up(tmp_path):
    counts = run(make_groups(5), tmp_path / "dataset").counts
    assert (counts.problems, counts.solved, counts.rollouts) == (5, 5, 20)
    assert (counts.judged, counts.correct, counts.accepted) == (10, 5, 5)
    assert counts.pass_at_1 == 0.5
    assert (counts.tokens, counts.accepted_tokens) == (230, 50)
    assert counts.outcomes == {"correct": 5, "incorrect": 5, "not judged yet": 5, "timeout": 5}
    assert counts.verifiers == {"math 1": {"correct": 5, "incorrect": 5, "timeout": 5}}
    assert counts.domains == {"math": {"accepted": 5, "problems": 5, "solved": 5}}
    assert {k: v for k, v in counts.pass_rates.items() if v} == {"≤50%": 5}
    assert counts.lengths == {"8": {"accepted": 5, "not accepted": 15}}
    assert counts.token_fates == {
        "accepted": 50, "right, left out": 0, "wrong": 55, "could not tell": 125
    }  # fmt: skip
    dropped = run(make_groups(2, [Outcome.CORRECT] * 6), tmp_path / "d", near_duplicates=None)
    assert dropped.counts.dropped == {"over_max_per_problem": 4}


@pytest.mark.parametrize(
    ("rate", "label"),
    [(0, "0%"), (0.001, "≤10%"), (0.1, "≤10%"), (0.7, "≤70%"),
     (3 / 10, "≤30%"), (0.3 + 1e-9, "≤30%"), (0.301, "≤40%"),
     (0.9, "≤90%"), (0.99, "<100%"), (1.0, "100%")],
)  # fmt: skip
def test_every_pass_rate_has_its_bar(rate, label):
    assert rate_label(rate) == label


def test_the_manifest_lists_every_shard(tmp_path):
    folder = tmp_path / "dataset"
    result = run(make_groups(3), folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert [shard["path"] for shard in manifest["shards"]] == [s.path for s in result.shards]
    for shard in manifest["shards"]:
        data = (folder / shard["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
        assert len(data) == shard["num_bytes"]
    assert manifest["counts"]["accepted"] == 3
    assert manifest["options"]["max_per_problem"] == 4
    assert (folder / "recipe.yaml").read_text(encoding="utf-8") == ABOUT.recipe


def test_the_same_groups_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        run(make_groups(50), tmp_path / name)
    run(make_groups(9), tmp_path / "c")
    run(make_groups(50), tmp_path / "c")
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b") == snapshot(tmp_path / "c")


def test_a_failure_leaves_the_earlier_dataset_as_it_was(tmp_path):
    def failing():
        yield from make_groups(3)
        raise OSError("disk")

    folder = tmp_path / "dataset"
    run(make_groups(2), folder)
    before = snapshot(tmp_path)
    with pytest.raises(OSError, match="disk"):
        run(failing(), folder)
    assert snapshot(tmp_path) == before
    with pytest.raises(OSError, match="disk"):
        run(failing(), tmp_path / "fresh")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("step", ["building", "between the renames", "after the renames"])
def test_what_a_kill_left_behind_is_cleaned_up(tmp_path, step):
    folder = tmp_path / "dataset"
    run(make_groups(2), folder)
    if step == "building":
        (tmp_path / ".dataset.new" / "data").mkdir(parents=True)
    elif step == "between the renames":
        folder.rename(tmp_path / ".dataset.old")
        (tmp_path / ".dataset.new").mkdir()
    else:
        (tmp_path / ".dataset.old").mkdir()
    run(make_groups(3), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.parametrize("killed", [False, True])
def test_what_others_put_into_the_folder_stays_there(tmp_path, killed):
    """Also where an earlier curation was killed after it had put the new folder in place."""
    folder = tmp_path / "dataset"
    run(make_groups(2), folder, configs=["all", "rl"])
    put = folder if not killed else tmp_path / ".dataset.old"
    (put / ".cache").mkdir(parents=True)
    (put / ".cache" / "upload").write_text("going on", encoding="utf-8")
    (put / "NOTES.md").write_text("mine", encoding="utf-8")
    (put / "rl").mkdir(exist_ok=True)
    result = run(make_groups(3), folder, configs=["all"])
    assert (folder / "NOTES.md").read_text(encoding="utf-8") == "mine"
    assert (folder / ".cache" / "upload").read_text(encoding="utf-8") == "going on"
    assert not (folder / "rl").exists(), "a config that is no longer asked for is ours"
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    assert {shard.path for shard in result.shards} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")
    }


def test_a_dataset_behind_a_link_stays_behind_it(tmp_path):
    (tmp_path / "big" / "disk").mkdir(parents=True)
    (tmp_path / "dataset").symlink_to(tmp_path / "big" / "disk")
    for _ in range(2):
        run(make_groups(2), tmp_path / "dataset")
    assert (tmp_path / "dataset").is_symlink()
    assert (tmp_path / "big" / "disk" / "manifest.json").is_file()


def test_rows_say_which_problems_nearly_repeat_each_other(tmp_path):
    one, other, lone = make_groups(3)
    first = one.problem.id
    groups = [replace(one, cluster=first), replace(other, cluster=first), lone]
    folder = run(groups, tmp_path / "d").folder
    for config in ("data", "all", "rl"):
        table = pq.read_table(folder / config / "train-00000.parquet").to_pydict()
        assert dict(zip(table["problem_id"], table["cluster"], strict=True)) == {
            first: first, other.problem.id: first, lone.problem.id: lone.problem.id
        }, config  # fmt: skip
