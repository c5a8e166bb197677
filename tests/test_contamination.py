import json
import random
import subprocess
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import _planted
from factory import contamination, feed
from factory.contamination import (
    Decontamination,
    EvalSet,
    alike,
    load,
    overlap,
    question,
    screen,
    told_by,
)
from factory.contamination.hits import Hit, Item
from factory.contamination.overlap import Index
from factory.errors import RecipeError, SourceError
from factory.types import Problem, Reject, problem_id

STORY = (
    "At the harbor, Lena finds 48 lanterns in a crate and hands 13 of them to the keeper. Later"
    " Omar gives Lena another 7 tiles and takes 3 lanterns in return. How many lanterns are left?"
)
CONTEST = (
    "Find the number of positive integers $n \\leq 1000$ such that $n^2 + 3n + 2$ is divisible by"
    " $17$. Express your answer as an integer between 0 and 999, inclusive."
)
PLAIN = (
    "A student claims that neurons have no part in light absorption when seen in a river delta."
    " Which of the following observations would most directly contradict the claim?"
)
SHORT = "Compute $65 + 87$."
ITEMS = [STORY, CONTEST, PLAIN, SHORT]


def index(*texts, **options):
    items = (Item(eval_set="set", row=str(n), text=text) for n, text in enumerate(texts, 1))
    return Index(items, **options)


def found(text, at=None, **options):
    """Methods of the hits of a text, by row."""
    return {hit.row: hit.method for hit in (at or index(*ITEMS, **options)).hits(text)}


def problem(prompt, **fields):
    return Problem(id=problem_id(prompt), prompt=prompt, answer="1", source="f", **fields)


COPIES = {
    "case and blanks": STORY.upper().replace(" ", "\n "),
    "wrapped": f"Solve the following problem:\n\n{STORY}\n\nLet's think step by step.",
    "names": STORY.replace("Lena", "Priya").replace("Omar", "Wei"),
    "numbers as words": STORY.replace("48", "forty-eight").replace("13", "thirteen"),
    "order": " ".join([STORY.split(". ")[1] + ".", STORY.split(". ")[0] + ".", "How many left?"]),
    "words left out": STORY.replace("a crate and hands", "crate, hands").replace("another ", ""),
    "words put in": STORY.replace(" of ", " exactly of ").replace("tiles", "nice new tiles"),
    "misspelt": STORY.replace("lanterns", "lantrens", 1).replace("keeper", "keepr"),
    "within a longer text": "An example first. " * 60 + STORY + " And then it goes on." * 60,
}


@pytest.mark.parametrize("text", COPIES.values(), ids=COPIES)
def test_an_edited_copy_is_found(text):
    assert found(text).get("1") in ("whole", "ngram", "fuzzy")


@pytest.mark.parametrize(
    "text",
    [
        CONTEST.replace("$", "").replace("\\leq", "≤").replace("n^2", "n²"),
        CONTEST.replace("n", "k", 0).replace("$n", "$k").replace("3n", "3k"),
        r"Determine the number of positive integers \( m \le 1{,}000 \) for which \( m^{2} + 3m + 2"
        r" \) is divisible by \( 17 \). Express your answer as an integer between 0 and 999.",
    ],
)
def test_mathematics_is_found_in_other_dress(text):
    assert found(text).get("2") in ("ngram", "fuzzy", "whole")


@pytest.mark.parametrize(
    "text",
    [
        "What is 65 + 87?",
        "Problem 7. Compute $65+87$.\n\nPut your final answer within \\boxed{}.",
        "Please compute sixty-five + 87",
    ],
)
def test_a_short_item_is_found_in_a_frame(text):
    assert found(text) == {"4": "whole"}


