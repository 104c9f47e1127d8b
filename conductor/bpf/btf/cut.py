"""Cut a kernel's BTF down to what one object's relocations ask about, so that libbpf need not read it whole.

Kept are every type that libbpf would consider for a relocation, the members on its way, and what it takes to size
them. Structures keep their size and members their offsets; pointers lead nowhere unless the question follows them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from conductor.bpf.btf.relocations import (
    Relocation,
    RelocationKind,
    Step,
    essential_name,
    object_btf,
    path_of,
    relocations_of,
)
from conductor.bpf.btf.types import MODIFIERS, REFERRING, Btf, BtfType, Kind, Member, written
from conductor.bpf.object_file import checked_object
from conductor.errors import NotSupported, ObjectUnreadable

__all__ = ["cut_btf", "has_relocations"]

_COMPOSITE = (Kind.STRUCT, Kind.UNION)
_ENUMS = (Kind.ENUM, Kind.ENUM64)
_NO_DATA = (Kind.FUNC, Kind.VAR, Kind.DATASEC, Kind.DECL_TAG)
_DEEPEST = 64


def has_relocations(object_: bytes, name: str = "object") -> bool:
    """Whether an object needs a kernel's BTF at all. Raises `ObjectUnreadable`."""
    elf = checked_object(object_, name)
    return elf.section(".BTF") is not None and bool(relocations_of(elf, object_btf(elf, name)))


def cut_btf(object_: bytes, kernel: bytes, *, modules: bool = False, name: str = "object") -> bytes:
    """Answer the part of a kernel's BTF that is enough for `object_`; give it as `custom_btf`.

    `modules` says that this kernel has BTF of modules: a type that only they may have then raises `NotSupported`, and
    so does an object that asks for type ids, which are those of the whole BTF. Raises `ObjectUnreadable`.
    """
    elf = checked_object(object_, name)
    local = object_btf(elf, name)
    cut = _Cut(Btf.parse(kernel, "BTF of the kernel"))
    wanted = relocations_of(elf, local)
    index = _candidates(cut.kernel, {essential_name(local[one.type].name).encode() for one in wanted})
    for one in wanted:
        if one.kind is RelocationKind.TYPE_ID_LOCAL:
            continue
        if one.kind is RelocationKind.TYPE_ID_TARGET:
            raise NotSupported(f"{name} asks for ids of kernel types: it needs the whole BTF of the kernel")
        root = local[one.type]
        found = [i for i, kind in index[essential_name(root.name)] if _same(kind, root.kind)]
        if not found and modules:
            raise NotSupported(f"{name} asks for {root.name}, which only a module may have: it needs the whole BTF")
        steps = path_of(local, one) if one.kind.is_field else ()
        for number in found:
            cut.answer(one, number, steps)
    return cut.written()


def _candidates(kernel: Btf, names: set[bytes]) -> dict[str, list[tuple[int, Kind]]]:
    """Kernel types by wanted name, in one pass over the table; a kernel's own flavours count as well."""
    index: dict[str, list[tuple[int, Kind]]] = defaultdict(list)
    for number, kind, name in kernel.heads():
        if name in names:
            index[name.decode(errors="replace")].append((number, kind))
        elif b"___" in name and (short := essential_name(name.decode(errors="replace"))).encode() in names:
            index[short].append((number, kind))
    return index


def _same(one: Kind, other: Kind) -> bool:
    return one is other or (one in _ENUMS and other in _ENUMS)


class _Cut:
    """What is kept so far: ids, members by index, pointers that are followed."""

    def __init__(self, kernel: Btf) -> None:
        self.kernel = kernel
        self._kept: dict[int, BtfType] = {}
        self._members: dict[int, set[int]] = defaultdict(set)
        self._followed: set[int] = set()

    def answer(self, relocation: Relocation, number: int, steps: tuple[Step, ...]) -> None:
        """Keep what libbpf looks at when it tries type `number` for a relocation."""
        if relocation.kind.is_field:
            self._keep(number)
            self._walk(number, steps)
        else:
            self._keep(number, deep=True, whole=relocation.kind is RelocationKind.TYPE_MATCHES)

    def _keep(self, number: int, *, deep: bool = False, whole: bool = False, depth: int = 0) -> None:
        """Keep a type and what it takes to size it; `deep` follows pointers, `whole` keeps all members."""
        if depth > _DEEPEST:
            raise ObjectUnreadable("BTF of the kernel: types refer to each other too deeply")
        one = self._kept.setdefault(number, self.kernel[number])
        if one.kind in _NO_DATA:
            raise ObjectUnreadable(f"BTF of the kernel: type {number} is a {one.kind.name.lower()} where data stands")
        following: tuple[int, ...] = ()
        if one.kind in MODIFIERS or one.kind is Kind.TYPEDEF:
            following = (one.word,)
        elif one.kind is Kind.ARRAY:
            following = one.array[:2]
        elif one.kind is Kind.PTR and deep:
            self._followed.add(number)
            whole, following = False, (one.word,)
        elif one.kind is Kind.FUNC_PROTO:
            following = (one.word, *(parameter.type for parameter in one.members))
        elif one.kind in _COMPOSITE and whole and len(self._members[number]) < len(one.members):
            self._members[number] = set(range(len(one.members)))
            following = tuple(member.type for member in one.members)
        for other in following:
            if other:
                self._keep(other, deep=deep, whole=whole, depth=depth + 1)

    def _walk(self, number: int, steps: tuple[Step, ...]) -> None:
        """Keep the members along a path, as far as the kernel's types have it."""
        for step in steps:
            number, here = self.kernel.resolved(number)
            if step is None:
                if here.kind is not Kind.ARRAY:
                    return
                number = here.array[0]
                continue
            way = self._way(here, number, step)
            if not way:
                return
            for holder, index in way:
                self._members[holder].add(index)
                self._keep(self.kernel[holder].members[index].type)
            holder, index = way[-1]
            number = self.kernel[holder].members[index].type

    def _way(self, here: BtfType, number: int, name: str, depth: int = 0) -> list[tuple[int, int]]:
        """Where a member lies: (structure, index), through anonymous ones; empty where there is none."""
        if here.kind not in _COMPOSITE or depth > _DEEPEST:
            return []
        for index, member in enumerate(here.members):
            if member.name == name:
                return [(number, index)]
            if not member.name:
                inner, there = self.kernel.resolved(member.type)
                if way := self._way(there, inner, name, depth + 1):
                    return [(number, index), *way]
        return []

    def written(self) -> bytes:
        """Write what is kept under new ids."""
        ids = {0: 0} | {old: new for new, old in enumerate(sorted(self._kept), 1)}
        return written([self._renumbered(old, ids) for old in sorted(self._kept)])

    def _renumbered(self, number: int, ids: dict[int, int]) -> BtfType:
        one = self._kept[number]
        if one.kind is Kind.PTR:
            return replace(one, word=ids[one.word] if number in self._followed else 0)
        if one.kind is Kind.ARRAY:
            element, index, count = one.array
            return replace(one, array=(ids[element], ids[index], count))
        if one.kind in _COMPOSITE:
            return one.with_members(tuple(_moved(one.members[i], ids) for i in sorted(self._members[number])))
        if one.kind is Kind.FUNC_PROTO:
            return replace(one, word=ids[one.word], members=tuple(_moved(m, ids) for m in one.members))
        return replace(one, word=ids[one.word]) if one.kind in REFERRING else one


def _moved(member: Member, ids: dict[int, int]) -> Member:
    return replace(member, type=ids[member.type])
