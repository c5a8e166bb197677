"""Judges a Lean 4 proof with the `lean` of a local toolchain, in a sandbox.

    Problem.lean   ours          the definitions, and `problem_statement`        -> Problem.olean
    Answer.lean    the answer's, after our preamble                              -> Answer.olean
    Audit.lean     ours          replays Answer.olean through the kernel and reports on it

The audit does not import the answer as a file does: it reads its constants as data and sends them
to the kernel, so no macro, notation, attribute or initializer of the answer runs in it. It reports
whether the theorem's type is the statement's own expression, and which axioms it rests on. Beyond
`propext`, `Quot.sound` and `Classical.choice` none counts: `sorry` and `native_decide` are axioms.
An answer declares theorems and definitions alone.

Not tried: no Lean toolchain was at hand when this was written. The audit follows the interface of
`Lean.Replay` as Lean 4.20 has it, and what is tested is this side of it, with a program in the
place of `lean` that plays reports back. A toolchain whose interface differs fails to run the
audit, and then nothing is accepted.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from factory import sandbox
from factory.sandbox.box import Box, Command, Limits, Ran
from factory.types import Judgement, Outcome
from verifiers import _proof_lean_text
from verifiers._proof_task import Task

INSTALL = "install a Lean 4 toolchain (elan, lean-lang.org) and name its bin/lean as option `lean`"
AXIOMS = frozenset(("propext", "Quot.sound", "Classical.choice"))

AUDIT = """\
import Lean
import Lean.Replay

open Lean

def kindOf : ConstantInfo → String
  | .axiomInfo _ => "axiom" | .defnInfo _ => "def" | .thmInfo _ => "theorem"
  | .opaqueInfo _ => "opaque" | .quotInfo _ => "quot" | .inductInfo _ => "inductive"
  | .ctorInfo _ => "constructor" | .recInfo _ => "recursor"

def usedBy (info : ConstantInfo) : Array Name :=
  let inValue := match info with
    | .defnInfo d => d.value.getUsedConstants
    | .thmInfo t => t.value.getUsedConstants
    | .opaqueInfo o => o.value.getUsedConstants
    | .inductInfo i => i.ctors.toArray
    | .ctorInfo c => #[c.induct]
    | .recInfo r => r.all.toArray
    | _ => #[]
  info.type.getUsedConstants ++ inValue

partial def axiomsOf (find : Name → Option ConstantInfo) (todo : List Name)
    (seen : NameSet) (found : Array Name) : Array Name :=
  match todo with
  | [] => found
  | name :: rest =>
    if seen.contains name then axiomsOf find rest seen found else
    let seen := seen.insert name
    match find name with
    | none => axiomsOf find rest seen (found.push name)
    | some (.axiomInfo _) => axiomsOf find rest seen (found.push name)
    | some info => axiomsOf find ((usedBy info).toList ++ rest) seen found

