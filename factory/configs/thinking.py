"""`default` with the reasoning in a field of its own: `reasoning_content`, or `thinking`.

Chat templates differ in where they look for it, and one that finds it in two places writes it
twice: so a message of these configs holds the reasoning in that field and nowhere else. A struct
of Arrow has all its fields on every turn, and templates fail on nulls: turns without reasoning hold
the empty string. A trace without any reasoning is left out, as it would teach to think nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from factory.shards import DEFAULT_SCHEMA, Config, Origin, to_row
from factory.traces import Selection, TraceOptions, take_apart


def _rows(
    field: str, selection: Selection, origin: Origin, options: TraceOptions
) -> Iterator[dict[str, Any]]:
    for trace in selection.kept:
        completion = trace.rollout.completion
        reply = take_apart(completion.text, completion.reasoning)
        if reply is None or not (reply.reasoning or "").strip():
            continue
        row = to_row(trace, origin)
        row["messages"] = [
            *({**turn, field: ""} for turn in row["messages"][:-1]),
            {
                "role": "assistant",
                "content": reply.answer.lstrip(),
                field: (reply.reasoning or "").strip(),
            },
        ]
        yield row


def _config(field: str) -> Config:
    turn = pa.struct([(name, pa.string()) for name in ("role", "content", field)])
    place = DEFAULT_SCHEMA.get_field_index("messages")
    return Config(
        name=field,
        folder=field,
        schema=DEFAULT_SCHEMA.set(place, pa.field("messages", pa.list_(turn))),
        rows=partial(_rows, field),
        about=f"a row of `default` that thinks, its reasoning in the message's `{field}`",
    )


REASONING_CONTENT = _config("reasoning_content")
THINKING = _config("thinking")
