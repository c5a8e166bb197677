"""Lean proofs, with a program in the place of `lean` that plays reports back.

What a real toolchain would say is not tested here: none is at hand. These tests hold this side to
its word: what is handed to `lean`, what is screened, and that nothing but a whole report of the
audit, with the nonce of this very run, makes an answer correct.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import sandbox
from factory.sandbox.box import Command, Ran
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _proof_lean_text, _proof_task
from verifiers.proof import Verifier

FAKE = """\
#!{python}
import json, pathlib, sys
play = json.loads(pathlib.Path({play!r}).read_text())
arguments = sys.argv[1:]
if arguments[0] == "-o":
    name = arguments[2].removesuffix(".lean")
    pathlib.Path({seen!r}, arguments[2]).write_text(pathlib.Path(arguments[2]).read_text())
    told = play.get(name, {{}})
    sys.stdout.write(told.get("says", ""))
    if told.get("code", 0) == 0:
        pathlib.Path(arguments[1]).write_bytes(told.get("makes", "compiled").encode())
    sys.exit(told.get("code", 0))
assert arguments[:2] == ["--run", "Audit.lean"], arguments
name, nonce = arguments[2:]
for line in play["audit"]:
    print(line.replace("NONCE", nonce))
sys.exit(play.get("audit_code", 0))
"""
SPEC = {
    "system": "lean",
    "name": "add_zero",
    "preamble": "import Mathlib\nopen Nat",
    "statement": "forall n : Nat, n + 0 = n",
    "solution": "by\n  intro n\n  rfl",
}
GOOD: dict[str, Any] = {
    "kind": "theorem",
    "same": True,
    "axioms": ["propext"],
    "declared": [["add_zero", "theorem"], ["helper", "def"]],
}


class Box:
    """Runs commands here: the only program they name is the one of this file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, job: Command) -> Ran:
        work = self._folder / f"run{len(list(self._folder.iterdir()))}"
        work.mkdir()
        for name, content in job.files.items():
            (work / name).write_bytes(content)
        done = subprocess.run(job.argv, cwd=work, capture_output=True, check=False, timeout=60)
        out = done.stdout
        if job.output_file is not None:
            made = work / job.output_file
            out = made.read_bytes() if made.exists() else b""
        return Ran(ended="exited", code=done.returncode, stdout=out, stderr=done.stderr)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Lean:
    """A `lean` whose reports the test decides on."""

    def __init__(self, folder: Path) -> None:
        self.program, self._play = folder / "lean", folder / "play.json"
        self.seen = folder / "seen"
        self.seen.mkdir()
        text = FAKE.format(python=sys.executable, play=str(self._play), seen=str(self.seen))
        self.program.write_text(text, encoding="utf-8")
        self.program.chmod(0o755)

    def judge(self, answer: str, audit: Any = None, **play: Any) -> Judgement:
        lines = audit if isinstance(audit, list) else [f"NONCE {json.dumps(audit or GOOD)}"]
        self._play.write_text(json.dumps({"audit": lines, **play}), encoding="utf-8")
        verifier = Verifier(lean=str(self.program), timeout_s=30)
        text = _proof_task.fenced(answer, "lean")
        return verifier.verify(problem(), Completion(text=text))

    def file(self, name: str) -> str:
        return (self.seen / name).read_text(encoding="utf-8")


def problem(**spec: object) -> Problem:
    return Problem(id="x", prompt="", spec={**SPEC, **spec})


@pytest.fixture
def lean(tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    runs.mkdir()

    class Sandbox:
        def box(self, files: object = None, **_: object) -> Box:
            return Box(runs)

    monkeypatch.setattr(sandbox, "current", Sandbox)
    return Lean(tmp_path)


def test_a_confirmed_proof_is_correct(lean):
    judgement = lean.judge("by\n  intro n\n  rfl")
    assert judgement.outcome is Outcome.CORRECT
    assert judgement.detail == "proved; the kernel replays it"


def test_the_statement_is_compiled_by_itself(lean):
    lean.judge("by rfl")
    assert lean.file("Problem.lean").endswith(
        "def problem_statement : Prop :=\n  forall n : Nat, n + 0 = n\n"
    )
    assert "rfl" not in lean.file("Problem.lean")


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        ("by\n  intro n\n  rfl", "  forall n : Nat, n + 0 = n := by\n  intro n\n  rfl\n"),
        (":= fun n => rfl", "  forall n : Nat, n + 0 = n := fun n => rfl\n"),
        ("intro n\nrfl", "  forall n : Nat, n + 0 = n := by\n  intro n\n  rfl\n"),
        ("theorem add_zero (n : Nat) : n + 0 = n := rfl", ") : n + 0 = n := rfl\n"),
        (
            "import Mathlib\nlemma a : True := trivial\ntheorem add_zero : 1 = 1 := rfl",
            "lemma a : True := trivial\ntheorem add_zero : 1 = 1 := rfl\n",
        ),
    ],
)
def test_an_answer_is_a_proof_or_a_file(lean, answer, ends):
    lean.judge(answer)
    text = lean.file("Answer.lean")
    assert text.startswith("import Mathlib\nimport Problem\nopen Nat\n")
    assert text.rstrip("\n").endswith(ends.rstrip("\n"))
    assert text.count("import Mathlib") == 1


