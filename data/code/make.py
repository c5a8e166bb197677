"""Writes the problem set and the replies of known worth.

    python -m data.code.make [--out data/code]

A problem is a text with its statement, a solution, further programs that are right or wrong, and a
checker where one is needed (`texts/NAME.md`), and its tests (`tests.py`).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.code.tests import TESTS

TEXTS = Path(__file__).parent / "texts"
ASK = "Put the program into one ```{language} block at the end."
RIGHT = "I read what is given, apply the definition, and check it on a small case."
_SECTION = re.compile(r"## ([^\n]*)\n\n```(\w+)\n(.*?)\n```\n", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One file of `texts/`."""

    statement: str
    sections: list[tuple[str, str, str]]
    """Heading, language and code of every block, in order."""

    @property
    def language(self) -> str:
        return self.sections[0][1]

    @property
    def prompt(self) -> str:
        return f"{self.statement}\n\n{ASK.format(language=self.language)}"

    def block(self, heading: str) -> str | None:
        """The first block under a heading."""
        return next((code + "\n" for name, _, code in self.sections if name == heading), None)


def read(name: str) -> Text:
    """The text of a problem."""
    text = (TEXTS / f"{name}.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n\n")
    assert title == f"# {name}", f"{name}.md begins with another title: {title}"
    statement = rest.partition("\n\n## ")[0].strip()
    return Text(statement=statement, sections=_SECTION.findall(rest))


def problem(name: str) -> dict[str, Any]:
    """A problem as a row."""
    text, (tests, spec) = read(name), TESTS[name]
    given: dict[str, Any] = {"tests": json.dumps(tests(), ensure_ascii=False), **spec}
    for field in ("solution", "checker"):
        if (code := text.block(field.capitalize())) is not None:
            given[field] = code
    return {"prompt": text.prompt, "id": name, "domain": "code", "spec": given}


def replies(name: str) -> dict[str, Any]:
    """What the scripted engine writes for a problem, right and wrong."""
    text = read(name)
    found = []
    for heading, language, code in text.sections:
        if heading != "Checker":
            thought = heading.partition(": ")[2] or RIGHT
            block = f"```{language}\n{code}\n```"
            found.append(f"<think>\n{thought}\n</think>\n\nThe program:\n\n{block}\n")
    found.append("<think>\nThe definition says it all.\n</think>\n\nI would print the answer.")
    return {"prompt": text.prompt, "completions": found}


def lines(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def files() -> dict[str, str]:
    """Names and contents of what is written."""
    return {
        "problems.jsonl": lines(map(problem, TESTS)),
        "replies.jsonl": lines(map(replies, TESTS)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/code"))
    out: Path = parser.parse_args().out
    for name, text in files().items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
