"""Programs that take more than they may: time, memory, processes, disk, output."""

from __future__ import annotations

from dataclasses import replace

from tests.sandbox.attacks import HASTY, TIGHT, Attack

_TIME = "a program ends when its time is up, whatever it does"
_MEMORY = "memory is bounded, however it is asked for"
_PROCESSES = "the number of processes and threads is bounded"
_DISK = "files are bounded in size and number"
_OUTPUT = "output is bounded, and what is not read blocks nobody"
_PARSER = "hostile source is a failure of its author's, not of the sandbox"

_ENDLESS = [
    ("spin", "while True: pass"),
    ("sleep", "import time; time.sleep(10**6)"),
    ("sleep-in-kernel", "import select; select.select([], [], [])"),
    ("read-pipe", "import os; r, w = os.pipe(); os.read(r, 1)"),
    ("input-from-itself", "import socket; a, b = socket.socketpair(); a.recv(1)"),
    ("lock", "import threading; l = threading.Lock(); l.acquire(); l.acquire()"),
    ("semaphore-futex", "import threading; threading.Semaphore(0).acquire()"),
    ("big-power", "pow(9, 9 ** 9)"),
    ("number-to-text", "import sys; sys.set_int_max_str_digits(0); str(1 << (1 << 26))"),
    ("regex", "import re; re.match('(a|a)*b', 'a' * 60)"),
    ("sum-in-c", "sum(iter(int, 1))"),
    ("long-sort", "sorted([3] * 10**6, key=lambda x: sum(range(x * 1000)))"),
    ("ignored-signals", """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True: pass
"""),
    ("blocked-signals", """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
"""),
    ("caught-cpu-signal", """
import signal
signal.signal(signal.SIGXCPU, lambda *_: None)
while True: pass
"""),
    ("stolen-alarm", """
import signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.alarm(0); signal.setitimer(signal.ITIMER_REAL, 0)
while True: pass
"""),
    ("stopped", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); print('BROKEN')"),
    ("endless-atexit", "import atexit, time; atexit.register(time.sleep, 10**6)"),
    ("endless-finalizer", """
class F:
    def __del__(self):
        while True: pass
f = F(); del f
"""),
    ("thread-that-never-ends", """
import threading, time
threading.Thread(target=time.sleep, args=(10**6,)).start()
"""),
    ("slow-drip", """
import sys, time
while True:
    sys.stdout.write('x'); sys.stdout.flush(); time.sleep(0.01)
"""),
    ("swallow-everything", """
while True:
    try:
        while True: pass
    except BaseException:
        continue
"""),
]  # fmt: skip
ATTACKS = [
    Attack(
        id=f"time-{name}",
        aim=_TIME,
        source=source,
        ends=("cpu", "wall"),
        says=b"",
        fails=True,
        limits=TIGHT if name == "spin" else HASTY,
    )
    for name, source in _ENDLESS
]

_HOARDING = [
    ("bytearrays", "kept = []\nwhile True: kept.append(bytearray(50 << 20))"),
    ("small-objects", "kept = []\nwhile True: kept.append([None])"),
    ("one-huge-list", "kept = [None] * (1 << 34)"),
    ("long-string", "kept = 'x' * (1 << 36)"),
    ("dict", "kept = {}\nwhile True: kept[len(kept)] = str(len(kept))"),
    ("big-number", "kept = 1 << (1 << 40)"),
    ("generator-to-list", "list(iter(int, 1))"),
    ("anonymous-map", "import mmap\nm = mmap.mmap(-1, 1 << 33)\nm[:] = b'x' * len(m)"),
    ("many-maps", "import mmap\nk = []\nwhile True:\n k.append(mmap.mmap(-1, 1 << 20))"),
    ("private-map-of-a-file", """
import mmap
kept = []
while True:
    with open('/usr/bin/env', 'rb') as file:
        kept.append(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE))
"""),
    ("malloc", """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
while ctypes.memset(libc.malloc(1 << 24) or exit(3), 1, 1 << 24): pass
"""),
    ("recursion", """
import sys
sys.setrecursionlimit(10**9)
def f(n): return f(n + 1) + 1
f(0)
"""),
    ("stack-overflow-in-c", """
import sys
sys.setrecursionlimit(10**9)
class A:
    def __getattr__(self, name): return getattr(self, name + 'x')
repr_of = lambda d: d
x = []
for _ in range(10**6): x = [x]
repr(x)
"""),
    ("deep-free", "x = ()\nfor _ in range(10**7): x = (x,)\ndel x\nraise SystemExit(1)"),
    ("segfault", "import ctypes; ctypes.string_at(0)"),
    ("jump-to-nowhere", "import ctypes; ctypes.CFUNCTYPE(None)(0xdead)()"),
    ("abort", "import os; os.abort()"),
    ("illegal-code", """
import ctypes, mmap
m = mmap.mmap(-1, 4096, prot=7); m.write(b'\\x0f\\x0b')
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()
"""),
    ("descriptors", "kept = []\nwhile True: kept.append(open('/dev/null'))"),
    ("pipes", "import os\nk = []\nwhile True: k += os.pipe()"),
    ("socket-pairs", """
import socket
kept = []
while True:
    kept += socket.socketpair()
    kept[-1].setblocking(False)
"""),
    ("epolls", "import select\nk = []\nwhile True: k.append(select.epoll())"),
]  # fmt: skip
ATTACKS += [
    Attack(
        id=f"memory-{name}",
        aim=_MEMORY,
        source=source,
        ends=("exited", "signal", "cpu", "wall"),
        says=b"",
        fails=True,
    )
    for name, source in _HOARDING
]

