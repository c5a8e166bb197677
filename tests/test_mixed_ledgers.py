"""A ledger of several versions: its dataset is right, or it is refused by file and field."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.card import About
from factory.curation import setwide
from factory.curation.curate import write
from factory.curation.parts import Plan
from factory.errors import LedgerError
from factory.ledger import Ledger
from factory.ledger.records import NUMBER, Record
from factory.ledger.segments import MAGIC
from factory.shards import Origin
from factory.traces import TraceOptions
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id

OPTIONS = TraceOptions(step_rollouts=2)
FIRST_COLUMNS = ["kind", "problem_id", "index", "outcome", "finish_reason", "num_tokens", "data"]
LATER = {
    Problem: ("messages", "spec", "domain", "metadata"),
    Rollout: ("seed", "replica", "restarts", "started_over", "doomed", "doomed_at", "branch"),
    Verdict: ("sandbox", "seconds", "replaces"),
}
"""Fields that a first version would not have had: those with a default."""


def records(number: int) -> list[Record]:
    """A problem, two rollouts of it, the first one right and the second one wrong."""
    problem = Problem(id=problem_id(f"q{number}"), prompt=f"q{number}", answer="1")
    found: list[Record] = [problem]
    for index, outcome in enumerate((Outcome.CORRECT, Outcome.INCORRECT)):
        text = f"So it is {index} of {number}."
        completion = Completion(text=text, num_tokens=9)
        found += [
            Rollout(problem_id=problem.id, index=index, model="m", completion=completion),
            Verdict(
                problem_id=problem.id,
                index=index,
                outcome=outcome,
                reward=1.0 - index,
                extracted=None,
                detail="",
                verifier="math",
                verifier_version="1",
            ),
        ]
    return found


def shaped(record: Record, **changes: Any) -> dict[str, Any]:
    """A record as an earlier version wrote it, with changes; a field set to `...` is left out."""
    values = msgspec.to_builtins(record)
    kept = {name: v for name, v in values.items() if name not in LATER[type(record)]}
    return {name: value for name, value in (kept | changes).items() if value is not ...}


def old_sealed(path: Path, found: list[tuple[Record, dict[str, Any]]]) -> None:
    """A sealed file as the first version wrote it: few columns, no checksums."""
    columns: dict[str, list[Any]] = {name: [] for name in FIRST_COLUMNS}
    for record, values in found:
        row = {
            "kind": type(record).__name__.lower(),
            "problem_id": values.get("problem_id", values.get("id")),
            "index": getattr(record, "index", None),
            "outcome": values.get("outcome"),
            "finish_reason": (values.get("completion") or {}).get("finish_reason"),
            "num_tokens": (values.get("completion") or {}).get("num_tokens"),
            "data": json.dumps(values),
        }
        for name, cell in row.items():
            columns[name].append(cell)
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd")


def old_log(path: Path, found: list[tuple[Record, dict[str, Any]]]) -> None:
    """A log as the first version wrote it: frames without commit marks."""
    path.parent.mkdir(exist_ok=True)
    data = MAGIC
    for record, values in found:
        body = bytes((NUMBER[type(record)],)) + msgspec.msgpack.encode(values)
        data += struct.pack("<II", len(body), zlib.crc32(body)) + body
    path.write_bytes(data)


def dataset(ledger: Path) -> dict[str, bytes]:
    plan = Plan(options=OPTIONS, origin=Origin(sampling=Sampling()))
    folder = ledger.with_name(f"{ledger.name}-dataset")
    about = About(title="t", model="m")
    write(setwide.made(ledger, plan, map, 400), folder, OPTIONS, about=about)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.parquet")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dataset of six problems that this version recorded."""
    folder = tmp_path_factory.mktemp("new") / "ledger"
    with Ledger(folder) as ledger:
        for record in [record for number in range(6) for record in records(number)]:
            ledger.append(record)
    return dataset(folder)


@pytest.mark.parametrize("goes_on", [False, True])
def test_old_files_beside_new_ones_give_the_dataset_of_new_ones(tmp_path, expected, goes_on):
    folder = tmp_path / "ledger"
    with Ledger(tmp_path / "new") as ledger:
        for record in records(4):
            ledger.append(record)
        ledger.seal()
    old_sealed(folder / "000001.parquet", [(r, shaped(r)) for n in (0, 1) for r in records(n)])
    old_log(folder / "000002.log", [(r, shaped(r)) for n in (2, 3) for r in records(n)])
    (tmp_path / "new" / "000001.parquet").rename(folder / "000003.parquet")
    (tmp_path / "new" / "000002.log").rename(folder / "000004.log")
    if goes_on:  # with a new writer, which seals and puts together what the old one left
        with Ledger(folder) as ledger:
            for record in records(5):
                ledger.append(record)
    else:
        old_log(folder / "000004.log", [(r, shaped(r)) for r in records(5)])
        columns = [len(pq.read_schema(path).names) for path in sorted(folder.glob("*.parquet"))]
        assert columns[0] == len(FIRST_COLUMNS) < columns[1]
    assert dataset(folder) == expected
    shard = folder.with_name("ledger-dataset") / "data/train-00000.parquet"
    assert pq.read_metadata(shard).num_rows == 6


@pytest.mark.parametrize("form", [old_sealed, old_log])
def test_fields_that_are_unknown_now_make_no_difference(tmp_path, expected, form):
    name = "000001.parquet" if form is old_sealed else "000001.log"
    found = [(r, shaped(r, mood="curious", notes={"a": [1]})) for n in range(6) for r in records(n)]
    form(tmp_path / "ledger" / name, found)
    assert dataset(tmp_path / "ledger") == expected


@pytest.mark.parametrize("form", [old_sealed, old_log])
@pytest.mark.parametrize(
    ("which", "changes", "said"),
    [
        (2, {"verifier_version": ...}, r"verdict: .*`verifier_version`"),
        (1, {"completion": ...}, r"rollout: .*`completion`"),
        (0, {"prompt": ...}, r"problem: .*`prompt`"),
        (2, {"outcome": "splendid"}, r"verdict: .*'splendid'.*`\$\.outcome`"),
        (1, {"index": "first"}, r"rollout: .*`int`.*`\$\.index`"),
    ],
)
def test_what_this_version_cannot_read_is_refused_by_file_and_field(
    tmp_path, form, which, changes, said
):
    name = "000001.parquet" if form is old_sealed else "000001.log"
    found = [(r, shaped(r)) for n in range(3) for r in records(n)]
    record = found[5 + which][0]
    found[5 + which] = (record, shaped(record, **changes))
    form(tmp_path / "ledger" / name, found)
    with pytest.raises(LedgerError, match=rf"{name}\b.*no readable record.*{said}"):
        dataset(tmp_path / "ledger")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]
