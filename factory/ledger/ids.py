"""Sets of ids that do not grow much with a run: eight bytes for each.

A problem id is 16 hexadecimal digits, so it is a number of 64 bits, and the set is exact. Ids of
another form are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

MERGE = 16_384
"""So many new ids are kept as objects before they join the sorted array."""
_ID = re.compile(r"[0-9a-f]{16}")
_DIGIT = np.full(256, 255, np.uint8)
_DIGIT[list(b"0123456789abcdef")] = range(16)


class ForeignId(Exception):
    """An id that is not 16 hexadecimal digits."""


def numbers(ids: pa.Array) -> Numbers:
    """A column of ids as numbers.

    Raises:
        ForeignId: one of them has another form.
    """
    count = len(ids)
    if ids.null_count:
        raise ForeignId("a record without a problem id")
    _, ends, texts = ids.cast(pa.string()).buffers()
    if not count:
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(ends, np.int32)[ids.offset : ids.offset + count + 1]
    digits = _DIGIT[np.frombuffer(texts or b"", np.uint8)[offsets[0] : offsets[-1]]]
    if (np.diff(offsets) != 16).any() or (digits > 15).any():
        raise ForeignId("a problem id that is not 16 hexadecimal digits")
    return (digits[::2] << 4 | digits[1::2]).view(">u8").astype(np.uint64)


def joined(some: Iterable[Numbers]) -> Numbers:
    """One after the other; there may be none."""
    return np.concatenate([np.empty(0, np.uint64), *some])


def isin(some: Numbers, known: Numbers) -> NDArray[np.bool_]:
    """Which of `some` are in `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(some), np.bool_)
    places = np.minimum(np.searchsorted(known, some), len(known) - 1)
    found: NDArray[np.bool_] = known[places] == some
    return found


class Ids:
    """A set of ids that only grows. One thread adds, any may ask."""

    def __init__(self) -> None:
        self._sorted: Numbers = np.empty(0, np.uint64)
        self._recent: set[int] = set()
        self._odd: set[str] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent) + len(self._odd)

    def __contains__(self, id: object) -> bool:
        if not isinstance(id, str) or not _ID.fullmatch(id):
            return id in self._odd
        number = int(id, 16)
        # In this order: what moves from one to the other meanwhile is in the second one.
        return number in self._recent or self._has(number)

    def _has(self, number: int) -> bool:
        known, value = self._sorted, np.uint64(number)
        place = np.searchsorted(known, value)
        return bool(place < len(known) and known[place] == value)

    def add(self, id: str) -> None:
        if not _ID.fullmatch(id):
            self._odd.add(id)
        elif not self._has(number := int(id, 16)):
            self._recent.add(number)
            if len(self._recent) >= MERGE:
                self.update(np.empty(0, np.uint64))

    def update(self, some: Numbers) -> None:
        """Adds many."""
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        new = np.unique(np.concatenate([some, recent]))
        new = new[~isin(new, self._sorted)]
        # Two sorted runs, nothing in both: a stable sort merges them in one pass.
        self._sorted = np.sort(np.concatenate([self._sorted, new]), kind="stable")
        self._recent = set()
