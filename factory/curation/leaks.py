"""Access keys and personal data in text, by forms that little else has.

Keys are found with detect-secrets' patterns for keys that carry a prefix or a frame of their own;
its entropy and keyword detectors take numbers and code for secrets and are left out, and so is
whatever would ask a server. A detector is asked only where the text has what its patterns cannot
do without, which is fast to say of megabytes. Keys of Hugging Face, Anthropic and Google, which it
does not know, are added. Personal data must pass the checks of its kind: a domain that exists
as a kind of domain, a numbering plan, a card's check digit.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

KINDS = ("email", "phone", "card")

_GITLAB = ("pat", "dt", "ft", "soat", "rt", "cbt", "imt", "ptt", "agent", "oas")
DETECTORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "aws": ("AWSKeyDetector", ("A3T", "ABIA", "ACCA", "AKIA", "ASIA", "aws")),
    "azure_storage_key": ("AzureStorageKeyDetector", ("accountkey=",)),
    "discord": ("DiscordBotTokenDetector", ()),
    "github_token": ("GitHubTokenDetector", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    "gitlab_token": ("GitLabTokenDetector", ("gr1348941", *(f"gl{kind}-" for kind in _GITLAB))),
    "jwt": ("JwtTokenDetector", ("eyj",)),
    "npm": ("NpmDetector", ("_authtoken",)),
    "openai": ("OpenAIDetector", ("t3blbkfj",)),
    "private_key": ("PrivateKeyDetector", ("private key", "putty-user-key-file")),
    "pypi_token": ("PypiTokenDetector", ("pypi-age",)),
    "sendgrid": ("SendGridDetector", ("sg.",)),
    "slack": ("SlackDetector", ("xox", "hooks.slack.com")),
    "square_oauth": ("SquareOAuthDetector", ("sq0csp-",)),
    "stripe": ("StripeDetector", ("k_live_",)),
    "telegram_token": ("TelegramBotTokenDetector", ()),
}
"""Module of detect-secrets -> its detector, and texts of which a key of this kind has one (those
in lower case are compared with the lower-case text). Where there is none, `_SHAPES` has a pattern
that begins with a sign, which is fast to search for."""

_SHAPES = {
    "discord": re.compile(r"\.[\w-]{6}\.[\w-]{27}"),
    "telegram_token": re.compile(r":[\w-]{35}"),
}
_PAIRS = [(name, needle) for name, (_, needles) in DETECTORS.items() for needle in needles]
_NEEDLES = [pair for pair in _PAIRS if not pair[1].islower()]
_LOWER_NEEDLES = [pair for pair in _PAIRS if pair[1].islower()]
_MORE = {
    "Hugging Face Token": ("hf_", re.compile(r"(?<!\w)hf_[A-Za-z0-9]{34}(?!\w)")),
    "Anthropic Key": ("sk-ant-", re.compile(r"sk-ant-[a-z0-9]+-[\w-]{80,120}")),
    "Google API Key": ("AIza", re.compile(r"(?<!\w)AIza[\w-]{35}(?![\w-])")),
}

_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", re.I)
_KEY_NAME = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|(?:hf|auth|access|bearer)[_-]?token|secret|passw(?:or)?d|authorization)$",
    re.I,
)
_KEY_VALUE = re.compile(r"(?:Bearer |Basic )?(?=\S*\d)(?=\S*[A-Za-z])\S{16,}")

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
    for name, (needle, pattern) in _MORE.items():
        if needle in text and pattern.search(text):
            return name
    asked = _may_hold(text)
    if not asked:
        return None
    text = _RUN.sub(r"\1 ", text)
    for name in asked:
        detector = _detector(name)
        for _ in detector.analyze_string(text):
            return str(detector.secret_type)
    return None


def settings_leak(value: Any, place: str = "") -> tuple[str, str] | None:
    """The first value of nested settings that nobody else should see: its place, and what it is.

    Beside known keys: an address with a password in it, and whatever stands under a name that
    is a key's (`api_key`, `password`, ...) and is long and mixed enough to be one.
    """
    if isinstance(value, dict):
        below = [(f"{place}.{key}" if place else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, (list, tuple)):
        below = [(f"{place}.{number}", inner) for number, inner in enumerate(value)]
    else:
        found = _setting(value, place.rpartition(".")[2]) if isinstance(value, str) else None
        return (place, found) if found else None
    return next(filter(None, (settings_leak(inner, at) for at, inner in below)), None)


def _setting(text: str, name: str) -> str | None:
    if found := secret(text):
        return found
    if _PASSWORD.search(text):
        return "an address with a password"
    if _KEY_NAME.search(name) and _KEY_VALUE.fullmatch(text):
        return f"the value of {name!r}"
    return None


def _may_hold(text: str) -> list[str]:
    """The detectors to ask, in order."""
    lowered = text.lower()
    found = {name for name, needle in _NEEDLES if needle in text}
    found.update(name for name, needle in _LOWER_NEEDLES if needle in lowered)
    found.update(name for name, shape in _SHAPES.items() if shape.search(text))
    return [name for name in DETECTORS if name in found] if found else []


def personal_data(kind: str, text: str) -> set[str]:
    """What of a kind (`KINDS`) the text holds."""
    if kind == "email":
        if "@" not in text:
            return set()
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
def _detector(module: str) -> Any:
    """Made when first asked for: the import takes a moment."""
    import importlib

    return getattr(
        importlib.import_module(f"detect_secrets.plugins.{module}"), DETECTORS[module][0]
    )()
