"""The double itself: who it knows, what it is to do wrong, and the HTTP connection."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_double.calls import ROUTES, Call
from tests.hub_double.replies import Reply, refusal
from tests.hub_double.store import ATTRIBUTES, Commit, Contents, Repository
from tests.hub_double.xet import XetStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that was served."""

    method: str
    path: str
    status: int
    """0 where the connection was dropped without a reply."""
    body: bytes = field(default=b"", repr=False)


@dataclass(kw_only=True)
class Fault:
    """Something that goes wrong with requests that match."""

    method: str
    path: str
    """Regular expression, searched in the path with its query."""
    hit: int = 1
    """The first matching request that it strikes, 1-based."""
    times: int = 1
    """How many matching requests it strikes."""
    status: int | None = None
    """Refuse without doing the work."""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    late: bool = False
    """Do the work first, and answer with `status` all the same."""
    drop: str | None = None
    """`before`: hang up without doing the work; `after`: do it, then hang up without a reply."""
    cut: bool = False
    """Hang up in the middle of the reply."""
    delay: float = 0.0
    """Seconds before the reply leaves."""
    action: Callable[[], object] | None = None
    """Runs before the request is served, which then goes its usual way."""
    held: Callable[[], object] | None = None
    """Runs when the work is done and the reply has not left."""
    hits: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.path, path):
            return False
        self.hits += 1
        return self.hit <= self.hits < self.hit + self.times


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of the Hub's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class HubDouble:
    """A Hub that listens on this machine until the `with` block ends."""

    def __init__(
        self,
        folder: Path,
        *,
        xet: bool = False,
        page_size: int = 1000,
        part_size: int | None = None,
    ) -> None:
        self.folder = folder
        self.xet = xet
        self.page_size = page_size
        """Entries of one page of a listing."""
        self.part_size = part_size
        """Bytes of one part of an LFS upload; None for uploads in one piece."""
        self.parts: dict[tuple[str, int], bytes] = {}
        """Uploaded parts of LFS files: hash and number -> content."""
        self.sent_again = 0
        """Bytes of LFS uploads of files that the Hub had already."""
        self.connections = 0
        """Those that are open: a killed client's end when its last request has been served."""
        self.closing = threading.Event()
        self.contents = Contents(folder / "contents")
        self.repositories: dict[str, Repository] = {}
        self.users: dict[str, str] = {}
        """Token -> user."""
        self.readers: set[str] = set()
        """Tokens that may only read."""
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> HubDouble:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def add_user(self, name: str, token: str, *, read_only: bool = False) -> None:
        self.users[token] = name
        if read_only:
            self.readers.add(token)

    def create(self, repo: str, *, private: bool = False) -> Repository:
        """A repository as the Hub makes it: with one commit that holds `.gitattributes`."""
        made = self.repositories[repo] = Repository(id=repo, private=private)
        entry = self.contents.put_regular(ATTRIBUTES.encode())
        made.commit({".gitattributes": entry}, title="initial commit")
        return made

    def commit(self, repo: str, files: dict[str, bytes], *, branch: str = "main") -> Commit:
        """Someone else's commit of small files."""
        entries = {path: self.contents.put_regular(data) for path, data in files.items()}
        return self.repositories[repo].commit(entries, branch=branch, title="by hand")

    def read(self, repo: str, path: str, revision: str = "main") -> bytes:
        commit = self.repositories[repo].resolve(revision)
        assert commit is not None, f"no revision {revision}"
        return self.contents.read(commit.files[path])

    def fail(self, method: str, path: str, **fault: Any) -> Fault:
        """Make a request go wrong; the fields of `Fault`."""
        self.faults.append(Fault(method=method, path=path, **fault))
        return self.faults[-1]

    def served(self, method: str, path: str) -> list[Request]:
        """The requests of a kind so far; `path` is a regular expression."""
        return [r for r in self.requests if r.method == method and re.search(path, r.path)]

    def store_of(self, token: str) -> XetStore:
        """Every token has its own: two clients cannot upload to one store at the same time.

        Its name is not the token: the client writes the name to its log.
        """
        return XetStore(self.folder / "xet" / sha256(token.encode()).hexdigest()[:16])

    def take_in(self, digest: str) -> bool:
        """Whether a large file has been uploaded; one that came by Xet is put together here."""
        if self.contents.has(digest):
            return True
        for token in self.users:
            store = self.store_of(token)
            if found := store.hash_of(digest):
                part = self.contents.path(f"{digest}.xet")
                store.fetch(*found, part)
                self.contents.put_large(digest, part.read_bytes())
                return True
        return False


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    hub: HubDouble
    protocol_version = "HTTP/1.1"
    # Header and body leave in two writes: without this every reply waits for an acknowledgement.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with self.hub.lock:
            self.hub.connections += 1
        try:
            super().handle()
        finally:
            with self.hub.lock:
                self.hub.connections -= 1

    def do_GET(self) -> None:
        body = self.read_body()
        with self.hub.lock:
            found = [f for f in self.hub.faults if f.strikes(self.command, self.path)]
        for fault in found:
            if fault.action is not None:
                fault.action()
        reply = self.served(body, found)
        with self.hub.lock:
            status = reply.status if reply else 0
            self.hub.requests.append(
                Request(method=self.command, path=self.path, status=status, body=body)
            )
        for fault in found:
            if fault.held is not None:
                fault.held()
        if delay := sum(f.delay for f in found):
            self.hub.closing.wait(delay)
        if reply is None:
            self.hang_up()
        else:
            self.send(reply, cut=any(f.cut for f in found))

    def served(self, body: bytes, faults: list[Fault]) -> Reply | None:
        """The reply as the faults let it through; None for no reply at all."""
        drop = next((f.drop for f in faults if f.drop), None)
        refused = next((f for f in faults if f.status is not None), None)
        if drop == "before":
            return None
        if refused is None or refused.late:
            reply = self.reply_to(body)
        if refused is not None and refused.status is not None:
            reply = Reply(refused.status, refused.body.encode(), refused.headers)
        return None if drop else reply

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may be gone
            self.connection.shutdown(socket.SHUT_RDWR)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet: `HubDouble.requests` is the log."""

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def reply_to(self, body: bytes) -> Reply:
        url = urlsplit(self.path)
        query = {name: ",".join(values) for name, values in parse_qs(url.query).items()}
        call = Call(self.hub, self.command, self.token(), query, body, self.headers)
        method = "GET" if self.command == "HEAD" else self.command
        try:
            call.authenticate()
            for verb, pattern, handle in ROUTES:
                match = re.fullmatch(pattern, url.path)
                if match and verb == method:
                    handle(call, *(unquote(group or "") for group in match.groups()))
            raise refusal(404, f"the double does not know {self.command} {url.path}")
        except Reply as reply:
            return reply

    def token(self) -> str | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token if scheme == "Bearer" else None

    def send(self, reply: Reply, *, cut: bool = False) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if cut:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.hang_up()
        elif self.command != "HEAD":
            self.wfile.write(reply.body)
