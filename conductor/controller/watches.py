"""The watches of a leader: what they tell becomes known, and whom it concerns is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from sys import intern
from typing import TypeAlias

from conductor.controller.counts import ControllerCounts
from conductor.controller.known import WATCHED, AnyRow, Known
from conductor.controller.queue import KeyQueue
from conductor.model.cluster import Document, Gone, Interrupted, Put, Resource, Synced, WatchCounts, WatchEvent
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    KERNEL_PROGRAM,
    KERNEL_PROGRAMS,
    KIND_LABEL,
    NODE_STATES,
    NODES,
    USER_PROGRAM,
    USER_PROGRAMS,
    Assignment,
    NodeRow,
    NodeStateRow,
)
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.ports import Cluster

__all__ = ["Watches"]

MOST_SHARED = 20_000
Told: TypeAlias = AbstractAsyncContextManager[AsyncIterator[WatchEvent[AnyRow]]]


class Watches:
    """Follow programs, nodes, their states and our revisions; of each object a parsed row is kept."""

    def __init__(
        self, *, cluster: Cluster, namespace: str, known: Known, queue: KeyQueue, counts: ControllerCounts
    ) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._known, self._queue, self._counts = known, queue, counts
        self._shared: dict[Assignment, Assignment] = {}
        """Entries that many nodes have: the same object in each of their rows."""

    async def begin(self, group: asyncio.TaskGroup) -> None:
        """Follow everything in tasks of this group, and wait until all of it is known."""
        synced = [asyncio.Event() for _ in WATCHED]
        for resource, told in zip(WATCHED, synced, strict=True):
            group.create_task(self._follow(resource, told), name=f"controller: {resource.plural}")
        for told in synced:
            await told.wait()  # nothing is decided by half of a cluster

    async def _follow(self, resource: Resource, told: asyncio.Event) -> None:
        is_revision = resource == CONTROLLER_REVISIONS
        events: Told = self._cluster.watching(
            resource,
            self._keeper(resource),
            namespace=self._namespace if is_revision else "",
            labels=KIND_LABEL if is_revision else "",
            counts=self._counts.watches.setdefault(resource.plural, WatchCounts()),
        )
        async with events as stream:
            async for event in stream:
                match event:
                    case Put(row=row):
                        self._queue.add(self._known.learn(row))
                    case Gone(key=key):
                        self._queue.add(self._known.lose(resource, key.name))
                    case Synced():
                        told.set()
                    case Interrupted():
                        pass  # it goes on by itself; what is known is old until then, and guarded writes find out

    def _keeper(self, resource: Resource) -> Callable[[Document], AnyRow | None]:
        keepers: dict[Resource, Callable[[Document], AnyRow | None]] = {
            KERNEL_PROGRAMS: partial(ProgramRow.parse, KERNEL_PROGRAM),
            USER_PROGRAMS: partial(ProgramRow.parse, USER_PROGRAM),
            NODES: _node,
            NODE_STATES: self._node_state,
            CONTROLLER_REVISIONS: RevisionRow.parse,
        }
        return keepers[resource]

    def _node_state(self, document: Document) -> NodeStateRow:
        row = NodeStateRow.parse(document)
        if len(self._shared) > MOST_SHARED:
            self._shared.clear()
        return replace(row, spec=tuple(self._shared.setdefault(item, item) for item in row.spec))


def _node(document: Document) -> NodeRow:
    row = NodeRow.parse(document)
    return replace(row, labels={intern(key): intern(value) for key, value in row.labels.items()})
