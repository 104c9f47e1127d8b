"""Digests of map layouts: two objects' maps may hold the same bytes exactly when their digests are equal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from conductor.bpf.btf.layout import Layout, MapLayout, map_layouts
from conductor.bpf.kinds import MapKind

__all__ = ["layout_digests"]

_OF_ONE_LOAD = (MapKind.PROG_ARRAY, MapKind.ARRAY_OF_MAPS, MapKind.HASH_OF_MAPS, MapKind.STRUCT_OPS)
"""What they hold are programs and maps of their own Load: another one's would mix two versions."""


def layout_digests(object_: bytes, name: str = "object") -> Mapping[str, str]:
    """Digest each declared map's layout; empty for a map that belongs to one Load alone. Raises `ObjectUnreadable`.

    Type, sizes, capacity, flags and every field's place, kind and name count; names of types do not.
    """
    return {
        map_name: "" if layout.type in _OF_ONE_LOAD else _digest(layout)
        for map_name, layout in map_layouts(object_, name).items()
    }


def _digest(layout: MapLayout) -> str:
    told = (
        layout.type,
        layout.key_size,
        layout.value_size,
        layout.max_entries,
        layout.flags,
        _told(layout.key),
        _told(layout.value),
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _told(layout: Layout | None) -> tuple[object, ...]:
    if layout is None:
        return ()
    fields = tuple((f.name, f.offset, f.bits, f.first_bit, _told(f.layout)) for f in layout.fields)
    return (layout.kind, layout.size, layout.count, _told(layout.element), fields)
