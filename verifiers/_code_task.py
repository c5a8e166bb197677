"""A programming problem as it is judged, read from the canonical form of `spec`.

Every rule that is broken raises a ValueError that names the rule, the value and the choices. The
form itself is described in `verifiers.code`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from factory.sandbox import values
from verifiers import _code_blocks
from verifiers._code_compare import TEXT, VALUES, Compare

MAX_TESTS = 10_000
DEFAULT_TOLERANCE = 1e-6
PROTOCOLS = ("score", "testlib")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_FUNCTION = re.compile(r"[A-Za-z_]\w{0,99}(?:\.[A-Za-z_]\w{0,99})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test: what goes in, and what may come out."""

    stdin: bytes = b""
    call: str = ""
    """The function that is called; empty for a program that reads and prints."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    wanted: tuple[Any, ...] = ()
    """Every answer that counts: outputs as bytes, or values. At most one beside a checker."""
    compare: Compare = field(default_factory=Compare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """A program that judges outputs where more than one is right."""

    source: str
    language: str = "python"
    protocol: str = "score"
    """How it is called and answers; the protocols are described in `verifiers._code_checker`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What lies beside it, as a header that it includes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A programming problem."""

    language: str
    cases: tuple[Case, ...]
    checker: Checker | None = None
    time_limit_s: float | None = None
    """As the problem states it: for a compiled program."""
    memory_mb: int | None = None
    preamble: str = ""
    """Source in front of the candidate's, as the imports that a contest site provides."""
    input_file: str = ""
    output_file: str = ""
    """Plain names: the program reads or writes a file in the place of stdin or stdout."""
    solutions: tuple[str, ...] = ()
    """Programs in `language` that are right."""
    known_wrong: tuple[str, ...] = ()
    """Programs in `language` that are wrong: tests that let one pass are too weak."""

    @property
    def calls(self) -> bool:
        """Whether functions are called; else programs are run."""
        return bool(self.cases[0].call)


def read(spec: Mapping[str, Any], language: str) -> Task:
    """The problem that a canonical `spec` describes.

    Args:
        language: what programs are written in where the spec does not say.

    Raises:
        ValueError: with the rule, the value and the choices.
    """
    language = one_of("language", spec.get("language") or language, tuple(_code_blocks.TAGS))
    default = _compare(spec, Compare(), "spec")
    cases = tuple(_cases(spec.get("tests"), default))
    checker = None if spec.get("checker") is None else _checker(spec["checker"])
    _check_mode(cases, checker, language)
    return Task(
        language=language,
        cases=cases,
        checker=checker,
        time_limit_s=_number(spec, "time_limit_s", 0.001, 600),
        memory_mb=None if (mb := _number(spec, "memory_mb", 1, 65536)) is None else int(mb),
        preamble=_text(spec, "preamble"),
        input_file=_file(spec, "input_file"),
        output_file=_file(spec, "output_file"),
        solutions=_programs(spec, ("solution", "solutions"), language),
        known_wrong=_programs(spec, ("incorrect_solutions",), language),
    )


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """The value, if it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} {value!r:.80}; choices: {', '.join(choices)}")
    return value


def parsed(value: Any, name: str) -> Any:
    """A value that may have been stored as the text of its JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {str(error)[:100]}") from None


