"""The real engine on the CPU, with the small model: one engine, one event loop, many requests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from factory.crew.replica import Ended, Progressed, Replica
from factory.engines import Chunk, EngineInfo, Request, RequestRefused
from factory.engines.vllm import Engine
from factory.errors import EngineError
from factory.scheduling.branching import Branching
from factory.types import RolloutKey, Sampling

psutil = pytest.importorskip("psutil")
pytest.importorskip("vllm")

MODEL = "data/tiny_model"
# Rambles: hundreds of tokens where the model is given no reason to stop.
ENDLESS = {"temperature": 2.0, "repetition_penalty": 5.0, "max_tokens": 450}

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(420),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    # vLLM leaves a ZeroMQ context to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*[Uu]nclosed context:ResourceWarning"),
]


@dataclass
class Bench:
    """A started engine and the loop in which it lives."""

    engine: Engine
    info: EngineInfo
    runner: asyncio.Runner

    def run(self, work: Callable[[Engine], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            return await work(self.engine)

        return self.runner.run(go())

    def read(self, request: Request) -> list[Chunk]:
        async def go(engine: Engine) -> list[Chunk]:
            return [chunk async for chunk in engine.generate(request)]

        return list(self.run(go))


def processes() -> list[Any]:
    """Everything below this process, without the helper that Python keeps until it exits."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "resource_tracker" not in " ".join(p.cmdline())]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """The engine; its processes must be gone when it has stopped."""
    engine = Engine(
        model=MODEL, max_num_seqs=16, enforce_eager=True, stream_interval=8, cpu_kvcache_gib=1
    )
    with asyncio.Runner() as runner:
        info = runner.run(engine.start())
        assert (info.model, info.slots, info.can_continue) == (MODEL, 20, True)
        family = processes()
        assert family
        yield Bench(engine, info, runner)
        runner.run(engine.stop())
        _, left = psutil.wait_procs(family, timeout=20)
        assert not left
        assert not processes()


def request(index: int = 0, prefix: tuple[int, ...] = (), **sampling: Any) -> Request:
    return Request(
        key=RolloutKey("p", index),
        messages=({"role": "user", "content": "Find the sum of 19 and 12."},),
        sampling=Sampling(**{"max_tokens": 200, **sampling}),
        prefix=prefix,
        restarts=bool(prefix),
    )


def text(chunks: list[Chunk]) -> str:
    whole = chunks[-1].whole_text
    return "".join(c.text for c in chunks) if whole is None else whole


def tokens(chunks: list[Chunk]) -> tuple[int, ...]:
    return tuple(token for chunk in chunks for token in chunk.token_ids)


def test_same_seed_same_text(bench: Bench) -> None:
    texts = [text(bench.read(request(index))) for index in range(4)]
    assert [text(bench.read(request(index))) for index in range(4)] == texts
    assert len(set(texts)) > 1


def test_chunks_tell_every_token(bench: Bench) -> None:
    chunks = bench.read(request())
    assert sum(c.num_tokens for c in chunks) == len(tokens(chunks)) > 0
    assert all(c.num_tokens <= 8 for c in chunks)
    assert chunks[-1].finish_reason in ("stop", "length")
    assert chunks[-1].prompt_tokens > 0
    assert chunks[-1].whole_text is None


def test_asked_how_unsure_it_was_it_writes_the_same_and_tells(bench: Bench) -> None:
    plain = bench.read(request())
    asked = bench.read(replace(request(), branching=Branching(after=1)))
    assert text(asked) == text(plain)
    assert not any(chunk.entropies for chunk in plain)
    assert all(len(chunk.entropies) == len(chunk.token_ids) for chunk in asked)
    entropies = [entropy for chunk in asked for entropy in chunk.entropies]
    assert min(entropies) >= 0
    assert 0.3 < max(entropies) < 2.5  # ln 11, at most, of ten tokens and the rest


def test_a_fork_goes_on_from_its_parents_tokens(bench: Bench) -> None:
    parent = bench.read(replace(request(), branching=Branching(after=1)))
    lent = Branching(after=1).lend(
        tokens(parent), [entropy for chunk in parent for entropy in chunk.entropies]
    )
    branch, shared = Branching(after=1).pick(1, {0: lent}) or pytest.fail("nowhere unsure")
    fork = replace(request(1), prefix=tuple(shared), branch=branch)
    written = bench.read(fork)
    begun = text(bench.read(request(max_tokens=branch.shared)))
    assert begun
    assert text(written).startswith(begun)
    assert text(written) == text(bench.read(fork))


def test_prompt_longer_than_the_context_is_refused(bench: Bench) -> None:
    long = Request(
        key=RolloutKey("long", 0),
        messages=({"role": "user", "content": "Find the sum of 19 and 12. " * 100},),
        sampling=Sampling(),
    )
    with pytest.raises(RequestRefused, match="the model's context holds 512"):
        bench.read(long)


def test_limit_beyond_the_context_is_cut_to_the_room_left(bench: Bench) -> None:
    chunks = bench.read(request(**{**ENDLESS, "max_tokens": 100_000}))
    assert len(tokens(chunks)) + chunks[-1].prompt_tokens <= 512


def test_abort_ends_with_all_that_was_written(bench: Bench) -> None:
    async def go(engine: Engine) -> list[Chunk]:
        asked = request(**ENDLESS)
        chunks = []
        async for chunk in engine.generate(asked):
            if not chunks:
                assert await engine.abort(asked)
            chunks.append(chunk)
        return chunks

    chunks = bench.run(go)
    assert chunks[-1].finish_reason == "abort"
    assert 0 < len(tokens(chunks)) < 450


def test_abort_of_a_request_that_vllm_does_not_know_yet(bench: Bench) -> None:
    async def go(engine: Engine) -> None:
        replica = Replica(engine, "r", 1000)
        replica._info = bench.info  # The engine has been started already.
        replica.submit(request(index, **ENDLESS) for index in range(8))
        replica.abort(RolloutKey("p", index) for index in range(8))
        ended = 0
        while ended < 8:
            for event in await replica.poll(30):
                assert isinstance(event, Ended)
                assert event.rollout.completion.finish_reason == "abort"
                ended += 1

    bench.run(go)


def test_drain_yields_what_is_needed_to_go_on(bench: Bench) -> None:
    async def go(engine: Engine) -> list[Any]:
        replica = Replica(engine, "r", 10_000)
        replica.submit(request(index, **ENDLESS) for index in range(4))
        replica._info = bench.info
        while not any(writing.unlogged for writing in replica._writing.values()):
            await asyncio.sleep(0.01)
        await replica.drain()
        return (await replica.poll(5.0))[:-1]

    events = bench.run(go)
    unfinished = [event for event in events if isinstance(event, Progressed)]
    assert unfinished
    assert {type(event) for event in events} <= {Progressed, Ended}
    for event in unfinished:
        chunks = bench.read(request(event.key.index, prefix=event.token_ids, **ENDLESS))
        assert len(event.token_ids) + len(tokens(chunks)) <= 450


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_greedy_continuation_is_the_undisturbed_completion(bench: Bench, share: float) -> None:
    undisturbed = bench.read(request(temperature=0))
    written = tokens(undisturbed)
    prefix = written[: max(1, int(share * len(written)))]
    continued = bench.read(request(temperature=0, prefix=prefix))
    assert prefix + tokens(continued) == written
    assert text(continued) == text(undisturbed)
    assert continued[-1].prompt_tokens == undisturbed[-1].prompt_tokens


def test_sampled_continuation_begins_with_the_prefix(bench: Bench) -> None:
    first = bench.read(request(max_tokens=10))
    continued = bench.read(request(prefix=tokens(first)))
    assert text(continued).startswith(text(first))
    assert text(continued) == text(first) + "".join(c.text for c in continued)


@pytest.mark.parametrize("room", [0, 1, 5])
def test_limit_holds_for_prefix_and_continuation_together(bench: Bench, room: int) -> None:
    prefix = tokens(bench.read(request(max_tokens=10)))
    continued = bench.read(request(prefix=prefix, max_tokens=10 + room))
    assert len(tokens(continued)) == room
    assert continued[-1].finish_reason == "length"
    assert continued[-1].whole_text


def test_stop_string_ends_a_continuation_as_it_ends_the_whole(bench: Bench) -> None:
    plain = text(bench.read(request(temperature=0)))
    stop = plain[len(plain) // 2 :][:4]
    whole = bench.read(request(temperature=0, stop=(stop,)))
    assert whole[-1].finish_reason == "stop"
    prefix = tokens(whole)[:5]
    continued = bench.read(request(temperature=0, stop=(stop,), prefix=prefix))
    assert text(continued) == text(whole) == plain[: plain.index(stop)]


def test_model_that_cannot_be_loaded_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EngineError, match="vLLM cannot start with model"):
        asyncio.run(Engine(model=str(tmp_path)).start())


def test_missing_folder_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(ValueError, match=r"no such folder, or no config\.json in it"):
        Engine(model="./no/such/folder")
