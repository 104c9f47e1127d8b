"""The hands of the kernel half: perform one planned action through the one road, recording links as they come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import assert_never

from conductor.errors import AnswerLost, ConductorError, KernelAway, KernelRefused, NotFound
from conductor.managers.kernel_counters import KernelCounters
from conductor.managers.kernel_loads import KernelLoads
from conductor.managers.kernel_records import LinkRecords
from conductor.managers.kernel_refusals import is_refusal
from conductor.managers.kernel_strays import Strays
from conductor.managers.kernel_ties import KernelTies, words
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.plan.kernel import Action, Adopt, AttachLink, DetachLink, Forget, Load, Replace, Unload, Wait
from conductor.plan.kernel_sets import OWNER, KernelWant, LinkWant, LoadedSet, sets_of
from conductor.ports import Containers, Kernel, KernelLoaded, MapLayouts

__all__ = ["KernelHands"]


class KernelHands:
    """Do what was planned, one action at a time; the only caller of load, attach, detach and unload."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        containers: Containers,
        records: LinkRecords,
        owner: str,
        boot_id: str,
        layouts: MapLayouts | None,
        counters: KernelCounters,
        note: Callable[[Name, str], None],
        remark: Callable[[Name, str], None],
        strays: Strays,
    ) -> None:
        self._strays = strays
        self._kernel, self._records = kernel, records
        self._owner, self._boot_id = owner, boot_id
        self._counters, self._note = counters, note
        self._ties = KernelTies(kernel=kernel, containers=containers, records=records, counters=counters, note=note)
        self._loads = KernelLoads(
            kernel=kernel,
            owner=owner,
            boot_id=boot_id,
            layouts=layouts,
            counters=counters,
            note=note,
            remark=remark,
        )

    @property
    def listed_stand(self) -> bool:
        """Whether every link that the daemon lists stands."""
        return self._kernel.status.lists_what_stands

    async def world(self) -> tuple[LoadedSet, ...]:
        """Read what the daemon holds of ours, whoever of us loaded it."""
        held = await self._kernel.loaded({OWNER: self._owner})
        self._strays.know(held)
        return sets_of(held, self._boot_id)

    async def perform(self, action: Action) -> None:
        """Do one action. Raises what the road raised; the world is read again before the next decision."""
        match action:
            case Load(want=want, lender=lender):
                await self._attach_all(await self._loads.load(want, lender), want)
            case Replace():
                await self._replace(action)
            case AttachLink(name=name, program=program, want=link):
                await self._ties.attach(name, program, link)
            case DetachLink(name=name, link=link_id, record=record):
                await self._ties.detach(name, link_id, record)
            case Adopt(record=record, link=link_id):
                self._records.settle(record, link_id)
                self._counters.adoptions += 1
                self._note(action.name, f"found the link of an unanswered attach: {link_id}")
            case Forget(record=record):
                self._records.drop(record)
                self._note(action.name, f"{words(record.want)} is gone from program {record.program}")
            case Unload(name=name, old=old):
                await self._unload(name, old.members)
            case Wait():
                return
            case _:
                assert_never(action)

    async def _attach_all(self, loaded: tuple[KernelLoaded, ...], want: KernelWant) -> None:
        """Attach every link, also after one failed. Raises the first failure; what stands stays.

        What only containers refused is no failure: each is tried again by itself.
        """
        failure: ConductorError | None = None
        for link in want.links:
            try:
                await self._ties.attach(want.name, _id_of(loaded, link), link)
            except AnswerLost:
                raise
            except ConductorError as error:
                if not is_refusal(want.spec, link, error):
                    failure = failure or error
        if failure is not None:
            raise failure

    async def _replace(self, action: Replace) -> None:
        """Bring up the new beside the old, with the old one's maps if it can have them; check it; unload the old.

        The point of no return is the first Unload of the old: before it any failure unloads the new and leaves the
        old running, after it what is left of the old is unloaded by a later pass.
        """
        name, loaded = action.name, tuple[KernelLoaded, ...]()
        try:
            loaded = await self._loads.load(action.want, action.lender, action.before)
            await self._take_places(action, loaded)
            await self._check(loaded)
        except ConductorError as error:
            await self._return(action, loaded, error)
            raise
        self._counters.replaces += 1
        try:
            for old in reversed(action.old):
                await self._unload(name, old.members)
        except KernelAway:
            raise
        except ConductorError as error:
            self._note(name, f"the version before is not unloaded yet: {error}")

    async def _take_places(self, action: Replace, loaded: tuple[KernelLoaded, ...]) -> None:
        """Attach the new; some containers may refuse it, but not every place."""
        refusals: list[ConductorError] = []
        for link in action.want.links:
            try:
                await self._ties.take_place(action.name, _id_of(loaded, link), link, action.old)
            except ConductorError as error:
                if not is_refusal(action.want.spec, link, error):
                    raise
                refusals.append(error)
        if refusals and len(refusals) == len(action.want.links):
            raise refusals[0]

    async def _return(self, action: Replace, loaded: tuple[KernelLoaded, ...], error: ConductorError) -> None:
        """Unload the new and attach what had made room for it; what fails here is healed by a later pass."""
        name, aside = action.name, self._ties.made_room(action.old)
        if loaded:
            self._counters.rollbacks += 1
            self._note(name, f"returned to the version before: {error}")
        with suppress(ConductorError):
            await self._unload(name, loaded)
        if aside:
            with suppress(ConductorError):
                await self._ties.restore(name, aside, await self._listed())

    async def _check(self, loaded: tuple[KernelLoaded, ...]) -> None:
        """Make sure that what was just attached stands."""
        listed = await self._listed()
        for program in loaded:
            expected = {record.link for record in self._records.of(program.id)}
            if not expected <= set(listed.get(program.id, ())):
                raise KernelRefused(f"{program.name} was loaded as {program.id} and its links were gone at once")

    async def _listed(self) -> Mapping[ProgramId, tuple[LinkId, ...]]:
        return {p.id: p.links for p in await self._kernel.loaded({OWNER: self._owner})}

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
