"""Groups of rollouts to a dataset folder: shards, card and manifest, all of them or none.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from factory import plots
from factory.card import About, CardFacts, Counts, write_card
from factory.configs import chosen
from factory.shards import DEFAULT, Origin, ShardWriter, sync
from factory.traces import Group, Selection, TraceOptions, select
from factory.types import Outcome, Shard, Trace


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
    groups give the same bytes. A config without rows is not there at all, since it would not load;
    but `default` is then one shard without rows, and the card says so: were it missing,
    `load_dataset` would take another config for it.

    Args:
        groups: every problem once, in the order of publication. Rows keep it, so a dataset to
            which groups are added at the end shares its beginning with the earlier one.
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
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                ShardWriter(folder, config, shard_bytes=shard_bytes, even_empty=config is DEFAULT)
            )
            for config in chosen(options)
        ]
        for group in groups:
            selection = select(group, options)
            tally.add(group, selection)
            for writer in writers:
                for row in writer.config.rows(selection, origin, options):
                    writer.write(row)
    written = [writer for writer in writers if writer.shards]
    shards = tuple(shard for writer in written for shard in writer.shards)
    counts = tally.counts()
    rows = {w.config.name: sum(shard.num_rows for shard in w.shards) for w in written}
    configs = tuple(writer.config for writer in written)
    facts = CardFacts(
        about=about, counts=counts, configs=configs, rows=rows, plots=plots.write(folder, counts)
    )
    write_card(folder, facts)
    if about.recipe:
        (folder / "recipe.yaml").write_text(about.recipe, encoding="utf-8")
    _write_manifest(folder, shards, counts, rows, about, options)
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    return shards, counts


def _write_manifest(
    folder: Path,
    shards: tuple[Shard, ...],
    counts: Counts,
    rows: dict[str, int],
    about: About,
    options: TraceOptions,
) -> None:
    manifest: dict[str, Any] = {
        "configs": rows,
        "shards": [asdict(shard) for shard in shards],
        "counts": asdict(counts),
        "rejects": about.rejects,
        "options": options.model_dump(mode="json"),
        "versions": about.versions,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


FATES = ("accepted", "right, left out", "wrong", "could not tell")
OTHER = "not accepted"
RATES = ("0%", *(f"\u2264{upper}%" for upper in range(10, 100, 10)), "<100%", "100%")
"""Bars of the histogram: none right, shares up to a bound, all right."""


def rate_label(rate: float) -> str:
    """The bar that a pass rate belongs to."""
    return RATES[-1] if rate >= 1 else RATES[math.ceil(round(rate * 10, 6))]


def fate(trace: Trace) -> str:
    """What became of the tokens of a rollout that was not accepted."""
    if trace.verdict.outcome is Outcome.CORRECT:
        return "right, left out"
    return "wrong" if trace.verdict.outcome.judged else "could not tell"


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
    pass_rates: Counter[str] = field(default_factory=Counter)
    lengths: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    fates: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group, selection: Selection) -> None:
        """Counts one problem."""
        solved = 0
        kept = {trace.rollout.index for trace in selection.kept}
        for trace in selection.all:
            verdict, tokens = trace.verdict, trace.rollout.completion.num_tokens
            outcome = verdict.outcome.value if verdict.verifier else "not judged yet"
            self.outcomes[outcome] += 1
            accepted = trace.rollout.index in kept
            self.fates["accepted" if accepted else fate(trace)] += tokens
            self.lengths[1 << tokens.bit_length() >> 1]["accepted" if accepted else OTHER] += 1
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
            self.pass_rates[rate_label(rate)] += 1
        kept_tokens = sum(trace.rollout.completion.num_tokens for trace in selection.kept)
        self.sums.update(problems=1, solved=solved, accepted=len(kept), accepted_tokens=kept_tokens)
        self.domains[group.problem.domain].update(problems=1, solved=solved, accepted=len(kept))
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
            pass_rates={label: self.pass_rates[label] for label in RATES},
            lengths={str(low): _sorted(self.lengths[low]) for low in self._lows()},
            token_fates={name: self.fates[name] for name in FATES},
        )

    def _lows(self) -> list[int]:
        """Every power of two from the shortest rollouts' to the longest ones'."""
        top = max(self.lengths, default=0)
        powers = [0, *(1 << n for n in range(top.bit_length()))]
        return [low for low in powers if low >= min(self.lengths)] if self.lengths else []


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
