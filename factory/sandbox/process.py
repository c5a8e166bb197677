"""A killable worker process, seen from the parent.

Jobs are sent ahead of their answers (thousands a second pass), answered in order, and each gets
its own wall-clock limit: the clock of a job starts when the one before it is answered. A worker
that hangs is killed, one that dies is replaced; only the job at fault pays, the others are sent
again. Limits rest on poll, not on alarms, so a Worker works in any thread, one thread at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from factory.errors import PluginError, SandboxError

START_LIMIT_S = 60.0
_WINDOW_JOBS = 256
_WINDOW_BYTES = 1 << 20
_MAX_ANSWER = 1 << 20
# The kernel kills the worker when the *thread* that spawned it ends; this one lasts as long as
# the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one job."""

    answer: dict[str, Any] | None = None
    """The worker's answer; None if there was none."""
    fault: Literal["", "timeout", "crash"] = ""
    detail: str = ""
    """How the worker ended, where it did."""
    seconds: float = 0.0

    @property
    def again(self) -> bool:
        """Whether another try may come to more."""
        return bool(self.fault or (self.answer or {}).get("again"))


class Interrupted(Exception):
    """`Worker.interrupt` was called: the jobs are not done."""


class _Died(Exception):
    """The worker process ended by itself, or broke the protocol."""


class _Spent(Exception):
    """The worker answered, but should not go on: out of memory, or its sandbox failed it."""


@dataclass(slots=True)
class _Channel:
    """One live worker process with the bytes on their way to and from it."""

    process: subprocess.Popen[bytes]
    stderr: IO[bytes]
    outgoing: bytearray = field(default_factory=bytearray)
    incoming: bytearray = field(default_factory=bytearray)
    served: int = 0

    def pump(self, limit_s: float) -> None:
        """Move bytes both ways until something has moved or the limit has passed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        reader, writer = self.process.stdout.fileno(), self.process.stdin.fileno()
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        if self.outgoing:
            poll.register(writer, select.POLLOUT)
        for fd, event in poll.poll(max(0, int(limit_s * 1000) + 1)):
            if fd == reader:
                chunk = os.read(reader, 1 << 16)
                if not chunk:
                    raise _Died
                self.incoming += chunk
            elif event & select.POLLOUT and not event & select.POLLERR:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    del self.outgoing[: os.write(writer, self.outgoing[: 1 << 16])]

    def send(self, payload: bytes) -> None:
        self.outgoing += len(payload).to_bytes(4, "big") + payload

    def receive(self) -> dict[str, Any] | None:
        """The next whole answer, if it is there."""
        if len(self.incoming) < 4:
            return None
        size = int.from_bytes(self.incoming[:4], "big")
        if size > _MAX_ANSWER:
            raise _Died
        if len(self.incoming) < 4 + size:
            return None
        body = bytes(self.incoming[4 : 4 + size])
        del self.incoming[: 4 + size]
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise _Died from None
        if not isinstance(answer, dict):
            raise _Died
        return answer

    def kill(self, grace_s: float = 0.0) -> str:
        """End the process and everything in its group; say how it had ended by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        ended = self.process.poll()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.stderr.seek(0)
        said = self.stderr.read()[-500:].decode(errors="replace").strip()
        self.stderr.close()
        return _ending(ended) + (f": {said.splitlines()[-1]}" if said else "")


def _ending(code: int | None) -> str:
    if code is None:
        return "was killed"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exited with code {code}"


