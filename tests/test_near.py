import random
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import near

VOCABULARY = [f"word{n}" for n in range(200)]
texts = st.lists(st.sampled_from(VOCABULARY), max_size=60)


def true_jaccard(a, b, size=near.SHINGLE):
    def runs(tokens):
        width = min(size, len(tokens))
        return {tuple(tokens[i : i + width]) for i in range(len(tokens) - width + 1) if tokens}

    return len(runs(a) & runs(b)) / (len(runs(a) | runs(b)) or 1) if a or b else 1.0


@settings(deadline=None)
@given(texts, texts, st.integers(0, 60), st.integers(0, 60))
def test_the_jaccard_index_is_that_of_the_sets_of_runs(a, b, start, end):
    b = a[:start] + b[:3] + a[end:]
    found = near.jaccard(near.shingles(a), near.shingles(b))
    assert found == true_jaccard(a, b)


@settings(deadline=None)
@given(texts, texts, st.floats(0.1, 1))
def test_similarity_is_exact_or_below_the_threshold(a, b, threshold):
    sketches = near.sketch_words(a), near.sketch_words(b)
    found = near.similarity(*sketches, threshold)
    exact = true_jaccard(a, b)
    assert found == exact or (found == 0 and exact < threshold)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(VOCABULARY), max_size=12), max_size=5))
def test_sketches_of_many_are_those_of_each(many):
    for tokens, sketch in zip(many, near.sketches(many), strict=True):
        assert np.array_equal(sketch.shingles, near.shingles(tokens))
        assert np.array_equal(sketch.signature, near.sketch_words(tokens).signature)


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_case_width_and_blanks_do_not_matter_symbols_do(a, b):
    assert near.words(f"{a}  {b}\n") == near.words(f" {a}\t{b}")
    assert near.words("What IS ３ + ５?") == ["what", "is", "3", "+", "5", "?"]  # noqa: RUF001
    assert near.words("3 - 5") != near.words("3 + 5")
    assert near.words("日本語です abc") == ["日", "本", "語", "で", "す", "abc"]


def test_texts_of_any_size_have_a_sketch():
    empty = near.sketch("")
    assert len(empty.shingles) == 0
    assert near.similarity(empty, near.sketch(" \n"), 0.8) == 1.0
    assert near.similarity(empty, near.sketch("a"), 0.8) == 0.0
    assert near.similarity(near.sketch("😀"), near.sketch("😀"), 1.0) == 1.0
    assert near.similarity(near.sketch("a b"), near.sketch("b a"), 0.1) == 0.0
    large = near.sketch("the quick brown fox " * 250_000)
    assert len(large.shingles) == 4


def edited(rng, tokens, changes):
    tokens = list(tokens)
    for _ in range(changes):
        tokens[rng.randrange(len(tokens))] = rng.choice(VOCABULARY)
    return tokens


def test_near_duplicates_share_a_band():
    rng = random.Random(7)
    found = total = 0
    for _ in range(300):
        a = rng.choices(VOCABULARY, k=300)
        b = edited(rng, a, rng.randrange(1, 12))
        if true_jaccard(a, b) < 0.8:
            continue
        total += 1
        keys = [set(near.band_keys(near.sketch_words(t).signature)) for t in (a, b)]
        found += bool(keys[0] & keys[1])
    assert total > 100
    assert found / total > 0.98


def test_unrelated_texts_share_none():
    rng = random.Random(8)
    seen = set()
    for _ in range(200):
        keys = near.band_keys(near.sketch_words(rng.choices(VOCABULARY, k=100)).signature)
        assert len(keys) == near.BANDS
        assert not seen.intersection(keys)
        seen.update(keys)
    assert all(-(2**63) <= key < 2**63 for key in seen)


def test_a_sketch_is_the_same_in_every_process():
    text = "Let x be the largest 😀 number such that x^2 < 50; find x."
    program = f"from factory import near; print(near.sketch({text!r}).signature[:9])"
    here = str(near.sketch(text).signature[:9])
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert done.stdout.strip() == here


def test_hashes_of_runs_are_spread():
    runs = near.shingles([str(n % 97) for n in range(5000)])
    assert runs.dtype == np.uint64
    assert len(runs) == 97
    assert (np.diff(runs.astype(float)) > 0).all()


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_takes_a_short_way_to_the_same_words(text):
    beyond = near.words(f"{text} é")
    assert near.words(text) == beyond[:-1]
    assert beyond[-1] == "é"
