"""Starts a zygote: the command line of the jail, and the privileges that are given up for it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from factory.errors import SandboxError
from factory.sandbox import cgroup, kernel

_FIRST_UID, _UIDS = 52_000, 8_000
_DEVICES = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]
_OLDEST_KERNEL = (5, 14)
_OLDEST_LANDLOCK = 3
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_BOOT = """
import _socket, json, sys
from types import ModuleType
control = _socket.socket(fileno=int(sys.argv[1]))
for name, text in json.loads(control.recv(1 << 20)):
    module = sys.modules[name] = ModuleType(name)
    module.__path__ = []
    exec(compile(text, name, "exec"), module.__dict__)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
sys.modules["factory.sandbox.zygote"].main(control.detach())
"""
PLACES = ("/w/scratch/tmp", "/w/kept/box")
"""Where a cell's /tmp and /box are mounted. What Landlock allows is tied to their parents, which
are the same in every cell: a mount hides the directory that it lies on."""
_SITE = "/w/site"
"""Where the installed packages are inside, wherever they lie outside."""
OTHER_TIERS = (
    "choose another sandbox.tier in the recipe: `landlock` (weaker, needs no namespaces) or "
    "`remote` (a code-execution service)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A zygote on its way up."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    stderr: IO[bytes]
    info: int | None
    """Where bubblewrap says which process is the zygote."""
    cgroup: cgroup.Cgroup | None
    readable: list[str]
    """Directories that jobs may read, beside their own."""
    devices: list[str]

    def pid(self) -> int:
        """Process id of the zygote, in our namespace."""
        if self.info is None:
            return self.process.pid
        said = os.read(self.info, 1 << 12)
        return int(json.loads(said)["child-pid"]) if said else 0


def unfit(tier: Literal["namespaces", "landlock"]) -> str:
    """Why this machine cannot give a tier, as far as can be told without trying; else empty."""
    if reason := kernel.supported():
        return reason
    abi = kernel.landlock_abi()
    if tier == "landlock":
        if abi < _OLDEST_LANDLOCK:
            return f"Landlock ABI {_OLDEST_LANDLOCK} (Linux 6.2) is needed, the kernel has {abi}"
        return ""
    if not abi:
        return "the kernel has no Landlock (Linux 5.13 and `landlock` among its active modules)"
    release = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
    if release < _OLDEST_KERNEL:
        return f"Linux 5.14 or newer is needed, this is {os.uname().release}"
    if shutil.which("bwrap") is None:
        return f"bubblewrap is missing: sudo apt install bubblewrap; or {OTHER_TIERS}"
    return ""


def spawn(
    tier: Literal["namespaces", "landlock"],
    preload: Sequence[str],
    visible: Sequence[str],
    group: cgroup.Cgroup | None,
) -> Spawned:
    """Start a zygote; it answers nothing yet.

    Raises:
        SandboxError: the interpreter cannot be used by the sandbox's user.
    """
    uid = sandbox_uid() if os.geteuid() == 0 else None
    python, libraries = _interpreter(tier, uid)
    paths = {path: path for path in (*libraries, *visible)}
    if preload:
        packages = sysconfig.get_path("purelib")
        paths[packages] = _SITE if tier == "namespaces" else packages
    taken = [path for path in paths.values() if path.startswith(("/tmp/", "/box/"))]
    if taken and tier == "namespaces":
        raise SandboxError(f"{taken[0]} cannot be seen inside, where /tmp and /box are a job's own")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the zygote
    info, tells = os.pipe() if tier == "namespaces" else (None, None)
    argv = _command(python, paths, theirs.fileno(), tells, uid is not None)
    passed = [theirs.fileno()] if tells is None else [theirs.fileno(), tells]
    bound = list(paths) if tier == "namespaces" and uid is not None else []
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=_ENVIRONMENT,
            cwd="/",
            pass_fds=passed,
            start_new_session=True,
            preexec_fn=_give_up(uid, bound, group, os.getpid()),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"the sandbox cannot be started: {error}") from error
    finally:
        theirs.close()
        if tells is not None:
            os.close(tells)
    return Spawned(
        process=process,
        control=ours,
        stderr=stderr,
        info=info,
        cgroup=group,
        readable=[
            "/usr",
            "/lib",
            "/lib64",
            "/etc/alternatives",
            "/etc/ld.so.cache",
            *paths.values(),
        ],
        devices=_DEVICES,
    )


def sandbox_uid() -> int:
    """The unprivileged user that root becomes for its sandbox: another one per worker process."""
    return _FIRST_UID + os.getpid() % _UIDS


def _command(
    python: str, paths: Mapping[str, str], fd: int, tells: int | None, bound: bool
) -> list[str]:
    """The interpreter with what it boots from, inside the jail where there is one."""
    flags = ["-s", "-S", "-P", "-B", "-W", "ignore", "-X", "utf8"]
    boot = [python, *flags, "-c", _BOOT, str(fd)]
    return boot if tells is None else [*_bubblewrap(paths, bound, tells), *boot]


def _interpreter(tier: str, uid: int | None) -> tuple[str, list[str]]:
    """The Python to run inside, and the directories that it needs beside /usr."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    if python.startswith("/usr/"):
        return python, []
    if uid is None or tier == "namespaces" or _open_to_others(python):
        return python, [sys.base_prefix]
    # Without mounts there is no way around a directory that is closed to others.
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if os.access(system, os.X_OK):
        return system, []
    raise SandboxError(
        f"the sandbox's user cannot reach {python}: put the interpreter under /usr or /opt, or "
        f"install {system}, or do not run as root"
    )


def _open_to_others(path: str) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in Path(path).parents)


def _bubblewrap(paths: Mapping[str, str], bound: bool, tells: int) -> list[str]:
    """The jail: everything unshared, little mounted, nothing writable but /tmp and /box."""
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"]
    argv += ["--info-fd", str(tells), "--hostname", "sandbox", "--cap-add", "CAP_SYS_ADMIN"]
    argv += ["--uid", "1000", "--gid", "1000", "--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(name):
            argv += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            argv += ["--ro-bind", name, name]
    for name in ("/etc/alternatives", "/etc/ld.so.cache"):
        argv += ["--ro-bind-try", name, name]
    for number, (path, inside) in enumerate(paths.items()):
        argv += ["--ro-bind", f"/tmp/{number}" if bound else path, inside]
    for device in _DEVICES:
        argv += ["--dev-bind", device, device]
    for place, behind in zip(("/tmp", "/box"), PLACES, strict=True):
        argv += ["--dir", behind, "--symlink", behind, place]
    return [*argv, "--remount-ro", "/"]


def _give_up(
    uid: int | None, bound: Sequence[str], group: cgroup.Cgroup | None, parent: int
) -> Callable[[], None]:
    """What the new process does before it becomes the jail.

    Root binds the directories to where an unprivileged user can reach them, in a mount namespace of
    its own, since the interpreter may lie under a closed home directory; then root is given up.
    """

    def prepare() -> None:
        if group is not None:
            group.enter()
        if uid is not None:
            if bound:
                kernel.unshare(kernel.CLONE_NEWNS)
                kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE, None)
                places = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in bound]
                kernel.mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755")
                for number, place in enumerate(places):
                    os.mkdir(f"/tmp/{number}")
                    source = f"/proc/self/fd/{place}"
                    kernel.mount(source, f"/tmp/{number}", None, kernel.MS_BIND, None)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
