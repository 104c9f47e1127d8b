"""The files of the image cache by their digest; each is read once after a start before it is used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from conductor.oci.folder import Folder, disk_errors
from conductor.oci.incoming import Incoming
from conductor.oci.records import ImageRecord, is_digest

__all__ = ["Shelf", "hex_of"]

_CHUNK: Final = 1 << 20


class Shelf:
    """Own the files. The store's locks guard what changes; `is_whole` needs none."""

    def __init__(self, *, folder: Folder) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        self._checked: set[str] = set()

    def load(self) -> Mapping[str, int]:
        """Look what is there; answer sizes by digest. Raises `OSError`."""
        for name in self._folder.names():
            if is_digest(f"sha256:{name}"):
                self._sizes[f"sha256:{name}"] = self._folder.about(name).st_size
        return self._sizes

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(self._sizes.values())

    def names(self) -> list[str]:
        """Digests of all files."""
        return list(self._sizes)

    def size(self, content: str) -> int:
        """Bytes of a file; 0 where there is none."""
        return self._sizes.get(content, 0)

    def path(self, content: str) -> Path:
        """Where a file lies."""
        return self._folder.path / hex_of(content)

    def is_whole(self, record: ImageRecord) -> bool:
        """Tell whether a file is what its digest names: by its bytes the first time, later by its size.

        Raises `StateUnwritable` where the disk cannot be read.
        """
        if record.content not in self._sizes:
            return False
        with disk_errors(f"{self._folder.path} cannot be read"):
            try:
                if record.content in self._checked:
                    return self._folder.about(hex_of(record.content)).st_size == record.size
                descriptor = self._folder.open(hex_of(record.content), os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                return False
            return _digest_of(descriptor) == (record.content, record.size)

    def put(self, file: Incoming, content: str) -> None:
        """Put a file in its place, on disk alone. Raises `StoreFull`, `StateUnwritable`."""
        file.keep(self._folder, hex_of(content))

    def know(self, record: ImageRecord) -> None:
        """Know of a file, and that it is whole."""
        self._sizes[record.content] = record.size
        self._checked.add(record.content)

    def trust(self, content: str) -> None:
        """Know that a file was read and is whole."""
        self._checked.add(content)

    def erase(self, content: str) -> None:
        """Remove a file from the disk. Raises `OSError`."""
        self._folder.remove(hex_of(content))

    def forget(self, content: str) -> int:
        """Know of a file no more; answer its size."""
        self._checked.discard(content)
        return self._sizes.pop(content, 0)


def hex_of(digest: str) -> str:
    """Answer a digest without its algorithm: the name of its file."""
    return digest.removeprefix("sha256:")


def _digest_of(descriptor: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return f"sha256:{digest.hexdigest()}", size
