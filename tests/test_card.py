import ast
import datetime
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.card import About, CardFacts, Counts, card_text, size_category, write_card
from factory.card.left_out import MEANINGS as RULES
from factory.card.left_out import SET_ASIDE
from factory.configs import CONFIGS
from factory.configs.columns import MEANINGS
from factory.curation.distinct import MEANINGS as REPEATS
from factory.curation.quality import Quality, at_work
from factory.shards import ALL, DEFAULT
from factory.traces import TraceOptions

RECIPE = "name: demo  # a comment\nprompt: |\n  {prompt} costs $5\n  ```\n  code\n  ```\n"
ABOUT = About(
    title="Demo: traces",
    model="org/teacher@1a2b",
    repo="me/demo",
    license="apache-2.0",
    tags=("math", "synthetic"),
    sources=("data/problems.jsonl", "AI-MO/NuminaMath-1.5"),
    source_datasets=("AI-MO/NuminaMath-1.5",),
    prompt_template="{prompt}\nAnswer in \\boxed{}.",
    system="Think first.",
    sampling={"temperature": 0.7, "max_tokens": 4096, "stop": []},
    recipe=RECIPE,
    versions={"factory": "0.1.0", "vllm": "0.32.0"},
    near_duplicates=0.8,
    eval_sets={
        "aime": "aime.jsonl, column problem",
        "gpqa": "org/gpqa (test), column question",
    },
    comparison="n-gram: 50% of an item's runs of 8 words",
    kept_out={"aime": {"ngram": 4}},
    rejects={"b.jsonl": {"no_answer": 3, "duplicate": 1200}, "a|b.jsonl": {"malformed": 1}},
)
COUNTS = Counts(
    problems=1000,
    solved=800,
    rollouts=4000,
    judged=3900,
    correct=2400,
    accepted=2000,
    pass_at_1=0.6151,
    tokens=12_000_000,
    accepted_tokens=5_000_000,
    outcomes={"correct": 2400, "incorrect": 1500, "timeout": 100},
    dropped={"near_duplicate": 300, "over_max_per_problem": 100},
    dropped_tokens={"near_duplicate": 90_000, "over_max_per_problem": 30_000},
    withheld={"secrets": 7},
    barred={"contaminated": 2},
    contamination={"aime": {"fuzzy, flagged": 2}, "old": {"variant, flagged": 1}},
    verifiers={"math 1": {"correct": 2400, "incorrect": 1500, "timeout": 100}},
    domains={"": {"problems": 400, "solved": 300, "accepted": 500}},
)
FACTS = CardFacts(about=ABOUT, counts=COUNTS)


def header(facts):
    return yaml.safe_load(card_text(facts).split("---\n")[1])


def test_the_hub_reads_the_card(tmp_path):
    write_card(tmp_path, FACTS)
    data = DatasetCard.load(tmp_path / "README.md").data
    assert data.pretty_name == "Demo: traces"
    assert data.license == "apache-2.0"
    assert data.language == ["en"]
    assert data.size_categories == ["1K<n<10K"]
    assert data.source_datasets == ["AI-MO/NuminaMath-1.5"]
    assert data.tags.count("synthetic") == 1
    assert "math" in data.tags


def test_the_configs_are_explicit_and_counts_are_left_out():
    data = header(FACTS)
    assert [config["config_name"] for config in data["configs"]] == ["default", "all"]
    assert data["configs"][0]["default"] is True
    assert data["configs"][1]["data_files"] == [{"split": "train", "path": "all/train-*"}]
    for info, config in zip(data["dataset_info"], (DEFAULT, ALL), strict=True):
        assert [f["name"] for f in info["features"]] == config.schema.names
        assert "splits" not in info


