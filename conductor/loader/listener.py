"""The Unix socket that the daemon listens on."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.errors import AddressInUse, KernelRefused

__all__ = ["listening"]

_LONGEST = 107


@contextmanager
def listening(path: Path, group: int) -> Iterator[socket.socket]:
    """Listen on `path`, mode 0660, for `group`; the file goes in the end if it is still ours.

    A socket that nobody answers any more is replaced. Raises `AddressInUse`, `KernelRefused`. Call it before threads
    are started: the mode is set by umask, so that at no moment anybody else can connect.
    """
    if len(os.fsencode(path)) > _LONGEST:
        raise KernelRefused(f"{path} is too long for a socket: {_LONGEST} bytes at most")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _make_room(path)
            _bind(server, path)
            os.chown(path, -1, group, follow_symlinks=False)
            server.listen(128)
        except OSError as error:
            raise KernelRefused(f"cannot listen on {path}: {error.strerror}") from error
        mine = path.lstat()
        try:
            yield server
        finally:
            with suppress(OSError):
                if os.path.samestat(path.lstat(), mine):
                    path.unlink()


def _bind(server: socket.socket, path: Path) -> None:
    before = os.umask(0o117)
    try:
        server.bind(str(path))
    finally:
        os.umask(before)


def _make_room(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise AddressInUse(f"{path} exists and is no socket; remove it or choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise AddressInUse(f"another daemon answers on {path}; end it or choose another socket")
