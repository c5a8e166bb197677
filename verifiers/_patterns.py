"""Regular expressions of a problem, matched against what a model wrote within a time limit.

A pattern is one of Python's `re`; the package `regex` matches it, since it can be stopped: an
answer made to send a careless pattern into exponential search costs a second, not a worker.
"""

from __future__ import annotations

import functools
import re
import warnings

import regex

MAX_PATTERN = 2000
MATCH_LIMIT_S = 1.0
"""For one match; a match past it raises TimeoutError."""

_OTHER_BRACE = re.compile(r"\\.|(\{[^0-9,}][^{}]*\})", re.DOTALL)
_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)

Pattern = regex.Pattern[str]


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str, ignore_case: bool = False, unicode: bool = False) -> Pattern:
    r"""A pattern, ready to be matched.

    Args:
        unicode: `\d`, `\w`, `\s` and `\b` know every script, not ASCII alone.

    Raises:
        ValueError: it is no regular expression of `re`.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} characters")
    for part in _OTHER_BRACE.finditer(pattern):
        if part[1]:  # `regex` reads {e<=1} as "with at most one error"
            raise ValueError(f"{part[1]!r} is no repetition: write \\{{ for a brace")
    flags = (0 if unicode else regex.ASCII) | (regex.IGNORECASE if ignore_case else 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
            return regex.compile(pattern, flags)
    except (re.error, regex.error, ValueError, OverflowError, RecursionError, Warning) as error:
        raise ValueError(str(error)) from None


def compiled_ecma(pattern: str) -> Pattern:
    """A pattern of a JSON Schema: there `$` is the very end, not the end before a line feed.

    Raises:
        ValueError: it is no regular expression of `re`.
    """
    return compiled(_PARTS.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern))


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the pattern matches all of the text.

    Raises:
        TimeoutError: that could not be told in time.
    """
    return pattern.fullmatch(text, timeout=MATCH_LIMIT_S) is not None


def is_found(pattern: Pattern, text: str) -> bool:
    """Whether the pattern matches somewhere in the text.

    Raises:
        TimeoutError: that could not be told in time.
    """
    return pattern.search(text, timeout=MATCH_LIMIT_S) is not None
