"""Do something inside another network namespace."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from fcntl import ioctl
from io import FileIO
from threading import Thread
from typing import TypeVar

from conductor.errors import DeadlineExceeded, InvalidSpec, NotFound
from conductor.model.names import near

__all__ = ["Netns", "inside", "interface_index", "netns_of"]

_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Netns:
    """Identity of a network namespace: device and inode of its nsfs file, which all paths to it share."""

    device: int
    inode: int


def netns_of(path: str | None) -> Netns:
    """Tell which network namespace `path` names; None is the one of this process. Raises `InvalidSpec`."""
    with _opened(path or "/proc/self/ns/net") as namespace:
        seen = os.fstat(namespace.fileno())
        return Netns(seen.st_dev, seen.st_ino)


def inside(path: str | None, task: Callable[[], _T], *, timeout: float = 10.0) -> _T:
    """Run `task` with the network namespace of `path` around it; without a path, right here.

    It runs in a thread of its own that ends with it, so that no thread can be left in a foreign namespace.
    Raises `InvalidSpec` (no such namespace), `DeadlineExceeded` after `timeout` seconds, and whatever `task` raises.
    """
    if path is None:
        return task()
    outcome: Future[_T] = Future()
    with _opened(path) as namespace:
        thread = Thread(target=_entered, args=(namespace.fileno(), path, task, outcome), name="netns", daemon=True)
        thread.start()
        try:
            return outcome.result(timeout)
        except TimeoutError:
            raise DeadlineExceeded(f"work inside {path} took longer than {timeout:g} s") from None
        finally:
            thread.join(timeout)


def interface_index(name: str) -> int:
    """Index of interface `name` in this thread's network namespace. Raises `NotFound` with near names."""
    try:
        return socket.if_nametoindex(name)
    except (OSError, ValueError, UnicodeError):
        names = [interface for _, interface in socket.if_nameindex()]
        raise NotFound(f"no interface {name!r} here{near(name, names)}") from None


def _entered(namespace: int, path: str, task: Callable[[], _T], outcome: Future[_T]) -> None:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            raise InvalidSpec("netns", f"{path} is no network namespace that can be entered: {_last_error()}")
        outcome.set_result(task())
    except BaseException as error:  # noqa: BLE001 -- handed to the caller, who raises it
        outcome.set_exception(error)


def _last_error() -> str:
    return os.strerror(ctypes.get_errno())


def _opened(path: str) -> FileIO:
    """Open a network namespace's file, and nothing else."""
    try:
        namespace = FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    except (OSError, ValueError) as error:
        raise InvalidSpec("netns", f"{path!r} cannot be opened: {getattr(error, 'strerror', error)}") from error
    try:
        if ioctl(namespace, _NS_GET_NSTYPE) == _CLONE_NEWNET:
            return namespace
    except OSError:
        pass  # not a namespace's file at all
    namespace.close()
    raise InvalidSpec("netns", f"{path!r} is no network namespace")
