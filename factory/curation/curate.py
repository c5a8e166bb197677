"""Groups of rollouts to a dataset folder: shards, card and manifest, all of them or none.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from factory import plots
from factory.card import About, CardFacts, Counts, write_card
from factory.configs import CONFIGS, chosen
from factory.contamination.hits import Mark
from factory.curation.parquet import ROW_GROUP_BYTES, SHARD_BYTES, ShardWriter, lean
from factory.curation.parts import Part, Plan, parts
from factory.curation.tally import Tally
from factory.ledger.durable import sync
from factory.shards import DEFAULT, Origin
from factory.traces import Group, TraceOptions
from factory.types import Shard

NONE: Mapping[str, Mark] = {}
OWN = {"README.md", "manifest.json", "recipe.yaml", plots.FOLDER, *(c.folder for c in CONFIGS)}
"""What of a dataset folder is made here, and replaced; whatever else lies there stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurateResult:
    """What a dataset folder holds."""

    folder: Path
    shards: tuple[Shard, ...]
    counts: Counts


def curate(
    groups: Iterable[Group],
    folder: Path,
    options: TraceOptions,
    *,
    about: About,
    origin: Origin,
    shard_bytes: int = SHARD_BYTES,
    marks: Mapping[str, Mark] = NONE,
) -> CurateResult:
    """Writes the dataset of some groups, in this process.

    Args:
        groups: every problem once, in the order of publication. Rows keep it, so a dataset to
            which groups are added at the end shares its beginning with the earlier one.
        marks: what the evaluation sets say of problems, by id.

    Raises:
        CurateError: a problem makes the code fail; it is named.
    """
    plan = Plan(options=options, origin=origin, marks=marks)
    return write(parts(groups, plan), folder, options, about=about, shard_bytes=shard_bytes)


def write(
    made: Iterable[Part],
    folder: Path,
    options: TraceOptions,
    *,
    about: About,
    shard_bytes: int = SHARD_BYTES,
    row_group_bytes: int = ROW_GROUP_BYTES,
) -> CurateResult:
    """Writes the dataset of some parts and puts it in the place of an earlier one.

    The folder is complete at every moment: it is built beside its place and renamed, and what
    others have put there is moved into it. The same groups give the same bytes, however they were
    parted. A config without rows is not there at all, since it would not load; but `default` is
    then one shard without rows, and the card says so: were it missing, `load_dataset` would take
    another config for it.

    Args:
        made: in the order of publication.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.new")
    replaced = folder.with_name(f".{folder.name}.old")
    if replaced.exists() and not folder.exists():
        replaced.rename(folder)
    else:
        _hand_over(replaced, folder)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        result = _build(made, building, options, about, shard_bytes, row_group_bytes)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    building.rename(folder)
    _hand_over(replaced, folder)
    sync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return CurateResult(folder=folder, shards=result[0], counts=result[1])


def _hand_over(replaced: Path, folder: Path) -> None:
    """Moves what others have put into a replaced dataset folder to the one in its place."""
    for path in replaced.iterdir() if replaced.is_dir() else ():
        if path.name not in OWN and not (folder / path.name).exists():
            path.rename(folder / path.name)


def _build(
    made: Iterable[Part],
    folder: Path,
    options: TraceOptions,
    about: About,
    shard_bytes: int,
    row_group_bytes: int,
) -> tuple[tuple[Shard, ...], Counts]:
    tally = Tally()
    with ExitStack() as stack:
        stack.enter_context(lean())
        writers = [
            ShardWriter(
                folder,
                config,
                shard_bytes=shard_bytes,
                row_group_bytes=row_group_bytes,
                even_empty=config is DEFAULT,
            )
            for config in chosen(options)
        ]
        for writer in writers:
            stack.enter_context(writer)
        for part in made:
            tally.merge(part.tally)
            for writer in writers:
                writer.take(part.rows[writer.config.name])
    written = [writer for writer in writers if writer.shards]
    shards = tuple(shard for writer in written for shard in writer.shards)
    counts = tally.counts()
    rows = {w.config.name: sum(shard.num_rows for shard in w.shards) for w in written}
    configs = tuple(writer.config for writer in written)
    facts = CardFacts(
        about=about,
        counts=counts,
        configs=configs,
        rows=rows,
        plots=plots.write(folder, counts),
        options=options,
    )
    write_card(folder, facts)
    if about.recipe:
        (folder / "recipe.yaml").write_text(about.recipe, encoding="utf-8")
    _write_manifest(folder, shards, counts, rows, about, options)
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    return shards, counts


def _write_manifest(
    folder: Path,
    shards: tuple[Shard, ...],
    counts: Counts,
    rows: dict[str, int],
    about: About,
    options: TraceOptions,
) -> None:
    manifest: dict[str, Any] = {
        "configs": rows,
        "shards": [asdict(shard) for shard in shards],
        "counts": asdict(counts),
        "rejects": about.rejects,
        "kept_out": about.kept_out,
        "options": options.model_dump(mode="json"),
        "versions": about.versions,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
