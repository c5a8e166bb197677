"""What the keys of a recipe are: type, default and docstring, read from the classes themselves.

A section is a pydantic model or a dataclass; a plug-in's options are the fields of its dataclass.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
import pydantic_core
import yaml

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    dict: "mapping",
    Any: "anything",
    type(None): "null",
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a section, or one option of a plug-in."""

    name: str
    """Dotted, where it lies in a section of the section."""
    kind: str
    """What it takes, in words."""
    default: str | None
    """As YAML, empty for a section; None: it has to be given."""
    doc: str
    """The docstring under the field, on one line; empty where its name says it all."""


def hints(cls: type[Any]) -> dict[str, Any]:
    """Type of every key that a section or plug-in takes; empty for any other class."""
    if issubclass(cls, pydantic.BaseModel):
        return {name: info.annotation for name, info in cls.model_fields.items()}
    if not dataclasses.is_dataclass(cls):
        return {}
    resolved = typing.get_type_hints(cls)
    return {f.name: resolved[f.name] for f in dataclasses.fields(cls) if f.init}


def keys(cls: type[Any], inside: str = "") -> Iterator[Key]:
    """Every key in order; those of a section in it behind the key that holds it.

    Args:
        inside: prefix of the names.
    """
    docs = _docs(cls)
    defaults = _defaults(cls)
    for name, hint in hints(cls).items():
        part, listed = _section(hint)
        yield Key(
            name=inside + name,
            kind=kind(hint) + _bounds(cls, name),
            default=defaults.get(name),
            doc=docs.get(name) or _summary(part),
        )
        if part is not None:
            yield from keys(part, f"{inside}{name}{'[]' if listed else ''}.")


def kind(hint: Any) -> str:
    """A type in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        *most, last = map(str, args)
        return f"{', '.join(most)} or {last}" if most else last
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind(arg) for arg in args)
    if origin in (tuple, list):
        if origin is list or args[-1] is Ellipsis:
            held = kind(args[0])
            return f"list of {held}{'s' if held.isalpha() or held == 'plug-in' else ''}"
        return f"[{', '.join(kind(arg) for arg in args)}]"
    if origin is not None:
        return _WORDS.get(origin, str(origin))
    return _WORDS.get(hint, "section" if _is_section(hint) else "plug-in")


def admits(hint: Any, wanted: type[Any]) -> bool:
    """Whether a value of this plain type is meant where a key has this type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(type(arg) is wanted for arg in args)
    if origin in (typing.Union, types.UnionType):
        return any(admits(arg, wanted) for arg in args)
    return hint is wanted or hint is Any or hint is object


def inside(hint: Any, key: str) -> Any:
    """Type of what a key or position of a value holds; None where nothing is known of it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        found = [part for arg in args if (part := inside(arg, key)) is not None]
        return found[0] if found else None
    if origin in (tuple, list):
        at = int(key) if key.isdecimal() and Ellipsis not in args else 0
        return args[at] if at < len(args) else None
    if origin is dict:
        return args[1]
    return hints(hint).get(key) if isinstance(hint, type) else None


def stray_boolean(hint: Any, value: Any, path: str = "") -> str | None:
    """What is wrong where a boolean stands for something else: pydantic takes `true` for 1.

    None: nothing is.
    """
    if isinstance(value, bool):
        if hint is None or admits(hint, bool):
            return None
        return f"{path}: {kind(hint)} is wanted, got {str(value).lower()}"
    if isinstance(value, dict):
        items = [(str(key), held) for key, held in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(at), held) for at, held in enumerate(value)]
    else:
        return None
    for key, held in items:
        found = stray_boolean(inside(hint, key), held, f"{path}.{key}".lstrip("."))
        if found is not None:
            return found
    return None


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and bool(hints(hint)) and list(hints(hint)) != ["name"]


def _section(hint: Any) -> tuple[type[Any] | None, bool]:
    """The section that a type is, or that it is a list of."""
    listed = typing.get_origin(hint) in (tuple, list)
    part = typing.get_args(hint)[0] if listed else hint
    return (part if _is_section(part) else None), listed


def _summary(part: type[Any] | None) -> str:
    """First line of a section's docstring."""
    return (part.__doc__ or "").partition("\n")[0] if part is not None else ""


def _defaults(cls: type[Any]) -> dict[str, str]:
    found: dict[str, Any] = {}
    if issubclass(cls, pydantic.BaseModel):
        for name, info in cls.model_fields.items():
            if not info.is_required():
                found[name] = info.get_default(call_default_factory=True, validated_data={})
    else:
        for one in dataclasses.fields(cls):
            if one.default is not dataclasses.MISSING:
                found[one.name] = one.default
            elif one.default_factory is not dataclasses.MISSING:
                found[one.name] = one.default_factory()
    return {name: _yaml(value) for name, value in found.items()}


def _yaml(value: Any) -> str:
    if isinstance(value, pydantic.BaseModel) and list(hints(type(value))) == ["name"]:
        return str(value.model_dump()).replace("'", "")
    if hints(type(value)):
        return ""
    plain = pydantic_core.to_jsonable_python(value)
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _bounds(cls: type[Any], name: str) -> str:
    """The bounds that pydantic checks, in words."""
    if not issubclass(cls, pydantic.BaseModel):
        return ""
    said = [
        f"{word} {getattr(rule, field)}"
        for rule in cls.model_fields[name].metadata
        for field, word in _BOUNDS.items()
        if hasattr(rule, field)
    ]
    return f", {', '.join(said)}" if said else ""


def _docs(cls: type[Any]) -> dict[str, str]:
    """Docstrings under fields, by name, those of base classes included."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if not hints(one) or one.__module__.startswith("pydantic"):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(tree, ast.ClassDef)
        for field, behind in zip(tree.body, tree.body[1:], strict=False):
            match field, behind:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found
