"""Requests about one user program: load, update, unload, start, stop, restart; serialised by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conductor.errors import AlreadyExists, ConductorError, NameTaken, NotFound, ProgramCrashed, SourceHolds
from conductor.managers.admission import Admission
from conductor.managers.book import WishBook
from conductor.managers.crew import Crew
from conductor.managers.errands import NameLocks
from conductor.managers.kernel_desk import KernelDesk
from conductor.managers.life import Life
from conductor.model.ids import Name
from conductor.model.manifest import USER_PROGRAM
from conductor.model.program import ProgramSpec, Source, UserProgramSpec
from conductor.model.status import ProgramStatus
from conductor.plan.images import carried
from conductor.plan.merge import Key, Wish

__all__ = ["Ask", "Singles"]

Ask = tuple[Life, int]
"""A life, and the number of the request to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Singles:
    """Turn requests into edits of the book and aims of lives. None of these may be cut short: they run as errands."""

    book: WishBook
    crew: Crew
    admission: Admission
    desk: KernelDesk
    locks: NameLocks = field(default_factory=NameLocks)

    async def load(self, spec: UserProgramSpec, source: Source) -> Ask:
        """Keep a wish; answer what to wait for."""
        key: Key = (USER_PROGRAM, spec.name)
        async with self.locks.held(spec.name):
            held = self.book.merged.held.get(key)
            if held is not None and held.source is not source:
                raise NameTaken(f"{spec.name} is held by source {held.source.word}; ask there, or choose another name")
            spec = _carried(spec, held.wish.spec if held is not None else None)
            checked, resolved = await self.admission.check(spec)
            if held is not None and held.wish.spec != checked:
                raise AlreadyExists(f"{spec.name} is loaded with another spec; Update (conductor update) changes it")
            if held is None:
                await self.crew.vacated([spec.name])
                await self.book.edit(source, put={key: Wish(spec=checked)})
                self.crew.follow_wishes({key: resolved} if resolved else {})
            life = self.life(spec.name)
            return life, life.asked

    async def update(self, spec: UserProgramSpec, source: Source, *, overlap: bool, rollback: bool) -> ProgramStatus:
        """Swap a program for a new spec; wait for the outcome, and go back when it is bad."""
        key: Key = (USER_PROGRAM, spec.name)
        async with self.locks.held(spec.name):
            old = self._own(key, source)
            checked, resolved = await self.admission.check(_carried(spec, old.spec, anew=True))
            note = await self.admission.maker.pins.confirm(checked)
            life = self.life(spec.name)
            life.note = note
            if checked == old.spec:
                await life.settled(life.asked)
                return life.status()
            was_up = life.is_up
            await self.book.edit(source, put={key: Wish(spec=checked, generation=old.generation + 1)})
            self.crew.follow_wishes({key: resolved} if resolved else {}, overlap=overlap)
            failure = await life.settled(life.asked)
            if failure is not None and rollback and was_up:
                await self._take_back(key, source, old, life)
                raise (
                    failure if isinstance(failure, ConductorError) else ProgramCrashed(f"the update failed: {failure}")
                )
            return life.status()

    async def unload(self, name: Name, source: Source) -> None:
        """Withdraw a wish; wait until both halves are gone."""
        key: Key = (USER_PROGRAM, name)
        async with self.locks.held(name):
            self._own(key, source)
            await self.book.edit(source, drop=[key])
            self.crew.follow_wishes()
            await self.crew.vacated([name])
            await self.desk.synced()

    async def stop(self, name: Name) -> Ask:
        """Aim a program at standing still."""
        async with self.locks.held(name):
            life = self.life(name)
            await self.book.stop(name, stopped=True)
            self.crew.follow_wishes()
            return life, life.asked

    async def start(self, name: Name) -> Ask:
        """Aim a stopped program at running again, or one in quarantine."""
        async with self.locks.held(name):
            life = self.life(name)
            if name in self.book.stopped:
                await self.book.stop(name, stopped=False)
                self.crew.follow_wishes()
            elif not life.is_up:
                life.restart()
            return life, life.asked

    async def restart(self, name: Name) -> Ask:
        """Ask a program for a fresh instance; one that was stopped starts."""
        async with self.locks.held(name):
            life = self.life(name)
            if name in self.book.stopped:
                await self.book.stop(name, stopped=False)
            life.restart()
            self.crew.follow_wishes()
            return life, life.asked

    def life(self, name: Name) -> Life:
        """Answer a program's life. Raises `NotFound`."""
        life = self.crew.get(name)
        if life is None or life.is_leaving:
            raise NotFound(f"no program is called {name}; conductor list shows those that are")
        return life

    def _own(self, key: Key, source: Source) -> Wish:
        """Answer a source's own wish. Raises `NotFound`, `SourceHolds`."""
        own = self.book.of(source).get(key)
        if own is not None:
            return own
        held = self.book.merged.held.get(key)
        if held is None:
            raise NotFound(f"no program is called {key[1]}; conductor list shows those that are")
        raise SourceHolds(f"{key[1]} belongs to source {held.source.word}, which alone may change or withdraw it")

    async def _take_back(self, key: Key, source: Source, old: Wish, life: Life) -> None:
        await self.book.edit(source, put={key: old})
        self.crew.follow_wishes()
        await life.settled(life.asked)


def _carried(spec: UserProgramSpec, before: ProgramSpec | None, *, anew: bool = False) -> UserProgramSpec:
    """Carry over what a request cannot say: the digest of an image, and that versions never overlap."""
    now = carried(spec, before, anew=anew)
    assert isinstance(now, UserProgramSpec)
    if isinstance(before, UserProgramSpec) and not before.overlap:
        now = replace(now, overlap=False)
    return now
