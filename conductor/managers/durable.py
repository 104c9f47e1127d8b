"""Files that are whole or absent: written aside, synced, renamed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.errors import StateUnwritable

__all__ = ["keep_aside", "make_directory", "sync_directory", "unwritable", "write_whole"]


@contextmanager
def unwritable(what: str) -> Iterator[None]:
    """Turn what the file system says into `StateUnwritable`."""
    try:
        yield
    except OSError as exc:
        raise StateUnwritable(f"{what}: {exc.strerror or exc}; nothing was changed: free space or fix it") from exc


def make_directory(path: Path, mode: int = 0o750) -> None:
    """Make a directory and its parents. Raises `StateUnwritable`."""
    with unwritable(f"make {path}"):
        path.mkdir(mode=mode, parents=True, exist_ok=True)


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file so that a reader, or a crash, sees the old bytes or the new. Raises `StateUnwritable`."""
    with unwritable(f"write {path}"):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                if durable:
                    os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        if durable:
            sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and unlinks in a directory outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_aside(path: Path) -> Path:
    """Rename a file that cannot be read to `NAME.bad-TIME`, for a person to look at."""
    aside = path.with_name(f"{path.name}.bad-{time.time_ns() // 1_000_000}")
    with suppress(OSError):
        path.rename(aside)
    return aside
