"""What a publication does about every fault at every request, in a table.

    python -m benchmarks.publish [--mode lfs|parts|xet] [--json]

Against the Hub double of the tests. Commits: on the branch, when all is over. Again: bytes that
were uploaded although the Hub had them already, by the run that met the fault and by the runs
after it; a storage that does not answer is sent the file once more by the client itself.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", choices=["lfs", "parts", "xet"], help="this protocol alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as home:
        # Read when the client is imported.
        os.environ.update(HF_HOME=home, HF_HUB_DISABLE_PROGRESS_BARS="1")
        rows = table(given.mode)
    sums = Counter(row["result"].partition(":")[0] for row in rows)
    bad = [row for row in rows if not (row["commits"] == 1 and row["right"] and not row["third"])]
    print(f"{len(rows)} trials: {dict(sums)}; not exactly one right version: {len(bad)}")
    if given.json:
        print(json.dumps({"trials": len(rows), "bad": len(bad), "results": sums, "rows": rows}))


def table(only: str | None) -> list[dict[str, object]]:
    """Run all trials, printing as they end."""
    from tests.hub_double.trials import FAULTS, PLACES, try_fault

    head = ("request", "fault", "mode", "commits", "again", "later", "result")
    print("{:<24} {:<15} {:<5} {:>7} {:>6} {:>5}  {}".format(*head))
    rows = []
    for place, request in PLACES.items():
        for fault, what in FAULTS.items():
            for mode in [only] if only else request.modes:
                with tempfile.TemporaryDirectory() as folder:
                    found = try_fault(request, what, mode, Path(folder))
                if not found.struck:
                    continue  # a request of another protocol
                cut = found.refusal[:60]
                result = f"refused, then published: {cut}" if cut else "published"
                rows.append({**asdict(found), "result": result, "mode": mode})
                numbers = f"{found.commits:>7} {found.again:>6} {found.again_later:>5}"
                print(f"{place:<24} {fault:<15} {mode:<5} {numbers}  {result}", flush=True)
    return rows


if __name__ == "__main__":
    main()
