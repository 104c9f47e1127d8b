"""Load the smallest program of a type: what probes try the kernel with."""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_uint32, c_uint64
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.kinds import ProgramKind
from conductor.bpf.syscall import Attribute, Command, bpf

__all__ = ["load_smallest", "may_load"]

_RETURN_ZERO = bytes.fromhex("b700000000000000") + bytes.fromhex("9500000000000000")
"""r0 = 0; exit."""


class _ProgramLoad(Attribute):
    """BPF_PROG_LOAD up to the BTF id of what is attached to."""

    _fields_: ClassVar[Any] = [
        ("type", c_uint32),
        ("instruction_count", c_uint32),
        ("instructions", c_uint64),
        ("license", c_uint64),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log", c_uint64),
        ("kernel_version", c_uint32),
        ("flags", c_uint32),
        ("name", c_char * 16),
        ("ifindex", c_uint32),
        ("expected_attach_type", c_uint32),
        ("btf_fd", c_uint32),
        ("func_info_size", c_uint32),
        ("func_info", c_uint64),
        ("func_info_count", c_uint32),
        ("line_info_size", c_uint32),
        ("line_info", c_uint64),
        ("line_info_count", c_uint32),
        ("attach_btf_id", c_uint32),
    ]


def load_smallest(kind: int, *, expected_attach_type: int = 0, attach_btf_id: int = 0) -> Descriptor:
    """Load a program that returns 0. Raises `OSError`."""
    code = ctypes.create_string_buffer(_RETURN_ZERO)
    licence = ctypes.create_string_buffer(b"GPL")
    request = _ProgramLoad(
        type=kind,
        instruction_count=len(_RETURN_ZERO) // 8,
        instructions=ctypes.addressof(code),
        license=ctypes.addressof(licence),
        name=b"probe",
        expected_attach_type=expected_attach_type,
        attach_btf_id=attach_btf_id,
    )
    return Descriptor(bpf(Command.PROG_LOAD, request))


def may_load() -> bool:
    """Whether the plainest tracing program loads, so that EPERM for another is policy and not lack of privilege."""
    try:
        load_smallest(ProgramKind.TRACEPOINT).close()
    except OSError:
        return False
    return True
