"""Where heavy and untrusted checks execute.

    process.py, child.py   the killable worker process in which verifiers run
    box.py                 what may be asked of a sandbox; the nouns
    jail.py                the tiers on this machine: namespaces, landlock; the threat model
    cells.py, spawn.py     how they are talked to and started; cgroup.py
    zygote.py, job.py      what runs inside: the warm interpreter, its keepers, a job
    kernel.py, values.py   there as well: the system calls; plain values across the boundary
    remote.py, fusion.py   the tier elsewhere: a SandboxFusion service; launch.py runs there
    probes.py              attacks that prove what this machine gives

A verifier that executes what a model wrote does so in a box of `current()`, the sandbox of its
worker process, as the recipe chose it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from factory.errors import SandboxError

if TYPE_CHECKING:
    from factory.sandbox.box import Sandbox, Tier

_chosen: dict[str, Any] = {"tier": "namespaces"}
_sandbox: Sandbox | None = None
_used = ""


def make(tier: Tier, url: str | None = None, visible: Sequence[str] = ()) -> Sandbox:
    """A sandbox of a tier, not yet started.

    Args:
        url: address of the service, for `remote`.
        visible: directories of this machine that jobs may read, beside /usr and the interpreter.

    Raises:
        SandboxError: no such tier, or its address is missing.
    """
    if tier == "remote":
        from factory.sandbox.remote import Remote

        if not url:
            raise SandboxError("sandbox.tier is remote: give sandbox.url, a SandboxFusion address")
        return Remote(url)
    from factory.sandbox.jail import Jail

    return Jail(tier, visible)


def choose(tier: Tier, url: str | None = None, visible: Sequence[str] = ()) -> None:
    """Decide which sandbox `current` gives in this process."""
    close()
    _chosen.update(tier=tier, url=url, visible=tuple(visible))


def current() -> Sandbox:
    """The sandbox of this process; its first use brings it up."""
    global _sandbox, _used
    if _sandbox is None:
        _sandbox = make(**_chosen)
    _used = _sandbox.tier
    return _sandbox


def used() -> str:
    """The tier that was used since this was last asked; empty if none was."""
    global _used
    tier, _used = _used, ""
    return tier


def close() -> None:
    """End the sandbox of this process, if there is one."""
    global _sandbox
    if _sandbox is not None:
        _sandbox.close()
        _sandbox = None


@contextmanager
def open_sandbox(
    tier: Tier = "namespaces", url: str | None = None, visible: Sequence[str] = ()
) -> Iterator[Sandbox]:
    """A sandbox for the length of a `with` block, up and running."""
    sandbox = make(tier, url, visible)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.close()
