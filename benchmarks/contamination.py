"""How sure evaluation items are found: what the rules were tuned on, and what they were not.

    python -m benchmarks.contamination [--items 100] [--seed 1] [--json]

Copies of evaluation items are planted after edits, clean problems are set beside them: of the same
families, of others, and reasoning-gym's puzzles where that is installed, by seeds of their own.
`recall` is the share of the copies that are called one, `false_drops` that of the clean problems.
A problem that is an item with other numbers (`renumbered`) is clean; to call it a variant is right.
Figures of the `tuned` families show how well the rules fit, those of `held_out` what they are
worth: the families and edits of `benchmarks._heldout` were written after the rules.
"""

from __future__ import annotations

import argparse
import json

from benchmarks._planted import HELD_OUT, TUNED, Kind, corpus
from benchmarks.dedup import by_index, puzzles


def measure(kind: Kind, seed: int, items: int) -> dict[str, float | dict[str, str]]:
    """Shares over all copies and all clean problems, and how many of each sort were called."""
    made = corpus(seed, items, puzzles(6, 12, seed), kind)
    is_copy = by_index(made.items)
    called = {
        f"{group} {name}": [is_copy(text) for text in texts]
        for group, sorts in (("copy", made.copies), ("clean", made.clean))
        for name, texts in sorts.items()
    }
    copies, clean = (
        [one for name, found in called.items() if name.startswith(group) for one in found]
        for group in ("copy", "clean")
    )
    return {
        "items": len(made.items),
        "copies": len(copies),
        "clean": len(clean),
        "recall": sum(copies) / len(copies),
        "false_drops": sum(clean) / len(clean),
        "called": {name: f"{sum(found)} of {len(found)}" for name, found in called.items()},
    }


def main() -> None:
    """Measures both and prints them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--items", type=int, default=100, help="items per family")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    figures = {
        name: measure(kind, given.seed, given.items)
        for name, kind in (("tuned", TUNED), ("held_out", HELD_OUT))
    }
    for name, row in figures.items():
        print(name)
        for key, value in row.items():
            print(f"  {key:12} {value if isinstance(value, dict) else f'{value:.6g}'}")
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
