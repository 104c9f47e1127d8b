"""Links without a perf event: raw and BTF tracepoints, fentry, fexit, LSM, iterators."""

from __future__ import annotations

import ctypes
import errno
from ctypes import c_uint32, c_uint64
from pathlib import Path
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.kinds import AttachType
from conductor.bpf.link_create import attach_refused, create_link
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Attribute, Command, bpf
from conductor.bpf.text import c_text
from conductor.bpf.tracefs import near, tracefs
from conductor.errors import ConductorError, NotFound

__all__ = ["btf_tracepoint", "iterator", "raw_tracepoint", "read_iterator", "tracing"]


class _RawTracepointOpen(Attribute):
    _fields_: ClassVar[Any] = [("name", c_uint64), ("prog_fd", c_uint32)]


class _IterCreate(Attribute):
    _fields_: ClassVar[Any] = [("link_fd", c_uint32), ("flags", c_uint32)]


def raw_tracepoint(prog_fd: int, name: str) -> Descriptor:
    """Attach to a raw tracepoint by its bare name (kernel 4.17). Raises `NotFound` with near names, `KernelRefused`."""
    text = c_text(name, "tracepoint")
    doing = f"attaching to raw tracepoint {name} failed"
    try:
        return Descriptor(
            bpf(Command.RAW_TRACEPOINT_OPEN, _RawTracepointOpen(name=ctypes.addressof(text), prog_fd=prog_fd)),
        )
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise NotFound(f"this kernel has no tracepoint {name}{near(name, _known())}") from error
        raise attach_refused(error, doing, needs="the program is not of type raw_tracepoint") from error


def btf_tracepoint(prog_fd: int) -> Descriptor:
    """Attach to the tracepoint that the program was loaded for (`tp_btf/…`, kernel 5.5). Raises as `tracing`."""
    return tracing(prog_fd)


def tracing(prog_fd: int) -> Descriptor:
    """Attach fentry, fexit, LSM or BTF tracepoint programs to what they were loaded for (kernel 5.5, LSM 5.7).

    Raises `AlreadyExists`, `NotSupported`, `KernelRefused`.
    """
    try:
        return Descriptor(bpf(Command.RAW_TRACEPOINT_OPEN, _RawTracepointOpen(prog_fd=prog_fd)))
    except OSError as error:
        if error.errno == errno.EBUSY:
            helps = "another program holds this function in a way that excludes this"
            raise refused(error, "attaching a tracing program failed", helps=helps) from error
        needs = "the program was not loaded for a function, hook or tracepoint"
        raise attach_refused(error, "attaching a tracing program failed", needs=needs) from error


class _IterInfo(ctypes.Structure):
    """union bpf_iter_link_info: a map to walk."""

    _fields_: ClassVar[Any] = [("map_fd", c_uint32), ("pad", c_uint32 * 3)]


def iterator(prog_fd: int, map_fd: int | None = None) -> Descriptor:
    """Make an iterator's link (kernel 5.8); pinned, its file is read by permission alone. Raises as `tracing`."""
    walked = _IterInfo(map_fd=map_fd or 0)
    at, size = (0, 0) if map_fd is None else (ctypes.addressof(walked), 4)
    try:
        return create_link(prog_fd, 0, AttachType.TRACE_ITER, a=at, b=size)
    except OSError as error:
        raise attach_refused(error, "making an iterator failed", needs="the program is no iterator") from error


def read_iterator(link_fd: int) -> Descriptor:
    """Open one pass over an iterator: read it to the end. Raises `KernelRefused`."""
    try:
        return Descriptor(bpf(Command.ITER_CREATE, _IterCreate(link_fd=link_fd)))
    except OSError as error:
        raise refused(error, "opening an iterator failed", helps="the link is no iterator's") from error


def _known() -> list[str]:
    try:
        with tracefs() as root:
            return [line.partition(":")[2] for line in Path(root / "available_events").read_text().splitlines()]
    except (OSError, ConductorError):
        return []
