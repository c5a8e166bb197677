"""The published dataset in every trainer that can be had here: what ran, and what came of it.

    python -m benchmarks.trainers [--dataset docs/quickstart-dataset] [--steps 60]
                                  [--out docs/trainers.md] [--json]

Runs the tests in `tests/trainers` on that dataset, on the CPU with the tiny model: TRL trains,
the other trainers' own loaders read the rows as their commands would. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from factory.markdown import fence, table

HEAD = """\
# Trainers

What trainers did with `{dataset}`, published to the Hub double of the tests as `me/traces`, on a
CPU with `data/tiny_model`. Made by `python -m benchmarks.trainers`: the tests in `tests/trainers`
on that dataset, with {steps} steps: enough to see that it trains, not what it learns. TRL
trains; losses are means over the first and the last sixth of the steps, and its SFT takes the loss
over question and reply, where the tiny model has only ever learnt replies. Of axolotl,
LLaMA-Factory and verl the loaders run, in the versions of `constraints/loaders.txt`, under the
settings of the dataset card. verl's rewards are those of a right and a wrong answer to the first
problem, by this package's verifiers.

{table}

NeMo-RL, open-instruct and prime-rl cannot be installed from a package index (NeMo-RL's package
there is empty), so nothing of theirs ran. The rows are held against what NeMo-RL
(`docs/guides/sft.md`, `oai_format_dataset.py`), open-instruct (`docs/algorithms/finetune.md`) and
prime-rl (`docs/training.md`, `trainer/sft/data.py`) document, in
`tests/trainers/test_documents.py`.

## Commands
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, default=Path("docs/quickstart-dataset"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, help="write the table there, as Markdown")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = reports(given.dataset, given.steps)
    text = page(found, given.dataset, given.steps)
    if given.out is None:
        print(text)
    else:
        given.out.write_text(text, encoding="utf-8")
    if given.json:
        print(json.dumps({"steps": given.steps, "reports": found}))


def reports(dataset: Path, steps: int) -> list[dict[str, Any]]:
    """What the tests report, a line for each trainer and config."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "reports.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--timeout=900", "tests/trainers"],
            env={
                **os.environ,
                "TRAINERS_DATASET": str(dataset.resolve()),
                "TRAINERS_STEPS": str(steps),
                "TRAINERS_TABLE": str(path),
            },
            check=False,
            stdout=sys.stderr,
        )
        if done.returncode != 0:
            raise SystemExit(f"the tests failed ({done.returncode}); no table is made of that")
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(found, key=lambda line: line["trainer"] != "TRL")


def page(found: list[dict[str, Any]], dataset: Path, steps: int) -> str:
    """The reports as Markdown."""
    lines = [
        (r["trainer"], r["version"], f"`{r['config']}`", r["rows"], r["result"]) for r in found
    ]
    head = ("trainer", "version", "config", "rows", "result")
    parts = [HEAD.format(dataset=dataset, steps=steps, table=table(head, lines))]
    here = f"{Path.cwd()}/"
    for r in found:
        command = re.sub(r"/\S*pytest-of-\S*", "OUT", r["command"].replace(here, ""))
        parts.append(f"{r['trainer']} {r['version']}, `{r['config']}`:\n")
        parts.append(fence(command) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
