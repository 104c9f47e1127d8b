"""Look an object's BTF over before libbpf walks it: libbpf 1.1 follows ids without checking them.

A flat pass over raw words, because every Load pays for it.
"""

from __future__ import annotations

import struct

from conductor.bpf.btf.relocations import RelocationKind, object_btf, relocations_of
from conductor.bpf.btf.types import MODIFIERS, REFERRING, Btf, Kind
from conductor.bpf.elf import Elf
from conductor.errors import ObjectUnreadable

__all__ = ["check_btf", "check_object_btf"]

_NAMED_IDS = {Kind.STRUCT: ("<III", 0, 1), Kind.UNION: ("<III", 0, 1), Kind.FUNC_PROTO: ("<II", 0, 1)}
"""By kind: form of a row, where its name stands, where its id stands."""
_NAMED = {Kind.ENUM: ("<II", 0), Kind.ENUM64: ("<III", 0)}
_CHAINED = MODIFIERS | {Kind.TYPEDEF}


def check_object_btf(elf: Elf, name: str) -> None:
    """Check an object's BTF and relocations; one without BTF has nothing to check. Raises `ObjectUnreadable`."""
    if elf.section(".BTF") is None:
        return
    btf = object_btf(elf, name)
    check_btf(btf)
    for relocation in relocations_of(elf, btf):
        kind = btf[relocation.type].kind  # raises for an id that is not there
        if relocation.kind is not RelocationKind.TYPE_ID_LOCAL and kind is Kind.VOID:
            raise ObjectUnreadable(f"{name}: a relocation is about no type")


def check_btf(btf: Btf) -> None:
    """Check that every id and name leads somewhere and no chain of modifiers is a circle. Raises `ObjectUnreadable`."""
    kinds = [Kind.VOID]
    chains: dict[int, int] = {}
    for number, kind, name, word, rows in btf.raw():
        btf.has_string(name)
        kinds.append(kind)
        if kind in REFERRING:
            _id(btf, word)
        if kind in _CHAINED:
            chains[number] = word
        _rows(btf, kind, rows)
    _no_circles(chains)
    _fitting(btf, kinds)


def _rows(btf: Btf, kind: Kind, rows: memoryview) -> None:
    if kind in _NAMED_IDS:
        form, name_at, id_at = _NAMED_IDS[kind]
        for row in struct.iter_unpack(form, rows):
            btf.has_string(row[name_at])
            _id(btf, row[id_at])
    elif kind in _NAMED:
        form, name_at = _NAMED[kind]
        for row in struct.iter_unpack(form, rows):
            btf.has_string(row[name_at])
    elif kind is Kind.ARRAY:
        element, index, _ = struct.unpack("<III", rows)
        _id(btf, element)
        _id(btf, index)


def _id(btf: Btf, number: int) -> None:
    if number >= len(btf):
        raise ObjectUnreadable(f"BTF: there is no type {number}")


def _no_circles(chains: dict[int, int]) -> None:
    fine: set[int] = set()
    for start in chains:
        way: list[int] = []
        at = start
        while at in chains and at not in fine:
            way.append(at)
            at = chains[at]
            if len(way) > len(chains):
                raise ObjectUnreadable(f"BTF: type {start} refers to itself")
        fine.update(way)


def _fitting(btf: Btf, kinds: list[Kind]) -> None:
    """Sections hold variables, functions have prototypes: libbpf takes both for granted."""
    for number, kind, _, word, rows in btf.raw():
        if kind is Kind.DATASEC:
            if any(
                row[0] >= len(kinds) or kinds[row[0]] not in (Kind.VAR, Kind.FUNC)
                for row in struct.iter_unpack("<III", rows)
            ):
                raise ObjectUnreadable(f"BTF: section {number} holds what is no variable")
        elif kind is Kind.FUNC and kinds[word] is not Kind.FUNC_PROTO:
            raise ObjectUnreadable(f"BTF: function {number} has no prototype")
