"""Texts that answer nothing, whatever was asked."""

from __future__ import annotations

NO_ANSWERS = (
    "",
    ".",
    ":",
    "?",
    "Solution",
    "Thought process:",
    "Let's solve this problem step by step.",
    "I do not know",
    "I'm sorry, but I can't help with that.",
    "The answer is correct.",
)
"""What a verifier that accepts it asks nothing: the "master keys" of judged answers, refusals."""
