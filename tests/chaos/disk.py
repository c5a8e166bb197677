"""A model of a disk under one folder: what a program has written, and what a crash may leave of it.

A process that dies leaves everything it has written: the page cache belongs to the kernel. A
machine that loses power leaves only what POSIX promises, and of the rest any part:

- `fsync` of a file makes its content and size durable, and nothing else: not its name.
- `fsync` of a folder makes the entries durable that were changed in it so far.
- `rename` is atomic: one of the two names refers to the file, and a name that was replaced
  refers to the old file or the new one, never to none.
- An `fsync` that fails has dropped what it should have written: the program still reads it, but
  no later `fsync` makes it durable.
- What was not synced is there or is not, each change for itself, in any combination and whatever
  its order was: of several writes any, of one write any of its 512-byte sectors (a missing one
  reads as zeros, or ends the file), a new name without the content, the content without the new
  name, the second of two renames without the first.

Real file systems promise more (ext4 orders the changes of names, for example), so this is the
pessimistic side. Two limits: what was synced is not damaged later, and a sector is written whole
or not at all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

SECTOR = 512
ROOT = 0

Tree = dict[str, bytes | None]
"""Path below the folder -> content; None for a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One call that changed something, or something that was said on the strength of it."""

    kind: str
    """create mkdir write truncate fsync unsynced rename link unlink rmdir; failed, a call that has
    changed nothing; acted and tokens, which are no calls to the disk."""
    path: str = ""
    target: str = ""
    """Of a rename or link."""
    data: bytes = b""
    """Of a write."""
    offset: int = 0
    """Of a write; the new size of a truncation; a number of tokens."""
    record: Any = None
    """What was acted upon."""

    @property
    def on_disk(self) -> bool:
        return self.kind not in ("acted", "tokens")


@dataclass(slots=True)
class File:
    """Content now, content that is durable, and the changes in between."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes), or (new size, None)."""

    def sync(self) -> None:
        for offset, piece in self.pending:
            data = bytearray(self.durable)
            _change(data, offset, piece)
            self.durable = bytes(data)
        self.pending = []


class Chooser(Protocol):
    """What a power loss leaves of what was not synced."""

    def name(self) -> bool:
        """Whether the next change of a name is kept."""

    def begin(self) -> None:
        """The sectors of another file follow."""

    def sector(self) -> bool:
        """Whether the next sector is kept."""


@dataclass(frozen=True, slots=True)
class Worst:
    """Names and sectors, each kind kept or lost as a whole."""

    names: bool
    sectors: bool

    def name(self) -> bool:
        return self.names

    def begin(self) -> None:
        pass

    def sector(self) -> bool:
        return self.sectors


@dataclass(slots=True)
class Some:
    """Each kept or lost by chance."""

    rng: random.Random
    names: float = 0.5
    sectors: float = 0.5
    holes: bool = True
    """Without, the content of a file is kept up to some sector and lost from there."""
    _lost: bool = False

    def name(self) -> bool:
        return self.rng.random() < self.names

    def begin(self) -> None:
        self._lost = False

    def sector(self) -> bool:
        keep = self.rng.random() < self.sectors and (self.holes or not self._lost)
        self._lost = self._lost or not keep
        return keep


