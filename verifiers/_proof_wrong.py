"""Answers that prove nothing of a statement: what a prover has to turn away."""

from __future__ import annotations

from collections.abc import Iterator

from verifiers._proof_task import Task


def wrong(task: Task) -> Iterator[str]:
    """At least twenty different answers, the likely ones first."""
    yield from _coq(task) if task.system == "coq" else _lean(task)


def _coq(task: Task) -> Iterator[str]:
    name, statement = task.name, task.statement
    theorem = f"Theorem {name} :\n{statement}\n."
    yield f"{theorem}\nProof.\nAdmitted."
    yield f"Axiom granted : False.\n{theorem}\nProof.\n  exfalso. exact granted.\nQed."
    yield f"Theorem {name} : True.\nProof.\n  exact I.\nQed."
    yield from _shortened(task.solution)
    yield f"Theorem {name} : ({statement}) ->\n({statement}).\nProof.\n  intro h. exact h.\nQed."
    yield f"Theorem {name} : exists P : Prop, P.\nProof.\n  exists True. exact I.\nQed."
    for word in ("Axiom", "Parameter", "Conjecture", "Hypothesis", "Variable"):
        yield f"{word} {name} :\n{statement}\n."
    yield f"Lemma granted :\n{statement}\n.\nProof.\nAdmitted.\nDefinition {name} := granted."
    yield f"Notation {name} := I."
    yield f"Definition {name} := I."
    yield f"Notation False := True.\nTheorem {name} : False.\nProof.\n  exact I.\nQed."
    yield f"Fixpoint turn (n : nat) : False := turn n.\nDefinition {name} := turn 0."
    yield (
        "Unset Guard Checking.\nFixpoint turn (n : nat) : False := turn n.\n"
        f"{theorem}\nProof.\n  destruct (turn 0).\nQed."
    )
    yield f"Unset Universe Checking.\n{theorem}\nProof.\n  admit.\nAdmitted."
    for script in ("", "idtac.", "admit.", "give_up.", "fail.", "exact granted.", "shelve."):
        yield f"{theorem}\nProof.\n  {script}\nQed."
    yield 'Check "Closed under the global context".'


def _lean(task: Task) -> Iterator[str]:
    name, statement = task.name, task.statement
    theorem = f"theorem {name} :\n  {statement}"
    yield f"{theorem} := by\n  sorry"
    yield f"axiom granted : False\n{theorem} := by\n  exact False.elim granted"
    yield f"theorem {name} : True := by\n  trivial"
    yield from _shortened(task.solution)
    yield f"theorem {name} (given : {statement}) :\n  {statement} := given"
    yield f"axiom {name} :\n  {statement}"
    for script in (
        "",
        "admit",
        "skip",
        "fail",
        "native_decide",
        "exact sorryAx _ true",
        "exact granted",
        "exact lcProof",
        "stop",
        "exact (unsafeCast ())",
        "run_tac return",
    ):
        yield f"{theorem} := by\n  {script}"
    yield f'macro "done!" : tactic => `(tactic| sorry)\n{theorem} := by\n  done!'
    yield f'local notation "{name}!" => True\ntheorem {name} : True := trivial'
    yield f"unsafe def turn : False := turn\n{theorem} := by\n  sorry"
    yield f"partial def turn : Nat -> Nat := turn\n{theorem} := by\n  sorry"
    yield f"set_option debug.skipKernelTC true\n{theorem} := by\n  sorry"
    yield f"@[implemented_by id] def turn := id\n{theorem} := by\n  sorry"
    yield f"opaque {name} :\n  {statement}"
    yield '#eval IO.println "no axioms"'


def _shortened(solution: str) -> Iterator[str]:
    """A solution that breaks off; nothing where it is too short to be sure of."""
    lines = solution.rstrip().split("\n")
    if len(lines) > 1:
        yield "\n".join([*lines[: len(lines) // 2], "  exact granted_here."])
    yield f"{solution.rstrip()}\nexact granted_here."
