"""The local sandbox, for real, on every tier that this machine gives."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from factory.errors import SandboxError
from factory.sandbox import open_sandbox, spawn
from factory.sandbox.box import Call, Command, Limits, Sandbox, Script
from factory.sandbox.probes import probe

needs_bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="needs bubblewrap: apt install bubblewrap"
)
COMPILE = Limits(memory_mb=1024, file_mb=64, scratch_mb=64, processes=16)
DOUBLE = (
    b"#include <iostream>\nint main() { long a; std::cin >> a; std::cout << 2 * a << '\\n'; }\n"
)


def run(sandbox: Sandbox, source: str, stdin: bytes = b"", **limits):
    with sandbox.box(limits=Limits(**limits)) as box:
        return box.run(Script(source=source, stdin=stdin))


def call(sandbox: Sandbox, source: str, *args, function: str = "f", **limits):
    with sandbox.box(limits=Limits(**limits)) as box:
        return box.run(Call(source=source, function=function, args=args))


def test_a_program_reads_and_writes(local):
    ran = run(local, "import sys\nprint(int(input()) + 1)\nprint('!', file=sys.stderr)", b"41\n")
    assert (ran.ok, ran.stdout, ran.stderr) == (True, b"42\n", b"!\n")


def test_bytes_come_back_as_they_are(local):
    ran = run(local, "import sys\nsys.stdout.buffer.write(bytes(range(256)))")
    assert ran.stdout == bytes(range(256))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("exit()", 0),
        ("quit(3)", 3),
        ("raise SystemExit(True)", 1),
        ("import sys; sys.exit('no')", 1),
        ("import os; os._exit(7)", 7),
        ("1 / 0", 1),
        ("import atexit; atexit.register(print, 'late')", 0),
    ],
)
def test_exit_codes_are_those_of_python(local, ending, code):
    ran = run(local, f"print('first')\n{ending}")
    assert (ran.ended, ran.code) == ("exited", code)
    assert ran.stdout.startswith(b"first" if "_exit" not in ending else b"")


def test_threads_end_before_their_program_does(local):
    source = "import threading, time\n" + (
        "threading.Thread(target=lambda: (time.sleep(0.05), print('late'))).start()"
    )
    assert run(local, source).stdout == b"late\n"


def test_a_source_that_does_not_compile_is_the_candidates_fault(local):
    for source in ("def f(:", "x = '\0'", "(" * 400, "\ud800"):
        ran = run(local, source)
        assert (ran.ended, ran.code, ran.stdout) == ("exited", 1, b"")
        assert b"Error" in ran.stderr


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(10**40),
        1.5,
        float("inf"),
        "text \ud800 \0",
        [1, [2.0, "3"]],
        (1, (2,)),
        {3, 4},
        {"a": {1: [None]}},
    ],
)
def test_values_come_back_exact_in_type(local, value):
    ran = call(local, "def f(x):\n    return x", value)
    assert ran.returned == (value,)
    assert type(ran.returned[0]) is type(value)


def test_calls_take_names_and_methods(local):
    source = "class Solution:\n    def add(self, a, *, b):\n        return a + b"
    with local.box() as box:
        ran = box.run(Call(source=source, function="Solution.add", args=[1], kwargs={"b": 2}))
    assert ran.returned == (3,)


@pytest.mark.parametrize(
    ("body", "raised"),
    [
        ("raise KeyError(x)", "KeyError"),
        ("return object()", "ValueError"),
        ("return type('I', (int,), {'__eq__': lambda s, o: True})(x)", "ValueError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", ""),
        ("y = []; y.append(y); return y", "ValueError"),
    ],
)
def test_what_is_no_plain_value_does_not_come_back(local, body, raised):
    ran = call(local, f"def f(x):\n    {body}", 1)
    assert ran.returned == ()
    assert ran.raised == raised


def test_a_forged_record_without_the_nonce_counts_for_nothing(local):
    source = "import os\ndef f(x):\n    os.write(3, b'V42')\n    os._exit(0)"
    assert call(local, source, 1).returned == ()


@pytest.mark.parametrize(
    ("source", "limits", "ended"),
    [
        ("while True: pass", {"cpu_s": 1, "wall_s": 30}, "cpu"),
        ("import time; time.sleep(60)", {"wall_s": 0.3}, "wall"),
        ("while True: print('x' * 65536)", {"file_mb": 2, "output_bytes": 1000}, "output"),
        ("print('x' * 3000)", {"output_bytes": 1000}, "output"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", {}, "signal"),
        ("x = bytearray(1 << 30)", {"memory_mb": 128}, "exited"),
    ],
)
def test_limits_end_a_job(local, source, limits, ended):
    ran = run(local, source, **limits)
    assert ran.ended == ended
    assert not ran.ok
    assert len(ran.stdout) <= limits.get("output_bytes", 1 << 20)


def test_jobs_of_a_box_start_from_the_same_place(local):
    source = """
