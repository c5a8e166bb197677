"""Access keys and personal data in text, by forms that little else has.

Keys are found with detect-secrets' patterns for keys that carry a prefix or a frame of their own;
its entropy and keyword detectors take numbers and code for secrets and are left out, and so is
whatever would ask a server. Personal data must pass the checks of its kind: a domain that exists
as a kind of domain, a numbering plan, a card's check digit.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

KINDS = ("email", "phone", "card")

DETECTORS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
}

_LONGEST = 4000
_RUN = re.compile(rf"(\S{{{_LONGEST}}})(?=\S)")
_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{1,63}@((?:[A-Za-z0-9-]{2,63}\.)+"
    r"(?:com|org|net|edu|gov|mil|info|biz|io|ai|dev|app|[a-z]{2}))(?![\w(-]|\.\w)"
)
_MADE_UP = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost|domain|email|company)\.\w+$", re.I
)
_PHONE = re.compile(
    r"(?<![\w.+)-])(?:\+[1-9]\d{0,2}(?:[ .-]?\(?\d{2,4}\)?){2,4}[ .-]?\d{2,4}"
    r"|\([2-9]\d\d\) ?[2-9]\d\d-\d{4}|[2-9]\d\d-[2-9]\d\d-\d{4})(?![\w-]|\.\d)"
)
_FICTION = re.compile(r"555\D?01\d\d$")
_CARD = re.compile(
    r"(?<![\w.-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d\d([ -])\d{6}\2\d{5}"
    r"|(?<=\bcard number )\d{15,16}|(?<=\bcard number: )\d{15,16})(?![\w-]|\.\d)"
)
_ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6011|65|35")


def secret(text: str) -> str | None:
    """What kind of key the text holds; None where it holds none.

    No key is as long as `_LONGEST`: longer runs without a space are cut there, since some patterns
    take time with the square of a run's length.
    """
    text = _RUN.sub(r"\1 ", text)
    for detector in _detectors():
        for _ in detector.analyze_string(text):
            return str(detector.secret_type)
    return None


def personal_data(kind: str, text: str) -> set[str]:
    """What of a kind (`KINDS`) the text holds."""
    if kind == "email":
        return {m[0] for m in _EMAIL.finditer(text) if not _MADE_UP.search(m[1])}
    if kind == "phone":
        return {m[0] for m in _PHONE.finditer(text) if _is_phone(m[0])}
    if kind == "card":
        return {m[0] for m in _CARD.finditer(text) if _is_card(m[0])}
    raise ValueError(f"personal data of kind {kind!r}; kinds: {', '.join(KINDS)}")


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _is_phone(text: str) -> bool:
    return 10 <= len(_digits(text)) <= 15 and not _FICTION.search(text)


def _is_card(text: str) -> bool:
    """An issuer's first digits, and the check digit of ISO/IEC 7812."""
    digits = _digits(text)
    doubled = [int(d) * 2 if place % 2 else int(d) for place, d in enumerate(reversed(digits))]
    return (
        bool(_ISSUERS.match(digits))
        and len(set(digits)) > 2
        and sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
    )


@cache
def _detectors() -> tuple[Any, ...]:
    """One of each, made when first asked for: the import takes a moment."""
    import importlib

    return tuple(
        getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in DETECTORS.items()
    )
