"""A problem's JSON Schema, checked once and made into a validator that goes nowhere for anything.

jsonschema validates. What it would pass over in silence is refused: keywords and formats it does
not know, references out of the document. What it takes from Python rather than from the standard
is replaced: patterns (`$`, `\\d`, endless search), equality, remainders of decimal fractions.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import jsonschema
import referencing
import referencing.jsonschema
from jsonschema.protocols import Validator

from verifiers import _json_text, _patterns
from verifiers._json_formats import FORMATS

_DRAFTS: dict[str, Any] = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator,
}
_DEFAULT = "https://json-schema.org/draft/2020-12/schema"
_DRAFT_7 = "http://json-schema.org/draft-07/schema"
_SILENT_WORDS = """
$anchor $comment $defs $dynamicAnchor $id $recursiveAnchor $schema default definitions deprecated
description else examples maxContains minContains readOnly then title writeOnly
"""
_SILENT = frozenset(_SILENT_WORDS.split())
"""Keywords that say nothing, or that another one reads."""


def validator(schema: Any) -> Validator:
    """A validator for a schema.

    Raises:
        ValueError: it is no schema, or asks for what is not checked here; in one line.
    """
    if not isinstance(schema, dict):
        raise ValueError(f"must be an object, got {schema!r:.60}")
    try:
        return _made(json.dumps(schema))
    except RecursionError:
        raise ValueError("is nested too deep") from None


def fault(checker: Validator, value: Any) -> str:
    """Where and by which keyword a value fails its schema; empty where it passes.

    Raises:
        ValueError: the schema refers to itself without end.
        TimeoutError: a pattern was not decided in time.
    """
    try:
        error = next(checker.iter_errors(value), None)
    except RecursionError:
        raise ValueError("spec.schema refers to itself without end") from None
    if error is None:
        return ""
    where = "/".join(["", *(str(part) for part in error.absolute_path)])
    return f"{error.validator} fails at {where!r:.100}"


@functools.lru_cache(maxsize=256)
def _made(text: str) -> Validator:
    schema = json.loads(text)
    dialect = schema.get("$schema", _DEFAULT)
    dialect = dialect.rstrip("#") if isinstance(dialect, str) else dialect
    if dialect not in _DRAFTS:
        raise ValueError(f"$schema {dialect!r:.80} is not known; choices: {', '.join(_DRAFTS)}")
    base = _DRAFTS[dialect]
    try:
        base.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "/".join(["", *(str(part) for part in error.absolute_path)])
        raise ValueError(f"is no schema: {error.validator} fails at {where!r:.100}") from None
    _check(schema, dialect, frozenset(base.VALIDATORS) | _SILENT)
    made = jsonschema.validators.extend(base, _OWN)  # type: ignore[no-untyped-call]
    formats = jsonschema.FormatChecker(formats=())
    for name, check in FORMATS.items():
        formats.checks(name, raises=ValueError)(_of_text(check))
    return made(schema, registry=referencing.Registry(), format_checker=formats)  # type: ignore[no-any-return]


def _of_text(check: Any) -> Any:
    return lambda value: not isinstance(value, str) or check(value)


def _check(schema: dict[str, Any], dialect: str, known: frozenset[str]) -> None:
    """Refuse what would be passed over in silence."""
    specification = referencing.jsonschema.specification_with(dialect)
    resource = specification.create_resource(schema)
    resolver = referencing.Registry().resolver_with_root(resource)
    keywords: set[str] = set()
    todo: list[Any] = [schema]
    while todo:
        part = todo.pop()
        if not isinstance(part, dict):
            continue
        if unknown := sorted(set(part) - known):
            raise ValueError(f"the keyword {unknown[0]!r:.60} is not known to {dialect}")
        if part is not schema and ("$id" in part or "$schema" in part):
            raise ValueError("$id and $schema may stand at its root alone")
        if dialect == _DRAFT_7 and "$ref" in part and set(part) - _SILENT != {"$ref"}:
            raise ValueError("in draft 7, what stands beside a $ref does not count")
        keywords |= set(part)
        _check_values(part, resolver)
        todo += list(specification.subresources_of(part))
    if {"unevaluatedProperties", "patternProperties"} <= keywords:
        raise ValueError("unevaluatedProperties together with patternProperties is not checked")


def _check_values(part: dict[str, Any], resolver: Any) -> None:
    if (form := part.get("format")) is not None and form not in FORMATS:
        raise ValueError(f"format {form!r:.60} is not checked; choices: {', '.join(FORMATS)}")
    patterns = [part["pattern"]] if "pattern" in part else []
    for pattern in (*patterns, *part.get("patternProperties", {})):
        try:
            _patterns.compiled_ecma(pattern)
        except ValueError as error:
            raise ValueError(f"pattern {pattern!r:.60}: {error}") from None
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if keyword in part:
            try:
                resolver.lookup(part[keyword])
            except referencing.exceptions.Unresolvable:
                raise ValueError(f"{keyword} {part[keyword]!r:.80} is not in the schema") from None


def _pattern(checker: Validator, wanted: str, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, str) and not _patterns.is_found(_patterns.compiled_ecma(wanted), value):
        yield jsonschema.ValidationError("no match")


def _pattern_properties(
    checker: Any, wanted: Mapping[str, Any], value: Any, schema: Any
) -> Iterator[Any]:
    for pattern, part in wanted.items() if isinstance(value, dict) else ():
        for name, member in value.items():
            if _patterns.is_found(_patterns.compiled_ecma(pattern), name):
                yield from checker.descend(member, part, path=name, schema_path=pattern)


def _additional_properties(checker: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    patterns = [_patterns.compiled_ecma(p) for p in schema.get("patternProperties", ())]
    for name, member in value.items() if isinstance(value, dict) else ():
        if name in schema.get("properties", ()):
            continue
        if any(_patterns.is_found(pattern, name) for pattern in patterns):
            continue
        if wanted is False:
            yield jsonschema.ValidationError("one too many", path=(name,))
        else:
            yield from checker.descend(member, wanted, path=name)


def _const(checker: Validator, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    if _json_text.key(value) != _json_text.key(wanted):
        yield jsonschema.ValidationError("another value")


def _enum(checker: Validator, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    if _json_text.key(value) not in {_json_text.key(choice) for choice in wanted}:
        yield jsonschema.ValidationError("not one of the choices")


def _unique_items(checker: Validator, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    members = value if wanted and isinstance(value, list) else []
    if len({_json_text.key(member) for member in members}) < len(members):
        yield jsonschema.ValidationError("a member stands twice")


def _multiple_of(checker: Validator, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    # By the digits as they were written: 0.3 is a multiple of 0.1.
    if Fraction(str(value)) % Fraction(str(wanted)):
        yield jsonschema.ValidationError("no multiple")


_OWN = {
    "additionalProperties": _additional_properties,
    "const": _const,
    "enum": _enum,
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "uniqueItems": _unique_items,
}
