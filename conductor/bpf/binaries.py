"""Where user code lies: libraries by name, symbols as file offsets."""

from __future__ import annotations

import difflib
import mmap
import os
import struct
from pathlib import Path

import numpy as np

from conductor.bpf.elf import Elf, Section, string_at
from conductor.errors import NotFound, ObjectUnreadable

__all__ = ["resolve_binary", "symbol_offset"]

_CACHE = Path("/etc/ld.so.cache")
_MAGIC = b"glibc-ld.so.cache1.1"
_FUNCTIONS = (2, 10)
"""STT_FUNC and STT_GNU_IFUNC."""


def resolve_binary(name: str | Path, pid: int | None = None) -> Path:
    """Find a binary: a path as it is, a library's name among the files of `pid`, then in ld.so's cache.

    Raises `NotFound`.
    """
    text = str(name)
    if "/" in text:
        return Path(text)
    found = (_mapped(text, pid) if pid is not None else None) or _cached(text)
    if found is None:
        where = f"process {pid} and " if pid is not None else ""
        raise NotFound(f"{where}/etc/ld.so.cache know no library {text!r}; give its path")
    return found


def symbol_offset(path: Path, symbol: str) -> int:
    """File offset of a function of an ELF binary. Raises `NotFound` with near names, `ObjectUnreadable`."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ObjectUnreadable(f"{path} is empty")
            pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)  # ends with the last array over it
        return _offset(memoryview(pages), path, symbol)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise NotFound(f"there is no file {path}") from error
        raise ObjectUnreadable(f"{path} cannot be read: {error}") from error


def _offset(data: memoryview, path: Path, symbol: str) -> int:
    elf = Elf.parse(data, str(path))
    for table in elf.symbol_tables():
        address = _address(elf, table, symbol)
        if address is None:
            continue
        for segment in elf.segments:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        raise ObjectUnreadable(f"{path}: {symbol} lies in no segment of the file")
    close = difflib.get_close_matches(symbol, _functions(elf), n=3)
    near = f"; near: {', '.join(close)}" if close else "; is it stripped?"
    raise NotFound(f"{path} has no function {symbol}{near}")


def _address(elf: Elf, table: Section, symbol: str) -> int | None:
    strings = bytes(elf.strings_of(table))
    wanted, at = symbol.encode() + b"\0", 0
    offsets = []
    # A name may also be the tail of a longer one: linkers share them.
    while (at := strings.find(wanted, at)) >= 0:
        offsets.append(at)
        at += 1
    rows = elf.symbols(table)
    match = np.isin(rows["name"], offsets) & np.isin(rows["info"] & 15, _FUNCTIONS) & (rows["section"] != 0)
    found = rows[match]
    return int(found["value"][0]) if len(found) else None


def _functions(elf: Elf) -> list[str]:
    names = []
    for table in elf.symbol_tables():
        strings, rows = bytes(elf.strings_of(table)), elf.symbols(table)
        rows = rows[np.isin(rows["info"] & 15, _FUNCTIONS) & (rows["section"] != 0)][:20_000]
        names += [string_at(strings, int(offset)) for offset in rows["name"]]
    return names


def _is_library(file: str, name: str) -> bool:
    return file == name or file.startswith((f"{name}.so", f"{name}-")) or file == f"lib{name}.so"


def _mapped(name: str, pid: int | None) -> Path | None:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        path = line.split(maxsplit=5)[5:] if "/" in line else []
        if path and _is_library(path[0].rpartition("/")[2], name):
            return Path(f"/proc/{pid}/root{path[0]}")
    return None


def _cached(name: str) -> Path | None:
    """Look into ld.so.cache of glibc 2.2 and later: a header, entries of 24 bytes, strings."""
    try:
        data = _CACHE.read_bytes()
    except OSError:
        return None
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + 48:
        return None
    (count,) = struct.unpack_from("<I", data, start + 20)
    for index in range(min(count, (len(data) - start - 48) // 24)):
        key, value = struct.unpack_from("<II", data, start + 48 + index * 24 + 4)
        if _is_library(string_at(data, start + key), name):
            return Path(string_at(data, start + value))
    return None
