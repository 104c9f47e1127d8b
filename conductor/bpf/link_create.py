"""BPF_LINK_CREATE and what follows it: the one place where links are made, changed and ended."""

from __future__ import annotations

import errno
from ctypes import c_uint32, c_uint64
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Attribute, Command, bpf
from conductor.errors import AlreadyExists, ConductorError, NotSupported

__all__ = ["attach_refused", "create_link", "detach_link", "update_link"]


class _LinkCreate(Attribute):
    """BPF_LINK_CREATE; `a` and `b` are the union at its end, which each kind of link reads in its own way."""

    _fields_: ClassVar[Any] = [
        ("prog_fd", c_uint32),
        ("target", c_uint32),
        ("attach_type", c_uint32),
        ("flags", c_uint32),
        ("a", c_uint64),
        ("b", c_uint64),
    ]


class _LinkUpdate(Attribute):
    """BPF_LINK_UPDATE; BPF_LINK_DETACH reads its first field."""

    _fields_: ClassVar[Any] = [
        ("link_fd", c_uint32),
        ("prog_fd", c_uint32),
        ("flags", c_uint32),
        ("old_prog_fd", c_uint32),
    ]


def create_link(prog_fd: int, target: int, attach_type: int, flags: int = 0, *, a: int = 0, b: int = 0) -> Descriptor:
    """Make a link. Raises `OSError`: only the caller knows what to say."""
    request = _LinkCreate(prog_fd=prog_fd, target=target, attach_type=attach_type, flags=flags, a=a, b=b)
    return Descriptor(bpf(Command.LINK_CREATE, request))


def update_link(link_fd: int, prog_fd: int) -> None:
    """Put another program in place of a link's own, without a gap; perf links refuse it (kernel 5.7).

    Raises `NotSupported`, `KernelRefused`.
    """
    try:
        bpf(Command.LINK_UPDATE, _LinkUpdate(link_fd=link_fd, prog_fd=prog_fd))
    except OSError as error:
        kind = NotSupported if error.errno == errno.EINVAL else None
        raise refused(error, "putting another program into a link failed", as_=kind) from error


def detach_link(link_fd: int) -> None:
    """Detach now, whoever else holds the link (kernel 5.9). Raises `NotSupported`, `KernelRefused`."""
    request = _LinkUpdate(link_fd=link_fd)
    try:
        bpf(Command.LINK_DETACH, request)
    except OSError as error:
        helps = "close its descriptors and remove its pins instead"
        raise refused(error, "detaching a link failed", helps=helps) from error


def attach_refused(error: OSError, doing: str, *, needs: str = "", missing: str = "") -> ConductorError:
    """Make the error of a refused attach: `needs` explains EINVAL, `missing` explains ENOENT and ENODEV."""
    if error.errno == errno.EEXIST:
        return refused(error, doing, helps="this program is attached there already", as_=AlreadyExists)
    if error.errno == errno.EINVAL and needs:
        return refused(error, doing, helps=needs, as_=NotSupported)
    if error.errno in (errno.ENOENT, errno.ENODEV) and missing:
        return refused(error, doing, helps=missing)
    if error.errno == errno.EBADF:
        return refused(error, doing, helps="the program's descriptor is closed or none")
    return refused(error, doing)
