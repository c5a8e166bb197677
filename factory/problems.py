"""Rows to problems: what is asked, what is expected, and whether it was seen before.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from factory.seen import Seen
from factory.sources._row import Row, WrittenFloat
from factory.types import Message, Problem, Reject, problem_id

ROLES: tuple[str, ...] = ("system", "user", "assistant")

REASON = 300
"""Longest reason given for rejecting a row: a bad value may be a whole book."""


class BadRow(Exception):
    """A row that is no problem.

    Attributes:
        rule: machine-readable reason.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def intake(
    rows: Iterable[Row | Reject],
    *,
    default_verifier: str,
    near_duplicates: float | None = 0.8,
    max_prompt_chars: int = 100_000,
) -> Iterator[Problem | Reject]:
    """Turns rows into problems; whatever is not one comes out as a `Reject` in its place.

    Args:
        default_verifier: judges the rows that name none.
        near_duplicates: Jaccard index from which on a problem repeats an earlier one (the rules
            are in `factory.seen`); None keeps all but exact repeats.
        max_prompt_chars: upper bound on the characters of the conversation.
    """
    with Seen(near_duplicates) as seen:
        for row in rows:
            if isinstance(row, Reject):
                yield row
                continue
            try:
                problem = read(row, default_verifier, max_prompt_chars)
            except BadRow as bad:
                yield _reject(row, bad.rule, str(bad))
                continue
            except Exception as error:  # a value of a foreign type may fail in its own way
                yield _reject(row, "unreadable", f"{type(error).__name__}: {error}")
                continue
            repeat = seen.add(problem, own_id=row.own_id is not None)
            if repeat is None:
                yield problem
                continue
            against = repeat.of if repeat.rule == "conflicting_answer" else problem.id
            yield _reject(row, repeat.rule, repeat.reason, against)


def read(row: Row, default_verifier: str, max_prompt_chars: int) -> Problem:
    """One row as a problem.

    Raises:
        BadRow: something is missing or malformed.
    """
    values = row.values
    messages = read_messages(values.get("messages"))
    prompt = read_prompt(values.get("prompt"), messages)
    length = sum(len(m["content"]) for m in messages) or len(prompt)
    if length > max_prompt_chars:
        raise BadRow("too_long", f"{length} characters; at most {max_prompt_chars} are taken")
    spec = read_spec(values)
    answer = answer_text(values.get("answer"))
    if answer is None and not spec:
        raise BadRow("no_answer", f"no answer ({values.get('answer')!r}) and no spec to judge by")
    return Problem(
        id=problem_id(prompt, messages),
        prompt=prompt,
        messages=messages,
        answer=answer,
        verifier=label(values.get("verifier")) or default_verifier,
        spec=spec,
        source=encodable(row.source),
        source_id=row.id,
        line=row.number,
        domain=label(values.get("domain")),
        metadata=jsonable(row.extra),
    )


def read_messages(value: Any) -> tuple[Message, ...]:
    """A conversation that ends in the user's question; empty where the row has none."""
    if value is None or value == [] or value == ():
        return ()
    if not isinstance(value, (list, tuple)):
        raise BadRow("bad_messages", f"messages are a list of turns, got {type(value).__name__}")
    messages = []
    for number, turn in enumerate(value, 1):
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if role not in ROLES or (role == "system" and number > 1):
            known = "system (first), user, assistant"
            raise BadRow("bad_messages", f"turn {number}: role {role!r}; roles: {known}")
        if not isinstance(content, str) or not content.strip():
            raise BadRow("bad_messages", f"turn {number} ({role}): no text")
        messages.append(Message(role=role, content=encodable(content)))
    if messages[-1]["role"] != "user":
        role = messages[-1]["role"]
        reason = f"the last turn is the user's question, got {role!r}; map `prompt` instead?"
        raise BadRow("bad_messages", reason)
    return tuple(messages)


def read_prompt(value: Any, messages: tuple[Message, ...]) -> str:
    """The question: the row's prompt, or the last turn of its messages."""
    if value is not None and not isinstance(value, str):
        raise BadRow("no_prompt", f"the prompt is text, got {type(value).__name__}")
    prompt = encodable(value or "")
    if not messages:
        if not prompt.strip():
            raise BadRow("no_prompt", f"no prompt ({value!r}) and no messages")
        return prompt
    last = messages[-1]["content"]
    if prompt.strip() and prompt.strip() != last.strip():
        raise BadRow("bad_messages", "prompt and last turn of messages differ; map one of them")
    return last


def read_spec(values: dict[str, Any]) -> dict[str, Any]:
    """What the verifier needs: the `spec` object (or its JSON) and every `spec.NAME`."""
    given = values.get("spec") or {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise BadRow("bad_spec", f"spec is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadRow("bad_spec", f"spec is an object, got {type(given).__name__}")
    named = {name[5:]: value for name, value in values.items() if name.startswith("spec.")}
    spec: dict[str, Any] = jsonable(given | named)
    return {name: value for name, value in spec.items() if value is not None}


def answer_text(value: Any) -> str | None:
    """The reference answer as text, exactly as it was written; None where there is none.

    Infinity and NaN, which are no JSON but which many a library writes, are none.
    """
    if isinstance(value, WrittenFloat):
        return value.text
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str):
        return encodable(value) if value.strip() else None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (bool, list, tuple, dict)):
        return json.dumps(jsonable(value, big=True), ensure_ascii=False)
    return str(value)


def label(value: Any) -> str:
    """A short name as text; empty where there is none."""
    return "" if value is None or value != value else encodable(str(value)).strip()


def jsonable(value: Any, *, big: bool = False) -> Any:
    """A value as strict JSON has it; what JSON cannot hold becomes text.

    Args:
        big: keeps integers of any size; where the JSON is stored, those beyond 64 bits are text.
    """
    if isinstance(value, str):
        return encodable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if big or -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {encodable(str(key)): jsonable(item, big=big) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item, big=big) for item in value]
    return encodable(str(value))


def encodable(text: str) -> str:
    """The text, with U+FFFD for what UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _reject(row: Row, rule: str, reason: str, problem: str | None = None) -> Reject:
    reason = reason if len(reason) <= REASON else reason[: REASON - 3] + "..."
    return Reject(
        source=row.source,
        row=row.id,
        rule=rule,
        reason=reason,
        problem_id=problem,
        line=row.number,
    )
