"""The links of kernel programs: attached, detached, moved out of the way and back, each recorded before it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress

from conductor.errors import AnswerLost, ConductorError, ContainerGone, KernelRefused, NotFound
from conductor.managers.kernel_counters import KernelCounters
from conductor.managers.kernel_records import LinkRecords
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import XdpLink
from conductor.plan.kernel_sets import LinkRecord, LinkWant, LoadedSet
from conductor.ports import Containers, Kernel

__all__ = ["KernelTies", "words"]


class KernelTies:
    """Own attaching and detaching; nothing else calls them."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        containers: Containers,
        records: LinkRecords,
        counters: KernelCounters,
        note: Callable[[Name, str], None],
    ) -> None:
        self._kernel, self._records, self._counters, self._note = kernel, records, counters, note
        self._containers = containers

    async def attach(self, name: Name, program: ProgramId, want: LinkWant) -> None:
        """Attach one link. An unanswered one stays recorded as such: the plan looks whether it stands.

        A container is named to the daemon by a pid. It was the right one if its process lived before and lives after;
        else the link is taken away again. Raises `ContainerGone` then, and what the road raises.
        """
        self._check_alive(want)
        record = LinkRecord(name=name, program=program, want=want)
        before = self._records.open(record)
        try:
            link = await self._kernel.attach(program, want.type, want.link, want.interface)
        except AnswerLost:
            self._note(name, f"the answer to attaching {words(want)} was lost")
            raise
        except ConductorError:
            self._records.undo(record, before)
            self._check_alive(want)
            raise
        self._records.settle(record, link)
        self._counters.attaches += 1
        self._note(name, f"attached {want.function} to {words(want)} as link {link}")
        try:
            self._check_alive(want)
        except ContainerGone:
            await self.detach(name, link, record)
            raise

    def _check_alive(self, want: LinkWant) -> None:
        if want.process is not None and not self._containers.lives(want.process):
            raise ContainerGone(f"{words(want)} ended while it was attached to; whoever follows it is attached to soon")

    async def detach(self, name: Name, link: LinkId, record: LinkRecord | None) -> None:
        """Detach one link; one that is gone already counts as detached."""
        await self._detach(name, link, record)
        if record is not None:
            self._records.drop(record)

    async def _detach(self, name: Name, link: LinkId, record: LinkRecord | None) -> None:
        with suppress(NotFound):
            await self._kernel.detach(link)
        self._counters.detaches += 1
        self._note(name, f"detached link {link}{'' if record is None else f' from {words(record.want)}'}")

    async def take_place(self, name: Name, program: ProgramId, want: LinkWant, old: tuple[LoadedSet, ...]) -> None:
        """Attach beside the old; where there is room for one only (XDP without a dispatcher), in its place.

        That the old made room is recorded before it does: whoever finds it so attaches it again (`restore`).
        """
        try:
            await self.attach(name, program, want)
        except KernelRefused:
            holders = self._holders(want, old)
            if not holders:
                raise
            for link, record in holders:
                if record is not None:
                    self._records.set_aside(record)
                await self._detach(name, link, record)
            await self.attach(name, program, want)

    def made_room(self, old: tuple[LoadedSet, ...]) -> tuple[LinkRecord, ...]:
        """Links of these that were detached, or about to be, for a new version's sake."""
        members = (member for s in old for member in s.members)
        return tuple(record for member in members for record in self._records.of(member.id) if record.aside)

    async def restore(
        self, name: Name, aside: tuple[LinkRecord, ...], listed: Mapping[ProgramId, tuple[LinkId, ...]]
    ) -> None:
        """Attach again what made room and is gone; what cannot be now stays recorded for a later pass."""
        for record in aside:
            with suppress(ConductorError):
                if record.link is not None and record.link in listed.get(record.program, ()):
                    self._records.settle(dataclasses.replace(record, aside=False), record.link)
                else:
                    await self.attach(name, record.program, record.want)

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


def words(want: LinkWant) -> str:
    """Say where a link goes, as a person would write it."""
    link = want.link
    direction = getattr(link, "direction", "")
    target = want.interface or getattr(link, "name", "") or getattr(link, "function", "") or getattr(link, "target", "")
    place = f"{target or type(link).__name__}{f' {direction}' if direction else ''}"
    return place if want.process is None else f"{place} of container {want.process.container[:12]}"
