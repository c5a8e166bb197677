import datetime
import decimal
import json
import os
import random
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factory import seen
from factory.problems import answer_text, intake, jsonable
from factory.sources._row import Row, WrittenFloat
from factory.types import Problem, Reject, problem_id

NAN = float("nan")


def rows_of(*values, **extra):
    return [
        Row(source="file.jsonl", number=n, values=v, extra=extra) for n, v in enumerate(values, 1)
    ]


def take(*values, **options):
    return list(intake(rows_of(*values), default_verifier="math", **options))


def one(extra=None, **values):
    (found,) = intake(rows_of(values, **(extra or {})), default_verifier="math")
    return found


def rule_of(**values):
    found = one(**values)
    return found.rule if isinstance(found, Reject) else "accepted"


def test_a_row_becomes_a_problem():
    problem = one(prompt="2 + 2? 😀", answer=4, domain="math", id=17, extra={"level": 1})
    assert problem == Problem(
        id=problem_id("2 + 2? 😀"),
        prompt="2 + 2? 😀",
        answer="4",
        verifier="math",
        source="file.jsonl",
        source_id="17",
        line=1,
        domain="math",
        metadata={"level": 1},
    )


def test_a_conversation_becomes_a_problem():
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Pick 3.", "name": "ann"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Double it."},
    ]
    problem = one(messages=turns, answer="6", verifier="exact")
    assert problem.prompt == "Double it."
    assert problem.messages[1] == {"role": "user", "content": "Pick 3."}
    assert problem.verifier == "exact"
    assert problem.id == problem_id("", problem.messages) != problem_id("Double it.")


USER = {"role": "user", "content": "why?"}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"answer": "1"}, "no_prompt"),
        ({"prompt": " \n", "answer": "1"}, "no_prompt"),
        ({"prompt": 12, "answer": "1"}, "no_prompt"),
        ({"prompt": NAN, "answer": "1"}, "no_prompt"),
        ({"prompt": "", "messages": [], "answer": "1"}, "no_prompt"),
        ({"messages": "why?", "answer": "1"}, "bad_messages"),
        ({"messages": ["why?"], "answer": "1"}, "bad_messages"),
        ({"messages": [{"from": "human", "value": "a"}], "answer": "1"}, "bad_messages"),
        ({"messages": [{"role": "tool", "content": "a"}, USER], "answer": "1"}, "bad_messages"),
        ({"messages": [USER, {"role": "system", "content": "a"}], "answer": 1}, "bad_messages"),
        ({"messages": [USER, {"role": "assistant", "content": "a"}], "answer": 1}, "bad_messages"),
        ({"messages": [{"role": "user", "content": " "}], "answer": "1"}, "bad_messages"),
        ({"messages": [{"role": "user", "content": None}], "answer": "1"}, "bad_messages"),
        ({"messages": [USER], "prompt": "how?", "answer": "1"}, "bad_messages"),
        ({"messages": [USER], "prompt": "why? ", "answer": "1"}, "accepted"),
        ({"prompt": "why?"}, "no_answer"),
        ({"prompt": "why?", "answer": None, "spec": {}}, "no_answer"),
        ({"prompt": "why?", "answer": "  "}, "no_answer"),
        ({"prompt": "why?", "answer": NAN}, "no_answer"),
        ({"prompt": "why?", "spec.tests": None}, "no_answer"),
        ({"prompt": "why?", "spec.tests": ["assert f(1) == 2"]}, "accepted"),
        ({"prompt": "why?", "spec": '{"choices": ["a"]}'}, "accepted"),
        ({"prompt": "why?", "spec": "{", "answer": "1"}, "bad_spec"),
        ({"prompt": "why?", "spec": [1], "answer": "1"}, "bad_spec"),
        ({"prompt": "x" * 100_001, "answer": "1"}, "too_long"),
        ({"prompt": "why?", "answer": float("inf")}, "no_answer"),
        ({"prompt": "why?", "answer": float("nan")}, "no_answer"),
        ({"prompt": "why?", "answer": WrittenFloat("1e999")}, "accepted"),
        ({"prompt": "why?", "answer": b"\xff"}, "unreadable"),
        ({"prompt": "why?", "answer": 10**5000}, "unreadable"),
    ],
)
def test_each_rule(values, rule):
    assert rule_of(**values) == rule


