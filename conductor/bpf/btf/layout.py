"""Layouts of maps: what an object's own BTF says of their keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conductor.bpf.btf.relocations import object_btf
from conductor.bpf.btf.types import Btf, BtfType, Kind
from conductor.bpf.object_file import checked_object
from conductor.errors import ObjectUnreadable

__all__ = ["FieldLayout", "Layout", "MapLayout", "map_layouts"]

_POINTER = 8
_DEEPEST = 16
_SIGNED = 1
"""BTF_INT_SIGNED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLayout:
    """One member, `offset` in bytes; a bit-field tells its first bit from there and its width, else `bits` is 0."""

    name: str
    offset: int
    layout: Layout
    bits: int = 0
    first_bit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One type, modifiers and typedefs resolved. `kind`: int, uint, float, enum, pointer, array, struct, union."""

    kind: str
    size: int
    name: str = ""
    fields: tuple[FieldLayout, ...] = ()
    element: Layout | None = None
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayout:
    """A map as declared; `key` and `value` are None where only sizes are declared."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    key: Layout | None = None
    value: Layout | None = None
    flags: int = 0


def map_layouts(object_: bytes, name: str = "object") -> Mapping[str, MapLayout]:
    """Layouts of an object's declared maps by name. Raises `ObjectUnreadable`."""
    btf = object_btf(checked_object(object_, name), name)
    found: dict[str, MapLayout] = {}
    for number in range(1, len(btf)):
        section = btf[number]
        if section.kind is Kind.DATASEC and section.name == ".maps":
            variables = [btf[entry.type] for entry in section.members]
            found |= {one.name: _map(btf, one) for one in variables if one.kind is Kind.VAR}
    return found


def _map(btf: Btf, variable: BtfType) -> MapLayout:
    _, declared = btf.resolved(variable.word)
    types = {member.name: btf.resolved(member.type)[1] for member in declared.members}
    pointed = {name: one.word for name, one in types.items() if one.kind is Kind.PTR}
    key, value = (_layout(btf, pointed[name]) if name in pointed else None for name in ("key", "value"))
    return MapLayout(
        type=_number(btf, pointed, "type"),
        key_size=key.size if key else _number(btf, pointed, "key_size"),
        value_size=value.size if value else _number(btf, pointed, "value_size"),
        max_entries=_number(btf, pointed, "max_entries"),
        key=key,
        value=value,
        flags=_number(btf, pointed, "map_flags"),
    )


def _number(btf: Btf, pointed: Mapping[str, int], name: str) -> int:
    """Read a number that a declaration spells as a pointer to an array of so many elements."""
    return btf.resolved(pointed[name])[1].array[2] if name in pointed else 0


def _layout(btf: Btf, number: int, depth: int = 0) -> Layout:
    if depth > _DEEPEST:
        raise ObjectUnreadable("BTF of the object: a map's type is nested too deeply")
    _, one = btf.resolved(number)
    if one.kind is Kind.PTR:
        return Layout(kind="pointer", size=_POINTER)
    if one.kind is Kind.ARRAY:
        element = _layout(btf, one.array[0], depth + 1)
        return Layout(kind="array", size=element.size * one.array[2], element=element, count=one.array[2])
    if one.kind in (Kind.STRUCT, Kind.UNION):
        kind = "struct" if one.kind is Kind.STRUCT else "union"
        return Layout(kind=kind, size=one.word, name=one.name, fields=_fields(btf, one, depth))
    if one.kind is Kind.INT:
        return Layout(kind="int" if one.extra >> 24 & _SIGNED else "uint", size=one.word, name=one.name)
    if one.kind in (Kind.ENUM, Kind.ENUM64):
        return Layout(kind="enum", size=one.word, name=one.name)
    if one.kind is Kind.FLOAT:
        return Layout(kind="float", size=one.word, name=one.name)
    raise ObjectUnreadable(f"BTF of the object: a map holds a {one.kind.name.lower()}, which has no size")


def _fields(btf: Btf, one: BtfType, depth: int) -> tuple[FieldLayout, ...]:
    fields = []
    for member in one.members:
        bits = member.offset >> 24 if one.flag else 0
        at = member.offset & 0xFFFFFF if one.flag else member.offset
        layout = _layout(btf, member.type, depth + 1)
        fields.append(FieldLayout(name=member.name, offset=at // 8, layout=layout, bits=bits, first_bit=at % 8))
    return tuple(fields)
