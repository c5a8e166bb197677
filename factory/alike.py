"""Two texts as words: where one holds the other, and whether it is the same problem."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq, Levenshtein

from factory.wording import VARIABLE, is_given

NUMBERS = 0.9
"""Share of an item's numbers that a copy has, and has no others in their place."""
FORGIVING = 3
"""Numbers from which on one may be left out."""
SIGNS = 8
"""Operators and symbols from which on they are compared too."""
SIGNS_AGREE = 0.85
"""Share of them that agrees in a copy."""
RENAMED = 0.75
"""Share of the places of a variable that one renaming must explain, on average."""
RENAMINGS = 4
"""Most variables that a copy has renamed."""
BETWEEN = 2
"""Most words put in between those of a short item."""
BESIDE = 40
"""Most words before and after a short item in a copy of it."""
MISSPELT = 75
"""Similarity from which on a word is a misspelt other one."""
UNKNOWN = -1
"""The number of a word that no evaluation item has."""


def same_problem(
    item: Sequence[str],
    item_letters: Sequence[str],
    text: Sequence[str],
    text_letters: Sequence[str],
) -> bool:
    """Whether a text with an item's wording has its numbers, signs and variables too.

    One number may be missing, or a few of many, but none may stand in the place of another.
    """
    numbers = Counter(word for word in item if is_given(word))
    total = numbers.total()
    missing = (numbers - Counter(text)).total()
    if missing > max(total >= FORGIVING, (1 - NUMBERS) * total):
        return False
    blocks = [
        (a, b, size) for a, b, size in LCSseq.opcodes(item, text).as_matching_blocks() if size
    ]
    if not blocks:
        return False
    inside = text[blocks[0][1] : blocks[-1][1] + blocks[-1][2]]
    more = Counter(word for word in inside if is_given(word)) - numbers
    if more.total() > (0 if missing else (1 - NUMBERS) * total):
        return False
    signs = Counter(word for word in item if _is_sign(word))
    if signs.total() >= SIGNS:
        there = Counter(word for word in inside if _is_sign(word))
        if (signs & there).total() < SIGNS_AGREE * max(signs.total(), there.total()):
            return False
    return renamed(item_letters, text_letters, blocks)


def window(pairs: Sequence[int], wanted: frozenset[int], size: int) -> tuple[int, int]:
    """The part of a much longer text that holds most of an item."""
    reach = 2 * size + 20
    if len(pairs) < 2 * reach:
        return 0, len(pairs) + 1
    places = [place for place, pair in enumerate(pairs) if pair in wanted]
    best, best_count, left = 0, 0, 0
    for right, place in enumerate(places):
        while place - places[left] > reach:
            left += 1
        if right - left + 1 > best_count:
            best, best_count = places[left], right - left + 1
    return best, best + reach


def renamed(
    letters: Sequence[str], others: Sequence[str], blocks: Sequence[tuple[int, int, int]]
) -> bool:
    """Whether one renaming explains the variables that stand at the same places."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for a, b, size in blocks:
        for x, y in zip(letters[a : a + size], others[b : b + size], strict=False):
            article = x == y == "a"
            if len(x) == 1 == len(y) and x.isalpha() and y.isalpha() and not article:
                seen[x][y] += 1
    # A letter seen once may be an article that an edit has moved.
    best = {x: counts.most_common(1)[0][0] for x, counts in seen.items() if counts.total() > 1}
    if len(set(best.values())) < len(best) or sum(x != y for x, y in best.items()) > RENAMINGS:
        return False
    shares = [max(counts.values()) / counts.total() for counts in seen.values()]
    return sum(shares) >= RENAMED * len(shares)


def framed(core: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a text is a short question with nothing but words around and between its own."""
    if len(core) < 3 or len(words) > len(core) + BESIDE:
        return False
    return any(word == core[0] and _follows(core, words, start) for start, word in enumerate(words))


def _follows(core: Sequence[str], words: Sequence[str], start: int) -> bool:
    at, between = start, 0
    for word in core:
        while at < len(words) and words[at] != word and not _misspelt(words[at], word):
            between += 1
            if between > BETWEEN or not words[at].isalpha():
                return False
            at += 1
        at += 1
    if at > len(words):
        return False
    around = [*words[max(start - 1, 0) : start], *words[at : at + 1]]
    return all(word.isalpha() or word == VARIABLE for word in around)


def _misspelt(word: str, other: str) -> bool:
    return word.isalpha() and other.isalpha() and fuzz.ratio(word, other) >= MISSPELT


def exchanged(ids: Sequence[int], others: Sequence[int]) -> int:
    """Places where words of an item stand exchanged for words that other items have."""
    return sum(
        step.tag == "replace" and max(others[step.dest_start : step.dest_end]) != UNKNOWN
        for step in Levenshtein.opcodes(ids, others)
    )


def longest(ids: Sequence[int], others: Sequence[int]) -> list[int]:
    """The longest run of words that both have."""
    blocks = LCSseq.opcodes(ids, others).as_matching_blocks()
    start, _, size = max(blocks, key=lambda block: block[2])
    return list(ids[start : start + size])


def _is_sign(word: str) -> bool:
    return len(word) == 1 and not word.isalnum() and word != VARIABLE
