"""Kernel programs that look like ours and that no wish of ours is about: seen, counted, said, and left alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from conductor.errors import ConductorError
from conductor.plan.kernel_sets import APP, OWNER
from conductor.ports import Kernel, KernelLoaded

__all__ = ["Strays"]

log = logging.getLogger(__name__)
LOOK_SECONDS = 60.0
MOST_TAGS = 4096
KERNEL_NAME = 15
"""Characters of a program's name that the kernel keeps."""


class Strays:
    """Look for strays whenever the daemon came, for orphans each minute too. Never unloads anything.

    Foreign programs bear the mark of an agent with another id: one beside us, or this one before it lost its state
    directory. Orphans have name and tag (a digest of the instructions) of programs of ours, and the daemon does not
    hold them: it lost them in a crash. They go on running, and are counted into nothing.
    """

    def __init__(self, *, kernel: Kernel, owner: str) -> None:
        self._kernel, self._owner = kernel, owner
        self._came = asyncio.Event()
        self._ours: dict[tuple[str, str], None] = {}
        self._told: frozenset[str] = frozenset()
        self.foreign: tuple[KernelLoaded, ...] | None = None
        """Programs of other agents; None before the daemon was asked."""
        self.orphans: int | None = None
        """None where the daemon does not list what it does not hold."""

    def counts(self) -> dict[str, int | None]:
        """How many there are, for metrics; None where it is not known."""
        foreign = None if self.foreign is None else len(self.foreign)
        return {"orphans": self.orphans, "foreign_programs": foreign}

    def know(self, programs: Collection[KernelLoaded]) -> None:
        """Remember programs of ours, to know them again when nobody holds them any more."""
        for program in programs:
            if program.tag:
                self._ours[program.name[:KERNEL_NAME], program.tag] = None
        while len(self._ours) > MOST_TAGS:
            del self._ours[next(iter(self._ours))]

    def look_again(self) -> None:
        """The daemon came: look soon."""
        self._came.set()

    async def run(self) -> None:
        """Look, for ever; a daemon that is away is asked when it comes."""
        while True:
            is_new = self._came.is_set()
            self._came.clear()
            try:
                if is_new:
                    await self._look_for_foreign()
                await self._look_for_orphans()
            except ConductorError as error:
                log.debug("strays are looked for later: %s", error)
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._came.wait()
        except TimeoutError:
            return

    async def _look_for_foreign(self) -> None:
        held = await self._kernel.loaded({})
        self.foreign = tuple(p for p in held if p.metadata.get(OWNER, self._owner) != self._owner)
        names = frozenset(
            f"{p.name} ({p.id}) of {p.metadata.get(APP, 'a program without a name')}" for p in self.foreign
        )
        if names and names != self._told:
            log.warning(
                "the kernel daemon holds programs of another agent's identity, which are left alone: %s. If no other "
                "agent works with it, they are from before the state directory was lost: unload them by hand",
                ", ".join(sorted(names)[:10]),
            )
        self._told = names

    async def _look_for_orphans(self) -> None:
        unmanaged = await self._kernel.unmanaged()
        if unmanaged is None:
            self.orphans = None
        else:
            self.orphans = sum((program.name[:KERNEL_NAME], program.tag) in self._ours for program in unmanaged)
