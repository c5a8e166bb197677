"""What a ledger holds: the kinds of record and their two encodings.

A record is one of the nouns of `factory.types` or one of the two below. In the appended log it
is MessagePack in a checksummed frame; in a sealed file it is one row of a Parquet table whose
`data` column is the record as JSON, beside the columns one wants to filter by.

    frame    length u32 | crc32 u32 | kind u8 | payload      (little-endian; crc from kind on)
"""

from __future__ import annotations

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
    token_ids: tuple[int, ...]
    """The tokens since the last such record of this rollout."""

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.problem_id, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A problem is finished."""

    problem_id: str
    reason: str
    """enough, complete, spent, deferred, or `set aside: ...`."""


Record = Problem | Partial | Rollout | Verdict | Closed | Reject

# The position is the kind's number on disk: append only.
KINDS: tuple[type[Any], ...] = (Problem, Partial, Rollout, Verdict, Closed, Reject)
NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_PACK = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder()
_UNPACK = tuple(msgspec.msgpack.Decoder(kind) for kind in KINDS)
_PARSE = {kind.__name__.lower(): msgspec.json.Decoder(kind) for kind in KINDS}
_HEADER = struct.Struct("<II")

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

    Raises:
        UnicodeEncodeError: a text that holds a lone surrogate.
    """
    body = bytes((NUMBER[type(record)],)) + _PACK.encode(record)
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def unframe(buffer: bytes | memoryview, start: int = 0) -> Iterator[tuple[Record, int]]:
    """Records of a log with the offset behind each; ends at the first frame that is not whole.

    Trailing bytes that are no valid frame are the torn tail: everything behind the last offset.
    """
    view = memoryview(buffer)
    while start + _HEADER.size < len(view):
        length, checksum = _HEADER.unpack_from(view, start)
        end = start + _HEADER.size + length
        body = view[start + _HEADER.size : end]
        if length == 0 or len(body) < length or zlib.crc32(body) != checksum:
            return
        if body[0] >= len(_UNPACK):
            return
        yield _UNPACK[body[0]].decode(body[1:]), end
        start = end


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
