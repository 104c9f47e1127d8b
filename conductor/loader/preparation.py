"""An opened object, made ready for the kernel as a Load wishes; nothing of it is in the kernel yet."""

from __future__ import annotations

from collections.abc import Mapping

from conductor.bpf.declarations import MapDecl
from conductor.bpf.info import map_info
from conductor.bpf.objects import BpfObject
from conductor.errors import InvalidSpec
from conductor.loader.kinds import check_lsm, kind_of, settled_type
from conductor.model.kernel import KernelFunctionSpec, KernelType
from conductor.model.names import near
from conductor.ports import KernelLoad

__all__ = ["WRITABLE_MAPS", "check_layout", "prepared", "writable_maps"]

WRITABLE_MAPS = "ebpfconductor.io/writable-maps"
"""Load metadata: names of maps, with commas between, whose pins the group may write."""


def prepared(obj: BpfObject, wish: KernelLoad) -> dict[str, KernelType]:
    """Select programs, fix types, targets and globals; answer each program's type.

    Raises `InvalidSpec`, `NotFound` (a function or hook), `NotSupported`.
    """
    obj.select([function.name for function in wish.programs])
    declared = {program.name: program for program in obj.programs}
    types = {}
    for function in wish.programs:
        types[function.name] = settled_type(declared[function.name], function.type)
        _aim(obj, function, known=declared[function.name].type != 0)
    for name, value in wish.global_data.items():
        obj.set_global(name, value)
    return types


def _aim(obj: BpfObject, function: KernelFunctionSpec, *, known: bool) -> None:
    if not known:
        kind = kind_of(function.type)
        obj.set_program_type(function.name, kind.program, kind.attach)
    if function.type is KernelType.LSM:
        check_lsm()
    if function.attach_to:
        obj.set_attach_target(function.name, function.attach_to)


def check_layout(declared: MapDecl, fd: int, field: str) -> None:
    """Compare an existing map with the one that an object declares. Raises `InvalidSpec` at `field`."""
    there = map_info(fd)
    ours = (declared.type, declared.key_size, declared.value_size)
    theirs = (there.type, there.key_size, there.value_size)
    sized = declared.max_entries in (0, there.max_entries)
    if ours != theirs or not sized:
        raise InvalidSpec(
            field,
            f"map {declared.name} is {_layout(*theirs, there.max_entries)} there,"
            f" the object wants {_layout(*ours, declared.max_entries)}",
        )


def _layout(type_: str, key: int, value: int, entries: int) -> str:
    return f"{type_} of {entries} entries, {key}-byte keys, {value}-byte values"


def writable_maps(metadata: Mapping[str, str], obj: BpfObject) -> frozenset[str]:
    """Read which maps the group may write. Raises `InvalidSpec` for one that the object does not have."""
    names = frozenset(filter(None, (name.strip() for name in metadata.get(WRITABLE_MAPS, "").split(","))))
    there = sorted(m.name for m in obj.maps if not m.internal)
    for name in sorted(names.difference(there)):
        raise InvalidSpec(f"metadata.{WRITABLE_MAPS}", f"no map {name}{near(name, there)}")
    return names
