"""One daemon per state directory and per bpffs: two would take each other's pins for leftovers."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conductor.errors import AddressInUse, KernelRefused
from conductor.loader.directory import OwnDirectory

__all__ = ["sole_owner", "sole_user"]

_LOCK = "lock"


@contextmanager
def sole_owner(directory: OwnDirectory) -> Iterator[None]:
    """Hold the state directory's lock, our pid in it. Raises `AddressInUse` naming the pid that holds it."""
    with directory.opened_file(_LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(32).decode(errors="replace").strip() or "unknown"
            raise AddressInUse(
                f"another loader (pid {holder}) works in {directory.path}; end it or choose another state directory"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield


@contextmanager
def sole_user(bpffs: Path) -> Iterator[None]:
    """Hold a bpffs against other loaders. Raises `AddressInUse`."""
    try:
        fd = os.open(bpffs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelRefused(f"{bpffs} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise AddressInUse(f"another loader uses {bpffs}; end it or choose another with --bpffs") from None
    try:
        yield
    finally:
        os.close(fd)
