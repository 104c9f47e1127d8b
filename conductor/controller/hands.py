"""Performing what was decided: paced, fenced and guarded writes, whose answers are known at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import assert_never

from conductor.controller.counts import ControllerCounts
from conductor.controller.events import event_of
from conductor.controller.known import NODE, AnyRow, Known
from conductor.controller.pace import Pace
from conductor.errors import AlreadyExists, ClusterConflict, ConductorError, LeadershipLost, NotFound
from conductor.model.cluster import Document, Resource
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    FLEET_EVENTS,
    NODE_STATES,
    RESOURCES,
    Assignment,
    FleetKey,
    NodeStateRow,
)
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.plan.fleet_actions import (
    AddFinalizer,
    CreateNodeState,
    CreateRevision,
    DeleteNodeState,
    DeleteRevision,
    Emit,
    FleetAction,
    RemoveFinalizer,
    WriteNodeState,
    WriteStatus,
)
from conductor.ports import Cluster

__all__ = ["Hands", "concerned"]

log = logging.getLogger(__name__)
AT_ONCE = 8
"""Writes under way: a slow server is not waited for one by one."""
Place = tuple[Resource, str]


def concerned(action: FleetAction) -> tuple[FleetKey, ...]:
    """Answer whom an action is for."""
    match action:
        case CreateNodeState(node=node, changed=changed) | WriteNodeState(node=node, changed=changed):
            return (*changed, FleetKey(NODE, node))
        case DeleteNodeState(node=node):
            return (FleetKey(NODE, node),)
        case _:
            return (action.key,)


class Hands:
    """Write for the leader; nothing else of the controller changes the cluster."""

    def __init__(
        self, *, cluster: Cluster, namespace: str, node: str, known: Known, pace: Pace, counts: ControllerCounts
    ) -> None:
        self._cluster, self._namespace, self._node = cluster, namespace, node
        self._known, self._pace, self._counts = known, pace, counts
        self.doubtful: set[Place] = set()
        """Objects of which it is not known how they are: a write to them failed."""

    async def perform(self, actions: Sequence[FleetAction]) -> tuple[set[FleetKey], set[FleetKey]]:
        """Do all of it, kind after kind; answers for whom something was done, and for whom something failed.

        Raises `LeadershipLost`; no other failure stops the rest.
        """
        touched: set[FleetKey] = set()
        failed: set[FleetKey] = set()
        for kind, these in groupby(actions, key=type):
            queue = [action for action in these if not (kind is Emit and failed.intersection(concerned(action)))]
            async with asyncio.TaskGroup() as group:
                line = iter(queue)
                for number in range(min(AT_ONCE, len(queue))):
                    group.create_task(self._work(line, touched, failed), name=f"write {number}")
        return touched, failed

    async def _work(self, line: Iterable[FleetAction], touched: set[FleetKey], failed: set[FleetKey]) -> None:
        for action in line:
            try:
                touched |= await self._do(action)
                self._counts.writes[type(action).__name__] += 1
            except LeadershipLost:
                raise
            except ConductorError as exc:
                if not isinstance(action, Emit):  # what is only told is not worth another try
                    failed.update(concerned(action))
                    self._doubt(action)
                self._note(action, exc)

    def _note(self, action: FleetAction, exc: ConductorError) -> None:
        if isinstance(exc, ClusterConflict | AlreadyExists | NotFound):
            self._counts.conflicts += 1
            log.debug("%s: %s", type(action).__name__, exc)
        else:
            self._counts.failures += 1
            log.warning("%s: %s; it is tried again", type(action).__name__, exc)

    async def reread(self) -> set[FleetKey]:
        """Read again what is doubtful; answers whom it concerns. Raises `ConductorError` where that fails."""
        touched: set[FleetKey] = set()
        for resource, name in sorted(self.doubtful, key=str):
            namespace = self._namespace if resource == CONTROLLER_REVISIONS else ""
            found = await self._cluster.get(resource, name, namespace=namespace)
            row = _row(resource, found) if found else None
            touched |= self._known.learn(row) if row else self._known.lose(resource, name)
            self.doubtful.discard((resource, name))
        return touched

    def _doubt(self, action: FleetAction) -> None:
        match action:
            case CreateRevision(row=row):
                self.doubtful.add((CONTROLLER_REVISIONS, row.name))
            case DeleteRevision(name=name):
                self.doubtful.add((CONTROLLER_REVISIONS, name))
            case CreateNodeState(node=node) | WriteNodeState(node=node) | DeleteNodeState(node=node):
                self.doubtful.add((NODE_STATES, node))
            case _:
                self.doubtful.add((RESOURCES[action.key.kind], action.key.name))

    # --- one action each ------------------------------------------------------------------------------------------

    async def _do(self, action: FleetAction) -> set[FleetKey]:
        match action:
            case CreateNodeState() | WriteNodeState() | DeleteNodeState():
                return await self._do_to_node(action)
            case CreateRevision(document=document):
                return self._learn(CONTROLLER_REVISIONS, await self._create(CONTROLLER_REVISIONS, document))
            case DeleteRevision(name=name, resource_version=version):
                return await self._delete(CONTROLLER_REVISIONS, name, version, self._namespace)
            case WriteStatus(key=key, resource_version=version, status=status):
                change: Document = {"metadata": {"resourceVersion": version}, "status": status.printed()}
                return await self._patch(RESOURCES[key.kind], key.name, change, "status")
            case AddFinalizer() | RemoveFinalizer():
                metadata = {"resourceVersion": action.resource_version, "finalizers": list(action.finalizers)}
                change = {"metadata": metadata}
                return await self._patch(RESOURCES[action.key.kind], action.key.name, change)
            case Emit():
                await self._tell(action)
                return set()
            case _:
                assert_never(action)

    async def _do_to_node(self, action: CreateNodeState | WriteNodeState | DeleteNodeState) -> set[FleetKey]:
        match action:
            case CreateNodeState(node=node, assignments=given):
                document = NodeStateRow(name=node, spec=given).document()
                return self._learn(NODE_STATES, await self._create(NODE_STATES, document))
            case WriteNodeState(node=node, assignments=given, resource_version=version):
                change = {"metadata": {"resourceVersion": version}, "spec": {"programs": _printed(given)}}
                return await self._patch(NODE_STATES, node, change)
            case DeleteNodeState(node=node, resource_version=version):
                return await self._delete(NODE_STATES, node, version)
            case _:
                assert_never(action)

    async def _tell(self, action: Emit) -> None:
        with suppress(AlreadyExists):  # an earlier leader, or an earlier pass, told it
            await self._create(FLEET_EVENTS, event_of(action, self._node))

    async def _create(self, resource: Resource, document: Document) -> Document:
        await self._pace.spend(_size(document))
        return await self._cluster.create(resource, document)

    async def _patch(self, resource: Resource, name: str, change: Document, subresource: str = "") -> set[FleetKey]:
        await self._pace.spend(_size(change))
        done = await self._cluster.patch(resource, name, change, subresource=subresource)
        metadata = done.get("metadata") or {}
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            return self._known.lose(resource, name)  # that was the last finalizer
        return self._learn(resource, done)

    async def _delete(self, resource: Resource, name: str, version: str, namespace: str = "") -> set[FleetKey]:
        await self._pace.spend(0)
        await self._cluster.delete(resource, name, namespace=namespace, resource_version=version)
        return self._known.lose(resource, name)

    def _learn(self, resource: Resource, document: Document) -> set[FleetKey]:
        row = _row(resource, document)
        return self._known.learn(row) if row else set()


def _row(resource: Resource, document: Document) -> AnyRow | None:
    if resource == NODE_STATES:
        return NodeStateRow.parse(document)
    if resource == CONTROLLER_REVISIONS:
        return RevisionRow.parse(document)
    kind = next(kind for kind, found in RESOURCES.items() if found == resource)
    return ProgramRow.parse(kind, document)


def _printed(assignments: Iterable[Assignment]) -> list[Document]:
    return [item.printed() for item in assignments]


def _size(document: Document) -> int:
    return len(json.dumps(document, separators=(",", ":")))
