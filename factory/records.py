"""What a ledger holds: the kinds of record and their two encodings.

A record is one of the nouns of `factory.types` or one of the two below. In the appended log it
is MessagePack in a checksummed frame; in a sealed file it is one row of a Parquet table whose
`data` column is the record as JSON, beside the columns one wants to filter by.

    frame    length u32 | crc32 u32 | kind u8 | payload      (little-endian; crc from kind on)
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from factory.types import Problem, Reject, Rollout, RolloutKey, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """Tokens of a rollout that is still being generated, logged so that it can be continued."""

    problem_id: str
    index: int
    start: int
    """How many tokens of this rollout come before these: a gap would be noticed."""
    token_ids: tuple[int, ...]

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.problem_id, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A problem is finished."""

    problem_id: str
    reason: str
    """enough, complete, spent, deferred; `refused: ...` (prompt), `set aside: ...` (failures)."""


Record = Problem | Partial | Rollout | Verdict | Closed | Reject

# The position is the kind's number on disk: append only.
KINDS: tuple[type[Any], ...] = (Problem, Partial, Rollout, Verdict, Closed, Reject)
NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_PACK = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder()
_UNPACK = tuple(msgspec.msgpack.Decoder(kind) for kind in KINDS)
_PARSE = {kind.__name__.lower(): msgspec.json.Decoder(kind) for kind in KINDS}
_HEADER = struct.Struct("<II")
# How the body of every frame begins: kind, map, first field name. Found fast, rare by chance.
_BODY = re.compile(rb"(?s)(?=[\x00-\x0f](?:[\x80-\x8f]|\xde..)[\xa1-\xbf][a-z])")

SEALED = pa.schema(
    [
        ("kind", pa.string()),
        ("problem_id", pa.string()),
        ("index", pa.int32()),
        ("outcome", pa.string()),
        ("finish_reason", pa.string()),
        ("num_tokens", pa.int32()),
        ("data", pa.string()),
    ]
)


def frame(record: Record) -> bytes:
    """A record as a frame of the log.

    What MessagePack cannot hold is replaced, so that no text of a model ends a run: a lone
    surrogate becomes `?`, an integer beyond 64 bits its decimal digits as text.
    """
    try:
        payload = _PACK.encode(record)
    except (UnicodeEncodeError, OverflowError):
        payload = _PACK.encode(_clean(msgspec.to_builtins(record)))
    body = bytes((NUMBER[type(record)],)) + payload
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def unframe(buffer: bytes | memoryview, start: int = 0) -> Iterator[tuple[Record, int]]:
    """Records of a log with the offset behind each; ends at the first frame that is not valid.

    Everything behind the last offset is a torn tail, or damage: `next_frame` tells which.
    """
    view = memoryview(buffer)
    while (body := _body(view, start)) is not None and (record := _decode(body)) is not None:
        start += _HEADER.size + len(body)
        yield record, start


def next_frame(buffer: bytes | memoryview, start: int) -> int | None:
    """Offset of the first valid frame at or behind `start`, wherever it begins.

    A whole frame at `start` itself counts also if this version cannot decode it: it is not torn.
    """
    view = memoryview(buffer)
    if _body(view, start) is not None:
        return start
    for match in _BODY.finditer(view, start + _HEADER.size):
        offset = match.start() - _HEADER.size
        body = _body(view, offset)
        if body is not None and _decode(body) is not None:
            return offset
    return None


def _body(view: memoryview, start: int) -> memoryview | None:
    """Kind and payload of the frame at `start`, if it is whole and its checksum is right."""
    if start + _HEADER.size >= len(view):
        return None
    length, checksum = _HEADER.unpack_from(view, start)
    body = view[start + _HEADER.size : start + _HEADER.size + length]
    if length == 0 or len(body) < length or zlib.crc32(body) != checksum:
        return None
    return body


def _decode(body: memoryview) -> Record | None:
    """The record, or None if it is none that this version knows."""
    if body[0] >= len(_UNPACK):
        return None
    try:
        return _UNPACK[body[0]].decode(body[1:])  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def to_row(record: Record) -> dict[str, Any]:
    """A record as a row of a sealed file."""
    completion = record.completion if isinstance(record, Rollout) else None
    return {
        "kind": type(record).__name__.lower(),
        "problem_id": record.id if isinstance(record, Problem) else _get(record, "problem_id"),
        "index": _get(record, "index"),
        "outcome": str(record.outcome) if isinstance(record, Verdict) else None,
        "finish_reason": completion.finish_reason if completion else None,
        "num_tokens": completion.num_tokens if completion else None,
        "data": _JSON.encode(record).decode(),
    }


def _get(record: Record, name: str) -> Any:
    return getattr(record, name, None)


def from_row(kind: str, data: str) -> Record:
    """The record of a sealed row."""
    return _PARSE[kind].decode(data)  # type: ignore[no-any-return]
