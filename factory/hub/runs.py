"""Several runs in one repository: whose files are whose, and a card that says so.

    README.md recipe.yaml manifest.json plots/    of the run that came first
    data/train-00000.parquet                      its shards
    data/train-RUN-00000.parquet                  those of a run that was appended
    runs/RUN/README.md recipe.yaml ...            its documents

A run is known by its recipe's name. Published again, it replaces what is its own and leaves the
others' alone; where the repository is another run's, the user says what is to happen.

Not here: the same rollouts in two runs are not found (`uuid` tells them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

import yaml
from huggingface_hub import RepoFile

from factory.errors import PublishError
from factory.hub.folder import CARD, MANIFEST, RECIPE, File, is_shard, sha256_of, split_of
from factory.hub.header import HEADER, check_fits
from factory.markdown import table

FOLDER = "runs"
NOTICE = re.compile(r"<!-- other runs -->\n.*?<!-- /other runs -->\n\n?", re.DOTALL)


class Other(StrEnum):
    """What to do where the repository is another run's."""

    REFUSE = "refuse"
    APPEND = "append"
    """Add the shards under names of their own, and touch no other run's."""
    REPLACE = "replace"
    """Remove the documents of every other run, and its shards in the splits that this one has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What the repository holds at one commit."""

    repo: str
    files: Mapping[str, RepoFile]
    read: Callable[[str], bytes]
    """The content of a small file."""

    @property
    def runs(self) -> list[str]:
        """Those that were appended."""
        found = (re.fullmatch(f"{FOLDER}/([^/]+)/{re.escape(MANIFEST)}", p) for p in self.files)
        return sorted(match[1] for match in found if match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the repository is to hold of a run."""

    files: list[File]
    delete: list[str]
    """What would otherwise stay behind of it, or of those that it replaces."""


def plan(files: list[File], tree: Tree, other: Other) -> Plan:
    """Where the files of a run go in a repository.

    Args:
        files: of the dataset folder, under the paths that they have there.

    Raises:
        PublishError: the repository is another run's, and that is refused or does not fit.
    """
    name = name_of(_content(files, RECIPE))
    first = _first(files, tree)
    if other is Other.REPLACE:
        stale = _left_behind(files, tree, ())
        return Plan(files=files, delete=stale + [p for p in tree.files if _is_document(p)])
    if first in (None, name):
        return Plan(
            files=_with_notice(files, tree, name, tree.runs),
            delete=_left_behind(files, tree, tree.runs),
        )
    if other is Other.REFUSE:
        whose = f"the run {first!r}" if first else "no run that is known"
        raise PublishError(
            f"{tree.repo} holds the shards of {whose}, and this is {name!r}: add its shards "
            "beside them with `--append`, put it in their place with `--replace`, or publish to "
            "another repository"
        )
    return _appended(files, tree, name, first or "")


def name_of(recipe: bytes | None) -> str:
    """The name in a recipe; empty where there is none."""
    try:
        data: Any = yaml.safe_load(recipe or b"")
    except (yaml.YAMLError, ValueError):
        return ""
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) else ""


def _first(files: Iterable[File], tree: Tree) -> str | None:
    """The run whose dataset the repository is; empty if unknown, None where no shard is there."""
    splits = {split_of(file.path) for file in files if file.is_shard}
    appended = _shards_of(tree.runs)
    there = (p for p in tree.files if is_shard(p) and split_of(p) in splits)
    if all(appended(path) for path in there):
        return None
    return name_of(tree.read(RECIPE)) if RECIPE in tree.files else ""


def _appended(files: list[File], tree: Tree, name: str, first: str) -> Plan:
    if not name:
        raise PublishError(f"only a run can be appended to {tree.repo}: there is no {RECIPE}")
    if CARD not in tree.files:
        raise PublishError(f"{tree.repo} holds shards and no {CARD}: nothing says what they are")
    moved = [_moved(file, name) for file in files]
    card = tree.read(CARD).decode("utf-8", "replace")
    own = (_content(files, CARD) or b"").decode("utf-8", "replace")
    check_fits(card, own, tree.repo, [file.path for file in moved if file.is_shard])
    (top,) = (file for file in files if file.path == CARD)
    top = _rewritten(top, card.encode())
    paths, is_own = {file.path for file in moved}, _shards_of([name])
    return Plan(
        files=_with_notice([*moved, top], tree, first, {*tree.runs, name}),
        delete=sorted(
            path
            for path in tree.files.keys() - paths
            if is_own(path) or path.startswith(f"{FOLDER}/{name}/")
        ),
    )


def _moved(file: File, run: str) -> File:
    """The file where it lies in a repository of several runs."""
    if file.path == MANIFEST:
        data = json.loads(_read(file))
        for shard in data["shards"]:
            shard["path"] = _path_of(shard["path"], run)
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        file = _rewritten(file, text.encode())
    return replace(file, path=_path_of(file.path, run))


def _path_of(path: str, run: str) -> str:
    if not is_shard(path):
        return f"{FOLDER}/{run}/{path}"
    pure = PurePosixPath(path)
    split, dash, number = pure.name.partition("-")
    return (pure.parent / f"{split}-{run}{dash}{number}").as_posix()


def _shards_of(runs: Iterable[str]) -> Callable[[str], bool]:
    """Tells from a shard's name whether one of these runs was appended with it."""
    names = "|".join(map(re.escape, runs)) or "(?!)"
    pattern = re.compile(rf"[^-]+-(?:{names})-\d+(-of-\d+)?\.parquet")
    return lambda path: pattern.fullmatch(PurePosixPath(path).name) is not None


def _is_document(path: str) -> bool:
    return path.startswith(f"{FOLDER}/")


def _left_behind(files: list[File], tree: Tree, keep: Iterable[str]) -> list[str]:
    """Shards of our splits that are neither ours nor of the runs to keep."""
    splits, is_kept = {split_of(file.path) for file in files if file.is_shard}, _shards_of(keep)
    others = [path for path in tree.files.keys() - {file.path for file in files} if is_shard(path)]
    return sorted(path for path in others if split_of(path) in splits and not is_kept(path))


def _with_notice(files: list[File], tree: Tree, first: str, runs: Iterable[str]) -> list[File]:
    """The files, the card among them naming the runs that were appended."""
    card = (_content(files, CARD) or b"").decode("utf-8", "replace")
    bare = NOTICE.sub("", card)
    lines = [_line(run, _manifest(files, tree, run)) for run in sorted(runs)]
    text = _noted(bare, first, lines) if lines else bare
    if text == card:
        return files
    return [_rewritten(f, text.encode()) if f.path == CARD else f for f in files]


def _noted(card: str, first: str, lines: list[tuple[str, str, str]]) -> str:
    speaks = f"the run `{first}`" if first else "the run that came first"
    listing = table(("run", "rows", "more about it"), lines)
    notice = (
        f"<!-- other runs -->\nThis card speaks of {speaks}. Its configs also hold the rows of "
        f"further runs (column `run_id`):\n\n{listing}\n<!-- /other runs -->\n\n"
    )
    header = HEADER.match(card)
    title = re.compile(r"^# .*\n+", re.MULTILINE).search(card, header.end() if header else 0)
    place = title.end() if title else header.end() if header else 0
    return card[:place] + notice + card[place:]


def _line(run: str, manifest: bytes) -> tuple[str, str, str]:
    try:
        rows = dict(json.loads(manifest)["configs"])
    except (ValueError, KeyError, TypeError):
        rows = {}
    counted = ", ".join(f"`{config}` {number}" for config, number in rows.items()) or "-"
    return f"`{run}`", counted, f"[its own card]({FOLDER}/{run}/{CARD})"


def _manifest(files: Iterable[File], tree: Tree, run: str) -> bytes:
    path = f"{FOLDER}/{run}/{MANIFEST}"
    ours = _content(files, path)
    return tree.read(path) if ours is None else ours


def _content(files: Iterable[File], path: str) -> bytes | None:
    return next(_contents(files, path), None)


def _contents(files: Iterable[File], path: str) -> Iterator[bytes]:
    return (_read(file) for file in files if file.path == path)


def _read(file: File) -> bytes:
    return file.location.read_bytes() if file.content is None else file.content


def _rewritten(file: File, content: bytes) -> File:
    return replace(file, content=content, size=len(content), sha256=sha256_of(content))
