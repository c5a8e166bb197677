"""Which problems have been seen: exact and near duplicates, in a file instead of in memory.

Two problems are near duplicates when nothing that can change the answer differs (the numbers and
operators in the question, the answer, what the verifier needs) and their words agree:

- from `LONG` words on: the Jaccard index of their word 5-shingles reaches the threshold;
- below: all their words agree, since one word of a short question is easily the whole question.

"What is 12 + 35?" and "What is 12 + 36?" are two problems, and so are two long ones that differ
in a word and therefore in their answer.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import unicodedata
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from factory import near
from factory.types import Problem, place, problem_id

LONG = 12
"""Words from which on a question is compared by its shingles."""
RICH = 3
"""Distinct numbers from which on equal numbers are rare enough to be the index themselves."""
CANDIDATES = 64
"""Most earlier problems compared with one; the latest first."""
CACHE_KIB = 32 * 1024

_SCHEMA = """
CREATE TABLE prompt (key INTEGER PRIMARY KEY, id TEXT, place TEXT, answer TEXT);
CREATE TABLE source_id (key INTEGER PRIMARY KEY, id TEXT, place TEXT);
CREATE TABLE text (number INTEGER PRIMARY KEY, id TEXT, place TEXT, words TEXT);
CREATE TABLE band (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID;
"""
_FORMATTING = frozenset(".,;?!$\"'`*_#\\")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DRESSED = re.compile(r"\$+([^$]+)\$+\.?|\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\.?")
_QUOTIENT = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_RATIONAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|\d+/0*[1-9]\d*)")
_MOST_DIGITS = 1000
_OPERATOR = re.compile(r"[+/^=<>%|×÷±·√∑∏∫≤≥≠∈]|(?<![a-z])[-−]|(?<=[\d)])!|(?<=\b[a-z])!")  # noqa: RUF001


class Repeat(NamedTuple):
    """Why a problem is not new."""

    rule: str
    """`duplicate`, `conflicting_answer`, `duplicate_id` or `near_duplicate`."""
    reason: str
    of: str
    """Id of the earlier problem."""


class Seen:
    """The problems accepted so far, in a temporary SQLite file that is deleted on leaving."""

    def __init__(self, near_duplicates: float | None) -> None:
        self._threshold = near_duplicates
        self._folder = tempfile.TemporaryDirectory(prefix="factory-seen-")
        path = Path(self._folder.name) / "seen.sqlite"
        # Whoever reads ahead in a thread may drop us in another one.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def add(self, problem: Problem, *, own_id: bool) -> Repeat | None:
        """Takes a problem in, or says what it repeats.

        Args:
            own_id: the source names its rows, so that no two may share a name.
        """
        prompt = near.key64(_same_text(problem).encode())
        named = near.key64(f"{problem.source}\0{problem.source_id}".encode())
        if repeat := self._exact(problem, prompt) or (own_id and self._same_id(problem, named)):
            return repeat
        if self._threshold is not None and (repeat := self._near(problem, self._threshold)):
            return repeat
        where, answer = _place(problem), _expected(problem)
        first = (prompt, problem.id, where, answer)
        self._db.execute("INSERT INTO prompt VALUES (?, ?, ?, ?)", first)
        if own_id:
            self._db.execute("INSERT INTO source_id VALUES (?, ?, ?)", (named, problem.id, where))
        return None

    def _exact(self, problem: Problem, key: int) -> Repeat | None:
        asked = "SELECT id, place, answer FROM prompt WHERE key = ?"
        row = self._db.execute(asked, (key,)).fetchone()
        if row is None:
            return None
        earlier, where, answer = row
        same = f"same question as {where} (problem {earlier})"
        if _value(answer) == _value(_expected(problem)):
            return Repeat("duplicate", same, earlier)
        wanted, got = _short(answer), _short(_expected(problem))
        return Repeat("conflicting_answer", f"{same}: {wanted} there, {got} here", earlier)

    def _same_id(self, problem: Problem, key: int) -> Repeat | None:
        asked = "SELECT id, place FROM source_id WHERE key = ?"
        row = self._db.execute(asked, (key,)).fetchone()
        if row is None:
            return None
        earlier, where = row
        reason = f"id {problem.source_id!r} is already that of {where} (problem {earlier})"
        return Repeat("duplicate_id", reason, earlier)

    def _near(self, problem: Problem, threshold: float) -> Repeat | None:
        tokens = [word for word in near.words(question(problem)) if word not in _FORMATTING]
        text = " ".join(tokens)
        keys = _index_keys(problem, tokens)
        found = self._candidates(keys)
        sketch = near.sketch_words(tokens) if found and len(tokens) >= LONG else None
        for earlier, where, words in found:
            if sketch is None:
                score = float(words == text)
            else:
                score = near.similarity(sketch, near.sketch_words(words.split(" ")), threshold)
            if score >= threshold:
                reason = f"Jaccard {score:.2f} with {where} (problem {earlier})"
                return Repeat("near_duplicate", reason, earlier)
        asked = "INSERT INTO text (id, place, words) VALUES (?, ?, ?)"
        row = self._db.execute(asked, (problem.id, _place(problem), text))
        pairs = ((key, row.lastrowid) for key in set(keys))
        self._db.executemany("INSERT INTO band VALUES (?, ?)", pairs)
        return None

    def _candidates(self, keys: list[int]) -> list[tuple[str, str, str]]:
        marks = ", ".join("?" * len(keys))
        return self._db.execute(
            "SELECT id, place, words FROM text WHERE number IN"
            f" (SELECT number FROM band WHERE key IN ({marks})"
            f" ORDER BY number DESC LIMIT {CANDIDATES}) ORDER BY number",
            keys,
        ).fetchall()


def _index_keys(problem: Problem, tokens: list[str]) -> list[int]:
    """Keys of which near duplicates share at least one."""
    fixed = _fixed(problem)
    if len(tokens) < LONG:
        return [near.key64(b"short" + " ".join(tokens).encode() + fixed)]
    if len(set(_numbers(question(problem)))) >= RICH:
        return [near.key64(b"rich" + fixed)]
    return near.band_keys(near.sketch_words(tokens).signature, fixed)


def _same_text(problem: Problem) -> str:
    """What makes two conversations the same one: all but Unicode form and blanks at line ends."""

    def folded(text: str) -> str:
        lines = unicodedata.normalize("NFC", text).strip().splitlines()
        return "\n".join(line.rstrip() for line in lines)

    messages = problem.messages or ({"role": "user", "content": problem.prompt},)
    return problem_id(
        "", tuple({"role": m["role"], "content": folded(m["content"])} for m in messages)
    )


def _place(problem: Problem) -> str:
    return place(problem.source, problem.source_id, problem.line)


def _expected(problem: Problem) -> str:
    """The answer, or what stands in for it."""
    return _canonical(problem.spec) if problem.answer is None else problem.answer.strip()


def _value(answer: str) -> str | Fraction:
    r"""By which answers are the same: `18.0`, `$18$` and `\boxed{\frac{36}{2}}` are 18.

    Other texts must be equal but for their dressing: it takes a verifier to know more.
    """
    while dressed := _DRESSED.fullmatch(answer):
        answer = (dressed[1] or dressed[2]).strip()
    number = _QUOTIENT.sub(r"\1/\2", _THOUSANDS.sub("", answer))
    short = len(number) <= _MOST_DIGITS  # Python reads no longer integers than 4,300 digits
    return Fraction(number) if short and _RATIONAL.fullmatch(number) else answer


def question(problem: Problem) -> str:
    """Every turn but the system's, which whole sources share."""
    turns = [m["content"] for m in problem.messages if m["role"] != "system"]
    return "\n".join(turns) or problem.prompt


def _numbers(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text)
    return sorted(_NUMBER.findall(_THOUSANDS.sub("", folded)))


def _fixed(problem: Problem) -> bytes:
    """All that must be equal in near duplicates, as one key."""
    asked = question(problem)
    answer = problem.answer or ""
    parts = [
        _numbers(asked),
        sorted(_OPERATOR.findall(asked.casefold())),
        _numbers(answer) or near.words(answer),
        problem.spec,
    ]
    return _canonical(parts).encode()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
