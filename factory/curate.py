"""Groups of rollouts to a dataset folder: shards, card and manifest, all of them or none.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from factory.card import About, CardFacts, Counts, write_card
from factory.shards import ALL, DEFAULT, Origin, ShardWriter, sync, to_row
from factory.traces import Group, Selection, TraceOptions, select
from factory.types import Outcome, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class CurateResult:
    """What a dataset folder holds."""

    folder: Path
    shards: tuple[Shard, ...]
    counts: Counts


def curate(
    groups: Iterable[Group],
    folder: Path,
    options: TraceOptions,
    *,
    about: About,
    origin: Origin,
    shard_bytes: int = 500_000_000,
) -> CurateResult:
    """Writes the dataset and puts it in the place of an earlier one.

    The folder is complete at every moment: it is built beside its place and renamed. The same
    groups give the same bytes. Where no trace is accepted, `default` is one shard without rows,
    and the card says so.

    Args:
        groups: in the order of their problem ids.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.new")
    replaced = folder.with_name(f".{folder.name}.old")
    if replaced.exists() and not folder.exists():
        replaced.rename(folder)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        result = _build(groups, building, options, about, origin, shard_bytes)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    building.rename(folder)
    sync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return CurateResult(folder=folder, shards=result[0], counts=result[1])


def _build(
    groups: Iterable[Group],
    folder: Path,
    options: TraceOptions,
    about: About,
    origin: Origin,
    shard_bytes: int,
) -> tuple[tuple[Shard, ...], Counts]:
    tally = Tally()
    sampling = origin.sampling_json()
    previous = ""
    with (
        ShardWriter(folder, DEFAULT, shard_bytes=shard_bytes) as kept,
        ShardWriter(folder, ALL, shard_bytes=shard_bytes) as everything,
    ):
        for group in groups:
            if group.problem.id <= previous:
                raise ValueError(f"problem {group.problem.id} after {previous}: out of order")
            previous = group.problem.id
            selection = select(group, options)
            tally.add(group, selection)
            for trace in selection.all:
                everything.write(to_row(trace, origin, sampling=sampling))
            for trace in selection.kept:
                kept.write(to_row(trace, origin, sampling=sampling))
    shards = (*kept.shards, *everything.shards)
    counts = tally.counts()
    write_card(folder, CardFacts(about=about, counts=counts))
    if about.recipe:
        (folder / "recipe.yaml").write_text(about.recipe, encoding="utf-8")
    _write_manifest(folder, shards, counts, about, options)
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    return shards, counts


def _write_manifest(
    folder: Path,
    shards: tuple[Shard, ...],
    counts: Counts,
    about: About,
    options: TraceOptions,
) -> None:
    manifest: dict[str, Any] = {
        "shards": [asdict(shard) for shard in shards],
        "counts": asdict(counts),
        "rejects": about.rejects,
        "options": options.model_dump(mode="json"),
        "versions": about.versions,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


@dataclass(slots=True, kw_only=True)
class Tally:
    """Adds up what the selections came to."""

    sums: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    verifiers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    domains: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    rates: float = 0.0
    """Sum of the pass rates of the problems that have one."""
    rated: int = 0

    def add(self, group: Group, selection: Selection) -> None:
        """Counts one problem."""
        solved = 0
        for trace in selection.all:
            verdict, tokens = trace.verdict, trace.rollout.completion.num_tokens
            outcome = verdict.outcome.value if verdict.verifier else "not judged yet"
            self.outcomes[outcome] += 1
            if verdict.verifier:
                name = f"{verdict.verifier} {verdict.verifier_version}".strip()
                self.verifiers[name][outcome] += 1
            correct = verdict.outcome is Outcome.CORRECT
            solved |= correct
            self.sums.update(
                rollouts=1, tokens=tokens, correct=correct, judged=verdict.outcome.judged
            )
        if selection.all and (rate := selection.all[0].pass_rate) is not None:
            self.rates += rate
            self.rated += 1
        kept = len(selection.kept)
        kept_tokens = sum(trace.rollout.completion.num_tokens for trace in selection.kept)
        self.sums.update(problems=1, solved=solved, accepted=kept, accepted_tokens=kept_tokens)
        self.domains[group.problem.domain].update(problems=1, solved=solved, accepted=kept)
        self.dropped.update(selection.dropped)

    def counts(self) -> Counts:
        """The sums, in a stable order."""
        return Counts(
            **self.sums,
            pass_at_1=self.rates / self.rated if self.rated else None,
            outcomes=_sorted(self.outcomes),
            dropped=_sorted(self.dropped),
            verifiers={name: _sorted(self.verifiers[name]) for name in sorted(self.verifiers)},
            domains={name: _sorted(self.domains[name]) for name in sorted(self.domains)},
        )


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
