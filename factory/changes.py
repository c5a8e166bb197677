"""YAML text, and changes to what it holds: `--set KEY.KEY=VALUE`."""

from __future__ import annotations

import contextlib
from typing import Any

import yaml

from factory import keys, plugins
from factory.errors import PluginError, RecipeError

_ROOMS = {"sources": "source", "engine": "engine", "policy": "policy", "verifiers": "verifier"}
"""Keys of a recipe that hold plug-ins."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is written twice is an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                problem = f"the key {key.value!r} is written twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        return node


def read_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; `where` names it in errors.

    Raises:
        RecipeError: it is not YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number out of range
        raise RecipeError(f"{where}: not YAML: {error}") from error
    except RecursionError:
        raise RecipeError(f"{where}: not YAML: nested too deeply") from None


def value_of(text: str, hint: Any, where: str) -> Any:
    """The value that a text stands for where a key has this type (None: it is not known).

    YAML; but where text is wanted it is taken as it is (`*.jsonl`, `no`, `007`), unless it is in
    quotes or, where there may be none, says `null`.
    """
    if hint is None or hint is Any or not keys.admits(hint, str):
        return read_yaml(text, where)
    if text in ("", "null", "~") and keys.admits(hint, type(None)):
        return None
    if text[:1] in ("'", '"'):
        with contextlib.suppress(RecipeError):
            if isinstance(value := read_yaml(text, where), str):
                return value
    return text


def apply(data: dict[str, Any], change: str, model: type[Any]) -> None:
    """Make one change to the data of a recipe, in place.

    Args:
        model: the recipe's class, which knows the types of its keys.

    Raises:
        RecipeError: it is no change, or leads nowhere.
    """
    path, equals, text = change.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise RecipeError(f"--set {change!r}: expected KEY.KEY=VALUE, for example policy.n=8")
    place: Any = data
    hints: list[Any] = [model]
    for name in names[:-1]:
        place = _child(place, name, change)
        hints = [_options(names[0], place), _inside(hints, name)]
    value = value_of(text, _inside(hints, names[-1]), f"--set {change!r}")
    if isinstance(place, list):
        place[_position(place, names[-1], change)] = value
    else:
        place[names[-1]] = value


def _inside(hints: list[Any], name: str) -> Any:
    found = (keys.inside(hint, name) for hint in hints)
    return next((hint for hint in found if hint is not None), None)


def _options(room: str, place: Any) -> type[Any] | None:
    """The class whose options a mapping holds, where it is that of a plug-in."""
    if room in _ROOMS and isinstance(place, dict) and isinstance(place.get("name"), str):
        with contextlib.suppress(PluginError):
            return plugins.load(_ROOMS[room], place["name"])
    return None


def _child(place: Any, key: str, change: str) -> Any:
    if isinstance(place, list):
        child = place[_position(place, key, change)]
    else:
        child = place.setdefault(key, {})
    if not isinstance(child, (dict, list)):
        raise RecipeError(f"--set {change!r}: {key!r} holds {child!r}, not a mapping")
    return child


def _position(place: list[Any], key: str, change: str) -> int:
    if not key.isdecimal() or int(key) >= len(place):
        raise RecipeError(f"--set {change!r}: {key!r} is no position in a list of {len(place)}")
    return int(key)
