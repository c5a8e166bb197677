"""Files and folders of a commit in the forms in which the Hub lists them."""

from __future__ import annotations

from typing import Any

from tests.hub_double.store import Commit, Entry, git_oid


def list_tree(commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders below a folder, as the Hub lists them."""
    prefix = f"{folder}/" if folder else ""
    listing: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(commit.files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            name = prefix + "/".join(parts[:depth])
            folder_entry = {
                "type": "directory",
                "path": name,
                "size": 0,
                "oid": git_oid(name.encode()),
            }
            listing.setdefault(name, folder_entry)
        if recursive or len(parts) == 1:
            listing[path] = {"type": "file", "path": path, **file_details(entry)}
    return list(listing.values())


def file_details(entry: Entry) -> dict[str, Any]:
    if entry.sha256 is None:
        return {"oid": entry.oid, "size": entry.size}
    lfs = {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}
    return {"oid": entry.oid, "size": entry.size, "lfs": lfs}


def sibling_details(entry: Entry) -> dict[str, Any]:
    details = {"blobId": entry.oid, "size": entry.size}
    if entry.sha256 is None:
        return details
    lfs = {"sha256": entry.sha256, "size": entry.size, "pointerSize": 130}
    return {**details, "lfs": lfs}
