"""System calls that nothing in a sandbox needs: each must be refused by the kernel.

Arguments are such that the call would do something, or at least get as far as a check of its
arguments, if it were let through.
"""

from __future__ import annotations

from tests.sandbox.attacks import CALLS, Attack

# id, number, arguments as Python text.
_TABLE = (
    # networks
    ("socket-inet", 41, "2, 1, 0"),
    ("socket-inet-udp", 41, "2, 2, 0"),
    ("socket-inet6", 41, "10, 1, 0"),
    ("socket-unix", 41, "1, 1, 0"),
    ("socket-unix-datagram", 41, "1, 2, 0"),
    ("socket-netlink", 41, "16, 3, 0"),
    ("socket-raw", 41, "2, 3, 1"),
    ("socket-packet", 41, "17, 3, 0"),
    ("socket-vsock", 41, "40, 1, 0"),
    ("socket-alg", 41, "38, 5, 0"),
    ("socket-bluetooth", 41, "31, 3, 1"),
    ("socket-can", 41, "29, 3, 1"),
    ("socketpair-other-family", 53, "2, 1, 0, (ctypes.c_int * 2)()"),
    ("connect", 42, "0, b'x' * 16, 16"),
    ("bind", 49, "0, b'x' * 16, 16"),
    ("sendmsg", 46, "1, b'\\0' * 56, 0"),
    ("sendmmsg", 307, "1, b'\\0' * 64, 1, 0"),
    ("recvmmsg", 299, "0, b'\\0' * 64, 1, 0, 0"),
    # other processes
    ("ptrace-traceme", 101, "0, 0, 0, 0"),
    ("ptrace-attach", 101, "16, os.getppid(), 0, 0"),
    ("ptrace-seize", 101, "0x4206, os.getppid() or 1, 0, 0"),
    ("process-vm-readv", 310, "os.getppid() or 1, b'\\0' * 16, 1, b'\\0' * 16, 1, 0"),
    ("process-vm-writev", 311, "os.getppid() or 1, b'\\0' * 16, 1, b'\\0' * 16, 1, 0"),
    ("process-madvise", 440, "0, b'\\0' * 16, 1, 4, 0"),
    ("process-mrelease", 448, "0, 0"),
    ("pidfd-getfd", 438, "0, 0, 0"),
    ("pidfd-send-signal", 424, "0, 0, None, 0"),
    ("kcmp", 312, "os.getpid(), os.getppid() or 1, 0, 0, 0"),
    ("prlimit-parent", 302, "os.getppid() or 1, 7, None, b'\\0' * 16"),
    ("prlimit-first", 302, "1, 7, None, b'\\0' * 16"),
    ("rt-sigqueueinfo", 129, "os.getppid() or 1, 9, b'\\0' * 128"),
    ("rt-tgsigqueueinfo", 297, "1, 1, 9, b'\\0' * 128"),
    ("setpriority", 141, "0, 0, -20"),
    ("sched-setaffinity", 203, "0, 8, b'\\1' + b'\\0' * 7"),
    ("sched-setscheduler-realtime", 144, "0, 1, b'\\1\\0\\0\\0'"),
    ("sched-setattr", 314, "0, b'\\0' * 48, 0"),
    ("sched-setparam", 142, "0, b'\\0' * 4"),
    ("ioprio-set", 251, "1, 0, 1 << 13"),
    ("migrate-pages", 256, "0, 1, b'\\1' * 8, b'\\1' * 8"),
    ("move-pages", 279, "os.getppid() or 1, 0, None, None, None, 0"),
    ("mbind", 237, "0, 0, 0, None, 0, 0"),
    ("set-mempolicy", 238, "0, None, 0"),
    # namespaces and mounts
    ("unshare-user", 272, "0x10000000"),
    ("unshare-mount", 272, "0x00020000"),
    ("unshare-pid", 272, "0x20000000"),
    ("unshare-net", 272, "0x40000000"),
    ("unshare-time", 272, "0x00000080"),
    ("setns", 308, "0, 0"),
    ("clone-new-user", 56, "0x10000000 | 17, 0, 0, 0, 0"),
    ("clone-new-mount", 56, "0x00020000 | 17, 0, 0, 0, 0"),
    ("clone-new-net", 56, "0x40000000 | 17, 0, 0, 0, 0"),
    ("clone3", 435, "b'\\0' * 64, 64"),
    ("mount-tmpfs", 165, "b'tmpfs', b'/tmp', b'tmpfs', 0, None"),
    ("mount-bind", 165, "b'/', b'/tmp', None, 4096, None"),
    ("mount-remount", 165, "None, b'/usr', None, 32 | 4096, None"),
    ("mount-proc", 165, "b'proc', b'/tmp', b'proc', 0, None"),
    ("umount", 166, "b'/tmp', 2"),
    ("pivot-root", 155, "b'/tmp', b'/tmp'"),
    ("chroot", 161, "b'/tmp'"),
    ("open-tree", 428, "-100, b'/', 1"),
    ("move-mount", 429, "-100, b'/', -100, b'/tmp', 0"),
    ("fsopen", 430, "b'tmpfs', 0"),
    ("fsconfig", 431, "0, 0, 0, 0, 0"),
    ("fsmount", 432, "0, 0, 0"),
    ("fspick", 433, "-100, b'/', 0"),
    ("mount-setattr", 442, "-100, b'/', 0, b'\\0' * 32, 32"),
    ("statmount", 457, "0, 0, 0, 0"),
    ("listmount", 458, "0, 0, 0, 0"),
    # the kernel's own machinery
    ("bpf", 321, "0, b'\\0' * 72, 72"),
    ("perf-event-open", 298, "b'\\0' * 112, 0, -1, -1, 0"),
    ("userfaultfd", 323, "1"),
    ("io-uring-setup", 425, "1, b'\\0' * 120"),
    ("io-uring-enter", 426, "0, 0, 0, 0, 0, 0"),
    ("io-setup", 206, "1, b'\\0' * 8"),
    ("keyctl", 250, "0, -3, 1"),
    ("add-key", 248, "b'user', b'a', b'b', 1, -3"),
    ("request-key", 249, "b'user', b'a', None, -3"),
    ("seccomp-listener", 317, "1, 8, b'\\0' * 16"),
    ("landlock-create", 444, "None, 0, 1"),
    ("lsm-set-self-attr", 460, "100, b'\\0' * 32, 32, 0"),
    ("memfd-create", 319, "b'x', 0"),
    ("memfd-secret", 447, "0"),
    ("execveat", 322, "-100, b'/usr/bin/true', 0, 0, 0"),
    ("init-module", 175, "b'', 0, b''"),
    ("finit-module", 313, "0, b'', 0"),
    ("delete-module", 176, "b'ext4', 0"),
    ("kexec-load", 246, "0, 0, None, 0"),
    ("kexec-file-load", 320, "0, 0, 0, b'', 0"),
    ("reboot", 169, "0, 0, 0, None"),
    ("swapon", 167, "b'/tmp/x', 0"),
    ("swapoff", 168, "b'/tmp/x'"),
    ("acct", 163, "None"),
    ("syslog", 103, "10, None, 0"),
    ("quotactl", 179, "0, None, 0, None"),
    ("sethostname", 170, "b'x', 1"),
    ("setdomainname", 171, "b'x', 1"),
    ("iopl", 172, "3"),
    ("ioperm", 173, "0, 1, 1"),
    ("settimeofday", 164, "b'\\0' * 16, None"),
    ("clock-settime", 227, "0, b'\\0' * 16"),
    ("adjtimex", 159, "b'\\0' * 208"),
    ("clock-adjtime", 305, "0, b'\\0' * 208"),
    ("vhangup", 153, ""),
    ("modify-ldt", 154, "1, b'\\0' * 16, 16"),
    ("personality-no-randomize", 135, "0x0040000"),
    ("personality-read-implies-exec", 135, "0x0400000"),
    ("personality-32-bit", 135, "8"),
    ("uselib", 134, "b'/usr/lib/x'"),
    # who one is
    ("setuid", 105, "0"),
    ("setgid", 106, "0"),
    ("setreuid", 113, "0, 0"),
    ("setresuid", 117, "0, 0, 0"),
    ("setresgid", 119, "0, 0, 0"),
    ("setgroups", 116, "0, None"),
    ("setfsuid", 122, "0"),
    ("capset", 126, "(ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[-1] * 6)"),
    # what outlives a process
    ("shmget", 29, "0, 4096, 0o1666"),
    ("semget", 64, "0, 1, 0o1666"),
    ("msgget", 68, "0, 0o1666"),
    ("mq-open", 240, "b'x', 0o102, 0o666, None"),
    ("inotify-init", 294, "0"),
    ("fanotify-init", 300, "0, 0"),
    ("name-to-handle", 303, "-100, b'/', b'\\200' + b'\\0' * 140, b'\\0' * 8, 0"),
    ("open-by-handle", 304, "-100, b'\\0' * 140, 0"),
    ("mlock", 149, "0, 4096"),
    ("mlockall", 151, "3"),
    ("mknod-device", 133, "b'x', 0o20666, 0x103"),
    ("mknodat-device", 259, "-100, b'x', 0o60666, 0x700"),
    ("chown", 92, "b'.', 0, 0"),
    ("fchownat", 260, "-100, b'.', 0, 0, 0"),
    ("setxattr", 188, "b'.', b'user.a', b'1', 1, 0"),
    ("fsetxattr", 190, "1, b'user.a', b'1', 1, 0"),
    ("vmsplice", 278, "1, b'\\0' * 16, 1, 0"),
)
_IOCTLS = (
    ("ioctl-tiocsti", "0, 0x5412, b'x'"),
    ("ioctl-tioclinux", "0, 0x541C, b'\\3'"),
    ("ioctl-fioasync", "0, 0x5452, b'\\1\\0\\0\\0'"),
    ("ioctl-fs-setflags", "1, 0x40086602, b'\\x10' + b'\\0' * 7"),
    ("ioctl-kvm", "0, 0xAE00, 0"),
    ("ioctl-net", "0, 0x8914, b'\\0' * 40"),
    ("ioctl-high-half", "0, ctypes.c_ulong(0x5412 | 1 << 32), b'x'"),
)

