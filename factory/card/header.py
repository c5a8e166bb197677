"""The card's YAML: what the Hub and `load_dataset` read."""

from __future__ import annotations

from typing import Any

from factory.card.facts import CardFacts

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")


def header_data(facts: CardFacts) -> dict[str, Any]:
    """What the Hub and `load_dataset` read.

    Row counts are left out on purpose: a count that disagrees with the shards, even for the
    moment between two commits, makes the dataset unloadable.
    """
    import datasets

    about = facts.about
    data: dict[str, Any] = {
        "pretty_name": about.title,
        "license": about.license,
        "language": list(about.languages),
        "task_categories": ["text-generation"],
        "tags": _unique("reasoning", "chain-of-thought", "distillation", "synthetic", *about.tags),
        "size_categories": [size_category(facts.counts.accepted)],
        "annotations_creators": ["machine-generated"],
    }
    if about.source_datasets:
        data["source_datasets"] = list(about.source_datasets)
    data["configs"] = [
        {
            "config_name": config.name,
            **({"default": True} if config is facts.configs[0] else {}),
            "data_files": [{"split": "train", "path": f"{config.folder}/train-*"}],
        }
        for config in facts.configs
    ]
    data["dataset_info"] = [
        {
            "config_name": config.name,
            "features": datasets.Features.from_arrow_schema(config.schema)._to_yaml_list(),
        }
        for config in facts.configs
    ]
    return data


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return SIZES[min(max(len(str(rows)) - 3, 0), len(SIZES) - 1)]


def _unique(*values: str) -> list[str]:
    return list(dict.fromkeys(values))
