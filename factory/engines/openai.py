"""Any OpenAI-compatible chat server, over HTTP: vLLM, SGLang, llama.cpp, a hosted API.

Each request goes to the endpoint with the fewest requests in flight. The client library repeats
what a server refuses for the moment; an endpoint that still fails then rests, longer each time,
while the others go on. It takes `max_retries` such rests of all of them to kill the engine.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from factory.engines import Chunk, EngineDead, EngineInfo, Request, RequestRefused, Resources
from factory.errors import EngineError
from factory.types import FinishReason, Sampling

# How long an endpoint rests: at first, and at most.
_REST_S = (4.0, 60.0)
_TOO_LONG = re.compile(r"context[ _](length|size|window)|prompt is too long|max_new_tokens", re.I)
# Whatever else a server says (content_filter, tool_calls, abort) is not a finished answer.
_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


@dataclass(slots=True, eq=False)
class _Endpoint:
    """One server, and how it is doing."""

    url: str
    client: Any
    once: Any
    """The same client without retries."""
    in_flight: int = 0
    failures: int = 0
    """Failures since it last answered."""
    failed_at: float = 0.0
    rests_until: float = 0.0
    reason: str = ""

    def failed(self, asked_at: float, reason: str) -> None:
        """Requests that were under way together count as one failure."""
        if asked_at >= self.failed_at:
            self.failures += 1
            self.failed_at, self.reason = time.monotonic(), reason
            self.rests_until = self.failed_at + min(
                _REST_S[0] * 2 ** (self.failures - 1), _REST_S[1]
            )


@dataclass(slots=True)
class _Reading:
    """Turns the server's events, or its one answer, into chunks."""

    num_tokens: int = 0
    prompt_tokens: int = 0
    finish: str | None = None

    def add(self, event: Any) -> Chunk:
        """Counts one token per delta, and puts that right as soon as the server says how many."""
        choice = event.choices[0] if event.choices else None
        part = getattr(choice, "delta", None) or getattr(choice, "message", None)
        text = getattr(part, "content", None) or ""
        reasoning = getattr(part, "reasoning_content", None) or getattr(part, "reasoning", None)
        self.finish = getattr(choice, "finish_reason", None) or self.finish
        tokens = 1 if text or reasoning else 0
        if usage := getattr(event, "usage", None):
            self.prompt_tokens = usage.prompt_tokens or self.prompt_tokens
            tokens = (usage.completion_tokens or self.num_tokens) - self.num_tokens
        self.num_tokens += tokens
        return Chunk(text=text, reasoning=reasoning, num_tokens=tokens)

    def last(self) -> Chunk:
        if self.finish is None:
            raise ConnectionError(f"the answer broke off after {self.num_tokens} tokens")
        if self.finish not in _FINISH:
            raise RuntimeError(f"finish_reason is {self.finish!r}, neither 'stop' nor 'length'")
        return Chunk(finish_reason=_FINISH[self.finish], prompt_tokens=self.prompt_tokens)


