"""rollout -> verdict: the one place where a checker's failure becomes an outcome.

Verifiers are plain: they raise, hang or blow up. They run in a worker process with a wall-clock
and a memory limit, and what happens to them is recorded here. A checker that could not tell is
never a wrong answer: reward is None exactly where the outcome is not `judged`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from factory.sandbox.child import PERTURBATIONS
from factory.sandbox.process import Reply, Worker
from factory.types import Completion, Outcome, Problem, Rollout, Verdict

_MARGIN_S = 5.0


class Judge:
    """Judges rollouts with the verifiers of a recipe.

    Example:
        with Judge({"math": {}}, default="math") as judge:
            verdict = judge.judge(problem, rollout)
    """

    def __init__(
        self,
        specs: dict[str, dict[str, Any]],
        default: str,
        timeout_s: float = 5.0,
        memory_mb: int = 2048,
        retries: int = 1,
        sandbox: dict[str, Any] | None = None,
    ) -> None:
        self._known = sorted(specs)
        self._default = default
        self._retries = retries
        self._timeout_s = timeout_s
        self._worker = Worker(specs, timeout_s=timeout_s, memory_mb=memory_mb, sandbox=sandbox)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Bring the worker process up now rather than with the first judgement."""
        with self._lock:
            self._worker.start()

    def judge(self, problem: Problem, rollout: Rollout) -> Verdict:
        """The verdict on one rollout."""
        return self.judge_many([(problem, rollout)])[0]

    def judge_many(self, pairs: Sequence[tuple[Problem, Rollout]]) -> list[Verdict]:
        """One verdict per pair, in order.

        Raises:
            PluginError: a verifier does not exist or does not take its options.
            SandboxError: the worker process did not come up.
        """
        requests = [self._request("verify", p, rollout.completion) for p, rollout in pairs]
        replies = self._run(requests, [self._name(p) for p, _ in pairs], verdicts=1)
        return [
            self._verdict(problem, rollout, reply)
            for (problem, rollout), reply in zip(pairs, replies, strict=True)
        ]

    def self_check(self, problem: Problem) -> str | None:
        """Why this problem's reference cannot be trusted, in one line; None if it can.

        The reference must be judged correct, and perturbed ones must not be.
        """
        return self.self_check_many([problem])[0]

    def self_check_many(self, problems: Sequence[Problem]) -> list[str | None]:
        """`self_check` of each problem, in order."""
        requests = [self._request("check", p) for p in problems]
        names = [self._name(p) for p in problems]
        replies = self._run(requests, names, verdicts=1 + PERTURBATIONS)
        reasons = [_reason(reply) for reply in replies]
        return [reason and _encodable(reason) for reason in reasons]

    def interrupt(self) -> None:
        """Judge nothing any more: whoever waits for verdicts gets `Interrupted`; from any thread.

        What hangs would hold up the end of a run for as long as a whole batch may take.
        """
        self._worker.interrupt()

    def close(self) -> None:
        """End the worker process, once nobody waits for verdicts any more."""
        with self._lock:
            self._worker.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _name(self, problem: Problem) -> str:
        return problem.verifier or self._default

    def _request(self, op: str, problem: Problem, completion: Completion | None = None) -> Any:
        """The request as bytes, or a Reply where it cannot even be sent."""
        name = self._name(problem)
        if name not in self._known:
            known = ", ".join(self._known) or "none"
            return _refused(f"unknown verifier {name!r}; known: {known}")
        request = {"op": op, "verifier": name, "problem": _plain(problem)}
        if completion is not None:
            request["completion"] = _plain(completion)
        try:
            return json.dumps(request).encode()
        except (TypeError, ValueError, RecursionError) as error:
            return _refused(f"the problem is not plain JSON: {error}")

    def _run(self, requests: list[Any], names: list[str], verdicts: int) -> list[Reply]:
        """Every request's reply; hangs, crashes and a sandbox that fails are tried again.

        Args:
            verdicts: how many one request asks for; the time that it may take grows with them.
        """
        replies = list(requests)
        todo = [i for i, request in enumerate(requests) if not isinstance(request, Reply)]
        with self._lock:
            if todo:
                self._worker.start()
            limits = [self._limit(name, verdicts) for name in names]
            for _ in range(1 + self._retries):
                answered = self._worker.run([requests[i] for i in todo], [limits[i] for i in todo])
                for i, reply in zip(todo, answered, strict=True):
                    replies[i] = reply
                todo = [i for i in todo if replies[i].again]
                if not todo:
                    break
        return replies

    def _limit(self, name: str, verdicts: int) -> float:
        """Seconds for one request: the recipe's, or what the verifier itself says it may take."""
        own = self._worker.limits.get(name, 0.0)
        return max(self._timeout_s, verdicts * own + _MARGIN_S if own else 0.0)

    def _verdict(self, problem: Problem, rollout: Rollout, reply: Reply) -> Verdict:
        outcome, reward, extracted, detail = _outcome(reply)
        name = self._name(problem)
        return Verdict(
            problem_id=rollout.problem_id,
            index=rollout.index,
            outcome=outcome,
            reward=reward,
            extracted=None if extracted is None else _encodable(extracted),
            detail=_encodable(detail),
            verifier=name,
            verifier_version=self._worker.versions.get(name, ""),
            sandbox=(reply.answer or {}).get("sandbox", ""),
            seconds=reply.seconds,
        )


_FIELDS = {cls: tuple(cls.__dataclass_fields__) for cls in (Problem, Completion)}


def _plain(noun: Problem | Completion) -> dict[str, Any]:
    return {name: getattr(noun, name) for name in _FIELDS[type(noun)]}


def _encodable(text: str) -> str:
    """The text, with `?` for what UTF-8 cannot hold: a verdict is stored and published."""
    return text.encode("utf-8", "replace").decode()


def _refused(reason: str) -> Reply:
    return Reply(answer={"raised": reason})


def _reason(reply: Reply) -> str | None:
    if reply.answer is None:
        return f"the checker failed: {reply.detail}"
    if raised := reply.answer.get("raised"):
        return f"the checker failed: {raised}"
    reason: str | None = reply.answer["reason"]
    return reason


def _outcome(reply: Reply) -> tuple[Outcome, float | None, str | None, str]:
    """Outcome, reward, extracted, detail; whatever is not a sound answer is an error."""
    if reply.fault == "timeout":
        return Outcome.TIMEOUT, None, None, reply.detail
    if reply.answer is None:
        return Outcome.ERROR, None, None, reply.detail
    if raised := reply.answer.get("raised"):
        return Outcome.ERROR, None, None, raised
    outcome, extracted = Outcome(reply.answer["outcome"]), reply.answer["extracted"]
    reward, detail = reply.answer["reward"], reply.answer["detail"]
    if not outcome.judged:
        return outcome, None, extracted, detail
    if reward is None:
        reward = 1.0 if outcome is Outcome.CORRECT else 0.0
    if not 0.0 <= reward <= 1.0:  # NaN fails this too
        return Outcome.ERROR, None, extracted, f"reward {reward!r} is not in [0, 1]: {detail}"
    return outcome, reward, extracted, detail
