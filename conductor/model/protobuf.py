"""Bytes that claim to be a protobuf message, checked before they are parsed.

The parser behind the generated messages takes a field that is cut short for a whole one, and walks bad input
slowly. `check` reads the wire format alone (https://protobuf.dev/programming-guides/encoding), for the classes that
the code generator writes; it needs nothing of them but their field descriptions.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

from conductor.errors import InvalidSpec

__all__ = ["MAX_DEPTH", "MAX_FIELDS", "MAX_UNKNOWN", "check"]

MAX_DEPTH = 16
"""Messages within messages; ours have five."""
MAX_FIELDS = 65_536
"""Fields of a message and all within it, packed elements included: some microseconds of Python each."""
MAX_UNKNOWN = 64
"""Fields that our version does not know: the parser copies all of them again for each."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_WIRE = {
    **dict.fromkeys(("enum", "bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64"), _VARINT),
    **dict.fromkeys(("fixed64", "sfixed64", "double"), _FIXED64),
    **dict.fromkeys(("fixed32", "sfixed32", "float"), _FIXED32),
    **dict.fromkeys(("string", "bytes", "message", "map"), _BYTES),
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    wire: int
    is_text: bool
    is_repeated: bool
    nested: type | None


@lru_cache(maxsize=256)
def _fields_of(message: type) -> dict[int, _Field]:
    """Describe the fields of a generated class, by number."""
    known: Any = message()._betterproto  # noqa: SLF001 -- where the generator keeps nested and map entry classes
    found = {}
    for field in dataclasses.fields(message):
        meta = field.metadata["betterproto"]
        kind = meta.proto_type
        nested = known.cls_by_field[field.name] if kind in ("message", "map") else None
        repeated = isinstance(known.default_gen[field.name](), list)
        found[meta.number] = _Field(field.name, _WIRE[kind], kind == "string", repeated, nested)
    return found


def check(data: bytes, message: type) -> None:
    """Refuse bytes that are no whole, sane encoding of the generated class `message`.

    Raises `InvalidSpec` with the path of the field: cut short, bad UTF-8, another wire type than declared,
    nested or numerous beyond reason.
    """
    _Walk().message(memoryview(data), message, "")


class _Walk:
    """One pass over the bytes; counts what it met."""

    __slots__ = ("_fields", "_unknown")

    def __init__(self) -> None:
        self._fields = 0
        self._unknown = 0

    def message(self, data: memoryview, message: type, path: str, depth: int = 1) -> None:
        if depth > MAX_DEPTH:
            raise InvalidSpec(path, f"nested deeper than {MAX_DEPTH} messages")
        known, at = _fields_of(message), 0
        while at < len(data):
            self._count(path)
            tag, at = _varint(data, at, path)
            number, wire = tag >> 3, tag & 7
            field = known.get(number)
            where = f"{path}.{field.name}".lstrip(".") if field else path
            if not 0 < number < 1 << 29:
                raise InvalidSpec(path or "message", f"{number} is no field number")
            end = _end(data, at, wire, where or f"field {number}")
            if field is None:
                self._count_unknown(path)
            else:
                self._field(data[at:end], field, wire, where, depth)
            at = end

    def _field(self, data: memoryview, field: _Field, wire: int, where: str, depth: int) -> None:
        if wire != field.wire:
            if wire != _BYTES or not field.is_repeated:
                raise InvalidSpec(where, f"wire type {wire}, not {field.wire}")
            self._packed(_value_of(data, where), field.wire, where)
        elif field.nested is not None:
            self.message(_value_of(data, where), field.nested, where, depth + 1)
        elif field.is_text:
            _check_text(_value_of(data, where), where)

    def _packed(self, data: memoryview, wire: int, where: str) -> None:
        at = 0
        while at < len(data):
            self._count(where)
            at = _end(data, at, wire, where)

    def _count(self, path: str) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise InvalidSpec(path or "message", f"more than {MAX_FIELDS} fields: send less at once")

    def _count_unknown(self, path: str) -> None:
        self._unknown += 1
        if self._unknown > MAX_UNKNOWN:
            raise InvalidSpec(path or "message", f"more than {MAX_UNKNOWN} fields that this version does not know")


def _end(data: memoryview, at: int, wire: int, where: str) -> int:
    """Where the value that begins at `at` ends."""
    if wire == _VARINT:
        return _varint(data, at, where)[1]
    if wire == _BYTES:
        length, at = _varint(data, at, where)
    elif wire in _FIXED:
        length = _FIXED[wire]
    else:
        raise InvalidSpec(where, f"wire type {wire} is not used in proto3")
    if length > len(data) - at:
        raise InvalidSpec(where, f"cut short: {length} bytes announced, {len(data) - at} there")
    return at + length


def _value_of(data: memoryview, where: str) -> memoryview:
    """Strip the length from a delimited value."""
    return data[_varint(data, 0, where)[1] :]


def _varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if value >> 64:
                raise InvalidSpec(where or "message", "number past 64 bits")
            return value, at + shift // 7
    raise InvalidSpec(where or "message", "cut short inside a number" if shift < 70 else "number longer than 10 bytes")


def _check_text(data: memoryview, where: str) -> None:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSpec(where, f"no UTF-8 at byte {error.start}") from error
