"""How the dataset was made: from what, by whom, with which settings."""

from __future__ import annotations

from factory.card.facts import About, CardFacts
from factory.markdown import fence, line, table


def section(facts: CardFacts) -> dict[str, str]:
    """The parts of the card about its origin."""
    about = facts.about
    return {
        "sources": "\n".join(f"- {line(source)}" for source in about.sources) or "- not recorded",
        "sampling": table(("parameter", "value"), about.sampling.items()),
        "prompt": _prompt(about),
        "recipe": _recipe(about),
        "versions": table(("package", "version"), about.versions.items()),
        "licence": f"`{about.license}`. The licences of the teacher and of the sources apply.",
    }


def _recipe(about: About) -> str:
    """Folded up, since it is long."""
    if not about.recipe:
        return ""
    head = (
        "`recipe.yaml`, beside this card, is what `factory run` was given; `manifest.json` has the "
        "figures, and the SHA-256 of every shard."
    )
    code = fence(about.recipe, "yaml")
    return f"{head}\n\n<details><summary>Recipe</summary>\n\n{code}\n\n</details>\n\n"


def _prompt(about: About) -> str:
    parts = []
    if about.system:
        parts.append(f"System turn:\n\n{fence(about.system)}")
    if about.prompt_template != "{prompt}":
        parts.append(f"Prompt template:\n\n{fence(about.prompt_template)}")
    return "\n\n".join(parts) or "The problem was the whole prompt."
