"""Filters over traces: what a correct trace must also be to be worth training on.

Each rule is a function from a trace to the reason for dropping it, or None. Filters are views:
nothing is deleted from the ledger, and another setting gives another dataset.

    finish    the reply came to its own end
    think     one `<think>` part at the start, or none; an answer after it
    length    bands of characters and tokens
    repetition  the same words over and over; a loop at the end
    scripts   languages mixed: letters of a script that neither the problem nor the setting allows
    unprintable  control characters, lone surrogates, U+FFFD, text direction overrides
    secrets   keys and tokens with a form of their own
    personal  e-mail addresses, phone numbers, payment card numbers

The last two are about every rollout and about the problem: what they find is in no config (`leak`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from string import ascii_letters
from typing import Literal, NamedTuple

import numpy as np
import pydantic

from factory.curation.leaks import personal_data, secret
from factory.types import Problem, Trace

THINK, THINK_END = "<think>", "</think>"
RUN = 10
"""Words whose repetition counts: shorter ones repeat in any derivation."""
RUNS = 50
"""Runs from which on a share of repetition says something."""
TAIL = 4_000
"""Characters at the end in which a loop is looked for."""
UNIT = 400
"""Longest part of a loop, in characters."""
LETTERS = 50
"""Letters from which on their scripts say something."""
SHORT = 10_000
"""Characters below which counting them one by one is faster than by numpy."""

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd\ufffe\uffff\ue000-\uf8ff"
    "\u202a-\u202e\u2066-\u2069]"
)


class Quality(pydantic.BaseModel):
    """Which correct traces are dropped all the same; null or empty switches a rule off."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    finished: bool = True
    """Drop what was cut off at `max_tokens`."""
    well_formed: bool = True
    """Drop what has other than one `<think>` part at the start or none, or no answer after it."""
    reasoning: Literal["any", "required", "none"] = "any"
    """Whether a trace must, may or must not think aloud before its answer."""
    min_tokens: int | None = pydantic.Field(None, ge=1)
    """Generated tokens, reasoning included."""
    max_tokens: int | None = pydantic.Field(None, ge=1)
    """Generated tokens, reasoning included."""
    min_chars: int | None = pydantic.Field(None, ge=1)
    """Characters of reasoning and reply."""
    max_chars: int | None = pydantic.Field(None, ge=1)
    """Characters of reasoning and reply."""
    max_repetition: float | None = pydantic.Field(0.5, gt=0, le=1)
    """Share of word 10-grams that occurred before in the trace."""
    max_loop: int | None = pydantic.Field(8, ge=2)
    """Times that one and the same text may stand in a row at the end."""
    scripts: tuple[str, ...] = ()
    """Scripts that a trace may be written in, by the first word of the Unicode names of their
    letters (LATIN, GREEK, CYRILLIC, CJK, HIRAGANA, ARABIC, ...), beside those of its problem;
    empty for Latin. Mathematical and Greek letters are always allowed."""
    max_foreign: float = pydantic.Field(0.01, ge=0, lt=1)
    """Share of letters that may be of other scripts, where `scripts` names some."""
    max_mixed: float | None = pydantic.Field(0.1, ge=0, lt=1)
    """The same where `scripts` names none; the scripts of the reference answer are allowed too.
    It finds a reply that falls into the language of another script than its problem's."""
    printable: bool = True
    """Drop what holds control characters, lone surrogates, U+FFFD or direction overrides."""
    secrets: bool = True
    """Withhold what holds an access key or a private key, from every config."""
    personal: tuple[Literal["email", "phone", "card"], ...] = ()
    """Withhold what holds personal data of these kinds, from every config; a problem that holds
    them is left out as a whole."""

    @pydantic.field_validator("scripts")
    @classmethod
    def _known_scripts(cls, scripts: tuple[str, ...]) -> tuple[str, ...]:
        for script in scripts:
            if script not in SCRIPTS:
                raise ValueError(f"scripts: no script {script!r}; scripts: {', '.join(SCRIPTS)}")
        return scripts

    @pydantic.model_validator(mode="after")
    def _bands(self) -> Quality:
        for low, high in (("min_tokens", "max_tokens"), ("min_chars", "max_chars")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} {least} is above {high} {most}")
        return self


class Flaw(NamedTuple):
    """Why a trace is dropped."""

    rule: str
    """Name of the rule."""
    reason: str
    """One line: what was found, and the bound. It quotes no secret and nobody's data."""


def flaw(trace: Trace, options: Quality, asked: Mapping[str, Rule] | None = None) -> Flaw | None:
    """The first rule that a trace breaks; None where it breaks none.

    Args:
        asked: the rules that are asked, None for all.
    """
    for name, rule in (RULES if asked is None else asked).items():
        if (reason := rule(trace, options)) is not None:
            return Flaw(name, reason)
    return None


def leak(trace: Trace, options: Quality) -> str | None:
    """The rule for which nothing that a rollout says may be shown; None where all may."""
    found = flaw(trace, options, LEAKS)
    return found.rule if found else None


