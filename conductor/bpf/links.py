"""Attach programs: each function answers an owned descriptor of a bpf_link, which may be pinned.

A link lives as long as a descriptor or a pin of it. What the kernel is asked is written in one place, `_create`.
"""

from __future__ import annotations

import errno
from ctypes import c_uint32, c_uint64
from typing import Any, ClassVar

from conductor.bpf import perf
from conductor.bpf.descriptor import Descriptor
from conductor.bpf.kinds import AttachType
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Attribute, Command, bpf
from conductor.bpf.tracefs import event_id
from conductor.errors import AlreadyExists, NotSupported

__all__ = ["tracepoint"]

_TRACEPOINT = 2
"""PERF_TYPE_TRACEPOINT."""


class _LinkCreate(Attribute):
    """BPF_LINK_CREATE; `a` and `b` are the union at its end."""

    _fields_: ClassVar[Any] = [
        ("prog_fd", c_uint32),
        ("target", c_uint32),
        ("attach_type", c_uint32),
        ("flags", c_uint32),
        ("a", c_uint64),
        ("b", c_uint64),
    ]


def tracepoint(prog_fd: int, name: str, *, cookie: int = 0) -> Descriptor:
    """Attach to the tracepoint `group/name` (perf link, kernel 5.15).

    Raises `NotFound` with near names, `AlreadyExists` when this program is attached there, `NotSupported`,
    `KernelRefused`.
    """
    doing = f"attaching to tracepoint {name} failed"
    attribute = perf.PerfAttribute(type=_TRACEPOINT, config=event_id(name))
    try:
        with perf.open_event(attribute, cpu=0) as event:
            return _perf_link(prog_fd, event, cookie)
    except OSError as error:
        raise _explained(error, doing, perf_link=True) from error


def _perf_link(prog_fd: int, event: Descriptor, cookie: int) -> Descriptor:
    """Make a perf link, which holds the event from then on, and start it. Raises `OSError`."""
    link = _create(prog_fd, event.fileno(), AttachType.PERF_EVENT, a=cookie)
    try:
        perf.enable(event)
    except OSError:
        link.close()
        raise
    return link


def _create(prog_fd: int, target: int, attach_type: int, flags: int = 0, *, a: int = 0, b: int = 0) -> Descriptor:
    request = _LinkCreate(prog_fd=prog_fd, target=target, attach_type=attach_type, flags=flags, a=a, b=b)
    return Descriptor(bpf(Command.LINK_CREATE, request))


def _explained(error: OSError, doing: str, *, perf_link: bool = False) -> Exception:
    if error.errno == errno.EEXIST:
        return refused(error, doing, helps="this program is attached there already", as_=AlreadyExists)
    if error.errno == errno.EINVAL and perf_link:
        helps = "the program's type does not fit this hook, or the kernel lacks perf links (they came with 5.15)"
        return refused(error, doing, helps=helps, as_=NotSupported)
    return refused(error, doing)
