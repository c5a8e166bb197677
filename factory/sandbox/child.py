"""The worker process that runs verifiers: `python -m factory.sandbox.child`.

It reads requests on stdin and answers each in turn, both as a 4-byte length and JSON:

    {"verifiers": {name: options}, "sandbox": {...}, "memory_mb": n, "parent": pid}
                                            ->  {"versions": {name: version}, "limits": {name: s}}
    {"op": "verify", "verifier": ..., "problem": ..., "completion": ...}  ->  the judgement
    {"op": "check", "verifier": ..., "problem": ...}               ->  {"reason": str | null}

What a verifier raises is an answer as well: {"raised": "TypeError: ..."}, with `exhausted` where
this process should not go on, and `again` where another one may do better. The channel is moved to
private descriptors first, so nothing that a verifier or a library prints can forge an answer.

This bounds time and memory and keeps secrets out of reach of an accident. It is no jail: what a
model wrote is executed in a box of `factory.sandbox.current()` and nowhere else.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import resource
import signal
import sys
import traceback
from typing import Any, BinaryIO

from factory import plugins, sandbox
from factory.errors import SandboxError
from factory.types import Completion, Judgement, Outcome, Problem

_PR_SET_PDEATHSIG = 1
MAX_EXTRACTED = 4096
MAX_DETAIL = 1000
PERTURBATIONS = 3
"""How many distinct perturbed completions a problem's reference is held against."""


def main() -> None:
    requests, answers = _private_channel()
    setup = _read(requests)
    if setup is None:
        return
    _contain(setup)
    verifiers: dict[str, Any] = {}
    try:
        for name, options in setup["verifiers"].items():
            verifiers[name] = plugins.build("verifier", name, options)
        sandbox.choose(**setup["sandbox"])
        if any(getattr(verifier, "runs_code", False) for verifier in verifiers.values()):
            sandbox.current().start()
            sandbox.used()
    except Exception as error:  # the parent raises it as an error of its own
        _write(answers, {"failed": str(error), "type": type(error).__name__})
        return
    versions = {name: v.version for name, v in verifiers.items()}
    limits = {name: getattr(v, "limit_s", 0.0) for name, v in verifiers.items()}
    _write(answers, {"versions": versions, "limits": limits})
    own = os.getpid()
    while (request := _read(requests)) is not None:
        answer = _answer(verifiers, request)
        if os.getpid() != own:
            os._exit(0)  # a verifier has forked: its other half is to answer, and it alone
        _write(answers, answer)


def _private_channel() -> tuple[BinaryIO, BinaryIO]:
    """Move stdin and stdout out of reach; whatever reads 0 or writes 1 or 2 gets /dev/null."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _contain(setup: dict[str, Any]) -> None:
    """Bound memory, leave no core file, and die with the parent."""
    limit, hard = setup["memory_mb"] << 20, resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))  # a sandbox's jobs have their own
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != setup["parent"]:
        sys.exit("the parent is gone")


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    header = stream.read(4)
    if len(header) < 4:
        return None
    body = stream.read(int.from_bytes(header, "big"))
    return json.loads(body)  # type: ignore[no-any-return]


def _write(stream: BinaryIO, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    stream.write(len(body).to_bytes(4, "big") + body)
    stream.flush()


def _answer(verifiers: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    verifier = verifiers[request["verifier"]]
    try:
        problem = Problem(
            **{**request["problem"], "messages": tuple(request["problem"]["messages"])}
        )
        if request["op"] == "check":
            return {"reason": _check(verifier, problem)}
        judgement = _verify(verifier, problem, Completion(**request["completion"]))
        return {
            "outcome": judgement.outcome.value,
            "extracted": judgement.extracted and judgement.extracted[:MAX_EXTRACTED],
            "detail": judgement.detail[:MAX_DETAIL],
            "reward": None if judgement.reward is None else float(judgement.reward),
            "sandbox": sandbox.used(),
        }
    except MemoryError:
        return {"raised": "MemoryError: out of memory", "exhausted": True}
    except SandboxError as error:
        return {"raised": f"SandboxError: {error}"[:MAX_DETAIL], "exhausted": True, "again": True}
    except BaseException as error:  # SystemExit and KeyboardInterrupt are a verifier's fault too
        where = _where(verifier, error)
        return {"raised": f"{type(error).__name__}: {error}"[: MAX_DETAIL - len(where)] + where}


def _where(verifier: Any, error: BaseException) -> str:
    """` (math.py:41)`: the innermost frame in the verifier's file or one beside it."""
    own = getattr(sys.modules.get(type(verifier).__module__), "__file__", None)
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        folder, name = os.path.split(frame.f_code.co_filename)
        if own and folder == os.path.dirname(own):
            where = f" ({name}:{line})"
    return where


def _verify(verifier: Any, problem: Problem, completion: Completion) -> Judgement:
    """The judgement.

    Raises:
        TypeError: it is none: types are checked by nobody else.
    """
    judgement = verifier.verify(problem, completion)
    if not isinstance(judgement, Judgement):
        what = "None" if judgement is None else f"a {type(judgement).__name__}"
        raise TypeError(f"`verify` returned {what}, a Judgement is wanted")
    for name, kinds, wanted in (
        ("outcome", Outcome, "an Outcome"),
        ("extracted", str | None, "a text or None"),
        ("detail", str, "a text"),
    ):
        if not isinstance(value := getattr(judgement, name), kinds):
            raise TypeError(f"`{name}` is a {type(value).__name__}, not {wanted}")
    return judgement


def _check(verifier: Any, problem: Problem) -> str | None:
    """Why the problem's reference cannot be trusted, or None."""
    try:
        reference = verifier.reference(problem)
    except ValueError as error:
        return f"cannot be verified: {error}"
    judgement = _verify(verifier, problem, Completion(text=reference))
    if judgement.outcome is not Outcome.CORRECT:
        return f"the reference is judged {judgement.outcome}: {judgement.detail}"
    seen: set[str] = set()
    for text in itertools.islice(verifier.perturb(problem), 8 * PERTURBATIONS):
        if text in seen or len(seen) == PERTURBATIONS:
            continue
        seen.add(text)
        if _verify(verifier, problem, Completion(text=text)).outcome is Outcome.CORRECT:
            return f"a perturbed reference is judged correct: {text[-200:]!r}"
    return None


if __name__ == "__main__":
    main()
