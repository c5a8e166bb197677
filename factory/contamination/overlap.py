"""The index of evaluation items, and how much of one a text holds.

Three looks at a text, cheapest first: pairs of neighbouring words name the candidates, runs of
words say what was copied verbatim, and an alignment of the words decides what is left.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from factory.contamination.alike import (
    EXCHANGED,
    UNKNOWN,
    exchanged,
    framed,
    longest,
    same_problem,
    window,
)
from factory.contamination.hits import Hit, Item, Method
from factory.contamination.wording import VARIABLE, Wording, is_given, wording
from factory.near import key64

COMMON = 64
"""A pair of words in more items than this finds no candidates."""
RARE = 6
"""Unless it is among so many rarest ones of an item that has no others."""
FEW = 0.3
"""Share of the pairs by which an item is found that makes it a candidate."""
TELLING = 0.6
"""So much less needs to be alike where the numbers tell."""
DIGITS = 6
"""Digits in an item's numbers from which on no other problem has them all by chance."""
TOLD = 0.55
"""Share of its pairs that such an item must have in a copy."""
LONG = 60
"""Words from which on a frame of instructions may be most of an item."""
WEAK = 4
"""Fewer rare pairs than this tell nothing unless all of them and the rest are there too."""
NEARLY_ALL = 0.8
"""Share of all pairs that is the rest."""
ALIKE = 0.7
"""Share of an item's pairs from which on a text with other numbers is a variant of it."""
STEM = 12
"""Words from which on a question counts without its answer choices too."""
GAP = 2
"""Most words that an edit puts in between two that tell."""
CHANCE = 0.001
"""Where so few of the rare pairs are found so seldom by chance, it is they that differ."""
SHOWN = 30
"""Most words shown of what was found."""

_CHOICES = re.compile(r"(?:^|\s)\(?A[).:]\s.*?\s\(?B[).:]\s.*?\s\(?C[).:]\s", re.DOTALL)
_ASKS = re.compile(r"\?|\b(?:which|what|following|choose|select)\b", re.I)
_REQUESTS = frozenset(
    {"please", "compute", "calculate", "evaluate", "find", "determine", "solve", "work", "out"}
    | {"what", "is", "value", "of", "answer", "question", "problem", "task", "following", "how"}
    | {"much", "give", "state", "result", "final", "q", VARIABLE}
)
_LOW = (1 << 32) - 1


