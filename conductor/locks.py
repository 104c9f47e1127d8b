"""Locks that a process holds for its life, and who holds one: the kernel's answer, never a pid file's."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from conductor.errors import AddressInUse

__all__ = ["hold", "holder"]


def hold(lock: Path) -> int:
    """Lock a file for the life of this process and write our pid into it; answer the descriptor.

    Raises `AddressInUse` where another process holds it.
    """
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise AddressInUse(f"process {_pid_in(lock) or 'unknown'} holds {lock}; end it first") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def holder(lock: Path) -> int | None:
    """Open a pidfd of the process that holds the lock; None where nobody does. The caller closes it.

    The pid in the file is a hint only: the kernel must say that this process holds this lock. Raises `AddressInUse`
    where somebody does who cannot be found.
    """
    if not _is_held(lock):
        return None
    pid = _pid_in(lock)
    try:
        pidfd = os.pidfd_open(pid) if pid else None
    except ProcessLookupError:
        pidfd = None
    if pidfd is not None:
        if _holds(pid, lock):
            return pidfd
        os.close(pidfd)
    if not _is_held(lock):
        return None
    raise AddressInUse(f"{lock} is held by a process that cannot be found; end it by hand (fuser {lock})")


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _holds(pid: int, lock: Path) -> bool:
    """Whether a descriptor of the process is the lock file and the kernel shows a lock on it (proc(5), fdinfo)."""
    wanted = lock.stat()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if (
                os.path.samestat(entry.stat(), wanted)
                and "FLOCK" in Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text()
            ):
                return True
    except OSError:  # it ended, or closed the descriptor, while we looked
        return False
    return False


def _pid_in(lock: Path) -> int:
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return 0
