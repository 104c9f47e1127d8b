"""A file on its way into the store: written aside, hashed as it comes, seen by nobody before it is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

from conductor.errors import ImageDamaged
from conductor.oci.folder import Folder, disk_errors, is_disk_full

__all__ = ["Incoming"]

_MODE: Final = 0o400
"""Nobody writes to what is kept, not even its owner by accident."""


class Incoming:
    """One such file. Used by one thread at a time."""

    def __init__(self, *, folder: Folder, name: str, file: BinaryIO, most: int, free: Callable[[], bool]) -> None:
        self._folder, self._name, self._file, self._most, self._free = folder, name, file, most, free
        self._hash = hashlib.sha256()
        self.size = 0

    @classmethod
    @contextmanager
    def made(cls, folder: Folder, *, most: int, free: Callable[[], bool]) -> Iterator[Incoming]:
        """Make one of at most `most` bytes; what was not kept is gone at the end. `free` makes room on a full disk."""
        name = f"{os.getpid()}-{os.urandom(8).hex()}"
        with disk_errors(f"{folder.path} cannot be written"):
            descriptor = folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                yield cls(folder=folder, name=name, file=file, most=most, free=free)
        finally:
            with suppress(OSError):
                folder.remove(name)

    @property
    def digest(self) -> str:
        """Digest of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def file(self) -> BinaryIO:
        """What was written, to be read again; who reads seeks first."""
        return self._file

    def write(self, chunk: bytes) -> None:
        """Append. Raises `StoreFull`, `StateUnwritable`, `ImageDamaged` past the size it was to have."""
        self.size += len(chunk)
        if self.size > self._most:
            raise ImageDamaged(f"more than the {self._most} bytes that were announced came; nothing of it is kept")
        self._hash.update(chunk)
        left = memoryview(chunk)
        with disk_errors(f"{self._folder.path} cannot be written"):
            while left:
                left = left[self._written(left) :]

    def _written(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._file.fileno(), data)
            except OSError as exc:
                if not is_disk_full(exc) or not self._free():
                    raise

    def restart(self) -> None:
        """Throw away what was written. Raises `StateUnwritable`."""
        with disk_errors(f"{self._folder.path} cannot be written"):
            self._file.seek(0)
            self._file.truncate()
        self._hash, self.size = hashlib.sha256(), 0

    def check(self, digest: str, size: int) -> None:
        """Compare with what was announced. Raises `ImageDamaged`, naming the digest."""
        if self.size != size:
            raise ImageDamaged(f"blob {digest} came with {self.size} bytes instead of {size}; nothing of it is kept")
        if self.digest != digest:
            raise ImageDamaged(f"blob {digest} came with other bytes: theirs is {self.digest}; nothing of it is kept")

    def settle(self) -> None:
        """Bring what was written to the disk itself. Raises `StoreFull`, `StateUnwritable`."""
        with disk_errors(f"{self._folder.path} cannot be written"):
            os.fchmod(self._file.fileno(), _MODE)
            os.fsync(self._file.fileno())

    def keep(self, other: Folder, name: str) -> None:
        """Put it, settled, in its place, whole and durably. Raises `StoreFull`, `StateUnwritable`."""
        with disk_errors(f"{other.path / name} cannot be written"):
            self._folder.move(self._name, other, name)
