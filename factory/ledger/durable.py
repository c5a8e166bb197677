"""Files that are whole or not there at all, and entries of folders that stay."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Makes a file, or the entries of a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it that are missing, so that they stay."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def write(path: Path, text: str, *, synced: bool = True) -> None:
    """Writes a file beside its place and renames it: whoever looks sees the old one or the new one.

    Args:
        synced: it also survives a loss of power. Without, the caller never waits for the disk.

    Raises:
        OSError: it cannot be written; the old file, if any, is as it was.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    if synced:
        sync(temporary)
    os.replace(temporary, path)
    if synced:
        sync(path.parent)
