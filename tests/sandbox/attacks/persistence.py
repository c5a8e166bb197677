"""Programs that try to leave something: processes, files, changed state, for whoever comes next."""

from __future__ import annotations

from tests.sandbox.attacks import CALLS, Attack

_DAEMONS = "what a job leaves running ends with it"
_FILES = "what a job writes is gone at its end"
_STATE = "what a job changes in the interpreter is unknown to the next one"

_SLEEPERS = [
    ("child", "if os.fork() == 0: time.sleep(3600)"),
    ("double-fork", """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(3600)
    os._exit(0)
os.wait()
"""),
    ("holds-output-open", """
if os.fork() == 0:
    os.setsid()
    while True:
        os.write(1, b""); time.sleep(0.001)
"""),
    ("ignores-everything", """
if os.fork() == 0:
    for n in range(1, 65):
        try: signal.signal(n, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True: time.sleep(1)
"""),
    ("stopped", "if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)"),
    ("exec", "if os.fork() == 0: os.execv('/usr/bin/sleep', ['sleep', '3600'])"),
    ("session-of-many", """
for _ in range(6):
    if os.fork() == 0:
        os.setsid(); time.sleep(3600)
"""),
    ("dies-with-nobody", """
import ctypes
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 0); ctypes.CDLL(None).prctl(36, 1)
    if os.fork() == 0: time.sleep(3600)
    os._exit(0)
"""),
    ("sibling-of-the-job", """
import ctypes
libc = ctypes.CDLL(None)
if libc.syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0: time.sleep(3600)
"""),
    ("child-in-vfork", """
import ctypes
libc = ctypes.CDLL(None)
if libc.syscall(56, 0x4000 | 17, 0, 0, 0, 0) == 0: os._exit(0)
"""),
    ("chain", """
if os.fork() == 0:
    for _ in range(500):
        if os.fork(): os._exit(0)
    time.sleep(3600)
"""),
]  # fmt: skip
ATTACKS = [
    Attack(
        id=f"daemon-{name}",
        aim=_DAEMONS,
        source="import os, signal, time\ntry:\n    pass\n"
        + "".join(f"    {line}\n" for line in source.strip("\n").split("\n"))
        + "except OSError: pass\nprint('held', flush=True)\n",
        ends=("exited", "wall"),
        says=b"",
        then=f"{CALLS}\nalive = []\n"
        "for pid in range(2, 300):\n"
        "    if pid not in (os.getpid(), os.getppid()):\n"
        "        try: os.kill(pid, 0); alive.append(pid)\n"
        "        except OSError: pass\n"
        "print('BROKEN' if alive else 'held', alive)\n",
    )
    for name, source in _SLEEPERS
]

_LEAVE = [
    ("file", "open('left', 'w').write('x')"),
    ("hidden-file", "open('.left', 'w').write('x')"),
    ("module", "open('json.py', 'w').write('x = 1')"),
    ("customize", "open('sitecustomize.py', 'w').write('print(1)')"),
    ("folder", "import os; os.makedirs('a/b/c')"),
    ("link-to-nowhere", "import os; os.symlink('/nowhere', 'left')"),
    ("fifo", "import os; os.mkfifo('left')"),
    ("closed-folder", "import os; os.mkdir('a'); open('a/b', 'w').close(); os.chmod('a', 0)"),
    ("strange-name", "open('\\n\\x01 -rf *', 'w').close()"),
    ("name-that-is-no-text", "open(b'\\xff\\xfe', 'w').close()"),
    ("byte-code", "import os; os.mkdir('__pycache__'); open('__pycache__/json.pyc', 'w').close()"),
    ("full-disk", "open('left', 'wb').write(b'x' * (10 << 20))"),
    ("in-tmp", "open('/tmp/left', 'w').close()"),
    ("in-box", "open('/box/left', 'w').close()"),
]  # fmt: skip
_LOOK = """
import os
print("BROKEN" if os.listdir(".") else "held", os.listdir("."))
for place in ("/tmp", "/box", "/var/tmp", "/dev/shm", os.path.expanduser("~")):
    try:
        found = [n for n in os.listdir(place) if n != "given"]
    except OSError:
        found = []
    print("BROKEN" if found else "held", place, found)
"""
ATTACKS += [
    Attack(
        id=f"leave-{name}",
        aim=_FILES,
        source=f"try:\n    {source}\nexcept OSError: pass\nprint('held')",
        then=_LOOK,
    )
    for name, source in _LEAVE
]

