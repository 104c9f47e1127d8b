"""Requests about many wishes of both kinds at once: apply, delete, the whole set of a source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from conductor.errors import ConductorError, InvalidSpec, NameTaken, NotFound, SourceHolds
from conductor.managers.admission import Admission
from conductor.managers.book import WishBook
from conductor.managers.crew import Crew
from conductor.managers.errands import NameLocks
from conductor.managers.kernel_desk import KernelDesk
from conductor.managers.objects import ObjectStore
from conductor.model.agent import Applied
from conductor.model.kernel import KernelProgramSpec, PathObject
from conductor.model.manifest import kind_of
from conductor.model.program import ProgramSpec, Source, UserProgramSpec, WasmSource
from conductor.plan.halves import Resolved
from conductor.plan.images import carried
from conductor.plan.merge import Key, Wish

__all__ = ["Wholesale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wholesale:
    """Turn sets of wishes into one edit of the book. None of these may be cut short: they run as errands."""

    book: WishBook
    crew: Crew
    admission: Admission
    desk: KernelDesk
    objects: ObjectStore
    locks: NameLocks
    try_again: Callable[[Collection[Key]], None]
    """Do not wait any longer with the images of kernel programs that failed."""

    async def apply(self, specs: Sequence[ProgramSpec], source: Source, *, dry_run: bool) -> tuple[Applied, ...]:
        """Keep wishes, all or none; say what each did."""
        keys = _keys(specs)
        async with self.locks.held(*(name for _, name in keys)):
            for key in keys:
                self._check_free(key, source)
            keys = self._carried(keys, source)
            checked = {key: await self.admission.check(spec) for key, spec in keys.items()}
            applied = tuple(self._applied(key, spec, source) for key, (spec, _) in checked.items())
            for one in applied:
                if one.action == "configured" and one.new is not None:
                    await self.admission.maker.pins.confirm(one.new, looks=False)
            if not dry_run:
                await self._put(source, {key: spec for key, (spec, _) in checked.items()}, _known(checked))
                self._hurry(checked)
            return applied

    async def delete(self, keys: Collection[Key], source: Source, *, dry_run: bool) -> tuple[Applied, ...]:
        """Withdraw wishes and wait until they are gone; one that is not there is `absent`, all absent is an error."""
        async with self.locks.held(*(name for _, name in keys)):
            own = self.book.of(source)
            for key in keys:
                if key not in own and (held := self.book.merged.held.get(key)) is not None:
                    raise SourceHolds(f"{key[1]} belongs to source {held.source.word}, which alone may withdraw it")
            if keys and not any(key in own for key in keys):
                raise NotFound(f"none of {', '.join(name for _, name in keys)} is there; conductor list shows what is")
            deleted = tuple(_deleted(key, own.get(key)) for key in keys)
            if not dry_run:
                await self._drop(source, keys)
            return deleted

    async def replace(self, specs: Sequence[ProgramSpec], source: Source) -> None:
        """Make these the wishes of a source; one that makes no sense here is kept and shown as Failed."""
        keys = _keys(specs)
        gone = [key for key in self.book.of(source) if key not in keys]
        async with self.locks.held(*(name for _, name in [*keys, *gone])):
            keys = self._carried(keys, source)
            checked = {key: await self._check_kindly(spec) for key, spec in keys.items()}
            await self._put(source, {key: spec for key, (spec, _) in checked.items()}, _known(checked), gone)
            await self.collect()

    def _hurry(self, keys: Collection[Key]) -> None:
        """Whoever applies once more what failed wants it tried now."""
        self.try_again(keys)
        for _, name in keys:
            life = self.crew.get(name)
            if life is not None and not life.is_up:
                life.nudge()

    def _carried(self, keys: Mapping[Key, ProgramSpec], source: Source) -> dict[Key, ProgramSpec]:
        """The same manifest again is the same wish: what its tags were found to stand for goes along."""
        own = self.book.of(source)
        return {key: _again(spec, own[key].spec if key in own else None) for key, spec in keys.items()}

    async def _check_kindly(self, spec: ProgramSpec) -> tuple[ProgramSpec, Resolved | None]:
        try:
            return await self.admission.check(spec)
        except ConductorError:
            return spec, None  # its life, or its kernel program, finds the same and says so

    async def _put(
        self,
        source: Source,
        specs: Mapping[Key, ProgramSpec],
        known: Mapping[Key, Resolved],
        gone: Collection[Key] = (),
    ) -> None:
        own = self.book.of(source)
        wishes = {key: _next(own.get(key), spec) for key, spec in specs.items()}
        await self.crew.vacated([name for _, name in specs])
        await self.book.edit(source, put=wishes, drop=gone)
        self.crew.follow_wishes(known)

    async def _drop(self, source: Source, keys: Collection[Key]) -> None:
        await self.book.edit(source, drop=keys)
        self.crew.follow_wishes()
        await self.crew.vacated([name for _, name in keys])
        await self.desk.synced()
        await self.collect()

    async def collect(self) -> None:
        """Drop object files that no wish names any more; a wish that was not understood may name any."""
        if self.book.problems:
            return
        wishes = [wish for source in Source for wish in self.book.of(source).values()]
        digests = {digest for wish in wishes if (digest := _digest(wish.spec))}
        await asyncio.to_thread(self.objects.collect, digests)

    def _check_free(self, key: Key, source: Source) -> None:
        held = self.book.merged.held.get(key)
        if held is not None and held.source is not source:
            raise NameTaken(
                f"{key[0]} {key[1]} is held by source {held.source.word}; ask there, or choose another name"
            )

    def _applied(self, key: Key, spec: ProgramSpec, source: Source) -> Applied:
        wish = self.book.of(source).get(key)
        old = wish.spec if wish else None
        action = "created" if old is None else "unchanged" if old == spec else "configured"
        return Applied(kind=key[0], name=key[1], action=action, old=old, new=spec)


def _again(spec: ProgramSpec, before: ProgramSpec | None) -> ProgramSpec:
    """Carry a digest over; a wish that changed otherwise is an update, for which its pull policy acts."""
    same = carried(spec, before)
    return same if _runs_as(same, before) else carried(spec, before, anew=True)


def _runs_as(spec: ProgramSpec, before: ProgramSpec | None) -> bool:
    if isinstance(spec, UserProgramSpec) and isinstance(before, UserProgramSpec):
        return spec.runs_as(before)
    return spec == before


def _keys(specs: Sequence[ProgramSpec]) -> dict[Key, ProgramSpec]:
    keys: dict[Key, ProgramSpec] = {}
    for spec in specs:
        key = (kind_of(spec), spec.name)
        if key in keys:
            raise InvalidSpec("metadata.name", f"{key[0]} {key[1]} stands there twice")
        keys[key] = spec
    return keys


def _known(checked: Mapping[Key, tuple[ProgramSpec, Resolved | None]]) -> dict[Key, Resolved]:
    return {key: resolved for key, (_, resolved) in checked.items() if resolved is not None}


def _next(old: Wish | None, spec: ProgramSpec) -> Wish:
    if old is None:
        return Wish(spec=spec)
    return old if old.spec == spec else Wish(spec=spec, generation=old.generation + 1)


def _deleted(key: Key, wish: Wish | None) -> Applied:
    action = "deleted" if wish else "absent"
    return Applied(kind=key[0], name=key[1], action=action, old=wish.spec if wish else None)


def _digest(spec: ProgramSpec) -> str:
    location: object = spec.bytecode if isinstance(spec, KernelProgramSpec) else None
    if not isinstance(spec, KernelProgramSpec) and isinstance(spec.source, WasmSource):
        location = spec.source.location
    return location.digest if isinstance(location, PathObject) else ""
