"""Judges formal proofs: Coq (Rocq) and Lean 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _proof_coq, _proof_lean, _proof_task, _proof_wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The kernel accepts the answer as a proof of our statement, from axioms that are allowed.

    `spec`: `system` (coq, lean), `statement`, `name`, `solution` (a proof); where needed
    `preamble` (imports, scopes), `definitions` (what the statement speaks of) and `axioms` (the
    whole names of those that a proof may rest on). The answer is the last fenced block of the
    system's language. One that states `Theorem NAME` stands behind the preamble as it is, with
    whatever lemmas it brings; any other is the proof of the statement, with or without `Proof.`
    and `Qed.`, with or without `by`. How it is judged, and what it may not use, is said in
    `_proof_coq`, `_proof_screen` and `_proof_lean`.
    """

    version: ClassVar[str] = "1"
    runs_code: ClassVar[bool] = True

    timeout_s: float = 20.0
    """CPU seconds of each run of the prover; a wall clock of twice as much."""
    memory_mb: int = 2048
    """Address space of each run."""
    lean: str = ""
    """The `lean` of a toolchain, by its absolute path."""
    lean_path: str = ""
    """Folders of compiled Lean libraries, `:` between them."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s must be in (0, 3600], got {self.timeout_s}")
        if self.memory_mb < 256:
            raise ValueError(f"memory_mb must be at least 256, got {self.memory_mb}")

    @property
    def limit_s(self) -> float:
        """The most seconds one judgement takes: five runs."""
        return 10 * self.timeout_s + 10

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            task = _proof_task.read(problem)
            prover = self._prover(task)
            answer, why = _proof_task.proof(completion, task.system)
            if answer is None:
                return Judgement(outcome=Outcome.UNPARSABLE, detail=why)
            return prover.judge(task, answer)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")

    def reference(self, problem: Problem) -> str:
        task = _proof_task.read(problem)
        if not task.solution.strip():
            raise ValueError("spec.solution is missing: no proof to check the statement with")
        self._prover(task).check(task)
        return _proof_task.fenced(task.solution, task.system)

    def perturb(self, problem: Problem) -> Iterator[str]:
        task = _proof_task.read(problem)
        for text in _proof_wrong.wrong(task):
            yield _proof_task.fenced(text, task.system)

    def _prover(self, task: _proof_task.Task) -> _proof_coq.Prover | _proof_lean.Prover:
        """The prover of a task.

        Raises:
            ValueError: it is not installed.
        """
        prover: _proof_coq.Prover | _proof_lean.Prover
        if task.system == "coq":
            prover = _proof_coq.Prover(timeout_s=self.timeout_s, memory_mb=self.memory_mb)
        else:
            prover = _proof_lean.Prover(
                lean=self.lean,
                path=self.lean_path,
                timeout_s=self.timeout_s,
                memory_mb=self.memory_mb,
            )
        if missing := prover.missing():
            raise ValueError(missing)
        return prover
