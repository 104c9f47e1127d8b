"""Run-time statistics of programs, counted while somebody holds the handle."""

from __future__ import annotations

from ctypes import c_uint32
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Attribute, Command, bpf

__all__ = ["run_stats"]


class _EnableStats(Attribute):
    _fields_: ClassVar[Any] = [("type", c_uint32)]


def run_stats() -> Descriptor:
    """Have the kernel count run time and runs of every program until closed (CAP_SYS_ADMIN, kernel 5.8).

    Raises `KernelRefused`.
    """
    try:
        return Descriptor(bpf(Command.ENABLE_STATS, _EnableStats(type=0)))
    except OSError as error:
        raise refused(error, "counting run time failed", helps="it needs CAP_SYS_ADMIN and kernel 5.8") from error
