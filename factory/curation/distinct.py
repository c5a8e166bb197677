"""Which of many texts for one problem to keep: no repeats, then the most different ones.

    texts -> not equal -> not nearly equal -> at most so many, far from each other

How different two texts are depends on what they are made of: the equations of a derivation, the
statements of a program, else runs of words. The choice depends on the texts and their order alone:
ties go to the earlier one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from factory import near
from factory.curation.paths import equations, statements

Key = TypeVar("Key", bound=Hashable)
Prefer = Literal["first", "shortest", "longest", "spread", "different"]
Measure = Literal["auto", "equations", "code", "words"]

MOST = 0.5
"""Share of the texts that must have equations (or code) for `auto` to compare those."""
MEANINGS = {
    "duplicate": "the same words as a trace that was kept",
    "near_duplicate": "nearly the words of a trace that was kept",
    "over_max_per_problem": "its problem has enough others",
}
"""What the reasons for leaving a text out mean, for the card."""

FEW_EQUATIONS = 2
"""A text with fewer shows no path."""


@dataclass(frozen=True, slots=True)
class Text(Generic[Key]):
    """One of the texts to choose from."""

    key: Key
    text: str
    length: int
    """By which short and long ones are told apart, as generated tokens."""


@dataclass(frozen=True, slots=True)
class Choice(Generic[Key]):
    """What became of the texts."""

    kept: list[Key]
    """In the order of the texts."""
    dropped: dict[Key, str]
    """Why not: `duplicate`, `near_duplicate`, `over_max_per_problem`."""


def choose(
    texts: Sequence[Text[Key]],
    cap: int,
    *,
    prefer: Prefer = "different",
    measure: Measure = "auto",
    near_duplicates: float | None = 0.8,
) -> Choice[Key]:
    """The texts to keep.

    Args:
        cap: most texts kept.
        prefer: which ones, where there are more. `spread`: from the shortest to the longest at
            equal steps, of equally long ones the first; `different`: each the farthest from
            those already kept. Of equal and
            nearly equal texts the one that is preferred stays: the shortest, the longest, else
            the first.
        measure: what makes texts different, for `different` alone.
        near_duplicates: Jaccard index of word 5-shingles from which on a text repeats another;
            None drops exact repeats only.
    """
    if len(texts) <= 1 <= cap:
        return Choice([text.key for text in texts], {})
    dropped: dict[Key, str] = {}
    left, sketches = _without_repeats(_ordered(texts, prefer), near_duplicates, dropped)
    if len(left) > cap:
        picked = _pick(left, sketches, cap, prefer, measure)
        for text in left:
            if text.key not in picked:
                dropped[text.key] = "over_max_per_problem"
    return Choice([text.key for text in texts if text.key not in dropped], dropped)


def _ordered(texts: Sequence[Text[Key]], prefer: Prefer) -> list[Text[Key]]:
    sign = {"shortest": 1, "longest": -1}.get(prefer, 0)
    return sorted(texts, key=lambda text: sign * text.length)


def _without_repeats(
    texts: Sequence[Text[Key]], threshold: float | None, dropped: dict[Key, str]
) -> tuple[list[Text[Key]], list[near.Sketch]]:
    """Those that repeat no earlier one, with their sketches."""
    left: list[Text[Key]] = []
    sketches: list[near.Sketch] = []
    signatures = np.empty((len(texts), near.NUM_PERM), dtype=np.uint32)
    digests: set[bytes] = set()
    tokens = [near.words(text.text) for text in texts]
    own = [_digest(words) for words in tokens]
    different = dict(zip(own, tokens, strict=True))
    found = dict(zip(different, near.sketches(list(different.values())), strict=True))
    for text, digest in zip(texts, own, strict=True):
        if digest in digests:
            dropped[text.key] = "duplicate"
            continue
        sketch = found[digest]
        if threshold is not None and _repeats(sketch, sketches, signatures, threshold):
            dropped[text.key] = "near_duplicate"
            continue
        digests.add(digest)
        signatures[len(left)] = sketch.signature
        left.append(text)
        sketches.append(sketch)
    return left, sketches


def _digest(words: Sequence[str]) -> bytes:
    text = "\0".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def _repeats(
    sketch: near.Sketch,
    sketches: Sequence[near.Sketch],
    signatures: NDArray[np.uint32],
    threshold: float,
) -> bool:
    agree = np.count_nonzero(signatures[: len(sketches)] == sketch.signature, axis=1)
    places = np.flatnonzero(agree >= (threshold - near.MARGIN) * near.NUM_PERM)
    return any(near.similarity(sketch, sketches[place], threshold) >= threshold for place in places)


def _pick(
    texts: Sequence[Text[Key]],
    sketches: Sequence[near.Sketch],
    cap: int,
    prefer: Prefer,
    measure: Measure,
) -> set[Key]:
    if prefer == "spread":
        lengths = sorted(text.length for text in texts)
        steps = [round(i * (len(texts) - 1) / max(1, cap - 1)) for i in range(cap)]
        wanted = Counter(lengths[step] for step in steps)
        picked = set()
        for text in texts:
            if wanted[text.length]:
                wanted[text.length] -= 1
                picked.add(text.key)
        return picked
    if prefer == "different":
        places = _farthest(_features(texts, sketches, measure), cap)
        return {texts[place].key for place in places}
    return {text.key for text in texts[:cap]}


def _farthest(features: Sequence[NDArray[np.uint64]], cap: int) -> list[int]:
    """The first, then again and again the one whose nearest kept one is farthest away."""
    kept = [0]
    nearest = [near.jaccard(features[0], other) for other in features]
    while len(kept) < cap:
        left = (place for place in range(len(features)) if place not in kept)
        best = min(left, key=lambda place: nearest[place])
        kept.append(best)
        for place, other in enumerate(features):
            nearest[place] = max(nearest[place], near.jaccard(features[best], other))
    return kept


def _features(
    texts: Sequence[Text[Key]], sketches: Sequence[near.Sketch], measure: Measure
) -> list[NDArray[np.uint64]]:
    """What each text is made of, as sorted hashes; words where it has nothing else."""
    words = [sketch.shingles for sketch in sketches]
    readers: list[tuple[Measure, Callable[[str], list[str]], int]] = [
        ("code", statements, 1),
        ("equations", equations, FEW_EQUATIONS),
    ]
    for name, read, least in readers:
        if measure not in ("auto", name):
            continue
        found = [read(text.text) for text in texts]
        rich = sum(len(parts) >= least for parts in found)
        if measure == name or rich > MOST * len(texts):
            return [
                _hashes(parts) if len(parts) >= least else shingles
                for parts, shingles in zip(found, words, strict=True)
            ]
    return words


def _hashes(parts: Sequence[str]) -> NDArray[np.uint64]:
    keys = {near.key64(part.encode("utf-8", "surrogatepass")) for part in parts}
    return np.unique(np.array(sorted(keys), dtype=np.int64).view(np.uint64))
