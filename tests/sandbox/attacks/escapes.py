"""Programs that reach for what is outside: files, secrets, networks, processes, devices."""

from __future__ import annotations

from tests.sandbox.attacks import CALLS, Attack

_FILES = "nothing of the host's files can be read"
_WRITES = "nothing can be written but the job's own scratch"
_SECRETS = "no secret of the host is in reach"
_NETWORK = "there is no network, not even this machine's own"
_PROCESSES = "other processes cannot be seen, signalled or read"
_PRIVILEGES = "no privilege can be had back"
_DESCRIPTORS = "a job has its own descriptors and no others"
_SIGNALS = "a signal reaches the job's own processes and no others"

_READABLE = """
for path in PATHS:
    raises("read " + path, lambda: open(path, "rb").read(64))
    raises("list " + path, lambda: os.listdir(path))
"""


def _reads(name: str, paths: list[str]) -> Attack:
    source = f"{CALLS}PATHS = {paths!r}\n{_READABLE}"
    return Attack(id=f"read-{name}", aim=_FILES, source=source)


ATTACKS = [
    _reads("passwords", ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers"]),
    _reads("homes", ["/root", "/root/.ssh", "/root/.bashrc", "/home", "/root/.netrc"]),
    _reads("host-settings", ["/etc/hostname", "/etc/resolv.conf", "/etc/machine-id", "/etc/ssl"]),
    _reads("project", ["/work", "/work/main/factory", "/srv", "/mnt", "/media", "/opt"]),
    _reads("variable", ["/var", "/var/log", "/var/lib", "/var/spool", "/run", "/var/run"]),
    _reads("boot", ["/boot", "/lost+found"]),
    _reads("shared-memory", ["/dev/shm", "/dev/mqueue", "/dev/pts"]),
    _reads("kernel", ["/sys", "/sys/fs/cgroup", "/sys/kernel", "/sys/devices"]),
    _reads("proc-own", ["/proc/self/environ", "/proc/self/maps", "/proc/self/mem", "/proc/self"]),
    _reads("proc-first", ["/proc/1/environ", "/proc/1/cmdline", "/proc/1/root", "/proc/1"]),
    _reads("proc-kernel", ["/proc", "/proc/kcore", "/proc/kallsyms", "/proc/cmdline", "/proc/net"]),
    _reads("proc-of-all", [f"/proc/{pid}/cmdline" for pid in range(1, 400)]),
    _reads("devices", ["/dev/mem", "/dev/kmem", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/tty",
                       "/dev/vda", "/dev/sda", "/dev/nvidia0", "/dev/nvidiactl", "/dev/vsock",
                       "/dev/ptmx", "/dev/console", "/dev/kmsg", "/dev/userfaultfd", "/dev/loop0"]),
    _reads("up-and-away", ["../..", "../../../../etc/passwd", "/tmp/../etc/passwd",
                           "/usr/../etc/passwd", "/dev/../etc/shadow", "/box/../etc/passwd"]),
    _reads("folders-of-others", ["/tmp/factory-box-0", "/tmp/pytest-of-root", "/var/tmp"]),
    Attack(
        id="read-through-links",
        aim=_FILES,
        source=CALLS + """
for path in ("/etc/passwd", "/proc/1/environ", "/root", "/proc/self/root/etc/passwd"):
    try:
        os.symlink(path, "link")
    except OSError:
        pass
    raises("link to " + path, lambda: open("link").read(10))
    try:
        os.unlink("link")
    except OSError:
        pass
    raises("hard link to " + path, lambda: (os.link(path, "hard"), open("hard").read(10)))
""",
    ),
    Attack(
        id="read-by-openat2",
        aim=_FILES,
        source=CALLS + """
root = os.open("/", os.O_PATH)
raises("passwd by a path descriptor", lambda: os.open("etc/passwd", 0, dir_fd=root))
refused(syscall(437, root, b"etc/passwd", b"\\0" * 24, 24) if os.path.exists("/etc/passwd") else -1)
raises("list the root", lambda: os.listdir("/proc"))
""",
    ),
    Attack(
        id="read-by-other-programs",
        aim=_FILES,
        source=CALLS + """
import subprocess
for argv in (["/usr/bin/cat", "/etc/shadow"], ["/usr/bin/head", "-c9", "/root/.bashrc"],
             ["/usr/bin/find", "/root", "-maxdepth", "1"], ["/usr/bin/env", "ls", "/proc"]):
    try:
        done = subprocess.run(argv, capture_output=True)
        out = [l for l in done.stdout.split(b"\\n") if l and l != argv[-1].encode()]
        print("BROKEN" if not done.returncode or len(out) > 1 else "held", argv, done.stdout[:99])
    except OSError as error:
        print("held", argv, error)
""",
    ),
    Attack(
        id="secrets-in-the-environment",
        aim=_SECRETS,
        source="""
import os
from ctypes import CDLL, POINTER, c_char_p
environ = POINTER(c_char_p).in_dll(CDLL(None), "environ")
seen, n = dict(os.environ), 0
while environ[n]:
    name, _, value = environ[n].decode().partition("=")
    seen[name] = value
    n += 1
known = {"PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "PWD", "PYTHONHASHSEED",
         "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
print("held" if set(seen) <= known else f"BROKEN {sorted(set(seen) - known)}")
print("BROKEN" if any("sesame" in v for v in seen.values()) else "held")
""",
    ),
    Attack(
        id="secrets-in-the-interpreter",
        aim="what the sandbox works with is not in a candidate's reach, beside its own job",
        source="""
import gc, sys
words = ("sesame", "HF_TOKEN", "expected_output", "BEGIN OPENSSH")
words = [w[::-1][::-1] for w in words]
found = set()
stack, seen = [*gc.get_objects(), *sys.modules.values(), sys._getframe()], set()
while stack and len(seen) < 300_000:
    thing = stack.pop()
    if id(thing) in seen:
        continue
    seen.add(id(thing))
    if type(thing) in (str, bytes):
        text = thing if type(thing) is str else thing.decode("latin-1")
        if any(w in text for w in words) and "words" not in text:
            found.add(text[:60])
        continue
    try:
        stack += gc.get_referents(thing)
    except Exception:
        pass
found -= set(words)
print(f"BROKEN {sorted(found)}" if found else "held", len(seen))
""",
        ends=("exited",),
    ),
    Attack(
        id="secrets-in-memory",
        aim=_SECRETS,
        source=CALLS + """
raises("memory of oneself through /proc", lambda: open("/proc/self/mem", "rb"))
raises("memory of the first process", lambda: open("/proc/1/mem", "rb"))
raises("memory of the parent", lambda: open(f"/proc/{os.getppid()}/mem", "rb"))
raises("environment of the parent", lambda: open(f"/proc/{os.getppid()}/environ", "rb"))
""",
    ),
    Attack(
        id="write-everywhere",
        aim=_WRITES,
        source=CALLS + """
for path in ("/x", "/usr/x", "/usr/lib/python3/x.pth", "/etc/x", "/root/.bashrc", "/box/x",
             "/var/tmp/x", "/dev/x", "/dev/shm/x", "/home/x", "/lib/x", "../x", "../../x",
             "/usr/lib/x86_64-linux-gnu/libc.so.6", "/proc/self/oom_score_adj",
             "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/x", "/work/main/x", sys.prefix + "/x",
             os.__file__, sys.executable):
    raises("write " + path, lambda: open(path, "ab").write(b"x"))
    raises("make " + path, lambda: os.mkdir(path + "-folder"))
    if path != os.__file__ and os.path.exists(path):
        raises("truncate " + path, lambda: os.truncate(path, 0))
        raises("rename " + path, lambda: os.rename(path, path + "-moved"))
""",
    ),
    Attack(
        id="change-mode-and-times-outside",
        aim="metadata of files outside cannot be changed either",
        source=CALLS + """
for path in ("/", "/usr", "/usr/bin/env", "/dev/null", os.__file__, "/tmp/..", ".."):
    mode = os.stat(path).st_mode & 0o7777
    raises("chmod " + path, lambda: os.chmod(path, mode))
    raises("utime " + path, lambda: os.utime(path, (0, 0)))
""",
    ),
    Attack(
        id="change-mode-of-the-own-box",
        aim="a candidate cannot make its box unusable for the job after it",
        source="""
import os
for path in ("/box", os.path.dirname(os.getcwd()) + "/box", os.getcwd()):
    try:
        os.chmod(path, 0)
    except OSError:
        pass
print("held")
""",
        then="print('held')",
    ),
    Attack(
        id="note-on-given-files",
        aim="a candidate cannot note anything on what the box holds",
        source="""
import os
place = "/box" if os.path.isdir("/box") else os.path.dirname(os.getcwd()) + "/box"
for name in ("/given", ""):
    try: os.utime(place + name, ns=(123456789, 987654321))
    except OSError: pass
print("held")
""",
        then="""
import os
place = "/box" if os.path.isdir("/box") else os.path.dirname(os.getcwd()) + "/box"
for name in ("/given", ""):
    print("BROKEN" if os.stat(place + name).st_mtime_ns == 987654321 else "held")
""",
    ),
    Attack(
        id="change-mode-of-given-files",
        aim="a candidate cannot change what the box holds",
        source=CALLS + """
place = "/box" if os.path.isdir("/box") else os.path.dirname(os.getcwd()) + "/box"
raises("chmod", lambda: os.chmod(place + "/given", 0))
raises("write", lambda: open(place + "/given", "ab"))
raises("utime", lambda: os.utime(place + "/given", (1, 1)))
raises("unlink", lambda: os.unlink(place + "/given"))
raises("replace", lambda: os.rename(place + "/given", place + "/other"))
print("held" if open(place + "/given").read() == "given" else "BROKEN")
""",
    ),
    Attack(
        id="run-from-scratch",
        aim="what a candidate writes cannot be executed as a program",
        source=CALLS + """
import shutil
try:
    shutil.copyfile("/usr/bin/true", "own"); os.chmod("own", 0o755)
except OSError:
    pass
raises("execute", lambda: os.execv("./own", ["own"]))
""",
    ),
    Attack(
        id="network-by-library",
        aim=_NETWORK,
        source=CALLS + """
import socket, urllib.request
for place in (("1.1.1.1", 53), ("127.0.0.1", 6379), ("127.0.0.1", 8265), ("127.0.0.1", 10001),
              ("169.254.169.254", 80), ("10.0.0.1", 443), ("192.168.0.1", 80)):
    raises(str(place), lambda: socket.create_connection(place, 0.2))
raises("IPv6", lambda: socket.create_connection(("::1", 22), 0.2))
raises("names", lambda: socket.getaddrinfo("secret.example.com", 80))
raises("own name", lambda: socket.gethostbyname("localhost") and socket.socket())
raises("listen", lambda: socket.create_server(("127.0.0.1", 0)))
raises("http", lambda: urllib.request.urlopen("http://169.254.169.254/latest/meta-data/"))
""",
    ),
    Attack(
        id="network-unix-sockets",
        aim=_NETWORK,
        source=CALLS + """
import socket
for name in ("/var/run/docker.sock", "/run/containerd/containerd.sock", "\\0/tmp/.X11-unix/X0",
             "/tmp/ray/session_latest/sockets/raylet", "/run/dbus/system_bus_socket", "\\0bus"):
    raises(repr(name), lambda: socket.socket(socket.AF_UNIX).connect(name))
raises("bind", lambda: socket.socket(socket.AF_UNIX).bind("\\0here"))
""",
    ),
    Attack(
        id="network-pairs-cannot-leave",
        aim="the sockets that there are lead nowhere",
        source=CALLS + """
a = (ctypes.c_int * 2)()
made = syscall(53, 1, 2, 0, a)
refused(syscall(42, a[0], b"\\1\\0\\0bus", 6), "connect")
refused(syscall(49, a[0], b"\\1\\0\\0own", 6), "bind")
refused(syscall(50, a[0], 1), "listen")
refused(syscall(43, a[0], 0, 0), "accept")
result = syscall(44, a[0], b"x", 1, 0, b"\\1\\0/run/systemd/journal/socket", 30)
print("BROKEN" if result > 0 and made < 0 else "held", result)
""",
    ),
    Attack(
        id="descriptors-pass",
        aim="no descriptor can be passed, so none can be taken out",
        source=CALLS + """
import socket, array
a, b = socket.socketpair()
file = os.open("/dev/null", 0)
raises("send", lambda: socket.send_fds(a, [b"x"], [file]))
""",
    ),
    Attack(
        id="descriptors-inherited",
        aim=_DESCRIPTORS,
        source="""
import os
found = []
for number in range(3, 1024):
    try:
        os.fstat(number)
        found.append(number)
    except OSError:
        pass
print(f"BROKEN {found}" if found else "held")
""",
    ),
    Attack(
        id="descriptors-standard",
        aim="standard streams are memory of the job's own, and hold nothing of others",
        source="""
import os, stat
for number in (0, 1, 2):
    kind = os.fstat(number)
    print("held" if stat.S_ISREG(kind.st_mode) and not kind.st_nlink else f"BROKEN {number}")
    print("BROKEN" if os.isatty(number) else "held")
os.lseek(1, 0, 0)
""",
        says=b"held",
    ),
    Attack(
        id="descriptor-three",
        aim=_DESCRIPTORS,
        source="import os\ntry: os.write(3, b'x'); print('BROKEN')\nexcept OSError: print('held')",
    ),
    Attack(
        id="seal-the-output",
        aim="a candidate cannot make its output unreadable for the host",
        source="""
import fcntl, os
for number in (0, 1, 2):
    try:
        fcntl.fcntl(number, 1033, 0b1000)
    except OSError:
        pass
os.write(1, b"held")
""",
        says=b"",
        ends=("exited",),
    ),
    Attack(
        id="signal-all",
        aim=_SIGNALS,
        source="""
import os, signal
for target in (-1, 0, 1, os.getppid(), -os.getppid() or -1):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
        try:
            os.kill(target, number)
        except OSError:
            pass
print("held")
""",
    ),
    *[
        Attack(
            id=f"signal-{name}",
            aim=_SIGNALS,
            source=f"import os\ntry: os.kill({target}, {number})\n"
            "except OSError: print('held')\nelse: print('held')",
            ends=("exited", "signal"),
            says=b"",
            then="print('held')",
        )
        for name, target, number in (
            ("kill-parent", "os.getppid()", 9),
            ("stop-parent", "os.getppid()", 19),
            ("kill-first", "1", 9),
            ("stop-first", "1", 19),
            ("segfault-first", "1", 11),
            ("kill-all", "-1", 9),
            ("stop-all", "-1", 19),
            ("kill-own-group", "0", 9),
            ("kill-group-of-parent", "-(os.getppid() or 1)", 9),
        )
    ],
    Attack(
        id="signal-every-number",
        aim=_SIGNALS,
        source="""
import os
for pid in [*range(2, 3000), *range(2**22 - 3, 2**22), 2**31 - 1]:
    if pid != os.getpid():
        try:
            os.kill(pid, 9)
            print("BROKEN", pid)
        except OSError:
            pass
print("held")
""",
        then="print('held')",
    ),
    Attack(
        id="signal-by-descriptor-owner",
        aim=_SIGNALS,
        source="""
import fcntl, os, signal, socket
signal.signal(signal.SIGIO, signal.SIG_IGN)
for target in (1, os.getppid() or 1, -1):
    for number in (9, 19, 0):
        a, b = socket.socketpair()
        try:
            fcntl.fcntl(a, fcntl.F_SETOWN, target)
            fcntl.fcntl(a, 10, number)  # F_SETSIG
            fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC)
            b.send(b"x")
        except OSError:
            pass
print("held")
""",
        then="print('held')",
    ),
    Attack(
        id="processes-of-others",
        aim=_PROCESSES,
        source=CALLS + """
import signal
others = []
for pid in range(1, 400):
    if pid in (os.getpid(), os.getppid(), 1):
        continue
    try:
        os.getpgid(pid)
        others.append(pid)
    except ProcessLookupError:
        pass
print(f"BROKEN {others[:9]}" if others else "held")
""",
    ),
    Attack(
        id="privileges-none",
        aim=_PRIVILEGES,
        source=CALLS + """
caps = (ctypes.c_uint32 * 6)()
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
syscall(125, header, caps)
print("BROKEN" if any(caps) else "held", list(caps))
print("BROKEN" if 0 in (os.getuid(), os.geteuid(), os.getgid()) else "held", os.getuid())
print("held" if syscall(157, 39, 0, 0, 0, 0) == 1 else "BROKEN no new privileges")
print("held" if syscall(157, 21, 0, 0, 0, 0) == 2 else "BROKEN filter")
""",
    ),
    Attack(
        id="privileges-by-setuid-program",
        aim=_PRIVILEGES,
        source=CALLS + """
import subprocess
for name in ("su", "mount", "umount", "passwd", "chsh", "newgrp", "sudo", "ping", "bwrap"):
    path = "/usr/bin/" + name
    try:
        done = subprocess.run([path, "--version"], capture_output=True)
        assert done.returncode in range(-64, 256)
        print("held", name)
    except OSError as error:
        print("held", name, error)
try:
    done = subprocess.run(["/usr/bin/unshare", "-U", "id"], capture_output=True)
    print("held" if done.returncode else "BROKEN", done.stdout)
    done = subprocess.run(["/usr/bin/su", "-c", "id"], capture_output=True, input=b"")
    print("held" if done.returncode else "BROKEN", done.stdout)
except OSError as error:
    print("held", error)
""",
    ),
    Attack(
        id="privileges-by-limits",
        aim="a limit cannot be raised",
        source=CALLS + """
import resource
for name in [n for n in dir(resource) if n.startswith("RLIMIT_")]:
    what = getattr(resource, name)
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        raises(name, lambda: resource.setrlimit(what, (hard + 1, hard + 1)))
raises("nice", lambda: os.nice(-5))
raises("affinity", lambda: os.sched_setaffinity(0, {0}))
""",
    ),
    Attack(
        id="core-dump",
        aim="no memory image is left or handed to a program of the host",
        source="""
import os, resource
print("held" if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) else "BROKEN", flush=True)
os.abort()
""",
        ends=("signal",),
    ),
    Attack(
        id="terminal",
        aim="there is no terminal to type into",
        source=CALLS + """
raises("terminal", lambda: os.open("/dev/tty", 2))
raises("name", lambda: os.ttyname(0))
raises("foreground", lambda: os.tcgetpgrp(0))
raises("new terminal", os.openpty)
print("held" if os.getsid(0) == os.getpid() else "BROKEN")
""",
    ),
    Attack(
        id="own-filter-with-trace",
        aim="a filter of the candidate's own loosens nothing",
        source=CALLS + """
import struct
allow = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
program = struct.pack("=H6xQ", 1, ctypes.addressof(allow))
syscall(157, 22, 2, program, 0, 0)
refused(syscall(41, 2, 1, 0), "socket")
refused(syscall(157, 22, 1, 0, 0, 0) if False else syscall(272, 0x10000000), "unshare")
""",
    ),
    Attack(
        id="prctl-tricks",
        aim=_PRIVILEGES,
        source=CALLS + """
for name, option, *rest in (("keep capabilities", 8, 1), ("secure bits", 28, 0x3F),
                            ("ambient", 47, 2, 21), ("memory map", 35, 1, 0x1000)):
    result = syscall(157, option, *rest, 0, 0)
    caps = (ctypes.c_uint32 * 6)()
    syscall(125, (ctypes.c_uint32 * 2)(0x20080522, 0), caps)
    print("BROKEN" if any(caps) else "held", name, result)
syscall(157, 38, 0, 0, 0, 0)
print("held" if syscall(157, 39, 0, 0, 0, 0) == 1 else "BROKEN")
""",
    ),
    Attack(
        id="host-name",
        aim="the sandbox does not tell whose machine it is",
        source="import os, socket\nprint('held' if os.uname().nodename == 'sandbox' else 'BROKEN')",
    ),
]  # fmt: skip
