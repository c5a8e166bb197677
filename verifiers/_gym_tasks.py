"""What is known of reasoning_gym's scorers (0.1.25): which are broken, lax, or run their input.

Measured over all 105 tasks that stand alone (`composite` does not), 5 seeds x 5 entries, default
settings: the task's own reference, ten useless answers ("", "0", "x", "I do not know", ...), the
references of the other entries, and the reference with something before or after it.
"""

from __future__ import annotations

import re
from typing import Any

DEFECTIVE = {
    "boxnet": "the generator gives no reference answer",
    "coin_flip": "0 passes for any probability below 1e-4 (19 of 25 references)",
    "composite": "its scorer needs the settings of the tasks it is made of",
    "game_of_life_halting": "any text passes where the reference is True (25 of 25)",
    "graph_color": "the generator gives no reference answer",
    "propositional_logic": "the generator gives no reference answer",
    "puzzle24": "any four numbers that make 24 pass, not only the given ones (540 of 540)",
    "rubiks_cube": "the generator gives no reference answer",
    "rush_hour": "the generator gives no reference answer",
}
"""Tasks that are refused."""

LAX = frozenset(
    {
        "complex_arithmetic",
        "decimal_arithmetic",
        "fraction_simplification",
        "gsm_symbolic",
        "kakurasu",
        "knights_knaves",
        "letter_jumble",
        "number_format",
        "number_sorting",
        "pool_matrix",
        "power_function",
        "quantum_lock",
        "spell_backward",
        "survo",
        "time_intervals",
        "word_sorting",
    }
)
"""Full score for what is not right: the reference with something else around it, with another
sign, with other last digits (96.5 for 96.4 in a list), or `nan`. Here the answer must also equal
the reference."""

TUPLES = frozenset({"arc_agi", "rearc"})
"""The scorer compares with grids that are tuples, which JSON turns into lists."""

_SUM = re.compile(r"[0-9+\-*/() ]{1,200}")
_WORDS = re.compile(r"[A-Za-z0-9_ \n]*")
_ALGEBRA = re.compile(r"[0-9A-Za-z+\-*/^(). ]*")
_NAME = re.compile(r"[A-Za-z]+")
_NAMES = frozenset(("sin", "cos", "tan", "exp", "log", "ln", "sqrt", "asin", "acos", "atan", "pi"))
_POWER = re.compile(
    r"(?:\*\*|\^) *(?:-? *\d{1,3}(?!\d)|\( *-? *\d{1,3} *(?:/ *\d{1,3} *)?\))(?! *(?:\*\*|\^))"
)
_FACTORS = re.compile(r"\d{1,18}(?: *[\u00d7x*] *\d{1,18})*")
_MOVES = re.compile(r"[UDLR\s]*")
_SHAPES = {
    "binary_matrix": _WORDS,
    "countdown": _SUM,
    "n_queens": _WORDS,
    "prime_factorization": _FACTORS,
    "sokoban": _MOVES,
    "spiral_matrix": _WORDS,
    "string_insertion": _WORDS,
}
_EVALUATED_ALGEBRA = frozenset(
    {"intermediate_integration", "polynomial_multiplication", "simple_integration"}
)


def is_safe(task: str, answer: str) -> bool:
    """Whether the scorer may see this answer: some evaluate it as Python, or choke on it."""
    if task in _EVALUATED_ALGEBRA:
        return _is_algebra(answer)
    shape = _SHAPES.get(task)
    if shape is None:
        return True
    return shape.fullmatch(answer) is not None and not (shape is _SUM and "**" in answer)


def _is_algebra(answer: str) -> bool:
    """Numbers, single letters and known functions; no power of a power, no long number."""
    if len(answer) > 1000 or not _ALGEBRA.fullmatch(answer) or re.search(r"\d{16}", answer):
        return False
    if any(len(n) > 1 and n not in _NAMES for n in _NAME.findall(answer)):
        return False
    if re.search(r"\.\s*[A-Za-z]|[A-Za-z)]\s*\.", answer):
        return False
    return not re.search(r"\*\*|\^", _POWER.sub(" ", answer))


def same(answer: str, reference: str) -> bool:
    """Equal but for case, white space, dollar signs and thousands separators."""
    return _key(answer) == _key(reference)


def _key(text: str) -> str:
    return "".join(text.split()).casefold().translate({ord("$"): None, ord(","): None})


def restore(task: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry as the generator made it, before it went through JSON."""
    return {**entry, "metadata": _tuples(entry.get("metadata"))} if task in TUPLES else entry


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
