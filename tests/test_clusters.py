"""Problems that nearly repeat each other come together, whatever lies between them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import near
from factory.curation import clusters as module
from factory.curation import groups
from factory.curation.clusters import clusters, sketch
from factory.ledger import Ledger
from factory.types import Problem, problem_id

VOCABULARY = [a + b + c for a in "bdfgkl" for b in "aeiou" for c in "mnprst"]

KINDS = st.sampled_from(["new", "same", "near", "far"])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("clusters")


def text(seed: int, words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=words))


def changed(original: str, count: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    words = original.split(" ")
    for place in rng.sample(range(len(words)), count):
        words[place] = f"{rng.choice(VOCABULARY)}x"
    return " ".join(words)


def found(texts: list[str], scratch: Path, batch: int = 1000) -> list[int]:
    batches = (sketch(texts[i : i + batch]) for i in range(0, len(texts), batch))
    return clusters(batches, scratch).tolist()


def components(texts: list[str]) -> list[int]:
    """By comparing all with all."""
    sets = [near.sketch(one).shingles for one in texts]
    first = list(range(len(texts)))
    for later in range(len(texts)):
        for earlier in range(later):
            if near.jaccard(sets[later], sets[earlier]) >= module.THRESHOLD:
                low, high = sorted((first[later], first[earlier]))
                first = [low if one == high else one for one in first]
    return first


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), kinds=st.lists(KINDS, max_size=20))
def test_clusters_are_the_components_of_all_near_pairs(scratch, seed, kinds):
    rng = random.Random(seed)
    texts = [text(seed, 200)]
    for number, kind in enumerate(kinds):
        words = {"same": 0, "near": 1, "far": 40}.get(kind)
        origin = rng.choice(texts)
        texts.append(
            text(seed + 1 + number, 200)
            if words is None
            else changed(origin, words, rng.randrange(99))
        )
    assert found(texts, scratch) == components(texts)


def test_batches_make_no_difference_and_nothing_is_left_behind(tmp_path):
    texts = [changed(text(n % 7, 200), n % 3, n) for n in range(60)] + ["short", "", "short"]
    expected = found(texts, tmp_path)
    assert len(set(expected)) == 9
    for batch in (1, 7, 63):
        assert found(texts, tmp_path, batch) == expected
    assert list(tmp_path.iterdir()) == []
    assert found([], tmp_path) == []


def test_chains_are_one_cluster(tmp_path):
    chain = [text(1, 200)]
    for step in range(12):
        chain.append(changed(chain[-1], 3, step))
    ends = [near.sketch(one).shingles for one in (chain[0], chain[-1])]
    assert near.jaccard(*ends) < 0.6
    assert found(chain, tmp_path) == [0] * 13


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is 12 + 35?", "what is 3 + 1,250.5", True),
        ("What is 12 + 35?", "What is 12 * 35?", False),
        ("What is 12 + 35?", "What is the sum of 12 and 35?", False),
        (f"{text(1)} in 7 days.", f"{text(1)} in 12 days?", True),
        (f"{text(1)} in 7 days.", f"{text(2)} in 7 days.", False),
        (f"**{text(1)}**", text(1).upper(), True),
        ("Cut \ud83d", "Cut \ud83d", True),
    ],
)
def test_numbers_and_formatting_make_no_other_problem_to_be_tested_on(tmp_path, one, other, same):
    assert found([one, other], tmp_path) == [0, 0 if same else 1]


def test_many_that_share_a_key_are_compared_with_few(tmp_path, monkeypatch):
    compared = []
    monkeypatch.setattr(module, "_near", lambda a, b: bool(compared.append(1)))
    keys = np.zeros(200, dtype=np.uint64)
    counts = np.ones(200, dtype=np.uint32)
    batch = module.Sketches(
        keys=keys, num_keys=counts, shingles=np.arange(200, dtype=np.uint64), num_shingles=counts
    )
    assert clusters([batch], tmp_path).tolist() == list(range(200))
    assert 200 < len(compared) <= 200 * module.CANDIDATES


def test_the_ledger_names_the_cluster_of_every_problem(tmp_path):
    prompts = ["What is 1 + 1?", text(1), "What is 2 + 2?", text(2), changed(text(1), 1)]
    problems = [Problem(id=problem_id(prompt), prompt=prompt) for prompt in prompts]
    with Ledger(tmp_path / "ledger") as ledger:
        for problem in [*problems[:3], problems[0], *problems[3:], problems[1]]:
            ledger.append(problem)
    a, b, _, d, _ = (problem.id for problem in problems)
    for size in (100, 10**9):
        ranges = groups.ranges(tmp_path / "ledger", size, map)
        made = [group for one in ranges for group in one.groups()]
        assert [group.problem for group in made] == problems
        assert [group.cluster for group in made] == [a, b, a, d, b]
    assert {group.cluster for group in groups.read(tmp_path / "ledger")} == {""}