def test_a_reject_says_where_and_why():
    first, bad = take({"prompt": "a", "answer": "1"}, {"prompt": "b", "id": "x"})
    assert isinstance(first, Problem)
    assert bad == Reject(
        source="file.jsonl",
        row="x",
        rule="no_answer",
        reason="no answer (None) and no spec to judge by",
        line=2,
    )
    assert bad.place == "file.jsonl:2 (id x)"


def test_rejects_of_the_source_pass_through_in_their_place():
    bad = Reject(source="f", row="2", rule="malformed", reason="")
    rows = rows_of({"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": "1"})
    assert list(intake([rows[0], bad, rows[1]], default_verifier="m"))[1] is bad


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  4 ", "  4 "),
        (3, "3"),
        (-0.5, "-0.5"),
        (10**30, "1" + "0" * 30),
        (WrittenFloat("0.10"), "0.10"),
        (True, "true"),
        ([1, "é"], '[1, "é"]'),
        ({"x": [1.5]}, '{"x": [1.5]}'),
        ([], "[]"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (b"\xc3\xa9", "é"),
        (float("inf"), None),
        (NAN, None),
        (None, None),
        ("", None),
    ],
)
def test_answers_become_text(value, text):
    assert answer_text(value) == text


def test_spec_and_metadata_hold_json_alone():
    values = {"spec": {"a": (1, NAN)}, "spec.b": WrittenFloat("0.10"), "spec.c": None}
    extra = {"when": datetime.date(2020, 1, 2), "set": {1}, "in": {3: b"x"}, "cut": "\ud83d"}
    problem = one(prompt="p", extra=extra, **values)
    assert problem.spec == {"a": [1, "nan"], "b": 0.1}
    assert problem.metadata == {
        "when": "2020-01-02",
        "set": "{1}",
        "in": {"3": "b'x'"},
        "cut": "\ufffd",
    }
    json.dumps([problem.spec, problem.metadata], allow_nan=False, ensure_ascii=False).encode()


class Hostile:
    def __str__(self):
        raise RuntimeError("no text")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.dates()
    | st.builds(Hostile),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["prompt", "messages", "answer", "id", "spec", "spec.x", "verifier"]),
            anything | st.sampled_from(["a", [USER], [{"role": "user", "content": "\ud800"}]]),
        ),
        max_size=6,
    ),
    st.dictionaries(st.text(), anything, max_size=3),
)
def test_no_row_raises_and_none_is_lost(values, extra):
    found = list(intake(rows_of(*values, **extra), default_verifier="math"))
    assert len(found) == len(values)
    for problem in found:
        if isinstance(problem, Problem):
            assert problem.prompt.strip()
            assert problem.answer is not None or problem.spec
            json.dumps([problem.metadata, problem.spec], allow_nan=False)
            f"{problem.prompt}{problem.answer}".encode()


@settings(deadline=None)
@given(anything.filter(lambda value: "Hostile" not in repr(value)))
def test_jsonable_is_its_own_fixed_point(value):
    once = jsonable(value)
    assert jsonable(once) == once
    json.dumps(once, allow_nan=False, ensure_ascii=False).encode()


def test_ids_and_names_that_are_no_text():
    ids = [NAN, "", {"$oid": "7"}, [1], 0, "\ud83d", 7.5]
    values = ({"prompt": f"p{n}", "answer": "1", "id": own} for n, own in enumerate(ids))
    found = take(*values, near_duplicates=None)
    assert [problem.source_id for problem in found] == ["1", "2", "3", "4", "0", "?", "7.5"]
    problem = one(prompt="p", answer="1", domain=NAN, verifier=" exact\n")
    assert (problem.domain, problem.verifier) == ("", "exact")
    assert len(one(prompt="p", messages=[{"role": "x" * 10_000, "content": ""}]).reason) == 300


# Repeats


def rules(*values, **options):
    return [getattr(found, "rule", "") for found in take(*values, **options)]