_COUNT = """
import os, sys, threading, time
def report(what, made, most):
    print("held" if made <= most else "BROKEN", what, made, flush=True)
"""
ATTACKS += [
    Attack(
        id="fork-bomb",
        aim=_PROCESSES,
        source=_COUNT + """
made = 0
try:
    for _ in range(2000):
        if os.fork() == 0:
            time.sleep(99)
        made += 1
except OSError:
    pass
report("forks", made, 40)
os._exit(0)
""",
    ),
    Attack(
        id="fork-bomb-doubling",
        aim=_PROCESSES,
        source="import os\nwhile True:\n try: os.fork()\n except OSError: pass",
        ends=("cpu", "wall"),
        says=b"",
        fails=True,
        limits=HASTY,
    ),
    Attack(
        id="thread-bomb",
        aim=_PROCESSES,
        source=_COUNT + """
made = 0
try:
    for _ in range(2000):
        threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
report("threads", made, 40)
os._exit(0)
""",
    ),
    Attack(
        id="fork-and-exit-chain",
        aim="processes that keep forking away from themselves end with the job",
        source="""
import os
while True:
    try:
        if os.fork(): os._exit(0)
    except OSError:
        pass
""",
        ends=("exited", "cpu", "wall"),
        says=b"",
    ),
    Attack(
        id="zombies",
        aim=_PROCESSES,
        source=_COUNT + """
made = 0
try:
    for _ in range(2000):
        if os.fork() == 0: os._exit(0)
        made += 1
except OSError:
    pass
report("unburied", made, 40)
""",
    ),
    Attack(
        id="memory-times-processes",
        aim="all processes together stay within what the machine can bear",
        source="""
import os, time
total = 0
for _ in range(30):
    try:
        if os.fork() == 0:
            kept = []
            while True:
                kept.append(bytearray(8 << 20))
    except OSError:
        break
time.sleep(1)
print("held", flush=True)
os._exit(0)
""",
        ends=("exited", "signal", "cpu", "wall"),
        says=b"",
        limits=replace(TIGHT, memory_mb=1024),
    ),
    Attack(
        id="exec-loop",
        aim=_TIME,
        source="import os\nos.execv('/usr/bin/env', ['env', 'sh', '-c', 'while :; do :; done'])",
        ends=("cpu", "wall", "exited"),
        says=b"",
        fails=True,
    ),
]  # fmt: skip

_WRITING = '''
import os
def bounded(what, function, most):
    """Grow something until it is refused."""
    done = 0
    try:
        while done <= most:
            done += function(done)
    except OSError as error:
        print("held", what, done, error.errno)
    else:
        print("BROKEN", what, done)

def opened(name):
    try:
        return open(name, "wb")
    except OSError as error:
        raise SystemExit(print("held", error))
'''
ATTACKS += [
    Attack(id=f"disk-{name}", aim=_DISK, source=_WRITING + source)
    for name, source in (
        (
            "one-big-file",
            "f = opened('f')\nbounded('file', lambda _: f.write(b'x' * 65536), 1 << 30)",
        ),
        (
            "many-big-files",
            """
def more(done):
    with open(f'f{done}', 'wb') as file:
        return file.write(b'x' * (4 << 20))
bounded('files', more, 1 << 30)
""",
        ),
        (
            "many-files",
            "bounded('names', lambda n: os.close(os.open(str(n), 65)) or 1, 100_000)",
        ),
        (
            "many-links",
            "opened('a').close()\n"
            "bounded('links', lambda n: os.link('a', str(n)) or 1, 1_000_000)",
        ),
        ("many-folders", "bounded('folders', lambda n: os.mkdir(str(n)) or 1, 100_000)"),
        (
            "deep-folders",
            """
def deeper(n):
    os.mkdir('d'); os.chdir('d')
    return 1
bounded('depth', deeper, 100_000)
""",
        ),
        ("fifos", "bounded('fifos', lambda n: os.mkfifo(str(n)) or 1, 100_000)"),
        (
            "symlinks",
            "bounded('symlinks', lambda n: os.symlink('x' * 4000, str(n)) or 1, 100_000)",
        ),
        (
            "sparse",
            "f = opened('f')\nbounded('sparse', lambda n: f.truncate(1 << 60), 1 << 59)",
        ),
        (
            "allocate",
            "f = opened('f')\n"
            "bounded('allocated', lambda n: os.posix_fallocate(f.fileno(), 0, 1 << 40) or 1, 0)",
        ),
        (
            "unlinked-files",
            """
kept = []
def hidden(n):
    kept.append(opened('f')); os.unlink('f')
    return kept[-1].write(b'x' * (4 << 20))
bounded('unlinked', hidden, 1 << 30)
""",
        ),
        (
            "stdout-as-a-file",
            "bounded('stdout', lambda n: os.ftruncate(1, 1 << 40) or 1, 0)",
        ),
        (
            "stdin-as-a-file",
            "bounded('stdin', lambda n: os.ftruncate(0, 1 << 40) or 1, 0)",
        ),
    )
]  # fmt: skip

