"""Every call of this process that changes a folder: recorded, counted, failed on demand.

The calls are those of `os` and `io.open`, which all of Python's file handling comes down to;
Parquet writers, which write from C++, are handed a Python file instead of a path. That nothing
gets past is checked: `Tap.complete` compares the model with what really lies in the folder.

A fault is given the number of a call. Numbers count calls to the disk; what was acted upon is
recorded between them.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
from pyarrow.parquet import core as pq_core

from tests.chaos.disk import Disk, Op, read_tree

Die = Callable[[], None]
_WRITING = os.O_WRONLY | os.O_RDWR
_CALLS = (
    *("open", "write", "pwrite", "fsync", "fdatasync", "truncate", "ftruncate"),
    *("rename", "replace", "link", "unlink", "remove", "rmdir", "mkdir"),
)
_real = {name: getattr(os, name) for name in _CALLS}
_real_open = builtins.open
_real_writer = pq.ParquetWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens at one call.

    Kinds: `die` before the call, `died` after it, `torn` in the middle of a write, `short` (a
    write that takes fewer bytes, as POSIX allows), or the name of an errno. An errno may stay: a
    full disk or a read-only one fails every later call of its sort too.
    """

    kind: str
    site: int
    share: float = 0.5
    """How much of a torn or short write is written."""
    stays: bool = False

    def hits(self, site: int, op: Op) -> bool:
        if site == self.site:
            return True
        if not self.stays or site < self.site:
            return False
        return self.kind != "ENOSPC" or op.kind in ("write", "create", "mkdir", "link")


