"""The nouns of decontamination: an evaluation item, a text that has it, what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["whole", "ngram", "fuzzy", "variant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question of an evaluation set."""

    eval_set: str
    row: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A text met an evaluation item."""

    eval_set: str
    row: str
    method: Method
    score: float
    """Share of the item that was found, by the method's measure."""
    matched: str
    """What was found, as words."""

    def __str__(self) -> str:
        return f"{self.method} {self.score:.2f} of {self.eval_set} row {self.row}: {self.matched}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What becomes of a problem because an evaluation set has it."""

    rule: Literal["contaminated", "contaminated_variant"]
    drop: bool
    """Nothing of the problem is published. Else it is flagged: its hits are published with it,
    and a copy is in no config that one trains on."""
    hits: tuple[Hit, ...]

    def met(self) -> dict[str, str]:
        """Evaluation set -> by which method it has the problem, and what is done: `ngram, dropped`.

        Of several methods the surest.
        """
        done = "dropped" if self.drop else "flagged"
        return {hit.eval_set: f"{hit.method}, {done}" for hit in reversed(self.hits)}
