"""A verifier on a file of rows: how one tries a verifier on one's own data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from factory import keys, plugins
from factory.changes import value_of
from factory.errors import PluginError
from factory.problems import BadRow, read
from factory.sources._row import Row
from factory.types import Completion, Problem, Reject, Rollout, Verdict
from factory.verdicts import Judge

_AT_ONCE = 256
_MAX_CHARS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row's verdict."""

    row: str
    """Line number in the file."""
    outcome: str
    """An Outcome, or `bad_row`."""
    reward: float | None = None
    extracted: str | None = None
    detail: str = ""
    expected: str | None = None
    """The row's own `outcome`, if it has one; `not_correct` allows all but `correct`."""

    @property
    def as_expected(self) -> bool:
        """Judged, and as the row expects where it says so."""
        if self.outcome == "bad_row":
            return False
        if self.expected is None:
            return self.outcome not in ("error", "timeout")
        if self.expected == "not_correct":
            return self.outcome != "correct"
        return self.outcome == self.expected


def options_from(verifier: str, changes: Sequence[str]) -> dict[str, Any]:
    """Options from `name=value` arguments, values as `factory run --set` takes them.

    Raises:
        PluginError: no such verifier, or a change has no `=`.
        RecipeError: a value is not YAML.
    """
    options = {}
    known = keys.hints(plugins.load("verifier", verifier))
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise PluginError(f"--set {change!r}: expected OPTION=VALUE")
        options[name] = value_of(value, known.get(name), f"--set {change!r}")
    return options


def judge_rows(
    verifier: str, options: dict[str, Any], path: Path, tier: str = "namespaces"
) -> Iterator[Line]:
    """A line per row of `path`, in order; a bad row is a line, not an error.

    Args:
        tier: the sandbox for what a model wrote, where the verifier runs it.

    Raises:
        PluginError: no such verifier, or options it does not take.
        SourceError: the file cannot be read.
    """
    plugins.build("verifier", verifier, options)
    source = plugins.build("source", "jsonl", {"path": str(path)})
    rows: Iterator[Row | Reject] = source.rows()
    with Judge({verifier: options}, default=verifier, sandbox={"tier": tier}) as judge:
        while chunk := list(islice(rows, _AT_ONCE)):
            yield from _judge_chunk(judge, verifier, chunk)


def _judge_chunk(judge: Judge, verifier: str, chunk: list[Row | Reject]) -> Iterator[Line]:
    read_rows = [_read(row, verifier) for row in chunk]
    pairs = [(item[0], item[1]) for item in read_rows if not isinstance(item, Line)]
    verdicts = iter(judge.judge_many(pairs))
    for item in read_rows:
        yield item if isinstance(item, Line) else _line(item, next(verdicts))


def _read(row: Row | Reject, verifier: str) -> tuple[Problem, Rollout, str, str | None] | Line:
    if isinstance(row, Reject):
        return Line(row=row.row, outcome="bad_row", detail=row.reason)
    number = str(row.number)
    completion = row.extra.get("completion")
    if not isinstance(completion, str):
        return Line(row=number, outcome="bad_row", detail=f"completion: no text, {completion!r}")
    try:
        problem = read(row, verifier, _MAX_CHARS)
    except BadRow as bad:
        return Line(row=number, outcome="bad_row", detail=str(bad))
    expected = row.extra.get("outcome")
    rollout = Rollout(
        problem_id=problem.id, index=0, model="", completion=Completion(text=completion)
    )
    return problem, rollout, number, expected if isinstance(expected, str) else None


def _line(item: tuple[Problem, Rollout, str, str | None], verdict: Verdict) -> Line:
    return Line(
        row=item[2],
        outcome=verdict.outcome.value,
        reward=verdict.reward,
        extracted=verdict.extracted,
        detail=verdict.detail,
        expected=item[3],
    )
