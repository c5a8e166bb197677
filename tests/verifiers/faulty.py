"""A verifier that does what the completion says: hang, crash, eat memory, raise, ..."""

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.errors import SandboxError
from factory.types import Completion, Judgement, Outcome, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Test only."""

    version: ClassVar[str] = "test-1"

    bonus: float = 1.0
    """Reward of a correct answer."""

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        match completion.text:
            case "hang":
                time.sleep(3600)
            case "hang in C":
                re.match("(a+)+$", "a" * 60 + "b")
            case "bomb":
                return Judgement(outcome=Outcome.CORRECT, detail=str(len(bytearray(1 << 34))))
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(7)
            case "raise":
                raise TypeError("no such thing")
            case "sys.exit":
                sys.exit(0)
            case "print":
                print('{"outcome": "correct"}', flush=True)
                os.write(1, b"\0\0\0\2{}")
            case "environment":
                return Judgement(outcome=Outcome.CORRECT, detail=" ".join(sorted(os.environ)))
            case "pid":
                return Judgement(outcome=Outcome.CORRECT, detail=str(os.getpid()))
            case "child":
                pid = os.fork()
                if pid == 0:
                    time.sleep(3600)
                return Judgement(outcome=Outcome.CORRECT, detail=str(pid))
            case "long":
                return Judgement(outcome=Outcome.CORRECT, extracted="x" * 10**7, detail="y" * 10**7)
            case "nan" | "2.0" | "-0.5":
                return Judgement(outcome=Outcome.CORRECT, reward=float(completion.text))
            case "list":
                return Judgement(outcome=Outcome.CORRECT, extracted=["a"])  # type: ignore[arg-type]
            case "bytes":
                return Judgement(outcome=Outcome.CORRECT, detail=b"a")  # type: ignore[arg-type]
            case "word":
                return Judgement(outcome="correct")  # type: ignore[arg-type]
            case "nothing":
                return None  # type: ignore[return-value]
            case "no box":
                raise SandboxError(f"process {os.getpid()} has no sandbox")
            case "fork":
                os.fork()  # and both go on
            case "unsure":
                return Judgement(outcome=Outcome.UNSURE, reward=0.5, detail="who knows")
        correct = completion.text == problem.answer
        outcome = Outcome.CORRECT if correct else Outcome.INCORRECT
        return Judgement(outcome=outcome, extracted=completion.text, reward=self.bonus * correct)

    def reference(self, problem: Problem) -> str:
        if not problem.answer:
            raise ValueError("no answer")
        return problem.answer

    def perturb(self, problem: Problem) -> Iterator[str]:
        yield problem.spec.get("perturbed", f"{problem.answer}!")
