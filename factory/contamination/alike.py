"""Two texts as words: where one holds the other, and whether it is the same problem."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq, Levenshtein

from factory.contamination.wording import GRID, VARIABLE, is_given

NUMBERS = 0.98
"""Share of an item's numbers that a copy has, and has no others in their place."""
FORGIVING = 3
"""Numbers from which on one may be left out."""
SIGNS = 8
"""Operators and symbols from which on they are compared too."""
SIGNS_AGREE = 0.85
"""Share of them that agrees in a copy."""
RENAMED = 0.75
"""Share of the places of a variable that one renaming must explain, on average."""
LEAST = 0.6
"""The same for each variable by itself."""
RENAMINGS = 4
"""Most variables that a copy has renamed."""
BETWEEN = 2
"""Most words put in between those of a short item."""
LABELS = frozenset({"problem", "question", "exercise", "task", "example", "item", "number", "no"})
"""What a number before a question belongs to."""
BESIDE = 40
"""Most words before and after a short item in a copy of it."""
EXCHANGED = 2
"""Words of an item that may stand for each other in a copy."""
EXCHANGED_SHARE = 0.015
"""Or this share of its words, where that is more."""
BESIDES = 2
"""Words beside those in place of the item's first or last ones that are looked at too."""
STRAY = 1
"""A few words at an end that lie farther away than so many times their number are a frame's."""
MISSPELT = 75
"""Similarity from which on a word is a misspelt other one."""
UNKNOWN = -1
"""The number of a word that no evaluation item has."""


def same_problem(
    item: Sequence[str],
    item_letters: Sequence[str],
    text: Sequence[str],
    text_letters: Sequence[str],
    *,
    exactly: bool = False,
    exchanged: int = EXCHANGED,
) -> bool:
    """Whether a text with an item's wording has its numbers, signs and variables too.

    One number may be missing, or a few of many, but none may stand in the place of another.

    Args:
        exactly: there must be no difference in them, for an item of which hardly a word tells.
        exchanged: words of the item that may stand for each other, or `EXCHANGED_SHARE` of them
            where more than one may and that is more.
    """
    blocks = _together(
        [(a, b, size) for a, b, size in LCSseq.opcodes(item, text).as_matching_blocks() if size]
    )
    if not blocks:
        return False
    start, end = blocks[0][1], blocks[-1][1] + blocks[-1][2]
    inside = text[start:end]
    first, behind = _reach(blocks, len(item))
    if not _numbers_agree(item, text, inside, text[first:behind]) or not _signs_agree(item, inside):
        return False
    if exactly and not _as_many(item, text, inside):
        return False
    names = renaming(item_letters, text_letters, blocks)
    if names is None:
        return False
    given, others = exchanges(
        item,
        [names.get(letter, letter) for letter in item_letters],
        text[first:behind],
        text_letters[first:behind],
    )
    return given == 0 and others <= max(exchanged, EXCHANGED_SHARE * len(item) * (exchanged > 1))


def _numbers_agree(
    item: Sequence[str], text: Sequence[str], inside: Sequence[str], around: Sequence[str]
) -> bool:
    """Whether a text has an item's numbers and grids, and no others in their place.

    Args:
        inside: the part of the text from the first to the last word that it has in common.
        around: the same, and what stands in place of the item's first and last words.
    """
    numbers = Counter(word for word in item if is_given(word))
    total = numbers.total()
    missing = (numbers - Counter(text)).total()
    if missing > max(total >= FORGIVING, (1 - NUMBERS) * total):
        return False
    more = Counter(word for word in around if is_given(word)) - numbers
    if any(word[0] == GRID for word in more):
        return False
    if missing:
        return not more
    more = Counter(word for word in inside if is_given(word)) - numbers - _slips(item, inside)
    more -= _twice(inside)
    return more.total() <= (1 - NUMBERS) * total


def _twice(words: Sequence[str]) -> Counter[str]:
    """Numbers that were written twice by a slip: `the two two`."""
    return Counter(a for a, b in pairwise(words) if a == b and a[0].isdecimal())


def _as_many(item: Sequence[str], text: Sequence[str], inside: Sequence[str]) -> bool:
    """Whether a text has an item's numbers and signs and no further ones, and its variables."""
    ours, all_of_it, theirs = (
        Counter(word for word in words if is_given(word) or len(word) == 1)
        for words in (item, text, inside)
    )
    theirs -= _twice(inside)
    variables = ours.pop(VARIABLE, 0) - theirs.pop(VARIABLE, 0)
    same = not ours - all_of_it and not theirs - ours
    return same and abs(variables) <= 1  # an article is a letter too


