"""What a reader could take the figures for, and what they do not say."""

from __future__ import annotations

from collections.abc import Iterator

from factory.card.facts import CardFacts
from factory.curation import quality

REASONING = (
    "Verified is the final answer. The reasoning before it was not: it may hold wrong steps, and "
    "reach the answer all the same."
)
REFERENCES = (
    "A reply counts as right where it agrees with the reference, as its verifier reads both. "
    "References are those of the sources; each one passed its own verifier, but a wrong one that "
    "the model reproduced is not found out."
)
RATES = (
    "Pass rates, and pass@1 as their mean, are of the rollouts that were drawn. Where sampling "
    "stops at a success they lean upwards."
)
NO_PERSONAL = "Personal data were not looked for."


def section(facts: CardFacts) -> dict[str, str]:
    """The part of the card about what nobody checked."""
    return {"limits": "\n".join(f"- {limit}" for limit in _limits(facts))}


def _limits(facts: CardFacts) -> Iterator[str]:
    yield from (REASONING, REFERENCES, RATES)
    if "personal" not in quality.at_work(facts.options.quality):
        yield NO_PERSONAL
