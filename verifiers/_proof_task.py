"""What is to be proved, as the problem says it, and the proof in a completion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from factory.types import Completion, Problem
from verifiers import _code_blocks, _final

System = Literal["coq", "lean"]

MAX_PROOF = 256 << 10
"""Longest proof that is read, in bytes."""

_TAGS = {"coq": ("coq", "rocq", "v"), "lean": ("lean", "lean4")}
_FIELDS = ("system", "preamble", "definitions", "statement", "name", "solution", "axioms")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A statement of ours, and where it stands."""

    system: System
    preamble: str
    """Imports, opened scopes and options: read again before the proof. It defines nothing."""
    definitions: str
    """What the statement speaks of: compiled once, before the proof is looked at."""
    statement: str
    name: str
    """What the proof has to define."""
    solution: str
    axioms: frozenset[str]
    """By their whole names: what a proof may rest on."""


def read(problem: Problem) -> Task:
    """The task of a problem.

    Raises:
        ValueError: the rule, the value and the choices.
    """
    spec = problem.spec
    if unknown := sorted(set(spec) - set(_FIELDS)):
        raise ValueError(f"spec has no field {unknown[0]!r}; fields: {', '.join(_FIELDS)}")
    system: Any = spec.get("system")
    if system not in ("coq", "lean"):
        raise ValueError(f"spec.system must be one of coq, lean; got {system!r}")
    statement, name = _text(spec, "statement"), _text(spec, "name")
    if not statement.strip():
        raise ValueError("spec.statement is missing")
    if not _NAME.fullmatch(name):
        raise ValueError(f"spec.name must be an identifier of at most 100 letters, got {name!r}")
    axioms = spec.get("axioms", [])
    if not isinstance(axioms, list) or not all(isinstance(axiom, str) for axiom in axioms):
        raise ValueError(f"spec.axioms must be a list of whole names, got {axioms!r:.80}")
    return Task(
        system=system,
        preamble=_text(spec, "preamble"),
        definitions=_text(spec, "definitions"),
        statement=statement.strip(),
        name=name,
        solution=_text(spec, "solution"),
        axioms=frozenset(axioms),
    )


def proof(completion: Completion, system: System) -> tuple[str | None, str]:
    """The last fenced block of the system's language, or None and why there is none."""
    text = _final.final_part(completion)
    if text is None:
        return None, "the reasoning never ends: no </think>"
    ours = [block for block in _code_blocks.blocks(text) if block.tag in _TAGS[system]]
    if not ours:
        return None, f"no ```{system} block"
    code, closed = ours[-1].code, ours[-1].closed
    if not closed:
        return None, f"the ```{system} block is not closed"
    if not code.strip():
        return None, f"the ```{system} block is empty"
    if "\0" in code or len(code) > MAX_PROOF:
        return None, f"the proof is longer than {MAX_PROOF} bytes, or holds a NUL"
    try:
        size = len(code.encode())
    except UnicodeEncodeError:
        return None, "the proof is not UTF-8"
    return (
        (code, "") if size <= MAX_PROOF else (None, f"the proof is longer than {MAX_PROOF} bytes")
    )


def fenced(text: str, system: System) -> str:
    """A proof as a block that `proof` reads back."""
    return f"```{system}\n{text.rstrip()}\n```"


def _text(spec: dict[str, Any], field: str) -> str:
    value = spec.get(field, "")
    if not isinstance(value, str):
        raise ValueError(f"spec.{field} must be text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"spec.{field} is not UTF-8") from None
    return value
