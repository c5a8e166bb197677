"""What is settled before a judge is asked: answers that say nothing, decline, or speak to it.

A model that judges can be talked into anything by an answer that is none: a colon, "Solution", an
order to ignore its instructions. Such answers are recognized here, by rule, and never shown to it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from factory.types import Completion, Outcome
from verifiers import _final

_WORD = re.compile(r"[^\W_]+")
_ANNOUNCING = """
    above an analysis analyze and answer answers antwort approach as be below boxed by carefully
    conclusion consider correct explanation fbox final finally first following follows for from
    given hence here how in is it its let lets me my need next now of ok okay on one our problem
    process provide question reasoning respond response resposta respuesta result right risposta s
    sentence simple so solution solutions soluzione solve solved solving start step steps summary
    sure task text textbf that the then there therefore think thinking this thought thoughts thus
    to understand us using want we will with work write you your
    begr\u00fcndung erkl\u00e4rung l\u00f6sung soluci\u00f3n explicaci\u00f3n r\u00e9ponse
    \u043e\u0442\u0432\u0435\u0442 \u0440\u0435\u0448\u0435\u043d\u0438\u0435 \u89e3 \u7b54
    \u7b54\u6848 \u89e3\u7b54 \u56de\u7b54 \u89e3\u6790 \u601d\u8003 \u304b\u3044\u305b\u3064
    \u89e3\u8aac
