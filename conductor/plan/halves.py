"""The two halves of a tool: which maps a user program is granted, and which kernel program it brings along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from conductor.errors import InvalidSpec
from conductor.model.grants import Access, MapGrant, MapNeed
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, KernelFunctionSpec, KernelProgramSpec
from conductor.model.program import Source, UserProgramSpec
from conductor.plan.merge import Held

__all__ = ["Demand", "Resolved", "demands", "resolve"]

KernelPart = tuple[Bytecode, tuple[KernelFunctionSpec, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A user program's needs met by grants; `brought` is the kernel half that comes along, if it does."""

    needs: tuple[MapNeed, ...] = ()
    grants: tuple[MapGrant, ...] = ()
    brought: KernelProgramSpec | None = None

    def grant_of(self, need: MapNeed) -> MapGrant:
        """Answer the grant that meets a need."""
        return next(grant for grant in self.grants if grant.name == need.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A kernel program that should be there, and for whom: who brings it along, or is granted its maps."""

    spec: KernelProgramSpec
    source: Source
    generation: int = 1
    needed_by: tuple[Name, ...] = ()


def resolve(spec: UserProgramSpec, needs: Sequence[MapNeed], part: KernelPart | None) -> Resolved:
    """Meet a program's needs: by its grants; or, where it has none and ships a kernel half, by that half.

    A grant that leaves its access open is answered with the access that the need of its name asks for.

    Raises `InvalidSpec` naming the map and the option that grants it.
    """
    if not spec.maps and needs and part is not None:
        return _brought(spec, tuple(needs), part)
    known = {need.name: need for need in needs}
    grants = tuple(_settled(grant, known.get(grant.name)) for grant in spec.maps)
    granted = {grant.name: grant for grant in grants}
    for need in needs:
        _check_grant(need, granted.get(need.name))
    for i, grant in enumerate(grants):
        if grant.name not in known:
            needed = ", ".join(sorted(known)) or "no map"
            raise InvalidSpec(f"maps[{i}].name", f"{spec.name} does not use a map {grant.name}; it needs {needed}")
    return Resolved(needs=tuple(needs), grants=grants)


def demands(
    held: Iterable[Held],
    brought: Mapping[Name, tuple[Source, Resolved]],
    present: Iterable[KernelProgramSpec] = (),
) -> dict[Name, Demand]:
    """Kernel programs that should be there: those asked for, and those that user programs bring along.

    A name asked for in its own right wins over one brought along: the user program then uses that one's maps.
    Maps become writable by the grants of user programs; one that is writable stays so while its program is present,
    for a change would load the program anew.
    """
    there = {spec.name: spec for spec in present}
    wanted: dict[Name, Demand] = {}
    for name, (source, resolved) in sorted(brought.items()):
        if resolved.brought is not None:
            wanted[name] = Demand(spec=resolved.brought, source=source, needed_by=(name,))
    granted = _by_word(brought)
    for one in held:
        spec = one.wish.spec
        if isinstance(spec, KernelProgramSpec):
            given = [pair for word in _words(spec) for pair in granted.get(word, ())]
            written = {grant.map for _, grant in given if grant.access is Access.READ_WRITE}
            opened = {*spec.writable_maps, *written, *_kept_open(spec, there.get(spec.name))}
            wanted[spec.name] = Demand(
                spec=replace(spec, writable_maps=tuple(sorted(opened))),
                source=one.source,
                generation=one.wish.generation,
                needed_by=tuple(sorted({name for name, _ in given})),
            )
    return dict(sorted(wanted.items()))


def _brought(spec: UserProgramSpec, needs: tuple[MapNeed, ...], part: KernelPart) -> Resolved:
    bytecode, functions = part
    grants = tuple(
        MapGrant(name=need.name, kernel_program=spec.name, map=need.name, access=need.access) for need in needs
    )
    writable = tuple(sorted(need.name for need in needs if need.access is Access.READ_WRITE))
    half = KernelProgramSpec(name=spec.name, bytecode=bytecode, programs=functions, writable_maps=writable)
    return Resolved(needs=needs, grants=grants, brought=half)


def _check_grant(need: MapNeed, grant: MapGrant | None) -> None:
    if grant is None:
        problem = f"map {need.name} ({need.type}) is needed and not granted: --map {need.name}=KERNELPROGRAM"
        raise InvalidSpec("maps", problem + _suffix(need.access))
    if grant.access is not need.access and grant.access is not Access.READ_WRITE:
        option = f"--map {need.name}={grant.kernel_program}{_suffix(need.access)}"
        problem = f"map {need.name} is granted {grant.access.word} and needed {need.access.word}: {option}"
        raise InvalidSpec("maps", problem)


def _settled(grant: MapGrant, need: MapNeed | None) -> MapGrant:
    if need is None or not grant.as_needed:
        return grant
    return replace(grant, access=need.access, as_needed=False)


def _suffix(access: Access) -> str:
    return {Access.READ: "", Access.CONSUME: ":consume", Access.READ_WRITE: ":rw"}[access]


def _by_word(brought: Mapping[Name, tuple[Source, Resolved]]) -> dict[str, list[tuple[Name, MapGrant]]]:
    """Sort user programs with their grants by what the grants call a kernel program."""
    found: dict[str, list[tuple[Name, MapGrant]]] = {}
    for name, (_, resolved) in brought.items():
        for grant in resolved.grants:
            found.setdefault(grant.kernel_program, []).append((name, grant))
    return found


def _words(spec: KernelProgramSpec) -> set[str]:
    """What a grant may call a kernel program: its name, or a function's as clients of the first implementation do."""
    return {spec.name, *(word for program in spec.programs for word in (program.name, program.name[:15]))}


def _kept_open(spec: KernelProgramSpec, present: KernelProgramSpec | None) -> tuple[str, ...]:
    if present is None or replace(present, writable_maps=()) != replace(spec, writable_maps=()):
        return ()
    return present.writable_maps
