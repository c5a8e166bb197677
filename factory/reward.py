"""The verifiers as a reward function: for TRL (`reward`) and for verl (`compute_score`).

    trl grpo ... --dataset_name me/traces --dataset_config rl --reward_funcs factory.reward.reward

Both read what a verifier needs from the column `extra_info` of the published `rl` config, and
judge as a run does: in a worker process with limits, where a checker's failure is no wrong answer.
With verifiers that run what the model wrote, the sandbox has to be there as in a run.
"""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from factory.types import Completion, Problem, Rollout, Verdict
from factory.verdicts import Judge

NEEDED = ("problem_id", "problem", "answer", "verifier", "verifier_options", "spec")
"""Fields of `extra_info` that are read."""


class Rewarder:
    """Judges replies to problems of the `rl` config; one worker process per verifier.

    Example:
        rewarder = Rewarder(timeout_s=20.0, sandbox={"tier": "landlock"})
        GRPOTrainer(..., reward_funcs=rewarder.reward)
    """

    def __init__(self, **limits: Any) -> None:
        """
        Args:
            limits: of `factory.verdicts.Judge`: timeout_s, memory_mb, retries, sandbox.
        """
        self._limits = limits
        self._judges: dict[tuple[str, str], Judge] = {}
        self._lock = threading.Lock()

    def reward(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        """A reward in [0, 1] for each completion; None where its verifier could not tell.

        Args:
            prompts: not read; the problem comes from `extra_info`.
            completions: replies, as text or as messages.
            columns: the other columns of the rows, one value per completion.
        """
        infos = columns.get("extra_info")
        if infos is None:
            known = ", ".join(sorted(columns)) or "none"
            raise ValueError(f"the reward needs the column extra_info of config `rl`; got: {known}")
        verdicts = self.verdicts(infos, [to_completion(reply) for reply in completions])
        return [verdict.reward for verdict in verdicts]

    def verdicts(
        self, infos: Sequence[Mapping[str, Any]], completions: Sequence[Completion]
    ) -> list[Verdict]:
        """The verdict on each completion, in order."""
        if len(infos) != len(completions):
            raise ValueError(f"{len(infos)} values of extra_info, {len(completions)} completions")
        places: dict[tuple[str, str], list[int]] = {}
        for place, info in enumerate(infos):
            _check(info)
            places.setdefault((info["verifier"], info["verifier_options"]), []).append(place)
        found: dict[int, Verdict] = {}
        for name, members in places.items():
            pairs = [(to_problem(infos[i]), _rollout(infos[i], completions[i])) for i in members]
            judged = self._judge(*name).judge_many(pairs)
            found.update(zip(members, judged, strict=True))
        return [found[place] for place in range(len(completions))]

    def close(self) -> None:
        """End the worker processes."""
        with self._lock:
            while self._judges:
                self._judges.popitem()[1].close()

    def _judge(self, verifier: str, options: str) -> Judge:
        with self._lock:
            if (verifier, options) not in self._judges:
                specs = {verifier: json.loads(options)}
                self._judges[verifier, options] = Judge(specs, default=verifier, **self._limits)
            return self._judges[verifier, options]


_SHARED = Rewarder()
atexit.register(_SHARED.close)


def reward(
    prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
) -> list[float | None]:
    """`Rewarder.reward` with the limits that a recipe has by default: a reward function of TRL."""
    return _SHARED.reward(prompts, completions, **columns)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, float]:
    """A reward function of verl, under the name by which it finds one.

    verl knows no reply without a reward: where the verifier could not tell, `score` is 0 and
    `judged` is 0 too, so that one sees in its metrics how often this happens.
    """
    if extra_info is None:
        raise ValueError("the reward needs the column extra_info of config `rl`")
    (verdict,) = _SHARED.verdicts([extra_info], [Completion(text=solution_str)])
    return {"score": verdict.reward or 0.0, "judged": float(verdict.reward is not None)}


def to_problem(info: Mapping[str, Any]) -> Problem:
    """The problem as its verifier sees it."""
    return Problem(
        id=info["problem_id"],
        prompt=info["problem"],
        answer=info["answer"],
        verifier=info["verifier"],
        spec=json.loads(info["spec"]),
    )


def to_completion(reply: Any) -> Completion:
    """A reply in any of the forms trainers hand over: text, or messages of the assistant."""
    turns = [{"content": reply}] if isinstance(reply, str) else reply
    text = "".join(turn.get("content") or "" for turn in turns)
    parts = [turn.get("reasoning_content") or turn.get("thinking") for turn in turns]
    reasoning = "\n".join(filter(None, parts))
    return Completion(text=_repaired(text), reasoning=_repaired(reasoning) or None)


def _repaired(text: str) -> str:
    """As the ledger of a run would hold it: `?` for what UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _rollout(info: Mapping[str, Any], completion: Completion) -> Rollout:
    return Rollout(problem_id=info["problem_id"], index=0, model="", completion=completion)


def _check(info: Mapping[str, Any]) -> None:
    if missing := [name for name in NEEDED if name not in info]:
        known = ", ".join(info) or "none"
        raise ValueError(f"extra_info lacks {', '.join(missing)}; it has: {known}")
    if not info["verifier"]:
        raise ValueError(f"problem {info['problem_id']} names no verifier in extra_info")
