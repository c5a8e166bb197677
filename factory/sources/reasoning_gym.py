"""Problems written by reasoning-gym's generators, judged by their own scorers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from factory.errors import SourceError
from factory.sources._row import Row
from factory.types import Reject

UNREPEATABLE = frozenset(
    {"isomorphic_strings", "list_functions", "polynomial_multiplication", "ransom_note"}
)
"""Generators that iterate over sets of strings: the same seed asks something else in the next
process, so that a run could not be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Problems from reasoning-gym: a hundred generators, each with its scorer.

    A task is left out, and named, where its entries do not survive JSON (tuples become lists,
    nothing else may change), since they cross processes and are stored; or where its seed does
    not decide its problems.

    Example:
        {name: reasoning_gym, tasks: {gcd: {max_numbers: 3}, sudoku: {}}, size: 500, seed: 7}
    """

    tasks: dict[str, dict[str, Any]] | list[str] = field(default_factory=list)
    """Task names, or name -> options of its generator; empty for every task there is."""
    size: int = 100
    """Problems per task."""
    seed: int = 0
    """Of the generators: another one, other problems."""

    def rows(self) -> Iterator[Row | Reject]:
        """Every task's problems in turn.

        Raises:
            SourceError: reasoning-gym is not installed, or a task or an option does not exist.
        """
        tasks = dict.fromkeys(self.tasks) if isinstance(self.tasks, list) else self.tasks
        known = task_names()
        for task in tasks or known:
            if task not in known:
                raise SourceError(f"reasoning_gym: no task {task!r}; tasks: {', '.join(known)}")
        for task, options in (tasks or dict.fromkeys(known)).items():
            yield from self._task(task, options or {})

    def _task(self, task: str, options: dict[str, Any]) -> Iterator[Row | Reject]:
        if task in UNREPEATABLE:
            yield excluded(task, 1, "not_repeatable", "its seed does not decide its problems")
            return
        settings = {"size": self.size, "seed": self.seed} | options
        domain = category(task)
        for number, entry in enumerate(generate(task, settings), 1):
            stored = plain(entry)
            if flaw := changed(stored, entry):
                yield excluded(task, number, "not_json", flaw)
                return
            values = {
                "prompt": stored["question"],
                "answer": stored["answer"],
                "verifier": "reasoning_gym",
                "id": f"{task}-{settings['seed']}-{number - 1}",
                "domain": domain,
                "spec": {"task": task, "entry": stored},
            }
            yield Row(source="reasoning_gym", number=number, values=values)


def task_names() -> list[str]:
    """Every generator that works without further settings, sorted."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise SourceError(f"reasoning_gym: not installed (extra `gym`): {error}") from error
    return sorted(name for name in DATASETS if name != "composite")


def generate(task: str, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of a task.

    Raises:
        SourceError: the generator does not take the settings, or cannot meet them.
    """
    import reasoning_gym

    try:
        problems = reasoning_gym.create_dataset(task, **settings)
        for number in range(len(problems)):
            yield problems[number]
    except Exception as error:  # every generator has its own way to refuse
        raise SourceError(f"reasoning_gym: task {task!r}: {error}") from error


def category(task: str) -> str:
    """The family a task belongs to: algebra, games, logic, ..."""
    from reasoning_gym.factory import DATASETS

    return str(DATASETS[task][0].__module__.split(".")[1])


def plain(entry: Any) -> Any:
    """An entry as JSON gives it back; None where it cannot be written."""
    try:
        return json.loads(json.dumps(entry, allow_nan=False))
    except (TypeError, ValueError):
        return None


def changed(stored: Any, entry: Any) -> str:
    """What JSON did to an entry, beside making lists of tuples; empty for nothing."""
    if stored is None:
        return "its entries are not JSON"
    return "" if stored == _lists(entry) else "its entries change on the way through JSON"


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lists(item) for item in value]
    return value


def excluded(task: str, number: int, rule: str, flaw: str) -> Reject:
    """The rejection of a whole task."""
    reason = f"task {task!r} left out: {flaw}"
    return Reject(source="reasoning_gym", row=f"{task}-{number}", rule=rule, reason=reason)
