"""A directory of ours alone: opened once without following links, every file in it reached through its descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from conductor.errors import StateUnwritable, StoreFull

__all__ = ["Folder", "disk_errors", "is_disk_full"]

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_disk_full(exc: OSError) -> bool:
    """Tell whether less on the disk would help."""
    return exc.errno in _FULL


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn what the file system says into `StoreFull` or `StateUnwritable`."""
    try:
        yield
    except OSError as exc:
        if is_disk_full(exc):
            raise StoreFull(f"{what}: {exc.strerror}; free space on that disk, or prune images") from exc
        raise StateUnwritable(f"{what}: {exc.strerror or exc}; correct that, nothing was changed") from exc


class Folder:
    """One open directory, mode 0700 and of this user. Thread-safe."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor, self.path = descriptor, path

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, alone: bool = False) -> Iterator[Self]:
        """Make it or open it; `alone` keeps other processes out. Raises `StateUnwritable`."""
        with disk_errors(f"the image cache {path} cannot be used"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            descriptor = os.open(path, _OPEN)
        with cls._own(descriptor, path) as folder:
            if alone:
                _hold(descriptor, path)
            yield folder

    @contextmanager
    def inner(self, name: str) -> Iterator[Self]:
        """Make or open one below. Raises `StateUnwritable`."""
        path = self.path / name
        with disk_errors(f"the image cache {path} cannot be used"):
            with suppress(FileExistsError):
                os.mkdir(name, mode=0o700, dir_fd=self._descriptor)
            descriptor = os.open(name, _OPEN, dir_fd=self._descriptor)
        with self._own(descriptor, path) as folder:
            yield folder

    @classmethod
    @contextmanager
    def _own(cls, descriptor: int, path: Path) -> Iterator[Self]:
        try:
            about = os.fstat(descriptor)
            if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
                raise StateUnwritable(
                    f"the image cache {path} is not of mode 0700 and this user's own; remove it, or choose another"
                )
            yield cls(descriptor, path)
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        """List what is there, sorted. Raises `OSError`, as every method below."""
        return sorted(os.listdir(self._descriptor))  # noqa: PTH208 -- by descriptor

    def open(self, name: str, flags: int) -> int:
        """Open a file, without following links."""
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._descriptor)

    def read(self, name: str, most: int) -> bytes:
        """Read a regular file of at most `most` bytes."""
        with os.fdopen(self.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "no regular file")
            return file.read(most)

    def about(self, name: str) -> os.stat_result:
        """Answer size and times of a file."""
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def touch(self, name: str) -> None:
        """Note that a file was used now."""
        os.utime(name, dir_fd=self._descriptor, follow_symlinks=False)

    def move(self, name: str, other: Folder, fresh: str) -> None:
        """Rename a file into another folder, in place of what has that name there, durably."""
        os.rename(name, fresh, src_dir_fd=self._descriptor, dst_dir_fd=other._descriptor)
        other.sync()

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is fine."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Make renames outlive a power cut."""
        os.fsync(self._descriptor)


def _hold(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateUnwritable(
            f"the image cache {path} is in use by another process; end it, or choose another directory"
        ) from None
