"""Coq proofs: the screen, the kernel's word against it, and every way to say QED without one."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import plugins, sandbox
from factory.errors import PluginError
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _proof_coq, _proof_screen, _proof_task
from verifiers.proof import Verifier

needs_coq = pytest.mark.skipif(
    not all(os.access(p, os.X_OK) for p in (_proof_coq.COQC, _proof_coq.COQCHK)),
    reason=f"needs Coq: {_proof_coq.INSTALL}",
)
PROOF = "induction n as [| n IH].\n- reflexivity.\n- simpl. rewrite IH. reflexivity."
SPEC = {
    "system": "coq",
    "name": "add_zero",
    "statement": "forall n : nat, n + 0 = n",
    "solution": PROOF,
}


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    sandbox.close()


def problem(**spec: object) -> Problem:
    return Problem(id="x", prompt="", spec={**SPEC, **spec})


def judge(text: str, **spec: object) -> Judgement:
    return Verifier().verify(problem(**spec), Completion(text=text))


def unscreened(text: str, statement: str, **spec: object) -> Judgement:
    """What the kernel, `Print Assumptions` and `coqchk` say where the screen says nothing."""
    task = _proof_task.read(problem(name="target", statement=statement, **spec))
    return _proof_coq.Prover(timeout_s=20, memory_mb=2048).compile(task, text)


def fenced(text: str) -> str:
    return _proof_task.fenced(text, "coq")


# --- the screen ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "intros; lia.",
        "- reflexivity.\n+ { simpl. } * 2: { auto. } all: lia.",
        "Lemma a : True. Proof. exact I. Qed.",
        "#[local] Hint Resolve le_n : core.",
        "Local Open Scope nat_scope. Global Opaque plus.",
        'Notation "x == y" := (x = y) (at level 70, format "x  ==  y").',
        "From Coq Require Import Arith Lia. Import ListNotations.",
        "(* Fixpoint, Module, fix, Redirect, Set Universe Polymorphism. *) exact I.",
        'idtac "fix (* Module".',
        "Set Implicit Arguments. Unset Strict Implicit.",
        "rewrite fix_eq. apply prefix. exact fixed'.",
        "Section S. Variable x : nat. End S.",
    ],
)
def test_what_proofs_need_passes_the_screen(text):
    assert _proof_screen.refusal(text) is None


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('Redirect "x" Check I.', Outcome.INCORRECT),
        ('Time Redirect "x" Check I.', Outcome.INCORRECT),
        ('Load "x".', Outcome.INCORRECT),
        ('Declare ML Module "x".', Outcome.INCORRECT),
        ("Unset  Guard\nChecking.", Outcome.INCORRECT),
        ("#[local] Unset Universe Checking.", Outcome.INCORRECT),
        ("#[bypass_check(guard)] Lemma x : True.", Outcome.INCORRECT),
        ("#[program] Lemma x : True.", Outcome.INCORRECT),
        ('Add LoadPath "x".', Outcome.INCORRECT),
        ("vm_cast_no_check I.", Outcome.INCORRECT),
        ("(* never closed", Outcome.INCORRECT),
        ('idtac "never closed.', Outcome.INCORRECT),
        ("Fixpoint f (n : nat) := n.", Outcome.UNSURE),
        ("exact (fix f (n : nat) := n).", Outcome.UNSURE),
        ("cofix f.", Outcome.UNSURE),
        ("Inductive t := c.", Outcome.UNSURE),
        ("Record t := { x : nat }.", Outcome.UNSURE),
        ("Module M. End M.", Outcome.UNSURE),
        ("Set Universe Polymorphism.", Outcome.UNSURE),
        ("Set Primitive Projections.", Outcome.UNSURE),
        ("Global Set Printing Depth 2.", Outcome.UNSURE),
        ("Require Import Int63.", Outcome.UNSURE),
        ("From Coq Require Import Floats.PrimFloat.", Outcome.UNSURE),
        ("From Ltac2 Require Import Ltac2.", Outcome.UNSURE),
        ("Obligation Tactic := idtac.", Outcome.UNSURE),
        ("Lemma x : forall A : SProp, True.", Outcome.UNSURE),
        ("} Derive x.", Outcome.UNSURE),
    ],
)
def test_what_they_do_not_need_is_turned_away(text, outcome):
    refusal = _proof_screen.refusal(text)
    assert refusal is not None
    assert refusal.outcome is outcome


HIDES = ('(* " *) {} (* " *)', "(* (* *) {}. *)", 'idtac "{}.".')
SHOWS = (
    '(* "*)" *) {}.',
    'idtac "(*". {}.',
    'idtac """(*". {}.',
    "(* (* *) *) {}.",
    "idtac.\n\t{}.",
    "- {}.",
    "2: {}.",
)


