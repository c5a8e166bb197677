"""A plug-in is found by the name of its file.

A room is a package (`factory.sources`, `factory.engines`, `factory.policies`, `verifiers`). Each
file in it defines one class named after the room: `Source`, `Engine`, `Policy`, `Verifier`. The
file's name is the plug-in's name in a recipe; the class is a dataclass and its fields are the
plug-in's options. A dotted path (`my_package.my_module`) names one from outside. There is no
registry: adding a plug-in is adding a file.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pkgutil
import sys
from typing import Any

import pydantic

from factory import keys
from factory.errors import FactoryError, PluginError

ROOMS = {
    "source": ("factory.sources", "Source"),
    "engine": ("factory.engines", "Engine"),
    "policy": ("factory.policies", "Policy"),
    "verifier": ("verifiers", "Verifier"),
}

# What pydantic says in Python's words, in those of YAML.
_PLAIN = {
    "model_type": "a mapping is wanted",
    "dataclass_type": "a mapping is wanted",
    "dict_type": "a mapping is wanted",
    "tuple_type": "a list is wanted",
    "list_type": "a list is wanted",
}
_LONGEST = 200


def names(room: str) -> list[str]:
    """The plug-ins of a room, sorted: every module in it without a leading underscore."""
    package = importlib.import_module(ROOMS[room][0])
    found = pkgutil.iter_modules(package.__path__)
    return sorted(m.name for m in found if not m.name.startswith("_") and not m.ispkg)


def load(room: str, name: str) -> type[Any]:
    """The class of a plug-in.

    Raises:
        PluginError: no such plug-in (the known ones are listed), its import failed, or what it
            defines is no dataclass.
    """
    package, class_name = ROOMS[room]
    if "." not in name and name not in names(room):
        known = ", ".join(names(room))
        raise PluginError(f"unknown {room} {name!r}; known: {known}; or a dotted module path")
    if not all(name.split(".")):
        raise PluginError(f"{room} {name!r}: a dotted module path is absolute, as `package.module`")
    path = name if "." in name else f"{package}.{name}"
    if "." in name and (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # a console script has its own folder there instead
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        raise PluginError(f"{room} {name!r} cannot be imported: {error}") from error
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # whatever its file does when it is run
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"{room} {name!r} cannot be imported: {reason}") from error
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type):
        raise PluginError(f"{room} {name!r}: {path} defines no class {class_name!r}")
    if not dataclasses.is_dataclass(cls):
        raise PluginError(f"{room} {name!r}: {path}.{class_name} is no dataclass")
    return cls


def summary(room: str, name: str) -> str:
    """First line of the plug-in's class docstring."""
    return (load(room, name).__doc__ or "").strip().partition("\n")[0]


def build(room: str, name: str, options: dict[str, Any]) -> Any:
    """Make a plug-in from its options, every option checked against the class's fields.

    Raises:
        PluginError: unknown plug-in, unknown option (the known ones are listed), bad value, or
            the class failed on them in a way of its own.
    """
    cls = load(room, name)
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}
    if unknown := sorted(set(options) - set(known)):
        choices = ", ".join(sorted(known)) or "none"
        raise PluginError(f"{room} {name!r} has no option {unknown[0]!r}; options: {choices}")
    try:
        if wrong := keys.stray_boolean(cls, options):
            raise PluginError(f"{room} {name!r}: {wrong}")
        return pydantic.TypeAdapter(cls).validate_python(options)
    except pydantic.ValidationError as error:
        raise PluginError(f"{room} {name!r}: {explain(error)}") from None
    except (FactoryError, MemoryError):
        raise
    except Exception as error:  # an annotation that pydantic cannot read, a check that fails
        raise PluginError(f"{room} {name!r}: {type(error).__name__}: {error}") from error


def explain(error: pydantic.ValidationError) -> str:
    """A validation error in one line: where, the rule, the value."""
    parts = []
    places = {item["loc"][:depth] for item in error.errors() for depth in range(len(item["loc"]))}
    for item in error.errors():
        if item["loc"] in places and item["type"] == "too_short":
            continue  # what a list lacks is what was wrong in it
        where = ".".join(str(p) for p in item["loc"])
        parts.append(f"{where}: {_rule(item)}" if where else _rule(item))
    return "; ".join(parts)


def _rule(item: Any) -> str:
    """The rule that was broken, with the value unless our own text has it already."""
    given, kind = item["input"], item["type"]
    if kind == "missing":
        return str(item["msg"])
    if kind == "too_short":
        return f"at least {item['ctx']['min_length']} wanted, got {item['ctx']['actual_length']}"
    if kind == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    if kind in ("model_type", "dataclass_type") and item["ctx"]["class_name"] == "Plugin":
        name = given if isinstance(given, str) else "NAME"
        said = f"a mapping with `name` is wanted, as {{name: {name}}}"
    else:
        said = _PLAIN.get(kind, item["msg"])
    text = repr(given)
    return f"{said}, got {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"
