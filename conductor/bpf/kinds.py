"""Numbers of the kernel's types, links and hooks, and their names (include/uapi/linux/bpf.h)."""

from __future__ import annotations

from enum import IntEnum

from conductor.model.grants import MapType

__all__ = [
    "AttachType",
    "LinkKind",
    "MapKind",
    "ProgramKind",
    "link_type_name",
    "map_type",
    "map_type_name",
    "program_type_name",
]


class MapKind(IntEnum):
    """Map types (enum bpf_map_type)."""

    UNSPEC = 0
    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    SOCKMAP = 15
    CPUMAP = 16
    XSKMAP = 17
    SOCKHASH = 18
    CGROUP_STORAGE = 19
    REUSEPORT_SOCKARRAY = 20
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    SK_STORAGE = 24
    DEVMAP_HASH = 25
    STRUCT_OPS = 26
    RINGBUF = 27
    INODE_STORAGE = 28
    TASK_STORAGE = 29
    BLOOM_FILTER = 30
    USER_RINGBUF = 31
    CGRP_STORAGE = 32
    ARENA = 33


class ProgramKind(IntEnum):
    """Program types (enum bpf_prog_type)."""

    UNSPEC = 0
    SOCKET_FILTER = 1
    KPROBE = 2
    SCHED_CLS = 3
    SCHED_ACT = 4
    TRACEPOINT = 5
    XDP = 6
    PERF_EVENT = 7
    CGROUP_SKB = 8
    CGROUP_SOCK = 9
    LWT_IN = 10
    LWT_OUT = 11
    LWT_XMIT = 12
    SOCK_OPS = 13
    SK_SKB = 14
    CGROUP_DEVICE = 15
    SK_MSG = 16
    RAW_TRACEPOINT = 17
    CGROUP_SOCK_ADDR = 18
    LWT_SEG6LOCAL = 19
    LIRC_MODE2 = 20
    SK_REUSEPORT = 21
    FLOW_DISSECTOR = 22
    CGROUP_SYSCTL = 23
    RAW_TRACEPOINT_WRITABLE = 24
    CGROUP_SOCKOPT = 25
    TRACING = 26
    STRUCT_OPS = 27
    EXT = 28
    LSM = 29
    SK_LOOKUP = 30
    SYSCALL = 31
    NETFILTER = 32


class LinkKind(IntEnum):
    """Link types (enum bpf_link_type)."""

    UNSPEC = 0
    RAW_TRACEPOINT = 1
    TRACING = 2
    CGROUP = 3
    ITER = 4
    NETNS = 5
    XDP = 6
    PERF_EVENT = 7
    KPROBE_MULTI = 8
    STRUCT_OPS = 9
    NETFILTER = 10
    TCX = 11
    UPROBE_MULTI = 12
    NETKIT = 13
    SOCKMAP = 14


class AttachType(IntEnum):
    """Hooks that we name (enum bpf_attach_type); links take any number."""

    CGROUP_INET_INGRESS = 0
    CGROUP_INET_EGRESS = 1
    CGROUP_INET_SOCK_CREATE = 2
    CGROUP_DEVICE = 6
    FLOW_DISSECTOR = 17
    TRACE_RAW_TP = 23
    TRACE_FENTRY = 24
    TRACE_FEXIT = 25
    LSM_MAC = 27
    TRACE_ITER = 28
    SK_LOOKUP = 36
    XDP = 37
    PERF_EVENT = 41
    TCX_INGRESS = 46
    TCX_EGRESS = 47


_PROGRAMS_SEE = {kind.value: kind for kind in MapType}


def _name(kinds: type[IntEnum], number: int) -> str:
    try:
        return kinds(number).name.lower()
    except ValueError:
        return f"type_{number}"


def map_type_name(number: int) -> str:
    """Name of a map type; `type_N` for one newer than this file."""
    return _name(MapKind, number)


def program_type_name(number: int) -> str:
    """Name of a program type; `type_N` for one newer than this file."""
    return _name(ProgramKind, number)


def link_type_name(number: int) -> str:
    """Name of a link type; `type_N` for one newer than this file."""
    return _name(LinkKind, number)


def map_type(number: int) -> MapType:
    """Type as programs see it; `OTHER` for those that no program reads."""
    name = map_type_name(number)
    return _PROGRAMS_SEE.get(name, MapType.OTHER)
