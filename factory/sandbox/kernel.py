"""The system calls of the sandbox: namespaces, mounts, capabilities, Landlock, seccomp.

Self-contained, because it runs inside the sandbox before anything untrusted does. Numbers are
those of x86-64 Linux; on another machine `supported` says so and nothing is run. Sources:
landlock(7), seccomp(2), user_namespaces(7), capabilities(7), bpf(4), `linux/landlock.h`.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 2, 4, 8, 4096
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_MNT_DETACH = 2
_SYS_CAPSET, _SYS_PIDFD_OPEN, _SYS_SETNS, _SYS_CLOSE_RANGE = 126, 434, 308, 436
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock during a call
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def supported() -> str:
    """Why this kernel or machine cannot be used at all; empty if it can."""
    machine = os.uname().machine
    return "" if machine == "x86_64" else f"the system call tables are for x86_64, not {machine}"


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def fork() -> int:
    """`fork` without the interpreter's own hooks, which cost as much again (they seed `random`).

    Sound in a process of one thread alone, as everything here is until a candidate runs.
    """
    return _check(_python.fork(), "fork")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def enter_own_pid_namespace() -> None:
    """Undo `unshare(CLONE_NEWPID)` for the children to come."""
    fd = _check(_syscall(_SYS_PIDFD_OPEN, os.getpid(), 0), "pidfd_open")
    try:
        _check(_syscall(_SYS_SETNS, fd, CLONE_NEWPID), "setns")
    finally:
        os.close(fd)


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind and kind.encode(),
        ctypes.c_ulong(flags),
        options and options.encode(),
    )
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount; it is gone when the last file on it is closed."""
    _check(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    _check(_syscall(_SYS_CLOSE_RANGE, first, 0xFFFFFFFF, 0), "close_range")


def drop_capabilities() -> None:
    """Give up every capability, for good: what is executed later gains none either."""
    _libc.prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)  # none to clear is fine
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_syscall(_SYS_CAPSET, header, (ctypes.c_uint32 * 6)()), "capset")


# --- Landlock ------------------------------------------------------------------------------------

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
READ = _READ_FILE | _READ_DIR
READ_EXECUTE = READ | _EXECUTE
_ALL_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}