@pytest.mark.parametrize("command", ["Axiom a : False", "Load x", "Fixpoint f (n : nat) := n"])
def test_comments_and_strings_are_read_as_coq_reads_them(command):
    for shape in HIDES:
        assert command not in " ".join(_proof_screen.sentences(shape.replace("{}", command)))
    for shape in SHOWS:
        found = _proof_screen.sentences(shape.replace("{}", command))
        assert _proof_screen.head(found[-1]) == command.split()[0]


pieces = st.sampled_from(
    [
        "exact I.",
        "(* c. *)",
        '(* "*)" *)',
        '(* (* . *) " ( " *)',
        "\n",
        "Qed.",
        'idtac ".".',
        "a.b.",
    ]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(pieces, max_size=12))
def test_sentences_are_those_outside_of_comments(parts):
    kept = [p.rstrip(".").replace('"."', '""') for p in parts if p[0] not in "(\n"]
    assert _proof_screen.sentences(" ".join(parts)) == kept


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet='(*)". \nABfix#[]{}-:', max_size=80))
def test_any_text_is_screened(text):
    _proof_screen.refusal(text)


@pytest.mark.parametrize("part", ["(*", "*)", '"', ". ", "Set ", "#[local] ", "Local ", "{", "1:"])
def test_a_megabyte_is_screened(part):
    assert _proof_screen.refusal(part * (200_000 // len(part)) + "Fixpoint f.") is not None


# --- the problem ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"system": "isabelle"}, "coq, lean; got 'isabelle'"),
        ({"statement": " "}, "spec.statement is missing"),
        ({"name": "a b"}, "identifier"),
        ({"statement": 3}, "must be text, got int"),
        ({"axioms": "all"}, "list of whole names"),
        ({"tactics": ""}, "no field 'tactics'; fields: system"),
        ({"statement": "\ud800"}, "not UTF-8"),
    ],
)
def test_a_broken_problem_is_an_error_that_says_why(spec, said):
    judgement = judge(fenced("exact I."), **spec)
    assert judgement.outcome is Outcome.ERROR
    assert said in judgement.detail
    with pytest.raises(ValueError, match=r"."):
        Verifier().reference(problem(**spec))


@needs_coq
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"statement": "nat"}, "does not compile"),
        ({"statement": "unknown = 1"}, "does not compile"),
        ({"statement": "True. Axiom a : False"}, "must be one term"),
        ({"preamble": "Definition x := 1."}, "belongs into spec.definitions"),
        ({"definitions": "Lemma a : False. Proof. Admitted. Lemma"}, "does not compile"),
        ({"solution": ""}, "spec.solution is missing"),
    ],
)
def test_an_unsound_problem_has_no_reference(spec, said):
    with pytest.raises(ValueError, match=said):
        Verifier().reference(problem(**spec))


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setattr(_proof_coq, "COQC", "/nowhere/coqc")
    judgement = judge(fenced(PROOF))
    assert judgement.outcome is Outcome.ERROR
    assert "/nowhere/coqc is missing: apt install coq" in judgement.detail
    with pytest.raises(ValueError, match="apt install coq"):
        Verifier().reference(problem())


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"timeout_s": 4000}, {"memory_mb": 10}])
def test_bad_options_are_refused(options):
    with pytest.raises(PluginError):
        plugins.build("verifier", "proof", options)


def test_a_judgement_may_take_five_runs():
    assert Verifier(timeout_s=7).limit_s >= 5 * 2 * 7


# --- the kernel's word ---------------------------------------------------------------------------


@needs_coq
def test_perturbed_answers_are_many_and_none_is_a_proof():
    wrong = list(Verifier().perturb(problem()))
    assert len(set(wrong)) == len(wrong) >= 20
    outcomes = {text: judge(text).outcome for text in wrong}
    assert set(outcomes.values()) <= {Outcome.INCORRECT, Outcome.UNSURE}


@needs_coq
def test_axioms_are_named():
    text = "Axiom easy : forall n : nat, n + 0 = n.\nDefinition add_zero := easy."
    assert judge(fenced(text)).detail == "it assumes what it does not prove: easy"
    middle = {"statement": "forall P : Prop, P \\/ ~ P", "preamble": "Require Import Classical."}
    assert "axioms: Classical_Prop.classic" in judge(fenced("intro. tauto."), **middle).detail


