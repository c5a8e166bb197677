"""How the dataset is loaded, read and trained on."""

from __future__ import annotations

from itertools import groupby

from factory.card.facts import CardFacts
from factory.configs.columns import described
from factory.configs.trainers import snippets
from factory.markdown import fence, table

STEPS = """\
In `stepwise` a step is called good while some rollout that shares the steps so far came out \
right, and bad where none did and, after what came before, this was no accident (5 %). A row ends \
where neither is sure, or too few rollouts share the step; `values` and `rollouts` hold the \
evidence.\
"""


def section(facts: CardFacts) -> dict[str, str]:
    """The parts of the card about its use."""
    return {
        "configs": table(("config", "rows", "one row is"), _configs(facts)),
        "loads": "\n".join(_loads(facts)),
        "steps": STEPS if any(c.name == "stepwise" for c in facts.configs) else "",
        "trainers": "\n\n".join(_trainers(facts)),
        "columns": table(("column", "type", "configs", "meaning"), described(facts.configs)),
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