def test_a_repeated_question_is_set_aside():
    found = take(
        {"prompt": "2 + 2?", "answer": "4"},
        {"prompt": "2 + 2?  \n", "answer": " 4"},
        {"prompt": "2 + 2?", "answer": "5"},
        {"messages": [{"role": "user", "content": "2 + 2?"}], "answer": "4"},
        {"messages": [{"role": "system", "content": "?"}, USER], "answer": "4"},
        {"prompt": "why?", "answer": "4"},
        near_duplicates=None,
    )
    assert [getattr(item, "rule", "") for item in found] == [
        "",
        "duplicate",
        "conflicting_answer",
        "duplicate",
        "",
        "",
    ]
    assert found[0].id in found[1].reason
    assert found[2].reason.endswith("'4' there, '5' here")


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        ("18", "18.0", "duplicate"),
        ("18", "$18$.", "duplicate"),
        (r"\boxed{\frac{1}{2}}", "0.5", "duplicate"),
        ("1,000", "$$1000$$", "duplicate"),
        (r"-\dfrac{3}{6}", "-1/2", "duplicate"),
        (r"$\sqrt{2}$", r"\sqrt{2}", "duplicate"),
        ("18", "18.1", "conflicting_answer"),
        ("1/0", "0/1", "conflicting_answer"),
        (r"\boxed{}", "0", "conflicting_answer"),
        ("2", "$2$ or $3$", "conflicting_answer"),
        ("a b", "ab", "conflicting_answer"),
        pytest.param("9" * 5000, "8" * 5000, "conflicting_answer", id="long"),
    ],
)
def test_one_value_in_two_forms_is_no_conflict(first, second, rule):
    values = [{"prompt": "p", "answer": answer} for answer in (first, second)]
    assert rules(*values) == ["", rule]


def test_the_spec_stands_in_for_a_missing_answer():
    one, same, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}
    values = [{"prompt": "p", "spec": spec} for spec in (one, same, other)]
    assert rules(*values) == ["", "duplicate", "conflicting_answer"]


def test_an_id_names_one_problem():
    found = take(
        {"prompt": "a", "answer": "1", "id": 7},
        {"prompt": "b", "answer": "1", "id": "7"},
        {"prompt": "a", "answer": "1", "id": 7},
        {"prompt": "c", "answer": "1"},
        {"prompt": "d", "answer": "1"},
    )
    assert [getattr(item, "rule", "") for item in found] == [
        "",
        "duplicate_id",
        "duplicate",
        "",
        "",
    ]
    first = f"file.jsonl:1 (id 7) (problem {found[0].id})"
    assert found[1].reason == f"id '7' is already that of {first}"
    row = rows_of({"prompt": "z", "answer": "1", "id": 7})[0]
    other = Row(source="other", number=1, values=row.values | {"prompt": "y"})
    assert all(isinstance(p, Problem) for p in intake([row, other], default_verifier="m"))


STORY = (
    "A farmer keeps {a} hens and {b} ducks in a yard beside the river. Every morning each of the"
    " hens lays {c} eggs, and the farmer sells all of them on the market in town, where a dozen"
    " costs as much as a loaf of bread. How many {what} does the farmer have in total?"
)


def story(answer="35", a=12, b=23, c=1, what="birds", edit=None):
    text = STORY.format(a=a, b=b, c=c, what=what)
    return {"prompt": text.replace(*edit) if edit else text, "answer": answer}


def test_a_rewording_is_a_near_duplicate_and_names_the_first():
    first, second = take(story(), story(edit=("beside the river", "by the river")))
    assert (second.rule, second.problem_id != first.id) == ("near_duplicate", True)
    assert second.reason.endswith(f"with file.jsonl:1 (problem {first.id})")
    score = float(second.reason.removeprefix("Jaccard ").split()[0])
    assert 0.8 <= score < 1


@pytest.mark.parametrize(
    "other",
    [
        story(a=13),
        story(a=23, b=12, c=2),
        story(answer="12", what="hens"),
        story(edit=("hens and", "hens +")),
        story(edit=("Every", "Each")) | {"spec.unit": "kg"},
        story() | {"messages": None, "prompt": "Unrelated: " + story()["prompt"][::-1]},
    ],
)
def test_what_may_change_the_answer_makes_another_problem(other):
    assert rules(story(), other) == ["", ""]


