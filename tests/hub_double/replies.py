"""What goes back to a client."""

from __future__ import annotations

import json
from typing import Any


class Reply(Exception):
    """Ends the handling of a request."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None):
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {"Content-Type": "application/json", **(headers or {})}


def refusal(status: int, message: str, code: str | None = None) -> Reply:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return Reply(status, {"error": message}, headers)
