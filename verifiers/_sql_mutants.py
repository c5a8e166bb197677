"""Queries that are almost the reference: one word, one constant, one clause away from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from verifiers._sql_engine import quote
from verifiers._sql_text import Query, Token

_SWAPS = {
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "=": ("<>", "<="),
    "==": ("<>",),
    "<>": ("=",),
    "!=": ("=",),
    "+": ("-",),
    "-": ("+",),
    "/": ("*",),
    "AND": ("OR",),
    "OR": ("AND",),
    "ASC": ("DESC",),
    "DESC": ("ASC",),
    "MIN": ("MAX",),
    "MAX": ("MIN",),
    "SUM": ("AVG", "MAX", "COUNT"),
    "AVG": ("SUM", "MIN"),
    "COUNT": ("SUM", "MAX"),
    "UNION": ("INTERSECT", "EXCEPT"),
    "INTERSECT": ("UNION", "EXCEPT"),
    "EXCEPT": ("UNION", "INTERSECT"),
    "EXISTS": ("NOT EXISTS",),
    "IN": ("NOT IN",),
    "LIKE": ("NOT LIKE",),
    "BETWEEN": ("NOT BETWEEN",),
    "LEFT": ("INNER",),
    "JOIN": ("LEFT JOIN",),
    "NULL": ("NOT NULL",),
    "WHERE": ("WHERE NOT",),
}
_EDGES = {"<": ("<=",), "<=": ("<",), ">": (">=",), ">=": (">",), "=": ("<=", ">=")}
_AGGREGATES = ("MIN", "MAX", "SUM", "AVG", "COUNT")
_DROPPED = ("DISTINCT", "NOT", "ALL")
_CLAUSES = ("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT")
_CONDITIONS = ("AND", "OR", "THEN", "WHEN", *_CLAUSES)


def mutants(query: Query, columns: Sequence[str]) -> Iterator[str]:
    """Other queries, the nearest first, none twice; some of them may give the same as this one.

    Args:
        columns: names that can stand in the place of each other.
    """
    seen = {_words(query.text)}
    for text in _all(query, columns):
        if _words(text) not in seen:
            seen.add(_words(text))
            yield text


def at_the_edge(query: Query) -> Iterator[str]:
    """The query with one comparison or number moved a little, one condition or aggregate changed.

    Few databases show the difference.
    """
    for n, token in enumerate(query.tokens):
        if token.kind == "number" or token.text in _EDGES:
            for other in _EDGES.get(token.text, ()) or _others(query.tokens, n):
                yield _replaced(query.text, token, other)
        if token.word in _AGGREGATES:
            for other in _SWAPS[token.word]:
                yield _replaced(query.text, token, other)
        if token.word in ("WHERE", "HAVING", "AND", "OR"):
            yield query.text[: token.start] + query.text[clause_end(query.tokens, n, _CONDITIONS) :]
        if token.word == "ORDER":
            end = clause_end(query.tokens, n)
            yield query.text[: token.start] + query.text[end:]
            yield f"{query.text[:end]} DESC {query.text[end:]}"
            yield from _shorter_lists(query.text, query.tokens, n + 1, end, token.depth)
        if token.word == "LIMIT":
            yield query.text[: token.start] + query.text[clause_end(query.tokens, n, ()) :]
        if token.word in ("ASC", "DESC"):
            yield _replaced(query.text, token, _SWAPS[token.word][0])


def _all(query: Query, columns: Sequence[str]) -> Iterator[str]:
    tokens = query.tokens
    for n, token in enumerate(tokens):
        for other in _others(tokens, n):
            yield _replaced(query.text, token, other)
    yield from _without_clauses(query)
    yield from _about_the_whole(query)
    names = {c.lower() for c in columns}
    for token in tokens:
        if token.value.lower() in names and token.kind in ("word", "name"):
            for other in columns:
                if other.lower() != token.value.lower():
                    yield _replaced(query.text, token, quote(other))
    for n in range(1000, 1020):
        yield f"SELECT {n}"


def _others(tokens: Sequence[Token], n: int) -> Iterator[str]:
    """What may stand in the place of one token."""
    token, before = tokens[n], tokens[n - 1].word if n else ""
    after = tokens[n + 1].word if n + 1 < len(tokens) else ""
    if token.kind == "number":
        yield f"{token.text}1"
        if token.text.isdigit() and len(token.text) < 15:
            yield str(int(token.text) + 1)
            yield str(max(0, int(token.text) - 1))
    elif token.kind == "text":
        yield f"{token.text[:-1]}x'"
        yield "''"
    elif token.word == "JOIN" and before in ("LEFT", "CROSS", "INNER", "OUTER", "RIGHT", "FULL"):
        return
    elif token.text == "*" and n and tokens[n - 1].text == "(":
        yield "DISTINCT 1"
    elif token.word in _DROPPED:
        yield ""
    elif token.word == "SELECT" and after != "DISTINCT":
        yield "SELECT DISTINCT"
    elif token.word == "UNION" and after != "ALL":
        yield "UNION ALL"
    yield from _SWAPS.get(token.text.upper() if token.kind in ("word", "sign") else "", ())


def _without_clauses(query: Query) -> Iterator[str]:
    """The query without one of its clauses, or without one member of a list in it."""
    tokens = query.tokens
    for n, token in enumerate(tokens):
        if token.word in _CLAUSES[:6]:
            end = clause_end(tokens, n)
            yield query.text[: token.start] + query.text[end:]
        if token.word in ("SELECT", "BY"):
            end = clause_end(tokens, n, ("FROM", *_CLAUSES))
            yield from _shorter_lists(query.text, tokens, n, end, token.depth)
        if token.word in ("AND", "OR"):
            end = clause_end(tokens, n, _CONDITIONS)
            yield query.text[: token.start] + query.text[end:]


def _shorter_lists(
    text: str, tokens: Sequence[Token], n: int, end: int, depth: int
) -> Iterator[str]:
    """A list without its first member, without its last one, and turned round."""
    commas = [t for t in tokens[n:] if t.text == "," and t.depth == depth and t.end <= end]
    if commas:
        head, tail = text[: tokens[n].end], text[end:]
        first = text[tokens[n].end : commas[0].start]
        rest = text[commas[0].end : end]
        yield f"{head} {rest} {tail}"
        yield f"{text[: commas[-1].start]} {tail}"
        yield f"{head} {rest}, {first} {tail}"


def clause_end(tokens: Sequence[Token], n: int, words: Sequence[str] = _CLAUSES) -> int:
    """Where what begins with token `n` ends: at one of these words, or with its parenthesis."""
    for token in tokens[n + 1 :]:
        inside = token.depth - tokens[n].depth
        if inside < 0 or (inside == 0 and token.word in words):
            return token.start
    return tokens[-1].end


def _about_the_whole(query: Query) -> Iterator[str]:
    text = query.text
    yield f"SELECT * FROM ({text}) WHERE 0"
    yield f"SELECT * FROM ({text}) UNION ALL SELECT * FROM ({text})"
    yield f"SELECT *, 1 FROM ({text})"
    yield f"SELECT count(*) FROM ({text})"
    yield f"SELECT DISTINCT * FROM ({text})"
    yield f"SELECT * FROM ({text}) LIMIT 1"
    yield f"SELECT * FROM ({text}) LIMIT 100 OFFSET 1"
    if query.ordered and not query.limit:
        yield f"{text} LIMIT 1"
    yield f"{text}; {text}"
    yield f"DELETE FROM ({text})"


def _replaced(text: str, token: Token, other: str) -> str:
    return f"{text[: token.start]}{other}{text[token.end :]}"


def _words(text: str) -> str:
    return " ".join(text.split())
