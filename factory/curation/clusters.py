"""Problems that nearly repeat each other, found over a whole set: what a split must not tear apart.

A test problem whose near copy was trained on measures memory. So problems belong together where
their questions agree but for numbers, formatting and a few words, and where a chain of such pairs
leads from one to the other: broader than what `factory.seen` takes for a repeat, since two sums
with different numbers are two problems to learn from, but no test of each other.

    questions -> shingles, band keys -> files by key -> pairs, verified -> union-find

MinHash bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4) say which
pairs to look at, the exact Jaccard index decides. Sketches are made by as many workers as there
are. Keys and shingles wait in files: in memory a problem is the four bytes of its link.
"""

from __future__ import annotations

import os
import re
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory import near
from factory.problems import encodable

THRESHOLD = 0.8
"""Jaccard index of word 5-shingles from which on two questions are near copies."""
SHORT = 12
"""Questions of fewer words are near copies where all their words agree."""
CANDIDATES = 16
"""Most earlier questions of one band that one is compared with: the first, then the latest."""
FILES = 256

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_FORMATTING = frozenset(".,;:?!$\"'`*_#\\")
_ENTRY = np.dtype([("key", "<u8"), ("number", "<u4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketches:
    """What is compared instead of the questions of a batch, one after the other."""

    keys: NDArray[np.uint64]
    """Band keys; near copies share at least one, almost surely."""
    num_keys: NDArray[np.uint32]
    """Keys of each question."""
    shingles: NDArray[np.uint64]
    """Sorted and distinct within a question."""
    num_shingles: NDArray[np.uint32]
    """Shingles of each question."""


def sketch(questions: Sequence[str]) -> Sketches:
    """The sketches of a batch; equal on every machine and in every process."""
    tokens = [_words(question) for question in questions]
    long = np.array([len(words) >= SHORT for words in tokens], dtype=bool)
    texts = [words for words in tokens if len(words) < SHORT]
    whole = [near.key64(" ".join(words).encode("utf-8", "surrogatepass")) for words in texts]
    short = np.array(whole, dtype=np.int64).view(np.uint64)
    shingles, counts = near.shingles_of_many([words for words in tokens if len(words) >= SHORT])
    bands = near.band_keys_of_many(near.signatures(shingles, counts))
    num_keys = np.where(long, near.BANDS, 1).astype(np.uint32)
    num_shingles = np.ones(len(tokens), dtype=np.uint32)
    num_shingles[long] = counts
    return Sketches(
        keys=_merged(np.repeat(long, num_keys), bands.ravel(), short),
        num_keys=num_keys,
        shingles=_merged(np.repeat(long, num_shingles), shingles, short),
        num_shingles=num_shingles,
    )


def _words(question: str) -> list[str]:
    folded = near.words(_NUMBER.sub("0", encodable(question)))
    return [word for word in folded if word not in _FORMATTING]


def _merged(
    which: NDArray[np.bool_], yes: NDArray[np.uint64], no: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    merged = np.empty(len(which), dtype=np.uint64)
    merged[which], merged[~which] = yes, no
    return merged


def clusters(batches: Iterable[Sketches], place: Path) -> NDArray[np.uint32]:
    """The cluster of every question, as the number of its first one.

    Args:
        batches: in the order by which questions are numbered, from 0.
        place: folder for some 0.4 kB per question and 8 bytes per word, deleted at the end.

    Returns:
        As many numbers as there are questions; a lone question is its own first.
    """
    with (
        tempfile.TemporaryDirectory(dir=place, prefix=".clusters-") as scratch,
        ExitStack() as stack,
    ):
        folder = Path(scratch)
        count = _file(batches, folder)
        texts = stack.enter_context(_Shingles(folder))
        links = array("I", range(count))
        for path in sorted(folder.glob("band-*")):
            for numbers in _runs(np.fromfile(path, dtype=_ENTRY)):
                _join(numbers, links, texts)
            path.unlink()
    return _roots(links)


def _file(batches: Iterable[Sketches], folder: Path) -> int:
    """Writes band files and shingles; how many questions there are."""
    count, end = 0, 0
    with ExitStack() as stack:
        bands = [stack.enter_context((folder / f"band-{n:03}").open("wb")) for n in range(FILES)]
        shingles = stack.enter_context((folder / "shingles").open("wb"))
        starts = stack.enter_context((folder / "starts").open("wb"))
        starts.write(end.to_bytes(8, "little"))
        for batch in batches:
            entries = np.empty(len(batch.keys), dtype=_ENTRY)
            entries["key"] = batch.keys
            numbers = np.arange(count, count + len(batch.num_keys), dtype=np.uint32)
            entries["number"] = np.repeat(numbers, batch.num_keys)
            files = (batch.keys >> np.uint64(56)).astype(np.uint8)
            order = np.argsort(files, kind="stable")
            bounds = np.searchsorted(files[order], np.arange(FILES + 1))
            for file, low, high in zip(bands, bounds, bounds[1:], strict=False):
                file.write(entries[order[low:high]].tobytes())
            shingles.write(batch.shingles.astype("<u8").tobytes())
            ends = end + np.cumsum(batch.num_shingles, dtype=np.uint64)
            starts.write(ends.astype("<u8").tobytes())
            count += len(numbers)
            end = int(ends[-1]) if len(ends) else end
    return count


def _runs(entries: NDArray[np.void]) -> Iterator[NDArray[np.uint32]]:
    """The questions that share a key, where there are several, by number."""
    order = np.argsort(entries["key"], kind="stable")
    keys, numbers = entries["key"][order], entries["number"][order]
    edges = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    bounds = np.concatenate([[0], edges, [len(keys)]])
    for index in np.flatnonzero(np.diff(bounds) > 1):
        yield numbers[bounds[index] : bounds[index + 1]]


class _Shingles:
    """The shingles of any question, from the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> _Shingles:
        self._shingles = os.open(self._folder / "shingles", os.O_RDONLY)
        self._starts = os.open(self._folder / "starts", os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._shingles)
        os.close(self._starts)

    def __getitem__(self, number: int) -> NDArray[np.uint64]:
        bounds = np.frombuffer(os.pread(self._starts, 16, 8 * number), dtype="<u8")
        low, high = int(bounds[0]), int(bounds[1])
        data = os.pread(self._shingles, 8 * (high - low), 8 * low)
        return np.frombuffer(data, dtype="<u8")


def _join(numbers: NDArray[np.uint32], links: array[int], texts: _Shingles) -> None:
    """Links those of some questions that are near copies of each other."""
    if len(set(np.frombuffer(links, dtype=np.uint32)[numbers].tolist())) == 1:
        return  # as most are that share a template
    several = numbers.tolist()
    for index in range(1, len(several)):
        mine = None
        for earlier in _candidates(several, index):
            a, b = _root(links, several[index]), _root(links, earlier)
            if a == b:
                continue
            mine = texts[several[index]] if mine is None else mine
            if _near(mine, texts[earlier]):
                links[max(a, b)] = min(a, b)


def _candidates(several: Sequence[int], index: int) -> Sequence[int]:
    latest = several[max(1, index - CANDIDATES + 1) : index]
    return [several[0], *reversed(latest)]


def _near(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> bool:
    small, large = sorted((len(a), len(b)))
    return small >= THRESHOLD * large and near.jaccard(a, b) >= THRESHOLD


def _root(links: array[int], number: int) -> int:
    while (above := links[number]) != number:
        links[number] = links[above]
        number = above
    return number


def _roots(links: array[int]) -> NDArray[np.uint32]:
    roots = np.frombuffer(links, dtype=np.uint32).copy()
    while not np.array_equal(higher := roots[roots], roots):
        roots = higher
    return roots
