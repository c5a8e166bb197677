"""Which rollouts tell something against an answer or a step.

A rollout is evidence only where the verifier could tell and the model was done: a rollout that was
cut off might have gone on to the right answer, and one whose answer cannot be read might hold it.
A problem that was never solved gives no evidence either: its reference may be the wrong one.
"""

from __future__ import annotations

from factory.shards import reply_text
from factory.traces import Selection
from factory.types import Outcome, Trace


def wrong(selection: Selection) -> list[tuple[Trace, str]]:
    """Wrong rollouts with their replies, every text once, by index.

    A text that was also found right proves nothing but that its verifier wavers: it is left out.
    """
    traces = selection.told
    seen = {text_of(t) for t in traces if t.verdict.outcome is Outcome.CORRECT}
    found = []
    for trace in traces:
        text = text_of(trace)
        if text not in seen:
            seen.add(text)
            found.append((trace, text))
    return found


def text_of(trace: Trace) -> str:
    """The reply as it is published."""
    return reply_text(trace.rollout.completion)
