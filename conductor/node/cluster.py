"""What the node's side needs of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from conductor.model.cluster import Document, Resource, WatchCounts, WatchEvent

__all__ = ["NodeCluster"]

Row = TypeVar("Row")


class NodeCluster(Protocol):
    """One API server (`kube.Cluster`)."""

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Document | None:
        """Read one object; None where there is none."""
        ...

    async def replace_status(self, resource: Resource, document: Document) -> Document:
        """Replace an object's status, if the object is as it was read."""
        ...

    def watching(
        self,
        resource: Resource,
        keep: Callable[[Document], Row | None],
        *,
        fields: str = "",
        counts: WatchCounts | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Row]]]:
        """Follow objects for ever."""
        ...