_FLOOD = "import sys\nwhile True: {}"
ATTACKS += [
    Attack(id=f"output-{name}", aim=_OUTPUT, source=source, ends=ends, says=b"", fails=True)
    for name, source, ends in (
        ("flood", _FLOOD.format("print('y' * 65536)"), ("output", "cpu")),
        ("flood-stderr", _FLOOD.format("sys.stderr.write('x' * 65536)"), ("output", "cpu")),
        ("flood-both", _FLOOD.format("print('y' * 99); sys.stderr.write('x' * 99)"),
         ("output", "cpu", "wall")),
        ("one-line", "print('y' * 10_000_000)", ("output",)),
        ("raw", "import os\nos.write(1, b'\\xff' * (1 << 21))", ("output",)),
        ("child", """
import os
if os.fork():
    os.wait()
else:
    while True: os.write(1, b'z' * 65536)
""", ("output", "cpu", "exited")),
        ("huge-number", "import sys\nsys.set_int_max_str_digits(0)\nprint(10 ** 200_000)",
         ("output",)),
        ("brackets", "print('[' * 10**6)", ("output",)),
    )
]  # fmt: skip
ATTACKS += [
    Attack(
        id="input-not-read",
        aim=_OUTPUT,
        source="print('held')",
        stdin=b"x" * (50 << 20),
    ),
    Attack(
        id="input-closed",
        aim=_OUTPUT,
        source="import os\nos.close(0)\nprint('held')",
        stdin=b"x" * (5 << 20),
    ),
    Attack(
        id="output-closed",
        aim=_OUTPUT,
        source="import os\nprint('BROKEN')\nos.close(1); os.close(2)",
        ends=("exited",),
        says=b"",
        fails=True,
    ),
    Attack(
        id="output-not-text",
        aim="bytes that are no text are handed over as they are",
        source="import os\nos.write(1, bytes(range(256)) + b'held')",
        says=bytes(range(256)) + b"held",
    ),
]

_NESTED = "(" * 100_000 + ")" * 100_000
ATTACKS += [
    Attack(
        id=f"source-{name}",
        aim=_PARSER,
        source=source,
        ends=("exited", "output", "cpu", "wall", "signal"),
        says=b"",
        fails=True,
    )
    for name, source in (
        ("huge-constant", "x = 1 << (1 << 40)"),
        ("huge-string-constant", "x = 'a' * (1 << 40)"),
        ("nested-powers", "x = 9 ** 9 ** 9 ** 9"),
        ("nested-parentheses", "x = " + _NESTED),
        ("nested-lists", "x = " + "[" * 5000 + "]" * 5000),
        ("nested-blocks", "".join(" " * n + "if 1:\n" for n in range(200)) + " " * 200 + "pass"),
        ("long-operators", "x = " + "-" * 1_000_000 + "1"),
        ("many-terms", "x = " + "+".join(["y"] * 1_000_000)),
        ("attribute-chain", "x" + ".a" * 500_000),
        ("f-string-nest", "f'" + "{1:" * 2000 + "}" * 2000 + "'"),
        ("ten-megabytes", "x = 1\n" * 1_700_000 + "raise SystemExit(1)"),
        ("one-long-name", "x" * 5_000_000),
        ("one-long-number", "x = " + "9" * 5_000_000),
        ("nul", "x = '\0'"),
        ("lone-surrogate", "x = '\udc80'"),
        ("wrong-encoding", "# coding: utf-16\nx = 1"),
        ("unknown-encoding", "# coding: sandbox\nx = 1"),
        ("tabs-and-spaces", "if 1:\n\tx\n        y"),
    )
]
