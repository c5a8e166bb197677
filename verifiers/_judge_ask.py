"""Asks an engine for several replies to one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from factory import plugins
from factory.engines import Engine, EngineDead, Request, RequestRefused

_ATTEMPTS = 2
"""How often one reply is asked for before the judgement fails."""


class Asked(NamedTuple):
    """What came back."""

    model: str
    replies: list[str | None]
    """None where a reply did not come to its end."""


def ask(engine: dict[str, Any], requests: Sequence[Request], timeout_s: float) -> Asked:
    """One reply per request.

    Raises:
        RequestRefused: the engine will never take these requests.
        TimeoutError: the replies took too long.
        EngineError, EngineDead, Exception: the engine does not answer.
    """
    name = engine["name"]
    options = {key: value for key, value in engine.items() if key != "name"}
    built: Engine = plugins.build("engine", name, options)
    return asyncio.run(_within(built, requests, timeout_s))


async def _within(engine: Engine, requests: Sequence[Request], timeout_s: float) -> Asked:
    try:
        async with asyncio.timeout(timeout_s):
            return await _ask(engine, requests)
    except TimeoutError:
        raise TimeoutError(f"the judge did not answer within {timeout_s:g} s") from None


async def _ask(engine: Engine, requests: Sequence[Request]) -> Asked:
    info = await engine.start()
    tasks = [asyncio.ensure_future(_reply(engine, request)) for request in requests]
    try:
        return Asked(info.model, await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.stop()


async def _reply(engine: Engine, request: Request) -> str | None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            text, finish = "", None
            async for chunk in engine.generate(request):
                text += chunk.text
                finish = chunk.finish_reason or finish
            return text if finish == "stop" else None
        except (EngineDead, RequestRefused):
            raise
        except Exception:  # this one request failed: the contract of an engine
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")