def test_a_short_question_is_repeated_only_by_all_its_words():
    wanted = {
        "What is 12 + 35?": "",
        "What is 12 + 36?": "",
        "what is 12+35": "near_duplicate",
        "What is 12 - 35?": "",
        "Is 7 odd?": "",
        "Is 7 prime?": "",
        "What is $1,000 + 2$?": "",
        "What is 1000 + 2": "",
        "What is 1,000 + 2": "near_duplicate",
        "What is 1.5 + 2?": "",
        "What is 1 5 + 2?": "",
        "What is 7?": "",
        "What is 7!": "",
        "What is n?": "",
        "What is n!": "",
        "What is 7 odd!": "",
        "What is 7 odd?!": "near_duplicate",
    }
    values = [{"prompt": prompt, "answer": "1"} for prompt in wanted]
    assert rules(*values) == list(wanted.values())
    assert rules(*values, near_duplicates=None) == [""] * len(wanted)


def test_a_question_without_numbers_is_found_by_its_words():
    words = "the sum of all interior angles of any flat polygon depends on how many sides it has"
    text = (
        f"Explain in one sentence why {words}, and name the simplest polygon for which this holds"
    )
    found = rules(
        {"prompt": text, "answer": "triangle"},
        {"prompt": f"{text} at all!?", "answer": "triangle"},
        {"prompt": f"Please: {text}", "answer": "Triangle"},
        {"prompt": text.replace("simplest", "largest"), "answer": "none"},
    )
    assert found == ["", "near_duplicate", "near_duplicate", ""]


plain_words = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=8), min_size=1)


@settings(deadline=None)
@given(plain_words, st.lists(st.integers(0, 10**6), min_size=1, max_size=6), st.data())
@example(["is", "x"], [1], None)
def test_questions_that_differ_in_a_number_are_both_kept(words, numbers, data):
    place = data.draw(st.integers(0, len(numbers) - 1)) if data else 0
    changed = [n + (i == place) for i, n in enumerate(numbers)]
    prompts = [" ".join([*words, *map(str, of)]) for of in (numbers, changed)]
    assert rules(*({"prompt": p, "answer": "same"} for p in prompts), near_duplicates=0.1) == [
        "",
        "",
    ]


@settings(deadline=None)
@given(plain_words, st.lists(st.integers(0, 99), max_size=4), st.integers(0, 2**32))
def test_case_and_layout_make_no_new_question(words, numbers, seed):
    rng = random.Random(seed)
    tokens = [*words, *map(str, numbers)]
    rng.shuffle(tokens)
    blanks = [" ", "  ", "\n", "\t"]
    again = "".join(rng.choice((t, t.upper())) + rng.choice(blanks) for t in tokens)
    values = [{"prompt": p, "answer": "1"} for p in (" ".join(tokens), again)]
    assert rules(*values)[1] in ("duplicate", "near_duplicate")


def test_the_rows_alone_decide():
    rng = random.Random(3)
    towns = ["Bern", "Basel", "Biel", "Brig", "Burgdorf"]
    values = [story(edit=("in town", f"in {rng.choice(towns)}")) for _ in range(30)]
    assert rules(*values) == rules(*values)
    assert rules(*values).count("") == 1
    assert rules(*values, near_duplicates=1.0).count("") == len(towns)


def test_the_index_is_on_disk_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = intake(rows_of(*[story(a=n) for n in range(3)]), default_verifier="math")
    next(found)
    assert [path.name for path in tmp_path.glob("*/*")] == ["seen.sqlite"]
    found.close()
    assert list(tmp_path.iterdir()) == []


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(seen, "CACHE_KIB", 1024)
    total, padding = 30_000, "x" * 200
    rows = (
        Row(source="s", number=n, values={"prompt": f"{padding} {n}", "answer": n, "id": n})
        for n in range(total)
    )
    early = 0
    for number, found in enumerate(intake(rows, default_verifier="math")):
        assert isinstance(found, Problem)
        if number == total // 5:
            early = resident_bytes()
    assert resident_bytes() - early < 4_000_000


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**64, -(2**63) - 1])
def test_integers_beyond_64_bits_are_text_but_in_an_answer(number):
    stored = number if -(2**63) <= number < 2**64 else str(number)
    problem = one(prompt="?", answer=[number], spec={"n": [number]}, extra={"m": {"k": number}})
    assert problem.spec == {"n": [stored]}
    assert problem.metadata == {"m": {"k": stored}}
    assert json.loads(problem.answer) == [number]
