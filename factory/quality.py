"""Filters over traces: what a correct trace must also be to be worth training on.

Each rule is a function from a trace to the reason for dropping it, or None. Filters are views:
nothing is deleted from the ledger, and another setting gives another dataset.

    finish    the reply came to its own end
    think     one `<think>` part at the start, or none; an answer after it
    length    bands of characters and tokens
    repetition  the same words over and over; a loop at the end
    scripts   letters of a script that neither the problem nor the setting allows
    unprintable  control characters, lone surrogates, U+FFFD, text direction overrides
    secrets   keys and tokens with a form of their own
    personal  e-mail addresses, phone numbers, payment card numbers
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import Literal, NamedTuple

import pydantic

from factory.leaks import personal_data, secret
from factory.types import Trace

THINK, THINK_END = "<think>", "</think>"
RUN = 10
"""Words whose repetition counts: shorter ones repeat in any derivation."""
RUNS = 50
"""Runs from which on a share of repetition says something."""
TAIL = 4_000
"""Characters at the end in which a loop is looked for."""
UNIT = 400
"""Longest part of a loop, in characters."""

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
    max_tokens: int | None = pydantic.Field(None, ge=1)
    """Generated tokens, reasoning included."""
    min_chars: int | None = pydantic.Field(None, ge=1)
    max_chars: int | None = pydantic.Field(None, ge=1)
    """Characters of reasoning and reply."""
    max_repetition: float | None = pydantic.Field(0.5, gt=0, le=1)
    """Share of word 10-grams that occurred before in the trace."""
    max_loop: int | None = pydantic.Field(8, ge=2)
    """Times that one and the same text may stand in a row at the end."""
    scripts: tuple[str, ...] = ()
    """Scripts that a trace may be written in, by the first word of the Unicode names of their
    letters (LATIN, GREEK, CYRILLIC, CJK, HIRAGANA, ARABIC, ...), beside those of its problem;
    empty for all. Mathematical and Greek letters are always allowed."""
    max_foreign: float = pydantic.Field(0.01, ge=0, lt=1)
    """Share of letters that may be of other scripts, where `scripts` names some."""
    printable: bool = True
    """Drop what holds control characters, lone surrogates, U+FFFD or direction overrides."""
    secrets: bool = True
    """Drop what holds an access key or a private key."""
    personal: tuple[Literal["email", "phone", "card"], ...] = ()
    """Drop what holds personal data of these kinds that the problem does not hold."""

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
    """One line: what was found, and the bound."""


def flaw(trace: Trace, options: Quality) -> Flaw | None:
    """The first rule that a trace breaks; None where it breaks none."""
    for name, rule in RULES.items():
        if (reason := rule(trace, options)) is not None:
            return Flaw(name, reason)
    return None


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
    tags = Counter({tag: text.count(tag) for tag in (THINK, THINK_END)})
    inline = text.lstrip().startswith(THINK) and tags[THINK] == tags[THINK_END] == 1
    if options.well_formed:
        if thought is not None and (tags.total() or THINK in thought or THINK_END in thought):
            return "think tags although the reasoning stands apart"
        if tags.total() and not inline:
            return f"{tags[THINK]} {THINK} and {tags[THINK_END]} {THINK_END}, not one pair in front"
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
        ("tokens", completion.num_tokens, options.min_tokens, options.max_tokens),
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
    letters = list(accumulate((any(map(str.isalpha, word)) for word in words), initial=0))
    runs = [
        hash(tuple(words[start : start + RUN]))
        for start in range(len(words) - RUN + 1)
        if 2 * (letters[start + RUN] - letters[start]) >= RUN
    ]
    return 1 - len(set(runs)) / len(runs) if len(runs) >= RUNS else 0.0


def loop(text: str) -> tuple[int, str]:
    """How often the end of a text repeats itself without a break, and what.

    A part is any text of up to `UNIT` characters with a letter or digit in it: rules, dots and
    blanks repeat with good reason.
    """
    tail = text[-TAIL:].rstrip()
    best, unit = 1, ""
    for size in range(1, min(UNIT, len(tail) // 2) + 1):
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
_ALWAYS |= {"PLANCK", "MODIFIER", "SUPERSCRIPT", "FEMININE", "MASCULINE", "ALEF", "KELVIN", "OHM"}


def scripts(trace: Trace, options: Quality) -> str | None:
    """Letters of a script that is out of place."""
    if not options.scripts:
        return None
    found = letters_by_script(_text(trace))
    own = letters_by_script(trace.problem.prompt)
    allowed = _ALWAYS.union(options.scripts, own)
    foreign = {name: count for name, count in found.items() if name not in allowed}
    share = sum(foreign.values()) / (found.total() or 1)
    if share <= options.max_foreign:
        return None
    most = max(sorted(foreign), key=lambda name: foreign[name])
    return f"{share:.3f} of its letters are {most} or other scripts, at most {options.max_foreign}"


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script, by the first word of their Unicode names."""
    found: Counter[str] = Counter()
    for char, count in Counter(text).items():
        if char.isalpha():
            name = unicodedata.name(char, "UNNAMED").partition(" ")[0]
            found["LATIN" if name == "FULLWIDTH" else name] += count
    return found


def unprintable(trace: Trace, options: Quality) -> str | None:
    """Characters that no reader sees and no tokenizer should learn."""
    found = _UNPRINTABLE.search(_text(trace)) if options.printable else None
    return f"U+{ord(found[0]):04X} at character {found.start()}" if found else None


def secrets(trace: Trace, options: Quality) -> str | None:
    """Access keys and private keys."""
    found = secret(_text(trace)) if options.secrets else None
    return f"looks like: {found}" if found else None


def personal(trace: Trace, options: Quality) -> str | None:
    """Addresses and numbers of people; those of the problem itself are its own."""
    for kind in options.personal:
        given = personal_data(kind, trace.problem.prompt)
        if found := personal_data(kind, _text(trace)) - given:
            return f"{kind}: {_short(min(found))}"
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


def _text(trace: Trace) -> str:
    completion = trace.rollout.completion
    return f"{completion.reasoning}\n{completion.text}" if completion.reasoning else completion.text


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