def _signs_agree(item: Sequence[str], inside: Sequence[str]) -> bool:
    signs = Counter(word for word in item if _is_sign(word))
    if signs.total() < SIGNS:
        return True
    there = Counter(word for word in inside if _is_sign(word))
    return (signs & there).total() >= SIGNS_AGREE * max(signs.total(), there.total())


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


def exchanges(
    item: Sequence[str],
    item_letters: Sequence[str],
    text: Sequence[str],
    text_letters: Sequence[str],
) -> tuple[int, int]:
    """Places between the same two words where an item has one word and the text another.

    Wherever sentences have moved, what an edit leaves stands between the same neighbours. Counted
    are numbers and grids, and other words of the item that stand for each other; a word that the
    item does not have may be a synonym or another name.
    """
    ours, theirs = _slots(item, item_letters), _slots(text, text_letters)
    known = set(item_letters)
    given = others = 0
    for slot, held in ours.items():
        if (there := theirs.get(slot)) is None or there == held:
            continue
        gone, new = held - there, there - held
        if any(map(is_given, gone)) and any(map(is_given, new)):
            given += 1
        else:
            others += min(gone.total(), sum(n for word, n in new.items() if word in known))
    return given, others


def _together(blocks: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The common words without those at the ends that a frame has by chance, far from the rest."""
    first, behind = 0, len(blocks)
    while (
        first + 1 < behind and _apart(blocks[first], blocks[first + 1]) > STRAY * blocks[first][2]
    ):
        first += 1
    while behind - 1 > first and (
        _apart(blocks[behind - 2], blocks[behind - 1]) > STRAY * blocks[behind - 1][2]
    ):
        behind -= 1
    return blocks[first:behind]


def _apart(block: tuple[int, int, int], following: tuple[int, int, int]) -> int:
    """Words that a text has between two blocks, beyond those of the item."""
    return (following[1] - block[1]) - (following[0] - block[0])


def _reach(blocks: Sequence[tuple[int, int, int]], size: int) -> tuple[int, int]:
    """The part of a text that stands for an item: where its first or last words have none like
    them, as much as would stand in their place."""
    (first, start, _), (last, end, length) = blocks[0], blocks[-1]
    before, behind = first, size - last - length
    return (
        max(0, start - before - (BESIDES if before else 0)),
        end + length + behind + (BESIDES if behind else 0),
    )


def _slips(item: Sequence[str], text: Sequence[str]) -> Counter[str]:
    """Numbers in the place of a word that is none: `three` for `there`.

    Beside them stands on one side at least what stands there in the item.
    """
    held, slips = Counter(item) - Counter(text), Counter[str]()
    ours = {(word, side) for word in held if not is_given(word) for side in _beside(item, word)}
    sides = {side for _, side in ours}
    for place, word in enumerate(text):
        if word[0].isdecimal() and not sides.isdisjoint(_around(text, place)):
            slips[word] += 1
    return slips


def _beside(words: Sequence[str], wanted: str) -> set[tuple[int, str]]:
    return {
        side for place, word in enumerate(words) if word == wanted for side in _around(words, place)
    }


def _around(words: Sequence[str], place: int) -> set[tuple[int, str]]:
    return {(step, words[place + step]) for step in (-1, 1) if 0 <= place + step < len(words)}


def _slots(words: Sequence[str], letters: Sequence[str]) -> dict[tuple[str, str], Counter[str]]:
    slots: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for place in range(1, len(words) - 1):
        slots[words[place - 1], words[place + 1]][letters[place]] += 1
    return slots


def renaming(
    letters: Sequence[str], others: Sequence[str], blocks: Sequence[tuple[int, int, int]]
) -> dict[str, str] | None:
    """The one renaming that explains the variables at the same places; None where none does."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for a, b, size in blocks:
        for x, y in zip(letters[a : a + size], others[b : b + size], strict=False):
            article = x == y == "a"
            if len(x) == 1 == len(y) and x.isalpha() and y.isalpha() and not article:
                seen[x][y] += 1
    # A letter seen once may be an article that an edit has moved.
    best = {x: counts.most_common(1)[0][0] for x, counts in seen.items() if counts.total() > 1}
    if len(set(best.values())) < len(best) or sum(x != y for x, y in best.items()) > RENAMINGS:
        return None
    shares = [max(counts.values()) / counts.total() for counts in seen.values()]
    if sum(shares) < RENAMED * len(shares) or min(shares, default=1) < LEAST:
        return None
    once = {x: next(iter(counts)) for x, counts in seen.items() if counts.total() == 1}
    return once | best


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
    if start > 1 and words[start - 2] in LABELS:
        del around[0]
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