class Disk:
    """The model. Paths are relative to the folder, "" is the folder itself."""

    def __init__(self, tree: Tree | None = None) -> None:
        self.names: dict[int, dict[str, int]] = {ROOT: {}}
        self.durable: dict[int, dict[str, int]] = {ROOT: {}}
        self.files: dict[int, File] = {}
        self.pending: list[list[tuple[int, str, int | None]]] = []
        """Changes of names that are not durable: (folder, name, what it refers to then)."""
        self._last = ROOT
        for path, data in sorted((tree or {}).items()):
            self.apply(Op(kind="mkdir" if data is None else "create", path=path))
            if data is not None:
                self.files[self._last] = File(data=bytearray(data), durable=data)
        self.sync_all()

    def sync_all(self) -> None:
        """Make every change durable."""
        for file in self.files.values():
            file.sync()
        self.durable = {node: dict(entries) for node, entries in self.names.items()}
        self.pending = []

    def find(self, path: str) -> int | None:
        """The file or folder of this path, if there is one."""
        node = ROOT
        for part in path.split("/") if path else ():
            found = self.names.get(node, {}).get(part)
            if found is None:
                return None
            node = found
        return node

    def file(self, path: str) -> File | None:
        node = self.find(path)
        return None if node is None else self.files.get(node)

    def apply(self, op: Op) -> None:
        """Carry out one call as the kernel did."""
        match op.kind:
            case "write" | "truncate":
                if (file := self.file(op.path)) is not None:
                    _change(file.data, op.offset, op.data if op.kind == "write" else None)
                    file.pending.append((op.offset, op.data if op.kind == "write" else None))
            case "fsync":
                self._sync(op.path)
            case "unsynced":
                if (file := self.file(op.path)) is not None:
                    file.pending = []
            case "create":
                self.files[self._new(op.path)] = File()
            case "mkdir":
                node = self._new(op.path)
                self.names[node], self.durable[node] = {}, {}
            case "unlink" | "rmdir":
                self._rename((self._place(op.path), None))
            case "link":
                self._rename((self._place(op.target), self.find(op.path)))
            case "rename":
                node = self.find(op.path)
                if node == self.find(op.target):
                    return  # two names of one file: POSIX leaves both
                self._rename((self._place(op.path), None), (self._place(op.target), node))

    def _new(self, path: str) -> int:
        self._last += 1
        self._rename((self._place(path), self._last))
        return self._last

    def _place(self, path: str) -> tuple[int, str]:
        parent, _, name = path.rpartition("/")
        node = self.find(parent)
        assert node is not None, f"the model knows no folder {parent!r}"
        return node, name

    def _rename(self, *edits: tuple[tuple[int, str], int | None]) -> None:
        change = [(folder, name, node) for (folder, name), node in edits]
        _edit(self.names, change)
        self.pending.append(change)

    def _sync(self, path: str) -> None:
        node = self.find(path)
        if node is None:
            return
        if node in self.files:
            self.files[node].sync()
            return
        for change in [c for c in self.pending if any(folder == node for folder, _, _ in c)]:
            _edit(self.durable, change)
            self.pending.remove(change)

    # what is left

    def now(self) -> Tree:
        """What a process that dies leaves behind."""
        return dict(_walk(self.names, {n: bytes(f.data) for n, f in self.files.items()}))

    def after_power_loss(self, chooser: Chooser) -> Tree:
        """What may be left when the machine goes down now."""
        names = {node: dict(entries) for node, entries in self.durable.items()}
        for change in self.pending:
            if chooser.name():
                _edit(names, change)
        contents = {node: _content(file, chooser) for node, file in self.files.items()}
        return dict(_walk(names, contents))


def _edit(names: dict[int, dict[str, int]], change: list[tuple[int, str, int | None]]) -> None:
    for folder, name, node in change:
        if node is None:
            names[folder].pop(name, None)
        else:
            names[folder][name] = node


def _change(data: bytearray, offset: int, piece: bytes | None) -> None:
    """Write a piece, or cut to a size (or lengthen to it) where there is none."""
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    if piece is None:
        del data[offset:]
    else:
        data[offset : offset + len(piece)] = piece


def _content(file: File, chooser: Chooser) -> bytes:
    data = bytearray(file.durable)
    chooser.begin()
    for offset, piece in file.pending:
        if piece is None:
            if chooser.name():  # a size is metadata
                _change(data, offset, None)
            continue
        start = offset
        while start < offset + len(piece):
            end = min(start - start % SECTOR + SECTOR, offset + len(piece))
            if chooser.sector():
                _change(data, start, piece[start - offset : end - offset])
            start = end
    if len(data) < len(file.data) and chooser.name():
        _change(data, len(file.data), None)
    return bytes(data)


def _walk(
    names: dict[int, dict[str, int]], contents: dict[int, bytes], node: int = ROOT, path: str = ""
) -> Iterator[tuple[str, bytes | None]]:
    for name, child in sorted(names[node].items()):
        below = f"{path}/{name}" if path else name
        if child in contents:
            yield below, contents[child]
        else:
            yield below, None
            yield from _walk(names, contents, child, below)


def read_tree(folder: Path) -> Tree:
    """What lies in a folder."""
    tree: Tree = {}
    for place, folders, files in os.walk(folder):
        for name in folders:
            tree[os.path.relpath(f"{place}/{name}", folder)] = None
        for name in files:
            with open(f"{place}/{name}", "rb") as file:
                tree[os.path.relpath(f"{place}/{name}", folder)] = file.read()
    return tree


def write_tree(tree: Tree, folder: Path) -> None:
    """Make a folder hold exactly this."""
    folder.mkdir(parents=True)
    for path, data in sorted(tree.items()):
        if data is None:
            (folder / path).mkdir(exist_ok=True)
        else:
            (folder / path).write_bytes(data)
