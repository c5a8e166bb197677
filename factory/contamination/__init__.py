"""Problems that an evaluation set holds, found by wording: exact, edited, or in part.

Text is compared as words (`wording.py`). A problem is a copy of an evaluation item when

- `whole`: it is the item; and where the item is shorter than `ngram` words, it has them in a row
  (but for the request, "Please compute") with nothing but words around and few between;
- `ngram`: it has at least `min_coverage` of the item's runs of `ngram` words. Runs in more than
  `max_items` items are boilerplate and do not count;
- `fuzzy`: it has so many of the item's pairs of neighbouring words that it is the item with
  sentences moved, names and variables changed, and words put in, left out or replaced:
  `min_similarity` of them where the numbers agree and tell, more where there are none.

A text with other numbers, or with variables that cannot be renamed into the item's, is another
problem, however alike: it is a `variant`, which is only marked unless the recipe says otherwise.
The same holds for what a template fills in: pairs in more than `max_items` items do not count.

All of this is about wording. A problem retold in other words is not found.

Problems are compared twice: on the way in, so that nothing is sampled for a copy (`screen`), and
again whenever a dataset is made (`view`), so that a set that is named later holds for what was
sampled before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import pydantic

from factory import public
from factory.contamination.hits import Item, Mark
from factory.contamination.overlap import Index
from factory.contamination.wording import wording
from factory.errors import SourceError
from factory.ledger.records import Record
from factory.sources import hub, jsonl, parquet
from factory.sources._row import Row
from factory.types import Problem, Reject

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
LONGEST_ITEM = 10_000_000
"""Characters of a question in an evaluation set: its index takes about a hundred bytes for each."""


class EvalSet(pydantic.BaseModel):
    """An evaluation set: a file (or glob) or a dataset on the Hub."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = pydantic.Field(min_length=1)
    """How the card and the rejects call it."""
    path: str | None = None
    """.jsonl, .jsonl.gz, .jsonl.zst or .parquet."""
    hub: str | None = None
    """Hub id; downloaded when the run starts."""
    revision: str | None = None
    """Branch, tag or commit of the Hub dataset; a commit makes the run repeatable."""
    config: str | None = None
    """Configuration of the Hub dataset."""
    split: str = "test"
    """Of the Hub dataset."""
    column: str = "problem"
    """Holds the question: text, or a list of messages."""

    @pydantic.model_validator(mode="after")
    def _one_place(self) -> EvalSet:
        if (self.path is None) == (self.hub is None):
            raise ValueError(f"evaluation set {self.name!r}: give one of path and hub")
        if self.path is not None:
            if not self.path.endswith(SUFFIXES):
                known = ", ".join(SUFFIXES)
                raise ValueError(f"path {self.path!r} ends in none of: {known}")
            if self.revision or self.config:
                raise ValueError(f"{self.path}: revision and config are for a Hub dataset")
        return self

    @property
    def place(self) -> str:
        """Where it is, for the card."""
        if self.hub is None:
            return f"{public.name(self.path or '')}, column {self.column}"
        named = ", ".join(filter(None, [self.config, self.split, self.revision]))
        return f"{self.hub} ({named}), column {self.column}"

    def rows(self) -> Iterator[Row | Reject]:
        """Every row, its question under `prompt`."""
        columns = {"prompt": self.column}
        if self.hub is not None:
            return hub.Source(
                repo=self.hub,
                revision=self.revision,
                config=self.config,
                split=self.split,
                columns=columns,
            ).rows()
        path = self.path or ""
        source = parquet.Source if path.endswith(".parquet") else jsonl.Source
        return source(path=path, columns=columns).rows()


class Decontamination(pydantic.BaseModel):
    """Which problems are kept out because an evaluation set has them."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    against: tuple[EvalSet, ...] = ()
    action: Literal["drop", "flag"] = "drop"
    """What happens to a copy. drop: it is not sampled, and not published where it was. flag: it
    is sampled and published in the config `all` alone, its hits in `metadata.contamination`."""
    variants: Literal["drop", "flag", "ignore"] = "flag"
    """What happens to a problem that is an item but for its numbers or variables. drop: as for a
    copy. flag: it is published everywhere, its hits in `metadata.contamination`."""
    ngram: int = pydantic.Field(8, ge=3, le=50)
    """Words per run; a shorter item is compared whole."""
    min_coverage: float = pydantic.Field(0.5, ge=0, le=1)
    """Share of an item's runs that makes a copy; 0: a single one, the common rule."""
    max_items: int = pydantic.Field(3, ge=1)
    """A run in more items than this is boilerplate."""
    min_similarity: float | None = pydantic.Field(0.5, gt=0, le=1)
    """Share of an item's word pairs that makes a copy; null: no fuzzy comparison."""

    @property
    def how(self) -> str:
        """The comparison in a line, for the card."""
        runs = (
            f"{self.min_coverage:.0%} of an item's"
            if self.min_coverage
            else "a single one of an item's"
        )
        fuzzy = (
            "no fuzzy comparison"
            if self.min_similarity is None
            else f"fuzzy from {self.min_similarity:.0%} of its pairs of words"
        )
        return f"n-gram: {runs} runs of {self.ngram} words; {fuzzy}"

    @pydantic.field_validator("against")
    @classmethod
    def _names_differ(cls, against: tuple[EvalSet, ...]) -> tuple[EvalSet, ...]:
        names = [one.name for one in against]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two evaluation sets are named {name!r}")
        return against