ATTACKS = [
    Attack(
        id=name,
        aim="a system call that a program has no need of is refused",
        source=f"{CALLS}\nrefused(syscall({number}, {arguments}))",
    )
    for name, number, arguments in _TABLE
]
ATTACKS += [
    Attack(
        id=name,
        aim="of the device calls only harmless ones are let through",
        source=f"{CALLS}\nresult = syscall(16, {arguments})\n"
        "print('held' if result == -errno.ENOTTY else f'BROKEN {result}')",
    )
    for name, arguments in _IOCTLS
]

_CODE = """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write({instructions})
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
result = ctypes.CFUNCTYPE(ctypes.c_long)(address)()
print("BROKEN", result)
"""
ATTACKS += [
    Attack(
        id=name,
        aim="another calling convention of the kernel does not go around the filter",
        # push rbx; mov eax, number; <call>; pop rbx; ret
        source=CALLS + _CODE.format(instructions=repr(instructions)),
        ends=("signal",),
        says=b"",
        fails=True,
    )
    for name, instructions in (
        ("i386-getpid", b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3"),
        ("i386-socket", b"\x53\xb8\x67\x01\x00\x00\xcd\x80\x5b\xc3"),
        ("x32-getpid", b"\x53\xb8\x27\x00\x00\x40\x0f\x05\x5b\xc3"),
        ("x32-socket", b"\x53\xb8\x29\x00\x00\x40\x0f\x05\x5b\xc3"),
        ("negative-number", b"\x53\xb8\xff\xff\xff\xff\x0f\x05\x5b\xc3"),
    )
]
