"""Judges a Coq proof with `coqc` and `coqchk`, in a sandbox.

    Problem.v    ours       the definitions, and `statement`         -> Problem.vo
    Answer.v     the answer's, after our preamble                    -> Answer.vo
    coqchk       on Answer.vo: its constants, its axioms
    Verdict.v    ours       `checked : statement := answer`, what it rests on, what it is made of
    coqchk       on Verdict.vo

A statement is elaborated where no command of the answer has run, so redefined names, notations,
coercions and scopes change nothing: `checked` has our type or it does not exist. All that is read
comes from runs in which none of the answer's commands is executed; what the answer prints is
thrown away. Notations and options of Answer.vo take effect in none of them, since it is required
but not imported.

Three things are held against each other: `Print Assumptions` of `checked`, the axioms that
`coqchk` finds in the answer whether they are used or not, and the terms themselves. The terms may
hold no fixpoint of their own and speak of no type that is not the library's or the problem's: that
is where the kernels in use can be fooled without an axiom (`_proof_screen`). A term shows a
fixpoint as well where a proof computed with an unfolded function; such a proof is set aside too.

An answer's own limits are its own failure. Ours, on its compiled file, prove nothing.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from factory import sandbox
from factory.sandbox.box import Box, Command, Limits, Ran
from factory.types import Judgement, Outcome
from verifiers import _proof_screen
from verifiers._proof_task import Task

COQC, COQCHK = "/usr/bin/coqc", "/usr/bin/coqchk"
INSTALL = "apt install coq"

_MAX_CONSTANTS = 300
# The virtual machine is switched off: it trusts terms that tactics may have made ill-typed.
_COMPILE = (
    *("/usr/bin/env", "OCAMLFIND_CONF=findlib.conf", COQC),
    *("-q", "-noglob", "-w", "none", "-bytecode-compiler", "no", "-Q", ".", "Work"),
)
# Where Coq's own plug-ins lie, and nobody else's.
_FINDLIB = {"findlib.conf": b'path="/usr/lib/ocaml"\ndestdir="/usr/lib/ocaml"\n'}
_NAME = r"[\w'.]+"
_CONSTANT = re.compile(r"^\s*checking cst:\s*Work\.Answer\.(.+)$", re.MULTILINE)
_MODULE = re.compile(r"^\s*checking module:\s*Work\.Answer\.", re.MULTILINE)
_SUMMARY = re.compile(r"^\* ([^:\n]+):(.*(?:\n {4}.*)*)", re.MULTILINE)
_FIXPOINT = re.compile(r"(?<![\w'.])(?:co)?fix(?![\w'])")
_OF_ANSWER = re.compile(rf"(?<![\w'.])(?:Work\.)?Answer\.({_NAME})")
_IMPORTS = frozenset(("Require", "From", "Import", "Open", "Set", "Unset"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """Coq, as it is installed here."""

    timeout_s: float
    """Seconds of one run of `coqc` or `coqchk`; a proof takes five at most."""
    memory_mb: int

    def missing(self) -> str:
        """What is not installed, and how to get it; empty if nothing."""
        absent = [path for path in (COQC, COQCHK) if not os.access(path, os.X_OK)]
        return f"{absent[0]} is missing: {INSTALL}" if absent else ""

    def check(self, task: Task) -> bytes:
        """The compiled statement.

        Raises:
            ValueError: the problem is not sound.
        """
        for sentence in _proof_screen.sentences(task.preamble):
            if (command := _proof_screen.head(sentence)) not in _IMPORTS:
                rule = f"spec.preamble may hold {', '.join(sorted(_IMPORTS))} alone"
                raise ValueError(f"{rule}; got {command!r}, which belongs into spec.definitions")
        if len(_proof_screen.sentences(task.statement)) != 1:
            raise ValueError("spec.statement must be one term, without a full stop")
        text = (
            f"{task.preamble}\n{task.definitions}\n"
            f"Definition statement : Prop :=\n{task.statement}\n.\n"
        )
        return _problem_vo(text, self.timeout_s, self.memory_mb)

    def judge(self, task: Task, answer: str) -> Judgement:
        """The verdict on an answer."""
        if refusal := _proof_screen.refusal(answer):
            return Judgement(outcome=refusal.outcome, extracted=answer, detail=refusal.detail)
        return self.compile(task, answer)

    def compile(self, task: Task, answer: str) -> Judgement:
        """The verdict on an answer that is not screened: what the kernel and `coqchk` say."""
        problem_vo = self.check(task)
        with sandbox.current().box(limits=self._limits()) as box:
            files = {"Problem.vo": problem_vo, "Answer.v": _answer_v(task, answer).encode()}
            ran = _compiled(box, "Answer", files)
        if failure := _failure(ran, self.timeout_s):
            return Judgement(outcome=Outcome.INCORRECT, extracted=answer, detail=failure)
        if not ran.stdout:
            detail = "the proof compiles to nothing"
            return Judgement(outcome=Outcome.INCORRECT, extracted=answer, detail=detail)
        files = {"Problem.vo": problem_vo, "Answer.vo": ran.stdout}
        outcome, detail = self._trusted(task, files)
        return Judgement(outcome=outcome, extracted=answer, detail=detail)

    def _trusted(self, task: Task, files: Mapping[str, bytes]) -> tuple[Outcome, str]:
        """The runs in which no command of the answer is executed."""
        with sandbox.current().box(files, limits=self._limits()) as box:
            ran = _checked(box, "-o", "-norec", "Work.Answer")
            if failure := _failure(ran, self.timeout_s):
                return Outcome.UNSURE, f"coqchk does not confirm the proof: {failure}"
            report = ran.stderr.decode("utf-8", "replace")  # coqchk writes all of it there
            if doubt := _doubt(report):
                return doubt
            constants = _CONSTANT.findall(report)
            if len(constants) > _MAX_CONSTANTS:
                return Outcome.UNSURE, f"more than {_MAX_CONSTANTS} constants"
            mark = f"mark_{secrets.token_hex(16)}"
            text = _verdict_v(task, mark, constants).encode()
            made = {"Verdict.v": text, **_FINDLIB}
            ran = box.run(Command(argv=(*_COMPILE, "Verdict.v"), files=made, keep=True))
            if failure := _failure(ran, self.timeout_s):
                return _mismatch(task, failure)
            printed = ran.stdout.decode("utf-8", "replace")
            assumed, found, terms = printed.partition(f"{mark} = ")
            if not found:
                return Outcome.UNSURE, "the report of coqc cannot be read"
            if problem := _assumptions(assumed, report, task.axioms):
                return Outcome.INCORRECT, problem
            if problem := _terms(terms, constants):
                return Outcome.UNSURE, problem
            ran = _checked(box, "-silent", "-norec", "Work.Verdict")
            if failure := _failure(ran, self.timeout_s):
                return Outcome.UNSURE, f"coqchk does not confirm the verdict: {failure}"
        return Outcome.CORRECT, "proved; coqc and coqchk agree"

    def _limits(self) -> Limits:
        return Limits(
            cpu_s=self.timeout_s,
            wall_s=2 * self.timeout_s,
            memory_mb=self.memory_mb,
            open_files=256,
            file_mb=64,
            scratch_mb=128,
            output_bytes=16 << 20,
        )


@lru_cache(maxsize=256)
def _problem_vo(text: str, timeout_s: float, memory_mb: int) -> bytes:
    """The compiled statement; the same for every answer to a problem."""
    limits = Prover(timeout_s=timeout_s, memory_mb=memory_mb)._limits()
    with sandbox.current().box(limits=limits) as box:
        ran = _compiled(box, "Problem", {"Problem.v": text.encode()})
    if failure := _failure(ran, timeout_s):
        raise ValueError(f"the statement does not compile: {failure}")
    return ran.stdout


def _answer_v(task: Task, answer: str) -> str:
    """An answer that states the theorem stands as it is; any other is the proof of ours."""
    found = _proof_screen.sentences(answer)
    if not any(_proof_screen.declares(sentence, task.name) for sentence in found):
        heads = [_proof_screen.head(sentence) for sentence in found]
        start = "" if heads[:1] == ["Proof"] else "Proof.\n"
        end = "" if heads[-1:] and heads[-1] in ("Qed", "Defined", "Admitted") else "\nQed."
        answer = f"Theorem {task.name} :\n{task.statement}\n.\n{start}{answer}{end}"
    return f"{task.preamble}\nRequire Import Work.Problem.\n{answer}\n"


def _verdict_v(task: Task, mark: str, constants: list[str]) -> str:
    return "\n".join(
        (
            "Require Work.Problem.",
            "Require Work.Answer.",
            f"Definition checked : Work.Problem.statement := Work.Answer.{task.name}.",
            "Print Assumptions checked.",
            f"Definition {mark} := tt.",
            f"Print {mark}.",
            "Set Printing All.",
            "Set Printing Depth 1000000000.",
            "Set Printing Width 1000000.",
            *(f"Print Work.Answer.{name}." for name in constants),
            "",
        )
    )


def _compiled(box: Box, name: str, files: Mapping[str, bytes]) -> Ran:
    """A file compiled in a box that keeps nothing of it."""
    argv = (*_COMPILE, f"{name}.v")
    return box.run(Command(argv=argv, files={**files, **_FINDLIB}, output_file=f"{name}.vo"))


def _checked(box: Box, *arguments: str) -> Ran:
    """A run of `coqchk` on what lies in a box of ours."""
    return box.run(Command(argv=(COQCHK, "-Q", ".", "Work", *arguments), keep=True))


def _failure(ran: Ran, timeout_s: float) -> str:
    """Why a run gave nothing, in one line; empty if it did."""
    if ran.ok:
        return ""
    if ran.ended in ("cpu", "wall"):
        return f"no end within {timeout_s:g} s"
    if ran.ended == "output":
        return "too much output"
    if ran.ended == "signal":
        return f"ended by signal {ran.code}"
    text = ran.stderr.decode("utf-8", "replace")
    text = text[text.rfind("Error:") :] if "Error:" in text else text[-400:]
    return " ".join(text.split())[:300] or f"exit code {ran.code}"


def _doubt(report: str) -> tuple[Outcome, str] | None:
    """What `coqchk` finds in the answer that a proof may not hold."""
    found = _summary(report)
    expected = {
        "Theory",
        "Axioms",
        "Constants/Inductives relying on type-in-type",
        "Constants/Inductives relying on unsafe (co)fixpoints",
        "Inductives whose positivity is assumed",
    }
    if set(found) != expected or found["Theory"] != ["Set is predicative"]:
        return Outcome.UNSURE, "the report of coqchk cannot be read"
    if own := sorted(name for name in found["Axioms"] if name.startswith("Work.Answer.")):
        names = ", ".join(name.removeprefix("Work.Answer.") for name in own[:5])
        return Outcome.INCORRECT, f"it assumes what it does not prove: {names}"
    for title in sorted(expected - {"Theory", "Axioms"}):
        if found[title]:
            return Outcome.INCORRECT, f"{title}: {', '.join(found[title][:3])}"
    if _MODULE.search(report):
        return Outcome.UNSURE, "it declares modules of its own"
    if any(not re.fullmatch(_NAME, name) for name in _CONSTANT.findall(report)):
        return Outcome.UNSURE, "it declares names that cannot be read"
    return None


def _summary(report: str) -> dict[str, list[str]]:
    """The sections of `coqchk -o`: title to entries."""
    _, _, summary = report.partition("CONTEXT SUMMARY")
    found = {}
    for title, body in _SUMMARY.findall(summary):
        lines = [line.strip() for line in body.split("\n")]
        found[title] = [line for line in lines if line and line != "<none>"]
    return found


def _mismatch(task: Task, failure: str) -> tuple[Outcome, str]:
    """What it means that `checked` does not exist."""
    if "was not found in the current environment" in failure:
        return Outcome.INCORRECT, f"the answer does not define {task.name}"
    if "has type" in failure:
        return Outcome.INCORRECT, "the answer proves another statement"
    return Outcome.UNSURE, f"the statement cannot be compared: {failure}"


def _assumptions(text: str, report: str, allowed: frozenset[str]) -> str:
    """The axioms beyond the allowed ones; empty if there are none."""
    text = text.strip()
    if text == "Closed under the global context":
        return ""
    title, _, body = text.partition("\n")
    if title != "Axioms:":
        return f"the report of coqc cannot be read: {title[:80]!r}"
    known = _summary(report)["Axioms"]
    refused = []
    for line in body.split("\n"):
        if line.startswith(" "):
            continue
        name, colon, _ = line.partition(" :")
        whole = [axiom for axiom in known if f".{axiom}".endswith(f".{name}")]
        if len(whole) != 1 or whole[0] not in allowed:
            refused.append(name if colon or " " not in line else line)
    return f"it rests on axioms: {', '.join(sorted(refused)[:8])}" if refused else ""


def _terms(text: str, constants: list[str]) -> str:
    """Why the printed terms of the answer cannot be trusted; empty if they can."""
    if _FIXPOINT.search(text):
        return "its term holds a fixpoint of its own"
    if ".." in text:
        return "its term cannot be read whole"
    known = set(constants)
    for name in _OF_ANSWER.findall(text):
        if name not in known:
            return f"it declares a type of its own: {name[:80]}"
    return ""
