"""Links on network devices, namespaces and cgroups: XDP, TCX, socket look-up, cgroup hooks."""

from __future__ import annotations

import ctypes
import errno
import socket
from ctypes import c_uint32, c_uint64
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.kinds import AttachType
from conductor.bpf.link_create import attach_refused, create_link
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Attribute, Command, bpf
from conductor.errors import KernelRefused, NotFound, NotSupported
from conductor.model.kernel import Direction

__all__ = ["TcxChain", "XdpMode", "cgroup", "netns", "tcx", "tcx_chain", "xdp"]

_BEFORE, _AFTER, _LINK = 1 << 3, 1 << 4, 1 << 13
"""BPF_F_BEFORE, BPF_F_AFTER, BPF_F_LINK."""
_MOST = 256
_TCX = {Direction.INGRESS: AttachType.TCX_INGRESS, Direction.EGRESS: AttachType.TCX_EGRESS}


class XdpMode(IntFlag):
    """How XDP runs (XDP_FLAGS_…_MODE); `ANY` lets the driver or else the generic path do it."""

    ANY = 0
    GENERIC = 2
    DRIVER = 4
    OFFLOAD = 8


def xdp(prog_fd: int, ifindex: int, flags: int = XdpMode.ANY) -> Descriptor:
    """Attach XDP to an interface of this network namespace (kernel 5.9); one program at a time.

    Raises `NotFound`, `NotSupported`, `KernelRefused` (another program holds it).
    """
    doing = f"attaching XDP to interface {ifindex} failed"
    try:
        return create_link(prog_fd, ifindex, AttachType.XDP, flags)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EEXIST):  # EEXIST: it runs in the other mode
            helps = "another XDP program is attached there; detach it first"
            raise refused(error, doing, helps=helps, as_=KernelRefused) from error
        if error.errno == errno.EINVAL and not _exists(ifindex):  # XDP says EINVAL where TCX says ENODEV
            raise refused(error, doing, helps=_no_interface(ifindex), as_=NotFound) from error
        if error.errno == errno.EOPNOTSUPP:
            raise refused(error, doing, helps="its driver has no XDP; use the generic mode") from error
        needs = "the program is not of type XDP, or the kernel lacks XDP links (they came with 5.9)"
        raise attach_refused(error, doing, needs=needs, missing=_no_interface(ifindex)) from error


def tcx(
    prog_fd: int,
    ifindex: int,
    direction: Direction,
    *,
    before: int | None = None,
    after: int | None = None,
    revision: int = 0,
) -> Descriptor:
    """Attach to TCX (kernel 6.6). `before` or `after` a link (its descriptor); 0 means before or after all others.

    With neither it runs last. A `revision` from `tcx_chain` refuses where the chain changed since. Raises `NotFound`,
    `AlreadyExists`, `NotSupported`, `KernelRefused`.
    """
    flags = (_BEFORE if before is not None else 0) | (_AFTER if after is not None else 0)
    other = before or after or 0
    if other:
        flags |= _LINK
    doing = f"attaching TCX {direction} to interface {ifindex} failed"
    try:
        return create_link(prog_fd, ifindex, _TCX[direction], flags, a=other, b=revision)
    except OSError as error:
        if error.errno == errno.ESTALE:
            raise refused(error, doing, helps="the chain changed meanwhile; read it again") from error
        if error.errno == errno.ERANGE:
            raise refused(error, doing, helps="the chain is full: it holds 63 programs") from error
        needs = "the program is not of type sched_cls, or the kernel lacks TCX (it came with 6.6)"
        raise attach_refused(error, doing, needs=needs, missing=_no_interface(ifindex)) from error


@dataclass(frozen=True, slots=True)
class TcxChain:
    """Programs on one side of an interface in the order they run; link id 0 where one is attached without a link."""

    revision: int
    programs: tuple[tuple[int, int], ...]
    """Pairs of (program id, link id)."""


class _Query(Attribute):
    """BPF_PROG_QUERY as far as TCX reads and writes it."""

    _fields_: ClassVar[Any] = [
        ("target", c_uint32),
        ("attach_type", c_uint32),
        ("query_flags", c_uint32),
        ("attach_flags", c_uint32),
        ("prog_ids", c_uint64),
        ("count", c_uint32),
        ("pad", c_uint32),
        ("prog_attach_flags", c_uint64),
        ("link_ids", c_uint64),
        ("link_attach_flags", c_uint64),
        ("revision", c_uint64),
    ]


def tcx_chain(ifindex: int, direction: Direction) -> TcxChain:
    """List what is attached to TCX (kernel 6.6). Raises `NotFound`, `NotSupported`, `KernelRefused`."""
    programs, links = (c_uint32 * _MOST)(), (c_uint32 * _MOST)()
    request = _Query(
        target=ifindex,
        attach_type=_TCX[direction],
        prog_ids=ctypes.addressof(programs),
        link_ids=ctypes.addressof(links),
        count=_MOST,
    )
    try:
        bpf(Command.PROG_QUERY, request)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return TcxChain(revision=1, programs=())
        kind = NotSupported if error.errno == errno.EINVAL else None
        raise refused(error, f"reading the TCX chain of interface {ifindex} failed", as_=kind) from error
    count = min(request.count, _MOST)
    return TcxChain(request.revision, tuple(zip(programs[:count], links[:count], strict=True)))


def cgroup(prog_fd: int, cgroup_fd: int, attach_type: int) -> Descriptor:
    """Attach to a cgroup v2 directory, beside what others attached (kernel 5.7). Raises as `tcx`."""
    doing = f"attaching to a cgroup (attach type {attach_type}) failed"
    try:
        return create_link(prog_fd, cgroup_fd, attach_type)
    except OSError as error:
        if error.errno == errno.EBADF:
            raise refused(error, doing, helps="give a descriptor of a directory in a cgroup v2 tree") from error
        needs = "the program's type does not fit this attach type, or the kernel lacks cgroup links (5.7)"
        raise attach_refused(error, doing, needs=needs) from error


def netns(prog_fd: int, netns_fd: int, attach_type: int) -> Descriptor:
    """Attach a flow dissector or socket look-up to a network namespace (kernel 5.8). Raises as `tcx`."""
    doing = f"attaching to a network namespace (attach type {attach_type}) failed"
    try:
        return create_link(prog_fd, netns_fd, attach_type)
    except OSError as error:
        needs = "the program's type does not fit this attach type, or the kernel lacks these links (5.8)"
        raise attach_refused(error, doing, needs=needs) from error


def _exists(ifindex: int) -> bool:
    """Whether the calling thread's network namespace has the interface."""
    try:
        return bool(socket.if_indextoname(ifindex))
    except OSError:
        return False


def _no_interface(ifindex: int) -> str:
    return f"this network namespace has no interface {ifindex}"
