"""Make maps without an object file: for probes, benches and tests."""

from __future__ import annotations

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Command, MapCreate, bpf
from conductor.errors import KernelRefused

__all__ = ["create_map"]


def create_map(
    kind: int,
    *,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: int = 0,
    name: str = "",
) -> Descriptor:
    """Make a map of a kernel type (`MapKind`). Raises `KernelRefused` with what helps."""
    request = MapCreate(
        map_type=kind,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        map_flags=flags,
        map_name=name.encode()[:15],
    )
    try:
        return Descriptor(bpf(Command.MAP_CREATE, request))
    except OSError as error:
        raise refused(error, f"making map {name or kind} failed", as_=KernelRefused) from error
