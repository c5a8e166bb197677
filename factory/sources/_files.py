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
    if not found:
        if glob.has_magic(path):
            raise SourceError(f"{path}: no file matches")
        raise SourceError(f"{path}: cannot be read: No such file or directory")
    return found
