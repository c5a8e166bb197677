"""Judges answers that are JSON: a schema must hold, and declared parts must equal the reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from jsonschema.protocols import Validator as SchemaValidator

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _json_perturb, _json_schema, _json_text

_TRIVIAL: tuple[Any, ...] = (None, True, False, 0, 1, "", "Solution", [], {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The final JSON value is valid under `spec["schema"]` and equal to the reference where asked.

    `spec["pointers"]` lists JSON pointers (`/a/0`, or the empty one for all of it): what stands
    there must equal what stands there in the reference, as JSON: key order does not count, 1 is
    1.0, and neither is true. Without pointers the schema decides alone; one that accepts `{}`,
    `[]`, `""`, 0, 1, true, false or null asks for nothing, and the problem is refused.

    The value stands in a block that is marked `json`, or not marked, else it is the whole final
    part. JSON is read strictly (no NaN, no key twice, no comments) and within bounds. Formats
    are checked; a keyword or format that is not known, or a reference to elsewhere, refuses the
    problem. Different values are never correct.
    """

    version: ClassVar[str] = "1"

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            asked = _asked(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        try:
            texts, doubt = _json_text.answers(completion)
        except ValueError as error:
            return Judgement(outcome=Outcome.UNPARSABLE, detail=str(error))
        extracted = texts[-1].strip()
        try:
            values = [_json_text.parse(text) for text in texts]
        except ValueError as error:
            detail = f"no JSON: {error}"
            return Judgement(outcome=Outcome.UNPARSABLE, extracted=extracted, detail=detail)
        if doubt:
            return Judgement(outcome=Outcome.UNSURE, extracted=extracted, detail=doubt)
        if len({_json_text.key(value) for value in values}) > 1:
            detail = f"{len(values)} blocks that differ"
            return Judgement(outcome=Outcome.INCORRECT, extracted=extracted, detail=detail)
        outcome, detail = asked.judge(values[-1])
        return Judgement(outcome=outcome, extracted=extracted, detail=detail)

    def reference(self, problem: Problem) -> str:
        return f"```json\n{json.dumps(_asked(problem).reference, ensure_ascii=False)}\n```"

    def perturb(self, problem: Problem) -> Iterator[str]:
        asked = _asked(problem)
        for value in _json_perturb.other_values(asked.reference, asked.pointers):
            if asked.pointers or _json_schema.fault(asked.checker, value):
                yield f"```json\n{json.dumps(value, ensure_ascii=False)}\n```"
        yield from _json_perturb.broken_texts(asked.reference)


class Asked(NamedTuple):
    """What a problem asks for."""

    checker: SchemaValidator
    reference: Any
    pointers: tuple[str, ...]

    def judge(self, value: Any) -> tuple[Outcome, str]:
        try:
            if fault := _json_schema.fault(self.checker, value):
                return Outcome.INCORRECT, fault
        except ValueError as error:
            return Outcome.ERROR, f"the problem: {error}"
        except TimeoutError:
            return Outcome.TIMEOUT, "a pattern of the schema was not decided in time"
        for pointer in self.pointers:
            wanted = _json_text.key(_json_text.at(self.reference, pointer))
            try:
                given = _json_text.key(_json_text.at(value, pointer))
            except LookupError:
                return Outcome.INCORRECT, f"nothing stands at {pointer!r:.100}"
            if given != wanted:
                return Outcome.INCORRECT, f"another value at {pointer!r:.100}"
        parts = f"valid, and equal at {len(self.pointers)} pointers" if self.pointers else "valid"
        return Outcome.CORRECT, parts


def _asked(problem: Problem) -> Asked:
    try:
        checker = _json_schema.validator(problem.spec.get("schema"))
    except ValueError as error:
        raise ValueError(f"spec.schema {error}") from None
    if not (problem.answer or "").strip():
        raise ValueError("no answer")
    try:
        reference = _json_text.parse((problem.answer or "").strip())
    except ValueError as error:
        raise ValueError(f"the answer is no JSON: {error}") from None
    pointers = _pointers(problem.spec.get("pointers", []), reference)
    asked = Asked(checker, reference, pointers)
    try:
        if fault := _json_schema.fault(checker, reference):
            raise ValueError(f"the answer is not valid under spec.schema: {fault}")
        for value in () if pointers else _TRIVIAL:
            wanted = _json_text.key(value) == _json_text.key(reference)
            if not wanted and not _json_schema.fault(checker, value):
                raise ValueError(
                    f"spec.schema accepts {json.dumps(value)}: it asks for nothing; "
                    "say in spec.pointers what must equal the answer"
                )
    except TimeoutError:
        raise ValueError("a pattern of spec.schema is not decided in time") from None
    return asked


def _pointers(given: Any, reference: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(pointer, str) for pointer in given):
        raise ValueError(f"spec.pointers must be a list of JSON pointers, got {given!r:.60}")
    for pointer in given:
        if pointer and not pointer.startswith("/"):
            raise ValueError(f"a JSON pointer is empty or starts with /, got {pointer!r:.60}")
        try:
            _json_text.at(reference, pointer)
        except LookupError:
            raise ValueError(f"the answer has nothing at {pointer!r:.60}") from None
    return tuple(given)
