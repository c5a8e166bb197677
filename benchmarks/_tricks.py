"""Completions that must not be accepted, for `benchmarks.verifiers --fuzz`.

Wrong answers as models write them, and the tricks that must fail even where they show the right
one: several answers, answers taken back, thoughts, chains of equations.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks._wrong import Asked
from factory.types import Problem
from verifiers._probes import NO_ANSWERS


class Wrong(NamedTuple):
    """One completion that must not be accepted."""

    problem: Problem
    completion: str
    kind: str


def completions(asked: Asked, rng: random.Random) -> Iterator[Wrong]:
    """Completions without end, none of which may be accepted."""
    forms, tricks = _FORMS[asked.style], _TRICKS[asked.style]
    while True:
        form = rng.choice(forms).replace("%s", asked.wrong(rng)).replace("RIGHT", asked.right)
        yield Wrong(asked.problem, form, "other")
        name = rng.choice(sorted(tricks))
        yield Wrong(asked.problem, tricks[name](asked.right, asked.wrong(rng)), name)
        several = [asked.wrong(rng) for _ in range(rng.randint(2, 6))]
        several.insert(rng.randrange(len(several)), asked.right)
        yield Wrong(asked.problem, _dump(several, asked.style, rng), "dump")
        yield Wrong(asked.problem, rng.choice(NO_ANSWERS), "no answer")
        yield Wrong(asked.problem, _noise(rng), "noise")


_FORMS = {
    "box": (
        "\\boxed{%s}",
        "So $\\boxed{%s}$.",
        "The answer is \\boxed{%s}.",
        "The answer is %s",
        "**Answer:** %s",
        "<think>It could be \\boxed{RIGHT}.</think>\nThe answer is \\boxed{%s}.",
        "We get RIGHT at first.\n\nBut in the end: $$\\boxed{%s}$$",
    ),
    "json": (
        "```json\n%s\n```",
        "%s",
        "Here it is:\n```json\n%s\n```\nThat is all.",
        "<think>\n```json\nRIGHT\n```\n</think>\n```json\n%s\n```",
    ),
    "tags": (
        "<answer>%s</answer>",
        "<think>RIGHT</think><answer>%s</answer>",
        "<answer>RIGHT</answer>\nNo: <answer>%s</answer>",
        "It is \\boxed{%s}.",
    ),
}
_BOX_TRICKS: dict[str, Callable[[str, str], str]] = {
    "denied": lambda right, other: f"It cannot be \\boxed{{{right}}}.",
    "taken back": lambda right, other: f"\\boxed{{{right}}}. Wait, that is wrong: {other}.",
    "two boxes": lambda right, other: f"First \\boxed{{{other}}}.\n\nOr is it \\boxed{{{right}}}?",
    "two boxes, right first": lambda right, other: f"\\boxed{{{right}}}\n\n\\boxed{{{other}}}",
    "or": lambda right, other: f"\\boxed{{{right} \\text{{ or }} {other}}}",
    "chain": lambda right, other: f"\\boxed{{{other} = {right}}}",
    "approx": lambda right, other: f"\\boxed{{{right} \\approx {other}}}",
    "thought alone": lambda right, other: f"<think>\\boxed{{{right}}}</think>",
    "endless thought": lambda right, other: f"<think>\\boxed{{{right}}}",
    "thought again": lambda right, other: f"\\boxed{{{right}}}<think>",
    "not closed": lambda right, other: f"\\boxed{{{right}",
    "stated twice": lambda right, other: f"The answer is {right}.\nThe answer is {other}.",
    "stated twice, right last": lambda right, other: (
        f"The answer is {other}.\nThe answer is {right}."
    ),
    "NUL": lambda right, other: f"\\boxed{{{right}\0x}}",
}
_BLOCK_TRICKS: dict[str, Callable[[str, str], str]] = {
    "taken back": lambda right, other: f"```json\n{right}\n```\nWait, that is wrong.",
    "two blocks": lambda right, other: f"```json\n{other}\n```\n```json\n{right}\n```",
    "thought alone": lambda right, other: f"<think>\n```json\n{right}\n```\n</think>",
    "endless thought": lambda right, other: f"<think>\n```json\n{right}\n```",
    "not closed": lambda right, other: f"```json\n{right}",
    "two values": lambda right, other: f"```json\n{right}\n{right}\n```",
    "a comment": lambda right, other: f"```json\n{right} // so\n```",
    "a key twice": lambda right, other: f'```json\n{{"answer": 271828, {right[1:]}\n```',
}


_TAG_TRICKS: dict[str, Callable[[str, str], str]] = {
    "thought alone": lambda right, other: f"<think><answer>{right}</answer></think>",
    "endless thought": lambda right, other: f"<think><answer>{right}</answer>",
    "not closed": lambda right, other: f"<answer>{right}",
    "two tags": lambda right, other: f"<answer>{right}</answer> <answer>{other}</answer>",
    "or": lambda right, other: f"<answer>{right} or {other}</answer>",
    "and more": lambda right, other: f"<answer>{right} zzz</answer>",
    "not": lambda right, other: f"<answer>not {right}</answer>",
}
_TRICKS = {"box": _BOX_TRICKS, "json": _BLOCK_TRICKS, "tags": _TAG_TRICKS}


def _dump(several: list[str], style: str, rng: random.Random) -> str:
    if style == "json":
        return "\n".join(f"```json\n{text}\n```" for text in several)
    if style == "tags":
        return f"<answer>{rng.choice((', ', ' or ', ' = ')).join(several)}</answer>"
    joiner = rng.choice((", ", " \\text{ or } ", " = ", "; ", " "))
    forms = (
        "\\boxed{" + joiner.join(several) + "}",
        " ".join(f"\\boxed{{{text}}}" for text in several),
        "\n".join(f"The answer is {text}." for text in several),
    )
    return rng.choice(forms)


def _noise(rng: random.Random) -> str:
    """Letters at random, without the digits and words that an answer would need."""
    alphabet = rng.choice(
        ("\\boxed{}()[]$^_ xyz,.=", '{}[]":,` \n', "\u0430\u0435\u043e\u200b\u202e \0")
    )
    text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 60)))
    return rng.choice(("{}", "\\boxed{{{}}}", "The answer is {}", "```json\n{}\n```")).format(text)