def load(spec: Decontamination) -> Index:
    """Reads the evaluation sets of a recipe.

    Raises:
        SourceError: a set cannot be read, is empty, or has a row without a question or with one
            that is too long. A hole in the index would let the item through, so there is no going
            on without it.
    """
    return Index(
        (item for one in spec.against for item in _items(one)),
        ngram=spec.ngram,
        min_coverage=spec.min_coverage,
        max_items=spec.max_items,
        min_similarity=spec.min_similarity,
    )


def screen(
    problems: Iterable[Problem | Reject], index: Index, spec: Decontamination
) -> Iterator[Problem | Reject]:
    """Sets the copies aside, or marks them; everything else passes in its place."""
    for problem in problems:
        found = mark(problem, index, spec) if isinstance(problem, Problem) else None
        if isinstance(problem, Reject) or found is None:
            yield problem
        elif found.drop:
            yield Reject.of(problem, found.rule, str(found.hits[0]))
        else:
            marks = {"contamination": [asdict(hit) for hit in found.hits]}
            yield replace(problem, metadata=problem.metadata | marks)


def mark(problem: Problem, index: Index, spec: Decontamination) -> Mark | None:
    """What becomes of a problem because an evaluation set has it; None where none has."""
    hits = index.hits(question(problem))
    variant = bool(hits) and hits[0].method == "variant"
    action = spec.variants if variant else spec.action
    if not hits or action == "ignore":
        return None
    rule: Literal["contaminated", "contaminated_variant"] = (
        "contaminated_variant" if variant else "contaminated"
    )
    return Mark(rule=rule, drop=action == "drop", hits=tuple(hits))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the evaluation sets of a recipe say of a ledger."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    """Of problems that were sampled, by id."""
    kept_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Evaluation set -> method -> problems that were set aside before any was sampled."""


def view(records: Iterable[Record], spec: Decontamination) -> View:
    """Compares the problems of a ledger; nothing is read where no evaluation set is named.

    Raises:
        SourceError: an evaluation set cannot be read.
    """
    if not spec.against:
        return View()
    index = load(spec)
    names = [one.name for one in spec.against]
    marks: dict[str, Mark] = {}
    kept_out: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        if isinstance(record, Problem) and (found := mark(record, index, spec)):
            marks[record.id] = found
        elif isinstance(record, Reject) and record.rule.startswith("contaminated"):
            eval_set, method = told_by(record.reason, names)
            kept_out[eval_set][method] += 1
    return View(marks=marks, kept_out={name: dict(kept_out[name]) for name in sorted(kept_out)})


def told_by(reason: str, names: Sequence[str]) -> tuple[str, str]:
    """Evaluation set and method of a hit as it stands in a reject (`str(Hit)`).

    Args:
        names: the evaluation sets there are; one that has gone is named as far as can be told.
    """
    method, _, rest = reason.partition(" ")
    rest = rest.partition(" of ")[2]
    known = [name for name in names if rest.startswith(f"{name} row ")]
    return max(known, key=len, default=rest.partition(" row ")[0]), method


def question(problem: Problem) -> str:
    """All turns but the system's, which whole sources share."""
    turns = [m["content"] for m in problem.messages if m["role"] != "system"]
    return "\n".join(turns) or problem.prompt


def _items(one: EvalSet) -> Iterator[Item]:
    where = f"evaluation set {one.name!r} ({one.path or one.hub})"
    found = False
    for row in one.rows():
        if isinstance(row, Reject):
            raise SourceError(f"{where}: {row.reason}")
        value = row.values.get("prompt")
        text = _text(value)
        if len(text) > LONGEST_ITEM:
            raise SourceError(
                f"{where}: row {row.number}: column {one.column!r} holds {_short(value)} of "
                f"{len(text)} characters; an item has at most {LONGEST_ITEM}: is this the question?"
            )
        if not wording(text).words:
            raise SourceError(
                f"{where}: row {row.number}: column {one.column!r} holds {_short(value)}; "
                f"text or messages are wanted; columns: {', '.join([one.column, *row.extra])}"
            )
        found = True
        yield Item(eval_set=one.name, row=row.id, text=text)
    if not found:
        raise SourceError(f"{where}: no rows")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    turns = [m for m in value if isinstance(m, dict) and m.get("role") != "system"]
    return "\n".join(m["content"] for m in turns if isinstance(m.get("content"), str))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
