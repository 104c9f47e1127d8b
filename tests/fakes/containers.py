"""In-memory `ports.Containers`: processes that a test edits; `change` tells those who watch.

What it models: only what is asked for is answered; a process that ended is told by `lives` before `processes` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

from conductor.errors import ConductorError
from conductor.model.facts import ContainerProcess
from conductor.model.kernel import ContainerSelector

__all__ = ["FakeContainers"]


class FakeContainers:
    """Containers of a host that does not exist."""

    def __init__(self, *processes: ContainerProcess) -> None:
        self._processes = processes
        self._changed = asyncio.Event()
        self.breaths: dict[ContainerProcess, int] = {}
        """Looks that a process survives; one that is not named lives as long as it is told."""
        self.failure: ConductorError | None = None

    async def processes(self, wanted: Collection[ContainerSelector]) -> tuple[ContainerProcess, ...]:
        if wanted and self.failure is not None:
            raise self.failure
        pods = {uid for selector in wanted for uid in selector.pod_uids}
        ids = {id_ for selector in wanted for id_ in selector.container_ids}
        return tuple(p for p in self._processes if p.pod_uid in pods or p.container in ids)

    def lives(self, process: ContainerProcess) -> bool:
        if process in self.breaths:
            self.breaths[process] -= 1
            return self.breaths[process] >= 0
        return process in self._processes

    async def changes(self) -> AsyncIterator[None]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield

    def change(self, *processes: ContainerProcess) -> None:
        """Have these from now on."""
        self._processes = processes
        self._changed.set()
