"""Turns problems into the conversations the tiny model is trained on.

A reply is `<think>`, a working in one of three styles, `</think>` and the boxed answer. The
style is drawn independently of the problem, so the trained model draws one too.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from data.families import FAMILIES, LEVELS, STYLES, Problem, Style, is_held_out

STYLE_WEIGHTS = (30, 35, 35)
LEVEL_WEIGHTS = (40, 35, 25)
SYSTEM_SHARE = 0.2
SYSTEM_PROMPTS = (
    "Think step by step and put the final answer in \\boxed{}.",
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "You solve maths problems. Think first, then give the final answer in \\boxed{}.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One training example."""

    messages: list[dict[str, str]]
    """The turns before the reply: an optional system turn and the user's question."""
    reply: str
    """What the model should say, without the end-of-turn token."""


def write_reply(problem: Problem, style: Style) -> str:
    """The assistant turn for one style of working."""
    return (
        f"<think>\n{problem.workings[style]}\n</think>\n\n"
        f"The answer is \\boxed{{{problem.answer}}}."
    )


def training_problems(rng: random.Random) -> Iterator[Problem]:
    """Endless problems of all families, none of them held out."""
    families = list(FAMILIES.values())
    while True:
        (level,) = rng.choices(LEVELS, LEVEL_WEIGHTS)
        problem = rng.choice(families)(rng, level)
        if not is_held_out(problem):
            yield problem


def training_conversations(seed: int, count: int) -> Iterator[Conversation]:
    """`count` conversations, the same ones for the same seed."""
    rng = random.Random(seed)
    problems = training_problems(rng)
    for _ in range(count):
        problem = next(problems)
        (style,) = rng.choices(STYLES, STYLE_WEIGHTS)
        messages = [{"role": "user", "content": problem.prompt}]
        if rng.random() < SYSTEM_SHARE:
            messages.insert(0, {"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
        yield Conversation(messages=messages, reply=write_reply(problem, style))
