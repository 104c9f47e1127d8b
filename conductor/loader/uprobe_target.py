"""The file that a uprobe goes into, also inside a container whose links point where they like."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.errors import InvalidSpec, KernelRefused, NotFound, NotSupported, ObjectUnreadable

__all__ = ["opened_target"]

_LINKS_MOST = 40
"""As the kernel's own limit (path_resolution(7))."""
_LIBRARIES = ("lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib")


@contextmanager
def opened_target(target: str, container_pid: int | None) -> Iterator[str]:
    """Answer what `bpf.links.uprobe` may open: a path, or a library's name, in the daemon's own mount namespace.

    In that of `container_pid` the file is opened here, component by component, so that an absolute symbolic link
    there cannot lead to a file of the host, and handed over by descriptor. Raises `NotFound`, `InvalidSpec`.
    """
    if container_pid is None:
        _check_regular(target)
        yield target
        return
    with _root_of(container_pid) as root:
        fd = _found(root, target, container_pid)
    path = f"/proc/self/fd/{fd}"
    try:
        _check_regular(path, target)
        yield path
    except (KernelRefused, NotFound, NotSupported, ObjectUnreadable) as error:
        # Who reads it knows the file by the name that it has in the container.
        raise type(error)(str(error).replace(path, f"{target} (of process {container_pid})")) from error
    finally:
        os.close(fd)


def _check_regular(path: str, shown: str = "") -> None:
    """Refuse what is there and no file: opening a FIFO would wait for its writer."""
    with suppress(OSError):
        if "/" in path and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 -- a path of /proc
            raise InvalidSpec("attach.uprobe_attach_info.target", f"{shown or path} is no regular file")


@contextmanager
def _root_of(pid: int) -> Iterator[int]:
    try:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"there is no process {pid} whose files could be reached: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _found(root: int, target: str, pid: int) -> int:
    if "/" in target:
        return _opened(root, target, pid)
    for name in _library_names(root, target):
        with suppress(NotFound):
            return _opened(root, name, pid)
    raise NotFound(f"process {pid} has no library {target!r} where libraries usually lie; give its path")


def _library_names(root: int, name: str) -> Iterator[str]:
    triplet = f"{os.uname().machine}-linux-gnu"
    for folder in (*(f"{lib}/{triplet}" for lib in ("lib", "usr/lib")), *_LIBRARIES):
        with suppress(NotFound, NotADirectoryError):
            fd = _opened(root, folder, 0)
            try:
                # An O_PATH descriptor is listed by its name below /proc.
                there = sorted(entry.name for entry in Path(f"/proc/self/fd/{fd}").iterdir())
            finally:
                os.close(fd)
            yield from (f"{folder}/{file}" for file in there if _is_library(file, name))


def _is_library(file: str, name: str) -> bool:
    return file in (name, f"{name}.so", f"lib{name}.so") or file.startswith((f"{name}.so.", f"lib{name}.so."))


def _opened(root: int, path: str, pid: int) -> int:
    """Walk `path` below `root` as a process inside would, and answer an O_PATH descriptor of its end."""
    ahead = _parts(path)
    trail = [os.dup(root)]
    links = 0
    try:
        while ahead:
            part = ahead.pop()
            if part == "..":
                _back(trail, max(1, len(trail) - 1))
                continue
            trail.append(os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=trail[-1]))
            aim = _aim(trail[-1])
            if aim is None:
                continue
            links += 1
            if links > _LINKS_MOST:
                raise InvalidSpec("attach.uprobe_attach_info.target", f"{path} goes by more than {_LINKS_MOST} links")
            _back(trail, 1 if aim.startswith("/") else len(trail) - 1)
            ahead += _parts(aim)
        return os.dup(trail[-1])
    except OSError as error:
        raise NotFound(f"process {pid} has no file {path}: {error.strerror}") from error
    finally:
        _back(trail, 0)


def _parts(path: str) -> list[str]:
    """Components of a path, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _aim(fd: int) -> str | None:
    """Where a symbolic link leads; None for anything else."""
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return None


def _back(trail: list[int], length: int) -> None:
    """Go back to a trail of `length` descriptors."""
    while len(trail) > length:
        os.close(trail.pop())