@pytest.mark.parametrize(
    ("report", "outcome", "said"),
    [
        ({"axioms": ["propext", "sorryAx"]}, Outcome.INCORRECT, "axioms: sorryAx"),
        ({"axioms": ["Lean.ofReduceBool"]}, Outcome.INCORRECT, "axioms: Lean.ofReduceBool"),
        ({"axioms": ["cheat", "Quot.sound"]}, Outcome.INCORRECT, "axioms: cheat"),
        ({"declared": [["cheat", "axiom"]]}, Outcome.INCORRECT, "axiom cheat"),
        ({"declared": [["f", "unsafe"]]}, Outcome.INCORRECT, "unsafe f"),
        ({"declared": [["f", "opaque"]]}, Outcome.INCORRECT, "opaque f"),
        ({"declared": [["T", "inductive"]]}, Outcome.UNSURE, "inductive T"),
        ({"same": False}, Outcome.INCORRECT, "another statement"),
        ({"kind": "def"}, Outcome.INCORRECT, "another statement"),
        ({"kind": ""}, Outcome.INCORRECT, "does not define add_zero"),
    ],
)
def test_what_the_audit_finds_counts(lean, report, outcome, said):
    judgement = lean.judge("by rfl", {**GOOD, **report})
    assert judgement.outcome is outcome
    assert said in judgement.detail


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [json.dumps(GOOD)],
        [f"0123 {json.dumps(GOOD)}"],
        [f"NONCE {json.dumps(GOOD)}"] * 2,
        ["NONCE"],
        ["NONCE true"],
        ["NONCE " + "[" * 100_000],
        [f"NONCE {json.dumps({**GOOD, 'same': 1})}"],
        [f"NONCE {json.dumps({**GOOD, 'axioms': [1]})}"],
        [f"NONCE {json.dumps({**GOOD, 'declared': [['x']]})}"],
        [f"NONCE {json.dumps({k: v for k, v in GOOD.items() if k != 'axioms'})}"],
        [f"NONCE {json.dumps({**GOOD, 'more': 1})}"],
    ],
)
def test_nothing_but_one_whole_report_counts(lean, lines):
    assert lean.judge("by rfl", lines).outcome is Outcome.UNSURE


def test_an_audit_that_fails_confirms_nothing(lean):
    assert lean.judge("by rfl", audit_code=1).outcome is Outcome.UNSURE


def test_an_answer_that_does_not_compile_is_wrong(lean):
    said = "Answer.lean:4:2: error: unsolved goals"
    judgement = lean.judge("skip", Answer={"code": 1, "says": said})
    assert judgement.outcome is Outcome.INCORRECT
    assert lean.judge("skip", Answer={"makes": ""}).outcome is Outcome.INCORRECT


def test_a_statement_that_does_not_compile_is_an_error(lean):
    judgement = lean.judge("by rfl", Problem={"code": 1})
    assert judgement.outcome is Outcome.ERROR
    assert "the statement does not compile" in judgement.detail


