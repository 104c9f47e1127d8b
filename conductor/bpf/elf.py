"""ELF files, read as far as BPF objects and uprobes need: sections, segments, symbols. 64-bit, little-endian.

Every offset is checked before use: object files come from strangers, and libbpf trusts more than it should.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conductor.errors import ObjectUnreadable

__all__ = ["EM_BPF", "Elf", "Section", "Segment"]

EM_BPF = 247
SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 2, 3, 8, 9, 11
_HEADER = struct.Struct("<16x HHI QQQ I HHHHHH")
_SECTION = np.dtype(
    {
        "names": ["name", "type", "flags", "addr", "offset", "size", "link", "info", "align", "entsize"],
        "formats": ["<u4", "<u4", "<u8", "<u8", "<u8", "<u8", "<u4", "<u4", "<u8", "<u8"],
    },
)
_SEGMENT = np.dtype(
    {
        "names": ["type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align"],
        "formats": ["<u4", "<u4", "<u8", "<u8", "<u8", "<u8", "<u8", "<u8"],
    },
)
_SYMBOL = np.dtype(
    {
        "names": ["name", "info", "other", "section", "value", "size"],
        "formats": ["<u4", "u1", "u1", "<u2", "<u8", "<u8"],
    },
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section header, its name resolved."""

    index: int
    name: str
    type: int
    offset: int
    size: int
    link: int
    info: int
    entsize: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD segment."""

    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Elf:
    """A parsed ELF file over a buffer that the caller keeps."""

    data: memoryview
    machine: int
    kind: int
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, data: bytes | memoryview, name: str = "object") -> Elf:
        """Read the headers. Raises `ObjectUnreadable` with what is wrong."""
        view = memoryview(data)
        if len(view) == 0:
            raise ObjectUnreadable(f"{name} is empty")
        if bytes(view[:4]) != b"\x7fELF":
            raise ObjectUnreadable(f"{name} is no ELF file")
        if len(view) < 64 or view[4] != 2 or view[5] != 1:
            raise ObjectUnreadable(f"{name} is no 64-bit little-endian ELF file, or is cut short")
        kind, machine, _, _, phoff, shoff, _, _, *counts = _HEADER.unpack_from(view)
        phsize, phnum, shsize, shnum, names = counts
        rows = _section_rows(view, shoff, shsize, shnum, name)
        segments = _segments(view, phoff, phsize, phnum, name)
        return cls(view, machine, kind, _named(view, rows, names, name), segments)

    def section(self, name: str) -> Section | None:
        """Return the first section of that name."""
        return next((s for s in self.sections if s.name == name), None)

    def content(self, section: Section) -> memoryview:
        """Bytes of a section; empty for one without bytes in the file."""
        return (
            self.data[:0] if section.type == SHT_NOBITS else self.data[section.offset : section.offset + section.size]
        )

    def symbols(self, section: Section) -> NDArray[np.void]:
        """Symbols of a table as rows of (name, info, other, section, value, size)."""
        return np.frombuffer(self.content(section), _SYMBOL, count=section.size // _SYMBOL.itemsize)

    def symbol_tables(self) -> tuple[Section, ...]:
        """`.symtab` and `.dynsym`, those that exist."""
        return tuple(s for s in self.sections if s.type in (SHT_SYMTAB, SHT_DYNSYM))

    def strings_of(self, section: Section) -> memoryview:
        """String table that a symbol table links to. Raises `ObjectUnreadable`."""
        if not 0 < section.link < len(self.sections) or self.sections[section.link].type != SHT_STRTAB:
            raise ObjectUnreadable(f"symbol table {section.name} names no string table")
        return self.content(self.sections[section.link])


def _segments(view: memoryview, offset: int, size: int, count: int, name: str) -> tuple[Segment, ...]:
    if count == 0:
        return ()
    if size != _SEGMENT.itemsize or offset + count * size > len(view):
        raise ObjectUnreadable(f"{name}: program headers lie outside the file")
    rows = np.frombuffer(view[offset : offset + count * size], _SEGMENT)
    return tuple(Segment(int(r["offset"]), int(r["vaddr"]), int(r["filesz"])) for r in rows if r["type"] == 1)


def _section_rows(view: memoryview, offset: int, size: int, count: int, name: str) -> NDArray[np.void]:
    if offset == 0 or count == 0:
        return np.empty(0, _SECTION)
    if size != _SECTION.itemsize or offset + count * size > len(view):
        raise ObjectUnreadable(f"{name}: section headers lie outside the file: it is cut short or damaged")
    rows = np.frombuffer(view[offset : offset + count * size], _SECTION)
    for row in rows:
        if row["type"] not in (0, SHT_NOBITS) and int(row["offset"]) + int(row["size"]) > len(view):
            raise ObjectUnreadable(f"{name}: a section lies outside the file: it is cut short or damaged")
    return rows


def _named(view: memoryview, rows: NDArray[np.void], names: int, name: str) -> tuple[Section, ...]:
    if len(rows) == 0:
        return ()
    if names >= len(rows) or rows[names]["type"] != SHT_STRTAB:
        raise ObjectUnreadable(f"{name}: there is no table of section names")
    strings = bytes(view[int(rows[names]["offset"]) : int(rows[names]["offset"]) + int(rows[names]["size"])])
    return tuple(
        Section(
            index,
            string_at(strings, int(row["name"])),
            *(int(row[key]) for key in ("type", "offset", "size", "link", "info", "entsize")),
        )
        for index, row in enumerate(rows)
    )


def string_at(strings: bytes | memoryview, offset: int) -> str:
    """NUL-terminated string at an offset; empty outside."""
    table = bytes(strings) if isinstance(strings, memoryview) else strings
    end = table.find(b"\0", offset)
    return table[offset:end].decode(errors="replace") if 0 <= offset < len(table) and end >= 0 else ""
