"""Runs what `trl COMMAND ...` launches, one command after the other in one process.

    python -m tests.trainers.scripts '[["dpo", "--dataset_name", ...], ...]'

Loading the libraries takes most of the time of a short training; this pays for it once.
"""

from __future__ import annotations

import importlib
import json
import sys


def main(commands: list[list[str]]) -> None:
    # An engine of the factory, not of these trainings: they would load it because it is there.
    sys.modules["vllm"] = None  # type: ignore[assignment]
    for name, *words in commands:
        print(f"== {name}", flush=True)
        script = importlib.import_module(f"trl.scripts.{name}")
        parsed = script.make_parser().parse_args_and_config(words, fail_with_unknown_args=True)
        script.main(*parsed)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