import os, sys, json
print(os.listdir("."), os.getcwd() in sys.path, hasattr(json, "mark"), os.umask(0), len(os.environ))
json.mark = True
os.environ["X"] = "1"
try:
    open("left", "w").write("x")
    os.chmod(".", 0)
except OSError:
    pass
"""
    with local.box() as box:
        said = [box.run(Script(source=source)).stdout for _ in range(3)]
    assert said[0] == said[1] == said[2]
    assert said[0].startswith(b"[] True False 18 ")


def test_the_random_numbers_of_a_job_are_its_own_and_come_again(local):
    source = "import random; print(random.random())"
    said = []
    for _ in range(2):
        with local.box() as box:
            said.append([box.run(Script(source=source)).stdout for _ in range(2)])
    assert said[0] == said[1]
    assert said[0][0] != said[0][1]


def test_files_are_there_and_names_stay_plain(local):
    with local.box({"data.txt": b"from the box"}) as box:
        source = "print(open('/box/data.txt').read(), open('own.txt').read())"
        if local.tier == "landlock":
            source = source.replace("/box/", "../box/")
        ran = box.run(Script(source=source, files={"own.txt": b"and its own"}))
        assert ran.stdout == b"from the box and its own\n"
    for name in ("../x", "a/b", "", ".", "a\0"):
        with pytest.raises(ValueError, match="plain name"), local.box({name: b""}):
            pass


def test_an_output_file_takes_the_place_of_the_output(local):
    job = Script(source="open('out.txt', 'w').write('42')", output_file="out.txt")
    unclosed = Script(source="with open('x', 'w'): pass\nf = open('out.txt', 'w')\nf.write('7')")
    link = Script(source="import os; os.symlink('/dev/zero', 'out.txt')", output_file="out.txt")
    with local.box() as box:
        if local.tier == "landlock":
            with pytest.raises(SandboxError, match="cannot write files"):
                box.run(job)
        else:
            assert box.run(job).stdout == b"42"
            assert box.run(replace(unclosed, output_file="out.txt")).stdout == b"7"
            assert box.run(link).stdout == b""


def test_a_compiled_program_stays_in_its_box(local):
    with local.box() as box:
        built = box.run(
            Command(
                argv=["/usr/bin/g++", "-O1", "-o", "/box/prog", "/box/prog.cpp"],
                files={"prog.cpp": DOUBLE},
                keep=True,
            ),
            limits=COMPILE,
        )
        assert built.ok, built.stderr
        for n in (3, 4):
            ran = box.run(Command(argv=["/box/prog"], stdin=str(n).encode()))
            assert ran.stdout == b"%d\n" % (2 * n)
    with local.box() as box, pytest.raises(SandboxError, match="No such file"):
        box.run(Command(argv=["/box/prog"]))


def test_a_job_talks_over_a_channel(local):
    ours, theirs = socket.socketpair()
    source = "import os\nos.write(3, os.read(3, 100)[::-1])"
    with local.box() as box:
        running = box.start(Script(source=source), channel=theirs.fileno())
        theirs.close()
        ours.send(b"abc")
        assert ours.recv(100) == b"cba"
        assert running.wait().ok
        assert ours.recv(100) == b""
    ours.close()


def test_boxes_run_beside_each_other(local):
    with local.box() as one, local.box() as two:
        jobs = [
            box.start(Script(source=f"import time; time.sleep(0.4); print({n})"))
            for n, box in enumerate((one, two))
        ]
        began = time.monotonic()
        assert [job.wait().stdout for job in jobs] == [b"0\n", b"1\n"]
        assert time.monotonic() - began < 0.79


@needs_bubblewrap
def test_modules_are_loaded_before_the_fork():
    with open_sandbox() as sandbox, sandbox.box(preload=("numpy",)) as box:
        source = (
            "import sys\nhad = 'numpy' in sys.modules\nimport numpy\nprint(had, numpy.arange(3))"
        )
        assert box.run(Script(source=source)).stdout == b"True [0 1 2]\n"
        with sandbox.box() as plain:
            assert plain.run(Script(source="import numpy")).code == 1


@needs_bubblewrap
def test_a_module_that_is_not_there_is_an_error_of_the_sandbox():
    with open_sandbox() as sandbox, pytest.raises(SandboxError, match="no_such_module"):
        sandbox.box(preload=("no_such_module",)).run(Script(source="pass"))


def test_every_probe_is_contained(local):
    assert [(f.probe.name, f.detail) for f in probe(local) if not f.held] == []


def test_nothing_survives(local):
    def processes() -> set[str]:
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and "the-daemon" in (entry / "cmdline").read_bytes().decode(
                    errors="replace"
                ):
                    found.add(entry.name)
            except OSError:
                pass
        return found

    source = """