def _handled(abi: int) -> int:
    """Every file system right that an ABI knows, as bits."""
    return (1 << _ALL_BY_ABI.get(abi, 16)) - 1


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where it has none or has it switched off."""
    return max(0, int(_syscall(_SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def landlock_rules(readable: list[str], devices: list[str], writable: list[str], abi: int) -> int:
    """A Landlock ruleset as a descriptor: everything that it does not name is denied.

    Args:
        readable: directories to read and execute from; a missing one is passed over.
        devices: files to read and write.
        writable: directories in which everything but executing is allowed.
    """
    handled = _handled(abi)
    attributes = struct.pack("=QQQ", handled, 0b11 if abi >= 4 else 0, 0b11 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    made = _syscall(_SYS_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0)
    rules = _check(made, "landlock_create_ruleset")
    for paths, wanted in (
        (readable, READ_EXECUTE),
        (devices, (_READ_FILE | _WRITE_FILE)),
        (writable, handled & ~_EXECUTE),
    ):
        for path in paths:
            rights = wanted
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _EXECUTE | _READ_FILE | _WRITE_FILE
            rule = struct.pack("=Qi", rights, fd)
            _check(_syscall(_SYS_LANDLOCK_ADD, rules, 1, rule, 0), f"landlock_add_rule {path}")
            os.close(fd)
    return rules


def landlock_enforce(rules: int) -> None:
    """Confine this process and what it will start to a ruleset."""
    _check(_syscall(_SYS_LANDLOCK_RESTRICT, rules, 0), "landlock_restrict_self")


# --- seccomp -------------------------------------------------------------------------------------

_ALLOWED = """
read 0, write 1, open 2, close 3, stat 4, fstat 5, lstat 6, poll 7, lseek 8, mmap 9, mprotect 10,
munmap 11, brk 12, rt_sigaction 13, rt_sigprocmask 14, rt_sigreturn 15, pread64 17, pwrite64 18,
readv 19, writev 20, access 21, pipe 22, select 23, sched_yield 24, mremap 25, msync 26, mincore 27,
madvise 28, dup 32, dup2 33, pause 34, nanosleep 35, getitimer 36, alarm 37, setitimer 38, getpid
39, sendfile 40, recvfrom 45, recvmsg 47, shutdown 48, getsockopt 55, execve 59, exit 60, wait4 61,
uname 63, flock 73, fsync 74, fdatasync 75, truncate 76, ftruncate 77, getdents 78, getcwd 79, chdir
80, fchdir 81, rename 82, mkdir 83, rmdir 84, creat 85, link 86, unlink 87, symlink 88, readlink 89,
umask 95, gettimeofday 96, getrlimit 97, getrusage 98, sysinfo 99, times 100, getuid 102, getgid
104, geteuid 107, getegid 108, setpgid 109, getppid 110, getpgrp 111, setsid 112, getgroups 115,
getresuid 118, getresgid 120, getpgid 121, getsid 124, capget 125, rt_sigpending 127,
rt_sigtimedwait 128, rt_sigsuspend 130, sigaltstack 131, statfs 137, fstatfs 138, getpriority 140,
sched_getparam 143, sched_getscheduler 145, sched_get_priority_max 146, sched_get_priority_min 147,
sched_rr_get_interval 148, arch_prctl 158, setrlimit 160, gettid 186, time 201, futex 202,
sched_getaffinity 204, epoll_create 213, getdents64 217, set_tid_address 218, restart_syscall 219,
fadvise64 221, timer_create 222, timer_settime 223, timer_gettime 224, timer_getoverrun 225,
timer_delete 226, clock_gettime 228, clock_getres 229, clock_nanosleep 230, exit_group 231,
epoll_wait 232, epoll_ctl 233, waitid 247, openat 257, mkdirat 258, newfstatat 262, unlinkat 263,
renameat 264, linkat 265, symlinkat 266, readlinkat 267, faccessat 269, pselect6 270, ppoll 271,
set_robust_list 273, get_robust_list 274, splice 275, tee 276, sync_file_range 277, epoll_pwait 281,
signalfd 282, timerfd_create 283, eventfd 284, fallocate 285, timerfd_settime 286, timerfd_gettime
287, signalfd4 289, eventfd2 290, epoll_create1 291, dup3 292, pipe2 293, preadv 295, pwritev 296,
getcpu 309, renameat2 316, getrandom 318, membarrier 324, copy_file_range 326, preadv2 327, pwritev2
328, statx 332, rseq 334, pidfd_open 434, close_range 436, openat2 437, faccessat2 439
"""
_MARKING = "chmod 90, fchmod 91, utime 132, utimes 235, fchmodat 268, utimensat 280"
"""For trusted tools alone: Landlock knows no right for modes and times, so without mount namespaces
a candidate would change those of any file of its user's."""
_FORK, _VFORK, _CLONE, _CLONE3 = 57, 58, 56, 435
_SENDTO, _PRCTL, _FCNTL, _IOCTL, _SOCKETPAIR, _PERSONALITY, _PRLIMIT64 = (
    44,
    157,
    72,
    16,
    53,
    135,
    302,
)
_KILL, _TKILL, _TGKILL = 62, 200, 234
_NEW_NAMESPACES, _CLONE_THREAD = 0x7E020000, 0x00010000
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what a library asks of a plain file.
_HARMLESS_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
_AF_UNIX = 1
# F_SETOWN, F_SETSIG, F_SETOWN_EX: a way to have any signal sent to any process.
_SIGNALLING_FCNTLS = (8, 10, 15)
_UNKNOWN = 440
"""From here on the answer is ENOSYS: programs know how to do without the youngest calls."""

_ARCH_X86_64 = 0xC000003E
_X32 = 0x40000000
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_EPERM, _ENOTTY, _ENOSYS = 0x50001, 0x50019, 0x50026
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0, _ARG1, _ARG4 = 0, 4, 16, 24, 48

OWN_PID = 0x7F0F0F0F
"""Stands for the job's process id in a prepared filter; no process has it."""

_Instruction = tuple[int, int, int, int]


def _ret(value: int) -> _Instruction:
    return (_RET, 0, 0, value)


def _only(argument: int, values: tuple[int, ...], otherwise: int) -> list[_Instruction]:
    """Allow a call if the low half of its argument is one of the values."""
    tests = [(_JEQ, len(values) - n, 0, value) for n, value in enumerate(values)]
    return [(_LD, 0, 0, argument), *tests, _ret(otherwise), _ret(_ALLOW)]


def _never(argument: int, values: tuple[int, ...], otherwise: int) -> list[_Instruction]:
    """Allow a call unless the low half of its argument is one of the values."""
    tests = [(_JEQ, len(values) - n, 0, value) for n, value in enumerate(values)]
    return [(_LD, 0, 0, argument), *tests, _ret(_ALLOW), _ret(otherwise)]


