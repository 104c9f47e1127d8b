"""The node reconciler: what this node's NodeState says becomes the cluster's wishes here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from conductor.errors import ClusterRefused, ConductorError, NotFound
from conductor.managers.bus import Bus
from conductor.managers.kernel_tasks import beside
from conductor.managers.program import ProgramManager
from conductor.model.cluster import Gone, Interrupted, Put, Synced, WatchCounts
from conductor.model.fleet import NODE_STATES, AgentReport, Assignment, FleetKey, NodeStateRow
from conductor.model.ids import Name
from conductor.model.program import ProgramSpec, Source
from conductor.node.copy import NodeCopy
from conductor.node.reporter import Reporter
from conductor.node.revisions import Revisions, Specs
from conductor.plan.backoff import delay
from conductor.plan.merge import Wish
from conductor.plan.node_reports import Assignments
from conductor.plan.same import is_same
from conductor.ports import Cluster

__all__ = ["NodeReconciler"]

log = logging.getLogger(__name__)
UNLOAD_SECONDS = 1.0
"""Between two looks whether what was withdrawn is gone."""


class NodeReconciler:
    """Own the wishes of source cluster: watch one object, follow it, and say what came of it."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        node: str,
        namespace: str,
        folder: Path,
        allow_paths: bool,
        programs: ProgramManager,
        bus: Bus,
        agent: Callable[[], AgentReport],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster, self._node, self._programs, self._clock = cluster, node, programs, clock
        self._copy = NodeCopy(root=folder)
        self.revisions = Revisions(cluster=cluster, namespace=namespace, copy=self._copy, allow_paths=allow_paths)
        self.reporter = Reporter(cluster=cluster, programs=programs, bus=bus, agent=agent)
        self.counts = WatchCounts()
        self._row: NodeStateRow | None = None
        self._is_live = False
        """The watch has told all that is there."""
        self._wake = asyncio.Event()
        self._applied = Assignments()
        self._has_applied = False
        self._away = "the API server has not answered yet"
        self._problem = ""
        self._failures = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        cluster: Cluster,
        node: str,
        namespace: str,
        folder: Path,
        allow_paths: bool,
        programs: ProgramManager,
        bus: Bus,
        agent: Callable[[], AgentReport],
    ) -> AsyncIterator[Self]:
        """Follow this node's NodeState while the body runs; begins by the local copy. Raises `StateUnwritable`."""
        self = cls(
            cluster=cluster,
            node=node,
            namespace=namespace,
            folder=folder,
            allow_paths=allow_paths,
            programs=programs,
            bus=bus,
            agent=agent,
        )
        self._copy.prepare()
        await self._from_copy()
        work = {
            "node: watch": self._watch(),
            "node: wishes": self._follow(),
            "node: events": self.reporter.hear(),
            "node: status": self.reporter.run(),
        }
        async with beside(work):
            yield self

    @property
    def is_connected(self) -> bool:
        """Whether the API server answers."""
        return not self._away

    def problems(self) -> tuple[str, ...]:
        """A line per thing amiss."""
        lines = []
        if self._away:
            lines.append(f"{self._away}; what runs goes on")
        if self._problem:
            lines.append(self._problem)
        if self.reporter.problem and not self._away:
            lines.append(f"the node's status could not be written: {self.reporter.problem}")
        return tuple(lines)

    # --- watching -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        fields = f"metadata.name={self._node}"
        async with self._cluster.watching(NODE_STATES, NodeStateRow.parse, fields=fields, counts=self.counts) as told:
            async for event in told:
                match event:
                    case Put(row=row):
                        self._hold(row)
                    case Gone():
                        self._hold(None)
                    case Synced():
                        self._is_live, self._away = True, ""
                        self._hold(self._row)
                    case Interrupted(error=error):
                        self._away = _away(error)

    def _hold(self, row: NodeStateRow | None) -> None:
        self._row, self._away = row, self._away if row is None else ""
        self.reporter.holds(row)
        self._wake.set()

    # --- following ------------------------------------------------------------------------------------------------

    async def _from_copy(self) -> None:
        """Take what was assigned before: the API server may be away, and nobody waits for it."""
        assigned = await asyncio.to_thread(self._copy.assigned)
        if assigned is None:
            return
        specs = await self.revisions.specs(assigned.programs, fetch=False)
        with suppress(ConductorError):  # it is tried again once the watch told
            await self._take(assigned.generation, assigned.programs, specs)

    async def _follow(self) -> None:
        while True:
            await self._wait()
            if self._is_live or self._row is not None:
                await self._try()

    async def _wait(self) -> None:
        """Wait for news of the object, for the next try, or for the next look at what leaves."""
        pause = None
        if self._failures:
            pause = delay(self._failures, 0.5, longest=60.0)
        elif self._applied.leaving:
            pause = UNLOAD_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()
        self._wake.clear()

    async def _try(self) -> None:
        row = self._row
        generation, wanted = (row.generation, row.spec) if row is not None else (0, ())
        try:
            if self._is_new(generation, wanted):
                await self._apply(generation, wanted)
            else:
                self._look_at_leaving()
        except ConductorError as exc:
            self._failures += 1
            self._problem = f"what the cluster assigned could not be taken over: {exc}"
            log.warning("%s", self._problem)

    def _is_new(self, generation: int, wanted: tuple[Assignment, ...]) -> bool:
        applied = self._applied
        is_same_set = self._has_applied and (applied.generation, applied.programs) == (generation, wanted)
        return not is_same_set or _may_mend(applied.refused)

    async def _apply(self, generation: int, wanted: tuple[Assignment, ...]) -> None:
        specs = await self.revisions.specs(wanted, fetch=True)
        await asyncio.to_thread(self._copy.assign, generation, wanted)
        await self._take(generation, wanted, specs)
        await self.revisions.collect(wanted)
        self._problem = ""
        self._failures = self._failures + 1 if _may_mend(specs.refused) else 0

    async def _take(self, generation: int, wanted: tuple[Assignment, ...], specs: Specs) -> None:
        """Make these the cluster's wishes. Of a version that is refused the one before stays."""
        wishes = self._programs.wishes(Source.CLUSTER)
        before = {FleetKey(kind, name): wish for (kind, name), wish in wishes.items()}
        kept = {key: before[key].spec for key in specs.refused if key in before}
        desired = specs.good | kept
        if not _are_same(desired, before):
            await self._programs.set_source(
                Source.CLUSTER, [desired[item.key] for item in wanted if item.key in desired]
            )
        hashes = {item.key: item.hash for item in self._applied.programs} | dict(self._applied.leaving)
        named = {item.key for item in wanted}
        self._say(
            Assignments(
                generation=generation,
                programs=wanted,
                refused=specs.refused,
                refused_at=self._clock() if specs.refused else 0.0,
                leaving={key: hashes.get(key, "") for key in (*before, *self._applied.leaving) if key not in named},
            )
        )
        self._look_at_leaving()

    def _look_at_leaving(self) -> None:
        under_way = self._programs.under_way()
        staying = {
            key: digest for key, digest in self._applied.leaving.items() if (key.kind, Name(key.name)) in under_way
        }
        if staying != self._applied.leaving:
            applied = self._applied
            self._say(
                Assignments(
                    generation=applied.generation,
                    programs=applied.programs,
                    refused=applied.refused,
                    refused_at=applied.refused_at,
                    leaving=staying,
                )
            )

    def _say(self, assignments: Assignments) -> None:
        self._applied, self._has_applied = assignments, True
        self.reporter.assigned(assignments)


def _are_same(desired: Mapping[FleetKey, ProgramSpec], before: Mapping[FleetKey, Wish]) -> bool:
    """Whether the wishes are there already: then the files that they name are not read again."""
    return desired.keys() == before.keys() and all(is_same(spec, before[key].spec) for key, spec in desired.items())


def _away(error: ConductorError) -> str:
    match error:
        case ClusterRefused():
            return f"the API server refuses this agent: {error}"
        case NotFound():
            return "the API server does not know NodeState: apply the chart's CRDs"
        case _:
            return f"the API server is away: {error}"


def _may_mend(refused: Mapping[FleetKey, ConductorError]) -> bool:
    """Whether one of them is worth another try; rights may be given without a word to us."""
    return any(error.retry or isinstance(error, ClusterRefused) for error in refused.values())
