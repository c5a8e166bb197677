"""Writes the statements and the answers of known worth.

    python -m data.proofs.make [--out data/proofs]

A problem is a text (`texts/NAME.md`): what is asked, the Coq parts that say it, a solution, and
further answers that are right, wrong, or cannot be judged.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parent / "texts"
PARTS = ("Preamble", "Definitions", "Statement", "Axioms")
"""The sections that are no answers."""
ASK = """\
Prove it in Coq, as `{name}`. Lemmas of your own are welcome; state neither axioms nor recursive
functions, types or modules. Put the proof, or a file that ends in the theorem, into one ```coq
block at the end."""
THOUGHT = "I look at the goal, choose what to do induction on, and check every case."
_SECTION = re.compile(r"## ([^\n]*)\n\n```\w+\n(.*?)\n```\n", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One file of `texts/`."""

    name: str
    asked: str
    sections: list[tuple[str, str]]
    """Heading and content of every block, in order."""

    def part(self, heading: str) -> str:
        """The block under a heading; empty if there is none."""
        return next((content for title, content in self.sections if title == heading), "")

    @property
    def prompt(self) -> str:
        given = [self.part("Preamble"), self.part("Definitions")]
        statement = f"Theorem {self.name} : {self.part('Statement')}."
        code = "\n\n".join(filter(None, (*given, statement)))
        return f"{self.asked}\n\n```coq\n{code}\n```\n\n{ASK.format(name=self.name)}"

    @property
    def answers(self) -> list[tuple[str, str]]:
        """Heading and text of every answer."""
        return [section for section in self.sections if section[0] not in PARTS]


def read(name: str) -> Text:
    """The text of a problem."""
    text = (TEXTS / f"{name}.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n\n")
    assert title == f"# {name}", f"{name}.md begins with another title: {title}"
    asked = rest.partition("\n\n## ")[0].strip()
    return Text(name=name, asked=asked, sections=_SECTION.findall(rest))


def names() -> list[str]:
    """The problems, in the order in which they are written."""
    return sorted(path.stem for path in TEXTS.glob("*.md"))


def problem(name: str) -> dict[str, Any]:
    """A problem as a row."""
    text = read(name)
    spec: dict[str, Any] = {"system": "coq", "name": name}
    for heading in ("Preamble", "Definitions", "Statement", "Solution"):
        if content := text.part(heading):
            spec[heading.lower()] = content
    if axioms := text.part("Axioms"):
        spec["axioms"] = axioms.split()
    return {"prompt": text.prompt, "id": name, "domain": "math", "spec": spec}


def replies(name: str) -> dict[str, Any]:
    """What the scripted engine writes for a problem, right and wrong."""
    text = read(name)
    found = []
    for heading, content in text.answers:
        thought = heading.partition(": ")[2] or THOUGHT
        found.append(f"<think>\n{thought}\n</think>\n\nThe proof:\n\n```coq\n{content}\n```\n")
    found.append("<think>\nIt is plain.\n</think>\n\nThis follows by induction.")
    return {"prompt": text.prompt, "completions": found}


def lines(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def files() -> dict[str, str]:
    """Names and contents of what is written."""
    return {
        "problems.jsonl": lines(map(problem, names())),
        "replies.jsonl": lines(map(replies, names())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/proofs"))
    out: Path = parser.parse_args().out
    for name, text in files().items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
