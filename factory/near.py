"""Near-duplicate text: shingles, MinHash and exact Jaccard.

Two texts are near duplicates when the sets of their word shingles overlap. MinHash finds the
candidates and says cheaply who cannot be one; the exact Jaccard index decides, so a text is never
set aside on an estimate.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
"""Words per shingle."""
NUM_PERM = 256
"""Length of a signature: the standard error of an estimate near 0.8 is 0.025."""
BANDS = 32
"""LSH bands of 8 values each: a pair at Jaccard 0.8 is found with probability 0.997."""
SEED = 42
MARGIN = 0.15
"""Six standard errors: a pair estimated this far below the threshold cannot reach it."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_ASCII_WORD = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What is compared instead of the text."""

    shingles: NDArray[np.uint64]
    """The distinct shingles as sorted 64-bit hashes."""
    signature: NDArray[np.uint32]
    """`NUM_PERM` MinHash values."""


def words(text: str) -> list[str]:
    """The text as words, case and width folded.

    A character that writes a word by itself (Chinese, Japanese, Korean) is a word, and so is
    every symbol: `3 + 5` and `3 - 5` differ.
    """
    if text.isascii():  # a third faster
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def shingles(tokens: Sequence[str], size: int = SHINGLE) -> NDArray[np.uint64]:
    """The distinct runs of `size` words, hashed and sorted; a shorter text is one run."""
    if not tokens:
        return np.empty(0, dtype=np.uint64)
    hashes, _ = _hashed([tokens])
    return _distinct(_runs(hashes, min(size, len(hashes))))


def _hashed(texts: Sequence[Sequence[str]]) -> tuple[NDArray[np.uint64], list[int]]:
    """The hashes of all their words, one text after the other, and how many each has."""
    import rensa

    hashed = rensa.RMinHash.hash_token_sets([list(tokens) for tokens in texts])
    hashes = np.array([value for one in hashed for value in one], dtype=np.uint64)
    return hashes, [len(one) for one in hashed]


def _runs(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    runs = np.zeros(max(0, len(hashes) - size + 1), dtype=np.uint64)
    for offset in range(size):
        runs = _mix(runs + hashes[offset : offset + len(runs)])
    return runs


def _distinct(runs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorts in place; np.unique takes five times as long for so few."""
    runs.sort()
    new = np.empty(len(runs), dtype=np.bool_)
    new[:1] = True
    np.not_equal(runs[1:], runs[:-1], out=new[1:])
    return runs[new]


def shingles_of_many(
    texts: Sequence[Sequence[str]], size: int = SHINGLE
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """As `shingles`, of texts of at least `size` words: one after the other, and how many each."""
    if not texts:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)
    hashes, lengths = _hashed(texts)
    runs = _runs(hashes, size)
    text = np.repeat(np.arange(len(texts)), lengths)
    inside = text[: len(runs)] == text[size - 1 :]  # the others run into the next text
    runs, text = runs[inside], text[: len(runs)][inside]
    order = np.lexsort((runs, text))
    runs, text = runs[order], text[order]
    new = np.append(True, (runs[1:] != runs[:-1]) | (text[1:] != text[:-1]))
    return runs[new], np.bincount(text[new], minlength=len(texts)).astype(np.uint32)


def signatures(shingles: NDArray[np.uint64], counts: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MinHash values of texts whose shingles lie one after the other: texts x `NUM_PERM`."""
    import rensa

    if not len(counts):
        return np.empty((0, NUM_PERM), dtype=np.uint32)
    ends = np.append(0, np.cumsum(counts)).astype(np.uint64)
    rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles, ends, NUM_PERM, SEED)
    return np.array(rows.to_rows(), dtype=np.uint32)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spreads every bit over the whole word (the finaliser of splitmix64); order then counts."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sketch(text: str) -> Sketch:
    """The sketch of a text; equal on every machine and in every process."""
    return sketch_words(words(text))


def sketch_words(tokens: Sequence[str]) -> Sketch:
    """The sketch of a text already cut into words."""
    return sketches([tokens])[0]


def sketches(texts: Sequence[Sequence[str]]) -> list[Sketch]:
    """As `sketch_words`, of some texts at once: for short ones in a fraction of the time."""
    hashes, lengths = _hashed(texts)
    runs, start = _runs(hashes, SHINGLE), 0
    found = []
    for length in lengths:
        end = start + length
        if length < SHINGLE:
            found.append(_runs(hashes[start:end], length)[:length])
        else:
            found.append(_distinct(runs[start : end - SHINGLE + 1]))
        start = end
    counts = np.array([len(one) for one in found], dtype=np.uint32)
    rows = signatures(np.concatenate([np.empty(0, np.uint64), *found]), counts)
    return [Sketch(shingles=one, signature=row) for one, row in zip(found, rows, strict=True)]


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Shared shingles / all shingles; two empty texts are the same text."""
    if not len(a) and not len(b):
        return 1.0
    both = np.concatenate((a, b))
    both.sort(kind="stable")  # merges what is sorted already
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def similarity(a: Sketch, b: Sketch, threshold: float) -> float:
    """The exact Jaccard index, or 0 where it cannot reach the threshold."""
    small, large = sorted((len(a.shingles), len(b.shingles)))
    if small < threshold * large:
        return 0.0
    agree = np.count_nonzero(a.signature == b.signature)
    if agree / NUM_PERM < threshold - MARGIN:
        return 0.0
    return jaccard(a.shingles, b.shingles)


def band_keys(signature: NDArray[np.uint32], salt: bytes = b"") -> list[int]:
    """One signed 64-bit key per LSH band; texts that share none are not near duplicates."""
    width = NUM_PERM // BANDS
    packed = signature.astype("<u4").reshape(BANDS, width)
    return [key64(bytes([band]) + row.tobytes() + salt) for band, row in enumerate(packed)]


def band_keys_of_many(signatures: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Keys of many texts at once, texts x `BANDS`: other ones than those of `band_keys`."""
    words = np.ascontiguousarray(signatures, dtype="<u4").view("<u8")
    parts = words.reshape(len(signatures), BANDS, words.shape[1] // BANDS)
    keys = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), parts.shape[:2])
    for part in np.moveaxis(parts, 2, 0):
        keys = _mix(keys + part)
    return keys


def key64(data: bytes) -> int:
    """A signed 64-bit hash: what an SQLite integer holds."""
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
