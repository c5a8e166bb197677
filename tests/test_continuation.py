"""What was interrupted goes on from its logged tokens; what starts over is marked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from benchmarks.interruption import World, hazard, ks, p_value, play, play_real
from factory import run
from factory.engines import EngineDead, Request, scripted
from factory.ledger import scan
from factory.ledger.records import Partial
from factory.report.progress import Snapshot
from factory.report.status import status
from factory.types import Rollout, Sampling
from tests.test_run import quiet


def rollouts(folder: Path) -> dict:
    return {r.key: r for r in scan(folder / "ledger") if isinstance(r, Rollout)}


@pytest.fixture
def dying(monkeypatch):
    """Engines that die again and again, half-way through a completion, and say nothing more.

    `can_continue` is what they say of themselves; `asked` holds the prefixes they were given.
    """

    made = SimpleNamespace(asked=Counter(), can_continue=True, dead=[], most=4)
    generate, start = scripted.Engine.generate, scripted.Engine.start

    async def dies(self, request):
        made.asked[len(request.prefix) > 0] += 1
        parts = 0
        async for chunk in generate(self, request):
            yield chunk
            parts += 1
            if parts == 3 and len(made.dead) < made.most and self._served > 20:
                if not any(engine is self for engine in made.dead):
                    made.dead.append(self)
                raise EngineDead("killed")

    async def says(self):
        info = await start(self)
        return type(info)(model=info.model, slots=info.slots, can_continue=made.can_continue)

    monkeypatch.setattr(scripted.Engine, "generate", dies)
    monkeypatch.setattr(scripted.Engine, "start", says)
    monkeypatch.setattr("factory.crew.fence.FIRST_S", 0.01)
    return made


def test_after_losses_every_text_is_as_if_nothing_had_been(sums, tmp_path, dying, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(dying, "most", 0)
        run.run(sums.recipe("limit=10"), tmp_path / "whole", quiet)
    dying.asked.clear()
    result = run.run(
        sums.recipe("limit=10", "engine.tokens_per_second=400"), tmp_path / "run", quiet
    )
    assert result.complete
    assert len(dying.dead) == 4
    assert dying.asked[True] > 10, "requests went on from what was logged"
    whole, again = rollouts(tmp_path / "whole"), rollouts(tmp_path / "run")
    assert {k: r.completion for k, r in again.items()} == {
        k: r.completion for k, r in whole.items()
    }
    assert result.counts.continued == sum(r.restarts > 0 for r in again.values()) > 10
    assert not any(r.started_over for r in again.values())
    for record in scan(tmp_path / "run" / "ledger"):
        if isinstance(record, Partial):
            text = whole[record.key].completion.text
            part = "".join(map(chr, record.token_ids))
            assert text[record.start : record.start + len(part)] == part


def test_what_was_regenerated_is_counted_and_shown(sums, tmp_path, dying):
    given = sums.recipe("limit=10", "engine.tokens_per_second=400", "cluster.log_every=8")
    run.run(given, tmp_path / "run", quiet)
    interruptions = sum(r.restarts for r in rollouts(tmp_path / "run").values())
    snapshot = Snapshot.read(tmp_path / "run")
    assert snapshot is not None
    assert snapshot.regenerated == 4 * interruptions > 0
    shown = "\n".join(status(tmp_path / "run"))
    assert f"about {snapshot.regenerated:,} tokens regenerated" in shown


def test_an_engine_that_cannot_continue_marks_what_started_over(sums, tmp_path, dying):
    dying.can_continue = False
    run.run(sums.recipe("limit=10", "engine.tokens_per_second=400"), tmp_path / "run", quiet)
    assert dying.asked[True] == 0
    ended = rollouts(tmp_path / "run").values()
    assert len(dying.dead) == 4
    assert sum(r.started_over for r in ended) > 10
    assert not any(r.restarts for r in ended)
    (path,) = (tmp_path / "run" / "dataset").rglob("all/*.parquet")
    published = pq.read_table(path).to_pylist()
    marks = {(row["problem_id"], row["generation_index"]): row["started_over"] for row in published}
    assert marks == {(r.problem_id, r.index): r.started_over for r in ended}


def lengths(mode: str, log_every: int, loss_every: int, seed: int) -> tuple[World, list[int]]:
    world = World(150.0, 32, log_every, loss_every, mode, random.Random(seed))
    asyncio.run(play(world, 600))
    return world, list(world.lengths.values())


def test_lengths_under_heavy_losses_are_those_of_an_undisturbed_run():
    """And restarting or dropping is not: the test can tell."""
    _, base = lengths("continued", 16, 0, 1)
    world, cut = lengths("continued", 16, 40, 2)
    distance, critical = ks(base, cut)
    assert world.losses == 14
    assert distance < critical
    for mode in ("restarted", "dropped"):
        distance, critical = ks(base, lengths(mode, 16, 20, 3)[1])
        assert distance > 2 * critical, mode


def test_a_cadence_longer_than_the_rollouts_is_no_continuation():
    _, base = lengths("continued", 16, 0, 1)
    distance, critical = ks(base, lengths("continued", 4096, 20, 4)[1])
    assert distance > critical


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    assert ks([1, 2, 3], [1, 2, 3])[0] == 0
    assert ks([1, 2, 3], [4, 5])[0] == 1
    assert ks([1, 2, 3, 4], [2, 3, 4, 5])[0] == pytest.approx(0.25)
    assert ks([0] * 100, [1] * 100)[1] == pytest.approx(1.628 * (200 / 10_000) ** 0.5)


def test_the_hazard_is_that_of_the_log_normal():
    alive, mean = 1.0, 0.0
    for at in range(1, 60_000):
        mean += alive * hazard(at, 400.0) * at
        alive *= 1 - hazard(at, 400.0)
    assert alive < 1e-3
    assert mean == pytest.approx(400, rel=0.01)


def test_the_chance_of_a_distance_is_that_of_kolmogorovs_table():
    for scaled, chance in ((1.358, 0.05), (1.628, 0.01), (1.949, 0.001)):
        distance = scaled / (10**6 / 2) ** 0.5
        assert p_value(distance, 10**6, 10**6) == pytest.approx(chance, rel=0.02)
    assert p_value(0.0, 50, 50) == 1
    assert p_value(1.0, 50, 50) < 1e-20


@pytest.mark.parametrize("mode", ["continued", "restarted"])
def test_an_engine_that_runs_by_itself_is_interrupted_by_what_has_ended(sums, tmp_path, mode):
    """Its tokens are counted, and where it may it goes on from those that were handed over."""
    script, sizes = tmp_path / "own.jsonl", [60 + 20 * number for number in range(24)]
    sums.write(script, [{"prompt": f"say {n}", "completions": ["x" * n]} for n in sizes])
    asked: Counter[bool] = Counter()

    def ask(key, prefix, tries):
        asked[bool(prefix)] += 1
        said = {"role": "user", "content": f"say {sizes[key.index]}"}
        return Request(
            key=key, messages=(said,), sampling=Sampling(), prefix=tuple(prefix), restarts=tries
        )

    async def go(world):
        engine = scripted.Engine(script=str(script), tokens_per_second=400, slots=8)
        await play_real(world, engine, await engine.start(), ask, range(24))

    world = World(0.0, 8, 16, 3, mode, random.Random(1))
    asyncio.run(go(world))
    assert sorted(world.lengths.values()) == sizes
    assert world.losses >= 2
    assert world.generated >= sum(sizes)
    assert bool(asked[True]) == (mode == "continued")
    if mode == "restarted":
        assert world.generated > 1.05 * sum(sizes)
