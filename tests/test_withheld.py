"""What is in no config: secrets, personal data, problems that an evaluation set has."""

import json
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from factory import run
from factory.card import About
from factory.configs import CONFIGS
from factory.contamination.hits import Hit, Mark
from factory.curation.curate import curate
from factory.errors import RecipeError, SourceError
from factory.shards import Origin
from factory.traces import Group, TraceOptions, select
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id

KEY = "AKIA" + "Q7W2E9R4T6Y1U3I5"
MAIL = "bob.smith@mit.edu"
RIGHT, WRONG = Outcome.CORRECT, Outcome.INCORRECT
PROBLEM = Problem(
    id=problem_id("2 + 2?"), prompt="2 + 2?", answer="4", source="f", metadata={"level": 1}
)
NAMES = [config.name for config in CONFIGS[1:]]
EVERY = TraceOptions(configs=NAMES, step_rollouts=2, near_duplicates=None, max_per_problem=99)
MAILS = EVERY.model_copy(
    update={"quality": EVERY.quality.model_copy(update={"personal": ("email",)})}
)


def judged(index, text, outcome, **more):
    completion = Completion(text=text, reasoning=more.pop("reasoning", None), num_tokens=10)
    rollout = Rollout(problem_id=PROBLEM.id, index=index, model="m", completion=completion)
    if outcome is None:
        return rollout, None
    values = {"extracted": str(index), "detail": "", "verifier": "math", "verifier_version": "1"}
    reward = float(outcome is RIGHT) if outcome.judged else None
    return rollout, Verdict(
        problem_id=PROBLEM.id, index=index, outcome=outcome, reward=reward, **(values | more)
    )


def group(*judged_ones, **changes):
    return Group(problem=replace(PROBLEM, **changes), judged=list(judged_ones))


CLEAN = [
    judged(index, f"<think>so\n{index}</think>{index}", outcome)
    for index, outcome in enumerate([RIGHT, WRONG, RIGHT, WRONG])
]


def published(groups, folder, options=EVERY, marks=None):
    """All rows by config, and all that the folder holds as one text."""
    made = curate(
        groups,
        folder,
        options,
        about=About(title="t", model="m"),
        origin=Origin(sampling=Sampling()),
        marks=marks or {},
    )
    rows, text = {}, []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            table = pq.read_table(path).to_pylist()
            rows.setdefault(path.parent.name, []).extend(table)
            text.append(json.dumps(table))
        else:
            text.append(path.read_text(encoding="utf-8"))
    return rows, "\n".join(text), made.counts


@pytest.mark.parametrize("leak", [KEY, MAIL])
def test_what_a_rollout_leaks_is_in_no_config(tmp_path, leak):
    leaking = [
        judged(4, f"<think>so\nit is {leak}</think>4", RIGHT),
        judged(5, f"<think>so\n5</think>It is {leak}.", WRONG),
        judged(6, "4", RIGHT, reasoning=f"so\nof {leak}"),
        judged(7, "<think>so\n7</think>7", WRONG, extracted=leak),
        judged(8, "<think>so\n8</think>8", RIGHT, detail=f"{leak} is not 4"),
        judged(9, f"{leak} <think>", Outcome.UNPARSABLE),
        judged(10, f"{leak}", Outcome.TIMEOUT),
        judged(11, f"{leak}", None),
    ]
    rows, text, counts = published([group(*CLEAN, *leaking)], tmp_path / "d", MAILS)
    assert leak not in text
    assert MAIL.split("@")[0] not in text
    rule = "secrets" if leak == KEY else "personal"
    assert counts.withheld == {rule: 8}
    assert counts.dropped == {rule: 3}
    assert counts.dropped_tokens == {rule: 30}
    assert {name for name in rows if name != "data"} == set(NAMES)
    withheld = {row["generation_index"]: row["withheld"] for row in rows["all"]}
    assert withheld == {index: rule if index > 3 else None for index in range(12)}
    for row in rows["all"]:
        assert bool(row["messages"][-1]["content"]) == (row["withheld"] is None)
        assert row["completion_tokens"] == 10
    assert [row["generation_index"] for row in rows["data"]] == [0, 2]
    assert [row["generation_index"] for row in rows["unpaired"]] == [0, 1, 2, 3]
    assert [row["rollouts"] for row in rows["stepwise"]] == [[4]]
    assert f"| {rule} |" in text


@pytest.mark.parametrize("leak", [KEY, MAIL])
@pytest.mark.parametrize("field", ["prompt", "answer", "spec", "metadata"])
def test_a_problem_that_leaks_is_in_no_config(tmp_path, field, leak):
    text = f"Ask {leak}."
    value = {"spec": {"tests": [text]}, "metadata": {"note": text}}.get(field, text)
    other = replace(group(*CLEAN), problem=replace(PROBLEM, id="f" * 16, prompt="3 + 3?"))
    groups = [group(*CLEAN, **{field: value}), other]
    rows, text, counts = published(groups, tmp_path / "d", MAILS)
    assert leak not in text
    for name in rows:
        assert {row["problem_id"] for row in rows[name]} == {"f" * 16}
    rule = "problem_secrets" if leak == KEY else "problem_personal"
    assert (counts.barred, counts.dropped) == ({rule: 1}, {rule: 2})
    assert (counts.problems, counts.rollouts) == (2, 8)


def test_personal_data_is_looked_for_only_where_it_is_asked_for(tmp_path):
    _, text, counts = published([group(*CLEAN, judged(4, MAIL, RIGHT))], tmp_path / "d")
    assert MAIL in text
    assert counts.withheld == {}


HIT = Hit(eval_set="aime", row="7", method="ngram", score=0.9, matched="so many words")