@dataclass(slots=True, kw_only=True)
class _Entry:
    """The words of one item, or of several that read the same."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    """Evaluation set and row of each."""
    words: list[str]
    letters: list[str]
    ids: list[int]
    numbers: Counter[str]
    pairs: frozenset[int]
    telling: frozenset[int] = frozenset()
    """The pairs that are not boilerplate."""
    marked: bool = False
    """Whether hardly another item has the same numbers."""
    findable: int = 0
    """Pairs by which it is found."""
    runs: int = 0
    """Distinct runs of words that are not boilerplate."""
    core: tuple[str, ...] = ()
    """Of a short item: its words without the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A text to be looked up."""

    words: list[str]
    letters: list[str]
    ids: list[int]
    pairs: list[int]
    """At each place the pair that begins there."""
    core: tuple[str, ...]
    name: int


class Index:
    """Evaluation items, ready to be met. Memory grows with them, not with what is looked up.

    Example:
        Index([Item(eval_set="aime", row="1", text="...")]).hits("Find the number of ...")
    """

    def __init__(
        self,
        items: Iterable[Item],
        *,
        ngram: int = 8,
        min_coverage: float = 0.5,
        max_items: int = 3,
        min_similarity: float | None = 0.5,
    ) -> None:
        self._ngram = ngram
        self._min_coverage = min_coverage
        self._min_similarity = min_similarity
        self._ids: dict[str, int] = {}
        self._entries: list[_Entry] = []
        self._places: dict[int, int] = {}
        self._short: dict[str, list[int]] = defaultdict(list)
        stems: list[Item] = []
        for item in items:
            self._add(item)
            if stem := _stem(item):
                stems.append(stem)
        frequency = Counter(pair for entry in self._entries for pair in entry.pairs)
        for stem in stems:
            self._add(stem)
        self._given = {place for word, place in self._ids.items() if is_given(word)}
        self._index_short()
        self._finding = self._index_pairs(frequency, max_items)
        self._runs = self._index_runs(max_items)

    def __len__(self) -> int:
        return len(self._entries)

    def hits(self, text: str) -> list[Hit]:
        """Every item that the text holds, the surest first; else the one it is a variant of."""
        if not self._entries:
            return []
        held = self._read(text)
        runs = self._shared_runs(held)
        found: list[tuple[float, int, Method, list[int]]] = []
        variant: tuple[float, int, Method, list[int]] | None = None
        exact = self._places.get(held.name)
        for place in self._short_ones(held) if exact is None else [exact]:
            found.append((1.0, place, "whole", self._entries[place].ids))
        for place in self._candidates(held, runs):
            if place == exact:
                continue
            result = self._compare(held, place, runs.get(place, ()))
            if result is None:
                continue
            if result[2] != "variant":
                found.append(result)
            elif variant is None or result[0] > variant[0]:
                variant = result
        found.sort(key=lambda one: (-one[0], one[1]))
        return self._report(found or ([variant] if variant else []))

    def _add(self, item: Item) -> None:
        read = wording(item.text)
        ids = [self._ids.setdefault(word, len(self._ids)) for word in read.words]
        place = self._places.setdefault(_name(read), len(self._entries))
        if place == len(self._entries):
            entry = _Entry(
                words=read.words,
                ids=ids,
                letters=read.letters,
                numbers=Counter(word for word in read.words if is_given(word)),
                pairs=frozenset(_pairs(ids)),
            )
            self._entries.append(entry)
            if len(ids) < self._ngram:
                entry.core = _core(read.words)
        label = (item.eval_set, item.row)
        if label not in self._entries[place].rows:
            self._entries[place].rows.append(label)

    def _index_short(self) -> None:
        """A short item is found by the word of it that fewest other items have."""
        frequency = Counter(word for entry in self._entries for word in set(entry.core))
        for place, entry in enumerate(self._entries):
            if entry.core:
                rarest = min(entry.core, key=lambda word: (frequency[word], word))
                self._short[rarest].append(place)

    def _index_pairs(self, frequency: Counter[int], max_items: int) -> dict[int, list[int]]:
        finding: dict[int, list[int]] = defaultdict(list)
        signatures = Counter(_signature(entry) for entry in self._entries)
        for place, entry in enumerate(self._entries):
            same_numbers = signatures[_signature(entry)]
            entry.marked = entry.numbers.total() > 1 and same_numbers <= max_items
            by_rarity = sorted(entry.pairs, key=lambda pair: (frequency[pair], pair))
            # Where all are common, the least common ones fill in what the items share.
            bound = max(max_items, 1.5 * frequency[by_rarity[0]]) if by_rarity else 0
            entry.telling = frozenset(pair for pair in by_rarity if frequency[pair] <= bound)
            for number, pair in enumerate(by_rarity):
                if number < RARE or frequency[pair] <= COMMON:
                    finding[pair].append(place)
                    entry.findable += 1
        return dict(finding)

    def _index_runs(self, max_items: int) -> dict[int, list[int]]:
        places: dict[int, list[int]] = defaultdict(list)
        for place, entry in enumerate(self._entries):
            for run in set(_runs(entry.ids, self._ngram)):
                places[run].append(place)
        for entry in self._entries:
            own = set(_runs(entry.ids, self._ngram))
            rare = [run for run in own if len(places[run]) <= max_items]
            entry.runs = len(rare)
        return {run: at for run, at in places.items() if len(at) <= max_items}

    def _read(self, text: str) -> _Text:
        read = wording(text)
        known = self._ids.get
        ids = [known(word, UNKNOWN) for word in read.words]
        return _Text(
            words=read.words,
            letters=read.letters,
            ids=ids,
            pairs=_pairs(ids),
            core=_core(read.words),
            name=_name(read),
        )

    def _shared_runs(self, held: _Text) -> dict[int, list[int]]:
        """Places of the runs that the text shares with each entry."""
        shared: dict[int, list[int]] = defaultdict(list)
        seen = set()
        unknown = -1
        for end, word in enumerate(held.ids):
            if word == UNKNOWN:
                unknown = end
            start = end - self._ngram + 1
            if start <= unknown:
                continue
            run = hash(tuple(held.ids[start : end + 1]))
            if run in self._runs and run not in seen:
                seen.add(run)
                for place in self._runs[run]:
                    shared[place].append(start)
        return shared

    def _candidates(self, held: _Text, runs: Iterable[int]) -> list[int]:
        counts: Counter[int] = Counter()
        for pair in set(held.pairs):
            if places := self._finding.get(pair):
                counts.update(places)
        enough = {
            place for place, count in counts.items() if count >= FEW * self._entries[place].findable
        }
        return sorted(enough.union(runs))

    def _short_ones(self, held: _Text) -> list[int]:
        """The short items that are all of the text but a request and what frames it."""
        found = []
        for word in sorted(self._short.keys() & set(held.words)):
            for place in self._short[word]:
                core = self._entries[place].core
                if core == held.core or framed(core, held.words):
                    found.append(place)
        return found

    def _compare(
        self, held: _Text, place: int, runs: Sequence[int]
    ) -> tuple[float, int, Method, list[int]] | None:
        """Whether the text holds an entry: score, entry, method, the words found."""
        entry = self._entries[place]
        if len(entry.ids) < self._ngram:
            return None
        coverage = len(runs) / entry.runs if entry.runs else 0.0
        verbatim = bool(runs) and coverage >= self._min_coverage
        if verbatim and not self._min_coverage:
            return coverage, place, "ngram", held.ids[runs[0] : runs[0] + self._ngram]
        start, end = window(held.pairs, entry.pairs, len(entry.ids))
        shared = entry.pairs.intersection(held.pairs[start:end])
        plain = len(shared) / len(entry.pairs)
        ids = held.ids[start:end]
        few = len(entry.telling) < WEAK < len(entry.pairs)
        shared = entry.telling.intersection(shared.union(_skipping(ids)))
        alike = self._alike(entry, ids, shared, plain, verbatim)
        if alike and same_problem(
            entry.words,
            entry.letters,
            held.words[start:end],
            held.letters[start:end],
            exactly=few,
            exchanged=1 if few and not entry.marked else EXCHANGED,
        ):
            matched = longest(entry.ids, ids)
            if verbatim:
                return coverage, place, "ngram", matched
            return plain, place, "fuzzy", matched
        if plain >= ALIKE:
            return plain, place, "variant", longest(entry.ids, ids)
        return None

    def _alike(
        self,
        entry: _Entry,
        ids: Sequence[int],
        shared: frozenset[int],
        plain: float,
        verbatim: bool,
    ) -> bool:
        """Whether enough of the words agree, given how much the numbers among them tell."""
        least = self._min_coverage if verbatim else self._min_similarity
        if least is None:
            return False
        score = len(shared) / len(entry.telling)
        if tail(len(shared), len(entry.telling), plain) < CHANCE:
            return False
        few = len(entry.telling) < WEAK < len(entry.pairs)
        if entry.marked and plain >= (ALIKE if few else least) and score >= TELLING * least:
            return True
        digits = sum(len(word) * count for word, count in entry.numbers.items())
        if entry.marked and plain >= TOLD and digits >= DIGITS and len(entry.ids) <= LONG:
            return True
        numbered = sum(pair >> 32 in self._given or pair & _LOW in self._given for pair in shared)
        if numbered >= 3 and score >= TELLING * least:
            return True
        if few:
            return score == 1 and plain >= NEARLY_ALL
        if plain < ALIKE:
            return False
        return score >= (1 + least) / 2 or (score >= least and exchanged(entry.ids, ids) <= 1)

    def _report(self, found: list[tuple[float, int, Method, list[int]]]) -> list[Hit]:
        words = list(self._ids)
        hits = []
        for score, place, method, ids in found:
            shown = " ".join(words[i] for i in ids[:SHOWN] if i != UNKNOWN)
            for eval_set, row in self._entries[place].rows:
                hits.append(
                    Hit(eval_set=eval_set, row=row, method=method, score=score, matched=shown)
                )
        return hits


def tail(found: int, of: int, share: float) -> float:
    """Chance that so few of so many are found where each is found with probability `share`."""
    return sum(
        math.comb(of, number) * share**number * (1 - share) ** (of - number)
        for number in range(found + 1)
    )


def _name(read: Wording) -> int:
    return key64(" ".join(read.letters).encode("utf-8", "surrogatepass"))


def _signature(entry: _Entry) -> frozenset[tuple[str, int]]:
    return frozenset(entry.numbers.items())


def _pairs(ids: Sequence[int]) -> list[int]:
    """Every two neighbouring words as one number; UNKNOWN where one of them is in no item."""
    return [UNKNOWN if a == UNKNOWN or b == UNKNOWN else a << 32 | b for a, b in pairwise(ids)]


def _skipping(ids: Sequence[int]) -> Iterator[int]:
    """Pairs of words that stand near each other, with something put in between."""
    for gap in range(2, GAP + 2):
        yield from (a << 32 | b for a, b in zip(ids, ids[gap:], strict=False) if a >= 0 <= b)


def _runs(ids: Sequence[int], size: int) -> Iterable[int]:
    return (hash(tuple(ids[i : i + size])) for i in range(len(ids) - size + 1))


def _core(words: Sequence[str]) -> tuple[str, ...]:
    """The words without the request; all of them where nothing else is there."""
    return tuple(word for word in words if word not in _REQUESTS) or tuple(words)


def _stem(item: Item) -> Item | None:
    """A long question without its answer choices; None where it has none."""
    choices = _CHOICES.search(item.text)
    if choices is None:
        return None
    text = item.text[: choices.start()]
    if len(wording(text).words) < STEM or not _ASKS.search(text):
        return None
    return Item(eval_set=item.eval_set, row=item.row, text=text)