@pytest.mark.parametrize(
    "text",
    [
        "What is 65 + 87 - 3?",
        "What is 165 + 87?",
        "What is 1 + 65 + 87?",
        "What is 87 + 65?",
        "What is 65 - 87?",
        "Compute $(65 + 87) \\cdot 2$.".replace("\\cdot", "/"),
        "A farmer has 65 cows and 87 sheep. How many animals are there?",
        "Compute the sum.",
    ],
)
def test_a_short_item_is_not_found_in_another_question(text):
    assert found(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        STORY.replace("48", "57"),
        STORY.replace("48", "57").replace("13", "11").replace("7 tiles", "9 tiles"),
        CONTEST.replace("17", "19"),
        CONTEST.replace("1000", "5000"),
    ],
)
def test_other_numbers_make_a_variant(text):
    assert list(found(text).values()) == ["variant"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "🙂",
        "Find the number of positive integers less than 50 that are squares.",
        "How many lanterns are left when 3 of 9 lanterns break?",
        "Which of the following observations would most directly contradict the theory of tides?",
        "Express your answer as an integer between 0 and 999, inclusive.",
    ],
)
def test_what_shares_only_phrases_is_not_found(text):
    assert found(text) == {}


@pytest.mark.parametrize("text", ITEMS)
def test_an_item_itself_is_always_found(text):
    (first, *_) = index(*ITEMS).hits(text)
    assert (first.method, first.score) == ("whole", 1.0)


def test_an_item_itself_is_found_among_any_number_of_its_kind():
    rng = random.Random(3)
    texts = [_planted.contest(rng, rng) for _ in range(400)]
    at = index(*texts)
    for number, text in enumerate(texts, 1):
        assert str(number) in {hit.row for hit in at.hits(text) if hit.method != "variant"}


def test_a_template_alone_is_no_copy():
    text = (
        "A house has a {} door. Behind the door lives a {} that is never fed in the morning, and"
        " nobody in the village has ever seen it leave. What does the {} eat?"
    )
    colors, animals = ["red", "blue", "green", "white"], ["cat", "dog", "owl", "fox"]
    pairs = [(color, animal) for color in colors for animal in animals]
    at = index(*(text.format(color, animal, animal) for color, animal in pairs))
    for color, animal in (("pink", "hen"), ("gray", "cow"), ("pink", "bee")):
        assert set(found(text.format(color, animal, animal), at).values()) == {"variant"}


def test_a_question_is_found_without_its_choices():
    choices = "\n(A) It is warm\n(B) It is cold\n(C) It is wet\n(D) It is dry"
    at = index(PLAIN + choices)
    assert found(PLAIN, at).get("1") in ("whole", "fuzzy", "ngram")
    assert found("How is it? " + choices, at) == {}


def test_letters_that_cannot_be_renamed_are_another_problem():
    text = "Put these cards into order and say which comes last: {} is the row on the table now."
    at = index(text.format("b, d, f, b, d, b, f"))
    assert found(text.format("b, d, f, b, d, b, f"), at) == {"1": "whole"}
    assert set(found(text.format("f, f, d, b, b, d, d"), at).values()) <= {"variant"}


def test_the_common_rule_is_a_setting():
    text = "Given a circle. Express your answer as an integer between 0 and 999, inclusive. Now?"
    assert found(text) == {}
    assert found(text, min_coverage=0) == {"2": "ngram"}
    # In more items than `max_items` the phrase is boilerplate.
    others = [f"{word} is it? " + CONTEST[-63:] for word in ("Who", "What", "Which", "Where")]
    assert "2" not in found(text, index(*ITEMS, *others, min_coverage=0))


def test_without_the_fuzzy_comparison_only_runs_count():
    text = COPIES["words put in"].replace(" and ", " and also ").replace("Later", "Later on")
    assert found(text).get("1") == "fuzzy"
    assert found(text, min_similarity=None).get("1") != "fuzzy"


def test_rows_that_read_the_same_are_all_named():
    at = Index([Item(eval_set=name, row="5", text=STORY) for name in ("a", "b")])
    assert [(hit.eval_set, hit.row) for hit in at.hits(STORY)] == [("a", "5"), ("b", "5")]


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=6), st.text(max_size=200))
def test_any_text_may_be_asked_and_indexed(texts, text):
    at = index(*texts)
    for hit in at.hits(text):
        assert 0 <= hit.score <= 1
    for item in texts:
        if hits := at.hits(item):
            assert hits[0].score == 1


