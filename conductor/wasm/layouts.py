"""Structures of the ABI `conductor_v1` that cross the boundary; the rest of it is in `abi.py`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LAYOUTS", "Field", "Layout"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a layout, in bytes from its start."""

    name: str
    offset: int
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A structure that crosses the boundary."""

    name: str
    size: int
    fields: tuple[Field, ...]


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "map_info",
        32,
        (
            Field("type", 0, 4, "a `MapKind`"),
            Field("key_size", 4, 4, "bytes of a key"),
            Field("value_size", 8, 4, "bytes of a value, of one CPU where per-CPU"),
            Field("stride", 12, 4, "bytes from value to value in a batch: per-CPU slots are rounded up to 8"),
            Field("max_entries", 16, 4, "entries that fit; bytes of a ring buffer"),
            Field("cpus", 20, 4, "slots of a value, 1 unless per-CPU"),
            Field("access", 24, 4, "0 read, 1 consume, 2 read and write"),
            Field("reserved", 28, 4, "0"),
        ),
    ),
    Layout(
        "record",
        8,
        (
            Field("length", 0, 4, "bytes of data that follow; bit 30: discarded, skip it; the next record lies at the "
                  "next multiple of 8"),
            Field("offset", 4, 4, "the kernel's, of no use to a guest"),
        ),
    ),
)  # fmt: skip
