"""What the kernel says of a link; each kind tells its own details (struct bpf_link_info)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from ctypes import Structure, c_uint8, c_uint32, c_uint64
from dataclasses import dataclass, field
from typing import Any, ClassVar

from conductor.bpf.ids import fill_info
from conductor.bpf.kinds import LinkKind, link_type_name
from conductor.model.ids import ProgramId

__all__ = ["LinkInfo", "link_info"]

_PERF_KINDS = ("unknown", "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint", "event")
_NUMBERS: dict[int, tuple[str, tuple[str, ...]]] = {
    LinkKind.TRACING: ("<III", ("attach_type", "target_object", "target_type")),
    LinkKind.CGROUP: ("<QI", ("cgroup_id", "attach_type")),
    LinkKind.NETNS: ("<II", ("netns", "attach_type")),
    LinkKind.XDP: ("<I", ("ifindex",)),
    LinkKind.TCX: ("<II", ("ifindex", "attach_type")),
    LinkKind.NETKIT: ("<II", ("ifindex", "attach_type")),
}
_ROOM = 256


class _LinkInfo(Structure):
    _fields_: ClassVar[Any] = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("prog_id", c_uint32),
        ("pad", c_uint32),
        ("detail", c_uint8 * 64),
    ]


class _Name(Structure):
    """Where raw tracepoints and iterators tell a name; perf links do so 8 bytes further on."""

    _fields_: ClassVar[Any] = [("text", c_uint64), ("room", c_uint32), ("number", c_uint32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """One link. `detail` by type: ifindex, attach_type, name, cgroup_id, netns; perf links tell from kernel 6.6 on."""

    id: int
    """The kernel's id, not a daemon's."""
    prog_id: ProgramId
    type: str
    detail: Mapping[str, int | str] = field(default_factory=dict)


def link_info(fd: int) -> LinkInfo:
    """Describe a link (kernel 5.8). Raises `KernelRefused`."""
    raw = _LinkInfo()
    fill_info(fd, raw, "a link")
    if raw.type in _NUMBERS:
        form, names = _NUMBERS[raw.type]
        detail: Mapping[str, int | str] = dict(zip(names, struct.unpack_from(form, bytes(raw.detail)), strict=True))
    elif raw.type in (LinkKind.RAW_TRACEPOINT, LinkKind.ITER):
        detail = {"name": _named(fd, 0)[0]}
    elif raw.type == LinkKind.PERF_EVENT:
        detail = _perf(fd, struct.unpack_from("<I", bytes(raw.detail))[0])
    else:
        detail = {}
    return LinkInfo(id=raw.id, prog_id=ProgramId(raw.prog_id), type=link_type_name(raw.type), detail=detail)


def _perf(fd: int, number: int) -> Mapping[str, int | str]:
    kind = _PERF_KINDS[number] if number < len(_PERF_KINDS) else _PERF_KINDS[0]
    if kind in ("unknown", "event"):
        return {"kind": kind}
    name, offset = _named(fd, 8)
    return {"kind": kind, "name": name} if kind == "tracepoint" else {"kind": kind, "name": name, "offset": offset}


def _named(fd: int, at: int) -> tuple[str, int]:
    """Ask again with room for the name, `at` bytes into the detail; answers it and the number behind it."""
    text = ctypes.create_string_buffer(_ROOM)
    raw = _LinkInfo()
    name = _Name.from_buffer(raw.detail, at)
    name.text, name.room = ctypes.addressof(text), _ROOM
    fill_info(fd, raw, "a link")
    return text.value.decode(errors="replace"), int(name.number)
