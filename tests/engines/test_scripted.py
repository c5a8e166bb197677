"""The engine without a model: it writes what the script says, and fails when it is told to."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from factory.engines import Chunk, EngineDead, Request, RequestRefused
from factory.engines.scripted import Engine
from factory.errors import EngineError
from factory.types import RolloutKey, Sampling

TEXTS = ["<think>\n1+1\n</think>\n\nIt is 2.", "Zwei,\u2028natürlich.", "🙂 3"]


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.jsonl"
    line = json.dumps({"prompt": "1+1?", "completions": TEXTS}, ensure_ascii=False)
    path.write_text(line + "\n", encoding="utf-8")
    return str(path)


def request(index: int = 0, prompt: str = "1+1?", **changes: Any) -> Request:
    values: dict[str, Any] = {
        "key": RolloutKey("p", index),
        "messages": ({"role": "user", "content": prompt},),
        "sampling": Sampling(),
    }
    return Request(**{**values, **changes})


def read(engine: Engine, *requests: Request) -> list[list[Chunk]]:
    """The chunks of each request, one request after the other."""

    async def go() -> list[list[Chunk]]:
        await engine.start()
        chunks = [[chunk async for chunk in engine.generate(asked)] for asked in requests]
        await engine.stop()
        return chunks

    return asyncio.run(go())


def text(chunks: list[Chunk]) -> str:
    whole = chunks[-1].whole_text
    return "".join(c.text for c in chunks) if whole is None else whole


def tokens(chunks: list[Chunk]) -> tuple[int, ...]:
    return tuple(token for chunk in chunks for token in chunk.token_ids)


def test_start_says_what_it_is(script: str) -> None:
    engine = Engine(script=script, slots=7)
    info = asyncio.run(engine.start())
    assert (info.model, info.slots, info.can_continue) == ("scripted", 7, True)
    assert engine.resources().gpus == 0


def test_same_request_same_text_whatever_came_before(script: str) -> None:
    forth = read(Engine(script=script), *map(request, range(12)))
    back = read(Engine(script=script), *map(request, reversed(range(12))))
    assert [text(c) for c in forth] == [text(c) for c in reversed(back)]
    assert {text(c) for c in forth} == set(TEXTS)


def test_another_run_seed_picks_otherwise(script: str) -> None:
    other = [request(index, sampling=Sampling(seed=1)) for index in range(12)]
    one, two = (
        read(Engine(script=script), *map(request, range(12))),
        read(Engine(script=script), *other),
    )
    assert [text(c) for c in one] != [text(c) for c in two]


def test_unknown_prompt_gets_the_default(script: str) -> None:
    [chunks] = read(Engine(script=script, default="No idea."), request(prompt="2+2?"))
    assert text(chunks) == "No idea."


def test_chunks_add_up(script: str) -> None:
    for chunks in read(Engine(script=script), *map(request, range(12))):
        assert sum(c.num_tokens for c in chunks) == len(tokens(chunks)) == len(text(chunks))
        assert [c.finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
        assert chunks[-1].prompt_tokens == len("1+1?")


def test_limit_is_kept(script: str) -> None:
    [chunks] = read(Engine(script=script), request(sampling=Sampling(max_tokens=3)))
    assert len(text(chunks)) == 3
    assert chunks[-1].finish_reason == "length"


@pytest.mark.parametrize("index", range(6))
def test_continuation_from_any_prefix_is_the_undisturbed_text(script: str, index: int) -> None:
    [undisturbed] = read(Engine(script=script), request(index))
    written = tokens(undisturbed)
    for length in range(1, len(written) + 1):
        asked = request(index, prefix=written[:length], restarts=1)
        [continued] = read(Engine(script=script), asked)
        assert continued[-1].whole_text == text(undisturbed)
        assert written[:length] + tokens(continued) == written
        assert continued[-1].finish_reason == "stop"


def test_limit_holds_for_prefix_and_continuation_together(script: str) -> None:
    sampling = Sampling(max_tokens=3)
    [first] = read(Engine(script=script), request(sampling=sampling))
    asked = request(prefix=tokens(first)[:2], restarts=1, sampling=sampling)
    [continued] = read(Engine(script=script), asked)
    assert continued[-1].whole_text == text(first)
    assert continued[-1].finish_reason == "length"


def test_failure_comes_half_way(script: str) -> None:
    async def go() -> list[Chunk]:
        engine = Engine(script=script, fail_share=1.0)
        await engine.start()
        stream = engine.generate(request())
        chunks = [await anext(stream)]
        with pytest.raises(RuntimeError, match="scripted failure"):
            await anext(stream)
        return chunks

    chunks = asyncio.run(go())
    assert 0 < len(text(chunks)) < max(map(len, TEXTS))
    assert chunks[-1].finish_reason is None


def test_a_share_of_the_requests_fails_and_may_pass_the_next_time(script: str) -> None:
    async def attempt(engine: Engine, asked: Request) -> bool:
        try:
            async for _ in engine.generate(asked):
                pass
        except RuntimeError:
            return False
        return True

    async def go() -> tuple[list[bool], list[bool]]:
        engine = Engine(script=script, fail_share=0.3)
        await engine.start()
        first = [await attempt(engine, request(index)) for index in range(200)]
        return first, [await attempt(engine, request(index)) for index in range(200)]

    first, second = asyncio.run(go())
    assert 0.2 < first.count(False) / 200 < 0.4
    assert any(later and not earlier for earlier, later in zip(first, second, strict=True))
    assert asyncio.run(go()) == (first, second)


def test_refused_prompt(script: str) -> None:
    with pytest.raises(RequestRefused, match="prompt of 4 characters"):
        read(Engine(script=script, refuse=("1+1?",)), request())


def test_it_dies_at_the_request_it_is_told_and_stays_dead(script: str) -> None:
    async def go() -> None:
        engine = Engine(script=script, die_after=2)
        await engine.start()
        assert [c async for c in engine.generate(request(0))]
        for index in (1, 2):
            with pytest.raises(EngineDead, match="scripted to die at request 2"):
                await anext(engine.generate(request(index)))

    asyncio.run(go())


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"not json\n", r"script\.jsonl:1: "),
        (b'{"prompt": "a"}\n', r"script\.jsonl:1: KeyError\('completions'\)"),
        (b'{"prompt": "a", "completions": ["b"]}\n[]\n', r"script\.jsonl:2: "),
        (b"\xff\n", "is not UTF-8"),
    ],
)
def test_bad_script_is_named_with_its_line(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "script.jsonl"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=error):
        asyncio.run(Engine(script=str(path)).start())


def test_missing_script(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read: No such file"):
        asyncio.run(Engine(script=str(tmp_path / "none.jsonl")).start())
