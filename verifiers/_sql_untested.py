"""What a query claims and no database has shown.

Two queries can agree on every database because none of them puts a part of one to the test:
`LIMIT 10` does nothing where there are at most ten rows, nor does `total < 1e9` where all totals
are small. Such a part is left out; if the query still agrees, it is not known to be right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from verifiers import _sql_text
from verifiers._sql_case import Base, Case, agrees
from verifiers._sql_mutants import clause_end
from verifiers._sql_text import NotOneQuery, Query, Token
from verifiers._sql_values import COUNTED

_TABLES = ("FROM", "JOIN", "IN", "EXISTS")
"""Words in front of a subquery that is read as a table."""
_LISTS = ("SELECT", "FROM", "JOIN", "BY", "IN", "WITH", "VALUES")
_CONDITIONS = ("WHERE", "HAVING", "ON")


class _Part(NamedTuple):
    """One LIMIT with its OFFSET, or one SELECT's DISTINCT, anywhere in a query."""

    text: str
    without: str
    """The query without it."""
    idle: bool
    """It stands where it makes no difference: one value is taken, or only membership counts."""
    top: bool
    """It is the query's own."""


def doubt(query: Query, case: Case, bases: Sequence[Base]) -> str:
    """Which part of a query stands untested, in one line; empty if none does.

    Args:
        bases: databases on which the query agrees with the reference.
    """
    reference = case.reference
    known = {t.value for t in reference.tokens if t.kind in ("number", "text")}
    for piece, without in _conditions(query):
        constants = {t.value for t in piece if t.kind in ("number", "text")}
        named = any(t.kind in ("word", "name") for t in piece)  # `1 = 1` claims nothing
        if named and constants - known and _does_nothing(without, bases):
            said = query.text[piece[0].start : piece[-1].end]
            return f"no database shows what this condition does: {' '.join(said.split())[:80]}"
    if part := _untested_part(query, reference, bases):
        return f"no database shows what {part[:60]} does"
    if not case.sharp and (own := set(_numbers(query)) - set(_numbers(reference))):
        return (
            f"no database shows the edge of a number in the reference: {min(own)[:20]} may be off"
        )
    return _counts_too_far(query, reference)


def _untested_part(query: Query, reference: Query, bases: Sequence[Base]) -> str:
    """A part that one of the two has and the other has not, and that does nothing anywhere."""
    # Where even the empty database gives its one row, there is nothing to cut.
    single = all(base.expected[0].stop - base.expected[0].start == 1 for base in bases)
    own, known = list(_parts(query)), list(_parts(reference))
    for parts, others in ((own, known), (known, own)):
        extra = Counter(part.text for part in parts) - Counter(part.text for part in others)
        for part in parts:
            harmless = part.idle or (part.top and single)
            if extra[part.text] and not harmless and _does_nothing(part.without, bases):
                return part.text
    return ""


def _does_nothing(without: str, bases: Sequence[Base]) -> bool:
    """Whether a query that lacks a part of the one under test still agrees everywhere."""
    try:
        query = _sql_text.parse(without)
    except NotOneQuery:
        return False
    return all(agrees(base, query) for base in bases)


def _counts_too_far(query: Query, reference: Query) -> str:
    """A number of its own in a query that counts, larger than any database."""
    if any(t.word == "COUNT" for t in query.tokens):
        for number in _numbers(query) - _numbers(reference):
            if number.isdigit() and (len(number) > 9 or int(number) > COUNTED):
                return f"it may count up to {number[:20]}, and no database is that large"
    return ""


def _numbers(query: Query) -> Counter[str]:
    return Counter(t.text for t in query.tokens if t.kind == "number")


def _parts(query: Query) -> Iterator[_Part]:
    tokens = query.tokens
    opened: list[int] = []
    for n, token in enumerate(tokens):
        if token.text == "(":
            opened.append(n)
        elif token.text == ")":
            opened.pop()
        elif token.word == "LIMIT" or (n and token.word == "DISTINCT"):
            if token.word == "DISTINCT" and tokens[n - 1].word != "SELECT":
                continue
            end = clause_end(tokens, n, ()) if token.word == "LIMIT" else token.end
            before = _before(tokens, opened[-1]) if opened else ""
            words = [t.text.upper() for t in tokens[n:] if t.end <= end]
            one = token.word == "DISTINCT" or words[1:2] == ["1"]
            member = token.word == "DISTINCT" and before in ("IN", "EXISTS")
            yield _Part(
                text=" ".join(words),
                without=f"{query.text[: token.start]} {query.text[end:]}",
                idle=member or (bool(before) and before not in _TABLES and one),
                top=not opened,
            )


def _before(tokens: Sequence[Token], opened: int) -> str:
    """The word in front of a parenthesis; in a list, the one in front of the list."""
    words = [t for t in tokens[:opened] if t.depth == tokens[opened].depth]
    if words and words[-1].text == ",":
        return next((t.word for t in reversed(words) if t.word in _LISTS), ",")
    return words[-1].text.upper() if words else ""


def _conditions(query: Query) -> Iterator[tuple[list[Token], str]]:
    """Every condition that is joined to others by AND and OR, and the query without it."""
    for n, token in enumerate(query.tokens):
        if token.word in _CONDITIONS:
            end = clause_end(query.tokens, n)
            inside = [t for t in query.tokens[n + 1 :] if t.end <= end]
            pieces = list(_pieces(inside, token.depth))
            for m, piece in enumerate(pieces):
                if not piece:
                    continue
                start, stop = piece[0].start, piece[-1].end
                if m:
                    start = pieces[m - 1][-1].end if pieces[m - 1] else start
                elif len(pieces) > 1:
                    stop = pieces[1][0].start if pieces[1] else stop
                else:
                    start = token.start
                yield piece, f"{query.text[:start]} {query.text[stop:]}"


def _pieces(tokens: Sequence[Token], depth: int) -> Iterator[list[Token]]:
    """Tokens between the ANDs and ORs of one level; the AND of a BETWEEN is none of them."""
    piece: list[Token] = []
    between = False
    for token in tokens:
        joins = token.depth == depth and token.word in ("AND", "OR")
        if joins and not (between and token.word == "AND"):
            yield piece
            piece = []
            continue
        between = (between and not joins) or (token.depth == depth and token.word == "BETWEEN")
        piece.append(token)
    yield piece