def mark(rule, drop, *hits):
    return Mark(rule=rule, drop=drop, hits=hits or (HIT,))


@pytest.mark.parametrize(
    ("rule", "drop", "configs"),
    [
        ("contaminated", True, []),
        ("contaminated_variant", True, []),
        ("contaminated", False, ["all"]),
        ("contaminated_variant", False, ["data", *NAMES]),
    ],
)
def test_what_an_evaluation_set_has_is_where_it_should_be(tmp_path, rule, drop, configs):
    marks = {PROBLEM.id: mark(rule, drop)}
    rows, text, counts = published([group(*CLEAN)], tmp_path / "d", marks=marks)
    assert {name for name in rows if rows[name]} == set(configs)
    for row in rows.get("all", []):
        (hit,) = json.loads(row["metadata"])["contamination"]
        assert (hit["eval_set"], hit["row"], hit["score"]) == ("aime", "7", 0.9)
        assert json.loads(row["metadata"])["level"] == 1
    done = "dropped" if drop else "flagged"
    assert counts.contamination == {"aime": {f"ngram, {done}": 1}}
    assert counts.dropped == ({} if "data" in configs else {rule: 2})
    assert f"| aime | - | ngram | {done} | 1 |" in text.splitlines()


def test_a_problem_met_by_two_sets_counts_for_both():
    hits = (HIT, replace(HIT, method="fuzzy"), replace(HIT, eval_set="amc", method="fuzzy"))
    assert mark("contaminated", True, *hits).met() == {
        "aime": "ngram, dropped",
        "amc": "fuzzy, dropped",
    }


def test_a_mark_changes_nothing_but_what_it_says():
    plain, marked = (
        select(group(*CLEAN), EVERY, found) for found in (None, mark("contaminated_variant", False))
    )
    assert [t.rollout for t in plain.kept] == [t.rollout for t in marked.kept]
    assert plain.all[0].problem == PROBLEM


# --- a set that is named after the ledger was made


def counted(folder):
    text = (folder / "dataset" / "manifest.json").read_text(encoding="utf-8")
    return json.loads(text)["counts"]


@pytest.fixture
def made(sums, tmp_path):
    folder = tmp_path / "run"
    run.run(sums.recipe("limit=6"), folder, lambda _: None)
    lines = sums.problems.read_text(encoding="utf-8").splitlines()
    held_out = tmp_path / "eval.jsonl"
    held_out.write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    return folder, f"decontaminate.against=[{{name: late set, path: {held_out}, column: prompt}}]"


@pytest.mark.parametrize(("action", "sampled", "tasks"), [("drop", 24, 4), ("flag", 36, 4)])
def test_an_evaluation_set_may_be_named_after_sampling(made, action, sampled, tasks):
    folder, against = made
    assert counted(folder)["contamination"] == {}
    result = run.make_dataset(folder, [against, f"decontaminate.action={action}"])
    rows = Counter()
    for shard in result.shards:
        rows[shard.path.partition("/")[0]] += shard.num_rows
    assert (rows["all"], rows["rl"]) == (sampled, tasks)
    done = "dropped" if action == "drop" else "flagged"
    assert counted(folder)["contamination"] == {"late set": {f"whole, {done}": 2}}
    assert counted(folder)["barred"] == {"contaminated": 2}
    card = (folder / "dataset" / "README.md").read_text(encoding="utf-8")
    assert f"| whole | {done} | 2 |" in card
    assert run.frozen(folder).decontaminate.action == action


def test_a_run_goes_on_where_a_set_was_named_meanwhile(made, sums):
    folder, against = made
    given = sums.recipe("limit=8", against)
    done = run.run(given, folder, lambda _: None)
    assert done.complete
    assert counted(folder)["barred"] == {"contaminated": 2}
    assert run.run(given, folder, lambda _: None).worked is False


def test_what_was_kept_out_before_sampling_stands_on_the_card(sums, tmp_path):
    lines = sums.problems.read_text(encoding="utf-8").splitlines()
    held_out = tmp_path / "a row of sums.jsonl"
    held_out.write_text(lines[0] + "\n", encoding="utf-8")
    against = f"[{{name: a row 1 of b, path: {held_out}, column: prompt}}]"
    given = sums.recipe("limit=3", f"decontaminate.against={against}")
    run.run(given, tmp_path / "run", lambda _: None)
    text = (tmp_path / "run" / "dataset" / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text)["kept_out"] == {"a row 1 of b": {"whole": 1}}
    card = (tmp_path / "run" / "dataset" / "README.md").read_text(encoding="utf-8")
    begin = f"| a row 1 of b | {held_out.name}, column prompt |"
    assert f"{begin} whole | dropped before sampling | 1 |" in card.splitlines()


def test_a_view_that_cannot_be_made_changes_nothing(made, tmp_path):
    folder, against = made
    before = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    with pytest.raises(SourceError, match=r"eval\.jsonl\.gone"):
        run.make_dataset(folder, [against.replace("eval.jsonl", "eval.jsonl.gone.jsonl")])
    with pytest.raises(RecipeError, match="differs in `traces`, `decontaminate` and `card` alone"):
        run.make_dataset(folder, ["sampling.temperature=0.5"])
    assert {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()} == before


def test_new_rules_make_a_new_dataset(made, monkeypatch):
    folder, _ = made
    path = folder / "dataset.made-from"
    before = path.read_text(encoding="utf-8")
    monkeypatch.setattr(run, "CURATION", run.CURATION + 1)
    given = run.frozen(folder)
    run.run(given, folder, lambda _: None)
    assert path.read_text(encoding="utf-8") != before
