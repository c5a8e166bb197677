"""Steps with their worth: the config `stepwise`, for process reward models.

A step is a line of the reasoning, or the whole answer after it. Rollouts that begin with the same
steps are continuations of them, drawn from the teacher itself: the share that reached the right
answer is a Monte-Carlo estimate of what the last of these steps is worth.

A step is good while some continuation still succeeds. It is bad where none does, and where this is
no accident: were the step worth as much as what came before it, so many failures in a row would
happen once in twenty times at most. A row ends before the first step that is neither, or that
fewer than `step_rollouts` rollouts share: where rollouts part early rows are short, and where they
part at once there are none.

A fork (`factory.scheduling.branching`) was drawn behind the last step that it shares with its
parent. For the steps before that it is no second continuation, and is not counted there.

Where a policy stops sampling at a success, shares lean upwards, as pass rates do; a step without
any success among so many rollouts is not concerned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat, takewhile
from typing import Any

import pyarrow as pa

from factory import public
from factory.shards import Config, Origin
from factory.traces import Selection, TraceOptions, take_apart
from factory.types import Outcome, Trace

DOUBT = 0.05
"""Chance, at most, that a step without success is as good as what came before it."""

Member = tuple[Sequence[str], bool]
"""The steps of a rollout, and whether it was right in the end."""


_Told = tuple[Sequence[str], bool, int]


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
    assert reply is not None, "`told` has nothing malformed"
    lines = [line.strip() for line in (reply.reasoning or "").split("\n")]
    return [*filter(None, lines), reply.answer.strip()]


def paths(
    rollouts: Sequence[Member], least: int, since: Sequence[int] = ()
) -> Iterator[list[Step]]:
    """The longest paths with evidence for every step, in the order of the rollouts.

    Args:
        least: how many rollouts must share a step.
        since: for each rollout the first step that it tells of; -1, as for all where none are
            given: it also tells how often the problem is solved.
    """
    all_of_them = [(*one, first) for one, first in zip(rollouts, since or repeat(-1), strict=False)]
    waiting: list[tuple[list[_Told], int, Step | None]] = [(all_of_them, 0, None)]
    while waiting:
        members, depth, last = waiting.pop()
        known = [right for _, right, since in members if since < depth]
        worth = sum(known) / len(known) if known else 0.0
        branches: dict[str, list[_Told]] = {}
        for member in members:
            if depth < len(member[0]):
                branches.setdefault(member[0][depth], []).append(member)
        telling = {
            text: [right for _, right, since in branch if since <= depth]
            for text, branch in branches.items()
        }
        grown = [
            (text, branch)
            for text, branch in branches.items()
            if len(telling[text]) >= least and _is_sure(telling[text], worth)
        ]
        if not grown and last is not None:
            yield last.path()
        for text, branch in reversed(grown):
            found = telling[text]
            step = Step(text=text, before=last, rollouts=len(found), right=sum(found))
            waiting.append((branch, depth + 1, step))


def tells_since(traces: Sequence[Trace], steps: Sequence[Sequence[str]]) -> list[int]:
    """For each trace the first step that it tells of: the last one that a fork shares."""
    by_index = {trace.rollout.index: own for trace, own in zip(traces, steps, strict=True)}
    found = []
    for trace, own in zip(traces, steps, strict=True):
        branch = trace.rollout.branch
        parent = by_index.get(branch.parent, ()) if branch and branch.parent is not None else ()
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(own, parent, strict=False))
        found.append(sum(1 for _ in alike) - 1)
    return found


def _is_sure(found: Sequence[bool], worth: float) -> bool:
    """Whether a step is surely good or surely bad.

    Args:
        worth: the value of what came before it; 0 after a bad step, and no step is good then.
    """
    return worth == 0 or any(found) or (1 - worth) ** len(found) <= DOUBT


def _rows(selection: Selection, origin: Origin, options: TraceOptions) -> Iterator[dict[str, Any]]:
    traces = selection.told
    steps = [steps_of(trace) for trace in traces]
    right = [trace.verdict.outcome is Outcome.CORRECT for trace in traces]
    judged = list(zip(steps, right, strict=True))
    for path in paths(judged, options.step_rollouts, tells_since(traces, steps)):
        problem = traces[0].problem
        yield {
            "problem_id": problem.id,
            "prompt": origin.ask(problem)[-1]["content"],
            "completions": [step.text for step in path],
            "labels": [step.right > 0 for step in path],
            "values": [step.right / step.rollouts for step in path],
            "rollouts": [step.rollouts for step in path],
            "source": public.name(problem.source),
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
