"""What a core module imports and exports, read from its sections; nothing is compiled or run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from conductor.errors import ObjectUnreadable
from conductor.wasm.sections import Reader, sections

__all__ = ["Export", "Import", "Shape", "shape_of"]

_KINDS = ("function", "table", "memory", "global", "tag")
_WORDS = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import; `signature` of functions as `(i32 i32) -> i32`."""

    module: str
    name: str
    kind: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """One export."""

    name: str
    kind: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A module seen from outside."""

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    customs: tuple[str, ...]
    """Names of custom sections."""


def shape_of(module: bytes) -> Shape:
    """Read imports and exports. Raises `ObjectUnreadable`."""
    types: list[str] = []
    imports: list[Import] = []
    functions: list[str] = []
    exports: list[Export] = []
    customs: list[str] = []
    for section in sections(module):
        reader = Reader(section.content)
        match section.id:
            case 0:
                customs.append(section.name)
            case 1:
                types = [_signature(reader) for _ in range(reader.number())]
            case 2:
                imports = [_import(reader, types) for _ in range(reader.number())]
                functions = [one.signature for one in imports if one.kind == "function"]
            case 3:
                functions += [_at(types, reader.number()) for _ in range(reader.number())]
            case 7:
                exports = [_export(reader, functions) for _ in range(reader.number())]
            case _:
                pass
    return Shape(tuple(imports), tuple(exports), tuple(customs))


def _signature(reader: Reader) -> str:
    if (form := reader.byte()) != 0x60:
        raise ObjectUnreadable(f"type {form:#x} is of a proposal (GC, stack switching) that agents do not take")
    parameters, results = (" ".join(_value(reader) for _ in range(reader.number())) for _ in range(2))
    return f"({parameters}) -> {results or 'nothing'}"


def _value(reader: Reader) -> str:
    return _WORDS.get(code := reader.byte(), f"{code:#x}")


def _import(reader: Reader, types: list[str]) -> Import:
    module, name, kind = reader.name(), reader.name(), reader.byte()
    answer = partial(Import, module, name, _at(_KINDS, kind))
    match kind:
        case 0:
            return answer(_at(types, reader.number()))
        case 1:
            reader.byte()
            _limits(reader)
        case 2:
            _limits(reader)
        case 3:
            reader.take(2)
        case _:
            reader.byte()
            reader.number()
    return answer()


def _limits(reader: Reader) -> None:
    flags = reader.byte()
    for _ in range(2 if flags & 1 else 1):
        reader.number()


def _export(reader: Reader, functions: list[str]) -> Export:
    name, kind, index = reader.name(), reader.byte(), reader.number()
    return Export(name, _at(_KINDS, kind), _at(functions, index) if kind == 0 else "")


def _at(items: list[str] | tuple[str, ...], index: int) -> str:
    if index >= len(items):
        raise ObjectUnreadable(f"the module names item {index} where there are {len(items)}")
    return items[index]
