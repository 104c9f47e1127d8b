"""Parse and write BTF: a table of types by id, and their names.

A kernel has some 150,000 types, so parsing only finds where each begins; a type is decoded when it is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise

from conductor.errors import ObjectUnreadable

__all__ = ["Btf", "BtfType", "Kind", "Member", "Value", "written"]

_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MAGIC = 0xEB9F


class Kind(IntEnum):
    """Kinds of types (BTF_KIND_…)."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_FIXED = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}
"""Bytes behind the header by kind; others have none, or some for each of `vlen`."""
_EACH = {Kind.STRUCT: 12, Kind.UNION: 12, Kind.ENUM: 8, Kind.FUNC_PROTO: 8, Kind.DATASEC: 12, Kind.ENUM64: 12}
MODIFIERS = frozenset({Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
REFERRING = MODIFIERS | {Kind.PTR, Kind.TYPEDEF, Kind.FUNC, Kind.VAR, Kind.DECL_TAG, Kind.FUNC_PROTO}
"""Kinds whose third word is a type's id and not a size."""


@dataclass(frozen=True, slots=True)
class Member:
    """A field, a parameter (`offset` 0) or a variable of a section (`name` empty); `offset` as encoded."""

    name: str
    type: int
    offset: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Value:
    """One enumerator, its low and high words as encoded."""

    name: str
    low: int
    high: int = 0


@dataclass(frozen=True, slots=True)
class BtfType:
    """One type. `word` is a size or, for kinds that refer, another type's id."""

    kind: Kind
    name: str
    word: int
    flag: bool = False
    members: tuple[Member, ...] = ()
    values: tuple[Value, ...] = ()
    array: tuple[int, int, int] = (0, 0, 0)
    """Element type, index type, count."""
    extra: int = 0
    """Encoding of an integer, linkage of a variable or function, component of a tag."""

    def with_members(self, members: tuple[Member, ...]) -> BtfType:
        """Answer a copy with other members."""
        return replace(self, members=members)


VOID = BtfType(Kind.VOID, "", 0)


class Btf:
    """A parsed table; ids from 1, 0 is void."""

    def __init__(self, types: memoryview, strings: bytes, starts: list[int]) -> None:
        self._types, self._strings, self._starts = types, strings, starts

    @classmethod
    def parse(cls, data: bytes | memoryview, name: str = "BTF") -> Btf:
        """Find where each type begins. Raises `ObjectUnreadable`."""
        view = memoryview(data)
        if len(view) < _HEADER.size:
            raise ObjectUnreadable(f"{name} is cut short: no BTF header")
        magic, version, _, header, types_at, types_size, strings_at, strings_size = _HEADER.unpack_from(view)
        if magic != _MAGIC or version != 1:
            raise ObjectUnreadable(f"{name} is no BTF of version 1 in this machine's byte order")
        if header + types_at + types_size > len(view) or header + strings_at + strings_size > len(view):
            raise ObjectUnreadable(f"{name} is cut short or damaged")
        types = view[header + types_at : header + types_at + types_size]
        strings = bytes(view[header + strings_at : header + strings_at + strings_size])
        if not strings.startswith(b"\0") or not strings.endswith(b"\0"):
            raise ObjectUnreadable(f"{name}: its strings do not begin and end with a zero byte")
        return cls(types, strings, _starts(types, name))

    def __len__(self) -> int:
        return len(self._starts) + 1

    def string(self, offset: int) -> str:
        """Return a string of the table. Raises `ObjectUnreadable` outside."""
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise ObjectUnreadable(f"BTF: string {offset} lies outside the table")
        return self._strings[offset:end].decode(errors="replace")

    def __getitem__(self, number: int) -> BtfType:
        if number == 0:
            return VOID
        if not 0 < number <= len(self._starts):
            raise ObjectUnreadable(f"BTF: there is no type {number}")
        return self._decode(self._starts[number - 1])

    def heads(self) -> Iterator[tuple[int, Kind, bytes]]:
        """Id, kind and name of every type that has a name: quick, for building an index."""
        strings, types, unpack = self._strings, self._types, _TYPE.unpack_from
        for number, at in enumerate(self._starts, 1):
            name, info, _ = unpack(types, at)
            if name:
                yield number, Kind(info >> 24 & 31), strings[name : strings.find(b"\0", name)]

    def raw(self) -> Iterator[tuple[int, Kind, int, int, memoryview]]:
        """Id, kind, name's offset, third word and the bytes behind the header, of every type."""
        for number, (at, end) in enumerate(pairwise([*self._starts, len(self._types)]), 1):
            name, info, word = _TYPE.unpack_from(self._types, at)
            yield number, Kind(info >> 24 & 31), name, word, self._types[at + _TYPE.size : end]

    def has_string(self, offset: int) -> None:
        """Check that a string lies in the table. Raises `ObjectUnreadable`."""
        if offset >= len(self._strings):
            raise ObjectUnreadable(f"BTF: string {offset} lies outside the table")

    def resolved(self, number: int) -> tuple[int, BtfType]:
        """Follow modifiers and typedefs to what is meant. Raises `ObjectUnreadable` on a circle."""
        for _ in range(64):
            found = self[number]
            if found.kind not in MODIFIERS and found.kind is not Kind.TYPEDEF:
                return number, found
            number = found.word
        raise ObjectUnreadable("BTF: a type refers to itself")

    def _decode(self, at: int) -> BtfType:
        name, info, word = _TYPE.unpack_from(self._types, at)
        kind, count, flag, at = Kind(info >> 24 & 31), info & 0xFFFF, bool(info >> 31), at + _TYPE.size
        plain = BtfType(kind, self.string(name), word, flag)
        if kind in (Kind.STRUCT, Kind.UNION):
            rows = struct.iter_unpack("<III", self._types[at : at + 12 * count])
            return plain.with_members(tuple(Member(self.string(n), type_, offset) for n, type_, offset in rows))
        if kind is Kind.ENUM:
            pairs = struct.iter_unpack("<II", self._types[at : at + 8 * count])
            return replace(plain, values=tuple(Value(self.string(n), low) for n, low in pairs))
        if kind is Kind.ENUM64:
            rows = struct.iter_unpack("<III", self._types[at : at + 12 * count])
            return replace(plain, values=tuple(Value(self.string(n), low, high) for n, low, high in rows))
        if kind is Kind.FUNC_PROTO:
            pairs = struct.iter_unpack("<II", self._types[at : at + 8 * count])
            return plain.with_members(tuple(Member(self.string(n), type_, 0) for n, type_ in pairs))
        if kind is Kind.DATASEC:
            rows = struct.iter_unpack("<III", self._types[at : at + 12 * count])
            return plain.with_members(tuple(Member("", type_, offset, size) for type_, offset, size in rows))
        if kind is Kind.FUNC:  # linkage instead of a count
            return replace(plain, extra=count)
        if kind is Kind.ARRAY:
            return replace(plain, array=struct.unpack_from("<III", self._types, at))
        return replace(plain, extra=struct.unpack_from("<I", self._types, at)[0]) if kind in _FIXED else plain


def _starts(types: memoryview, name: str) -> list[int]:
    """Offsets of all types; the one loop over a whole kernel's table, so it does little."""
    sizes = [-1] * 32
    each = [0] * 32
    for kind in Kind:
        if kind is not Kind.VOID:
            sizes[kind], each[kind] = 12 + _FIXED.get(kind, 0), _EACH.get(kind, 0)
    infos = types[: len(types) // 4 * 4].cast("I")
    starts, at, end = [], 0, len(types)
    while at < end:
        if at + 12 > end or at & 3:
            raise ObjectUnreadable(f"{name}: a type is cut short")
        info = infos[at // 4 + 1]
        kind_number = info >> 24 & 31
        if sizes[kind_number] < 0:
            raise ObjectUnreadable(f"{name}: kind {kind_number} is not known; it is damaged or newer than this version")
        starts.append(at)
        at += sizes[kind_number] + each[kind_number] * (info & 0xFFFF)
    if at != end:
        raise ObjectUnreadable(f"{name}: the last type is cut short")
    return starts


def written(types: list[BtfType]) -> bytes:
    """Write types, ids from 1 in this order, as BTF."""
    strings: dict[str, int] = {"": 0}
    table = bytearray(b"\0")

    def name(text: str) -> int:
        if text not in strings:
            strings[text] = len(table)
            table.extend(text.encode() + b"\0")
        return strings[text]

    body = bytearray()
    for one in types:
        count = one.extra if one.kind is Kind.FUNC else len(one.members) or len(one.values)
        body += _TYPE.pack(name(one.name), int(one.flag) << 31 | one.kind << 24 | count, one.word)
        body += _behind(one, [*(name(m.name) for m in one.members), *(name(v.name) for v in one.values)])
    head = _HEADER.pack(_MAGIC, 1, 0, _HEADER.size, 0, len(body), len(body), len(table))
    return head + bytes(body) + bytes(table)


def _behind(one: BtfType, names: list[int]) -> bytes:
    """What follows a type's header."""
    if one.kind in (Kind.STRUCT, Kind.UNION):
        return b"".join(struct.pack("<III", n, m.type, m.offset) for n, m in zip(names, one.members, strict=True))
    if one.kind is Kind.DATASEC:
        return b"".join(struct.pack("<III", m.type, m.offset, m.size) for m in one.members)
    if one.kind is Kind.FUNC_PROTO:
        return b"".join(struct.pack("<II", n, m.type) for n, m in zip(names, one.members, strict=True))
    if one.kind is Kind.ENUM:
        return b"".join(struct.pack("<II", n, v.low) for n, v in zip(names, one.values, strict=True))
    if one.kind is Kind.ENUM64:
        return b"".join(struct.pack("<III", n, v.low, v.high) for n, v in zip(names, one.values, strict=True))
    if one.kind is Kind.ARRAY:
        return struct.pack("<III", *one.array)
    return struct.pack("<I", one.extra) if one.kind in _FIXED else b""
