"""The node's status: written by this agent alone, when something changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from conductor.errors import BudgetExceeded, ClusterConflict, ConductorError, NotFound
from conductor.managers.bus import Bus
from conductor.managers.program import ProgramManager
from conductor.model.cluster import version_of
from conductor.model.fleet import NODE_STATES, AgentReport, NodeStateRow
from conductor.model.program import Source
from conductor.plan.backoff import delay
from conductor.plan.node_reports import Assignments, Seen, reports
from conductor.plan.telling import Telling
from conductor.ports import Cluster

__all__ = ["ReportCounts", "Reporter"]

log = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
"""Between two looks where nothing was told."""
GATHER_SECONDS = 0.1
"""For events that come together."""
CONFLICTS = 5


@dataclass(slots=True)
class ReportCounts:
    """What became of statuses; written by the reporter alone."""

    writes: int = 0
    conflicts: int = 0
    failures: int = 0


class Reporter:
    """Own this node's status. It is told what is assigned and what the API server holds, and looks at the programs."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        programs: ProgramManager,
        bus: Bus,
        agent: Callable[[], AgentReport],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._cluster, self._programs, self._bus, self._agent = cluster, programs, bus, agent
        self._look_seconds = look_seconds
        self._row: NodeStateRow | None = None
        self._assigned: Assignments | None = None
        self._telling = Telling()
        self._stir = asyncio.Event()
        self._failures = 0
        self._not_before = 0.0
        self.counts = ReportCounts()
        self.problem = ""
        """Why the last write failed; empty where it did not."""

    def holds(self, row: NodeStateRow | None) -> None:
        """Take what the API server holds; None: no object, or nobody knows.

        What a watch tells late, our own writes having overtaken it, is no news: written over, it would be a conflict.
        """
        if row is not None and self._row is not None and _version(row) < _version(self._row):
            return
        self._row = row
        self._stir.set()

    def assigned(self, assigned: Assignments) -> None:
        """Take what was made of the assignments."""
        self._assigned = assigned
        self._stir.set()

    def report(self, row: NodeStateRow) -> NodeStateRow | None:
        """Answer what is to be told now; None before anything was looked at."""
        if self._assigned is None:
            return None
        seen = Seen(
            statuses=(*self._programs.observed(), *self._programs.kernel()),
            wishes=self._programs.wishes(Source.CLUSTER),
            under_way=self._programs.under_way(),
        )
        told = reports(self._assigned, seen)
        return replace(row, observed=told, observed_generation=self._assigned.generation, agent=self._agent())

    async def hear(self) -> None:
        """Look whenever something happened to a program; runs for ever."""
        while True:
            with self._bus.subscribe() as events, suppress(BudgetExceeded):
                async for _ in events:
                    self._stir.set()

    async def run(self) -> None:
        """Write what is due; runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._stir.clear()
            due = self._due(loop.time())
            if due is not None and due <= loop.time():
                await self._write()
                continue
            with suppress(TimeoutError):
                longest = self._look_seconds
                async with asyncio.timeout(longest if due is None else min(longest, due - loop.time())):
                    await self._stir.wait()
            await asyncio.sleep(GATHER_SECONDS)

    def _due(self, now: float) -> float | None:
        row = self._row
        if row is None or (report := self.report(row)) is None:
            return None
        due = self._telling.due(row, report, now)
        return None if due is None else max(due, self._not_before)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._written()
        except ConductorError as exc:
            self._failures += 1
            self.counts.failures += 1
            self._not_before = loop.time() + delay(self._failures, 0.5)
            if self.problem != str(exc):
                self.problem = str(exc)
                log.warning("the node's status could not be written: %s", exc)
            return
        self._failures, self.problem, self._not_before = 0, "", 0.0

    async def _written(self) -> None:
        """Write over what is known to be there; what changed meanwhile is read again, and may have nothing left due."""
        for _ in range(CONFLICTS):
            row = self._row
            if row is None or (report := self.report(row)) is None:
                return
            document = {**report.document(), "status": report.status()}
            try:
                answer = await self._cluster.replace_status(NODE_STATES, document)
            except ClusterConflict:
                self.counts.conflicts += 1
                await self._read_again(row)
                if not self._is_due():
                    return
                continue
            except NotFound:
                self._row = None
                return
            self.counts.writes += 1
            self._telling.wrote(asyncio.get_running_loop().time())
            if self._row is not None:  # else it was deleted meanwhile
                self.holds(NodeStateRow.parse(answer))
            return
        raise ClusterConflict(f"it changed {CONFLICTS} times between being read and written; trying again later")

    def _is_due(self) -> bool:
        now = asyncio.get_running_loop().time()
        due = self._due(now)
        return due is not None and due <= now

    async def _read_again(self, row: NodeStateRow) -> None:
        found = await self._cluster.get(NODE_STATES, row.name)
        if self._row is row:
            self._row = NodeStateRow.parse(found) if found is not None else None
        elif found is not None and self._row is not None:  # the watch told meanwhile
            self.holds(NodeStateRow.parse(found))


def _version(row: NodeStateRow) -> int:
    return version_of(row.resource_version)
