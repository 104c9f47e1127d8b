"""What an object file declares, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from conductor.model.grants import MapType

__all__ = ["GlobalDecl", "MapDecl", "ProgramDecl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDecl:
    """One program of an object. `type` and `expected_attach_type` are the kernel's numbers (0: section unknown)."""

    name: str
    section: str
    type: int
    expected_attach_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDecl:
    """One map of an object; `internal` maps hold global variables."""

    name: str
    type: MapType
    kind: int
    """The kernel's number of the type."""
    key_size: int
    value_size: int
    max_entries: int
    internal: bool
    pinned_by_name: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalDecl:
    """One global variable: `size` bytes in `section` (.rodata, .data, .bss or a section that begins so)."""

    name: str
    size: int
    section: str
    offset: int
