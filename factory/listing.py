"""What there is to choose from: plug-ins, their options, the keys of a recipe; `docs/recipe.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from factory import plugins
from factory.errors import PluginError
from factory.keys import Key, hints, keys
from factory.markdown import table

_WIDTH = 96
_HEADER = ("key", "takes", "default", "what it is")
_INTRO = """\
# The keys of a recipe

Made by `factory list --markdown` from the classes that read them; `factory list recipe` and
`factory list ROOM NAME` show the same. A plug-in is a mapping with its `name` and its options, as
`{name: fixed, n: 4}`; a plug-in of your own is named by its dotted path. `--set KEY.KEY=VALUE`
changes one key, items of a list by position (`sources.0.path=x.jsonl`). The value is YAML; where a
key takes text it is taken as it is, unless it stands in quotes.
"""
_VARY = (
    "Between the commands on one run may change: {vary}. Sources may be added at the end. Of an "
    "engine's options those may change that say where and how fast it works:"
)


def listing(room: str | None, name: str | None) -> Iterator[str]:
    """The lines of `factory list`: all plug-ins, those of a room, or the keys of one thing.

    Args:
        room: of `plugins.ROOMS`, or `recipe`.
        name: a plug-in of the room, or a section of the recipe.

    Raises:
        PluginError: there is no such room, plug-in or section.
    """
    if room == "recipe":
        yield from _recipe(name)
    elif room is not None and room not in plugins.ROOMS:
        known = ", ".join([*plugins.ROOMS, "recipe"])
        raise PluginError(f"nothing is listed under {room!r}; choices: {known}")
    elif room is not None and name is not None:
        yield f"{room} {name}: {plugins.summary(room, name)}"
        yield from _shown(keys(plugins.load(room, name)))
    else:
        for one in [room] if room is not None else plugins.ROOMS:
            yield f"{one}s" if not one.endswith("y") else f"{one[:-1]}ies"
            for plugin in plugins.names(one):
                yield f"  {plugin:<16} {plugins.summary(one, plugin)}"


def markdown() -> str:
    """The whole reference: every section of a recipe, every plug-in's options."""
    from factory.recipe import Recipe

    engines = [
        f"- `{name}`: {_quoted(plugins.load('engine', name).MAY_VARY)}"
        for name in plugins.names("engine")
    ]
    vary = textwrap.fill(_VARY.replace("{vary}", _quoted(Recipe.MAY_VARY)), _WIDTH + 4)
    parts = [_INTRO, vary, "", *engines, ""]
    parts += ["## Recipe\n", _table(_top(Recipe)), ""]
    for section, inside in _sections(Recipe):
        parts += [f"## `{section.name}`\n", f"{section.doc}\n", _table(inside), ""]
    for room in plugins.ROOMS:
        for name in plugins.names(room):
            cls = plugins.load(room, name)
            text = textwrap.dedent("    " + (cls.__doc__ or "")).strip()
            parts += [f"## {room} `{name}`\n", f"{text}\n", _table(keys(cls), "No options."), ""]
    return "\n".join(parts).rstrip()


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _recipe(name: str | None) -> Iterator[str]:
    from factory.recipe import Recipe

    if name is None:
        yield from _shown(keys(Recipe))
    elif name in hints(Recipe):
        yield from _shown(k for k in keys(Recipe) if k.name.partition(".")[0] == name)
    else:
        known = ", ".join(hints(Recipe))
        raise PluginError(f"a recipe has no section {name!r}; sections: {known}")


def _top(model: type[Any]) -> list[Key]:
    return [key for key in keys(model) if "." not in key.name]


def _sections(model: type[Any]) -> Iterator[tuple[Key, Sequence[Key]]]:
    """Every section with its keys."""
    for _, group in groupby(keys(model), lambda key: key.name.partition(".")[0]):
        head, *inside = group
        if inside:
            yield head, inside


def _shown(found: Iterable[Key]) -> Iterator[str]:
    for key in found:
        default = "required" if key.default is None else key.default and f"default {key.default}"
        yield f"  {key.name}: {key.kind}{default and f'; {default}'}"
        yield from textwrap.wrap(key.doc, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _table(found: Iterable[Key], nothing: str = "") -> str:
    rows = [
        (
            f"`{key.name}`",
            key.kind,
            "**required**" if key.default is None else key.default and f"`{key.default}`",
            key.doc,
        )
        for key in found
    ]
    return table(_HEADER, rows) if rows else nothing
