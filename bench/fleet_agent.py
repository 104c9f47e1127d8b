"""A simulated agent: its own token and watch, the real reporter; only what its kernel would say is made up."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from typing_extensions import override

from conductor.kube.cluster import Cluster
from conductor.kube.requests import Reply, Request, Stream, Transport
from conductor.model.cluster import Put, Synced, WatchCounts
from conductor.model.fleet import NODE_STATES, AgentReport, FleetKey, NodeStateRow, ProgramReport
from conductor.model.status import State
from conductor.node.reporter import Reporter

LOAD_SECONDS = 1.5
"""Longer than the second after which an agent says that a change is under way: both statuses are written."""
LOOK_SECONDS = 600.0
"""It is told of everything, and a look costs the bench what it costs a node of its own nothing."""


class CountedTransport:
    """Carries requests, and counts what its streams bring and which statuses the server took."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.stream_bytes = 0
        self.statuses: Counter[int] = Counter()
        """By the generation that they answer."""

    async def send(self, request: Request, *, within: float) -> Reply:
        reply = await self._transport.send(request, within=within)
        if request.method == "PUT" and request.body and reply.status < 300:
            self.statuses[json.loads(request.body)["status"]["observedGeneration"]] += 1
        return reply

    def stream(self, request: Request, *, within: float) -> AbstractAsyncContextManager[Stream | Reply]:
        return self._stream(request, within)

    @asynccontextmanager
    async def _stream(self, request: Request, within: float) -> AsyncIterator[Stream | Reply]:
        async with self._transport.stream(request, within=within) as answer:
            yield answer if isinstance(answer, Reply) else Stream(chunks=self._counted(answer.chunks))

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self.stream_bytes += len(chunk)
            yield chunk


class SimulatedReporter(Reporter):
    """Writes as every agent does; each version runs some time after it was assigned."""

    def __init__(self, cluster: Cluster) -> None:
        agent = AgentReport(version="1", road="embedded", flavour="loader", ready=True)
        # Programs and events are asked for by `report` and `hear` alone.
        none = cast("Any", None)
        super().__init__(cluster=cluster, programs=none, bus=none, agent=lambda: agent, look_seconds=LOOK_SECONDS)
        self._begun: dict[tuple[FleetKey, str], float] = {}
        self._taken = NodeStateRow(name="")

    def take(self, row: NodeStateRow) -> bool:
        """Begin with what is assigned, as told by the watch; answers whether that is new."""
        is_new = row.generation != self._taken.generation
        if is_new:
            now = time.time()
            self._begun = {(item.key, item.hash): self._begun.get((item.key, item.hash), now) for item in row.spec}
            self._taken = row
        self.holds(row)
        return is_new

    @override
    def report(self, row: NodeStateRow) -> NodeStateRow | None:
        told = []
        for item in self._taken.spec:
            since = self._begun[item.key, item.hash]
            done = time.time() >= since + LOAD_SECONDS
            state = State.RUNNING if done else State.UPDATING
            told.append(ProgramReport(kind=item.kind, name=item.name, hash=item.hash, state=state, since=since))
        generation = self._taken.generation
        return replace(row, observed=tuple(told), observed_generation=generation, agent=self._agent())

    async def stirred(self, seconds: float) -> None:
        """Look again after a while, as when the kernel tells of a load."""
        await asyncio.sleep(seconds)
        self._stir.set()


class SimulatedAgent:
    """One node's."""

    def __init__(self, *, node: str, transport: Transport) -> None:
        self.node, self.transport = node, CountedTransport(transport)
        self.counts = WatchCounts()
        self.synced = asyncio.Event()
        self._cluster = Cluster(transport=self.transport)
        self.reporter = SimulatedReporter(self._cluster)

    async def run(self) -> None:
        """Watch its own NodeState, for ever."""
        fields = f"metadata.name={self.node}"
        async with asyncio.TaskGroup() as group:
            group.create_task(self.reporter.run(), name=f"{self.node}: status")
            async with self._cluster.watching(
                NODE_STATES, NodeStateRow.parse, fields=fields, counts=self.counts
            ) as told:
                async for event in told:
                    if isinstance(event, Put) and self.reporter.take(event.row):
                        group.create_task(self.reporter.stirred(LOAD_SECONDS + 0.05), name=f"{self.node}: load")
                    elif isinstance(event, Synced):
                        self.synced.set()
