"""The Lean files of a proof, and which words an answer may hold. Reads text, never runs it.

An answer states theorems and definitions and proves them by tactics. What changes the language,
runs code while it is compiled, or lets the kernel trust more than a term is turned away before
anything is compiled: compiling a Lean file runs what its author wants run.
"""

from __future__ import annotations

import re

from factory.types import Outcome
from verifiers._proof_screen import Refusal
from verifiers._proof_task import Task

_HOSTILE = re.compile(
    r"(?<![\w'.])(?:sorry|sorryAx|admit|stop|native_decide|implemented_by|extern|export|unsafe|csimp"
    r"|init|initialize|builtin_initialize|run_cmd|run_tac|run_meta|run_elab|by_elab|ofReduceBool"
    r"|ofReduceNat|trustCompiler|reduceBool|reduceNat|unsafeCast|unsafeIO|lcProof|lcUnreachable"
    r"|dbg_trace|include_str|prelude|IO|BaseIO|EIO|FS|Process|Lean|Elab|Meta|Kernel|Environment"
    r"|debug|compiler|axiom|opaque|constant)(?![\w'])|#\w+|(?<![\w'])decide\s*\+\s*native"
)
_RISKY = re.compile(
    r"(?<![\w'.])(?:macro|macro_rules|syntax|notation|notation3|infix|infixl|infixr|prefix|postfix"
    r"|elab|elab_rules|declare_syntax_cat|binder_predicate|simproc|simproc_decl|inductive"
    r"|coinductive|structure|class|instance|mutual|partial|deriving|attribute|scoped|universe"
    r"|namespace|module|public|meta|import|unif_hint|alias|irreducible_def|def_replacer"
    r"|register_\w+|initialize_\w+|add_decl_doc|termination_by|decreasing_by|where)(?![\w'])"
)
_ATTRIBUTES = re.compile(r"@\[\s*([^\]]*)\]")
_FINE_ATTRIBUTES = frozenset(("simp", "local simp", "ext", "local ext", "reducible"))
_OPTION = re.compile(r"set_option\s+([\w.]+)")
_FINE_OPTIONS = frozenset(
    ("maxHeartbeats", "maxRecDepth", "autoImplicit", "relaxedAutoImplicit", "linter.all")
)
_MARK = re.compile(r'/-|-/|--|"')
_PREAMBLE = ("import", "open", "set_option", "universe")


def refusal(task: Task, text: str) -> Refusal | None:
    """Why this answer is not compiled; None where it may be."""
    body = _without_imports(task, text)
    try:
        code = plain(body)
    except ValueError as error:
        return Refusal(Outcome.INCORRECT, str(error))
    if match := _HOSTILE.search(code):
        return Refusal(Outcome.INCORRECT, f"not allowed in an answer: {match.group()[:80]}")
    if '"' in code or "«" in code or "»" in code:
        # Where these stand, it takes Lean itself to tell code from comment.
        return Refusal(Outcome.UNSURE, "cannot be judged: an answer may not use quotation marks")
    if match := _RISKY.search(code):
        detail = f"cannot be judged: an answer may not use {match.group()[:80]}"
        return Refusal(Outcome.UNSURE, detail)
    for found in _ATTRIBUTES.findall(code):
        if not {" ".join(part.split()) for part in found.split(",")} <= _FINE_ATTRIBUTES:
            return Refusal(Outcome.UNSURE, f"cannot be judged: attribute {found.strip()[:80]!r}")
    for option in _OPTION.findall(code):
        if option not in _FINE_OPTIONS:
            return Refusal(Outcome.UNSURE, f"cannot be judged: option {option[:80]!r}")
    return None


def plain(text: str) -> str:
    """The code without its comments, up to the first quotation mark that stands in none.

    Raises:
        ValueError: a comment is not closed.
    """
    kept = []
    depth = at = 0
    while match := _MARK.search(text, at):
        mark = match.group()
        if depth == 0:
            kept.append(text[at : match.start()])
        at = match.end()
        if mark == "/-":
            depth += 1
        elif mark == "-/" and depth:
            depth -= 1
            kept.append(" ")
        elif mark == "--" and not depth:
            end = text.find("\n", at)
            at = end if end >= 0 else len(text)
        elif mark == '"' and not depth:
            return "".join(kept) + '"'
        elif not depth:
            kept.append(mark)
    if depth:
        raise ValueError("a comment is not closed")
    kept.append(text[at:])
    return "".join(kept)


def problem(task: Task) -> str:
    """The file of the statement.

    Raises:
        ValueError: the preamble does more than import and open.
    """
    imports, opened = _preamble(task)
    statement = _indented(task.statement)
    body = f"{opened}\n{task.definitions}\n\ndef problem_statement : Prop :=\n{statement}\n"
    return f"{imports}\n{body}"


def answer(task: Task, text: str) -> str:
    """The file of an answer: its own theorem, or the proof of ours."""
    imports, opened = _preamble(task)
    body = _without_imports(task, text)
    states = re.search(rf"(?<![\w'])(?:theorem|lemma)\s+{re.escape(task.name)}(?![\w'.])", body)
    if not states:
        body = body.strip("\n")
        begin = body.lstrip()
        proof = body if begin.startswith(":=") else f":= {begin}"
        if not begin.startswith((":=", "by")):
            proof = f":= by\n{_indented(body)}"
        body = f"theorem {task.name} :\n{_indented(task.statement)} {proof}"
    return f"{imports}\nimport Problem\n{opened}\n{body}\n"


def _preamble(task: Task) -> tuple[str, str]:
    """Its imports, and the rest."""
    lines = [line for line in task.preamble.split("\n") if line.strip()]
    for line in lines:
        if line.split()[0] not in _PREAMBLE:
            rule = f"spec.preamble may hold {', '.join(_PREAMBLE)} alone"
            raise ValueError(f"{rule}, one a line; got {line[:80]!r}")
    imports = [line for line in lines if line.split()[0] == "import"]
    rest = [line for line in lines if line.split()[0] != "import"]
    return "\n".join(imports), "\n".join(rest)


def _without_imports(task: Task, text: str) -> str:
    """An answer without those imports that the preamble has as well."""
    ours = {" ".join(line.split()) for line in task.preamble.split("\n")}
    kept = []
    for line in text.split("\n"):
        if not (line.startswith("import") and " ".join(line.split()) in ours):
            kept.append(line)
    return "\n".join(kept)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))
