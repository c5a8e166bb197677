"""The formats that `json_schema` checks. What is not listed here is refused, not ignored."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,12})?(?:[Zz]|[+-]([0-9]{2}:[0-9]{2}))"
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = re.compile(rf"{_LOCAL}(?:\.{_LOCAL})*@({_LABEL}(?:\.{_LABEL})+)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
)


def _is_date(text: str) -> bool:
    return bool(_DATE.fullmatch(text)) and bool(datetime.date.fromisoformat(text))


def _is_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    datetime.time.fromisoformat(match[1])
    if match[2]:
        datetime.time.fromisoformat(match[2])
    return True


def _is_date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and _is_date(text[:10]) and _is_time(text[11:])


def _is_email(text: str) -> bool:
    match = _EMAIL.fullmatch(text) if len(text) <= 254 else None
    return match is not None and len(match[1]) <= 253


def _is_hostname(text: str) -> bool:
    return len(text) <= 253 and bool(_HOST.fullmatch(text))


def _is_ipv4(text: str) -> bool:
    return text.isascii() and bool(ipaddress.IPv4Address(text).packed)


def _is_ipv6(text: str) -> bool:
    return text.isascii() and "%" not in text and bool(ipaddress.IPv6Address(text).packed)


def _is_uri(text: str) -> bool:
    return bool(_URI.fullmatch(text)) and bool(urlsplit(text).scheme)


def _is_uuid(text: str) -> bool:
    return bool(_UUID.fullmatch(text))


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "date-time": _is_date_time,
    "email": _is_email,
    "hostname": _is_hostname,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
    "time": _is_time,
    "uri": _is_uri,
    "uuid": _is_uuid,
}
"""Each may raise ValueError in the place of saying no."""
