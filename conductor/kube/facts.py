"""Who stands behind addresses: pods, Services and endpoints of a cluster, each read down to a small row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from conductor.errors import ClusterInvalid, NotFound
from conductor.kube.cluster import Cluster
from conductor.kube.facts_rows import Rows, controller_of
from conductor.model.cluster import Document, Resource, WatchCounts, WatchEvent
from conductor.model.facts import Claim, Owner, Pod, Workload

__all__ = ["KubeFacts"]

Row = TypeVar("Row")
PODS = Resource("", "v1", "pods")
SERVICES = Resource("", "v1", "services")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
OWNERS = {
    "ReplicaSet": Resource("apps", "v1", "replicasets"),
    "Job": Resource("batch", "v1", "jobs"),
}
"""Kinds that somebody else makes; of every other kind the owner is the top as far as we can see."""
HIGHEST = 4
"""Steps up, so that owners in a circle end somewhere."""
MOST_PODS = 200_000
MOST_LOCAL = 2_000


class KubeFacts:
    """Read facts of a cluster for the Cache Manager (`ports.ClusterFacts`)."""

    def __init__(self, *, cluster: Cluster, node: str) -> None:
        self._cluster, self._node = cluster, node
        self._rows = Rows(node=node)
        self.counts = {what: WatchCounts() for what in ("local_pods", "pods", "services", "endpoints")}

    def local_pods(self) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Pod]]]:
        """Follow this node's pods."""
        mine, counts = f"spec.nodeName={self._node}", self.counts["local_pods"]
        return self._cluster.watching(
            PODS, _checked(self._rows.local_pod), fields=mine, at_most=MOST_LOCAL, counts=counts
        )

    def pods(self) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Claim]]]:
        """Follow the pods of other nodes."""
        return self._cluster.watching(PODS, _checked(self._rows.pod), at_most=MOST_PODS, counts=self.counts["pods"])

    def services(self) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Claim]]]:
        """Follow Services."""
        return self._cluster.watching(SERVICES, _checked(self._rows.service), counts=self.counts["services"])

    def endpoints(self) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Claim]]]:
        """Follow endpoints that are no pods."""
        return self._cluster.watching(SLICES, _checked(self._rows.endpoints), counts=self.counts["endpoints"])

    async def top(self, owner: Owner) -> Workload:
        """Walk up from an owner until nobody is above. Raises `NotFound` where the first one is gone."""
        at = Workload(kind=owner.kind, name=owner.name, namespace=owner.namespace)
        for step in range(HIGHEST):
            if (resource := OWNERS.get(at.kind)) is None:
                break
            found = await self._cluster.get(resource, at.name, namespace=at.namespace)
            if found is None and step == 0:
                raise NotFound(f"{at.kind} {at.namespace}/{at.name} is gone")
            above = controller_of(found) if found is not None else None
            if above is None:
                break
            at = Workload(kind=above["kind"], name=above["name"], namespace=at.namespace)
        return at


def _checked(keep: Callable[[Document], Row | None]) -> Callable[[Document], Row | None]:
    """An object of a shape that nobody thought of is one that cannot be read, and harms no other."""

    def kept(document: Document) -> Row | None:
        try:
            return keep(document)
        except (LookupError, TypeError, AttributeError, ValueError) as exc:
            raise ClusterInvalid(f"it is not as its kind should be ({type(exc).__name__})") from exc

    return kept