def test_hits_are_the_same_in_every_process():
    program = (
        "from tests.test_contamination import COPIES, ITEMS, index\n"
        "print([str(h) for t in COPIES.values() for h in index(*ITEMS).hits(t)])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_planted_copies_are_found_and_clean_problems_pass():
    made = _planted.corpus(101, 40)
    at = index(*made.items)
    caught = {kind: [_caught(at, t) for t in texts] for kind, texts in made.copies.items()}
    dropped = {kind: [_caught(at, t) for t in texts] for kind, texts in made.clean.items()}
    assert all(caught["light"])
    assert sum(caught["medium"]) >= 0.99 * len(caught["medium"])
    assert sum(caught["heavy"]) >= 0.97 * len(caught["heavy"])
    clean = dropped["reworded"] + dropped["foreign"]
    assert sum(clean) <= 0.01 * len(clean)
    assert sum(dropped["renumbered"]) <= 0.01 * len(dropped["renumbered"])


def _caught(at, text):
    return any(hit.method != "variant" for hit in at.hits(text))


def test_memory_is_for_the_index_alone():
    at = index(*ITEMS)
    at.hits(STORY)
    tracemalloc.start()
    for number in range(2000):
        at.hits(STORY.replace("48", str(number)))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2_000_000


# --- recipe and files


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def spec_of(path, **options):
    one = {"name": "mine", "path": str(path)} | {
        key: options.pop(key) for key in ("column",) if key in options
    }
    return Decontamination.model_validate({"against": [one], **options})


def test_copies_are_dropped_and_variants_flagged(tmp_path):
    spec = spec_of(write(tmp_path / "e.jsonl", [{"problem": STORY, "id": "x1"}]))
    bad = Reject(source="f", row="9", rule="malformed", reason="")
    variant = problem(STORY.replace("48", "57"), metadata={"level": 2})
    clean = problem("Why is the sky blue?")
    given = [bad, problem(STORY + " "), variant, clean]
    passed, dropped, flagged, untouched = screen(given, load(spec), spec)
    assert passed is bad
    assert untouched is clean
    assert isinstance(dropped, Reject)
    assert dropped.rule == "contaminated"
    assert dropped.reason.startswith("whole 1.00 of mine row x1: at harbor lena find 48 lantern")
    assert isinstance(flagged, Problem)
    assert flagged.id == variant.id
    assert flagged.metadata["level"] == 2
    (mark,) = flagged.metadata["contamination"]
    assert (mark["eval_set"], mark["row"], mark["method"]) == ("mine", "x1", "variant")
    json.dumps(flagged.metadata)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"action": "flag"}, ["flagged", "flagged"]),
        ({"variants": "drop"}, ["contaminated", "contaminated_variant"]),
        ({"variants": "ignore"}, ["contaminated", "clean"]),
    ],
)
def test_what_happens_is_a_setting(tmp_path, options, rules):
    spec = spec_of(write(tmp_path / "e.jsonl", [{"problem": STORY}]), **options)
    given = [problem(STORY), problem(STORY.replace("48", "57"))]
    got = []
    for item in screen(given, load(spec), spec):
        flagged = isinstance(item, Problem) and "contamination" in item.metadata
        got.append(item.rule if isinstance(item, Reject) else "flagged" if flagged else "clean")
    assert got == rules


def test_conversations_are_compared_without_the_system_turn():
    turns = ({"role": "system", "content": STORY}, {"role": "user", "content": "Why?"})
    assert question(problem("Why?", messages=turns)) == "Why?"


