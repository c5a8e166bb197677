"""Groups to parts: the rows that some neighbouring problems contribute to every config.

A part is what one worker makes. What it holds depends on its problems alone, so parts made side by
side and taken in order give the dataset that one process gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from factory.configs import chosen
from factory.contamination.hits import Mark
from factory.curation.parquet import Packed, Portion
from factory.curation.tally import Tally
from factory.errors import CurateError, FactoryError
from factory.shards import Origin
from factory.traces import Group, TraceOptions, select

GATHER_CHARS = 1_000_000
"""So much of what was sampled becomes rows, in all configs, before they are compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """By what every part of a dataset is made."""

    options: TraceOptions
    origin: Origin
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """What the evaluation sets say of problems, by id."""
    disputed: Set[str] = frozenset()
    """Ids of problems of which the sources hold another answer too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of neighbouring problems, and what their selections came to."""

    rows: Mapping[str, Packed]
    """By config, in the order of publication."""
    tally: Tally


class _Maker:
    """Makes one part."""

    def __init__(self, plan: Plan) -> None:
        self.size = 0
        """Characters and rollouts so far, about."""
        self._gathered = 0
        self._plan = plan
        self._configs = chosen(plan.options)
        self._portions = {config.name: Portion(config.schema) for config in self._configs}
        self._tally = Tally()

    def add(self, group: Group) -> None:
        """Takes one problem in.

        Raises:
            CurateError: something about this problem makes the code fail.
        """
        plan, problem = self._plan, group.problem
        try:
            mark, disputed = plan.marks.get(problem.id), problem.id in plan.disputed
            selection = select(group, plan.options, mark, disputed=disputed)
            self._tally.add(group, selection)
            for config in self._configs:
                for row in config.rows(selection, plan.origin, plan.options):
                    self._portions[config.name].add(row)
        except FactoryError:
            raise
        except Exception as error:
            raise CurateError(
                f"problem {problem.id} ({problem.source}:{problem.source_id}) cannot be curated: "
                f"{type(error).__name__}: {error}"
            ) from error
        for rollout, _ in group.judged:
            completion = rollout.completion
            self.size += 100 + len(completion.text) + len(completion.reasoning or "")
        if self.size >= self._gathered + GATHER_CHARS:
            self._gathered = self.size
            for portion in self._portions.values():
                portion.gather()

    def close(self) -> Part:
        return Part(
            rows={name: portion.close() for name, portion in self._portions.items()},
            tally=self._tally,
        )


def parts(groups: Iterable[Group], plan: Plan) -> Iterator[Part]:
    """All groups, some megabytes of rows at a time."""
    maker = _Maker(plan)
    for group in groups:
        maker.add(group)
        if maker.size >= GATHER_CHARS:
            yield maker.close()
            maker = _Maker(plan)
    yield maker.close()


def whole(groups: Iterable[Group], plan: Plan) -> Part:
    """All groups as one part."""
    maker = _Maker(plan)
    for group in groups:
        maker.add(group)
    return maker.close()
