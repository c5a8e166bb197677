"""Whether the card's YAML header makes `load_dataset` load the shards beside it.

The Hub checks a card too, but not whether its configs find any file; and what it refuses, it
refuses only after the repository has been made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from factory.errors import PublishError

HEADER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def check_card(card: Path, shards: Iterable[str]) -> None:
    """That the header is YAML, and that its configs cover the shards.

    Args:
        shards: paths relative to the card's folder.

    Raises:
        PublishError: with the file, the rule and the value.
    """
    header = _header(card.read_text(encoding="utf-8", errors="replace"), str(card))
    configs = header.get("configs")
    if not isinstance(configs, list) or not configs:
        raise PublishError(f"{card}: the header has no list `configs`: which shards are the rows?")
    shards, covered = list(shards), set()
    for config in configs:
        patterns = _patterns(card, config)
        name = config["config_name"]
        for pattern in patterns:
            matched = {path for path in shards if fnmatchcase(path, pattern)}
            if not matched:
                raise PublishError(f"{card}: config {name!r}: no shard matches {pattern!r}")
            covered |= matched
    if left := sorted(set(shards) - covered):
        raise PublishError(f"{card}: {left[0]} is in no config: nobody would load it")
    names = [config["config_name"] for config in configs]
    if "default" not in names and not any(config.get("default") is True for config in configs):
        raise PublishError(
            f"{card}: no config is the default one, and load_dataset(REPO) would fail: "
            f"give one of {', '.join(map(str, names))} `default: true`"
        )


def check_fits(there: str, ours: str, repo: str, shards: Iterable[str]) -> None:
    """That the rows of another run load together with those of a repository.

    Args:
        there: the card of the repository.
        ours: the card of the other run.
        shards: of the other run, under the paths that they are to have in the repository.

    Raises:
        PublishError: licences, configs or columns differ, or the card does not load the shards.
    """
    where = f"README.md of {repo}"
    base, own = _header(there, where), _header(ours, "README.md")
    if base.get("license") != own.get("license"):
        raise PublishError(
            f"{repo} is under {base.get('license')!r}, and these rows are under "
            f"{own.get('license')!r}: publish them to a repository of their own"
        )
    known, new = _configs(base, where), _configs(own, "README.md")
    for name in new:
        if name not in known:
            raise PublishError(
                f"{repo} has no config {name!r} (it has {', '.join(known)}): leave it out of "
                "`traces.configs`, or publish to a repository of its own"
            )
        if known[name][1] != new[name][1]:
            raise PublishError(
                f"config {name!r} of {repo} has other columns or types: one config has one "
                "schema; publish to a repository of its own"
            )
    patterns = [pattern for found, _ in known.values() for pattern in found]
    for shard in shards:
        if not any(fnmatchcase(shard, pattern) for pattern in patterns):
            raise PublishError(f"{where} has no config that would load {shard}")


def _configs(header: dict[str, Any], where: str) -> dict[str, tuple[list[str], Any]]:
    """Config -> patterns of its shards, and its columns where the header says them."""
    infos = header.get("dataset_info") or []
    infos = [infos] if isinstance(infos, dict) else infos
    columns = {i.get("config_name"): i.get("features") for i in infos if isinstance(i, dict)}
    return {
        str(config["config_name"]): (patterns, columns.get(config["config_name"]))
        for config in header.get("configs") or []
        if (patterns := _patterns(where, config))
    }


def _header(text: str, card: str) -> dict[str, Any]:
    found = HEADER.match(text)
    if not found:
        raise PublishError(f"{card} has no YAML header (between two lines `---`, at the top)")
    try:
        header = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PublishError(f"{card}: Invalid metadata: the header is not YAML: {reason}") from None
    if not isinstance(header, dict):
        kind = type(header).__name__
        raise PublishError(f"{card}: Invalid metadata: the header is a {kind}, not a mapping")
    return header


def _patterns(card: object, config: Any) -> list[str]:
    """The shards' patterns of one config, of all its splits."""
    try:
        name, files = config["config_name"], config["data_files"]
        if isinstance(files, str):
            return [files]
        paths = [entry["path"] if isinstance(entry, dict) else entry for entry in files]
    except (KeyError, TypeError):
        raise PublishError(
            f"{card}: a config is a mapping with config_name and data_files, got {config!r}"
        ) from None
    flat = [p for path in paths for p in (path if isinstance(path, list) else [path])]
    if not flat or not all(isinstance(pattern, str) for pattern in flat):
        raise PublishError(f"{card}: config {name!r}: data_files names no path: {files!r}")
    return flat
