"""Steps with their worth: the config `stepwise`, for process reward models.

A step is a line of the reasoning, or the whole answer after it. Rollouts that begin with the same
steps are continuations of them, drawn from the teacher itself: the share that reached the right
answer is a Monte-Carlo estimate of what the last of these steps is worth.

A step is good while some continuation still succeeds. It is bad where none does, and where this is
no accident: were the step worth as much as what came before it, so many failures in a row would
happen once in twenty times at most. A row ends before the first step that is neither, or that
fewer than `step_rollouts` rollouts share: where rollouts part early rows are short, and where they
part at once there are none.

Where a policy stops sampling at a success, shares lean upwards, as pass rates do; a step without
any success among so many rollouts is not concerned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from factory.configs.evidence import told
from factory.shards import Config, Origin
from factory.traces import Selection, TraceOptions, take_apart
from factory.types import Outcome, Trace

DOUBT = 0.05
"""Chance, at most, that a step without success is as good as what came before it."""

Member = tuple[Sequence[str], bool]
"""The steps of a rollout, and whether it was right in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that enough rollouts share, with all that came before it."""

    text: str
    before: Step | None
    """None for the first one."""
    rollouts: int
    """How many rollouts share the steps up to this one."""
    right: int
    """How many of those were right in the end."""

    def path(self) -> list[Step]:
        """The steps up to this one, this one included."""
        found: list[Step] = []
        step: Step | None = self
        while step is not None:
            found.append(step)
            step = step.before
        return found[::-1]


def steps_of(trace: Trace) -> list[str]:
    """The lines of the reasoning that say something, then the answer as one step."""
    completion = trace.rollout.completion
    reply = take_apart(completion.text, completion.reasoning)
    assert reply is not None, "told() lets nothing malformed through"
    lines = [line.strip() for line in (reply.reasoning or "").split("\n")]
    return [*filter(None, lines), reply.answer.strip()]


def paths(rollouts: Sequence[Member], least: int) -> Iterator[list[Step]]:
    """The longest paths with evidence for every step, in the order of the rollouts.

    Args:
        least: how many rollouts must share a step.
    """
    waiting: list[tuple[list[Member], int, Step | None]] = [(list(rollouts), 0, None)]
    while waiting:
        members, depth, last = waiting.pop()
        worth = sum(right for _, right in members) / len(members) if members else 0.0
        branches: dict[str, list[Member]] = {}
        for member in members:
            if depth < len(member[0]):
                branches.setdefault(member[0][depth], []).append(member)
        grown = [
            (text, branch)
            for text, branch in branches.items()
            if len(branch) >= least and _is_sure(branch, worth)
        ]
        if not grown and last is not None:
            yield last.path()
        for text, branch in reversed(grown):
            right = sum(good for _, good in branch)
            step = Step(text=text, before=last, rollouts=len(branch), right=right)
            waiting.append((branch, depth + 1, step))


def _is_sure(branch: Sequence[Member], worth: float) -> bool:
    """Whether a step is surely good or surely bad.

    Args:
        worth: the value of what came before it; 0 after a bad step, and no step is good then.
    """
    return worth == 0 or any(right for _, right in branch) or (1 - worth) ** len(branch) <= DOUBT


def _rows(selection: Selection, origin: Origin, options: TraceOptions) -> Iterator[dict[str, Any]]:
    traces = told(selection)
    judged = [(steps_of(t), t.verdict.outcome is Outcome.CORRECT) for t in traces]
    for path in paths(judged, options.step_rollouts):
        problem = traces[0].problem
        yield {
            "problem_id": problem.id,
            "prompt": origin.ask(problem)[-1]["content"],
            "completions": [step.text for step in path],
            "labels": [step.right > 0 for step in path],
            "values": [step.right / step.rollouts for step in path],
            "rollouts": [step.rollouts for step in path],
            "source": problem.source,
            "domain": problem.domain,
            "model": traces[0].rollout.model,
            "license": origin.license,
            "run_id": origin.run_id,
        }


STEPWISE = Config(
    name="stepwise",
    folder="stepwise",
    schema=pa.schema(
        [
            ("problem_id", pa.string()),
            ("prompt", pa.string()),
            ("completions", pa.list_(pa.string())),
            ("labels", pa.list_(pa.bool_())),
            ("values", pa.list_(pa.float32())),
            ("rollouts", pa.list_(pa.int32())),
            ("source", pa.string()),
            ("domain", pa.string()),
            ("model", pa.string()),
            ("license", pa.string()),
            ("run_id", pa.string()),
        ]
    ),
    rows=_rows,
    about="the steps that several rollouts of a problem share, each with what came of it",
)
