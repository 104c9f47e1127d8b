"""The agent's Unix socket: made with its mode, never stolen from a living server, taken over from a dead one."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.errors import AddressInUse, InvalidConfig, NotAllowed, StateUnwritable

__all__ = ["listening", "refuse_served"]

_LONGEST = 107
_BACKLOG = 128
_LOCK_SECONDS = 5.0
_PROBE_SECONDS = 1.0


@contextmanager
def listening(path: Path, *, mode: int = 0o660, group: int | None = None) -> Iterator[socket.socket]:
    """Listen on a Unix socket and remove it at the end, if it is still ours.

    Raises `AddressInUse` (a living server, or something that is no socket), `NotAllowed`, `StateUnwritable`.
    """
    if len(os.fsencode(path)) > _LONGEST:
        raise InvalidConfig(
            (("agent-socket", f"{path} is longer than {_LONGEST} bytes, the most a socket path may be"),)
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        _bind(sock, path)
        born = path.stat()
        try:
            _give(path, group)
            path.chmod(mode)
            sock.listen(_BACKLOG)
            yield sock
        finally:
            with suppress(OSError):
                now = path.stat()
                if (now.st_dev, now.st_ino) == (born.st_dev, born.st_ino):
                    path.unlink()


def _bind(sock: socket.socket, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            _remove_dead(path)
            os.fchmod(sock.fileno(), 0o600)  # before bind: the node is born with it (Linux), no moment of 0777
            sock.bind(str(path))
    except PermissionError as error:
        raise NotAllowed(f"{path}: {error.strerror}; its directory must belong to the agent's user") from error
    except OSError as error:
        raise StateUnwritable(f"{path}: {error.strerror}; choose another with --agent-socket") from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep two agents that start at once from each removing the other's socket."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AddressInUse(f"{directory}: another agent has been starting here for long; end it") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _remove_dead(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressInUse(f"{path} is no socket: remove it or choose another path with --agent-socket")
    refuse_served(path)
    path.unlink()


def refuse_served(path: Path) -> None:
    """Refuse a socket that somebody serves, before anything is begun; `listening` decides for good.

    Raises `AddressInUse`.
    """
    if path.exists() and _is_alive(path):
        raise AddressInUse(f"{path}: another agent serves here; end it or choose another path with --agent-socket")


def _is_alive(path: Path) -> bool:
    """Whether somebody listens; one whose queue is full is alive too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        answer = probe.connect_ex(str(path))
    return answer not in (errno.ECONNREFUSED, errno.ENOENT)


def _give(path: Path, group: int | None) -> None:
    if group is None:
        return
    try:
        os.chown(path, -1, group, follow_symlinks=False)
    except PermissionError:
        raise NotAllowed(f"{path} cannot be given to group {group}: the agent is not in it; see --groups") from None