class Worker:
    """Verifiers behind a process boundary.

    Example:
        with Worker({"math": {}}) as worker:
            replies = worker.run([payload, ...])
    """

    def __init__(
        self,
        verifiers: dict[str, dict[str, Any]],
        timeout_s: float = 5.0,
        memory_mb: int = 2048,
        recycle_after: int = 20_000,
        sandbox: dict[str, Any] | None = None,
    ) -> None:
        self._setup = {
            "verifiers": verifiers,
            "sandbox": sandbox or {"tier": "namespaces"},
            "memory_mb": memory_mb,
            "parent": os.getpid(),
        }
        self._timeout_s = timeout_s
        self._recycle_after = recycle_after
        self._channel: _Channel | None = None
        self._interrupted = False
        self.versions: dict[str, str] = {}
        """Version of each verifier, as the worker built it; empty before the first start."""
        self.limits: dict[str, float] = {}
        """Seconds that a verifier says it may take, where it bounds its own work."""

    @property
    def pid(self) -> int | None:
        """Process id of the live worker."""
        return self._channel.process.pid if self._channel else None

    def start(self) -> None:
        """Start the worker unless one is alive.

        Raises:
            PluginError: a verifier does not exist or does not take its options.
            SandboxError: the process did not come up.
        """
        if self._channel is not None and self._channel.process.poll() is None:
            return
        self.close()
        keys = sorted(_named_keys(self._setup["verifiers"]))
        try:
            self._channel = channel = _spawner.submit(_spawn, keys).result()
        except OSError as error:  # no room for a process: nothing that a job could help
            why = error.strerror or error
            raise SandboxError(f"the verifier process did not start: {why}") from error
        channel.send(json.dumps(self._setup).encode())
        answer = self._await_start(channel)
        if "failed" in answer:
            self.close()
            wrong = PluginError if answer["type"] == "PluginError" else SandboxError
            raise wrong(answer["failed"])
        self.versions, self.limits = answer["versions"], answer["limits"]

    def _await_start(self, channel: _Channel) -> dict[str, Any]:
        deadline = time.monotonic() + START_LIMIT_S
        try:
            while (answer := channel.receive()) is None:
                if (left := deadline - time.monotonic()) <= 0:
                    raise _Died
                channel.pump(left)
        except _Died:
            how = channel.kill(grace_s=1.0)
            self._channel = None
            raise SandboxError(f"the verifier process did not start: {how}") from None
        return answer

    def run(self, payloads: Sequence[bytes], limits: Sequence[float] = ()) -> list[Reply]:
        """One reply per payload, in order. A faulty job is not retried here.

        Args:
            limits: seconds for each, where they are not the worker's own.

        Raises:
            Interrupted: it was told to stop.
        """
        limits = limits or [self._timeout_s] * len(payloads)
        replies: list[Reply | None] = [None] * len(payloads)
        todo = deque(range(len(payloads)))
        while todo:
            self._expect_time()
            self.start()
            self._expect_time()
            assert self._channel is not None
            flying: deque[int] = deque()
            try:
                self._stream(self._channel, payloads, limits, todo, flying, replies)
            except _Spent:
                self.close()
            except TimeoutError:
                self.close()
                limit = limits[flying[0]]
                reply = Reply(fault="timeout", detail=f"no answer in {limit:g} s", seconds=limit)
                replies[flying.popleft()] = reply
            except _Died:
                detail = f"the verifier process {self._channel.kill(grace_s=1.0)}"
                self._channel = None
                replies[flying.popleft()] = Reply(fault="crash", detail=detail)
            except BaseException:
                self.close()  # answers on their way would be taken for those of the next jobs
                raise
            todo.extendleft(reversed(flying))
            if self._channel is not None and self._channel.served >= self._recycle_after:
                self.close()
        return [reply for reply in replies if reply is not None]

    def _stream(
        self,
        channel: _Channel,
        payloads: Sequence[bytes],
        limits: Sequence[float],
        todo: deque[int],
        flying: deque[int],
        replies: list[Reply | None],
    ) -> None:
        """Send ahead and take answers until all is done or the worker is due for recycling."""
        since = time.monotonic()
        while todo or flying:
            while todo and len(flying) < _WINDOW_JOBS and len(channel.outgoing) < _WINDOW_BYTES:
                if channel.served >= self._recycle_after:
                    break
                channel.send(payloads[todo[0]])
                channel.served += 1
                flying.append(todo.popleft())
            if not flying:
                return
            left = since + limits[flying[0]] - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.pump(left)
            while flying and (answer := channel.receive()) is not None:
                now = time.monotonic()
                replies[flying.popleft()] = Reply(answer=answer, seconds=now - since)
                since = now
                if answer.get("exhausted"):
                    raise _Spent

    def _expect_time(self) -> None:
        if self._interrupted:
            raise Interrupted("the verifier process was told to stop")

    def interrupt(self) -> None:
        """Have `run`, now and from now on, raise `Interrupted` soon; from any thread."""
        self._interrupted = True
        if channel := self._channel:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(channel.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the worker process; the next job starts another."""
        if self._channel is not None:
            self._channel.kill()
            self._channel = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _renew_spawner() -> None:
    global _spawner
    _spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


os.register_at_fork(after_in_child=_renew_spawner)


def _named_keys(options: Any) -> set[str]:
    """The environment variables that any option `api_key_env` names, at any depth."""
    if isinstance(options, dict):
        named = options.get("api_key_env")
        found = {named} if isinstance(named, str) else set()
        return found.union(*map(_named_keys, options.values()))
    return set().union(*map(_named_keys, options)) if isinstance(options, list | tuple) else set()


def _spawn(keys: Sequence[str]) -> _Channel:
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
    paths = [os.path.abspath(p) for p in sys.path]
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(paths),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **{key: os.environ[key] for key in keys if key in os.environ},
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "factory.sandbox.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=env,
        start_new_session=True,
    )
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return _Channel(process, stderr)