@pytest.mark.parametrize("path", ["", "/nowhere/lean"])
def test_a_missing_toolchain_is_named(path):
    verifier = Verifier(lean=path)
    judgement = verifier.verify(problem(), Completion(text="```lean\nby rfl\n```"))
    assert judgement.outcome is Outcome.ERROR
    assert "lean is missing" in judgement.detail
    with pytest.raises(ValueError, match="install a Lean 4 toolchain"):
        verifier.reference(problem())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("by sorry", Outcome.INCORRECT),
        ("by native_decide", Outcome.INCORRECT),
        ("by decide +native", Outcome.INCORRECT),
        ("by exact sorryAx _", Outcome.INCORRECT),
        ("axiom a : False\ntheorem add_zero : True := trivial", Outcome.INCORRECT),
        ("@[implemented_by f] def g := 1", Outcome.INCORRECT),
        ('@[extern "f"] def g := 1', Outcome.INCORRECT),
        ("@[csimp] theorem a : f = g := rfl", Outcome.INCORRECT),
        ("unsafe def f := 1", Outcome.INCORRECT),
        ("initialize do pure ()", Outcome.INCORRECT),
        ("run_cmd pure ()", Outcome.INCORRECT),
        ("#eval 1", Outcome.INCORRECT),
        ("#print axioms add_zero", Outcome.INCORRECT),
        ("open Lean Elab in\ntheorem a : True := trivial", Outcome.INCORRECT),
        ("set_option debug.skipKernelTC true", Outcome.INCORRECT),
        ("/- never closed", Outcome.INCORRECT),
        ("macro m : tactic => `(tactic| trivial)", Outcome.UNSURE),
        ("def a := '\"'\nmacro m : term => x\ndef b := '\"'", Outcome.UNSURE),
        ('by\n  have h : "a" = "a" := rfl\n  rfl', Outcome.UNSURE),
        ("by\n  exact «--» macro", Outcome.UNSURE),
        ("--/-\nby sorry --/-", Outcome.INCORRECT),
        ("/- -- -/ by sorry", Outcome.INCORRECT),
        ("/-/-/ by sorry", Outcome.INCORRECT),
        ('local notation "N" => Nat', Outcome.UNSURE),
        ("inductive T | a", Outcome.UNSURE),
        ("instance : Add Nat := x", Outcome.UNSURE),
        ("namespace Nat", Outcome.UNSURE),
        ("import Lake", Outcome.UNSURE),
        ("attribute [simp] Nat.add_comm", Outcome.UNSURE),
        ("@[default_instance] def x := 1", Outcome.UNSURE),
        ("set_option pp.all true", Outcome.UNSURE),
        ("theorem «my name» : True := trivial", Outcome.UNSURE),
    ],
)
def test_words_that_change_the_language_or_the_kernel_are_turned_away(lean, answer, outcome):
    assert lean.judge(answer).outcome is outcome
    assert not os.listdir(lean.seen)


@pytest.mark.parametrize(
    "answer",
    [
        "by\n  -- no sorry, no macro here\n  /- axiom /- nested -/ #eval -/\n  rfl",
        '-- "quoted" «names»\nby\n  /- " -/ rfl',
        "by\n  set_option maxHeartbeats 400000 in\n  simp [Nat.succ_le]",
        "@[simp] theorem helper : True := trivial\ntheorem add_zero : 1 = 1 := rfl",
        "open Nat in\ntheorem add_zero : 1 = 1 := by omega",
        "by\n  intro n; induction n with\n  | zero => rfl\n  | succ n ih => simp",
    ],
)
def test_what_proofs_need_is_compiled(lean, answer):
    assert lean.judge(answer).outcome is Outcome.CORRECT


def test_perturbed_answers_are_many_and_rejected(lean):
    verifier = Verifier(lean=str(lean.program))
    wrong = list(verifier.perturb(problem()))
    assert len(set(wrong)) == len(wrong) >= 20
    for text in wrong:
        code = text.split("\n", 1)[1].rsplit("\n", 1)[0]
        # The toolchain would say so; here the report does.
        assert lean.judge(code, {**GOOD, "same": False}).outcome is not Outcome.CORRECT


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet='/-"\\ \n«»sorry#@[]:=', max_size=60))
def test_any_text_is_screened(text):
    _proof_lean_text.refusal(_proof_task.read(problem()), text)


@pytest.mark.parametrize("part", ["/-", "-/", '"', "--", "«", "@[", "set_option ", "\\"])
def test_a_megabyte_is_screened(part):
    task = _proof_task.read(problem())
    text = part * (200_000 // len(part)) + "\nmacro"
    assert _proof_lean_text.refusal(task, text) is not None


def test_a_preamble_imports_and_opens_alone(lean):
    bad = problem(preamble="axiom a : False")
    with pytest.raises(ValueError, match="one a line; got 'axiom a : False'"):
        Verifier(lean=str(lean.program)).reference(bad)
