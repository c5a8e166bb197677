"""The store behind Xet uploads: a folder that the client itself writes.

`hf_xet` takes `local:///folder` for the address of a store and then chunks, deduplicates and
packs as it does for the real one. A commit names files by SHA-256 only, and the store knows them
by Xet hash; the shard files that the client leaves behind hold both.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

HEADER = 48
"""Bytes of every header and entry of a shard file."""
END = b"\xff" * 32
HAS_VERIFICATION, HAS_METADATA = 1 << 31, 1 << 30


class XetStore:
    """One client's store: a client locks its store while it uploads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"local://{self.folder}"

    @property
    def stored_bytes(self) -> int:
        """Size of all packed chunks: grows only by content that was not there."""
        packs = (self.folder / "xet" / "xorbs" / "xorbs").glob("default.*")
        return sum(p.stat().st_size for p in packs if p.suffix != ".tagset")

    def hash_of(self, sha256: str) -> tuple[str, int] | None:
        """Xet hash and size of a file."""
        for shard in sorted((self.folder / "xet" / "xorbs" / "shards").glob("*.mdb")):
            for xet_hash, content_hash, size in read_shard(shard.read_bytes()):
                if content_hash == sha256:
                    return xet_hash, size
        return None

    def fetch(self, xet_hash: str, size: int, target: Path) -> None:
        """Put a file together from its chunks."""
        import hf_xet

        group = hf_xet.XetSession().new_file_download_group(
            endpoint=self.address, token="double", token_expiry_unix_secs=int(time.time()) + 3600
        )
        with group:
            group.start_download_file(hf_xet.XetFileInfo(xet_hash, size), str(target))


def read_shard(data: bytes) -> Iterator[tuple[str, str, int]]:
    """Xet hash, SHA-256 and size of the files that a shard describes."""
    at = HEADER
    while data[at : at + 32] != END:
        xet_hash = hex_of(data[at : at + 32])
        flags, segments = struct.unpack_from("<II", data, at + 32)
        at += HEADER
        size = sum(struct.unpack_from("<I", data, at + i * HEADER + 36)[0] for i in range(segments))
        at += segments * HEADER * (2 if flags & HAS_VERIFICATION else 1)
        if flags & HAS_METADATA:
            yield xet_hash, hex_of(data[at : at + 32]), size
            at += HEADER


def hex_of(raw: bytes) -> str:
    """The text form of a hash: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))