@dataclass(slots=True)
class Tap:
    """The calls under one folder; a context manager that puts itself between.

    Args:
        swallow: calls that the mutated program under test would not make: they do nothing.
        die: ends the process on the spot.
    """

    folder: Path
    fault: Fault | None = None
    swallow: Callable[[Op], bool] = lambda op: False
    die: Die = lambda: os._exit(9)
    ops: list[Op] = field(default_factory=list)
    disk: Disk = field(init=False)
    sites: int = 0
    failed: int = 0
    """Calls that a fault has hit."""
    before_site: Callable[[int], None] = lambda site: None
    _root: str = ""
    _start: dict[str, bytes | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root = os.path.realpath(self.folder)
        self._start = read_tree(self.folder) if self.folder.exists() else {}
        self.disk = Disk(self._start)

    @contextmanager
    def __call__(self) -> Iterator[Tap]:
        writer = self._writer()
        with (
            mock.patch.multiple(os, **{name: getattr(self, f"_{name}") for name in _CALLS}),
            mock.patch.object(io, "open", self._io_open),
            mock.patch.object(builtins, "open", self._io_open),
            mock.patch.object(pq, "ParquetWriter", writer),
            mock.patch.object(pq_core, "ParquetWriter", writer),
        ):
            yield self

    def complete(self) -> bool:
        """Whether the model is what really lies in the folder."""
        return self.disk.now() == read_tree(self.folder)

    def say(self, kind: str, record: Any = None, number: int = 0) -> None:
        """Record something that is no call to the disk."""
        self.ops.append(Op(kind=kind, record=record, offset=number))

    # one call

    def _site(self, op: Op, call: Callable[[], Any], partly: Callable[[int], Any] | None) -> Any:
        """Count it, fail it or carry it out, in the model as well."""
        self.before_site(self.sites)
        site, self.sites = self.sites, self.sites + 1
        fault = self.fault
        if fault is not None and fault.hits(site, op):
            self.failed += 1
            if fault.kind in ("torn", "short") and partly is not None and len(op.data) > 1:
                size = max(1, int(len(op.data) * fault.share))
                done = partly(size)
                self._did(Op(kind=op.kind, path=op.path, data=op.data[:size], offset=op.offset))
                if fault.kind == "short":
                    return done
                self.die()
            if fault.kind in ("die", "torn"):
                self.die()
            if fault.kind.isupper():
                if op.kind == "fsync":
                    self._did(Op(kind="unsynced", path=op.path))
                number = getattr(errno, fault.kind)
                raise OSError(number, os.strerror(number), f"{self._root}/{op.path}")
        if self.swallow(op):
            return len(op.data) if op.kind == "write" else None
        try:
            done = call()
        except OSError:  # as it would without us
            self.ops.append(Op(kind="failed", path=op.path))
            raise
        self._did(op)
        if fault is not None and fault.kind == "died" and fault.site == site:
            self.die()
        return done

    def _did(self, op: Op) -> None:
        self.ops.append(op)
        self.disk.apply(op)

    def _below(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path within the folder; None if it lies elsewhere or is nothing we know."""
        if isinstance(path, int):
            try:
                found = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        else:
            found = os.fspath(path)
            if isinstance(found, bytes):
                found = os.fsdecode(found)
            if dir_fd is not None:
                found = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), found)
            parent, name = os.path.split(os.path.abspath(found))
            found = os.path.join(os.path.realpath(parent), name)
        if found == self._root:
            return ""
        prefix = f"{self._root}/"
        return found.removeprefix(prefix) if found.startswith(prefix) else None

    # the patched calls

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def call() -> int:
            return int(_real["open"](path, flags, mode, dir_fd=dir_fd))

        below = self._below(path, dir_fd) if flags & (_WRITING | os.O_CREAT) else None
        if below is None:
            return call()
        if flags & os.O_CREAT and self.disk.find(below) is None:
            return int(self._site(Op(kind="create", path=below), call, None))
        fd = call()
        if flags & os.O_TRUNC:
            self._site(Op(kind="truncate", path=below), lambda: None, None)
        return fd

    def _write(self, fd: int, data: Any) -> int:
        below = self._below(fd)
        if below is None or self.disk.file(below) is None:
            return int(_real["write"](fd, data))
        view = bytes(data)
        end = len(self.disk.file(below).data)  # type: ignore[union-attr]
        appends = self._appends(fd)
        op = Op(
            kind="write",
            path=below,
            data=view,
            offset=end if appends else os.lseek(fd, 0, os.SEEK_CUR),
        )
        return int(
            self._site(
                op, lambda: _real["write"](fd, view), lambda size: _real["write"](fd, view[:size])
            )
        )

    def _pwrite(self, fd: int, data: Any, offset: int) -> int:
        below = self._below(fd)
        if below is None or self.disk.file(below) is None:
            return int(_real["pwrite"](fd, data, offset))
        op = Op(kind="write", path=below, data=bytes(data), offset=offset)
        return int(self._site(op, lambda: _real["pwrite"](fd, data, offset), None))

    def _appends(self, fd: int) -> bool:
        with _real_open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            flags = next(line for line in file if line.startswith(b"flags:"))
        return bool(int(flags.split()[1], 8) & os.O_APPEND)

    def _fsync(self, fd: Any) -> None:
        self._on_fd("fsync", fd, lambda: _real["fsync"](fd))

    def _fdatasync(self, fd: Any) -> None:
        self._on_fd("fsync", fd, lambda: _real["fdatasync"](fd))

    def _on_fd(self, kind: str, fd: Any, call: Callable[[], Any], size: int = 0) -> None:
        below = self._below(fd if isinstance(fd, int) else fd.fileno())
        if below is None or self.disk.find(below) is None:
            call()
        else:
            self._site(Op(kind=kind, path=below, offset=size), call, None)

    def _ftruncate(self, fd: int, length: int) -> None:
        self._on_fd("truncate", fd, lambda: _real["ftruncate"](fd, length), length)

    def _truncate(self, path: Any, length: int) -> None:
        below = self._below(path)
        op = Op(kind="truncate", path=below or "", offset=length)
        self._named(op, below, lambda: _real["truncate"](path, length))

    def _named(self, op: Op, below: str | None, call: Callable[[], Any]) -> Any:
        return call() if below is None else self._site(op, call, None)

    def _rename(self, src: Any, dst: Any, **where: Any) -> None:
        below, target = self._below(src), self._below(dst)
        op = Op(kind="rename", path=below or "", target=target or "")
        self._named(op, below, lambda: _real["rename"](src, dst, **where))

    _replace = _rename

    def _link(self, src: Any, dst: Any, **where: Any) -> None:
        below, target = self._below(src), self._below(dst)
        op = Op(kind="link", path=below or "", target=target or "")
        self._named(op, below, lambda: _real["link"](src, dst, **where))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        below = self._below(path, dir_fd)
        op = Op(kind="unlink", path=below or "")
        self._named(op, below, lambda: _real["unlink"](path, dir_fd=dir_fd))

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        below = self._below(path, dir_fd)
        op = Op(kind="rmdir", path=below or "")
        self._named(op, below, lambda: _real["rmdir"](path, dir_fd=dir_fd))

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        below = self._below(path, dir_fd)
        op = Op(kind="mkdir", path=below or "")
        self._named(op, below, lambda: _real["mkdir"](path, mode, dir_fd=dir_fd))

    def _io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if isinstance(file, int) or not set(mode) & set("wxa+") or self._below(file) is None:
            return _real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        flags = _flags(mode)
        fd = self._open(file, flags, 0o666) if opener is None else opener(file, flags)
        raw = _Raw(fd, "r" in mode or "+" in mode)
        if "b" in mode and buffering == 0:
            return raw
        if raw.readable():
            buffered: Any = io.BufferedRandom(raw)
        else:
            buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def _writer(self) -> type[Any]:
        tap = self

        class Writer(_real_writer):  # type: ignore[misc]
            def __init__(self, where: Any, *rest: Any, **options: Any) -> None:
                self._file = None
                if isinstance(where, (str, os.PathLike)) and tap._below(where) is not None:
                    where = self._file = tap._io_open(where, "wb")
                super().__init__(where, *rest, **options)

            def close(self) -> None:
                super().close()
                if self._file is not None:
                    self._file.close()

        return Writer


def _flags(mode: str) -> int:
    flags = os.O_RDWR if "+" in mode else os.O_WRONLY
    more = {
        "w": os.O_CREAT | os.O_TRUNC,
        "x": os.O_CREAT | os.O_EXCL,
        "a": os.O_CREAT | os.O_APPEND,
    }
    return flags | more.get(next((c for c in "wxa" if c in mode), ""), 0) | os.O_CLOEXEC


class _Raw(io.RawIOBase):
    """A file whose writes go through `os.write`."""

    def __init__(self, fd: int, reads: bool) -> None:
        self._fd = fd
        self._reads = reads

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def readinto(self, buffer: Any) -> int:
        data = os.read(self._fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return os.write(self._fd, data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return os.lseek(self._fd, offset, whence)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        os.ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)
