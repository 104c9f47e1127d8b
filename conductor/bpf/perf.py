"""perf_event_open(2): the events that tracepoint, probe and sampling programs hang on."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
from ctypes import Structure, c_int, c_long, c_uint32, c_uint64
from pathlib import Path
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.syscall import libc

__all__ = ["PerfAttribute", "enable", "open_event", "pmu_type"]

_NUMBER = c_long(298 if platform.machine() == "x86_64" else 241)
_CLOEXEC = 8
_ENABLE = 0x2400
"""PERF_EVENT_IOC_ENABLE."""
_DEVICES = Path("/sys/bus/event_source/devices")


class PerfAttribute(Structure):
    """struct perf_event_attr up to PERF_ATTR_SIZE_VER1 (72 bytes)."""

    _fields_: ClassVar[Any] = [
        ("type", c_uint32),
        ("size", c_uint32),
        ("config", c_uint64),
        ("sample", c_uint64),
        ("sample_type", c_uint64),
        ("read_format", c_uint64),
        ("flags", c_uint64),
        ("wakeup", c_uint32),
        ("bp_type", c_uint32),
        ("config1", c_uint64),
        ("config2", c_uint64),
    ]


def open_event(attribute: PerfAttribute, *, pid: int = -1, cpu: int = -1) -> Descriptor:
    """Open an event for a process or a CPU. Raises `OSError`."""
    attribute.size = ctypes.sizeof(attribute)
    fd = libc.syscall(_NUMBER, ctypes.byref(attribute), c_int(pid), c_int(cpu), c_int(-1), c_long(_CLOEXEC))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return Descriptor(fd)


def enable(event: Descriptor) -> None:
    """Let the event count. Raises `OSError`."""
    fcntl.ioctl(event.fileno(), _ENABLE, 0)


def pmu_type(name: str) -> int | None:
    """Number of a dynamic event source (uprobe, kprobe); None where this kernel has none."""
    try:
        return int((_DEVICES / name / "type").read_text(encoding="utf-8"))
    except OSError:
        return None