_CHANGES = [
    ("builtins", "import builtins; builtins.len = lambda x: 42", "len([]) == 0"),
    ("print", "import builtins; builtins.print = None", "print is not None"),
    ("import-hook", "import builtins; builtins.__import__ = None", "__import__('json') and 1"),
    ("modules", "import sys, json; sys.modules['json'] = 3", "__import__('json').loads('1') == 1"),
    ("module-attribute", "import json; json.loads = None", "__import__('json').loads('1') == 1"),
    ("os", "import os; os._exit = os.fork = None", "__import__('os')._exit is not None"),
    ("meta-path", "import sys; sys.meta_path.insert(0, 1)", "__import__('sys').meta_path[0] != 1"),
    ("path", "import sys; sys.path.insert(0, '/evil')", "'/evil' not in __import__('sys').path"),
    ("trace", "import sys; sys.settrace(lambda *a: None)", "__import__('sys').gettrace() is None"),
    ("excepthook", "import sys; sys.excepthook = None", "__import__('sys').excepthook is not None"),
    ("environment", "import os; os.environ['E'] = '1'", "'E' not in __import__('os').environ"),
    ("umask", "import os; os.umask(0o777)", "__import__('os').umask(0o22) != 0o777"),
    ("signals", "import signal; signal.signal(15, signal.SIG_IGN)",
     "__import__('signal').getsignal(15) == 0"),
    ("blocked", "import signal; signal.pthread_sigmask(0, range(1, 32))",
     "not __import__('signal').pthread_sigmask(0, [])"),
    ("limits", "import resource; resource.setrlimit(7, (5, 5))",
     "__import__('resource').getrlimit(7)[0] > 5"),
    ("recursion", "import sys; sys.setrecursionlimit(99)",
     "__import__('sys').getrecursionlimit() >= 1000"),
    ("digits", "import sys; sys.set_int_max_str_digits(0)",
     "__import__('sys').get_int_max_str_digits() != 0"),
    ("random", "import random; random.random = lambda: 4", "__import__('random').random() != 4"),
    ("time", "import time; time.time = lambda: 0", "__import__('time').time() > 1e9"),
    ("collector", "import gc; gc.disable()", "__import__('gc').isenabled()"),
    ("interned-number", """
import ctypes
ctypes.memset(id(7) + 24, 8, 1)
""", "6 + 1 == 14 // 2 and str(6 + 1) == '7'"),
    ("type-slots", """
import ctypes, gc
gc.get_referents(str.__dict__)[0]['isdigit'] = lambda s: True
""", "not 'x'.isdigit()"),
    ("locale", "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')", "f'{1.5:n}' == '1.5'"),
    ("working-folder", "import os; os.chdir('/')", "__import__('os').getcwd() != '/'"),
    ("output-moved", "import os; os.dup2(0, 1)", "True"),
    ("decimal", "import decimal; decimal.setcontext(decimal.Context(prec=1))",
     "__import__('decimal').getcontext().prec == 28"),
    ("own-interpreter", "import atexit; atexit.register(print, 'again')", "True"),
    ("atexit-writer", """
import threading, time
def late():
    time.sleep(0.1); print('late')
threading.Thread(target=late, daemon=True).start()
""", "True"),
]  # fmt: skip
ATTACKS += [
    Attack(
        id=f"change-{name}",
        aim=_STATE,
        source=source,
        then=f"import os\nos.write(1, b'held' if ({check}) else b'BROKEN')",
    )
    for name, source, check in _CHANGES
]

