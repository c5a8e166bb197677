"""Curation by many workers gives what one process gives, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.card import About
from factory.curation import groups, parts, setwide
from factory.curation.curate import CurateResult, curate, write
from factory.curation.groups import Spread
from factory.curation.parts import Plan
from factory.errors import CurateError, FactoryError
from factory.ledger import Ledger
from factory.recipe import Cluster
from factory.shards import Origin, bare_question
from factory.traces import TraceOptions
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id

ABOUT = About(title="t", model="m")
OPTIONS = TraceOptions(max_per_problem=2, step_rollouts=2)
WORDS = list("abcdefghijklmnop")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Spread]:
    with setwide.cluster(None) as spread:
        yield spread
    assert not ray.is_initialized()


def through_pickle(work: Callable, items: Iterable) -> Iterator:
    """As on other machines, without any."""
    return (pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))(one))) for one in items)


def sample(folder: Path, seed: int, problems: int) -> None:
    """A ledger in disorder: near copies, verdicts that lack or were given again, repeats."""
    rng = random.Random(seed)
    queues = []
    for number in range(problems):
        prompt = " ".join([*rng.choices(WORDS, k=rng.choice((5, 20))), str(number)])
        if number and rng.random() < 0.3:
            prompt = queues[0][-1].prompt + f" {number}"
        problem = Problem(id=problem_id(prompt), prompt=prompt, answer="1", domain="d")
        records = list(rollouts(problem, rng))
        queues.append([*reversed(records), problem])
    rng.shuffle(queues)
    with Ledger(folder) as ledger:
        while queues:
            queue = rng.choice(queues)
            ledger.append(queue.pop())
            if not queue:
                queues.remove(queue)
            if rng.random() < 0.02:
                ledger.seal()


def rollouts(problem: Problem, rng: random.Random) -> Iterator[Rollout | Verdict | Problem]:
    for index in range(rng.randrange(5)):
        text = f"<think>{rng.choice(['a', 'b c', 'é ' * 9])}\n\nso</think>{rng.randrange(3)}"
        reason = rng.choice(["stop", "stop", "length", "abort"])
        completion = Completion(text=text, finish_reason=reason, num_tokens=rng.randrange(99))
        rollout = Rollout(problem_id=problem.id, index=index, model="m", completion=completion)
        yield rollout
        for _ in range(rng.randrange(3)):
            outcome = rng.choice([Outcome.CORRECT, Outcome.INCORRECT, Outcome.TIMEOUT])
            yield Verdict(
                problem_id=problem.id,
                index=index,
                outcome=outcome,
                reward=float(outcome is Outcome.CORRECT) if outcome.judged else None,
                extracted=None,
                detail="",
                verifier="math",
                verifier_version="1",
            )
        if rng.random() < 0.1:
            yield problem


def plan(ask: Callable = bare_question) -> Plan:
    return Plan(options=OPTIONS, origin=Origin(sampling=Sampling(), ask=ask))


def make(ledger: Path, name: str, spread: Spread, range_bytes: int, **bounds: int) -> CurateResult:
    made = setwide.made(ledger, plan(), spread, range_bytes)
    return write(made, ledger.parent / name, OPTIONS, about=ABOUT, **bounds)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def same(spread: Spread, seed: int, problems: int, ranges: list[int], bounds: dict) -> None:
    with tempfile.TemporaryDirectory() as place:
        ledger = Path(place) / "ledger"
        sample(ledger, seed, problems)
        make(ledger, "0", map, groups.RANGE_BYTES, **bounds)
        expected = contents(Path(place) / "0")
        for number, range_bytes in enumerate(ranges, 1):
            make(ledger, str(number), spread, range_bytes, **bounds)
            assert contents(Path(place) / str(number)) == expected
            assert not list(Path(place).glob(".*"))


SIZES = st.integers(200, 20_000)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 30), SIZES, SIZES, st.integers(200, 60_000))
def test_the_dataset_does_not_depend_on_the_ranges(seed, problems, size, group, shard):
    bounds = {"row_group_bytes": group, "shard_bytes": shard}
    same(through_pickle, seed, problems, [size, 10**9], bounds)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), problems=st.integers(1, 40), group=SIZES)
def test_many_workers_make_what_one_process_makes(cluster, seed, problems, group):
    same(cluster, seed, problems, [4_000], {"row_group_bytes": group, "shard_bytes": 3 * group})


def test_a_dataset_of_groups_is_that_of_their_ledger(tmp_path):
    sample(tmp_path / "ledger", 3, 20)
    make(tmp_path / "ledger", "a", map, 10**9)
    found = [g for r in groups.ranges(tmp_path / "ledger", spread=map) for g in r.groups()]
    curate(found, tmp_path / "b", OPTIONS, about=ABOUT, origin=plan().origin)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def dies_once(marker: Path, problem: Problem):
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return bare_question(problem)


def dies(here: int, problem: Problem):
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return bare_question(problem)


def fails(wanted: str, problem: Problem):
    if problem.id == wanted:
        raise KeyError("no such turn")
    return bare_question(problem)


def test_the_range_of_a_worker_that_died_goes_to_another_one(cluster, tmp_path):
    sample(tmp_path / "ledger", 5, 20)
    make(tmp_path / "ledger", "a", map, 10**9)
    ask = partial(dies_once, tmp_path / "died")
    made = setwide.made(tmp_path / "ledger", plan(ask), cluster, 3_000)
    write(made, tmp_path / "b", OPTIONS, about=ABOUT)
    assert (tmp_path / "died").exists()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_what_kills_every_worker_ends_with_the_earlier_dataset_in_place(cluster, tmp_path):
    sample(tmp_path / "ledger", 5, 4)
    make(tmp_path / "ledger", "a", map, 10**9)
    before = contents(tmp_path)
    made = setwide.made(tmp_path / "ledger", plan(partial(dies, os.getpid())), cluster)
    with pytest.raises(CurateError, match="died 4 times on the same range"):
        write(made, tmp_path / "a", OPTIONS, about=ABOUT)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_an_error_names_the_problem(where, request, tmp_path):
    spread = map if where == "here" else request.getfixturevalue("cluster")
    sample(tmp_path / "ledger", 7, 20)
    wanted = next(g.problem.id for g in groups.read(tmp_path / "ledger") if g.judged)
    made = setwide.made(tmp_path / "ledger", plan(partial(fails, wanted)), spread, 3_000)
    with pytest.raises(CurateError, match=rf"problem {wanted} .*KeyError: 'no such turn'"):
        write(made, tmp_path / "a", OPTIONS, about=ABOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


def test_a_writer_that_fails_leaves_no_range_files(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GATHER_CHARS", 1)
    sample(tmp_path / "ledger", 7, 20)
    with contextlib.closing(setwide.made(tmp_path / "ledger", plan(), map, 3_000)) as made:
        next(made)
        assert list(tmp_path.glob(".groups-*"))
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


def test_no_more_is_taken_than_is_worked_on(cluster):
    taken = []
    items = (taken.append(n) or n for n in range(100))
    at_once = int(ray.cluster_resources()["CPU"])
    for number, result in enumerate(cluster(abs, items)):
        assert result == number
        assert len(taken) <= number + 1 + at_once
    assert len(taken) == 100


def test_an_error_that_is_meant_for_the_user_comes_as_it_is(cluster):
    def refuse(_: int) -> None:
        raise FactoryError("not so")

    with pytest.raises(FactoryError, match=r"^not so$"):
        list(cluster(refuse, [1]))


def test_little_is_done_here_and_so_is_what_has_no_cluster(tmp_path, monkeypatch):
    sample(tmp_path / "ledger", 1, 3)
    said: list[str] = []
    with setwide.workers(Cluster(), tmp_path / "ledger", said.append) as spread:
        assert spread is map
    monkeypatch.setattr(setwide, "WORTHWHILE", 0)
    with setwide.workers(Cluster(backend="local"), tmp_path / "ledger", said.append) as spread:
        assert spread is map
    assert not said
    monkeypatch.setattr(setwide, "cluster", no_ray)
    with setwide.workers(Cluster(), tmp_path / "ledger", said.append) as spread:
        assert spread is map
    assert said == ["No module named 'ray': curating in this process alone"]


def no_ray(address: str | None) -> Iterator[Spread]:
    raise ModuleNotFoundError("No module named 'ray'")
