import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import near
from factory.curation.distinct import Choice, Text, choose
from factory.curation.paths import equations, statements

VOCABULARY = [f"word{n}" for n in range(300)]


def texts(*given):
    return [Text(number, text, len(text)) for number, text in enumerate(given)]


def long(seed, words=120):
    return " ".join(random.Random(seed).choices(VOCABULARY, k=words))


def changed(text, count, seed=0):
    rng = random.Random(seed)
    words = text.split(" ")
    for place in rng.sample(range(len(words)), count):
        words[place] = f"other{place}"
    return " ".join(words)


def test_repeats_and_near_repeats_go_first():
    a, b = long(1), long(2)
    choice = choose(texts(a, b, a.upper(), changed(a, 1), changed(a, 30)), 9)
    assert choice == Choice([0, 1, 4], {2: "duplicate", 3: "near_duplicate"})
    assert choose(texts(a, changed(a, 1)), 9, near_duplicates=None).kept == [0, 1]
    assert choose([], 3) == Choice([], {})


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([long(n, 40) for n in range(8)]), max_size=10),
    st.lists(st.integers(0, 12), min_size=10, max_size=10),
    st.floats(0.2, 1.0),
)
def test_near_repeats_are_those_of_the_exact_index(bases, edits, threshold):
    given_texts = [changed(base, n, n) for base, n in zip(bases, edits, strict=False)]
    choice = choose(texts(*given_texts), 99, near_duplicates=threshold)
    kept = []
    for number, text in enumerate(given_texts):
        own = near.shingles(near.words(text))
        others = [near.shingles(near.words(given_texts[k])) for k in kept]
        if not any(near.jaccard(own, other) >= threshold for other in others):
            kept.append(number)
    assert choice.kept == kept
    assert sorted([*choice.kept, *choice.dropped]) == list(range(len(given_texts)))


LENGTHS = [Text(n, long(n), length) for n, length in enumerate([50, 10, 90, 30, 70])]


@pytest.mark.parametrize(
    ("prefer", "kept"),
    [
        ("first", [0, 1, 2]),
        ("shortest", [0, 1, 3]),
        ("longest", [0, 2, 4]),
        ("spread", [0, 1, 2]),
    ],
)
def test_preferences(prefer, kept):
    choice = choose(LENGTHS, 3, prefer=prefer)
    assert choice.kept == kept
    assert set(choice.dropped.values()) == {"over_max_per_problem"}


@pytest.mark.parametrize(("prefer", "kept"), [("shortest", [1]), ("longest", [0]), ("spread", [0])])
def test_of_repeats_the_preferred_one_stays(prefer, kept):
    same = [Text(0, "a b c", 9), Text(1, "A b  c", 2)]
    assert choose(same, 1, prefer=prefer).kept == kept


@pytest.mark.parametrize("prefer", ["first", "shortest", "longest", "spread", "different"])
@pytest.mark.parametrize("cap", [1, 2, 5, 9])
def test_never_more_than_the_cap_and_never_fewer_than_there_are(prefer, cap):
    assert len(choose(LENGTHS, cap, prefer=prefer).kept) == min(cap, 5)


def test_the_most_different_texts_are_kept():
    a, far = long(1), long(2)
    given_texts = [a, changed(a, 12, 1), changed(a, 14, 2), far, changed(a, 16, 3)]
    assert choose(texts(*given_texts), 2, near_duplicates=None).kept == [0, 3]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=3, max_size=8), st.integers(2, 4))
def test_each_is_the_farthest_from_those_kept(edits, cap):
    base = long(5, 60)
    given_texts = [changed(base, n, number) for number, n in enumerate(edits)]
    choice = choose(texts(*given_texts), cap, near_duplicates=None)
    sets = [near.shingles(near.words(text)) for text in given_texts]
    kept, pool = [0], [n for n in range(len(edits)) if n not in choice.dropped]
    alive = [n for n in range(len(edits)) if choice.dropped.get(n) != "duplicate"]
    while len(kept) < min(cap, len(alive)):
        rest = [n for n in alive if n not in kept]
        kept.append(min(rest, key=lambda n: max(near.jaccard(sets[n], sets[k]) for k in kept)))
    assert pool == sorted(kept)


