"""The dataset card: what was made, from what, how, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from factory.configs.columns import described
from factory.configs.trainers import snippets
from factory.markdown import count, fence, image, line, ratio, table
from factory.shards import ALL, DEFAULT, Config

PLACEHOLDER = "NAMESPACE/NAME"
"""Stands in the snippets where the repository is not known."""

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")


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
    """Source -> rule -> rows set aside on the way in."""


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
    accepted_tokens: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Correct rollouts that were not kept: reason -> how many."""
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


def write_card(folder: Path, facts: CardFacts) -> None:
    """Writes `README.md` into the dataset folder."""
    (folder / "README.md").write_text(card_text(facts), encoding="utf-8")


def card_text(facts: CardFacts) -> str:
    """The whole card: YAML header and Markdown body."""
    import yaml

    header = yaml.safe_dump(header_data(facts), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{BODY.substitute(_parts(facts))}"


def header_data(facts: CardFacts) -> dict[str, Any]:
    """What the Hub and `load_dataset` read.

    Row counts are left out on purpose: a count that disagrees with the shards, even for the
    moment between two commits, makes the dataset unloadable.
    """
    import datasets

    about = facts.about
    data: dict[str, Any] = {
        "pretty_name": about.title,
        "license": about.license,
        "language": list(about.languages),
        "task_categories": ["text-generation"],
        "tags": _unique("reasoning", "chain-of-thought", "distillation", "synthetic", *about.tags),
        "size_categories": [size_category(facts.counts.accepted)],
        "annotations_creators": ["machine-generated"],
    }
    if about.source_datasets:
        data["source_datasets"] = list(about.source_datasets)
    data["configs"] = [
        {
            "config_name": config.name,
            **({"default": True} if config is facts.configs[0] else {}),
            "data_files": [{"split": "train", "path": f"{config.folder}/train-*"}],
        }
        for config in facts.configs
    ]
    data["dataset_info"] = [
        {
            "config_name": config.name,
            "features": datasets.Features.from_arrow_schema(config.schema)._to_yaml_list(),
        }
        for config in facts.configs
    ]
    return data


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return SIZES[min(max(len(str(rows)) - 3, 0), len(SIZES) - 1)]


def _unique(*values: str) -> list[str]:
    return list(dict.fromkeys(values))


NOTHING_ACCEPTED = """\
> **No trace was accepted.** The `default` config holds its schema and no row, which \
`load_dataset` takes with `streaming=True` only.

"""

STEPS = """\
In `stepwise` a step is called good while some rollout that shares the steps so far came out \
right, and bad where none did and, after what came before, this was no accident (5 %). A row ends \
where neither is sure, or too few rollouts share the step; `values` and `rollouts` hold the \
evidence.\
"""

BODY = Template("""\
# $title

${notice}Reasoning traces written by **$model**. Every row of the `default` config ends in an \
answer that a verifier found correct; nothing was kept on trust.

The reasoning stands inline, `<think>` … `</think>`, before the reply. `answer` is the reference, \
`pass_rate` the share of correct rollouts among those of the same problem that could be judged.

## Configs

$configs

```python
from datasets import load_dataset

$loads
```

$steps

## Numbers

$numbers

$plots

$outcomes

$domains

## Verifiers

$verifiers

A verdict of `unsure`, `timeout` or `error` means that the checker could not tell: such a rollout \
counts neither as right nor as wrong, and is in no config that one trains on.

## What was left out

Correct rollouts that are not in `default`:

$dropped

Rows of the sources that did not become problems:

$rejects

## How it was made

Problems from:

$sources

Sampling:

$sampling

$prompt

$recipe

$versions

## Training on it

$trainers

## Columns

$columns

## Licence

$licence
""")


def _parts(facts: CardFacts) -> dict[str, str]:
    about, counts = facts.about, facts.counts
    return {
        "title": line(about.title),
        "notice": "" if counts.accepted else NOTHING_ACCEPTED,
        "model": line(about.model),
        "configs": table(("config", "rows", "one row is"), _configs(facts)),
        "loads": "\n".join(_loads(facts)),
        "steps": STEPS if any(c.name == "stepwise" for c in facts.configs) else "",
        "plots": "\n\n".join(image(title, path) for title, path in facts.plots.items()),
        "trainers": "\n\n".join(_trainers(facts)),
        "columns": table(("column", "type", "configs", "meaning"), described(facts.configs)),
        "numbers": table(("", "count"), _numbers(counts)),
        "outcomes": table(("outcome", "rollouts"), counts.outcomes.items()),
        "domains": table(("domain", "problems", "solved", "traces"), _domains(counts)),
        "verifiers": table(("verifier", "correct", "judged", "could not tell"), _judges(counts)),
        "dropped": table(("reason", "rollouts"), counts.dropped.items()),
        "rejects": table(("source", "rule", "rows"), _rejects(about)),
        "sources": "\n".join(f"- {line(source)}" for source in about.sources) or "- not recorded",
        "sampling": table(("parameter", "value"), about.sampling.items()),
        "prompt": _prompt(about),
        "recipe": f"Recipe:\n\n{fence(about.recipe, 'yaml')}" if about.recipe else "",
        "versions": table(("package", "version"), about.versions.items()),
        "licence": f"`{about.license}`. The licences of the teacher and of the sources apply.",
    }


def _configs(facts: CardFacts) -> list[tuple[object, ...]]:
    return [(f"`{c.name}`", facts.rows.get(c.name, "-"), c.about) for c in facts.configs]


def _loads(facts: CardFacts) -> list[str]:
    lines = [f'traces = load_dataset("{facts.about.repo}", split="train")']
    for config in facts.configs[1:]:
        name = "rollouts" if config.name == "all" else config.name
        lines.append(f'{name} = load_dataset("{facts.about.repo}", "{config.name}", split="train")')
    return lines


def _trainers(facts: CardFacts) -> list[str]:
    parts = []
    found = snippets([config.name for config in facts.configs])
    for (trainer, url), group in groupby(found, lambda s: (s.trainer, s.url)):
        parts.append(f"### [{trainer}]({url})")
        last = ""
        for snippet in group:
            head = f"`{snippet.config}`. " if snippet.config != last else ""
            said = (head + snippet.said).strip()
            parts += filter(None, [said])
            parts.append(fence(snippet.filled(facts.about.repo), snippet.language))
            last = snippet.config
    return parts


def _numbers(counts: Counts) -> list[tuple[str, str]]:
    share = f" ({counts.solved / counts.problems:.1%})" if counts.problems else ""
    kept = f" ({counts.accepted / counts.rollouts:.1%} of all)" if counts.rollouts else ""
    return [
        ("problems", count(counts.problems)),
        ("problems solved", count(counts.solved) + share),
        ("rollouts", count(counts.rollouts)),
        ("rollouts judged", count(counts.judged)),
        ("rollouts correct", count(counts.correct)),
        ("traces accepted", count(counts.accepted) + kept),
        ("pass@1", "-" if counts.pass_at_1 is None else f"{counts.pass_at_1:.1%}"),
        ("tokens generated", count(counts.tokens)),
        ("tokens in accepted traces", count(counts.accepted_tokens)),
        ("tokens per accepted trace", ratio(counts.accepted_tokens, counts.accepted)),
        ("tokens generated per accepted trace", ratio(counts.tokens, counts.accepted)),
    ]


def _domains(counts: Counts) -> list[tuple[object, ...]]:
    columns = ("problems", "solved", "accepted")
    return [(name or "-", *map(of.get, columns)) for name, of in counts.domains.items()]


def _judges(counts: Counts) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, outcomes in counts.verifiers.items():
        judged = sum(outcomes.get(o, 0) for o in ("correct", "incorrect", "unparsable"))
        rows.append((name, outcomes.get("correct", 0), judged, sum(outcomes.values()) - judged))
    return rows


def _rejects(about: About) -> list[tuple[object, ...]]:
    return [
        (source, rule, rows)
        for source, rules in sorted(about.rejects.items())
        for rule, rows in sorted(rules.items())
    ]


def _prompt(about: About) -> str:
    parts = []
    if about.system:
        parts.append(f"System turn:\n\n{fence(about.system)}")
    if about.prompt_template != "{prompt}":
        parts.append(f"Prompt template:\n\n{fence(about.prompt_template)}")
    return "\n\n".join(parts) or "The problem was the whole prompt."
