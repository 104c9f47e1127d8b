"""Containers by the cgroups that their runtime made: ids and pod UIDs are in the paths, processes in the files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from conductor.managers.kernel_cgroups import CgroupTrees, Look, is_alive
from conductor.model.facts import ContainerProcess
from conductor.model.kernel import ContainerSelector

__all__ = ["CgroupContainers"]

LOOK_SECONDS = 0.2
"""Between looks at those that were told, and at the pods that are asked for."""
LONGEST_SECONDS = 0.8
"""The same where a look is dear: what comes or goes is to be told within a second."""
SHARE = 50
"""Looks may take this part of the time between them: 2 % of one processor."""
RAREST_SECONDS = 3.0
"""Between two looks at the whole tree, however dear, while something that is asked for is not found."""


class CgroupContainers:
    """Processes of this host's containers; implements `ports.Containers`. Looks only while someone asks for any."""

    def __init__(self, *, cgroups: Path = Path("/sys/fs/cgroup"), look_seconds: float = LOOK_SECONDS) -> None:
        self._trees = CgroupTrees(cgroups=cgroups)
        self._look_seconds = look_seconds
        self._wanted: tuple[ContainerSelector, ...] = ()
        self._told: tuple[ContainerProcess, ...] = ()
        self._asked = asyncio.Event()
        self._cost = 0.0
        self._survey_due = float("-inf")

    async def processes(self, wanted: Collection[ContainerSelector]) -> tuple[ContainerProcess, ...]:
        """Find the oldest process of each container that any of these selects. Raises `NotSupported`."""
        is_new = not _ids(wanted) <= _ids(self._wanted)
        told, self._wanted, self._told = self._told, tuple(wanted), ()
        if not self._wanted:
            self._asked.clear()
            return ()
        self._asked.set()
        if is_new:  # a container may be anywhere; pods are mostly where others were
            self._survey_due = float("-inf")
        self._told = await asyncio.to_thread(self._look, self._wanted, told)
        return self._told

    def lives(self, process: ContainerProcess) -> bool:
        """Tell whether that very process lives."""
        return is_alive(process)

    async def changes(self) -> AsyncIterator[None]:
        """Tell that containers came or went; runs for ever. Raises `NotSupported`."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(min(max(self._look_seconds, self._cost * SHARE), LONGEST_SECONDS))
            told, wanted = self._told, self._wanted
            found = await asyncio.to_thread(self._look, wanted, told)
            if found != told and told is self._told:
                yield

    def _look(
        self, wanted: tuple[ContainerSelector, ...], told: tuple[ContainerProcess, ...]
    ) -> tuple[ContainerProcess, ...]:
        """Look where pods are; and everywhere, as often as it is cheap, while something is not found there."""
        began = time.thread_time()
        look: Look = self._trees.glance(wanted, told)
        glanced = time.thread_time()
        self._cost = glanced - began
        if not look.is_whole and time.monotonic() >= self._survey_due:
            look = self._trees.survey(wanted)
            cost = time.thread_time() - glanced
            self._survey_due = time.monotonic() + min(max(self._look_seconds, cost * SHARE), RAREST_SECONDS)
        return look.processes


def _ids(wanted: Collection[ContainerSelector]) -> frozenset[str]:
    return frozenset(id_ for selector in wanted for id_ in selector.container_ids)
