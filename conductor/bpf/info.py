"""What the kernel says of its programs, maps and links (BPF_OBJ_GET_INFO_BY_FD)."""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_char, c_uint8, c_uint32, c_uint64
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from conductor.bpf.ids import fill_info, link_by_id, link_ids, map_by_id, map_ids, program_by_id, program_ids
from conductor.bpf.kinds import map_type
from conductor.bpf.link_info import LinkInfo, link_info
from conductor.model.grants import MapInfo
from conductor.model.ids import MapId, ProgramId

__all__ = [
    "LinkInfo",
    "ProgramInfo",
    "link_by_id",
    "link_ids",
    "link_info",
    "map_by_id",
    "map_ids",
    "map_info",
    "possible_cpus",
    "program_by_id",
    "program_ids",
    "program_info",
]

_MOST_MAPS = 64
"""MAX_USED_MAPS of the kernel's verifier."""


class _ProgramInfo(Structure):
    _fields_: ClassVar[Any] = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", c_uint8 * 8),
        ("jited_len", c_uint32),
        ("xlated_len", c_uint32),
        ("jited", c_uint64),
        ("xlated", c_uint64),
        ("load_time", c_uint64),
        ("uid", c_uint32),
        ("map_count", c_uint32),
        ("map_ids", c_uint64),
        ("name", c_char * 16),
        ("ifindex", c_uint32),
        ("gpl_compatible", c_uint32, 1),
        ("netns_dev", c_uint64),
        ("netns_ino", c_uint64),
        ("ksym_count", c_uint32),
        ("func_len_count", c_uint32),
        ("ksyms", c_uint64),
        ("func_lens", c_uint64),
        ("btf_id", c_uint32),
        ("func_info_size", c_uint32),
        ("func_info", c_uint64),
        ("func_info_count", c_uint32),
        ("line_info_count", c_uint32),
        ("line_info", c_uint64),
        ("jited_line_info", c_uint64),
        ("jited_line_info_count", c_uint32),
        ("line_info_size", c_uint32),
        ("jited_line_info_size", c_uint32),
        ("tag_count", c_uint32),
        ("tags", c_uint64),
        ("run_time_ns", c_uint64),
        ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64),
        ("verified_insns", c_uint32),
        ("attach_btf_obj_id", c_uint32),
        ("attach_btf_id", c_uint32),
        ("pad", c_uint32),
    ]


class _MapInfo(Structure):
    _fields_: ClassVar[Any] = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("flags", c_uint32),
        ("name", c_char * 16),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramInfo:
    """One loaded program. Times in nanoseconds, `loaded_at_ns` on CLOCK_BOOTTIME; lengths and `memlock` in bytes.

    Without CAP_BPF the lengths are 0. `verified_insns` is 0 before kernel 5.16.
    """

    id: ProgramId
    type: int
    name: str
    """At most 15 characters."""
    tag: str
    map_ids: tuple[MapId, ...]
    loaded_at_ns: int
    run_time_ns: int
    run_cnt: int
    recursion_misses: int
    gpl_compatible: bool
    btf_id: int
    xlated_len: int
    jited_len: int
    verified_insns: int
    memlock: int
    attach_btf_id: int = 0

    @property
    def jited(self) -> bool:
        """Whether it runs as machine code."""
        return self.jited_len > 0


def program_info(fd: int) -> ProgramInfo:
    """Describe a program. Raises `KernelRefused`."""
    ids = (c_uint32 * _MOST_MAPS)()
    raw = _ProgramInfo(map_count=_MOST_MAPS, map_ids=ctypes.addressof(ids))
    fill_info(fd, raw, "a program")
    return ProgramInfo(
        id=ProgramId(raw.id),
        type=raw.type,
        name=raw.name.decode(errors="replace"),
        tag=bytes(raw.tag).hex(),
        map_ids=tuple(MapId(i) for i in ids[: min(raw.map_count, _MOST_MAPS)]),
        loaded_at_ns=raw.load_time,
        run_time_ns=raw.run_time_ns,
        run_cnt=raw.run_cnt,
        recursion_misses=raw.recursion_misses,
        gpl_compatible=bool(raw.gpl_compatible),
        btf_id=raw.btf_id,
        xlated_len=raw.xlated_len,
        jited_len=raw.jited_len,
        verified_insns=raw.verified_insns,
        memlock=_memlock(fd),
        attach_btf_id=raw.attach_btf_id,
    )


def map_info(fd: int) -> MapInfo:
    """Describe a map; works without capability. Raises `KernelRefused`."""
    raw = _MapInfo()
    fill_info(fd, raw, "a map")
    kind = map_type(raw.type)
    return MapInfo(
        id=MapId(raw.id),
        name=raw.name.decode(errors="replace"),
        type=kind,
        key_size=raw.key_size,
        value_size=raw.value_size,
        max_entries=raw.max_entries,
        flags=raw.flags,
        cpus=possible_cpus() if kind.is_percpu else 1,
    )


@cache
def possible_cpus() -> int:
    """Slots of a per-CPU value: one for each possible CPU, online or not."""
    listed = Path("/sys/devices/system/cpu/possible").read_text(encoding="utf-8").strip()
    # "0-7" or "0,2-3"; ids may have holes, the kernel still counts by num_possible_cpus().
    spans = [part.split("-") for part in listed.split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def _memlock(fd: int) -> int:
    """Bytes that the kernel accounts to the descriptor's object; 0 where /proc does not tell."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("memlock:")), 0)
