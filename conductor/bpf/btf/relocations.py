"""CO-RE relocations of an object: which kernel types its code asks about (section .BTF.ext)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from conductor.bpf.btf.types import Btf, BtfType, Kind
from conductor.bpf.elf import Elf
from conductor.errors import ObjectUnreadable

__all__ = ["Relocation", "RelocationKind", "Step", "essential_name", "object_btf", "path_of", "relocations_of"]

_HEADER = struct.Struct("<HBBIIIIIII")
_RECORD = struct.Struct("<IIII")
_FLAVOUR = re.compile(r"(.*[^_])___[^_]", re.DOTALL)


class RelocationKind(IntEnum):
    """What is asked (enum bpf_core_relo_kind)."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT = 4
    FIELD_RSHIFT = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12

    @property
    def is_field(self) -> bool:
        """Whether a path into the type matters."""
        return self <= RelocationKind.FIELD_RSHIFT


@dataclass(frozen=True, slots=True)
class Relocation:
    """One question: about `type` of the object's BTF, along `access` (indices joined by colons)."""

    kind: RelocationKind
    type: int
    access: str


Step = str | None
"""A member by name, or None for an element of an array."""


def object_btf(elf: Elf, name: str = "object") -> Btf:
    """Parse an object's own BTF. Raises `ObjectUnreadable` where it has none."""
    section = elf.section(".BTF")
    if section is None:
        raise ObjectUnreadable(f"{name} has no BTF: compile it with clang -g")
    return Btf.parse(elf.content(section), f"BTF of {name}")


def relocations_of(elf: Elf, btf: Btf) -> tuple[Relocation, ...]:
    """List the relocations, each once. Raises `ObjectUnreadable`."""
    section = elf.section(".BTF.ext")
    if section is None:
        return ()
    data = elf.content(section)
    if len(data) < _HEADER.size:
        return ()  # from before CO-RE: the header ends earlier
    _, _, _, header, _, _, _, _, offset, size = _HEADER.unpack_from(data)
    part = data[header + offset : header + offset + size]
    if header < _HEADER.size or size == 0:
        return ()
    if len(part) != size:
        raise ObjectUnreadable("the object's .BTF.ext is cut short or damaged")
    found = dict.fromkeys(_records(part))
    return tuple(Relocation(_kind(kind), type_, btf.string(access)) for type_, access, kind in found)


def _records(part: memoryview) -> Iterator[tuple[int, int, int]]:
    (step,) = struct.unpack_from("<I", part)
    at = 4
    while at < len(part):
        if at + 8 > len(part) or step < _RECORD.size:
            raise ObjectUnreadable("the object's .BTF.ext is cut short or damaged")
        _, count = struct.unpack_from("<II", part, at)
        at += 8
        if count == 0 or at + count * step > len(part):
            raise ObjectUnreadable("the object's .BTF.ext is cut short or damaged")
        for _ in range(count):
            _, type_, access, kind = _RECORD.unpack_from(part, at)
            yield type_, access, kind
            at += step


def _kind(number: int) -> RelocationKind:
    try:
        return RelocationKind(number)
    except ValueError:
        raise ObjectUnreadable(f"the object asks for a relocation of kind {number}, which is not known") from None


def essential_name(name: str) -> str:
    """Name without its flavour: what stands behind three underscores tells versions of a type apart."""
    found = _FLAVOUR.match(name)
    return found[1] if found else name


def path_of(btf: Btf, relocation: Relocation) -> tuple[Step, ...]:
    """Steps of a field relocation by name: members of anonymous structures are steps of what holds these.

    Raises `ObjectUnreadable`.
    """
    try:
        indices = [int(part) for part in relocation.access.split(":")]
    except ValueError:
        raise ObjectUnreadable(f"a relocation has the access string {relocation.access!r}") from None
    steps: list[Step] = []
    _, here = btf.resolved(relocation.type)
    for index in indices[1:]:  # the first tells which of an array of such types
        step, here = _step(btf, here, index)
        steps += step
    return tuple(steps)


def _step(btf: Btf, here: BtfType, index: int) -> tuple[list[Step], BtfType]:
    if here.kind is Kind.ARRAY:
        return [None], btf.resolved(here.array[0])[1]
    if here.kind not in (Kind.STRUCT, Kind.UNION) or not 0 <= index < len(here.members):
        raise ObjectUnreadable("a relocation leads into what has no such member")
    member = here.members[index]
    return [member.name] if member.name else [], btf.resolved(member.type)[1]
