"""Links through perf events (kernel 5.15): tracepoints, kprobes, uprobes, sampling."""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path

from conductor.bpf import perf
from conductor.bpf.binaries import resolve_binary, symbol_offset
from conductor.bpf.descriptor import Descriptor
from conductor.bpf.kinds import AttachType
from conductor.bpf.link_create import attach_refused, create_link
from conductor.bpf.refusals import refused
from conductor.bpf.text import c_text
from conductor.bpf.tracefs import event_id
from conductor.errors import NotFound, NotSupported

__all__ = ["kprobe", "perf_event", "tracepoint", "uprobe"]

_TRACEPOINT = 2
"""PERF_TYPE_TRACEPOINT."""
_FREQUENCY = 1 << 10
"""perf_event_attr.freq: `sample` is per second."""
_NEEDS = "the program's type does not fit this hook, or the kernel lacks perf links (they came with 5.15)"


def tracepoint(prog_fd: int, name: str, *, cookie: int = 0) -> Descriptor:
    """Attach to the tracepoint `group/name`.

    Raises `NotFound` with near names, `AlreadyExists` when this program is attached there, `NotSupported`,
    `KernelRefused`.
    """
    attribute = perf.PerfAttribute(type=_TRACEPOINT, config=event_id(name))
    try:
        return _linked(prog_fd, attribute, cookie=cookie, cpu=0)
    except OSError as error:
        raise attach_refused(error, f"attaching to tracepoint {name} failed", needs=_NEEDS) from error


def kprobe(
    prog_fd: int,
    function: str,
    offset: int = 0,
    retprobe: bool = False,
    *,
    cookie: int = 0,
) -> Descriptor:
    """Attach to a kernel function's entry, an offset into it, or its return. Raises `NotFound`, `NotSupported`."""
    doing = f"attaching to kernel function {function} failed"
    kind = perf.pmu_type("kprobe")
    if kind is None:
        raise NotSupported(f"{doing}: this kernel has no kprobes; they need CONFIG_KPROBE_EVENTS and kernel 4.17")
    name = c_text(function, "function")
    attribute = perf.PerfAttribute(type=kind, config=int(retprobe), config1=ctypes.addressof(name), config2=offset)
    try:
        return _linked(prog_fd, attribute, cookie=cookie, cpu=0)
    except OSError as error:
        missing = "the kernel has no such function, or it was inlined: look in /proc/kallsyms"
        raise attach_refused(error, doing, needs=_NEEDS, missing=missing) from error


def uprobe(
    prog_fd: int,
    binary: str | Path,
    *,
    symbol: str = "",
    offset: int = 0,
    pid: int | None = None,
    retprobe: bool = False,
    cookie: int = 0,
) -> Descriptor:
    """Attach to user code: `offset` bytes into `symbol`, or at file offset `offset` without one.

    `binary` is a path or a library's name (libc, libssl.so.3), looked for among the files of `pid` first. Without
    `pid` every process is meant. Raises `NotFound` with near names, `ObjectUnreadable`, `NotSupported`,
    `KernelRefused`.
    """
    path = resolve_binary(binary, pid)
    doing = f"attaching to {symbol or hex(offset)} of {path} failed"
    kind = perf.pmu_type("uprobe")
    if kind is None:
        raise NotSupported(f"{doing}: this kernel has no uprobes; they need CONFIG_UPROBE_EVENTS and kernel 4.17")
    at = symbol_offset(path, symbol) + offset if symbol else offset
    name = c_text(path, "target")
    attribute = perf.PerfAttribute(type=kind, config=int(retprobe), config1=ctypes.addressof(name), config2=at)
    try:
        return _linked(prog_fd, attribute, cookie=cookie, pid=-1 if pid is None else pid, cpu=0 if pid is None else -1)
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise refused(error, doing, helps=f"there is no process {pid}", as_=NotFound) from error
        needs = f"offset {at:#x} is no instruction that can be probed, or {_NEEDS}"
        raise attach_refused(error, doing, needs=needs, missing="there is no such file") from error


def perf_event(
    prog_fd: int,
    *,
    type_: int,
    config: int,
    cpu: int = -1,
    pid: int = -1,
    period: int = 0,
    frequency: int = 0,
) -> Descriptor:
    """Run a program at every overflow of one event: every `period` counts, or `frequency` times a second.

    `type_` and `config` as of perf_event_open(2); either a CPU or a process. Raises `NotFound`, `NotSupported`,
    `KernelRefused`.
    """
    attribute = perf.PerfAttribute(
        type=type_,
        config=config,
        sample=frequency or period,
        flags=_FREQUENCY if frequency else 0,
    )
    try:
        return _linked(prog_fd, attribute, pid=pid, cpu=cpu)
    except OSError as error:
        missing = "this machine has no such event source"
        raise attach_refused(
            error, f"attaching to event {type_}:{config:#x} failed", needs=_NEEDS, missing=missing
        ) from error


def _linked(
    prog_fd: int,
    attribute: perf.PerfAttribute,
    *,
    pid: int = -1,
    cpu: int = -1,
    cookie: int = 0,
) -> Descriptor:
    """Open the event, make its link, which holds it from then on, and start it. Raises `OSError`."""
    with perf.open_event(attribute, pid=pid, cpu=cpu) as event:
        link = create_link(prog_fd, event.fileno(), AttachType.PERF_EVENT, a=cookie)
        try:
            perf.enable(event)
        except OSError:
            link.close()
            raise
        return link
