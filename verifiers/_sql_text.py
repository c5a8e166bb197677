"""Reads SQL as text: the query in a completion, its tokens, its last ORDER BY and LIMIT.

Nothing here runs anything. Every pass over the text is linear, and longer queries are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from factory.types import Completion
from verifiers import _final

MAX_QUERY = 10_000
"""Longest query, in characters."""

_TOKEN = re.compile(
    r"(?P<space>[ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<blob>[xX]'[^']*')"
    r"|(?P<text>'[^']*(?:''[^']*)*')"
    r'|(?P<name>"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`|\[[^\]]*\])'
    r"|(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<parameter>[?:@$#]\w*)"
    r"|(?P<sign><>|<=|>=|==|!=|\|\||<<|>>|->>|->|[-+*/%<>=&|~(),.;])",
    re.DOTALL,
)
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*")
_LABELS = ("sql", "sqlite", "sqlite3")
_OPENERS = ("SELECT", "WITH", "VALUES")
_RETRACTED = re.compile(
    r"\b(?:wait|oops|scratch that|on second thought|correction|hmm|my mistake"
    r"|(?:is|was|be|seems|looks) (?:wrong|incorrect|mistaken))\b",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    r"\b(?:or|either|alternative(?:ly)?|another (?:way|option|query|version)|option|attempt)\b",
    re.IGNORECASE,
)


class Unreadable(Exception):
    """There is no query to be read; says why."""


class NotOneQuery(Exception):
    """What was written is no single query that reads and nothing else; says why."""


class Unsettled(Exception):
    """The completion gives a query and does not stand by it; says why."""


class Token(NamedTuple):
    """One word of SQL."""

    kind: str
    text: str
    start: int
    end: int
    depth: int
    """Parentheses around it; those that open and close a group lie inside it."""

    @property
    def word(self) -> str:
        """A keyword or bare name in upper case; empty for everything else."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def value(self) -> str:
        """A name or a string without its quotes."""
        if self.kind not in ("text", "name"):
            return self.text
        quote = self.text[-1]
        return self.text[1:-1].replace(quote * 2, quote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement that reads."""

    text: str
    """Without its semicolon."""
    tokens: tuple[Token, ...]
    order_end: int | None = None
    """Where the terms of the last ORDER BY end, in characters; None where there is none."""
    limit: tuple[Token, ...] = ()
    """The tokens from the last LIMIT on."""

    @property
    def ordered(self) -> bool:
        """Whether the whole result has an order of its own."""
        return self.order_end is not None

    @property
    def unlimited(self) -> str:
        """The same query without its last LIMIT."""
        return self.text[: self.limit[0].start] if self.limit else self.text

    def with_ties_broken(self, columns: int, direction: str, limited: bool) -> str:
        """The same query, rows that its ORDER BY leaves equal put into the order of their values.

        Whatever differs between the two directions is what the ORDER BY leaves open.
        """
        head = self.text[: self.order_end]
        terms = ", ".join(f"{n} COLLATE BINARY {direction}" for n in range(1, columns + 1))
        tail = f" {self.text[self.limit[0].start :]}" if limited and self.limit else ""
        return f"{head}, {terms}{tail}"

    def window(self) -> tuple[int, int | None]:
        """Offset and count of the last LIMIT.

        Raises:
            ValueError: it is not made of plain numbers.
        """
        if not self.limit:
            return 0, None
        parts = [t.text.upper() for t in self.limit[1:]]
        numbers = [int(p) for p in parts if p.isascii() and p.isdigit() and len(p) < 10]
        if len(parts) == len(numbers) == 1:
            return 0, numbers[0]
        if len(parts) == 3 and len(numbers) == 2 and parts[1] in ("OFFSET", ","):
            count, offset = numbers if parts[1] == "OFFSET" else numbers[::-1]
            return offset, count
        raise ValueError(f"a LIMIT of plain numbers is needed, got LIMIT {' '.join(parts)[:60]!r}")


def parse(text: str) -> Query:
    """The one query in a text.

    Raises:
        NotOneQuery: it is none, or more than one, or no SELECT, WITH or VALUES.
    """
    tokens = tokenize(text)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        raise NotOneQuery("there is no statement")
    if any(t.text == ";" for t in tokens):
        raise NotOneQuery("there is more than one statement")
    if tokens[0].word not in _OPENERS:
        first = tokens[0].text[:40]
        raise NotOneQuery(f"a query begins with SELECT, WITH or VALUES, not with {first!r}")
    if wrong := next((t for t in tokens if t.kind == "parameter"), None):
        raise NotOneQuery(f"a query has no parameters, got {wrong.text[:40]!r}")
    order = limit = None
    for n, token in enumerate(tokens):
        if token.depth == 0 and token.word == "ORDER":
            order = n
        elif token.depth == 0 and token.word == "LIMIT":
            limit = n
    order_end = None
    if order is not None:
        last = tokens[limit - 1] if limit is not None and limit > order else tokens[-1]
        order_end = last.end
    return Query(
        text=text[: tokens[-1].end],
        tokens=tuple(tokens),
        order_end=order_end,
        limit=tuple(tokens[limit:]) if limit is not None else (),
    )


def tokenize(text: str) -> list[Token]:
    """The words of a text, white space and comments left out.

    Raises:
        NotOneQuery: it is too long, or holds what no SQL holds.
    """
    if len(text) > MAX_QUERY:
        raise NotOneQuery(f"a query of {len(text)} characters; at most {MAX_QUERY} are read")
    if "\0" in text or text.encode("utf-8", "ignore").decode() != text:
        raise NotOneQuery("characters that no query holds: NUL or half of a surrogate pair")
    found: list[Token] = []
    at = depth = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotOneQuery(f"no SQL at {text[at : at + 20]!r}")
        at, kind = match.end(), str(match.lastgroup)
        if kind == "space":
            continue
        depth -= match.group() == ")"
        found.append(Token(kind, match.group(), match.start(), at, depth))
        depth += match.group() == "("
        if depth < 0:
            raise NotOneQuery("a parenthesis closes that was never opened")
    return found


def extract(completion: Completion) -> str:
    """The text of the query that a completion gives as its answer.

    The last code block that is marked sql; else the only one that is not marked at all; else the
    whole final part where it begins as a query does.

    Raises:
        Unreadable: there is none.
        Unsettled: there is one, but it is taken back, or it is one of several on offer.
    """
    text = _final.final_part(completion)
    if text is None:
        raise Unreadable("the reasoning never ends: no </think>")
    blocks = _blocks(text)
    marked = [b for b in blocks if b.label in _LABELS]
    if marked:
        last = marked[-1]
        others = [b for b in marked if _key(b.body) != _key(last.body)]
        if others and _ALTERNATIVE.search(text[others[-1].end : last.start]):
            raise Unsettled("several different queries are offered")
    else:
        blocks = [b for b in blocks if not b.label]
        if len({_key(b.body) for b in blocks}) > 1:
            raise Unreadable("several code blocks, none of them marked sql")
        first = text.split(maxsplit=1)[0].upper() if text.split(maxsplit=1) else ""
        if not blocks and first not in _OPENERS:
            raise Unreadable("no query: neither a code block marked sql nor a bare statement")
        last = blocks[-1] if blocks else _Block("", text, 0, len(text))
    if not last.body.strip():
        raise Unreadable("the code block is empty")
    if _RETRACTED.search(text[last.end :]):
        raise Unsettled("the query is put in doubt after it is given")
    return last.body.strip()


class _Block(NamedTuple):
    label: str
    body: str
    start: int
    end: int


def _blocks(text: str) -> list[_Block]:
    """Fenced code blocks in order; Unreadable if the last one is not closed."""
    found: list[_Block] = []
    fence, label, body, start, at = "", "", 0, 0, 0
    for line in text.split("\n"):
        end = at + len(line)
        match = _FENCE.fullmatch(line)
        if match and not fence:
            fence, label, start, body = match[1], match[2].casefold(), at, end + 1
        elif match and match[1].startswith(fence) and not match[2]:
            found.append(_Block(label, text[body : max(body, at)], start, end))
            fence = ""
        at = end + 1
    if fence:
        raise Unreadable("a code block is not closed")
    return found


def _key(body: str) -> str:
    return " ".join(body.split()).rstrip("; ")