ATTACKS += [
    Attack(
        id="note-in-the-folder-mode",
        aim="not even a few bits pass from one job to the next one",
        source="import os\ntry: os.chmod('.', 0o711)\nexcept OSError: pass\nprint('held')",
        then="import os\nprint('BROKEN' if os.stat('.').st_mode & 0o777 == 0o711 else 'held')",
    ),
    Attack(
        id="note-in-the-folder-times",
        aim="not even a few bits pass from one job to the next one",
        source="import os\ntry: os.utime('.', ns=(123456789, 987654321))\n"
        "except OSError: pass\nprint('held')",
        then="import os\nprint('BROKEN' if os.stat('.').st_mtime_ns == 987654321 else 'held')",
    ),
    Attack(
        id="note-in-file-numbers",
        aim="not even a few bits pass from one job to the next one",
        source="""
import os
try:
    for n in range(1000):
        open("f", "w").close(); os.unlink("f")
except OSError: pass
print("held")
""",
        then="""
import os
try:
    open("f", "w").close()
    print("BROKEN" if os.stat("f").st_ino > 500 else "held", os.stat("f").st_ino)
except OSError: print("held")
""",
    ),
    Attack(
        id="note-in-process-ids",
        aim="not even a few bits pass from one job to the next one",
        source="""
import threading
for n in range(1000):
    thread = threading.Thread(target=int)
    thread.start(); thread.join()
print("held")
""",
        then="import os\nprint('BROKEN' if os.getpid() > 500 else 'held', os.getpid())",
    ),
    Attack(
        id="note-in-shared-memory",
        aim="a job shares no memory with the next one",
        source="""
import ctypes, gc, mmap, sys
stack, seen = [*gc.get_objects(), *sys.modules.values()], set()
while stack:
    thing = stack.pop()
    if id(thing) not in seen:
        seen.add(id(thing))
        stack += gc.get_referents(thing)
        if type(thing) is mmap.mmap:
            at = ctypes.addressof(ctypes.c_char.from_buffer(thing))
            ctypes.memmove(at + 64, b"noted", 5)
print("held")
""",
        then="""
import ctypes, gc, mmap, sys
stack, seen = [*gc.get_objects(), *sys.modules.values()], set()
while stack:
    thing = stack.pop()
    if id(thing) not in seen:
        seen.add(id(thing))
        stack += gc.get_referents(thing)
        if type(thing) is mmap.mmap:
            at = ctypes.addressof(ctypes.c_char.from_buffer(thing))
            print("BROKEN" if ctypes.string_at(at + 64, 5) == b"noted" else "held")
print("held")
""",
    ),
    Attack(
        id="note-in-the-box-times",
        aim="not even a few bits pass from one job to the next one",
        source="""
import os
for place in ("/box", os.path.dirname(os.getcwd()) + "/box", os.path.dirname(os.getcwd())):
    try: os.utime(place, ns=(123456789, 987654321))
    except OSError: pass
print('held')
""",
        then="""
import os
for place in ("/box", os.path.dirname(os.getcwd()) + "/box", os.path.dirname(os.getcwd())):
    if os.path.exists(place):
        print('BROKEN' if os.stat(place).st_mtime_ns == 987654321 else 'held')
print('held')
""",
    ),
    Attack(
        id="note-in-the-input",
        aim="the streams of one job are not those of the next one",
        source="import os\nos.pwrite(0, b'note', 0); os.pwrite(1, b'held', 0)",
        then="import os\nprint('BROKEN' if os.read(0, 9) or os.pread(1, 9, 0) else 'held')",
    ),
    Attack(
        id="note-in-a-lock",
        aim="locks end with the job that holds them",
        source="""
import fcntl
kept = open("/usr/bin/env", "rb")
try: fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError: pass
print("held")
""",
        then="""
import fcntl
try:
    fcntl.flock(open("/usr/bin/env", "rb"), fcntl.LOCK_EX | fcntl.LOCK_NB); print("held")
except OSError as error: print("BROKEN", error)
""",
    ),
    Attack(
        id="reach-for-the-compiled-source",
        aim="what is compiled once for many jobs cannot be changed by any of them",
        source="""
import gc, marshal, os, types
for thing in gc.get_objects():
    if type(thing) is dict:
        for key in [k for k, v in thing.items() if type(v) is types.CodeType]:
            thing[key] = compile("print('BROKEN')", "x", "exec")
    if type(thing).__name__ == "Program":
        thing._compiled = compile("print('BROKEN')", "x", "exec")
for number in range(3, 64):
    for act in (lambda: os.ftruncate(number, 0), lambda: os.pwrite(number, b"x", 0)):
        try:
            act()
            print("BROKEN", number)
        except OSError:
            pass
print("held")
""",
        then="print('held')",
    ),
]
