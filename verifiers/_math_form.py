"""The noun `Form`: an answer with its kind; and how a text is cut at its top level."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from verifiers import _units
from verifiers._math_tree import Node

Kind = Literal[
    "value", "quantity", "words", "based", "space", "opaque",
    "list", "tuple", "interval", "union", "minus", "meet", "builder",
    "relation", "residue", "family", "ratio", "matrix", "cases",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An answer with its kind."""

    kind: Kind
    text: str
    """The cleaned text it was read from."""
    node: Node | None = None
    """The expression of a value or quantity; for words, the product they might be."""
    parts: tuple[Form, ...] = ()
    """Members of a list, tuple or union, ends of an interval, sides of a relation, ..."""
    marks: tuple[str, ...] = ()
    """Signs of a relation, brackets of an interval, widths of a matrix's rows, base of digits,
    joining words of a list, the bound name of a builder or family with its domain, the left side
    of a congruence."""
    unit: _units.Unit | None = None
    quoted: bool = False
    r"""Words that stood in `\text{}`."""


SCAN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
OPEN = frozenset(["(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil", r"\begin"])
CLOSE = frozenset([")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\end"])


def top_level(text: str) -> Iterator[tuple[str, int, int]]:
    """The tokens outside all brackets, with where they start and end."""
    level = 0
    for match in SCAN.finditer(text):
        token = match.group()
        if token in OPEN:
            level += 1
        elif token in CLOSE:
            level -= 1
        elif level == 0:
            yield token, match.start(), match.end()


def split(text: str, separators: frozenset[str]) -> list[str]:
    """The parts of a text between top-level separators."""
    parts, start = [], 0
    for token, at, end in top_level(text):
        if token in separators:
            parts.append(text[start:at])
            start = end
    return [*parts, text[start:]]


FLIPPED = {"<": ">", ">": "<", r"\leq": r"\geq", r"\geq": r"\leq"}


def flip(form: Form) -> Form:
    """A relation read from right to left."""
    marks = tuple(FLIPPED.get(mark, mark) for mark in reversed(form.marks))
    return Form(kind="relation", text=form.text, parts=form.parts[::-1], marks=marks)
