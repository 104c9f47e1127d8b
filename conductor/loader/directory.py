"""A directory of our own, below one that others may write to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Self

from conductor.errors import NotAllowed, StateUnwritable

__all__ = ["OwnDirectory"]

_AFTER_TEMPORARY = ".new"


class OwnDirectory:
    """A directory that only this user may change; every file in it is reached through its descriptor.

    The one above may belong to the agent, which must not be able to make a privileged daemon write elsewhere: a
    symbolic link or somebody else's directory in its place is refused.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self._fd, self._path = fd, path

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Make it (0700) or open it. Raises `NotAllowed`, `StateUnwritable`."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StateUnwritable(f"{path} cannot be used: {error.strerror}; it must be a directory of ours") from error
        try:
            seen = os.fstat(fd)
            if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o022:
                raise NotAllowed(
                    f"{path} can be changed by others; remove it, or chown it to root and chmod it to 0700"
                )
            yield cls(fd, path)
        finally:
            os.close(fd)

    @property
    def path(self) -> Path:
        """Where it was opened."""
        return self._path

    def names(self) -> tuple[str, ...]:
        """Whole files, sorted; half-written ones of an earlier run are none."""
        return tuple(sorted(name for name in self._all() if not name.endswith(_AFTER_TEMPORARY)))

    def reach(self, name: str) -> Path:
        """Path of a file for those who open by path, valid while this is open; nobody can put another in its place."""
        return Path(f"/proc/self/fd/{self._fd}/{name}")

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None if there is none."""
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_size
        except OSError:
            return None

    def read(self, name: str) -> bytes | None:
        """Read a file; None if there is none. Raises `OSError`."""
        try:
            with open(name, "rb", opener=self._open) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place, whole and durable, or leave what was there. Raises `StateUnwritable`."""
        new = name + _AFTER_TEMPORARY
        try:
            with open(new, "wb", opener=self._open) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(new, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            os.fsync(self._fd)
        except OSError as error:
            with suppress(OSError):
                os.unlink(new, dir_fd=self._fd)
            raise StateUnwritable(
                f"{self._path / name} cannot be written: {error.strerror}; free space there"
            ) from error

    @contextmanager
    def opened_file(self, name: str) -> Iterator[FileIO]:
        """Open a file for reading and writing, made if need be. Raises `StateUnwritable`."""
        try:
            file = FileIO(name, "r+", opener=lambda name, flags: self._open(name, flags | os.O_CREAT))
        except OSError as error:
            raise StateUnwritable(f"{self._path / name} cannot be opened: {error.strerror}") from error
        with file:
            yield file

    def remove(self, name: str) -> None:
        """Remove a file, durably; one that is gone is fine. Raises `StateUnwritable`."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._fd)
                os.fsync(self._fd)
        except OSError as error:
            raise StateUnwritable(f"{self._path / name} cannot be removed: {error.strerror}") from error

    def rename(self, name: str, other: str) -> None:
        """Give a file another name. Raises `OSError`."""
        os.rename(name, other, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def sweep(self) -> None:
        """Remove what an earlier run left half-written."""
        for name in self._all():
            if name.endswith(_AFTER_TEMPORARY):
                os.unlink(name, dir_fd=self._fd)

    def _all(self) -> list[str]:
        return os.listdir(self._fd)  # noqa: PTH208 -- by descriptor, not by path

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode=0o600, dir_fd=self._fd)
