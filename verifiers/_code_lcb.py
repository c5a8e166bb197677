"""Tests as LiveCodeBench stores them: JSON, or base64 of zlib of a pickle of JSON.

The pickle is read opcode by opcode and never loaded: it may hold one string and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import functools
import pickletools
import zlib
from typing import Any

from verifiers._code_task import parsed

MAX_BYTES = 256 << 20
"""Longest text that is unpacked."""

_TEXT = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
_AROUND = frozenset({"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "STOP"})


def cases(given: Any) -> list[Any]:
    """The tests of one column.

    Raises:
        ValueError: it cannot be decoded.
    """
    if isinstance(given, str) and not given.lstrip().startswith(("[", "{")):
        given = _unpacked(given) if given.strip() else []
    found = parsed(given or [], "test cases")
    if not isinstance(found, list):
        raise ValueError(f"test cases are a list, got {type(found).__name__}")
    return found


@functools.lru_cache(maxsize=2)
def _unpacked(text: str) -> str:
    try:
        packed = base64.b64decode(text, validate=True)
        unpack = zlib.decompressobj()
        data = unpack.decompress(packed, MAX_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"test cases cannot be decoded: {str(error)[:80]}") from None
    if not unpack.eof:
        raise ValueError(f"test cases are cut short, or longer than {MAX_BYTES} bytes")
    return _only_string(data)


def _only_string(data: bytes) -> str:
    """The one string that a pickle holds."""
    found: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _TEXT:
                found.append(str(argument))
            elif opcode.name not in _AROUND:
                raise ValueError(f"it holds {opcode.name}")
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"test cases are a pickle of one string: {str(error)[:80]}") from None
    if len(found) != 1:
        raise ValueError(f"test cases are a pickle of one string, got {len(found)}")
    return found[0]
