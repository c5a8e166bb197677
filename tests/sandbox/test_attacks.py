"""Programs that mean harm, run for real in every tier that this machine gives.

Of each the sandbox tells what came of it, the next candidate notices nothing, and at the end
nothing is left on the machine: no process, mount, file, control group or descriptor.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.errors import SandboxError
from factory.sandbox import spawn
from factory.sandbox.box import Box, Call, Command, Job, Limits, Ran, Sandbox, Script
from tests.sandbox.attacks import (
    CALLS,
    TIGHT,
    Attack,
    answers,
    escapes,
    persistence,
    resources,
    syscalls,
)

ATTACKS = [
    attack
    for kind in (resources, escapes, syscalls, persistence, answers)
    for attack in kind.ATTACKS
]
_PIDS = "process ids go on counting, in the box or on the machine: a number, no more"
NOT_STOPPED: dict[str, dict[str, str]] = {
    "namespaces": {"note-in-process-ids": _PIDS},
    "landlock": {
        "note-in-process-ids": _PIDS,
        "processes-of-others": "without a pid namespace one can ask which process ids are taken",
        "host-name": "without a uts namespace the machine's name is seen",
    },
}
"""What a tier does not stop, and why: each of these must succeed, else the list is out of date."""


def left_behind() -> dict[str, Any]:
    """What of this process's sandboxes there is on the machine."""
    ours = spawn.sandbox_uid() if os.geteuid() == 0 else os.geteuid()
    shared = [p.name for p in Path("/dev/shm").iterdir() if p.stat().st_uid == ours]
    folders = Path(tempfile.gettempdir()).glob("factory-*/box")
    groups = Path("/sys/fs/cgroup").rglob(f"factory-{os.getpid()}-*")
    return {
        "processes": sorted(processes(ours)),
        "mounts": len(Path("/proc/self/mountinfo").read_bytes().splitlines()),
        "files": sorted(p.parent.name for p in folders if p.stat().st_uid == ours),
        "shared": sorted(shared),
        "groups": sorted(str(p) for p in groups if p.is_dir()),
        "ipc": [len(p.read_bytes().splitlines()) for p in Path("/proc/sysvipc").iterdir()],
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def processes(user: int) -> set[int]:
    """Who lives below this process, or as the unprivileged user of its sandboxes."""
    parents, found = {}, {os.getpid()}
    for folder in [p for p in Path("/proc").iterdir() if p.name.isdigit()]:
        try:
            status = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if status[0] == "Z":
                continue
            if folder.stat().st_uid == user != os.geteuid():
                found.add(int(folder.name))
            parents[int(folder.name)] = int(status[1])
        except (OSError, IndexError):
            continue
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = left_behind()
    yield
    deadline = time.monotonic() + 5
    while (after := left_behind()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {
        what: (before[what], after[what]) for what in after if after[what] != before[what]
    } == {}


def job(source: str, attack: Attack) -> Job:
    if attack.function:
        return Call(source=source, function=attack.function, args=attack.args, stdin=attack.stdin)
    return Script(source=source, stdin=attack.stdin)


def exact(value: Any) -> tuple[type, str]:
    return type(value), repr(value)


def complaint(attack: Attack, ran: Ran, last: bool) -> str:
    """Why the attack cannot be said to have failed; empty if it has."""
    came_back = [exact(value) for value in ran.returned]
    checks = {
        "it says that it succeeded": b"BROKEN" not in ran.stdout,
        f"it ended otherwise than by {attack.ends}": not last or ran.ended in attack.ends,
        f"it did not say {attack.says!r}": not last or attack.says in ran.stdout,
        "it ended as if all were well": not (last and attack.fails and ran.ok),
        "another value came back": came_back in ([], [exact(v) for v in attack.returns]),
    }
    return ", ".join(f"{why}: {ran}"[:1500] for why, good in checks.items() if not good)


ONE_AFTER_THE_OTHER = """
import sys
exec(compile({first!r} if sys.stdin.buffer.read(1) == b"1" else {then!r}, "main.py", "exec"))
"""


def run(sandbox: Sandbox, attack: Attack) -> str:
    """Run an attack and see to the next candidate; the complaint, with what was observed."""
    jobs = [job(attack.source, attack)]
    if attack.then:
        both = ONE_AFTER_THE_OTHER.format(first=attack.source, then=attack.then)
        jobs = [Script(source=both, stdin=b"1"), Script(source=both, stdin=b"2"), *jobs]
        jobs.append(Script(source=attack.then))
    why = ""
    with sandbox.box({"given": b"given"}, limits=attack.limits) as box:
        for number, each in enumerate(jobs, 1):
            why = why or complaint(attack, box.run(each), not attack.then or number % 2 == 0)
        assert box.run(Script(source="print(6 * 7)")).stdout == b"42\n", "its own box"
        with sandbox.box({"given": b"given"}) as another:
            if attack.then:
                why = why or complaint(attack, another.run(jobs[-1]), True)
            well(another)
    return why


def well(box: Box) -> None:
    """Another candidate's work is done as it should be."""
    add = Call(source="def add(a, b): return a + b", function="add", args=[40, 2])
    assert box.run(add).returned == (42,)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_an_attack_fails_and_nobody_else_notices(local, attack):
    why = run(local, attack)
    if attack.id in NOT_STOPPED[local.tier]:
        assert why, f"{attack.id} is stopped now: strike it from the list"
    else:
        assert not why, f"{attack.aim}: {why}"


@pytest.mark.parametrize(
    "attack",
    [a for a in (*syscalls.ATTACKS, *escapes.ATTACKS, *resources.ATTACKS) if not a.then],
    ids=lambda attack: attack.id,
)
def test_a_program_of_the_system_can_do_no_more(local, attack):
    """The same from an interpreter that is executed, as a compiled candidate is."""
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        pytest.skip("needs /usr/bin/python3")
    not_here = {"secrets-in-the-interpreter"}  # it is another one, and finds its own source
    with local.box({"given": b"given"}, limits=attack.limits) as box:
        argv = [python, "-S", "-"] if len(attack.source) < 1 << 20 else [python, "-S", "/box/given"]
        ran = box.run(Command(argv=argv, stdin=attack.source.encode("utf-8", "surrogatepass")))
        well(box)
    why = complaint(attack, ran, True)
    if attack.id in NOT_STOPPED[local.tier]:
        assert why
    elif attack.id not in not_here:
        assert not why, f"{attack.aim}: {why}"


OUTSIDE = (
    CALLS
    + """
import fcntl, signal, socket
PATH, LOG, ABSTRACT, VICTIM, PORT = {path!r}, {log!r}, {abstract!r}, {victim}, {port}
signal.signal(signal.SIGIO, signal.SIG_IGN)

raises("read", lambda: open(PATH).read())
raises("write", lambda: open(PATH, "a"))
raises("truncate", lambda: os.truncate(PATH, 0))
raises("open to all", lambda: os.chmod(PATH, 0o777))
raises("set the user id bit", lambda: os.chmod(PATH, 0o4755))
raises("times", lambda: os.utime(PATH, (1, 1)))
raises("attribute", lambda: os.setxattr(PATH, "user.a", b"1"))
raises("remove", lambda: os.unlink(PATH))
raises("rename", lambda: os.rename(PATH, PATH + "-"))
raises("link", lambda: os.link(PATH, PATH + "-"))
raises("place beside", lambda: os.symlink("x", PATH + "-link"))

for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    for name in (LOG, ABSTRACT):
        a, b = socket.socketpair(socket.AF_UNIX, kind)
        try:
            a.sendto(b"forged", name)
        except OSError:
            pass
        raises("connect", lambda: a.connect(name))
raises("loopback", lambda: socket.create_connection(("127.0.0.1", PORT), 1))

raises("kill", lambda: os.kill(VICTIM, 9))
raises("stop", lambda: os.kill(VICTIM, 19))
raises("group", lambda: os.killpg(VICTIM, 9))
print("BROKEN" if syscall(39) != VICTIM and syscall(200, VICTIM, 9) >= 0 else "held", "tkill")
print("BROKEN" if syscall(234, VICTIM, VICTIM, 9) >= 0 else "held", "tgkill")
refused(syscall(129, VICTIM, 9, b"\\0" * 128), "rt_sigqueueinfo")
refused(syscall(302, VICTIM, 7, b"\\0" * 16, None), "prlimit")
refused(syscall(101, 16, VICTIM, 0, 0), "ptrace")
for option in (fcntl.F_SETOWN, 15):
    for number in (9, 19):
        a, b = socket.socketpair()
        try:
            extended = b"\\1\\0\\0\\0" + VICTIM.to_bytes(4, "little")
            owner = VICTIM if option == fcntl.F_SETOWN else extended
            fcntl.fcntl(a, option, owner)
            fcntl.fcntl(a, 10, number)
            fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC)
            b.send(b"x")
        except OSError:
            pass
print("held")
"""
)


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory on the way to which there is no obstacle but the sandbox."""
    folder = Path(tempfile.mkdtemp(prefix="outside-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("as_command", [False, True], ids=["program", "command"])
def test_what_stands_outside_stays_as_it_is(local, outside, as_command):
    """A file, a process, sockets: all of the sandbox's own user, so that nothing else protects."""
    user = spawn.sandbox_uid() if os.geteuid() == 0 else os.geteuid()
    path, log = outside / "key", outside / "log"
    path.write_text("secret", encoding="ascii")
    path.chmod(0o600)
    os.chown(outside, user, -1)
    os.chown(path, user, -1)
    before = path.stat()
    victim = subprocess.Popen(["/bin/sleep", "60"], user=user)
    abstract = f"\0factory-test-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening = [
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(2)
        ]
        for each, name in zip(listening, (str(log), abstract), strict=True):
            each.bind(name)
            each.setblocking(False)
        log.chmod(0o777)
        source = OUTSIDE.format(
            path=str(path),
            log=str(log),
            abstract=abstract,
            victim=victim.pid,
            port=server.getsockname()[1],
        )
        with local.box() as box:
            python = Command(argv=["/usr/bin/python3", "-S", "-"], stdin=source.encode())
            ran = box.run(python if as_command else Script(source=source))
            well(box)
        assert ran.ok, ran
        assert b"BROKEN" not in ran.stdout, ran
        assert victim.poll() is None
        status = Path(f"/proc/{victim.pid}/stat").read_text(encoding="ascii").split()
        assert status[2] == "S", "it was stopped"
        assert path.stat() == before
        assert sorted(p.name for p in outside.iterdir()) == ["key", "log"]
        for each in listening:
            with pytest.raises(BlockingIOError):
                each.recv(100)


WRITTEN = {
    "link": "import os; os.symlink('/etc/passwd', 'out')",
    "link-to-the-box": "import os; os.symlink('/box/given', 'out')",
    "hard-link": "import os; os.link('/box/given', 'out')",
    "fifo": "import os; os.mkfifo('out')",
    "folder": "import os; os.mkdir('out')",
    "device": "import os; os.symlink('/dev/zero', 'out')",
    "closed": "open('out', 'w').write('x'); import os; os.chmod('out', 0)",
    "missing": "pass",
    "closed-folder": "open('out', 'w').write('x'); import os; os.chmod('.', 0)",
}


@pytest.mark.parametrize("source", WRITTEN.values(), ids=WRITTEN)
def test_only_what_a_job_wrote_itself_is_fetched(local, source):
    """In the tier without writable files such a job is refused, and nobody is the worse for it."""
    with local.box({"given": b"of the box"}) as box:
        job = Script(source=f"try:\n {source}\nexcept OSError: pass", output_file="out")
        if local.tier == "landlock":
            with pytest.raises(SandboxError, match="cannot write files"):
                box.run(job)
        else:
            ran = box.run(job)
            assert ran.ok, ran
            assert ran.stdout in (b"", b"x")
        well(box)


@pytest.mark.parametrize("seals", [0b0001, 0b0010, 0b0100, 0b1000, 0b1111])
def test_a_sealed_output_is_read_and_replaced_all_the_same(local, seals):
    source = f"""
import fcntl
for number in (0, 1, 2):
    try: fcntl.fcntl(number, 1033, {seals})
    except OSError: pass
try: open("out", "w").write("right")
except OSError: pass
"""
    with local.box() as box:
        assert box.run(Script(source=source)).ended == "exited"
        if local.tier == "namespaces":
            assert box.run(Script(source=source, output_file="out")).stdout == b"right"
        well(box)


HOARDERS = {
    "forks": "import os, time\n"
    "while True:\n try: os.fork() or time.sleep(9)\n except OSError: time.sleep(0.01)",
    "threads": "import threading, time\n"
    "try:\n while True: threading.Thread(target=time.sleep, args=(9,)).start()\n"
    "except RuntimeError: time.sleep(9)",
    "memory": "kept = []\nwhile True: kept.append(bytearray(9 << 20))",
    "output": "import os\nwhile True: os.write(1, b'x')",
    "signals": "import os\nwhile True:\n try: os.kill(-1, 9)\n except OSError: pass",
}


@pytest.mark.parametrize("source", HOARDERS.values(), ids=HOARDERS)
def test_a_box_beside_does_its_work(local, source):
    with local.box(limits=replace(TIGHT, wall_s=1.5)) as box, local.box() as beside:
        running = box.start(Script(source=source))
        try:
            time.sleep(0.3)
            well(beside)
            with local.box() as newcomer:
                well(newcomer)
        finally:
            ran = running.wait()
        assert not ran.ok
        well(beside)
        well(box)


def test_boxes_beside_each_other_do_not_see_each_other(local):
    hides = "import time\ntry: open('secret', 'w').write('sesame')\nexcept OSError: pass\n"
    seeks = """
import os
found = []
for place in (".", "/tmp", "/box", "/w", "/w/scratch", "/w/kept", "/proc"):
    try: found += [n for n in os.listdir(place) if n not in ("tmp", "box", "given")]
    except OSError: pass
print("BROKEN" if found else "held", found)
"""
    with local.box({"given": b"1"}) as one, local.box({"given": b"2"}) as other:
        running = one.start(Script(source=hides + "time.sleep(1)"))
        ran = other.run(Script(source=seeks))
        assert b"held" in ran.stdout, ran
        assert running.wait().ok


COMPILED = {
    "include-passwords": b'#include "/etc/passwd"\nint main() {}',
    "include-environment": b'#include "/proc/self/environ"\nint main() {}',
    "include-endless": b'#include "/dev/zero"\nint main() {}',
    "include-itself": b"#include __FILE__\n#include __FILE__\nint main() {}",
    "assembler-file": b'asm(".incbin \\"/etc/passwd\\""); int main() {}',
    "assembler-fill": b'asm(".fill 0x7fffffff, 8, 1"); int main() {}',
    "templates": b"template<int N> struct A { A<N + 1> a; }; A<0> a; int main() {}",
    "constant": b"constexpr long f(int n) { return n < 2 ? 1 : f(n-1) + f(n-2); }\nint x[f(60)];",
    "huge-array": b"char a[1 << 30] = {1}; int main() {}",
    "nesting": b"int main() {" + b"{" * 200_000,
    "nothing": b"",
    "no-text": bytes(range(256)),
}


@pytest.mark.parametrize("source", COMPILED.values(), ids=COMPILED)
def test_a_compiler_is_fed_with_harm(local, source):
    limits = Limits(cpu_s=3, wall_s=30, memory_mb=1024, file_mb=64, scratch_mb=64, processes=16)
    with local.box(limits=limits) as box:
        argv = ["/usr/bin/g++", "-O1", "-o", "main", "main.cpp"]
        ran = box.run(Command(argv=argv, files={"main.cpp": source}, keep=True))
        assert not ran.ok
        assert b"root:" not in ran.stderr + ran.stdout
        assert b"sesame" not in ran.stderr + ran.stdout
        well(box)


def test_every_attack_has_a_name_of_its_own_and_there_are_many():
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS) >= 100
    for exceptions in NOT_STOPPED.values():
        assert set(exceptions) <= {attack.id for attack in ATTACKS}