def problem_leak(problem: Problem, options: Quality) -> str | None:
    """The rule for which a problem may not be shown; None where it may."""
    if not options.secrets and not options.personal:
        return None
    given = [problem.source_id, problem.prompt, problem.answer or ""]
    given += [turn["content"] for turn in problem.messages]
    given += [json.dumps(values, ensure_ascii=False) for values in (problem.spec, problem.metadata)]
    text = "\n".join(given)
    if options.secrets and secret(text):
        return "secrets"
    return "personal" if any(personal_data(kind, text) for kind in options.personal) else None


def finish(trace: Trace, options: Quality) -> str | None:
    """Cut off instead of ended."""
    reason = trace.rollout.completion.finish_reason
    return (
        f"finish reason {reason!r}, not 'stop'" if options.finished and reason != "stop" else None
    )


def think(trace: Trace, options: Quality) -> str | None:
    """Tags out of place, no answer, or reasoning where none is wanted."""
    completion = trace.rollout.completion
    text, thought = completion.text, completion.reasoning
    begins, ends = text.count(THINK), text.count(THINK_END)
    inline = begins == ends == 1 and text.lstrip().startswith(THINK)
    if options.well_formed:
        if thought is not None and (begins or ends or THINK in thought or THINK_END in thought):
            return "think tags although the reasoning stands apart"
        if (begins or ends) and not inline:
            return f"{begins} {THINK} and {ends} {THINK_END}, not one pair in front"
        if not (text.partition(THINK_END)[2] if inline else text).strip():
            return "no answer after the reasoning"
    has = bool((thought or "").strip()) or (inline and bool(_inside(text).strip()))
    if options.reasoning == "required" and not has:
        return "no reasoning, but reasoning is required"
    if options.reasoning == "none" and has:
        return "reasoning, but none is wanted"
    return None


def _inside(text: str) -> str:
    return text.partition(THINK)[2].partition(THINK_END)[0]


def length(trace: Trace, options: Quality) -> str | None:
    """Outside the bands of length."""
    completion = trace.rollout.completion
    chars = len(completion.text) + len(completion.reasoning or "")
    for what, value, least, most in (
        ("tokens", trace.rollout.length, options.min_tokens, options.max_tokens),
        ("characters", chars, options.min_chars, options.max_chars),
    ):
        if least is not None and value < least:
            return f"{value} {what}, at least {least} are wanted"
        if most is not None and value > most:
            return f"{value} {what}, at most {most} are wanted"
    return None


def repetition(trace: Trace, options: Quality) -> str | None:
    """The same again and again."""
    text = _text(trace)
    if options.max_repetition is not None:
        share = repeated(text)
        if share > options.max_repetition:
            return f"{share:.2f} of its {RUN}-word runs repeat, at most {options.max_repetition}"
    if options.max_loop is not None:
        times, unit = loop(text)
        if times > options.max_loop:
            return f"ends with {times} times {_short(unit)}, at most {options.max_loop}"
    return None


def repeated(text: str) -> float:
    """Share of the runs of `RUN` words that occurred before; 0 where there are few.

    Half of a run's words must have a letter: the rows of a grid or a table repeat with good reason.
    """
    words = text.split()
    count = len(words) - RUN + 1
    if count < RUNS:
        return 0.0
    lettered = {word: word.isalpha() or any(map(str.isalpha, word)) for word in set(words)}
    letters = np.cumsum([0, *map(lettered.__getitem__, words)])
    keys = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
    runs = np.zeros(count, np.uint64)
    for place in range(RUN):  # a polynomial in an odd number, modulo 2**64
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + keys[place : place + count]
    runs = runs[2 * (letters[RUN:] - letters[:-RUN]) >= RUN]
    if len(runs) < RUNS:
        return 0.0
    runs.sort()  # np.unique takes many times as long
    return float(np.count_nonzero(runs[1:] == runs[:-1]) / len(runs))


