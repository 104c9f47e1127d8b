"""The hands of the kernel half: perform one planned action through the one road, recording links as they come and go."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import assert_never

from conductor.errors import AnswerLost, ConductorError, KernelAway, KernelRefused, NotFound
from conductor.managers.kernel_records import LinkRecords
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import XdpLink
from conductor.plan.kernel import Action, Adopt, AttachLink, DetachLink, Forget, Load, Replace, Unload, Wait
from conductor.plan.kernel_sets import OWNER, KernelWant, LinkRecord, LinkWant, LoadedSet, sets_of, stamp
from conductor.ports import Kernel, KernelLoad, KernelLoaded

__all__ = ["KernelCounters", "KernelHands"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class KernelCounters:
    """What was done to the kernel since the start; plain numbers for metrics."""

    loads: int = 0
    unloads: int = 0
    attaches: int = 0
    detaches: int = 0
    adoptions: int = 0
    replaces: int = 0
    rollbacks: int = 0
    passes: int = 0
    failures: int = 0


class KernelHands:
    """Do what was planned, one action at a time; the only caller of load, attach, detach and unload."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        records: LinkRecords,
        owner: str,
        boot_id: str,
        counters: KernelCounters,
        note: Callable[[Name, str], None],
    ) -> None:
        self._kernel, self._records = kernel, records
        self._owner, self._boot_id = owner, boot_id
        self._counters, self._note = counters, note

    async def world(self) -> tuple[LoadedSet, ...]:
        """Read what the daemon holds of ours, whoever of us loaded it."""
        return sets_of(await self._kernel.loaded({OWNER: self._owner}), self._boot_id)

    async def perform(self, action: Action) -> None:
        """Do one action. Raises what the road raised; the world is read again before the next decision."""
        match action:
            case Load(want=want, lender=lender):
                await self._attach_all(await self._load(want, lender), want)
            case Replace():
                await self._replace(action)
            case AttachLink(name=name, program=program, want=link):
                await self._attach(name, program, link)
            case DetachLink(name=name, link=link_id, record=record):
                await self._detach(name, link_id, record)
            case Adopt(record=record, link=link_id):
                self._records.settle(record, link_id)
                self._counters.adoptions += 1
                self._note(action.name, f"found the link of an unanswered attach: {link_id}")
            case Forget(record=record):
                self._records.drop(record)
                self._note(action.name, f"{_words(record.want)} is gone from program {record.program}")
            case Unload(name=name, old=old):
                await self._unload(name, old.members)
            case Wait():
                return
            case _:
                assert_never(action)

    async def _load(self, want: KernelWant, lender: LoadedSet | None) -> tuple[KernelLoaded, ...]:
        token = secrets.token_hex(8)
        metadata = stamp(
            want,
            owner=self._owner,
            boot_id=self._boot_id,
            token=token,
            lender="" if lender is None else lender.token,
        )
        loaded = await self._kernel.load(
            KernelLoad(
                path=want.path,
                programs=want.spec.programs,
                global_data=want.spec.global_data,
                map_owner=None if lender is None else lender.members[0].id,
                metadata=metadata,
            )
        )
        self._counters.loads += 1
        self._note(want.name, f"loaded {', '.join(f'{p.name} as {p.id}' for p in loaded)}")
        return loaded

    async def _attach_all(self, loaded: tuple[KernelLoaded, ...], want: KernelWant) -> None:
        """Attach every link, also after one failed. Raises the first failure; what stands stays."""
        failure: ConductorError | None = None
        for link in want.links:
            try:
                await self._attach(want.name, _id_of(loaded, link), link)
            except AnswerLost:
                raise
            except ConductorError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    async def _attach(self, name: Name, program: ProgramId, want: LinkWant) -> None:
        """Attach one link. An unanswered one stays recorded as such: the plan looks whether it stands."""
        record = LinkRecord(name=name, program=program, want=want)
        self._records.open(record)
        try:
            link = await self._kernel.attach(program, want.type, want.link, want.interface)
        except AnswerLost:
            self._note(name, f"the answer to attaching {_words(want)} was lost")
            raise
        except ConductorError:
            self._records.drop(record)
            raise
        self._records.settle(record, link)
        self._counters.attaches += 1
        self._note(name, f"attached {want.function} to {_words(want)} as link {link}")

    async def _detach(self, name: Name, link: LinkId, record: LinkRecord | None) -> None:
        with suppress(NotFound):
            await self._kernel.detach(link)
        if record is not None:
            self._records.drop(record)
        self._counters.detaches += 1
        self._note(name, f"detached link {link}{'' if record is None else f' from {_words(record.want)}'}")

    async def _replace(self, action: Replace) -> None:
        """Bring up the new beside the old, check it, then unload the old.

        The point of no return is the first Unload of the old: before it any failure unloads the new and leaves the
        old running, after it what is left of the old is unloaded by a later pass.
        """
        want = action.want
        loaded = await self._load(want, action.lender)
        moved: list[LinkRecord] = []
        try:
            for link in want.links:
                await self._take_place(want.name, _id_of(loaded, link), link, action.old, moved)
            await self._check(loaded)
        except ConductorError as error:
            await self._return(want.name, loaded, moved, error)
            raise
        self._counters.replaces += 1
        try:
            for old in reversed(action.old):
                await self._unload(want.name, old.members)
        except KernelAway:
            raise
        except ConductorError as error:
            self._note(want.name, f"the version before is not unloaded yet: {error}")

    async def _take_place(
        self, name: Name, program: ProgramId, want: LinkWant, old: tuple[LoadedSet, ...], moved: list[LinkRecord]
    ) -> None:
        """Attach beside the old; where there is room for one only (XDP without a dispatcher), in its place."""
        try:
            await self._attach(name, program, want)
        except KernelRefused:
            holders = self._holders(want, old)
            if not holders:
                raise
            for link, record in holders:
                await self._detach(name, link, record)
                moved += [] if record is None else [record]
            await self._attach(name, program, want)

    def _holders(self, want: LinkWant, old: tuple[LoadedSet, ...]) -> list[tuple[LinkId, LinkRecord | None]]:
        """The old version's links at the same interface, if this kind tolerates no other; unknown ones may be there."""
        if not isinstance(want.link, XdpLink):
            return []
        place, found = (want.interface, want.link.netns), []
        for member in (member for s in old for member in s.members):
            known = {record.link: record for record in self._records.of(member.id)}
            for link in member.links:
                record = known.get(link)
                if record is None or (record.want.interface, getattr(record.want.link, "netns", None)) == place:
                    found.append((link, record))
        return found

    async def _return(
        self, name: Name, loaded: tuple[KernelLoaded, ...], moved: list[LinkRecord], error: ConductorError
    ) -> None:
        """Unload the new and attach what had made room for it; what fails here is healed by a later pass."""
        self._counters.rollbacks += 1
        self._note(name, f"returned to the version before: {error}")
        with suppress(ConductorError):
            await self._unload(name, loaded)
            for record in moved:
                await self._attach(name, record.program, record.want)

    async def _check(self, loaded: tuple[KernelLoaded, ...]) -> None:
        """Make sure that what was just attached stands."""
        listed = {p.id: p.links for p in await self._kernel.loaded({OWNER: self._owner})}
        for program in loaded:
            expected = {record.link for record in self._records.of(program.id)}
            if not expected <= set(listed.get(program.id, ())):
                raise KernelRefused(f"{program.name} was loaded as {program.id} and its links were gone at once")

    async def _unload(self, name: Name, members: tuple[KernelLoaded, ...]) -> None:
        """Unload programs, last first; one that is gone already counts as unloaded."""
        for member in reversed(members):
            with suppress(NotFound):
                await self._kernel.unload(member.id)
            self._records.drop_program(member.id)
            self._counters.unloads += 1
            self._note(name, f"unloaded {member.name} ({member.id})")


def _id_of(loaded: tuple[KernelLoaded, ...], want: LinkWant) -> ProgramId:
    return next(program.id for program in loaded if program.name == want.function)


def _words(want: LinkWant) -> str:
    """Say where a link goes, as a person would write it."""
    link = want.link
    direction = getattr(link, "direction", "")
    target = want.interface or getattr(link, "name", "") or getattr(link, "function", "") or getattr(link, "target", "")
    return f"{target or type(link).__name__}{f' {direction}' if direction else ''}"