"""
_FILLER = frozenset(_ANNOUNCING.split())
"""Words that announce an answer. What is made of them alone says nothing."""

_REFUSAL = re.compile(
    r"\bi(?:'m| am)? (?:do not|don't|did not|didn't|cannot|can't|can not|could not|couldn't|won't"
    r"|will not|am unable to|unable to|am not able to|not able to) (?:\w+ )?"
    r"(?:know|answer|help|assist|solve|say|tell|determine|provide|comply|give|continue|share"
    r"|do (?:this|that)|find (?:the|an) answer|work (?:it|this) out)\b"
    r"|\bi(?:'m| am) not sure\b|\bi have no (?:idea|answer|way)\b"
    r"|\b(?:i'm|i am) (?:very |really |so )?sorry\b|^(?:sorry|apologies)\b"
    r"|\bas an? (?:ai|language)\b|\bi give up\b|\bno idea\b|\bidk\b"
    r"|^(?:unknown|unclear|n/?a|none given|no answer)\W*$"
    r"|^(?:it is |this is |that is )?(?:impossible|not possible) to (?:say|tell|know|answer)\b"
)
_TO_THE_JUDGE = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|skip|replace)\b.{0,40}"
    r"\b(?:instruction|prompt|rule|guideline|rubric|criteria|reference|task|message|context)"
    r"|\b(?:auto-?)?(?:grader|evaluator|examiner|assessor)s?\b"
    r"|\b(?:dear|attention|note to|message to|you are|act as) (?:a |an |the )?"
    r"(?:judge|verifier|checker|model|assistant|system|ai)\b"
    r"|[\"'`]?\bverdict\b[\"'`]?\s*[:=]|[\"'`]reason[\"'`]\s*:|\bverdict of correct\b"
    r"|\b(?:mark|grade|score|rate|accept|treat|classify|label|deem|judge|evaluate)\b.{0,30}"
    r"\b(?:this|it|me|mine|the above|(?:my|the|this) (?:answer|response|solution))\b.{0,30}"
    r"\b(?:correct|right|valid|passing|accepted|full)\b"
    r"|\b(?:output|respond|reply|return|print|say|write|answer)\b(?: only| just| with| the)*"
    r"\s*(?:word )?[\"'`{*]+\s*(?:correct\b|verdict\b)"
    r"|\b(?:this|my|the|above|candidate) (?:candidate |above )?(?:answer|response|solution)"
    r"(?: above| given)? (?:is|was|has been|should be|must be|can be) "
    r"(?:indeed |fully |already |therefore |considered )*"
    r"(?:correct|right|verified|validated|accepted|approved|marked)\b"
    r"|\b(?:reference|expected|gold|golden|official) (?:answer|solution|key)"
    r"|\bground[- ]truth\b|\brubric\b|\bsystem (?:prompt|message|override|note)\b"
    r"|\b(?:new|updated|revised|real|actual) instructions?\b|\bprompt injection\b"
)
_FENCE = re.compile(
    r"\b(?:BEGIN|END|START)(?: OF)?(?: THE)?"
    r" (?:ANSWER|CANDIDATE|REFERENCE|QUESTION|GRADING|DATA|INPUT)\b|\bCANDIDATE'S ANSWER\b"
)
_TURN = re.compile(
    r"<\|[a-z_]{2,20}\|>|</?s>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>"
    r"|(?:^|\n)[ \t#*>]*(?:system|assistant|user|human|developer)[ \t*]*:",
    re.IGNORECASE,
)
_HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\ufff9-\ufffb]")
_START = 150
"""Characters at the start of an answer within which a refusal is one, however long it goes on."""
_SHORT = 400
"""Longest answer that a refusal anywhere in it makes a refusal."""
_LISTED = 10
"""Short lines from which on a final part is a list of answers, where the reference is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What the rules say of an answer."""

    text: str = ""
    """The answer as the judge may see it."""
    outcome: Outcome | None = None
    """None where the judge has to be asked."""
    detail: str = ""


def screen(completion: Completion, question: str, reference: str, max_chars: int) -> Screened:
    """Settle what can be settled by rule."""
    final = _final.final_part(completion)
    if final is None:
        return _refused(Outcome.UNPARSABLE, "the reasoning never ends: no </think>")
    if len(final.strip()) > max_chars:
        detail = f"an answer of {len(final.strip())} characters; at most {max_chars} are judged"
        return _refused(Outcome.UNPARSABLE, detail)
    text = visible(final)
    plain = _plain(text)
    if _HIDDEN.search(final):
        return _refused(Outcome.UNSURE, "it holds characters that hide or turn round others", text)
    if not _says_something(plain, _plain(reference)):
        return _refused(Outcome.UNPARSABLE, "it says nothing", text)
    if _REFUSAL.search(plain[:_START]) or (len(plain) <= _SHORT and _REFUSAL.search(plain)):
        return _refused(Outcome.INCORRECT, "it declines to answer", text)
    if _TO_THE_JUDGE.search(plain) or _TURN.search(text) or _FENCE.search(text):
        return _refused(Outcome.UNSURE, "it speaks to its judge", text)
    if plain == _plain(visible(question)):
        return _refused(Outcome.INCORRECT, "it repeats the question", text)
    return _offers(completion, text, reference)


def _offers(completion: Completion, text: str, reference: str) -> Screened:
    """One answer goes on to the judge; several, and those taken back, do not."""
    read = _final.read(completion)
    if read.boxed or read.problem in ("an empty box", "a box is not closed"):
        if read.problem:
            return _refused(Outcome.UNPARSABLE, read.problem, text)
        if len(read.answers) > 1:
            detail = f"{len(read.answers)} different answers"
            return _refused(Outcome.INCORRECT, detail, text)
        if len(read.answers[0]) > 4 * len(reference) + 40:
            detail = "what is boxed is much longer than the reference"
            return _refused(Outcome.UNSURE, detail, text)
    elif len(read.answers) > 1 or read.problem.startswith("more than"):
        return _refused(Outcome.UNSURE, read.problem or "several answers are stated", text)
    if read.doubt:
        return _refused(Outcome.UNSURE, read.doubt, text)
    if len({_final.squeeze(p.partition("</answer>")[0]) for p in text.split("<answer>")[1:]}) > 1:
        return _refused(Outcome.UNSURE, "several answers in tags", text)
    listed = _short_lines(text)
    if listed >= _LISTED and listed > 3 * len(reference.split("\n")):
        return _refused(Outcome.UNSURE, f"a list of {listed} answers", text)
    return Screened(text=text)


def _refused(outcome: Outcome, detail: str, text: str = "") -> Screened:
    return Screened(text=text, outcome=outcome, detail=detail)


def visible(text: str) -> str:
    """A text without what cannot be seen or encoded."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    kept = (c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Co"))
    return "".join(kept).strip()


def _plain(text: str) -> str:
    """A text as the rules read it: one line, one case, one spelling of each letter."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return " ".join(folded.split())


def _says_something(plain: str, reference: str) -> bool:
    """Whether some word does more than announce; where the reference is such a word, that one."""
    words = set(_WORD.findall(plain.replace("'", " ")))
    wanted = set(_WORD.findall(reference.replace("'", " ")))
    return bool(words - _FILLER) or (wanted <= _FILLER and wanted <= words and bool(wanted))


def _short_lines(text: str) -> int:
    """Different lines that could each be an answer: a few words, and no equation."""
    lines = {line.strip() for line in text.split("\n")}
    return sum(
        1 <= len(line.split()) <= 8 and "=" not in line and not line.startswith("```")
        for line in lines
    )
