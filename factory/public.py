"""What is published of the paths of one machine: their last part."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

_WITH_PATHS = ("sources", "engine", "decontaminate", "verifiers", "sandbox")
"""Sections of a recipe in which a text that is an absolute path is one."""


def name(path: str) -> str:
    """The base name of an absolute path; anything else as it is.

    Example:
        name("/home/me/sets/train-*.jsonl")  # -> "train-*.jsonl"
        name("data/train.jsonl")  # -> "data/train.jsonl"
    """
    if not os.path.isabs(os.path.expanduser(path)):
        return path
    return os.path.basename(path.rstrip("/")) or path


def names(value: Any) -> Any:
    """The same for every text in lists and mappings."""
    if isinstance(value, dict):
        return {key: names(held) for key, held in value.items()}
    if isinstance(value, list):
        return [names(held) for held in value]
    return name(value) if isinstance(value, str) else value


def merged(counts: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Counts by path, as they are published: those of paths with one name together."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path, held in counts.items():
        found[name(path)].update(held)
    return dict(found)


def settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's data as it is published."""
    return {k: names(held) if k in _WITH_PATHS else held for k, held in recipe.items()}
