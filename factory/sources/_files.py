"""Which files a path or glob names."""

from __future__ import annotations

import glob
import os

from factory.errors import SourceError


def matching(path: str) -> list[str]:
    """The files that a path or glob names, sorted; a path that exists is never taken as a glob.

    Raises:
        SourceError: there is none.
    """
    if os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found and not glob.has_magic(path):
        found = [path]
    if not found:
        raise SourceError(f"{path}: no file matches")
    return found