def loop(text: str) -> tuple[int, str]:
    """How often the end of a text repeats itself without a break, and what.

    A part is any text of up to `UNIT` characters with a letter or digit in it: rules, dots and
    blanks repeat with good reason.
    """
    tail = text[-TAIL:].rstrip()
    best, unit = 1, ""
    last = len(tail) - 1
    place, first = last, max(0, last - min(UNIT, len(tail) // 2))
    # A unit ends as the text does: only where its last character stands can one begin.
    while place > 0 and (place := tail.rfind(tail[-1], first, place)) >= 0:
        size = last - place
        part = tail[-size:]
        if tail[-2 * size : -size] != part:
            continue
        times = 2
        while tail[-(times + 1) * size : -times * size or None] == part:
            times += 1
        # `ha` eight times is also `haha` four times: the first, shortest part counts.
        if times > best and any(char.isalpha() for char in part) and len(set(part)) > 1:
            best, unit = times, part
    return best, unit


SCRIPTS = (
    *("LATIN", "GREEK", "CYRILLIC", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "ARABIC", "HEBREW"),
    *("DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "THAI", "GEORGIAN", "ARMENIAN", "ETHIOPIC"),
)
_ALWAYS = frozenset({"GREEK", "MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER", "MICRO"})
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})
"""Written together: a problem may use any of them alone."""
_ALWAYS |= {"PLANCK", "MODIFIER", "SUPERSCRIPT", "FEMININE", "MASCULINE", "ALEF", "KELVIN", "OHM"}


def scripts(trace: Trace, options: Quality) -> str | None:
    """Letters of a script that is out of place."""
    bound = options.max_foreign if options.scripts else options.max_mixed
    text = _text(trace)
    if bound is None or (text.isascii() and "LATIN" in (options.scripts or ("LATIN",))):
        return None
    found = letters_by_script(text)
    own = _conversation(trace.problem)
    if not options.scripts:
        own += trace.problem.answer or ""
        if found.total() < LETTERS:
            return None
    allowed = _ALWAYS.union(options.scripts or ("LATIN",), letters_by_script(own))
    if not options.scripts and not allowed.isdisjoint(_EAST_ASIAN):
        allowed |= _EAST_ASIAN
    foreign = {name: count for name, count in found.items() if name not in allowed}
    share = sum(foreign.values()) / (found.total() or 1)
    if share <= bound:
        return None
    most = max(sorted(foreign), key=lambda name: foreign[name])
    return f"{share:.3f} of its letters are {most} or other scripts, at most {bound}"


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script, by the first word of their Unicode names."""
    found: Counter[str] = Counter()
    if text.isascii():
        held = text.encode()
        if count := len(held) - len(held.translate(None, ascii_letters.encode())):
            found["LATIN"] = count
        return found
    for char, count in _characters(text).items():
        if char.isalpha():
            name = unicodedata.name(char, "UNNAMED").partition(" ")[0]
            found["LATIN" if name == "FULLWIDTH" else name] += count
    return found


def _characters(text: str) -> Mapping[str, int]:
    if len(text) < SHORT:
        return Counter(text)
    counts = np.bincount(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4"))
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}


def _conversation(problem: Problem) -> str:
    """What the model was asked, the source's own turns before it included."""
    return "\n".join([problem.prompt, *(turn["content"] for turn in problem.messages)])


def unprintable(trace: Trace, options: Quality) -> str | None:
    """Characters that no reader sees and no tokenizer should learn."""
    found = _UNPRINTABLE.search(_text(trace)) if options.printable else None
    return f"U+{ord(found[0]):04X} at character {found.start()}" if found else None


def secrets(trace: Trace, options: Quality) -> str | None:
    """Access keys and private keys."""
    found = secret(_said(trace)) if options.secrets else None
    return f"looks like: {found}" if found else None


def personal(trace: Trace, options: Quality) -> str | None:
    """Addresses and numbers of people."""
    for kind in options.personal:
        if found := personal_data(kind, _said(trace)):
            return f"{kind}: {len(found)} found"
    return None


Rule = Callable[[Trace, Quality], str | None]

RULES: dict[str, Rule] = {
    "finish": finish,
    "think": think,
    "length": length,
    "repetition": repetition,
    "scripts": scripts,
    "unprintable": unprintable,
    "secrets": secrets,
    "personal": personal,
}
"""Every rule, in the order in which they are asked."""
LEAKS = {name: RULES[name] for name in ("secrets", "personal")}
"""Those about what nobody should see."""
FORM = {name: rule for name, rule in RULES.items() if name not in LEAKS}
"""Those about what is worth training on."""

MEANINGS = {
    "finish": "cut off instead of ended",
    "think": "other than one `<think>` part in front or none, no answer after it, or reasoning "
    "where none is wanted",
    "length": "outside the bands of tokens and characters",
    "repetition": "the same words over and over, or a loop at the end",
    "scripts": "languages mixed: letters of a script that is not the problem's",
    "unprintable": "control characters, broken characters, text direction overrides",
    "secrets": "holds an access key or a private key: withheld from every config",
    "personal": "holds personal data of the chosen kinds: withheld from every config",
}
"""What each rule drops, for the card."""


def at_work(options: Quality) -> list[str]:
    """The rules that a setting leaves switched on."""
    bounds = (options.min_tokens, options.max_tokens, options.min_chars, options.max_chars)
    on = {
        "finish": options.finished,
        "think": options.well_formed or options.reasoning != "any",
        "length": any(bound is not None for bound in bounds),
        "repetition": options.max_repetition is not None or options.max_loop is not None,
        "scripts": bool(options.scripts) or options.max_mixed is not None,
        "unprintable": options.printable,
        "secrets": options.secrets,
        "personal": bool(options.personal),
    }
    return [name for name in RULES if on[name]]


def _said(trace: Trace) -> str:
    """All that a row would show of what a rollout says, in the verifier's words too."""
    verdict = trace.verdict
    return "\n".join([_text(trace), verdict.extracted or "", verdict.detail])


def _text(trace: Trace) -> str:
    completion = trace.rollout.completion
    return f"{completion.reasoning}\n{completion.text}" if completion.reasoning else completion.text


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
