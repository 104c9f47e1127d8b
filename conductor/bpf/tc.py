"""Classic tc filters through libbpf's netlink: no bpf_link, so they stay until they are detached by what they are."""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import Structure, c_int, c_size_t, c_uint32
from dataclasses import dataclass
from typing import Any, ClassVar

from conductor.bpf.captured import captured
from conductor.bpf.library import function
from conductor.bpf.loading import last_words
from conductor.bpf.refusals import refused
from conductor.errors import AlreadyExists, ConductorError, NotFound
from conductor.model.kernel import Direction

__all__ = ["TcFilter", "tc"]

_POINT = {Direction.INGRESS: 1, Direction.EGRESS: 2}
_QDISC = 1 | 2
"""Ingress and egress at once: the clsact queueing discipline itself."""


class _Hook(Structure):
    """struct bpf_tc_hook."""

    _fields_: ClassVar[Any] = [("sz", c_size_t), ("ifindex", c_int), ("point", c_int), ("parent", c_uint32)]


class _Options(Structure):
    """struct bpf_tc_opts."""

    _fields_: ClassVar[Any] = [
        ("sz", c_size_t),
        ("prog_fd", c_int),
        ("flags", c_uint32),
        ("prog_id", c_uint32),
        ("handle", c_uint32),
        ("priority", c_uint32),
    ]


@dataclass(frozen=True, slots=True)
class TcFilter:
    """One filter by its address; a value that may be written down and used by another process later."""

    ifindex: int
    direction: Direction
    priority: int
    handle: int

    def program_id(self) -> int | None:
        """Id of the program that stands there; None when nothing does. Raises `KernelRefused`."""
        options = _options(priority=self.priority, handle=self.handle)
        number, said = _call("bpf_tc_query", self.ifindex, self.direction, options)
        if number in (errno.ENOENT, errno.EINVAL, errno.ENODEV):  # EINVAL: no such qdisc
            return None
        if number:
            raise _refused(number, f"looking at {self} failed", said)
        return int(options.prog_id)

    def detach(self) -> None:
        """Remove the filter; one that is gone is no error. The clsact qdisc stays: others may use it."""
        options = _options(priority=self.priority, handle=self.handle)
        number, said = _call("bpf_tc_detach", self.ifindex, self.direction, options)
        if number not in (0, errno.ENOENT, errno.EINVAL, errno.ENODEV):
            raise _refused(number, f"removing {self} failed", said)


def tc(prog_fd: int, ifindex: int, direction: Direction, *, priority: int = 0, handle: int = 0) -> TcFilter:
    """Attach a classic tc filter (direct action) in this network namespace; makes the clsact qdisc where needed.

    `priority` 0 lets the kernel choose; lower runs first. Raises `NotFound`, `AlreadyExists`, `KernelRefused`.
    """
    doing = f"attaching a tc filter to {direction} of interface {ifindex} failed"
    hook = _hook(ifindex, _QDISC)
    with captured() as said:
        made = -function("bpf_tc_hook_create")(ctypes.byref(hook))
    if made not in (0, errno.EEXIST):
        raise _refused(made, doing, said)
    options = _options(prog_fd=prog_fd, priority=priority, handle=handle)
    number, said = _call("bpf_tc_attach", ifindex, direction, options)
    if number:
        raise _refused(number, doing, said)
    return TcFilter(ifindex, direction, int(options.priority), int(options.handle))


def _hook(ifindex: int, point: int) -> _Hook:
    return _Hook(sz=ctypes.sizeof(_Hook), ifindex=ifindex, point=point)


def _options(**fields: int) -> _Options:
    return _Options(sz=ctypes.sizeof(_Options), **fields)


def _call(name: str, ifindex: int, direction: Direction, options: _Options) -> tuple[int, list[str]]:
    hook = _hook(ifindex, _POINT[direction])
    with captured() as said:
        return -function(name)(ctypes.byref(hook), ctypes.byref(options)), said


def _refused(number: int, doing: str, said: list[str]) -> ConductorError:
    kinds: dict[int, type[ConductorError]] = {errno.ENODEV: NotFound, errno.EEXIST: AlreadyExists}
    return refused(OSError(number, os.strerror(number)), doing, helps=last_words(said), as_=kinds.get(number))
