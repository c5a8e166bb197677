"""How the dataset is loaded, read and trained on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from string import Template

from factory.card.facts import CardFacts
from factory.configs.columns import described
from factory.configs.trainers import snippets
from factory.markdown import count, fence, table

STEPS = """\
In `stepwise` a step is called good while some rollout that shares the steps so far came out \
right, and bad where none did and, after what came before, this was no accident (5 %). A row ends \
where neither is sure, or too few rollouts share the step; `values` and `rollouts` hold the \
evidence.\
"""
TASKS = """\
`rl` holds every problem that was sampled. Those that were always solved (`pass_rate` 1) or never \
(0) give a GRPO group no advantage, and a reference that no rollout ever reached may be wrong; \
where nothing could be judged `pass_rate` is null. \
`rl.filter(lambda row: 0 < (row["pass_rate"] or 0) < 1)` takes the others.\
"""
SINGLES = """\
`unpaired` holds $right right rows and $wrong wrong ones. A KTO trainer weighs the two evenly with \
`$option` (TRL's name) at $weight.\
"""


def section(facts: CardFacts) -> dict[str, str]:
    """The parts of the card about its use."""
    return {
        "configs": table(("config", "rows", "one row is"), _configs(facts)),
        "loads": "\n".join(_loads(facts)),
        "notes": "".join(f"{note}\n\n" for note in _notes(facts)),
        "trainers": "\n\n".join(_trainers(facts)),
        "columns": table(("column", "type", "configs", "meaning"), described(facts.configs)),
    }


def _notes(facts: CardFacts) -> Iterator[str]:
    """What has to be known of a config before one trains on it."""
    names = {config.name for config in facts.configs}
    right = facts.counts.accepted
    wrong = facts.rows.get("unpaired", 0) - right
    if "unpaired" in names and min(right, wrong) > 0:
        option = "desirable_weight" if wrong >= right else "undesirable_weight"
        yield Template(SINGLES).substitute(
            right=count(right),
            wrong=count(wrong),
            option=option,
            weight=f"{max(right, wrong) / min(right, wrong):.2g}",
        )
    if "rl" in names:
        yield TASKS
    if "stepwise" in names:
        yield STEPS


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
