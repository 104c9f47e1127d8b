"""bpf(2) and its neighbours by number: one narrow attribute structure per command.

Everything here raises plain `OSError`; callers know what was tried and translate with `refusals.refused`.
A structure ends at the last field we set: the kernel takes shorter attributes as zero-filled (bpf(2)).
"""

from __future__ import annotations

import ctypes
import os
import platform
from ctypes import Structure, c_char, c_int, c_long, c_uint32, c_uint64
from enum import IntEnum
from typing import Any, ClassVar

__all__ = ["Attribute", "Command", "Elem", "IdNext", "Info", "MapBatch", "MapCreate", "ObjPath", "bpf", "libc"]

libc = ctypes.CDLL(None, use_errno=True)
_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_BPF = c_long(_NUMBERS.get(platform.machine(), 280))
_SYSCALL = libc.syscall
_SYSCALL.restype = c_long


class Command(IntEnum):
    """Commands of bpf(2) (enum bpf_cmd)."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_TEST_RUN = 10
    PROG_GET_NEXT_ID = 11
    MAP_GET_NEXT_ID = 12
    PROG_GET_FD_BY_ID = 13
    MAP_GET_FD_BY_ID = 14
    OBJ_GET_INFO_BY_FD = 15
    PROG_QUERY = 16
    RAW_TRACEPOINT_OPEN = 17
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_LOOKUP_BATCH = 24
    LINK_CREATE = 28
    LINK_UPDATE = 29
    LINK_GET_FD_BY_ID = 30
    LINK_GET_NEXT_ID = 31
    ENABLE_STATS = 32
    ITER_CREATE = 33
    LINK_DETACH = 34


class Attribute(Structure):
    """The part of union bpf_attr that one command reads."""

    _fields_: ClassVar[Any] = []


class MapCreate(Attribute):
    """BPF_MAP_CREATE."""

    _fields_: ClassVar[Any] = [
        ("map_type", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("map_flags", c_uint32),
        ("inner_map_fd", c_uint32),
        ("numa_node", c_uint32),
        ("map_name", c_char * 16),
    ]


class Elem(Attribute):
    """BPF_MAP_*_ELEM and BPF_MAP_GET_NEXT_KEY (`value` is `next_key` there)."""

    _fields_: ClassVar[Any] = [
        ("map_fd", c_uint32),
        ("pad", c_uint32),
        ("key", c_uint64),
        ("value", c_uint64),
        ("flags", c_uint64),
    ]


class MapBatch(Attribute):
    """BPF_MAP_*_BATCH; `count` comes back."""

    _fields_: ClassVar[Any] = [
        ("in_batch", c_uint64),
        ("out_batch", c_uint64),
        ("keys", c_uint64),
        ("values", c_uint64),
        ("count", c_uint32),
        ("map_fd", c_uint32),
        ("elem_flags", c_uint64),
        ("flags", c_uint64),
    ]


class ObjPath(Attribute):
    """BPF_OBJ_PIN and BPF_OBJ_GET."""

    _fields_: ClassVar[Any] = [("pathname", c_uint64), ("bpf_fd", c_uint32), ("file_flags", c_uint32)]


class IdNext(Attribute):
    """BPF_*_GET_NEXT_ID and BPF_*_GET_FD_BY_ID (`id` is start or wanted)."""

    _fields_: ClassVar[Any] = [("id", c_uint32), ("next_id", c_uint32), ("open_flags", c_uint32)]


class Info(Attribute):
    """BPF_OBJ_GET_INFO_BY_FD; `info_len` comes back."""

    _fields_: ClassVar[Any] = [("bpf_fd", c_uint32), ("info_len", c_uint32), ("info", c_uint64)]


def bpf(command: Command, attribute: Structure) -> int:
    """Make the call. Raises `OSError` with the kernel's number; other Python threads run meanwhile."""
    answer: int = _SYSCALL(_BPF, c_int(command), ctypes.byref(attribute), c_uint32(ctypes.sizeof(attribute)))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, _words(number))
    return answer


def _words(number: int) -> str:
    """Describe an error number; 524 (ENOTSUPP) is the kernel's own and unknown to the C library."""
    return "Operation not supported by this object" if number == 524 else os.strerror(number)