def joined(value: Any, name: str) -> str:
    """Text, or a list of its lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} is text or a list of lines, got {type(value).__name__}")
    return value


def _cases(tests: Any, default: Compare) -> list[Case]:
    tests = parsed(tests, "tests")
    if not isinstance(tests, list) or not tests:
        raise ValueError("no tests: `tests` is a list with one object per test")
    if len(tests) > MAX_TESTS:
        raise ValueError(f"{len(tests)} tests; at most {MAX_TESTS} are taken")
    return [_case(test, f"test {number}", default) for number, test in enumerate(tests, 1)]


def _case(test: Any, where: str, default: Compare) -> Case:
    if not isinstance(test, dict):
        raise ValueError(f"{where} is an object, got {type(test).__name__}")
    compare = _compare(test, default, where)
    if "outputs" in test:
        wanted = test["outputs"]
        if not isinstance(wanted, list) or not wanted:
            raise ValueError(f"{where}: outputs is a list of the answers that count")
    else:
        wanted = [test["output"]] if "output" in test else []
    if "call" in test:
        return _call(test, where, wanted, compare)
    stdin = joined(test.get("input", ""), f"{where}: input")
    outputs = [joined(item, f"{where}: output") for item in wanted]
    return Case(
        stdin=_bytes(stdin, where),
        wanted=tuple(_bytes(item, where) for item in outputs),
        compare=compare,
    )


def _call(test: dict[str, Any], where: str, wanted: list[Any], compare: Compare) -> Case:
    one_of(f"{where}: compare", compare.how, VALUES)
    call, args, kwargs = test["call"], test.get("args", []), test.get("kwargs") or {}
    if not isinstance(call, str) or not _FUNCTION.fullmatch(call):
        raise ValueError(f"{where}: call is `name` or `Class.method`, got {call!r:.80}")
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
        raise ValueError(f"{where}: args is a list and kwargs an object")
    if not wanted:
        raise ValueError(f"{where}: no output")
    try:
        values.encode([list(args), kwargs, wanted])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {str(error)[:100]}") from None
    if any(map(_holds_nan, wanted)):
        raise ValueError(f"{where}: nan is expected, which equals nothing")
    if compare.how == "unordered" and not all(
        isinstance(item, (list, tuple, set, frozenset)) for item in wanted
    ):
        raise ValueError(f"{where}: compare `unordered` needs a list as output")
    return Case(
        call=call, args=tuple(args), kwargs=dict(kwargs), wanted=tuple(wanted), compare=compare
    )


def _compare(given: Mapping[str, Any], default: Compare, where: str) -> Compare:
    """The comparison that a spec or a test asks for."""
    how = one_of(f"{where}: compare", given.get("compare") or default.how, TEXT)
    types = bool(given.get("python_types", default.python_types))
    if "tolerance" not in given:
        if how == default.how:
            absolute, relative = default.abs_tol, default.rel_tol
        else:
            absolute = relative = DEFAULT_TOLERANCE if how == "float" else 0.0
        return Compare(how=how, abs_tol=absolute, rel_tol=relative, python_types=types)
    if how != "float":
        raise ValueError(f"{where}: a tolerance goes with compare `float`, got {how!r}")
    tolerance = given["tolerance"]
    if not isinstance(tolerance, dict):
        tolerance = {"abs": tolerance, "rel": tolerance}
    return Compare(
        how=how,
        abs_tol=_tolerance(tolerance.get("abs", 0.0), where),
        rel_tol=_tolerance(tolerance.get("rel", 0.0), where),
        python_types=types,
    )


def _tolerance(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 0.1:
        raise ValueError(f"{where}: a tolerance is a number in [0, 0.1], got {value!r:.80}")
    return float(value)


def _checker(given: Any) -> Checker:
    if isinstance(given, str):
        given = {"source": given}
    if not isinstance(given, dict):
        raise ValueError(f"checker is a program or an object, got {type(given).__name__}")
    language = given.get("language") or "python"
    protocol = given.get("protocol") or ("score" if language == "python" else "testlib")
    source, files = _text(given, "source"), given.get("files") or {}
    if not source.strip():
        raise ValueError("checker: no source")
    if not isinstance(files, dict):
        raise ValueError("checker: files is an object of names and texts")
    return Checker(
        source=source,
        language=one_of("checker: language", language, tuple(_code_blocks.TAGS)),
        protocol=one_of("checker: protocol", protocol, PROTOCOLS),
        files={_name(name, "checker: files"): _bytes(_text(files, name), name) for name in files},
    )


def _check_mode(cases: tuple[Case, ...], checker: Checker | None, language: str) -> None:
    """All tests are of one kind, and each can fail."""
    calls = [number for number, case in enumerate(cases, 1) if case.call]
    if calls and len(calls) < len(cases):
        raise ValueError(f"test {calls[0]} calls a function and others run the program")
    if calls and (checker is not None or language != "python"):
        raise ValueError("tests that call a function take no checker, and python alone")
    for number, case in enumerate(cases, 1):
        if checker is None and not case.wanted:
            raise ValueError(f"test {number}: no output, and no checker to judge without one")
        if checker is not None and len(case.wanted) > 1:
            raise ValueError(f"test {number}: several outputs beside a checker")


def _programs(spec: Mapping[str, Any], names: tuple[str, ...], language: str) -> tuple[str, ...]:
    """Programs of these fields: each holds one or a list of them."""
    found: list[str] = []
    for name in names:
        given = spec.get(name) or []
        items = given if isinstance(given, list) else [given]
        if not all(isinstance(item, str) for item in items):
            raise ValueError(f"{name} is a program or a list of them")
        found += (unfenced(item, language) for item in items)
    return tuple(text for text in found if text.strip())


def unfenced(text: str, language: str) -> str:
    """A solution that was stored as a Markdown block, without its fence."""
    if not text.lstrip().startswith(("```", "~~~")):
        return text
    return _code_blocks.last(text, language)[0] or ""


def _number(spec: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = spec.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} is a number in [{least:g}, {most:g}], got {value!r:.80}")
    return float(value)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is text, got {type(value).__name__}")
    _bytes(value, name)
    return value


def _file(spec: Mapping[str, Any], name: str) -> str:
    return _name(spec[name], name) if spec.get(name) else ""


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _FILE.fullmatch(value):
        raise ValueError(f"{where} is a plain file name, got {value!r:.80}")
    return value


def _bytes(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: text that UTF-8 cannot hold") from None


def _holds_nan(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, dict):
        return any(map(_holds_nan, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_holds_nan, value))
    return False
