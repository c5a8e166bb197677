"""A second reader: math-verify, behind static limits.

It is asked only where our own reading cannot decide, and its yes alone accepts nothing. Its
timeouts rest on alarms, which work in no thread and stop no C code, so they are off: the process
around us is the limit.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

MAX_LENGTH = 400
_MAX_NESTING = 12
_DANGER = re.compile(
    r"\d{40}"  # long numbers
    r"|\^\s*\{?[^{}]*\d{4}"  # large exponents
    r"|\^\s*\{[^{}]*\^"  # towers
    r"|\^\s*\{[^{}]*\{"
    r"|!|\\binom|\\sum|\\prod|\\int|\\lim|\\bmod|\\pmod|\\mod\b|\\operatorname"
    r"|__|[;`\"@#]"
)


def agrees(wanted: str, given: str) -> bool | None:
    """Whether math-verify takes the two for equal; None where it cannot read one, or must not."""
    if not (_is_tame(wanted) and _is_tame(given)):
        return None
    parse, verify = _library()
    gold, target = parse(wanted), parse(given)
    if not gold or not target:
        return None
    return bool(verify(gold, target))


def _is_tame(text: str) -> bool:
    if len(text) > MAX_LENGTH or _DANGER.search(text):
        return False
    depth = 0
    for bracket in re.findall(r"[({\[\])}]", text):
        depth += 1 if bracket in "({[" else -1
        if depth > _MAX_NESTING:
            return False
    return True


@functools.cache
def _library() -> tuple[Callable[[str], list[Any]], Callable[[Any, Any], bool]]:
    import math_verify

    config = [math_verify.LatexExtractionConfig()]

    def parse(text: str) -> list[Any]:
        found: list[Any] = math_verify.parse(
            f"${text}$", extraction_config=config, parsing_timeout=None
        )
        return found

    def verify(gold: Any, target: Any) -> bool:
        return bool(math_verify.verify(gold, target, timeout_seconds=None))

    return parse, verify
