"""Faulty versions of the program, which the harness must find out.

Each is a way to forget something that the safety of a run rests on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from factory.ledger import Ledger
from factory.types import Rollout, Verdict
from tests.chaos.disk import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One faulty program."""

    name: str
    swallow: Callable[[Op], bool] = lambda op: False
    """Calls to the disk that it forgets."""
    mutate: Callable[[], Any] | None = None
    """Other changes; made in a process of its own."""
    symptom: str = "lost"
    """What a trial must find: lost, repeated, or wrong."""


def _unsynced(end: str) -> Callable[[Op], bool]:
    return lambda op: op.kind == "fsync" and op.path.endswith(end)


def _acts_before_it_commits() -> None:
    """Every second commit waits for the next one."""
    commit, calls = Ledger.commit, [0]

    def lazy(self: Ledger) -> None:
        calls[0] += 1
        if calls[0] % 2:
            commit(self)

    Ledger.commit = lazy  # type: ignore[method-assign]


def _never_commits_in_time() -> None:
    """Records are collected until there are many."""
    commit, append, held = Ledger.commit, Ledger.append, [0]

    def counted(self: Ledger, record: Any) -> None:
        held[0] += 1
        append(self, record)

    def rare(self: Ledger) -> None:
        if held[0] >= 12:
            held[0] = 0
            commit(self)

    Ledger.append, Ledger.commit = counted, rare  # type: ignore[method-assign]


def _repeats(kind: type[Any]) -> Callable[[], None]:
    def mutate() -> None:
        append, seen = Ledger.append, [0]

        def twice(self: Ledger, record: Any) -> None:
            append(self, record)
            if isinstance(record, kind):
                seen[0] += 1
                if seen[0] == 4:
                    append(self, record)

        Ledger.append = twice  # type: ignore[method-assign]

    return mutate


def _forgets(kind: type[Any]) -> Callable[[], None]:
    def mutate() -> None:
        append, seen = Ledger.append, [0]

        def sometimes(self: Ledger, record: Any) -> None:
            seen[0] += isinstance(record, kind)
            if not (isinstance(record, kind) and seen[0] == 4):
                append(self, record)

        Ledger.append = sometimes  # type: ignore[method-assign]

    return mutate


MUTANTS = (
    Mutant(name="a log is never synced", swallow=_unsynced(".log")),
    Mutant(name="the ledger's folder is never synced", swallow=_unsynced("ledger")),
    Mutant(
        name="a sealed file is not synced before its log goes",
        swallow=lambda op: op.path.startswith("ledger/") and _unsynced(".tmp")(op),
        symptom="wrong",
    ),
    Mutant(name="every second commit is put off", mutate=_acts_before_it_commits),
    Mutant(name="commits wait for company", mutate=_never_commits_in_time),
    Mutant(name="a rollout is not written", mutate=_forgets(Rollout)),
    Mutant(name="a rollout is written twice", mutate=_repeats(Rollout), symptom="repeated"),
    Mutant(name="a verdict is written twice", mutate=_repeats(Verdict), symptom="repeated"),
    Mutant(
        name="the recipe is renamed before it is synced",
        swallow=lambda op: op.kind == "fsync" and "recipe.yaml" in op.path,
        symptom="wrong",
    ),
)