def test_sets_are_read_from_every_form(tmp_path):
    rows = [{"problem": STORY, "q": CONTEST}, {"problem": PLAIN, "q": SHORT}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    write(tmp_path / "a.jsonl", rows)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": STORY}]
    write(tmp_path / "m.jsonl", [{"messages": turns}])
    for name, column in (("e.parquet", "q"), ("a.jsonl", "q"), ("*.parquet", "problem")):
        assert len(load(spec_of(tmp_path / name, column=column))) == 2
    at = load(spec_of(tmp_path / "m.jsonl", column="messages"))
    assert found(STORY, at) == {"1": "whole"}


def test_no_set_no_hits():
    spec = Decontamination()
    given = [problem(STORY)]
    assert list(screen(given, load(spec), spec)) == given


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ('{"problem": "a"}\n', "question", r"no column 'question'.*; columns: problem"),
        ('{"problem": "a b"}\n{"problem": null}\n', "problem", r"row 2: column 'problem' holds No"),
        ('{"problem": "a b"}\n{"problem": " ?! "}\n', "problem", r"row 2.*text or messages"),
        ('{"problem": "a b", "x": 1}\n{"problem": 3, "x": 1}\n', "problem", r"columns: problem, x"),
        ('{"problem": "a b"}\n{oops\n', "problem", r"'mine' \(.*e.jsonl\): line 2"),
        ("", "problem", r"evaluation set 'mine' \(.*e.jsonl\): no rows"),
    ],
)
def test_a_hole_in_a_set_is_an_error(tmp_path, content, column, message):
    path = tmp_path / "e.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        load(spec_of(path, column=column))