@needs_coq
@pytest.mark.parametrize(
    ("text", "statement", "said"),
    [
        ("Unset Universe Checking. Definition U : Set := Type. Definition target := I.", "True",
         "type-in-type"),
        ("#[bypass_check(guard)] Fixpoint t (n : nat) : False := t n.\nDefinition target := t 0.",
         "False", "unsafe (co)fixpoints"),
        ("Unset Positivity Checking. Inductive t := c : (t -> False) -> t.\n"
         "Definition o (x : t) : False := match x with c f => f x end.\n"
         "Definition target : False := o (c o).", "False", "positivity"),
        ("Module Type S. Parameter f : False. End S. Declare Module M : S.\n"
         "Definition target := M.f.", "False", "M.f"),
        ("Primitive int := #int63_type. Definition target := I.", "True", "int"),
        ("Module Classical_Prop. Axiom classic : False. End Classical_Prop.\n"
         "Definition target := Classical_Prop.classic.", "False", "Classical_Prop.classic"),
        ("Global Set Printing Width 3. Axiom a : False. Definition target := a.", "False", "a"),
        ("Notation \"1 = 2\" := True. Definition target : 1 = 2 := I.", "1 = 2",
         "another statement"),
        ("Coercion c (x : True) : nat := 0. Definition target := I.", "1 = 2", "another statement"),
        ('Redirect "Answer.vo" Check I. Definition target := I.', "1 = 2", "another statement"),
    ],
)  # fmt: skip
def test_without_the_screen_the_kernel_and_coqchk_find_it(text, statement, said):
    judgement = unscreened(text, statement)
    assert judgement.outcome is Outcome.INCORRECT
    assert said in judgement.detail


# Each proves a falsehood; coqc 8.16 prints "Closed under the global context" for both, and coqchk
# finds nothing.
GUARD_HOLE = """
Definition some n := match n with 0 => False | S _ => True end.
Definition more n := match n with 0 => False | S k => some k end.
Fixpoint turn (n : nat) {struct n} : some n -> False.
  refine match n with
  | 0 => fun h => h
  | S k => fun h =>
    let go (b : bool) (e : b = true) (x : nat) (Hx : more x) :=
      turn (match (if b then x else k) with 0 => k | S j => j end) _ in
    go true eq_refl 5 I
  end.
  subst b. destruct x; cbn in Hx; [now exfalso | assumption].
Defined.
Definition target : False := turn 1 I.
"""
COFIX_HOLE = """
CoInductive P (X Y : Type) := p : X -> Y -> P X Y.
CoInductive C (A : Type) := c : C A -> P (C A) A -> C A.
Inductive T : Type := t : C T -> T.
CoFixpoint ring : C T :=
  (cofix f : C T := c T f g with g : P (C T) T := p (C T) T ring (t ring) for f).
Fixpoint empty (x : T) : False :=
  match x with t y => match y with c _ _ d => match d with p _ _ _ z => empty z end end end.
Definition target : False := empty (t ring).
"""


@needs_coq
@pytest.mark.parametrize("text", [GUARD_HOLE, COFIX_HOLE])
def test_what_the_kernel_itself_gets_wrong_is_not_believed(text):
    assert unscreened(text, "False").outcome is not Outcome.CORRECT
    refusal = _proof_screen.refusal(text)
    assert refusal is not None
    assert refusal.outcome is Outcome.UNSURE


@needs_coq
def test_a_type_of_the_answers_own_shows_in_its_terms():
    text = "Inductive two := a | b.\nDefinition target : True := match a with a => I | b => I end."
    judgement = unscreened("Unset Elimination Schemes.\n" + text, "True")
    assert judgement.outcome is Outcome.UNSURE
    assert "type of its own" in judgement.detail


@needs_coq
def test_the_report_on_assumptions_is_read_strictly():
    report = "CONTEXT SUMMARY\n\n* Axioms:\n    Coq.A.x\n    Coq.B.x\n  \n"
    allowed = frozenset(("Coq.A.x",))

    def refused(text: str) -> str:
        return _proof_coq._assumptions(text, report, allowed)

    assert refused("Closed under the global context\n") == ""
    assert refused("Axioms:\nA.x : nat\n  -> nat\n") == ""
    assert refused("Axioms:\nx : nat\n")  # which of the two?
    assert refused("Axioms:\nA.x : nat\nB.x : nat\n") == "it rests on axioms: B.x"
    assert refused("Axioms:\nA.x is assumed to be guarded.\n")
    assert refused("Closed under the global context\nClosed under the global context\n")
    assert refused("")


@needs_coq
def test_an_endless_proof_is_its_own_failure():
    verifier = Verifier(timeout_s=1)
    completion = Completion(text=fenced("do 1000000000 idtac."))
    judgement = verifier.verify(problem(), completion)
    assert judgement.outcome is Outcome.INCORRECT
    assert judgement.detail == "no end within 1 s"


@needs_coq
def test_coq_is_what_runs():
    assert shutil.which("coqc")
    assert judge(fenced(PROOF)).outcome is Outcome.CORRECT
