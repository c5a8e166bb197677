"""What a ledger holds: the kinds of record and their two encodings.

A record is one of the nouns of `factory.types` or one of those below. In the appended log it
is MessagePack in a checksummed frame; in a sealed file it is one row of a Parquet table whose
`data` column is the record as JSON, beside the columns one wants to filter by.

    frame    length u32 | crc32 u32 | kind u8 | payload      (little-endian; crc from kind on)
    mark     a frame of kind 255 that says `commit`: all before it was durable when it was written
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from factory.ledger.references import reference
from factory.scheduling.pool import Census, Sums
from factory.types import GIVEN_UP, Outcome, Problem, Reject, Rollout, RolloutKey, Verdict


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
class _Closing:
    """Why a problem was closed, and what was counted of it then."""

    problem_id: str
    reason: str
    """enough, complete, spent, deferred, budget; `refused: ...` (prompt), `set aside: ...`."""
    correct: int = 0
    failed: int = 0
    """Rollouts that were wrong, or cut by a detector; this and the rest as policies count."""
    ended: int = 0
    """Rollouts that came to an end in any way."""
    tokens: int = 0
    """Of those."""
    right_tokens: int = 0
    """Of the correct ones."""

    @property
    def rule(self) -> str:
        """The reason up to its colon."""
        return self.reason.partition(":")[0]

    @property
    def sums(self) -> Sums:
        """What the problem adds to the pool when it is closed."""
        return Sums.of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(_Closing):
    """A problem is finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened(_Closing):
    """A problem that was set aside is open again; takes back what its closing added anywhere.

    Rollouts that were cut because it was set aside have no end any more, and those over which the
    checker failed no verdict (`factory.ledger.unfinished`).
    """

    source: str
    """Of the `Reject` that came with its closing."""
    row: str
    cut: int = 0
    """Rollouts that go on."""
    cut_tokens: int = 0
    """Of those, when they were cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What became of a rollout that a detector found doomed."""

    problem_id: str
    index: int
    detector: str
    outcome: Outcome | None
    """None: it was cut. Else it ran on to its end, and was judged so."""
    at: int = 0
    """Tokens written when it was found."""
    rest: int = 0
    """Tokens that it wrote after that, where it was not cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """Replicas were alive for so long: only where a policy has a budget of GPU-hours."""

    gpu_ms: int
    """GPU-milliseconds since the last such record."""


Record = (
    Problem | Partial | Rollout | Verdict | Closed | Reject | Census | Audit | Reopened | Worked
)


def leads(record: Record) -> bool:
    """Whether the next record completes it: the reject of a closing, the audit of a rollout's end.

    Both are appended together, this one first; by itself it says something that did not happen.
    """
    if isinstance(record, Reject):
        return record.rule in GIVEN_UP
    return isinstance(record, Audit)


# The position is the kind's number on disk: append only.
KINDS: tuple[type[Any], ...] = (
    Problem,
    Partial,
    Rollout,
    Verdict,
    Closed,
    Reject,
    Census,
    Audit,
    Reopened,
    Worked,
)
NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_PACK = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder()
_UNPACK = tuple(msgspec.msgpack.Decoder(kind) for kind in KINDS)
_PARSE = {kind.__name__.lower(): msgspec.json.Decoder(kind) for kind in KINDS}
_HEADER = struct.Struct("<II")
# How the body of every frame begins: kind, map, first field name. Found fast, rare by chance.
_BODY = re.compile(rb"(?s)(?=[\x00-\x0f](?:[\x80-\x8f]|\xde..)[\xa1-\xbf][a-z])")

_COMMIT = b"\xffcommit"
MARK = _HEADER.pack(len(_COMMIT), zlib.crc32(_COMMIT)) + _COMMIT
"""No text holds it: 255 is no byte of UTF-8."""

SEALED = pa.schema(
    [
        ("kind", pa.string()),
        ("problem_id", pa.string()),
        ("index", pa.int32()),
        ("outcome", pa.string()),
        ("finish_reason", pa.string()),
        ("num_tokens", pa.int32()),  # of a reopened problem: of the rollouts that go on; an
        # audit's `rest`
        ("replaces", pa.string()),
        ("restarts", pa.int32()),  # of a reopened problem: how many rollouts go on
        ("rule", pa.string()),  # of a reject; a closed problem's reason up to the colon; a detector
        ("source", pa.string()),  # of a problem or reject, and of what is reopened, as `row`
        ("row", pa.string()),  # of a reject
        ("correct", pa.int32()),  # of a closed or reopened problem, as what follows
        ("failed", pa.int32()),
        ("ended", pa.int32()),
        ("tokens", pa.int64()),  # of a `worked`: its milliseconds; of a problem: `references`
        ("right_tokens", pa.int64()),
        ("data", pa.string()),
    ]
)
"""Columns of a sealed file; a ledger of an earlier version has only some of them."""
SMALL = SEALED.remove(SEALED.get_field_index("data"))
"""The columns that say how a run stands: a few bytes of each record."""


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
    start = behind_marks(view, start)
    while (body := _body(view, start)) is not None and (record := _decode(body)) is not None:
        start = behind_marks(view, start + _HEADER.size + len(body))
        yield record, start


def behind_marks(view: bytes | memoryview, start: int) -> int:
    """Where the first frame at or behind `start` begins that is no mark."""
    while view[start : start + len(MARK)] == MARK:
        start += len(MARK)
    return start


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


def misfit(buffer: bytes | memoryview, start: int) -> str:
    """Why the whole frame at `start` is no record of this version; empty where none begins."""
    body = _body(memoryview(buffer), start)
    if body is None:
        return ""
    if body[0] >= len(KINDS):
        return f"its kind is {body[0]}; kinds: 0 to {len(KINDS) - 1}"
    try:
        _UNPACK[body[0]].decode(body[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"{KINDS[body[0]].__name__.lower()}: {error}"
    return ""


def to_row(record: Record) -> dict[str, Any]:
    """A record as a row of a sealed file."""
    cells = dict(zip(SMALL.names, _cells(record), strict=True))
    return cells | {"data": _JSON.encode(record).decode()}


def to_batch(records: Sequence[Record]) -> pa.RecordBatch:
    """Records as rows of a sealed file, column by column."""
    data = [_JSON.encode(record) for record in records]
    offsets = np.zeros(len(data) + 1, np.int64)
    np.cumsum([len(text) for text in data], out=offsets[1:])
    # One copy; an encoder of JSON writes nothing but UTF-8.
    texts = pa.LargeStringArray.from_buffers(
        len(data), pa.py_buffer(offsets), pa.py_buffer(b"".join(data))
    )
    columns = [*to_small(records).columns, texts.cast(pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=SEALED)


def to_small(records: Sequence[Record]) -> pa.RecordBatch:
    """The same without `data`."""
    columns = list(zip(*map(_cells, records), strict=True)) or [()] * len(SMALL)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, SMALL, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SMALL)


def _cells(record: Record) -> tuple[Any, ...]:
    """The values of `SMALL`, in its order."""
    match record:
        case Rollout(problem_id=pid, index=index, completion=done, restarts=restarts):
            ended = (str(done.finish_reason), done.num_tokens)
            return ("rollout", pid, index, None, *ended, None, restarts, *[None] * 8)
        case Verdict(problem_id=pid, index=index, outcome=outcome, replaces=old):
            replaces = None if old is None else str(old)
            return ("verdict", pid, index, str(outcome), None, None, replaces, *[None] * 9)
        case Partial(problem_id=pid, index=index):
            return ("partial", pid, index, *[None] * 13)
        case Problem(id=pid, source=source):
            return ("problem", pid, *[None] * 7, source, *[None] * 4, reference(record), None)
        case Closed(problem_id=pid, rule=rule):
            return ("closed", pid, *[None] * 6, rule, None, None, *astuple(record.sums))
        case Reopened(problem_id=pid, rule=rule, source=source, row=row):
            cut = (None, record.cut_tokens, None, record.cut)
            sums = astuple(record.sums)
            return ("reopened", pid, None, None, *cut, rule, source, row, *sums)
        case Reject(problem_id=pid, rule=rule, source=source, row=row):
            return ("reject", pid, *[None] * 6, rule, source, row, *[None] * 5)
        case Census():
            return ("census", *[None] * 15)
        case Worked(gpu_ms=gpu_ms):
            return ("worked", *[None] * 13, gpu_ms, None)
        case Audit(problem_id=pid, index=index, detector=detector, outcome=outcome):
            judged = None if outcome is None else str(outcome)
            return (
                "audit",
                pid,
                index,
                judged,
                None,
                record.rest,
                None,
                None,
                detector,
                *[None] * 7,
            )


def from_row(kind: str, data: str) -> Record:
    """The record of a sealed row.

    Raises:
        msgspec.ValidationError: it is none that this version knows.
    """
    if kind not in _PARSE:
        raise msgspec.ValidationError(f"its kind is {kind!r}; kinds: {', '.join(_PARSE)}")
    try:
        return _PARSE[kind].decode(data)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{kind}: {error}") from error
