"""Object files before libbpf sees them: read within bounds, looked over, their global variables listed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from conductor.bpf.declarations import GlobalDecl
from conductor.bpf.elf import EM_BPF, SHT_SYMTAB, Elf, string_at
from conductor.errors import ObjectUnreadable

__all__ = ["LARGEST", "checked_object", "globals_of", "read_object"]

LARGEST = 64 << 20
"""Bytes of an object file; the largest seen are under 1 MiB."""
_RELOCATABLE = 1
_VARIABLE = 1
"""STT_OBJECT."""
_SECTIONS = (".rodata", ".data", ".bss")


def read_object(path: Path) -> bytes:
    """Read an object file, bounded. Raises `ObjectUnreadable`."""
    try:
        # Non-blocking, so that a FIFO without a writer is refused below rather than waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ObjectUnreadable(f"{path} is no regular file")
            if status.st_size > LARGEST:
                raise ObjectUnreadable(f"{path} has {status.st_size} bytes; an object may have {LARGEST}")
            return file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        word = error.strerror if isinstance(error, OSError) else str(error)
        raise ObjectUnreadable(f"{path} cannot be read: {word}") from error


def checked_object(data: bytes, name: str) -> Elf:
    """Look a BPF object over. Raises `ObjectUnreadable`."""
    elf = Elf.parse(data, name)
    if elf.machine != EM_BPF:
        raise ObjectUnreadable(f"{name} is an ELF file for another machine; compile it with clang -target bpf")
    if elf.kind != _RELOCATABLE or not elf.sections:
        raise ObjectUnreadable(f"{name} is no relocatable object: give the output of clang -c")
    return elf


def globals_of(elf: Elf) -> tuple[GlobalDecl, ...]:
    """Variables of the data sections by symbol, in the order of the file."""
    found = []
    for table in elf.symbol_tables():
        if table.type != SHT_SYMTAB:
            continue
        strings = bytes(elf.strings_of(table))
        for row in elf.symbols(table):
            section = elf.sections[row["section"]] if row["section"] < len(elf.sections) else None
            if section is None or row["info"] & 15 != _VARIABLE or not section.name.startswith(_SECTIONS):
                continue
            name = string_at(strings, int(row["name"]))
            found.append(GlobalDecl(name=name, size=int(row["size"]), section=section.name, offset=int(row["value"])))
    # A dot marks what the compiler named: statics inside functions, format strings.
    return tuple(g for g in found if g.name and "." not in g.name)