@pytest.mark.parametrize(
    "line",
    [
        "| problems solved | 800 (80.0%) |",
        "| traces accepted | 2,000 (50.0% of all) |",
        "| pass@1 | 61.5% |",
        "| tokens per accepted trace | 2,500 |",
        "| tokens generated per accepted trace | 6,000 |",
        "| timeout | 100 |",
        "| near_duplicate | nearly the words of a trace that was kept | 300 | 90,000 |",
        "| finish | cut off instead of ended | 0 | 0 |",
        "| secrets | holds an access key or a private key: withheld from every config | 7 |",
        "| contaminated | an evaluation set has the problem, by n-gram and fuzzy comparison | 2 |",
        "| problems | equal text | duplicate | 1,200 |",
        "| problems | Jaccard index of word 5-shingles, at least 0.8 | near_duplicate | 0 |",
        "| right rollouts of one problem | equal words | duplicate | 0 |",
        "| right rollouts of one problem | Jaccard index of word 5-shingles, at least 0.8 | "
        "near_duplicate | 300 |",
        "| aime | aime.jsonl, column problem | ngram | dropped before sampling | 4 |",
        "| aime | aime.jsonl, column problem | fuzzy | flagged | 2 |",
        "| gpqa | org/gpqa (test), column question | - | nothing found | 0 |",
        "| old | - | variant | flagged | 1 |",
        "| math 1 | 2,400 | 3,900 | 100 |",
        "| - | 400 | 300 | 500 |",
        "| a\\|b.jsonl | malformed | the row could not be read in its file | 1 |",
        "| b.jsonl | duplicate | the question of an earlier row, and its answer | 1,200 |",
        "| temperature | 0.7 |",
        "| vllm | 0.32.0 |",
        "- AI-MO/NuminaMath-1.5",
        'traces = load_dataset("me/demo", split="train")',
    ],
)
def test_the_body_tells(line):
    assert line in card_text(FACTS).splitlines()


def test_the_recipe_stands_verbatim():
    (found,) = re.findall(r"^````yaml\n(.*?)^````$", card_text(FACTS), re.S | re.M)
    assert found == RECIPE


def test_every_column_of_every_config_is_explained():
    facts = replace(FACTS, configs=CONFIGS, rows={config.name: 1200 for config in CONFIGS})
    lines = card_text(facts).splitlines()
    for config in CONFIGS:
        assert f"| `{config.name}` | 1,200 | {config.about} |" in lines
        for column in config.schema.names:
            (line,) = [x for x in lines if x.startswith(f"| `{column}` |") and x.count("|") == 5]
            assert "every" in line or config.name in line
    assert set(MEANINGS) == {name for config in CONFIGS for name in config.schema.names}


def test_what_is_not_there_is_not_spoken_of():
    text = card_text(FACTS)
    for name in ("preference", "unpaired", "stepwise", "GRPO", "main_ppo", "reasoning_content"):
        assert name not in text
    assert "sft" in text


def test_what_was_not_checked_is_said():
    for personal, told in [((), True), (("email",), False)]:
        options = TraceOptions(quality=Quality(personal=personal))
        text = card_text(replace(FACTS, options=options))
        limits = text.partition("\n## Limits\n")[2].partition("\n## ")[0]
        assert "- Verified is the final answer. The reasoning before it was not" in limits
        assert "pass@1" in limits
        assert ("- Personal data were not looked for." in limits) is told


@pytest.mark.parametrize(
    ("right", "rows", "says"),
    [
        (784, 3070, "784 right rows and 2,286 wrong ones.* `desirable_weight` .*at 2.9"),
        (300, 400, "300 right rows and 100 wrong ones.* `undesirable_weight` .*at 3\\."),
    ],
)
def test_the_card_says_how_uneven_the_labels_are(right, rows, says):
    counts = replace(COUNTS, accepted=right)
    facts = replace(FACTS, counts=counts, configs=CONFIGS, rows={"unpaired": rows})
    assert re.search(says, card_text(facts))


def test_the_filter_for_tasks_takes_those_that_teach():
    (code,) = re.findall(r"`rl\.filter\((.*)\)`", card_text(replace(FACTS, configs=CONFIGS)))
    keeps = eval(code)
    rates = [None, 0.0, 0.25, 1.0]
    assert [rate for rate in rates if keeps({"pass_rate": rate})] == [0.25]


def test_parts_that_are_not_there_leave_no_hole():
    facts = replace(FACTS, counts=replace(COUNTS, barred={}), about=replace(ABOUT, recipe=""))
    for one in (FACTS, facts):
        assert "\n\n\n" not in card_text(one)