def derivation(*lines, filler=0):
    return f"{long(filler, 60)}\n" + "\n".join(f"So ${line}$." for line in lines)


def test_derivations_differ_by_their_equations():
    one = ("3 \\cdot 4 = 12", "12 + 1 = 13")
    other = ("4 + 4 + 4 = 12", "14 - 1 = 13")
    given_texts = [derivation(*one, filler=n) for n in range(3)] + [derivation(*other, filler=0)]
    every = {"near_duplicates": None}
    assert choose(texts(*given_texts), 2, **every).kept == [0, 3]
    assert choose(texts(*given_texts), 2, measure="equations", **every).kept == [0, 3]
    assert choose(texts(*given_texts), 2, measure="words", **every).kept != [0, 3]


def program(body, name="f", filler=0):
    return f"{long(filler, 60)}\n```python\ndef {name}(xs):\n    {body}\n```"


def test_programs_differ_by_their_statements():
    given_texts = [
        program("return sum(xs)", "f", 1),
        program("return sum(xs)  # adds", "total", 2),
        program("return sum(xs)", "g", 3),
        program("s = 0\n    for x in xs:\n        s += x\n    return s", "f", 4),
    ]
    assert choose(texts(*given_texts), 2).kept == [0, 3]
    assert choose(texts(*given_texts), 2, measure="code").kept == [0, 3]


def test_the_choice_depends_on_the_texts_alone():
    rng = random.Random(4)
    given_texts = [Text(str(n), changed(long(n % 3), rng.randrange(40), n), n) for n in range(30)]
    first = choose(given_texts, 5)
    assert choose(list(given_texts), 5) == first
    moved = choose(given_texts[::-1], 5)
    assert len(moved.kept) == 5


# --- equations and statements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"So $3 \cdot 4 = 12$, and x = 12 + 1 = 13.", ["34=12", "x=12+1", "12+1=13"]),
        (r"$\frac{1}{2}x = 4$", ["1/2x=4"]),
        ("1,000 + 1 = 1,001", ["1000+1=1001"]),
        ("x² = 9", ["x^2=9"]),
        ("no equation here, a ≤ b", []),
        ("= 3", []),
        ("f(x) = 2x and g == 3", ["f(x)=2x"]),
    ],
)
def test_equations(text, expected):
    assert equations(text) == expected


SUM = "```python\ndef f(xs, k):\n    total = 0\n    for x in xs:\n        total += x * k\n```"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (SUM.replace("total", "s").replace("xs", "values").replace("f(", "add("), True),
        (SUM.replace("(xs, k):", '(xs: list, k: int) -> int:\n    """Adds."""'), True),
        (SUM.replace("    ", "  ").replace("total = 0", "total = 0  # start"), True),
        (SUM.replace("```python", "Here:\n```py"), True),
        (SUM.replace("x * k", "k * x"), False),
        (SUM.replace("0", "1"), False),
        (SUM.replace("for x in xs", "for x in sorted(xs)"), False),
    ],
)
def test_statements(text, same):
    assert statements(SUM)
    assert (statements(text) == statements(SUM)) is same


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "(" * 5000 + "1" + ")" * 5000,
        "x = " + "+".join(["1"] * 30_000),
        "x = " + "-" * 3000 + "1",
        "x = (",
        "x = '\\0'\0",
        "x = 1\n" * 60_000,
        "\ud800",
        "9" * 5000,
    ],
)
def test_what_does_not_parse_has_no_statements(source):
    assert statements(f"```python\n{source}\n```") == []


def test_nothing_is_run(tmp_path):
    target = tmp_path / "made"
    assert statements(f"```python\nopen({str(target)!r}, 'w')\n```")
    assert not target.exists()


@given(st.text())
def test_any_text_has_a_path(text):
    assert isinstance(equations(text), list)
    assert isinstance(statements(f"```python\n{text}\n```"), list)


def test_a_spread_over_equally_long_texts_takes_the_first_ones():
    texts = [Text(n, f"text {n} is about {n * 7} and {n * n} things", 5) for n in range(5)]
    assert choose(texts, 2, prefer="spread", near_duplicates=None).kept == [0, 1]
    texts += [Text(9, "a long one", 50), Text(10, "another long one", 50)]
    assert choose(texts, 2, prefer="spread", near_duplicates=None).kept == [0, 9]
