"""JSON Lines files, plain or compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from factory.errors import SourceError
from factory.sources._files import matching
from factory.sources._row import Row, WrittenFloat, check_columns, malformed, map_columns
from factory.types import Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows of JSON Lines files: .jsonl, .jsonl.gz, .jsonl.zst.

    Example:
        {name: jsonl, path: "sets/*.jsonl.gz", columns: {prompt: question, spec.choices: options}}
    """

    path: str
    """A file, or a glob over files, which are read in the order of their names."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our field -> the file's column: prompt, messages, answer, verifier, id, domain, spec.NAME."""
    label: str = ""
    """Published as the `source` of the rows; empty for the path of the file, or for its name alone
    where the path is absolute."""

    def __post_init__(self) -> None:
        check_columns(self.columns)

    def check(self) -> None:
        """Raises SourceError where there is no file."""
        matching(self.path)

    def rows(self) -> Iterator[Row | Reject]:
        """Every line in turn: a row, or why it is none.

        Raises:
            SourceError: a file cannot be read, or a mapped column does not exist.
        """
        for path in matching(self.path):
            yield from map_columns(self._file(path), self.columns)

    def _file(self, path: str) -> Iterator[Row | Reject]:
        source = self.label or path
        try:
            with open_bytes(path) as lines:
                begun = False
                for number, line in enumerate(lines, 1):
                    if not line.strip():
                        continue
                    if not begun and (what := _other_json(line, lines)):
                        raise SourceError(
                            f"{path}:{number}: this looks like {what}; one object per line is "
                            "wanted (jq -c turns one into the other)"
                        )
                    begun = True
                    try:
                        values = parse(line)
                    except ValueError as error:
                        yield malformed(source, "line", number, error)
                    else:
                        yield Row(source=source, number=number, extra=values)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{path}: cannot be read: {error}") from error


def open_bytes(path: str) -> IO[bytes]:
    """A file as lines of bytes, decompressed by its suffix."""
    if path.endswith(".gz"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.endswith(".zst"):
        import io

        import pyarrow as pa

        stream = pa.input_stream(path, compression="zstd", buffer_size=1 << 20)
        return io.BufferedReader(stream, 1 << 20)
    return open(path, "rb")


def _other_json(first: bytes, rest: Any) -> str:
    """What a file is that begins with this line, where it is JSON but not JSON Lines.

    Args:
        rest: the file behind that line, which is looked at and not read.
    """
    start = first.removeprefix(b"\xef\xbb\xbf").strip()
    if start == b"[" or (start[:1] == b"[" and start[1:].lstrip()[:1] == b"{"):
        return "a JSON array"
    opened = start == b"{" and rest.peek(1).lstrip()[:1] in (b'"', b"}")  # else a torn line
    return "one JSON value over several lines" if opened else ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} stands there twice")
    return values


def parse(line: bytes) -> dict[str, Any]:
    """One line as an object.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, a key twice, or text that UTF-8 cannot hold.
    """
    try:
        values = json.loads(
            line.decode("utf-8-sig"), parse_float=WrittenFloat, object_pairs_hook=_object
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"a JSON object is wanted, got {type(values).__name__}")
    if b"\\u" in line:
        _reject_surrogates(values)
    return values


def _reject_surrogates(values: dict[str, Any]) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        bad = error.object[error.start]
        raise ValueError(f"lone surrogate \\u{ord(bad):04x}, which UTF-8 cannot hold") from None