def test_whole_numbers_stand_to_the_right():
    lines = card_text(FACTS).splitlines()
    assert lines[lines.index("| outcome | rollouts |") + 1] == "| --- | --: |"
    assert lines[lines.index("| package | version |") + 1] == "| --- | --- |"


def test_plots_stand_in_the_card():
    text = card_text(replace(FACTS, plots={"A  title": "plots/a.svg"}))
    assert "![A title](plots/a.svg)" in text


def test_a_run_without_anything_has_a_card():
    facts = CardFacts(about=About(title="t", model="m"), counts=Counts())
    text = card_text(facts)
    assert header(facts)["size_categories"] == ["n<1K"]
    assert "| pass@1 | - |" in text
    assert "The problem was the whole prompt." in text
    assert "NAMESPACE/NAME" in text
    assert "$" not in text


def test_a_rule_that_was_switched_off_is_not_spoken_of():
    quality = Quality(secrets=False, max_mixed=None, max_tokens=9)
    options = TraceOptions(quality=quality, near_duplicates=None)
    counts = replace(COUNTS, dropped={}, withheld={})
    facts = replace(FACTS, counts=counts, options=options, about=replace(ABOUT, eval_sets={}))
    text = card_text(facts)
    for rule in ("secrets", "scripts", "near_duplicate"):
        assert f"| {rule} | {RULES[rule]}" not in text
    assert f"| length | {RULES['length']} | 0 | 0 |" in text.splitlines()
    assert "Access keys and personal data were not looked for." in text


def test_no_card_calls_a_dataset_clean():
    empty = replace(
        FACTS,
        about=replace(ABOUT, eval_sets={}, kept_out={}),
        counts=replace(COUNTS, contamination={}),
    )
    assert "were not compared with any evaluation set" in card_text(empty)
    for facts in (FACTS, empty):
        assert not re.search(r"\bclean|decontaminated", card_text(facts), re.I)
    assert "n-gram and fuzzy" in card_text(FACTS)


def test_the_card_tells_no_time():
    assert str(datetime.datetime.now(datetime.UTC).year) not in card_text(FACTS)
    assert card_text(FACTS) == card_text(replace(FACTS))


@settings(deadline=None)
@given(st.text(), st.text(), st.dictionaries(st.text(), st.integers(0, 10**9), max_size=3))
def test_any_text_gives_a_valid_header_and_whole_tables(title, recipe, dropped):
    about = replace(ABOUT, title=title, recipe=recipe, system=recipe)
    facts = CardFacts(about=about, counts=replace(COUNTS, dropped=dropped))
    text = card_text(facts)
    loaded = DatasetCard(text, ignore_metadata_errors=False).data
    assert (loaded.pretty_name or "").split() == title.split()
    body = text.partition("## What was left out")[2].partition("Rollouts, right or wrong")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    assert len(lines) == len({*at_work(Quality()), "bad_reward", *REPEATS, *dropped}) + 2
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (220_000, "100K<n<1M"),
        (10**6, "1M<n<10M"),
        (10**12, "100M<n<1B"),
    ],
)
def test_size_categories(rows, name):
    assert size_category(rows) == name


def test_a_row_that_became_no_problem_is_shown_with_the_meaning_of_its_rule():
    lines = card_text(FACTS).splitlines()
    assert f"| b.jsonl | no_answer | {SET_ASIDE['no_answer']} | 3 |" in lines
    unknown = replace(FACTS, about=replace(ABOUT, rejects={"c": {"of_a_newer_version": 2}}))
    assert "| c | of_a_newer_version | - | 2 |" in card_text(unknown).splitlines()


def test_every_rule_by_which_a_row_is_set_aside_has_a_meaning():
    # `contaminated` and what the foreman says are put together from other words.
    found = {"contaminated", "contaminated_variant", "refused", "set_aside"}
    for path in Path("factory").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition("Reject.")[2]
                place = {"BadRow": 0, "Repeat": 0, "_reject": 1, "of": 1, "excluded": 2}
                given = node.args[place[called] :][:1] if called in place else []
                given += [k.value for k in node.keywords if called == "Reject" and k.arg == "rule"]
                found |= {one.value for one in given if isinstance(one, ast.Constant)}
    assert found == set(SET_ASIDE)
    assert all(meaning and "|" not in meaning for meaning in SET_ASIDE.values())
