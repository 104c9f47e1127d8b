"""Take everything of ours back from a cluster before its agents go: from nodes first, then from the API server.

The agents still run meanwhile. They do not lead: the Lease is held in the name of the withdrawal, and the policies let
no other write. What people asked for stays as they wrote it, without our finalizer.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from conductor.errors import AlreadyExists, ClusterConflict, NotFound
from conductor.kube.cluster import Cluster
from conductor.kube.definitions import DEFINITIONS
from conductor.kube.lease_record import LeaseRecord, stamp
from conductor.model.cluster import LEASES, Document, Key, Resource
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    FINALIZER,
    KERNEL_PROGRAMS,
    KIND_LABEL,
    NODE_STATES,
    NODES,
    USER_PROGRAMS,
    NodeRow,
    NodeStateRow,
)

__all__ = ["Withdrawal"]

HOLDER = "withdrawal"
POLICIES = Resource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", namespaced=False)
BINDINGS = Resource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", namespaced=False)
_HELD = 3600
"""Seconds for which no agent leads; `finish` gives the Lease up much earlier."""
_LONGEST_LEASE = 60
_LOOK = 0.5
_SEEN = 3.0
"""Seconds within which every API server has seen that the Lease is gone."""
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Empty one cluster of what agents of `lease` wrote. `tell` hears each step."""

    cluster: Cluster
    lease: Key
    tell: Callable[[str], None]

    async def run(self, *, patience: float) -> tuple[str, ...]:
        """Have every node that lives unload what the cluster asked for, then remove what is ours.

        Nodes that said nothing within `patience` seconds are answered: what they run is theirs to remove. The point of
        no return is the first NodeState that is emptied.
        """
        await self._take_lead()
        used = {row.name for row in (await self._states()).values() if _is_used(row)}
        for name in sorted(used):
            await self.cluster.patch(NODE_STATES, name, {"spec": {"programs": []}})
        left = await self._emptied(used, patience)
        for resource in (KERNEL_PROGRAMS, USER_PROGRAMS):
            held = await self.cluster.list(resource, _held_by_us)
            for key, kept in held.rows.items():
                await self.cluster.patch(resource, key.name, {"metadata": {"finalizers": kept or None}})
        for name in await self._states():
            await self.cluster.delete(NODE_STATES, name)
        revisions = await self.cluster.list(
            CONTROLLER_REVISIONS, lambda document: document, namespace=self.lease.namespace, labels=KIND_LABEL
        )
        for key in revisions.rows:
            await self.cluster.delete(CONTROLLER_REVISIONS, key.name, namespace=key.namespace)
        self.tell(f"{len(revisions.rows)} revisions removed; what people wrote stays")
        return left

    async def finish(self, *, policy: str = "", kinds: tuple[str, ...] = ()) -> None:
        """Remove the Lease, once no agent is there, the policy of this name that asks for it, and these definitions.

        In this order: an API server stops to follow Leases with the last policy that asks for one and never begins again
        (kubernetes/kubernetes#130887, seen with 1.36). Policies of a later install are then decided by what it saw last;
        our own hold on the Lease would let nobody lead until that server is started anew.
        """
        await self.cluster.delete(LEASES, self.lease.name, namespace=self.lease.namespace)
        if policy:
            await asyncio.sleep(_SEEN)
            await self.cluster.delete(BINDINGS, policy)
            await self.cluster.delete(POLICIES, policy)
        for name in kinds:
            await self.cluster.delete(DEFINITIONS, name)
            self.tell(f"{name} removed, with every object of it")

    async def _take_lead(self) -> None:
        moment = stamp(datetime.now(UTC))
        for attempt in range(_TRIES):
            found = await self.cluster.get(LEASES, self.lease.name, namespace=self.lease.namespace)
            record = LeaseRecord.parse(found or {})
            ours = replace(
                record,
                holder=f"{HOLDER}/{uuid.uuid4()}",
                seconds=_HELD,
                acquired=moment,
                renewed=moment,
                transitions=record.transitions + 1,
            )
            try:
                document = ours.document(self.lease, found)
                await (self.cluster.update(LEASES, document) if found else self.cluster.create(LEASES, document))
            except (AlreadyExists, ClusterConflict, NotFound):  # its holder renewed in between
                if attempt == _TRIES - 1:
                    raise
            else:
                await self._outlast(record)
                self.tell(f"lease {self.lease} taken: no agent leads any more")
                return

    async def _outlast(self, before: LeaseRecord) -> None:
        """Wait until who led has stopped for sure. It may not know yet, and what we empty it would fill again.

        The policies refuse that, but they learn of the new holder some moments after us.
        """
        if before.holder and not before.holder.startswith(f"{HOLDER}/"):
            await asyncio.sleep(min(before.seconds, _LONGEST_LEASE))

    async def _states(self) -> dict[str, NodeStateRow]:
        listing = await self.cluster.list(NODE_STATES, NodeStateRow.parse)
        return {row.name: row for row in listing.rows.values()}

    async def _emptied(self, used: set[str], patience: float) -> tuple[str, ...]:
        """Wait for nodes that live; answers those that did not say that they are empty."""
        until = asyncio.get_running_loop().time() + patience
        while True:
            waited = used & {row.name for row in (await self._states()).values() if not _is_empty(row)}
            nodes = await self.cluster.list(NODES, NodeRow.parse)
            living = {row.name for row in nodes.rows.values() if row.ready}
            if not waited & living or asyncio.get_running_loop().time() >= until:
                return tuple(sorted(waited))
            await asyncio.sleep(_LOOK)


def _is_used(row: NodeStateRow) -> bool:
    """Whether its agent has, or may have, something of ours: not where none ever looked and nothing is asked of it."""
    return bool(row.spec or row.observed) or row.observed_generation not in (0, row.generation)


def _is_empty(row: NodeStateRow) -> bool:
    return not row.observed and row.observed_generation == row.generation


def _held_by_us(document: Document) -> list[str] | None:
    """The other finalizers of an object that has ours; None where it has not."""
    finalizers = document["metadata"].get("finalizers") or []
    return [one for one in finalizers if one != FINALIZER] if FINALIZER in finalizers else None