@dataclass(slots=True, kw_only=True)
class Engine:
    """Any OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, a hosted API."""

    MAY_VARY: ClassVar[tuple[str, ...]] = (
        "endpoints",
        "api_key_env",
        "slots",
        "timeout_s",
        "max_retries",
        "stream",
    )
    model: str
    """As the server names it."""
    endpoints: tuple[str, ...]
    """Base URLs, most of them ending in /v1; all serve the same model."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key, on the replica's machine."""
    slots: int = 64
    """Requests held at once per endpoint."""
    timeout_s: float = 600.0
    """Silence after which a request has failed; without `stream`, time for the whole answer."""
    max_retries: int = 4
    """Attempts beyond the first: after 408, 409, 429 (as Retry-After says), 5xx, no connection."""
    stream: bool = True
    """Off: a third of the work per token here, but an aborted rollout leaves nothing behind."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Sent with every request; wins over what is sent of itself."""
    _endpoints: list[_Endpoint] = field(init=False, repr=False, default_factory=list)
    _key: str = field(init=False, repr=False, default="")
    _vllm: bool = field(init=False, repr=False, default=False)
    _context: int = field(init=False, repr=False, default=1 << 31)

    def __post_init__(self) -> None:
        if not self.endpoints or not 1 <= self.slots <= 1000:
            # The client library opens 1000 connections to one endpoint at most.
            raise ValueError("give at least one endpoint, and 1 to 1000 slots for each")
        for url in self.endpoints:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                raise ValueError("endpoints: give URLs like http://host:8000/v1, no password in it")

    def resources(self) -> Resources:
        return Resources(cpus=0.5)

    async def start(self) -> EngineInfo:
        try:
            from openai import AsyncOpenAI, Timeout
        except ImportError:
            raise EngineError("the openai engine needs a package: pip install openai") from None
        if self.api_key_env is not None:
            self._key = os.environ.get(self.api_key_env, "").strip()
            if not (self._key and self._key.isascii() and self._key.isprintable()):
                raise EngineError(f"environment variable {self.api_key_env} holds no usable key")
        timeout = Timeout(self.timeout_s, connect=10)
        for url in self.endpoints:
            # A key is always given, so that the library does not take one from the environment.
            options: dict[str, Any] = {"base_url": url, "api_key": self._key or "none"}
            client = AsyncOpenAI(timeout=timeout, max_retries=self.max_retries, **options)
            self._endpoints.append(_Endpoint(url, client, client.with_options(max_retries=0)))
        try:
            await asyncio.gather(*map(self._probe, self._endpoints))
            self._expect_answers(EngineError, failures=0)
        except BaseException:
            await self.stop()
            raise
        slots = self.slots * len(self.endpoints)
        return EngineInfo(model=self.model, slots=slots, can_continue=False)

    async def _probe(self, endpoint: _Endpoint) -> None:
        from openai import APIError

        try:
            answer = await endpoint.once.get("/models", cast_to=object, options={"timeout": 30})
        except APIError as error:
            status = getattr(error, "status_code", 500)
            if status in (401, 403):
                raise EngineError(self._advise(endpoint, error)) from None
            if status >= 500:
                endpoint.failed(time.monotonic(), self._reason(error))
            return  # It answers, though without a list.
        rows = answer.get("data") if isinstance(answer, dict) else None
        models = {row["id"]: row for row in rows or () if isinstance(row, dict) and "id" in row}
        if models and self.model not in models:
            known = ", ".join(sorted(models)[:8]) + (", ..." if len(models) > 8 else "")
            raise EngineError(f"{endpoint.url} does not serve {self.model!r}; it serves: {known}")
        served = models.get(self.model, {})
        self._vllm |= served.get("owned_by") == "vllm"
        self._context = min(self._context, served.get("max_model_len") or self._context)

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        from openai import OpenAIError

        endpoint, answer = await self._ask(self._body(request))
        reading = _Reading()
        try:
            if self.stream:
                async for event in answer:
                    yield reading.add(event)
            else:
                yield reading.add(answer)
            yield reading.last()
        except OpenAIError as error:
            after = f"broke off after {reading.num_tokens} tokens"
            raise ConnectionError(f"{endpoint.url} {after}: {self._reason(error)}") from None
        finally:
            endpoint.in_flight -= 1
            if self.stream:
                await answer.close()

    def _body(self, request: Request) -> dict[str, Any]:
        s = request.sampling
        body: dict[str, Any] = {"model": self.model, "messages": list(request.messages)}
        body |= {"temperature": s.temperature, "top_p": s.top_p}
        # vLLM takes a limit beyond the room left, but not one beyond its whole context.
        body |= {"max_tokens": min(s.max_tokens, self._context)}
        body |= {"stop": list(s.stop)} if s.stop else {}
        body |= {"seed": request.seed} if request.seed is not None else {}
        if self.stream:
            usage = ("include_usage", *(("continuous_usage_stats",) if self._vllm else ()))
            body |= {"stream": True, "stream_options": dict.fromkeys(usage, True)}
        # What is left out, vLLM takes from the model's generation_config.json: it gets everything.
        names = ("top_k", "min_p", "repetition_penalty")
        extra = {
            n: v for n in names if (v := getattr(s, n)) != getattr(Sampling(), n) or self._vllm
        }
        if "max_completion_tokens" in self.extra_body:
            del body["max_tokens"]
        return {**body, "extra_body": {**extra, **self.extra_body}}

    async def _ask(self, body: dict[str, Any]) -> tuple[_Endpoint, Any]:
        """The endpoint that took the request, counted as in flight, and its answer."""
        from openai import APIError

        for _ in range(self.max_retries + 1):
            endpoint, asked_at, answer = await self._choose(), time.monotonic(), None
            # One that was down is asked once, not again and again.
            client = endpoint.once if endpoint.failures else endpoint.client
            endpoint.in_flight += 1
            try:
                answer = await client.chat.completions.create(**body)
                endpoint.failures, endpoint.rests_until = 0, 0.0
                return endpoint, answer
            except APIError as error:
                self._raise_if_final(endpoint, error)
                endpoint.failed(asked_at, self._reason(error))
            finally:
                endpoint.in_flight -= answer is None
        raise ConnectionError(f"{endpoint.url}: {endpoint.reason}")

    async def _choose(self) -> _Endpoint:
        while True:
            self._expect_answers(EngineDead, failures=self.max_retries)
            awake = [e for e in self._endpoints if e.rests_until <= time.monotonic()]
            if awake:
                return min(awake, key=lambda e: e.in_flight)
            await asyncio.sleep(0.1)

    def _expect_answers(self, kind: type[Exception], failures: int) -> None:
        if all(e.failures > failures for e in self._endpoints):
            reasons = "; ".join(f"{e.url} ({e.reason})" for e in self._endpoints)
            raise kind(f"no endpoint answers: {reasons}")

    def _raise_if_final(self, endpoint: _Endpoint, error: Any) -> None:
        """Return only where another endpoint, or another time, may do."""
        status, reason = getattr(error, "status_code", None), self._reason(error)
        if status in (401, 403, 404) or error.code == "insufficient_quota":
            raise EngineDead(self._advise(endpoint, error)) from None
        if status == 413 or (status in (400, 422) and _TOO_LONG.search(f"{error.code} {reason}")):
            raise RequestRefused(f"{endpoint.url}: {reason}") from None
        if status not in (None, 429, 502, 503, 504):
            raise RuntimeError(f"{endpoint.url}: {reason}") from None

    def _advise(self, endpoint: _Endpoint, error: Any) -> str:
        advice = f"check the key and its quota; api_key_env is {self.api_key_env}"
        if error.status_code == 404:
            advice = f"check the URL (most end in /v1) and the model's name, {self.model!r}"
        return f"{endpoint.url}: {self._reason(error)}; {advice}"

    def _reason(self, error: Any) -> str:
        """What went wrong, in one line without the key."""
        body, cause = error.body, error.__cause__
        said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
        text = " ".join(str(said or cause or "").split()) or type(cause or error).__name__
        text = text.replace(self._key, "***") if self._key else text
        status = getattr(error, "status_code", None)
        return f"HTTP {status}: {text[:300]}" if status else text[:300]

    async def abort(self, request: Request) -> bool:
        return False

    async def stop(self) -> None:
        endpoints, self._endpoints = self._endpoints, []
        await asyncio.gather(*(endpoint.client.close() for endpoint in endpoints))
