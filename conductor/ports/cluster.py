"""A Kubernetes API server, as the controller and the node's reconciler need it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from conductor.model.cluster import Document, Listing, Resource, WatchCounts, WatchEvent

__all__ = ["Cluster"]

Row = TypeVar("Row")


class Cluster(Protocol):
    """Read, list, watch and write objects as plain dicts; every call has a deadline.

    Each call raises `ClusterAway`, `ClusterRefused` (401, 403) and `ClusterInvalid`; changes also raise
    `LeadershipLost` where the cluster given was a leader's. Changes are never sent twice where they may have happened.
    """

    @property
    def namespace(self) -> str:
        """The pod's own, or the kubeconfig context's."""
        ...

    async def get(self, resource: Resource, name: str, *, namespace: str = "", within: float = 10.0) -> Document | None:
        """Read one object; None where there is none."""
        ...

    async def list(
        self,
        resource: Resource,
        keep: Callable[[Document], Row | None],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        within: float = 60.0,
    ) -> Listing[Row]:
        """Read all objects in chunks, keeping of each what `keep` answers; None leaves it out."""
        ...

    def watching(
        self,
        resource: Resource,
        keep: Callable[[Document], Row | None],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        at_most: int = 200_000,
        counts: WatchCounts | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Row]]]:
        """Tell what is there, `Synced`, and from then on what changes; for ever, whatever the server does.

        It holds one row an object, of at most so many. The stream ends with the scope.
        """
        ...

    async def create(self, resource: Resource, document: Document, *, within: float = 10.0) -> Document:
        """Make an object; its metadata has the namespace. Raises `AlreadyExists`."""
        ...

    async def update(self, resource: Resource, document: Document, *, within: float = 10.0) -> Document:
        """Replace an object, if it is as it was read. Raises `ClusterConflict` and `NotFound`."""
        ...

    async def replace_status(self, resource: Resource, document: Document, *, within: float = 10.0) -> Document:
        """Replace an object's status alone, if the object is as it was read. Raises `ClusterConflict`, `NotFound`."""
        ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        change: Document,
        *,
        namespace: str = "",
        subresource: str = "",
        within: float = 10.0,
    ) -> Document:
        """Merge a change into an object; guarded if it holds a resourceVersion. Raises `NotFound`."""
        ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        within: float = 10.0,
    ) -> bool:
        """Delete an object if it is still this one, in this version; answers whether there was one.

        Raises `ClusterConflict`. With finalizers it goes later.
        """
        ...
