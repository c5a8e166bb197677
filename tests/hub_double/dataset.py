"""Small dataset folders as `factory curate` leaves them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("uuid", "problem_id", "source", "source_id", "domain")],
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        *[(name, pa.string()) for name in ("model", "prompt_template", "sampling")],
        ("finish_reason", pa.string()),
        *[(name, pa.int32()) for name in ("prompt_tokens", "completion_tokens")],
        ("reasoning_tokens", pa.int32()),
        ("correct", pa.bool_()),
        ("score", pa.float32()),
        *[(name, pa.string()) for name in ("verifier", "verifier_version")],
        *[(name, pa.int16()) for name in ("generation_index", "num_generations")],
        ("pass_rate", pa.float32()),
        *[(name, pa.string()) for name in ("license", "run_id")],
    ]
)

CARD = """---
license: apache-2.0
configs:
- config_name: default
  default: true
  data_files: [{split: train, path: data/train-*}]
- config_name: all
  data_files: [{split: train, path: all/train-*}]
---

# Traces
"""
ONE = CARD.replace(
    """- config_name: all
  data_files: [{split: train, path: all/train-*}]
""",
    "",
)
"""The card of a dataset whose only config is the default one."""


def row(number: int) -> dict[str, Any]:
    answer = f"<think>\n{number} + {number}\n</think>\n\n\\boxed{{{2 * number}}}"
    turns = [("user", f"What is {number} + {number}?"), ("assistant", answer)]
    values = {name: f"{name} {number}" for name in SCHEMA.names}
    values |= {"messages": [{"role": role, "content": text} for role, text in turns]}
    values |= {f.name: number for f in SCHEMA if pa.types.is_integer(f.type)}
    values |= {"correct": True, "score": 1.0, "pass_rate": 0.5}
    return values


def write_dataset(
    folder: Path, shards: dict[str, range], card: str = CARD, *, run: str = ""
) -> Path:
    """A finished dataset folder; replaces what it held. Without a name, of no run in particular."""
    for old in folder.rglob("*.parquet"):
        old.unlink()
    listed = []
    for name, numbers in shards.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([row(n) for n in numbers], SCHEMA), path)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        size = {"num_rows": len(numbers), "num_bytes": len(data)}
        listed.append({"path": name, **size, "sha256": sha256})
    (folder / "README.md").write_text(card, encoding="utf-8")
    if run:
        (folder / "recipe.yaml").write_text(f"name: {run}\n", encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps({"shards": listed}), encoding="utf-8")
    return folder


TWO = {"data/train-00000.parquet": range(3), "all/train-00000.parquet": range(5)}
THREE = {**TWO, "data/train-00001.parquet": range(3, 6)}