import os, subprocess, time
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/usr/bin/sleep", ["the-daemon", "600"])
        os._exit(0)
except OSError:
    pass
time.sleep(0.2)
"""

    def files() -> set[str]:
        """What lies about that belongs to the user of the jobs."""
        user = spawn.sandbox_uid() if os.geteuid() == 0 else os.geteuid()
        return {entry.name for entry in os.scandir("/tmp") if _owner(entry) == user}

    mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    before = files()
    began = time.monotonic()
    assert run(local, source).ok
    assert time.monotonic() - began < 60
    assert processes() == set()
    assert Path("/proc/mounts").read_text(encoding="utf-8") == mounts
    assert files() <= before


def _owner(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except FileNotFoundError:
        return None


def test_a_sandbox_that_was_killed_comes_back(local):
    home = local.home(())
    home.process.kill()
    home.process.wait()
    assert run(local, "print(1)").stdout == b"1\n"


@needs_bubblewrap
def test_a_killed_worker_takes_its_sandbox_along(tmp_path):
    code = """
import os, signal
from factory.sandbox import make
sandbox = make("namespaces"); sandbox.start()
print(sandbox.home(()).process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [os.sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    pid = Path("/proc") / done.stdout.strip()
    deadline = time.monotonic() + 10
    while pid.exists() and "(bwrap) Z" not in (pid / "stat").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_tier_that_cannot_be_had_names_the_others(monkeypatch):
    monkeypatch.setattr(spawn.shutil, "which", lambda _: None)
    wanted = r"apt install bubblewrap.*landlock.*remote"
    with pytest.raises(SandboxError, match=wanted), open_sandbox("namespaces"):
        pass


@needs_bubblewrap
def test_installed_packages_are_found_wherever_they_lie(tmp_path, monkeypatch):
    """Also beneath /tmp, which inside is the job's own."""
    (tmp_path / "packages").mkdir()
    tmp_path.chmod(0o755)
    (tmp_path / "packages" / "mine.py").write_text("value = 7\n", encoding="utf-8")
    monkeypatch.setattr(spawn.sysconfig, "get_path", lambda _: str(tmp_path / "packages"))
    with open_sandbox() as sandbox, sandbox.box(preload=("mine",)) as box:
        assert box.run(Script(source="import mine; print(mine.value)")).stdout == b"7\n"


@needs_bubblewrap
def test_a_visible_folder_that_cannot_be_seen_is_an_error(tmp_path):
    wanted = "cannot be seen inside"
    with pytest.raises(SandboxError, match=wanted), open_sandbox(visible=(str(tmp_path),)):
        pass
