"""Right beside wrong: the configs `preference` (DPO) and `unpaired` (KTO).

A wrong rollout teaches most where it is hard to tell from a right one: so each accepted trace is
paired with the wrong one that is closest to it in length and begins most like it. Every trace and
every wrong rollout stands in one pair at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from factory import public
from factory.configs.evidence import text_of, wrong
from factory.shards import MESSAGES, Config, Origin, trace_uuid
from factory.traces import Selection, TraceOptions
from factory.types import Message, Trace

_SHARED = [
    ("source", pa.string()),
    ("domain", pa.string()),
    ("model", pa.string()),
    ("verifier", pa.string()),
    ("verifier_version", pa.string()),
    ("pass_rate", pa.float32()),
    ("license", pa.string()),
    ("run_id", pa.string()),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A right rollout and a wrong one."""

    chosen: Trace
    rejected: Trace
    closeness: float
    """`closeness` of their replies."""


def pairs(selection: Selection, most: int) -> list[Pair]:
    """The closest pairs of one problem, by the index of the right rollout.

    Two rollouts with the same extracted answer, one found right and one wrong, are no pair: they
    contradict each other.
    """
    kept = [(trace, text_of(trace)) for trace in selection.kept]
    candidates = [
        Pair(chosen=right, rejected=bad, closeness=closeness(text, wrong_text))
        for bad, wrong_text in wrong(selection)
        for right, text in kept
        if bad.verdict.extracted is None or bad.verdict.extracted != right.verdict.extracted
    ]
    candidates.sort(key=lambda p: (-p.closeness, p.chosen.rollout.index, p.rejected.rollout.index))
    used: set[int] = set()
    found: list[Pair] = []
    for pair in candidates:
        indices = {pair.chosen.rollout.index, pair.rejected.rollout.index}
        if len(found) < most and used.isdisjoint(indices):
            used |= indices
            found.append(pair)
    return sorted(found, key=lambda pair: pair.chosen.rollout.index)


def closeness(a: str, b: str) -> float:
    """How alike two texts are, from 0 to 1: the mean of shared beginning and equal length."""
    longest = max(len(a), len(b), 1)
    return (common_prefix(a, b) / longest + min(len(a), len(b)) / longest) / 2


def common_prefix(a: str, b: str) -> int:
    """Length of the common beginning; by halving, since comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _pair_rows(
    selection: Selection, origin: Origin, options: TraceOptions
) -> Iterator[dict[str, Any]]:
    for pair in pairs(selection, options.max_pairs):
        yield {
            "problem_id": pair.chosen.problem.id,
            "prompt": list(origin.ask(pair.chosen.problem)),
            "chosen": _reply(pair.chosen),
            "rejected": _reply(pair.rejected),
            "chosen_uuid": trace_uuid(pair.chosen, origin),
            "rejected_uuid": trace_uuid(pair.rejected, origin),
            "chosen_tokens": pair.chosen.rollout.completion.num_tokens,
            "rejected_tokens": pair.rejected.rollout.completion.num_tokens,
            "closeness": pair.closeness,
            **_shared(pair.chosen, origin),
        }


def _single_rows(
    selection: Selection, origin: Origin, options: TraceOptions
) -> Iterator[dict[str, Any]]:
    labelled = [(trace, True) for trace in selection.kept]
    labelled += [(trace, False) for trace, _ in wrong(selection)]
    for trace, right in sorted(labelled, key=lambda item: item[0].rollout.index):
        yield {
            "uuid": trace_uuid(trace, origin),
            "problem_id": trace.problem.id,
            "prompt": list(origin.ask(trace.problem)),
            "completion": _reply(trace),
            "label": right,
            "completion_tokens": trace.rollout.completion.num_tokens,
            "generation_index": trace.rollout.index,
            **_shared(trace, origin),
        }


def _reply(trace: Trace) -> list[Message]:
    return [Message(role="assistant", content=text_of(trace))]


def _shared(trace: Trace, origin: Origin) -> dict[str, Any]:
    return {
        "source": public.name(trace.problem.source),
        "domain": trace.problem.domain,
        "model": trace.rollout.model,
        "verifier": trace.verdict.verifier,
        "verifier_version": trace.verdict.verifier_version,
        "pass_rate": trace.pass_rate,
        "license": origin.license,
        "run_id": origin.run_id,
    }


PREFERENCE = Config(
    name="preference",
    folder="preference",
    schema=pa.schema(
        [
            ("problem_id", pa.string()),
            ("prompt", MESSAGES),
            ("chosen", MESSAGES),
            ("rejected", MESSAGES),
            ("chosen_uuid", pa.string()),
            ("rejected_uuid", pa.string()),
            ("chosen_tokens", pa.int32()),
            ("rejected_tokens", pa.int32()),
            ("closeness", pa.float32()),
            *_SHARED,
        ]
    ),
    rows=_pair_rows,
    about="an accepted trace and the wrong rollout of its problem that is most like it",
)
UNPAIRED = Config(
    name="unpaired",
    folder="unpaired",
    schema=pa.schema(
        [
            ("uuid", pa.string()),
            ("problem_id", pa.string()),
            ("prompt", MESSAGES),
            ("completion", MESSAGES),
            ("label", pa.bool_()),
            ("completion_tokens", pa.int32()),
            ("generation_index", pa.int32()),
            *_SHARED,
        ]
    ),
    rows=_single_rows,
    about="an accepted trace, or a wrong rollout of a solved problem, with which of them it is",
)
