"""What a dataset card is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from factory.report.aborts import Found
from factory.shards import ALL, DEFAULT, Config
from factory.traces import TraceOptions

PLACEHOLDER = "NAMESPACE/NAME"
"""Stands in the snippets where the repository is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the recipe says about the dataset."""

    title: str
    model: str
    """The teacher, with its revision where it has one."""
    repo: str = PLACEHOLDER
    license: str = "unknown"
    """Hub identifier; it has to follow from the licences of teacher and sources."""
    languages: tuple[str, ...] = ("en",)
    tags: tuple[str, ...] = ()
    """Beside those that every dataset of this kind bears."""
    sources: tuple[str, ...] = ()
    """One line each: where the problems come from."""
    source_datasets: tuple[str, ...] = ()
    """Those of them that are Hub ids."""
    prompt_template: str = "{prompt}"
    system: str = ""
    """System turn that every conversation starts with; empty for none."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    """The resolved recipe, YAML as it stands in the run folder."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package -> version."""
    rejects: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Source -> rule -> rows rejected on the way in, and problems given up."""
    near_duplicates: float | None = None
    """Jaccard index from which on a problem was set aside as a repeat; None: only equal ones."""
    eval_sets: Mapping[str, str] = field(default_factory=dict)
    """What the problems were compared with: name -> place."""
    comparison: str = ""
    """How, in a line."""
    kept_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Evaluation set -> method -> problems that were set aside before any was sampled."""
    aborts: Mapping[str, Found] = field(default_factory=dict)
    """Detector -> what it found; empty where none was on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a run came to, in numbers."""

    problems: int = 0
    solved: int = 0
    """Problems with at least one correct rollout."""
    rollouts: int = 0
    """Those that came to an end."""
    judged: int = 0
    correct: int = 0
    accepted: int = 0
    """Rows of `default`."""
    pass_at_1: float | None = None
    """Mean of the problems' pass rates; None where nothing could be judged."""
    tokens: int = 0
    """Generated in all rollouts."""
    forks: int = 0
    """Rollouts that began with another one's tokens."""
    shared_tokens: int = 0
    """Those tokens: they were generated once, and are not counted again."""
    accepted_tokens: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Correct rollouts that were not kept: rule -> how many."""
    dropped_tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens generated for them, by rule."""
    withheld: Mapping[str, int] = field(default_factory=dict)
    """Rollouts, right or wrong, whose text no config shows: rule -> how many."""
    barred: Mapping[str, int] = field(default_factory=dict)
    """Problems of which no config that one trains on has anything: rule -> how many."""
    contamination: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Evaluation set -> method and what was done (`ngram, flagged`) -> problems that were sampled
    and that the set has."""
    verifiers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Verifier and version -> outcome -> how many."""
    domains: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Domain -> `problems`, `solved`, `accepted`."""
    pass_rates: Mapping[str, int] = field(default_factory=dict)
    """Share of right rollouts -> problems."""
    lengths: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Generated tokens, rounded down to a power of two -> `accepted`, `not accepted`."""
    token_fates: Mapping[str, int] = field(default_factory=dict)
    """What became of rollouts -> tokens generated for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """All that a card is written from."""

    about: About
    counts: Counts
    configs: tuple[Config, ...] = (DEFAULT, ALL)
    """Those that have rows; the first one is what `load_dataset` takes by default."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Config -> rows."""
    plots: Mapping[str, str] = field(default_factory=dict)
    """Title -> file in the dataset folder."""
    options: TraceOptions = field(default_factory=TraceOptions)
    """By which rules traces were kept."""
