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
import pkgutil
from typing import Any

import pydantic

from factory.errors import FactoryError, PluginError

ROOMS = {
    "source": ("factory.sources", "Source"),
    "engine": ("factory.engines", "Engine"),
    "policy": ("factory.policies", "Policy"),
    "verifier": ("verifiers", "Verifier"),
}


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
    for item in error.errors():
        where = ".".join(str(p) for p in item["loc"]) or "value"
        value = "" if item["type"] == "missing" else f", got {item['input']!r}"
        parts.append(f"{where}: {item['msg']}{value}")
    return "; ".join(parts)
