"""The Ray that is started for one run: it outlives a SIGTERM, and its death is noticed.

Batch systems send SIGTERM to every process of a job, or to its process group. The run then wants to
put on record what is being written, for which it needs its replicas, and these need Ray. So Ray's
processes are started with SIGTERM blocked, which all their children inherit, and replicas ignore
it; the engine's own processes and the verifiers' get it as usual. When the run ends or dies, they
end without a SIGTERM: SIGKILL follows Ray's, and the kernel kills what has lost its parent.

None of this is done to a Ray that was there before. It has no options for it; if a later version
starts its processes otherwise, all is as without.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

from ray import _raylet as _untyped
from ray._private import services, worker
from ray.exceptions import AuthenticationError

DIED = (
    "the Ray that this command had started has died (killed? out of memory?); everything so far is "
    "on record, and the same command goes on from there"
)
_raylet: Any = _untyped
_MODE = "RAY_AUTH_MODE"
_ASK_MS = 5000
_VITAL = ("raylet", "gcs_server")


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Have Ray's processes started in sessions of their own, with SIGTERM blocked."""
    plain = services.ConsolePopen
    services.ConsolePopen = partial(plain, start_new_session=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        services.ConsolePopen = plain


def ignore_sigterm() -> None:
    """For a process of Ray's, from any thread: Python's own way works in the main one alone."""
    ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(signal.SIG_IGN))


def unblock_sigterm() -> None:
    """What this thread, and those that it starts, start from now on can be ended by SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def show_token(address: str) -> None:
    """Have this process show the user's token to a cluster that asks for one.

    The first Ray that is started here makes a token, and every later `ray start` asks for it; Ray
    itself shows it to `auto` alone, not to an address. A RAY_AUTH_MODE that is set decides.

    Args:
        address: HOST:PORT of a head node.

    Raises:
        AuthenticationError: there is no token, or it is another cluster's.
    """
    try:
        _raylet.InnerGcsClient.standalone(address, None, _ASK_MS)
    except AuthenticationError:
        loader = _raylet.AuthenticationTokenLoader.instance()
        if _MODE in os.environ or not loader.has_token(ignore_auth_mode=True):
            raise
        os.environ[_MODE] = "token"
        _raylet.Config.initialize("")  # Ray has read its settings when it was imported
        _raylet.InnerGcsClient.standalone(address, None, _ASK_MS)


def has_died() -> bool:
    """Whether the Ray that this process has started is gone.

    Asking takes leave of its dead processes: as long as a raylet is a zombie, its workers take it
    to be alive, and live on.
    """
    node = worker._global_node
    dead = node.dead_processes() if node is not None else []
    return any(kind in _VITAL for kind, _ in dead)
