"""What a module is made of, found before anything compiles it: its bounds, imports, exports and needs.

A module within these bounds may still be slow to compile; that is what the child's limits are for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conductor.errors import ModuleUnusable, ObjectUnreadable
from conductor.wasm.abi import EXPORTS, IMPORTS, MODULE, NEEDS_SECTION, Type
from conductor.wasm.needs import Needs, parse_needs
from conductor.wasm.sections import HEADER, Reader, is_component, is_wasm, sections
from conductor.wasm.settings import MODULE_BYTES

__all__ = ["Anatomy", "examine"]

FUNCTIONS: Final = 100_000
BODY_BYTES: Final = 1 << 20
LOCALS: Final = 10_000
TYPES: Final = 10_000
EXTERNALS: Final = 1_000
"""Imports, and exports."""
WASI: Final = "wasi_snapshot_preview1"
_CORE: Final = (
    "build a core module: C with -mexec-model=reactor, Rust for wasm32-unknown-unknown as a cdylib, Go with "
    "-buildmode=c-shared, AssemblyScript (conductor wasm new, then conductor wasm build)"
)
_FUNCTION, _MEMORY = 0, 2
_ENTRY: Final = "conductor_v1_tick"
Signature = tuple[bytes, bytes]


@dataclass(slots=True)
class Anatomy:
    """A module that may be compiled."""

    needs: Needs = field(default_factory=Needs)
    types: list[Signature] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Type of each function, imported ones first."""
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> kind and index."""


def examine(module: bytes) -> Anatomy:
    """Look a module over. Raises `ModuleUnusable`, `ObjectUnreadable` (broken), `InvalidSpec` (its needs)."""
    _check_kind(module)
    found, needs = Anatomy(), list[bytes]()
    for section in sections(module):
        if section.id in _SECTIONS:
            _SECTIONS[section.id](Reader(section.content), found)
        elif section.name == NEEDS_SECTION:
            needs.append(section.content)
    _check_exports(found)
    if len(needs) > 1:
        raise ModuleUnusable(f"the custom section {NEEDS_SECTION} is there {len(needs)} times")
    if needs:
        found.needs = parse_needs(needs[0])
    return found


def _read_types(reader: Reader, found: Anatomy) -> None:
    found.types += [_signature(reader) for _ in range(_bounded(reader, TYPES, "types"))]


def _read_imports(reader: Reader, found: Anatomy) -> None:
    found.functions += [_import(reader, found.types) for _ in range(_bounded(reader, EXTERNALS, "imports"))]


def _read_functions(reader: Reader, found: Anatomy) -> None:
    found.functions += [reader.number() for _ in range(_bounded(reader, FUNCTIONS, "functions"))]


def _read_exports(reader: Reader, found: Anatomy) -> None:
    for _ in range(_bounded(reader, EXTERNALS, "exports")):
        name, kind, index = reader.name(), reader.byte(), reader.number()
        found.exports[name] = (kind, index)


def _read_bodies(reader: Reader, _found: Anatomy) -> None:
    for i in range(_bounded(reader, FUNCTIONS, "functions")):
        _check_body(reader, i)


_SECTIONS: Final = {1: _read_types, 2: _read_imports, 3: _read_functions, 7: _read_exports, 10: _read_bodies}


def _check_kind(module: bytes) -> None:
    if is_component(module):
        raise ModuleUnusable(f"this is a component, which is not run here; {_CORE}")
    if module[:4] == b"\x7fELF":
        raise ModuleUnusable(
            "this is an ELF file, a kernel half perhaps, and no wasm module; load it as a kernel program"
        )
    if not is_wasm(module):
        version = "of another version" if module[:4] == HEADER[:4] else "no wasm module"
        raise ModuleUnusable(f"this is {version}; {_CORE}")
    if len(module) > MODULE_BYTES:
        raise ModuleUnusable(
            f"the module is {len(module)} bytes, past {MODULE_BYTES >> 20} MiB; strip it or make it smaller"
        )


def _signature(reader: Reader) -> Signature:
    if reader.byte() != 0x60:
        raise ModuleUnusable("the module has types of a proposal that is not supported here (GC); compile without it")
    return reader.take(_bounded(reader, 1000, "parameters")), reader.take(_bounded(reader, 1000, "results"))


def _import(reader: Reader, types: list[Signature]) -> int:
    module, name, kind = reader.name(), reader.name(), reader.byte()
    if kind != _FUNCTION:
        raise ModuleUnusable(f"import {module}.{name} is no function; define memory, tables and globals in the module")
    index = reader.number()
    if module not in (MODULE, WASI):
        hint = " (this is a Spin or component world)" if ":" in module or "spin" in module else ""
        raise ModuleUnusable(
            f"import {module}.{name}: there is no such host module{hint}, only {MODULE} and {WASI}; {_CORE}"
        )
    if module == MODULE:
        wanted = _IMPORTS.get(name)
        if wanted is None:
            raise ModuleUnusable(f"import {name}: {MODULE} has no such function; build with the SDK of this version")
        if index >= len(types) or types[index] != wanted:
            raise ModuleUnusable(f"import {name} has another signature than {MODULE} says; build with its SDK")
    return index


def _check_body(reader: Reader, number: int) -> None:
    size = reader.number()
    if size > BODY_BYTES:
        raise ModuleUnusable(f"function {number} is {size} bytes, past {BODY_BYTES >> 20} MiB; split it")
    body = Reader(reader.take(size))
    local = 0
    for _ in range(_bounded(body, LOCALS, "locals of one function")):
        local += body.number()
        body.byte()
        if local > LOCALS:
            raise ModuleUnusable(f"function {number} has more than {LOCALS} locals; split it")


def _check_exports(found: Anatomy) -> None:
    exports = found.exports
    if _ENTRY not in exports:
        if "_start" in exports:
            raise ModuleUnusable(f"this is a command (it exports _start) that runs once and ends; {_CORE}")
        raise ModuleUnusable(f"the module does not export {_ENTRY}, which is called every interval")
    if exports.get("memory", (-1, 0))[0] != _MEMORY:
        raise ModuleUnusable("the module does not export its memory under the name memory")
    for name, wanted in _EXPORTS.items():
        if name not in exports:
            continue
        kind, index = exports[name]
        if kind != _FUNCTION or index >= len(found.functions):
            raise ModuleUnusable(f"export {name} is no function")
        type_ = found.functions[index]
        if type_ >= len(found.types):
            raise ObjectUnreadable("the module names a type that is not there")
        if found.types[type_] not in wanted:
            raise ModuleUnusable(f"export {name} has another signature than {MODULE} says; build with its SDK")


def _bounded(reader: Reader, most: int, what: str) -> int:
    count = reader.number()
    if count > most:
        raise ModuleUnusable(f"the module has {count} {what}, past {most}; make it simpler")
    return count


_CODES = {Type.I32: 0x7F, Type.I64: 0x7E}
_IMPORTS: Final = {
    one.name: (bytes(_CODES[kind] for _, kind in one.parameters), bytes([_CODES[one.result]])) for one in IMPORTS
}
_EXPORTS: Final = {
    one.name: ((bytes(_CODES[kind] for _, kind in one.parameters), bytes([_CODES[one.result]])),)
    if one.name != "_initialize"
    else ((b"", b""), (b"", bytes([_CODES[one.result]])))
    for one in EXPORTS
}