def test_a_row_of_an_evaluation_set_that_is_no_question_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(contamination, "LONGEST_ITEM", 1000)
    path = tmp_path / "e.jsonl"
    write(path, [{"problem": "word " * 200}, {"problem": "word " * 201}])
    with pytest.raises(SourceError, match=r"'mine'.*row 2: column 'problem'.* 1005 .*most 1000"):
        load(spec_of(path))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"none\.jsonl"):
        load(spec_of(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a"}, "give one of path and hub"),
        ({"name": "a", "path": "x.jsonl", "hub": "b/c"}, "give one of path and hub"),
        ({"name": "a", "path": "x.csv"}, r"'x.csv' ends in none of: .jsonl, .*parquet"),
        ({"name": "a", "path": "x.jsonl", "revision": "1"}, "for a Hub dataset"),
        ({"name": "", "path": "x.jsonl"}, "name"),
        ({"name": "a", "path": "x.jsonl", "colum": "b"}, "colum"),
    ],
)
def test_a_bad_set_is_told(values, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        EvalSet.model_validate(values)


def test_two_sets_have_two_names():
    one = {"name": "a", "path": "x.jsonl"}
    with pytest.raises(pydantic.ValidationError, match="two evaluation sets are named 'a'"):
        Decontamination.model_validate({"against": [one, one]})


def test_a_hub_set_is_loaded_from_the_hub_source(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "test.jsonl", [{"problem": STORY}])
    spec = Decontamination.model_validate({"against": [{"name": "h", "hub": str(folder)}]})
    assert found(STORY, load(spec)) == {"1": "whole"}


def test_a_recipe_keeps_the_problems_of_an_evaluation_set_out(sums):
    rows = sums.problems.read_text(encoding="utf-8").splitlines()
    held_out = sums.folder / "eval.jsonl"
    held_out.write_text("\n".join(rows[:3]) + "\n", encoding="utf-8")
    against = f"decontaminate.against=[{{name: held out, path: {held_out}, column: prompt}}]"
    found = list(feed.problems(sums.recipe(against)))
    rejects = [item for item in found if isinstance(item, Reject)]
    assert [(r.row, r.rule) for r in rejects if r.rule == "contaminated"] == [
        (str(n), "contaminated") for n in (1, 2, 3)
    ]
    assert all("held out" in r.reason for r in rejects if r.rule == "contaminated")
    assert len([item for item in found if isinstance(item, Problem)]) == len(rows) - 3


def test_an_unknown_key_of_an_evaluation_set_names_the_known_ones(sums):
    with pytest.raises(RecipeError, match=r"'colum' in decontaminate\.against\.0; known: name, "):
        sums.recipe("decontaminate.against=[{name: x, path: y.jsonl, colum: z}]")


@pytest.mark.parametrize(
    "text",
    [
        STORY.replace("crate", "**crate**").replace("hands", "*hands*").replace("takes", "_takes_"),
        f"12) {STORY}",
        f"Exercise 4.3. {STORY} Thanks!",
        STORY.replace("of them", "of of them").replace("13", "thirteen thirteen"),
        STORY.replace("crate and hands", "crate one hands").replace("Later ", ""),
        "Q: [Level 5] " + STORY.replace("At the", "At a"),
    ],
)
def test_marks_labels_and_slips_hide_nothing(text):
    assert found(text).get("1") in ("whole", "ngram", "fuzzy")


TOWERS = (
    "A tower of {a} disks stands on peg {b} and must be moved to peg {c}. A disk may never lie on a"
    " smaller one, and peg {d} may be used on the way. List the moves, one per line."
)


def test_numbers_that_change_places_make_a_variant():
    at = index(TOWERS.format(a=5, b=1, c=3, d=2))
    assert found(TOWERS.format(a=5, b=1, c=3, d=2) + " Thanks!", at)["1"] != "variant"
    assert found(TOWERS.format(a=5, b=3, c=1, d=2), at) == {"1": "variant"}
    assert found(TOWERS.format(a=5, b=1, c=2, d=3), at) == {"1": "variant"}


def test_words_that_change_places_make_a_variant_where_hardly_one_tells():
    text = (
        "Each button changes the number, depending on the color of the light. Press the buttons in"
        " the right order. {} when red, {} when green, {} when any, {} when red, {} when green."
    )
    steps = ["add", "halve", "double", "negate", "square"]
    orders = [steps[n:] + steps[:n] for n in range(5)]
    at = index(*(text.format(*order) for order in orders[:4]))
    assert set(found(text.format(*orders[4]), at).values()) <= {"variant"}
    assert found(text.format(*orders[0]) + " Thanks!", at)["1"] != "variant"


@pytest.mark.parametrize(
    ("item", "text", "counted"),
    [
        ("peg 1 to peg 3 now", "peg 3 to peg 1 now", (2, 0)),
        ("take red from box now", "take blue from box now", (0, 0)),
        ("take red from a blue box", "take blue from a red box", (0, 2)),
        ("a 4 b", "a 4 b", (0, 0)),
        ("", "", (0, 0)),
    ],
)
def test_exchanges_are_counted_between_equal_neighbours(item, text, counted):
    ours, theirs = item.split(), text.split()
    assert alike.exchanges(ours, ours, theirs, theirs) == counted


@given(st.integers(0, 30), st.floats(0, 1))
def test_the_tail_is_a_share(number, share):
    chances = [overlap.tail(found, number, share) for found in range(number + 1)]
    assert chances == sorted(chances)
    assert chances[-1] == pytest.approx(1)


def test_planted_copies_of_other_kinds_are_found_too():
    made = _planted.corpus(202, 20, kind=_planted.HELD_OUT)
    at = index(*made.items)
    caught = [_caught(at, text) for texts in made.copies.values() for text in texts]
    dropped = [_caught(at, text) for texts in made.clean.values() for text in texts]
    assert sum(caught) >= 0.99 * len(caught)
    assert sum(dropped) <= 0.01 * len(dropped)


@pytest.mark.parametrize("method", ["whole", "ngram", "fuzzy", "variant"])
@given(st.text(max_size=20), st.text(max_size=9), st.text(max_size=20), st.floats(0, 1))
def test_a_hit_is_told_from_its_line(method, eval_set, row, matched, score):
    hit = Hit(eval_set=eval_set, row=row, method=method, score=score, matched=matched)
    assert told_by(str(hit), ["other", eval_set, eval_set[:3]])[0].startswith(eval_set[:3])
    assert told_by(str(hit), [eval_set]) == (eval_set, method)