unsafe def main (args : List String) : IO UInt32 := do
  let [given, nonce] := args | throw <| IO.userError "wanted: NAME NONCE"
  let name := given.toName
  initSearchPath (← findSysroot) ["."]
  let (answer, _) ← readModuleData "Answer.olean"
  let base ← importModules answer.imports {} 0
  let mut added : Std.HashMap Name ConstantInfo := {}
  let mut declared := #[]
  for own in answer.constNames, info in answer.constants do
    if (base.find? own).isSome then throw <| IO.userError s!"declared twice: {own}"
    added := added.insert own info
    let kind :=
      if info.isUnsafe then "unsafe" else if info.isPartial then "partial" else kindOf info
    declared := declared.push (Json.arr #[toJson own.toString, toJson kind])
  let env ← base.replay added
  let kind := (env.find? name).map kindOf |>.getD ""
  let same := match env.find? name, env.find? `problem_statement with
    | some (.thmInfo proved), some (.defnInfo wanted) =>
      added.contains name && proved.levelParams.isEmpty && proved.type == wanted.value
    | _, _ => false
  let axioms := axiomsOf env.find? [name] {} #[]
  let report := Json.mkObj [("kind", toJson kind), ("same", toJson same),
    ("axioms", toJson (axioms.map (·.toString))), ("declared", Json.arr declared)]
  IO.println s!"{nonce} {report.compress}"
  return 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """One Lean toolchain."""

    lean: str
    path: str
    """Further folders of compiled libraries, `:` between them."""
    timeout_s: float
    memory_mb: int

    def missing(self) -> str:
        """What is not installed, and how to get it; empty if nothing."""
        if self.lean and os.access(self.lean, os.X_OK):
            return ""
        return f"lean is missing{f' at {self.lean}' if self.lean else ''}: {INSTALL}"

    def check(self, task: Task) -> bytes:
        """The compiled statement.

        Raises:
            ValueError: the problem is not sound.
        """
        text = _proof_lean_text.problem(task)
        with sandbox.current().box(limits=self._limits()) as box:
            ran = self._compile(box, "Problem", {"Problem.lean": text.encode()})
        if failure := _failure(ran):
            raise ValueError(f"the statement does not compile: {failure}")
        return ran.stdout

    def judge(self, task: Task, answer: str) -> Judgement:
        """The verdict on an answer."""
        if refusal := _proof_lean_text.refusal(task, answer):
            return Judgement(outcome=refusal.outcome, extracted=answer, detail=refusal.detail)
        problem = self.check(task)
        files = {
            "Problem.olean": problem,
            "Answer.lean": _proof_lean_text.answer(task, answer).encode(),
        }
        with sandbox.current().box(limits=self._limits()) as box:
            ran = self._compile(box, "Answer", files)
        if failure := _failure(ran):
            return Judgement(outcome=Outcome.INCORRECT, extracted=answer, detail=failure)
        if not ran.stdout:
            detail = "the proof compiles to nothing"
            return Judgement(outcome=Outcome.INCORRECT, extracted=answer, detail=detail)
        outcome, detail = self._audit(task, problem, ran.stdout)
        return Judgement(outcome=outcome, extracted=answer, detail=detail)

    def _compile(self, box: Box, name: str, files: Mapping[str, bytes]) -> Ran:
        argv = self._argv("-o", f"{name}.olean", f"{name}.lean")
        return box.run(Command(argv=argv, files=files, output_file=f"{name}.olean"))

    def _audit(self, task: Task, problem: bytes, answer: bytes) -> tuple[Outcome, str]:
        nonce = secrets.token_hex(16)
        files = {"Problem.olean": problem, "Answer.olean": answer, "Audit.lean": AUDIT.encode()}
        argv = self._argv("--run", "Audit.lean", task.name, nonce)
        with sandbox.current().box(limits=self._limits()) as box:
            ran = box.run(Command(argv=argv, files=files))
        if failure := _failure(ran):
            return Outcome.UNSURE, f"the audit does not confirm the proof: {failure}"
        lines = [line for line in ran.stdout.split(b"\n") if line.startswith(nonce.encode())]
        report = _report(lines[0][len(nonce) :]) if len(lines) == 1 else None
        if report is None:
            return Outcome.UNSURE, "the report of the audit cannot be read"
        return _judged(task, report)

    def _argv(self, *arguments: str) -> tuple[str, ...]:
        folders = ":".join(filter(None, (".", self.path)))
        return ("/usr/bin/env", f"LEAN_PATH={folders}", self.lean, *arguments)

    def _limits(self) -> Limits:
        return Limits(
            cpu_s=self.timeout_s,
            wall_s=2 * self.timeout_s,
            memory_mb=self.memory_mb,
            processes=64,
            open_files=4096,
            file_mb=64,
            scratch_mb=128,
            output_bytes=16 << 20,
        )


def _report(text: bytes) -> dict[str, Any] | None:
    """The audit's report, if it is one."""
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return None
    shape = {"kind": str, "same": bool, "axioms": list, "declared": list}
    if not isinstance(report, dict) or set(report) != set(shape):
        return None
    if any(type(report[name]) is not kind for name, kind in shape.items()):
        return None
    if not all(isinstance(name, str) for name in report["axioms"]):
        return None
    pairs = report["declared"]
    sound = all(isinstance(p, list) and len(p) == 2 and all(map(_is_text, p)) for p in pairs)
    return report if sound else None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _judged(task: Task, report: dict[str, Any]) -> tuple[Outcome, str]:
    if not report["kind"]:
        return Outcome.INCORRECT, f"the answer does not define {task.name}"
    odd = [f"{kind} {name}" for name, kind in report["declared"] if kind not in ("theorem", "def")]
    if any(kind in ("axiom", "unsafe", "opaque") for _, kind in report["declared"]):
        return Outcome.INCORRECT, f"it declares {', '.join(sorted(odd)[:5])}"
    if odd:
        return Outcome.UNSURE, f"cannot be judged: it declares {', '.join(sorted(odd)[:5])}"
    if refused := sorted(set(report["axioms"]) - AXIOMS - task.axioms):
        return Outcome.INCORRECT, f"it rests on axioms: {', '.join(refused[:8])}"
    if report["kind"] != "theorem" or not report["same"]:
        return Outcome.INCORRECT, "the answer proves another statement"
    return Outcome.CORRECT, "proved; the kernel replays it"


def _failure(ran: Ran) -> str:
    """Why a run gave nothing, in one line; empty if it did."""
    if ran.ok:
        return ""
    if ran.ended in ("cpu", "wall"):
        return "no end within its time"
    if ran.ended == "output":
        return "too much output"
    if ran.ended == "signal":
        return f"ended by signal {ran.code}"
    text = (ran.stderr or ran.stdout).decode("utf-8", "replace")
    error = re.search(r"error:.*", text, re.DOTALL)
    return " ".join((error.group() if error else text).split())[:300] or f"exit code {ran.code}"
