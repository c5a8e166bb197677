"""Which Coq commands an answer may hold. Reads text, never runs it.

The screen is no proof of soundness: what decides is what the kernel and `coqchk` make of the
compiled file. It narrows what they have to withstand. Three kinds are turned away:

* commands that reach outside the logic: files, plug-ins, flags of the kernel;
* what the kernels in use are known to be wrong about. Coq 8.16 to Rocq 9.2 accept fixpoints,
  cofixpoints, let-ins in constructors, functors and polymorphic universes that prove False with
  no axiom, and `coqchk` accepts them too. An answer declares no recursive function, no type
  and no module of its own; recursion is there through `induction` and the library;
* everything that is not known here.

The first kind is a wrong answer. The others may be right, so nobody can tell.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from factory.types import Outcome

_WORD = re.compile(r"[^\W\d][\w']*")
_COMMANDS = frozenset(
    _WORD.findall(
        "Proof Qed Defined Admitted Abort Unshelve Theorem Lemma Fact Remark Corollary Proposition "
        "Property Example Definition Let Axiom Axioms Parameter Parameters Conjecture Conjectures "
        "Hypothesis Hypotheses Variable Variables Context Section End Require From Import Export "
        "Open Close Bind Delimit Notation Infix Reserved Arguments Implicit Generalizable Ltac "
        "Tactic Hint Create Opaque Transparent Instance Existing Check Print Search SearchPattern "
        "SearchRewrite About Locate Eval Compute Show Set Unset"
    )
)
_HOSTILE = frozenset(
    _WORD.findall(
        "Redirect Extraction Recursive Separate Extract Load Cd Pwd Drop Quit Register Primitive"
    )
)
_RISKY_WORDS = re.compile(
    r"(?<![\w'])(?:fix|cofix|SProp|Fixpoint|CoFixpoint|Function|Program|Equations|Inductive"
    r"|CoInductive|Variant|Record|Structure|Class|Module|Include|Scheme|Polymorphic|Cumulative"
    r"|Universe|Universes|Constraint|Coercion|Canonical|Ltac2|ltac2)(?![\w'])"
)
_HOSTILE_WORDS = re.compile(
    r"(?<![\w'])(?:Redirect|LoadPath|bypass_check|native_compute|native_cast_no_check|\w+_no_check"
    r"|Declare\s+ML|(?:Unset|Set)\s+(?:\w+\s+){0,4}Checking)(?![\w'])"
)
_OPTIONS = re.compile(
    r"(?:Implicit Arguments|Strict Implicit|Strongly Strict Implicit|Contextual Implicit"
    r"|Maximal Implicit Insertion|Reversible Pattern Implicit|Asymmetric Patterns"
    r"|Default Goal Selector|Default Proof Using|Bullet Behavior|Nested Proofs Allowed"
    r"|Regular Subst Tactic|Firstorder Depth|Warnings)(?: \S+)?"
)
_LIBRARIES = re.compile(
    r"(?:^|\.)(?:Ltac2|StrictProp|Floats?\w*|Prim\w*|\w*Int63\w*|PArray|Array\w*|Extr\w*"
    r"|extraction|FunInd|funind|Derive|derive)(?:\.|$)"
)
_MARK = re.compile(r'\(\*|\*\)|"')
_END = re.compile(r"\.(?=\s|\Z)")
_LEAD = re.compile(
    r"[\s{}+*-]+|\d+(?:\s*[-,]\s*\d+)*\s*:(?!=)|\[[\w']+\]\s*:(?!=)|(?:all|par)\s*:"
    r"|#\[\s*(?:local|global|export)\s*\]|(?:Local|Global)(?![\w'])"
)


class Refusal(NamedTuple):
    """Why an answer is not even compiled."""

    outcome: Outcome
    detail: str


def refusal(text: str) -> Refusal | None:
    """Why these commands are not run; None where they may be."""
    try:
        found = sentences(text)
    except ValueError as error:
        return Refusal(Outcome.INCORRECT, str(error))
    code = ". ".join(found)
    if match := _HOSTILE_WORDS.search(code):
        return Refusal(Outcome.INCORRECT, f"not allowed in an answer: {_short(match.group())}")
    if match := _RISKY_WORDS.search(code):
        detail = f"cannot be judged: an answer may not use {_short(match.group())}"
        return Refusal(Outcome.UNSURE, detail)
    return next(filter(None, map(_refused, found)), None)


def sentences(text: str) -> list[str]:
    """The sentences of a Coq text, without comments and without what strings hold.

    Raises:
        ValueError: a comment or a string is not closed.
    """
    kept = []
    depth = at = 0
    while match := _MARK.search(text, at):
        if depth == 0:
            kept.append(text[at : match.start()])
        at = match.end()
        if match.group() == "(*":
            depth += 1
        elif match.group() == '"':
            at = _after_string(text, at)
            kept.append('""' if depth == 0 else "")
        elif depth:
            depth -= 1
            kept.append(" ")
        else:
            kept.append("*)")
    if depth:
        raise ValueError("a comment is not closed")
    kept.append(text[at:])
    return [part.strip() for part in _END.split("".join(kept)) if part.strip()]


def head(sentence: str) -> str:
    """The first word of a command, past bullets and attributes; empty for other things."""
    at = 0
    while match := _LEAD.match(sentence, at):
        at = match.end()
    word = _WORD.match(sentence, at)
    return word.group() if word else sentence[at : at + 1]


def declares(sentence: str, name: str) -> bool:
    """Whether a sentence declares a name: `Theorem NAME ...`."""
    first = head(sentence)
    return first in _COMMANDS and bool(
        re.search(rf"(?<![\w']){first}\s+{re.escape(name)}(?![\w'])", sentence)
    )


def _after_string(text: str, at: int) -> int:
    """Where the string that opened before `at` ends; a doubled quote stands for itself."""
    while (end := text.find('"', at)) >= 0:
        if text[end + 1 : end + 2] != '"':
            return end + 1
        at = end + 2
    raise ValueError("a string is not closed")


def _refused(sentence: str) -> Refusal | None:
    command = head(sentence)
    if command == "#":
        return Refusal(Outcome.INCORRECT, f"not allowed in an answer: {_short(sentence)}")
    if not command[:1].isupper():
        return None
    if command in _HOSTILE:
        return Refusal(Outcome.INCORRECT, f"not allowed in an answer: {command}")
    if command not in _COMMANDS:
        return Refusal(Outcome.UNSURE, f"cannot be judged: an answer may not use {command}")
    words = sentence[sentence.index(command) :].split()
    if command in ("Set", "Unset") and not _OPTIONS.fullmatch(" ".join(words[1:])):
        return Refusal(Outcome.UNSURE, f"cannot be judged: {_short(' '.join(words))}")
    if command in ("Require", "From", "Import", "Export"):
        for word in words:
            if _LIBRARIES.search(word):
                return Refusal(Outcome.UNSURE, f"cannot be judged: it imports {_short(word)}")
    return None


def _short(text: str) -> str:
    return " ".join(text.split())[:80]
