"""What a publication does about every fault at every request, and what a grown dataset costs.

    python -m benchmarks.publish [--mode lfs|parts|xet] [--out docs/publish-faults.md] [--json]

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
from typing import Any

from factory.markdown import table as markdown

PAGE = """\
# Publishing when something goes wrong

Every fault at every request that `factory publish` makes, one at a time, against the Hub double of
the tests; made by `python -m benchmarks.publish --out docs/publish-faults.md`. In all {trials}
trials the branch ends with {outcome}.

- `ok`: the command published, by itself.
- `again`: it gave up with advice, and the same command, given again without the fault, published.
- `twice`: a file travelled twice, because its storage did not say that it had arrived; the number
  is that of bytes.
- `-`: no such trial.

Protocols: `lfs` in one piece, `parts` in several, `xet` with the client's own chunking.

{table}

## A grown dataset

{first:,} problems with {rollouts} rollouts each were published by Xet, then {more:,} more were
appended to the ledger, and the dataset was made and published again: {new:.2f} MB of {whole:.2f} MB
travelled, {share:.1%} for {growth:.1%} more rows.
"""
FIRST, MORE, ROLLOUTS = 2000, 100, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", choices=["lfs", "parts", "xet"], help="this protocol alone")
    parser.add_argument("--out", type=Path, help="write both there, as Markdown")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as home:
        # Read when the client is imported.
        os.environ.update(HF_HOME=home, HF_HUB_DISABLE_PROGRESS_BARS="1")
        rows = table(given.mode)
        grown = growth()
    sums = Counter(row["result"].partition(":")[0] for row in rows)
    bad = [row for row in rows if not (row["commits"] == 1 and row["right"] and not row["third"])]
    print(f"{len(rows)} trials: {dict(sums)}; not exactly one right version: {len(bad)}")
    print(f"+{grown['growth']:.1%} rows: {grown['share']:.1%} of {grown['whole']:.2f} MB travelled")
    if given.out is not None:
        outcome = (
            f"a wrong state in {len(bad)}" if bad else "exactly one commit, of the right bytes"
        )
        text = PAGE.format(trials=len(rows), outcome=outcome, table=matrix(rows), **grown)
        given.out.write_text(text, encoding="utf-8")
    if given.json:
        said = {"trials": len(rows), "bad": len(bad), "results": sums, "growth": grown}
        print(json.dumps({**said, "rows": rows}))


def table(only: str | None) -> list[dict[str, Any]]:
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
                named = {"place": place, "fault": fault, "mode": mode, "result": result}
                rows.append({**asdict(found), **named})
                numbers = f"{found.commits:>7} {found.again:>6} {found.again_later:>5}"
                print(f"{place:<24} {fault:<15} {mode:<5} {numbers}  {result}", flush=True)
    return rows


def matrix(rows: list[dict[str, Any]]) -> str:
    """A line for each request and protocol, a column for each fault."""
    faults = list(dict.fromkeys(row["fault"] for row in rows))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        cell = "again" if row["refusal"] else "ok"
        if row["again"]:
            cell += f", twice {row['again']}"
        cells.setdefault((row["place"], row["mode"]), {})[row["fault"]] = cell
    lines = [(*key, *(found.get(fault, "-") for fault in faults)) for key, found in cells.items()]
    return markdown(("request", "protocol", *faults), lines)


def growth() -> dict[str, Any]:
    """What travels when a dataset is published again after it has grown at its end."""
    from tests.hub_double.trials import TOKEN, hub_in, push
    from tests.test_republish import make, sample

    with tempfile.TemporaryDirectory() as name, hub_in("xet", Path(name) / "hub") as hub:
        ledger, folder = Path(name) / "run" / "ledger", Path(name) / "run" / "dataset"
        sample(ledger, range(FIRST), ROLLOUTS)
        make(ledger, folder)
        push(folder)
        before = hub.store_of(TOKEN).stored_bytes
        sample(ledger, range(FIRST, FIRST + MORE), ROLLOUTS)
        whole = make(ledger, folder)
        push(folder)
        new = hub.store_of(TOKEN).stored_bytes - before
    return {
        "first": FIRST,
        "more": MORE,
        "rollouts": ROLLOUTS,
        "new": new / 1e6,
        "whole": whole / 1e6,
        "share": new / whole,
        "growth": MORE / FIRST,
    }


if __name__ == "__main__":
    main()
