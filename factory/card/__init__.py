"""The dataset card: what was made, from what, how, and what was left out.

    facts.py     what it is written from      header.py   the YAML
    use.py       configs, trainers, columns   numbers.py  figures and plots
    left_out.py  rules and what they cost     making.py   sources, settings, licence
    limits.py    what the figures do not say

Each of the last five gives some of the parts that are set into the page here.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from factory.card import left_out, limits, making, numbers, use
from factory.card.facts import PLACEHOLDER, About, CardFacts, Counts
from factory.card.header import header_data, size_category
from factory.markdown import line

__all__ = [
    "PLACEHOLDER",
    "About",
    "CardFacts",
    "Counts",
    "card_text",
    "header_data",
    "size_category",
    "write_card",
]

NOTHING_ACCEPTED = """\
> **No trace was accepted.** The `default` config holds its schema and no row, which \
`load_dataset` takes with `streaming=True` only.

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

${notes}## Numbers

$numbers

$outcomes

$domains

## Verifiers

$verifiers

A verdict of `unsure`, `timeout` or `error` means that the checker could not tell: such a rollout \
counts neither as right nor as wrong, and is in no config that one trains on.

## Limits

$limits

## What was left out

Correct rollouts that are not in `default`, by the first rule that they break:

$left_out

### Repeats

$repeats

### Evaluation sets

$decontamination

### Rows of the sources that did not become problems

$rejects

## How it was made

Problems from:

$sources

Sampling:

$sampling

$prompt

${recipe}$versions

## Training on it

$trainers

## Columns

$columns

## Licence

$licence
""")


def write_card(folder: Path, facts: CardFacts) -> None:
    """Writes `README.md` into the dataset folder."""
    (folder / "README.md").write_text(card_text(facts), encoding="utf-8")


def card_text(facts: CardFacts) -> str:
    """The whole card: YAML header and Markdown body."""
    import yaml

    header = yaml.safe_dump(header_data(facts), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{BODY.substitute(_parts(facts))}"


def _parts(facts: CardFacts) -> dict[str, str]:
    return {
        "title": line(facts.about.title),
        "notice": "" if facts.counts.accepted else NOTHING_ACCEPTED,
        "model": line(facts.about.model),
        **use.section(facts),
        **numbers.section(facts),
        **limits.section(facts),
        **left_out.section(facts),
        **making.section(facts),
    }
