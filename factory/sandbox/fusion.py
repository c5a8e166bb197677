"""One SandboxFusion service, spoken to over HTTP.

    POST {url}/run_code    {"language": "python", "code", "run_timeout", "files", "fetch_files"}
    -> {"status": "Success" | "Failed" | "SandboxError", "run_result", "files", ...}

Both ways file contents are in base64. The program is always `launch.py`, and what is read of the
answer is the one file that it writes. A request is bounded in time, whatever the other side does,
and so is what is read of the answer. What is no answer in good order is tried again, a few times.
"""

from __future__ import annotations

import base64
import http.client
import inspect
import json
import re
import secrets
import socket
import ssl
import threading
import time
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from factory.errors import SandboxError
from factory.sandbox import launch, values
from factory.sandbox.box import Limits

BACK_OFF_S = (0.5, 2.0, 5.0)
"""Before each further attempt."""
PATIENCE_S = 60.0
"""A further attempt begins only this long after the first, beside the job's own time."""
START_S = 10.0
"""What the service may need for a job beside the job's own time."""
QUEUE_S = 20.0
"""What a request may wait and travel beside that."""
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_PATH, _HOST = re.compile(r"[!-~]*"), re.compile(r"[A-Za-z0-9._:%-]+")
_CHUNK = 1 << 16
_SLACK_BYTES = 1 << 20

_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class _RunResult(msgspec.Struct):
    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    return_code: int | None = None


class _Response(msgspec.Struct):
    """What the service answers, as far as it is read."""

    status: Literal["Success", "Failed", "SandboxError"]
    run_result: _RunResult | None = None
    files: dict[str, bytes] = {}


class Report(msgspec.Struct):
    """What the launcher writes. The candidate may have forged it."""

    key: str
    failed: str = ""
    ended: Literal["exited", "signal", "cpu", "wall", "output"] | None = None
    code: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    stdout: bytes = b""
    stderr: bytes = b""
    record: bytes = b""
    kept: dict[str, bytes] = {}
    cpu_s: _Seconds = 0.0
    wall_s: _Seconds = 0.0


_RESPONSE = msgspec.json.Decoder(_Response)
_REPORT = msgspec.json.Decoder(Report)


class _Trouble(Exception):
    """This attempt came to nothing; another may do better."""


class Service:
    """The HTTP side: one request at a time, bounded in time and size."""

    def __init__(self, url: str) -> None:
        rule = "sandbox.url must be http:// or https://, a host, and a path at most"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise SandboxError(rule) from None
        if parts.username or parts.password:
            raise SandboxError(f"{rule}: no user name or password")
        if parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
            raise SandboxError(rule)
        if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
            raise SandboxError(f"{rule}, got {parts.scheme[:20]!r} and host {host[:100]!r}")
        self.name = f"the sandbox service at {host}" + (f":{port}" if port else "")
        """For messages: what stands in the path may be secret."""
        self._host, self._port = host, port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/") + "/run_code"
        self._program = inspect.getsource(launch)

    def report(self, told: dict[str, Any], files: dict[str, bytes], limits: Limits) -> Report:
        """Run the launcher with what it is told and finds beside itself, with patience.

        Raises:
            SandboxError: the service refuses, or no attempt brought a report.
        """
        key = secrets.token_hex(8)
        sent = {**files, "job.json": json.dumps({**told, "key": key}).encode()}
        body = {
            "language": "python",
            "code": self._program,
            "run_timeout": limits.wall_s + START_S,
            "files": {name: base64.b64encode(data).decode() for name, data in sent.items()},
            "fetch_files": [launch.REPORT],
        }
        request = json.dumps(body).encode()
        since, why, made = time.monotonic(), "", 0
        for pause in (0.0, *BACK_OFF_S):
            if made and time.monotonic() - since > limits.wall_s + PATIENCE_S:
                break
            time.sleep(pause)
            made += 1
            try:
                return self._attempt(request, key, limits)
            except _Trouble as error:
                why = str(error)
        raise SandboxError(f"{self.name}: {why} (attempts: {made})")

    def _attempt(self, request: bytes, key: str, limits: Limits) -> Report:
        patience = limits.wall_s + START_S + QUEUE_S
        # Twice in base64: as text in the report, and the report in the response.
        most = 2 * limits.output_bytes + values.MAX_BYTES + (limits.scratch_mb << 20)
        raw = self._post(request, patience, 2 * most + _SLACK_BYTES)
        try:
            response = _RESPONSE.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Trouble(f"an answer that is not SandboxFusion's: {error}") from None
        if response.status == "SandboxError":
            raise _Trouble("it reports an error of its own")
        if launch.REPORT not in response.files:
            raise _Trouble(_why_no_report(response.run_result))
        try:
            report = _REPORT.decode(response.files[launch.REPORT])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Trouble(f"a report that cannot be read: {error}") from None
        if report.key != key:
            raise _Trouble("the report of another job")
        return report

    def _post(self, request: bytes, limit_s: float, most: int) -> bytes:
        """The body of the answer, whatever the other side does with its time."""
        made: http.client.HTTPConnection
        parts: list[bytes] = []
        if self._tls is None:
            made = http.client.HTTPConnection(self._host, self._port, timeout=limit_s)
        else:
            made = http.client.HTTPSConnection(
                self._host, self._port, timeout=limit_s, context=self._tls
            )
        until = time.monotonic() + limit_s
        clock = threading.Timer(limit_s, _cut, [made])
        clock.daemon = True
        clock.start()
        try:
            made.request("POST", self._path, request, {"Content-Type": "application/json"})
            answer = made.getresponse()
            if answer.status in _AGAIN:
                raise _Trouble(f"HTTP status {answer.status}")
            if answer.status != 200:
                raise SandboxError(
                    f"{self.name} answers with HTTP status {answer.status}: "
                    "is sandbox.url the address of a SandboxFusion service, without /run_code?"
                )
            size = 0
            while part := answer.read(_CHUNK):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise _Trouble(f"an answer of more than {most} bytes")
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() < until:
                raise _Trouble(f"no answer ({type(error).__name__})") from None
        finally:
            clock.cancel()
            made.close()
        # Either the socket's own limit or the clock came first, and to a reader the clock's cut
        # looks like the end of the answer.
        if time.monotonic() >= until:
            raise _Trouble(f"no answer, {limit_s:g} s were up")
        return b"".join(parts)


def _cut(connection: http.client.HTTPConnection) -> None:
    """Time is up: what reads from the connection finds its end."""
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _why_no_report(result: _RunResult | None) -> str:
    if result is None:
        return "no report of the job"
    if result.status == "TimeLimitExceeded":
        return "no report of the job in its time"
    return f"no report of the job (return code {result.return_code})"
