"""A SandboxFusion service on this machine: it really runs what it is sent, without isolation.

It does what the service's source does for `language: python` (files laid beside the program, a
shell, a time limit, fetched files, output as text up to 1 MiB), and can be told to do wrong.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MOST_TEXT = 1 << 20
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""
Fault = Callable[["FusionDouble", dict[str, Any]], Answer | None]
"""What happens instead of an answer in good order; None: the connection is dropped."""


class Drip(bytes):
    """A body that is sent byte for byte: a clock that watches for silence never runs out."""


class FusionDouble:
    """The service, listening until the `with` block ends."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        """Each strikes one request, in order; after that all is well."""
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.hung = threading.Event()
        """Set at the end: what hangs may go."""
        handler = type("BoundHandler", (_Handler,), {"double": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FusionDouble:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hung.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: dict[str, Any]) -> Answer:
        """An answer in good order."""
        return as_json(self.run(request))

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the program."""
        assert request["language"] == "python"
        with tempfile.TemporaryDirectory() as folder:
            _restore(folder, request.get("files") or {})
            program = Path(folder, "program.py")
            program.write_text(request["code"], encoding="utf-8")
            result = _command(f"{sys.executable} {program}", folder, request["run_timeout"])
            files = {}
            for name in request.get("fetch_files") or []:
                path = Path(folder, name)
                if path.is_file():
                    files[name] = base64.b64encode(path.read_bytes()).decode()
                    self.reports.append(json.loads(path.read_bytes()))
        good = result["status"] == "Finished" and result["return_code"] == 0
        return {
            "status": "Success" if good else "Failed",
            "message": "",
            "compile_result": None,
            "run_result": result,
            "executor_pod_name": None,
            "files": files,
        }


def as_json(answer: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _restore(folder: str, files: dict[str, str | None]) -> None:
    for name, content in files.items():
        if content is None or "IGNORE_THIS_FILE" in name:
            continue
        path = Path(os.path.join(folder, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))


def _command(command: str, folder: str, timeout: float) -> dict[str, Any]:
    process = subprocess.Popen(
        ["/bin/bash", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "SECRET_OF_THE_SERVICE": "sesame"},
        start_new_session=True,
    )
    since = time.monotonic()
    result: dict[str, Any] = {"status": "Finished"}
    try:
        stdout, stderr = process.communicate(b"", timeout)
        result["return_code"] = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        result.update(status="TimeLimitExceeded", return_code=None)
    result["execution_time"] = time.monotonic() - since
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        try:
            result[name] = data[:MOST_TEXT].decode()
        except UnicodeDecodeError as error:
            result[name] = f"[DecodeError] {error}"
    return result


class _Handler(BaseHTTPRequestHandler):
    double: FusionDouble
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError):  # a caller that did not wait
            super().handle()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        double = self.double
        double.paths.append(self.path)
        double.requests.append(request)
        if not self.path.endswith("/run_code"):
            self._send((404, {}, b"{}"))
        elif double.faults:
            answer = double.faults.pop(0)(double, request)
            if answer is None:
                self.close_connection = True
            else:
                self._send(answer)
        else:
            self._send(double.answer(request))

    def _send(self, answer: Answer) -> None:
        status, headers, body = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if isinstance(body, Drip):
                while body and not self.double.hung.wait(0.05):
                    self.wfile.write(body[:1])
                    body = Drip(body[1:])
            else:
                self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the test's stderr."""
