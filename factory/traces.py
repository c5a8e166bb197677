"""Verdicts to traces: which rollouts of a problem are worth keeping.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pydantic

from factory import near
from factory.types import Outcome, Problem, Rollout, Trace, Verdict

THINK = "<think>"
THINK_END = "</think>"

ConfigName = Literal[
    "all", "preference", "unpaired", "rl", "stepwise", "reasoning_content", "thinking"
]


class TraceOptions(pydantic.BaseModel):
    """Which correct rollouts are kept, and in which forms rollouts are published."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    max_per_problem: int = pydantic.Field(default=4, ge=1)
    """Most traces kept of one problem."""
    near_duplicates: float | None = pydantic.Field(default=0.8, gt=0, le=1)
    """Jaccard index of word 5-shingles from which on a trace repeats a kept one of its problem;
    None keeps all but exact repeats."""
    prefer: Literal["first", "shortest", "longest"] = "first"
    """Which ones, where there are more: the first sampled, or by generated tokens."""
    configs: tuple[ConfigName, ...] = ("all", "preference", "unpaired", "rl", "stepwise")
    """What is published beside `default`, each a config of the same dataset
    (`factory.configs`). The other two repeat `default` with the reasoning in a field of its own."""
    max_pairs: int = pydantic.Field(default=4, ge=1)
    """Most preference pairs of one problem."""
    step_rollouts: int = pydantic.Field(default=4, ge=2)
    """Rollouts that must have begun alike before `stepwise` labels the step they share."""

    @pydantic.field_validator("configs")
    @classmethod
    def _configs_differ(cls, configs: tuple[ConfigName, ...]) -> tuple[ConfigName, ...]:
        for name in configs:
            if configs.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice")
        return configs


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One problem with all that was sampled for it."""

    problem: Problem
    judged: list[tuple[Rollout, Verdict | None]] = field(default_factory=list)
    """Every rollout with its verdict; None where it was not judged yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What became of the rollouts of one problem."""

    kept: list[Trace]
    """By index."""
    dropped: dict[str, int]
    """Correct rollouts that were not kept: reason -> how many."""
    all: list[Trace]
    """Every rollout that came to an end, by index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A completion, taken apart."""

    reasoning: str | None
    """What was thought before the answer; None where the model did not think aloud."""
    answer: str


def select(group: Group, options: TraceOptions) -> Selection:
    """The traces of one problem: correct, complete, different, and at most so many."""
    traces = _traces(group)
    dropped: Counter[str] = Counter()
    kept: list[Trace] = []
    sketches: list[near.Sketch] = []
    digests: set[bytes] = set()
    correct = (t for t in traces if t.verdict.outcome is Outcome.CORRECT)
    for trace in sorted(correct, key=_order(options.prefer)):
        reason = flaw(trace) or _repeat(trace, digests, sketches, options.near_duplicates)
        if not reason and len(kept) == options.max_per_problem:
            reason = "over_max_per_problem"
        if reason:
            dropped[reason] += 1
        else:
            kept.append(trace)
    kept.sort(key=lambda trace: trace.rollout.index)
    return Selection(kept=kept, dropped=dict(sorted(dropped.items())), all=traces)


def take_apart(text: str, reasoning: str | None) -> Reply | None:
    """A completion's reasoning and answer; None where the tags are not one pair at the start."""
    tags = text.count(THINK) + text.count(THINK_END)
    if reasoning is not None:
        if tags or THINK in reasoning or THINK_END in reasoning:
            return None
        return Reply(reasoning=reasoning if reasoning.strip() else None, answer=text)
    if not tags:
        return Reply(reasoning=None, answer=text)
    start = text.lstrip()
    if tags != 2 or not start.startswith(THINK) or THINK_END not in start:
        return None
    thought, _, answer = start.removeprefix(THINK).partition(THINK_END)
    return Reply(reasoning=thought, answer=answer)


def unjudged(rollout: Rollout) -> Verdict:
    """Stands in for a verdict that is still to come: no verifier, no reward."""
    return Verdict(
        problem_id=rollout.problem_id,
        index=rollout.index,
        outcome=Outcome.ERROR,
        reward=None,
        extracted=None,
        detail="not judged",
        verifier="",
        verifier_version="",
    )


def _traces(group: Group) -> list[Trace]:
    """Every rollout that came to an end, with what its problem as a whole tells."""
    ended = [(r, v) for r, v in group.judged if r.completion.finish_reason in ("stop", "length")]
    ended.sort(key=lambda pair: pair[0].index)
    outcomes = [v.outcome for _, v in ended if v is not None and v.outcome.judged]
    rate = outcomes.count(Outcome.CORRECT) / len(outcomes) if outcomes else None
    return [
        Trace(
            problem=group.problem,
            rollout=rollout,
            verdict=verdict or unjudged(rollout),
            num_generations=len(ended),
            pass_rate=rate,
        )
        for rollout, verdict in ended
    ]


def _order(prefer: Literal["first", "shortest", "longest"]) -> Callable[[Trace], tuple[int, int]]:
    sign = {"first": 0, "shortest": 1, "longest": -1}[prefer]
    return lambda trace: (sign * trace.rollout.completion.num_tokens, trace.rollout.index)


def flaw(trace: Trace) -> str:
    """Why a judged rollout is not fit to be trained on; empty where it is."""
    completion, reward = trace.rollout.completion, trace.verdict.reward
    if reward is not None and not 0.0 <= reward <= 1.0:  # NaN fails this too
        return "bad_reward"
    if completion.finish_reason != "stop":
        return "cut_off"
    reply = take_apart(completion.text, completion.reasoning)
    if reply is None:
        return "malformed_think"
    return "" if reply.answer.strip() else "no_reply"


def _repeat(
    trace: Trace, digests: set[bytes], sketches: list[near.Sketch], threshold: float | None
) -> str:
    """Whether the text repeats an earlier one; where not, it is one from now on."""
    completion = trace.rollout.completion
    text = f"{completion.reasoning or ''}\n{completion.text}".encode("utf-8", "replace").decode()
    tokens = near.words(text)
    digest = hashlib.blake2b("\0".join(tokens).encode(), digest_size=16).digest()
    if digest in digests:
        return "duplicate"
    if threshold is not None:
        sketch = near.sketch_words(tokens)
        if _any_near(sketch, sketches, threshold):
            return "near_duplicate"
        sketches.append(sketch)
    digests.add(digest)
    return ""


def _any_near(sketch: near.Sketch, sketches: Sequence[near.Sketch], threshold: float) -> bool:
    return any(near.similarity(sketch, other, threshold) >= threshold for other in sketches)
