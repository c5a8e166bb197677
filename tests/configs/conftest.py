"""Selections from a line per rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from factory.shards import Origin
from factory.traces import Group, Selection, TraceOptions, select
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id

PROBLEM = Problem(
    id=problem_id("2 + 2?"),
    prompt="2 + 2?",
    answer="4",
    verifier="math",
    spec={"tolerance": 0.1},
    source="sums.jsonl",
    source_id="7",
    domain="math",
    metadata={"level": 1},
)
ORIGIN = Origin(
    sampling=Sampling(),
    prompt_template="{prompt} Box it.",
    license="apache-2.0",
    run_id="r",
    ask=lambda problem: [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": f"{problem.prompt} Box it."},
    ],
    verifiers={"math": {"require_box": True}},
)
EVERY = TraceOptions(near_duplicates=None, max_per_problem=99)

RIGHT, WRONG = Outcome.CORRECT, Outcome.INCORRECT

Line = tuple[Any, ...]


def judged(index: int, text: str, outcome: Outcome | None, **more: Any) -> tuple[Any, Any]:
    completion = Completion(
        text=text,
        reasoning=more.get("reasoning"),
        finish_reason=more.get("reason", "stop"),
        num_tokens=len(text),
    )
    rollout = Rollout(problem_id=PROBLEM.id, index=index, model="m", completion=completion)
    if outcome is None:
        return rollout, None
    reward = {RIGHT: 1.0, WRONG: 0.0, Outcome.UNPARSABLE: 0.0}.get(outcome)
    return rollout, Verdict(
        problem_id=PROBLEM.id,
        index=index,
        outcome=outcome,
        reward=more.get("reward", reward),
        extracted=more.get("extracted"),
        detail="",
        verifier="math",
        verifier_version="1",
    )


@pytest.fixture
def selection() -> Callable[..., Selection]:
    """Makes a selection of `(text, outcome, {more})` lines."""

    def make(*lines: Line, options: TraceOptions = EVERY) -> Selection:
        pairs = [
            judged(i, line[0], line[1], **(line[2] if len(line) > 2 else {}))
            for i, line in enumerate(lines)
        ]
        return select(Group(problem=PROBLEM, judged=pairs), options)

    return make