def _no_address() -> list[_Instruction]:
    """Allow a call if its fifth argument is null, in both halves."""
    return [
        (_LD, 0, 0, _ARG4),
        (_JEQ, 1, 0, 0),
        _ret(_EPERM),
        (_LD, 0, 0, _ARG4 + 4),
        (_JEQ, 1, 0, 0),
        _ret(_EPERM),
        _ret(_ALLOW),
    ]


def _forking(single: bool) -> dict[int, list[_Instruction]]:
    """The rules of process creation; `single`: threads are all there is."""
    no_namespace = [(_LD, 0, 0, _ARG0), (_JSET, 0, 1, _NEW_NAMESPACES), _ret(_EPERM)]
    thread = [(_JSET, 1, 0, _CLONE_THREAD), _ret(_EPERM)] if single else []
    new = _ret(_EPERM if single else _ALLOW)
    return {_CLONE: [*no_namespace, *thread, _ret(_ALLOW)], _FORK: [new], _VFORK: [new]}


def _tree(ranges: list[tuple[int, int]], otherwise: int) -> list[_Instruction]:
    """A decision tree over sorted ranges of call numbers: nine comparisons instead of hundreds."""
    if not ranges:
        return [_ret(otherwise)]
    if len(ranges) == 1:
        first, last = ranges[0]
        return [
            (_JGE, 0, 2, first),
            (_JGE, 1, 0, last + 1),
            _ret(_ALLOW),
            _ret(otherwise),
        ]
    half = len(ranges) // 2
    low, high = _tree(ranges[:half], otherwise), _tree(ranges[half:], otherwise)
    return [(_JGE, len(low), 0, ranges[half][0]), *low, *high]


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def seccomp_filter(*, single: bool, tool: bool, own_pid: int | None) -> bytes:
    """A filter as the bytes of a BPF program: an allow-list.

    No sockets but pairs, no tracing, no mounts, no namespaces, no keys, no BPF, no io_uring, no
    tuning of other processes; another calling convention kills.

    Args:
        single: neither fork nor vfork; threads alone.
        tool: modes and times of files may be changed.
        own_pid: signals may go to this process alone; None: to any that the kernel allows.
    """
    special = {
        **_forking(single),
        _CLONE3: [_ret(_ENOSYS)],
        # A datagram to an address would reach sockets of the host: Landlock does not stop it.
        _SENDTO: _no_address(),
        _PRCTL: _never(_ARG0, (PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER), _EPERM),
        _FCNTL: _never(_ARG1, _SIGNALLING_FCNTLS, _EPERM),
        _IOCTL: _only(_ARG1, _HARMLESS_IOCTLS, _ENOTTY),
        _SOCKETPAIR: _only(_ARG0, (_AF_UNIX,), _EPERM),
        _PERSONALITY: _only(_ARG0, (0, 0xFFFFFFFF), _EPERM),
        _PRLIMIT64: _only(_ARG0, (0,), _EPERM),
    }
    for number in (_KILL, _TKILL, _TGKILL):
        to_itself = [_ret(_ALLOW)] if own_pid is None else _only(_ARG0, (own_pid,), _EPERM)
        special[number] = to_itself
    program: list[_Instruction] = [
        (_LD, 0, 0, _ARCH),
        (_JEQ, 1, 0, _ARCH_X86_64),
        _ret(_KILL_PROCESS),
        (_LD, 0, 0, _NR),
        (_JGE, 0, 1, _X32),
        _ret(_KILL_PROCESS),
    ]
    for number, block in special.items():
        program += [(_JEQ, 0, len(block), number), *block]
    allowed = f"{_ALLOWED}, {_MARKING}" if tool else _ALLOWED
    numbers = [int(entry.split()[1]) for entry in allowed.split(",")]
    program += [(_JGE, 0, 1, _UNKNOWN), _ret(_ENOSYS)]
    program += _tree(_ranges(numbers), _EPERM)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def for_process(program: bytes, pid: int) -> bytes:
    """A filter that was prepared with OWN_PID, for the process that it is to confine."""
    return program.replace(struct.pack("=I", OWN_PID), struct.pack("=I", pid))


def seccomp_enforce(program: bytes) -> None:
    """Confine this process, and what it will start, to a filter."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(buffer))
    _check(_libc.prctl(PR_SET_SECCOMP, 2, fprog, 0, 0), "seccomp")
