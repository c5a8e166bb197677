"""A problem to try: the config `rl`, for GRPO and verl, judged by the verifiers of this house.

TRL takes `prompt` and hands every other column to the reward functions; verl takes `data_source`,
`prompt`, `ability`, `reward_model` and `extra_info`, and hands its reward function `data_source`,
`ground_truth` and `extra_info` alone. So what a verifier reads stands in `extra_info`, where both
find it, and `factory.reward` is the reward function of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from factory import public
from factory.shards import MESSAGES, Config, Origin, to_json
from factory.traces import Selection, TraceOptions

# So many hexadecimal digits of an id are a whole number that a double holds too.
_INDEX_DIGITS = 13

EXTRA_INFO = pa.struct(
    [
        ("split", pa.string()),
        ("index", pa.int64()),
        ("problem_id", pa.string()),
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("verifier", pa.string()),
        ("verifier_options", pa.string()),
        ("spec", pa.string()),
    ]
)
REWARD_MODEL = pa.struct([("style", pa.string()), ("ground_truth", pa.string())])


def _rows(selection: Selection, origin: Origin, options: TraceOptions) -> Iterator[dict[str, Any]]:
    if not selection.all or selection.barred:
        return
    problem = selection.all[0].problem
    verifier = _verifier(selection, origin)
    yield {
        "data_source": public.name(problem.source),
        "prompt": list(origin.ask(problem)),
        "ability": problem.domain,
        "reward_model": {"style": "rule", "ground_truth": problem.answer or ""},
        "extra_info": {
            "split": "train",
            "index": int(problem.id[:_INDEX_DIGITS], 16),
            "problem_id": problem.id,
            "problem": problem.prompt,
            "answer": problem.answer,
            "verifier": verifier,
            "verifier_options": to_json(dict(origin.verifiers.get(verifier, {}))),
            "spec": to_json(problem.spec),
        },
        "problem_id": problem.id,
        "cluster": selection.all[0].cluster or problem.id,
        "problem": problem.prompt,
        "answer": problem.answer,
        "verifier": verifier,
        "source_id": problem.source_id,
        "pass_rate": selection.all[0].pass_rate,
        "num_generations": selection.all[0].num_generations,
        "license": origin.license,
        "run_id": origin.run_id,
        "metadata": to_json(problem.metadata),
    }


def _verifier(selection: Selection, origin: Origin) -> str:
    """Who judges this problem: the one it names, else the recipe's first, else who has judged."""
    default = next(iter(origin.verifiers), "")
    judged = (trace.verdict.verifier for trace in selection.all if trace.verdict.verifier)
    return selection.all[0].problem.verifier or default or next(judged, "")


RL = Config(
    name="rl",
    folder="rl",
    schema=pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", MESSAGES),
            ("ability", pa.string()),
            ("reward_model", REWARD_MODEL),
            ("extra_info", EXTRA_INFO),
            ("problem_id", pa.string()),
            ("cluster", pa.string()),
            ("problem", pa.string()),
            ("answer", pa.string()),
            ("verifier", pa.string()),
            ("source_id", pa.string()),
            ("pass_rate", pa.float32()),
            ("num_generations", pa.int32()),
            ("license", pa.string()),
            ("run_id", pa.string()),
            ("metadata", pa.string()),
        ]
    ),
    rows=_rows,
    about="a problem that was sampled, solved or not, with what its verifier needs",
)
