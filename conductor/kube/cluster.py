"""One API server: read, list, watch and write objects as plain dicts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from conductor.errors import ClusterAway, ClusterInvalid, HistoryGone, NotFound
from conductor.kube.access import Access
from conductor.kube.asking import Asking
from conductor.kube.fence import Fence
from conductor.kube.https import Https
from conductor.kube.pages import pages
from conductor.kube.requests import Request, Transport
from conductor.kube.watch import Patience, Watch
from conductor.model.cluster import Document, Key, Listing, Resource, WatchCounts, WatchEvent

__all__ = ["Cluster"]

Row = TypeVar("Row")
WITHIN = 10.0
"""Seconds for a call and all its tries, where the caller says nothing else."""
PAGE = 30.0
"""Seconds for each chunk of a list."""
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class Cluster:
    """Ask one API server. Every call has a deadline and raises errors of ours alone; a 404 on a read is None."""

    def __init__(self, *, transport: Transport, namespace: str = "default", fence: Fence | None = None) -> None:
        self.namespace = namespace
        """The pod's own, or the kubeconfig context's."""
        self._transport = transport
        self._asking = Asking(transport=transport, fence=fence)

    @classmethod
    @asynccontextmanager
    async def connected(cls, *, kubeconfig: Path | None = None) -> AsyncIterator[Self]:
        """Make a client by this kubeconfig, or inside a pod by what the pod was given. Raises `InvalidConfig`."""
        access = Access.found(kubeconfig)
        async with Https.connected(access) as transport:
            yield cls(transport=transport, namespace=access.namespace)

    def fenced(self, fence: Fence) -> Cluster:
        """Answer the same cluster, whose changes ask the fence right before each send."""
        return Cluster(transport=self._transport, namespace=self.namespace, fence=fence)

    async def get(
        self, resource: Resource, name: str, *, namespace: str = "", within: float = WITHIN
    ) -> Document | None:
        """Read one object; None where there is none."""
        request = Request(method="GET", path=resource.path(namespace, name))
        try:
            return await self._asking.document(request, _doing("get", resource, namespace, name), within=within)
        except NotFound:
            return None

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
        doing = f"list {resource}"
        try:
            async with asyncio.timeout(within):
                for whole in (False, False, True):
                    with suppress(HistoryGone):  # between two pages: begin again, at last in one piece
                        return await self._listed(resource, keep, namespace, _selection(labels, fields), whole)
        except TimeoutError:
            raise ClusterAway(f"{doing}: the API server took longer than {within:g} s") from None
        raise HistoryGone(f"{doing}: its history ended three times while it was read")

    async def _listed(
        self,
        resource: Resource,
        keep: Callable[[Document], Row | None],
        namespace: str,
        query: tuple[tuple[str, str], ...],
        whole: bool,
    ) -> Listing[Row]:
        rows: dict[Key, Row] = {}
        version = ""
        async for page in pages(self._asking, resource, namespace, query, within=PAGE, whole=whole):
            rows |= {Key.of(item): row for item in page.items if (row := keep(item)) is not None}
            version = page.resource_version
        return Listing(rows, version)

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
        patience: Patience | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Row]]]:
        """Tell what is there, `Synced`, and from then on what changes; for ever, whatever the server does.

        Of each object only what `keep` answers is held, of at most so many; None leaves it out.
        """
        watch = Watch(
            asking=self._asking,
            transport=self._transport,
            resource=resource,
            namespace=namespace,
            query=_selection(labels, fields),
            keep=keep,
            at_most=at_most,
            counts=counts or WatchCounts(),
            patience=patience or Patience(),
        )
        return watch.telling()

    async def create(
        self, resource: Resource, document: Document, *, dry_run: bool = False, within: float = WITHIN
    ) -> Document:
        """Make an object, or with `dry_run` have it judged alone. Raises `AlreadyExists`."""
        namespace, name = document["metadata"].get("namespace", ""), document["metadata"].get("name", "")
        query = (("dryRun", "All"),) if dry_run else ()
        request = Request(method="POST", path=resource.path(namespace), query=query, body=_json(document))
        return await self._asking.document(request, _doing("create", resource, namespace, name), within=within)

    async def update(self, resource: Resource, document: Document, *, within: float = WITHIN) -> Document:
        """Replace an object, if it is as it was read. Raises `ClusterConflict` and `NotFound`."""
        return await self._replaced(resource, document, "", within)

    async def replace_status(self, resource: Resource, document: Document, *, within: float = WITHIN) -> Document:
        """Replace an object's status alone, if the object is as it was read. Raises `ClusterConflict`, `NotFound`."""
        return await self._replaced(resource, document, "status", within)

    async def patch(
        self,
        resource: Resource,
        name: str,
        change: Document,
        *,
        namespace: str = "",
        subresource: str = "",
        within: float = WITHIN,
    ) -> Document:
        """Merge a change into an object (JSON merge patch); guarded if it holds a resourceVersion."""
        path = resource.path(namespace, name, subresource)
        request = Request(method="PATCH", path=path, body=_json(change), content_type=MERGE)
        return await self._asking.document(request, _doing("patch", resource, namespace, name), within=within)

    async def apply(self, resource: Resource, document: Document, *, manager: str, within: float = WITHIN) -> Document:
        """Make or change an object to hold this (server-side apply), whoever else holds its fields; `manager` then does."""
        namespace, name = document["metadata"].get("namespace", ""), document["metadata"]["name"]
        query = (("fieldManager", manager), ("force", "true"))
        path = resource.path(namespace, name)
        request = Request(method="PATCH", path=path, query=query, body=_json(document), content_type=APPLY)
        return await self._asking.document(request, _doing("apply", resource, namespace, name), within=within)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        within: float = WITHIN,
    ) -> bool:
        """Delete an object if it is still this one, in this version; answers whether there was one.

        Raises `ClusterConflict`. With finalizers it goes later.
        """
        guard = {"uid": uid, "resourceVersion": resource_version}
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        body = _json({**options, "preconditions": {key: value for key, value in guard.items() if value}})
        request = Request(method="DELETE", path=resource.path(namespace, name), body=body)
        try:
            await self._asking.document(request, _doing("delete", resource, namespace, name), within=within)
        except NotFound:
            return False
        return True

    async def _replaced(self, resource: Resource, document: Document, subresource: str, within: float) -> Document:
        metadata = document["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        doing = _doing("update", resource, namespace, name, subresource)
        if not metadata.get("resourceVersion"):
            raise ClusterInvalid(f"{doing}: it has no resourceVersion, and unguarded updates are not sent")
        path = resource.path(namespace, name, subresource)
        return await self._asking.document(Request(method="PUT", path=path, body=_json(document)), doing, within=within)


def _doing(verb: str, resource: Resource, namespace: str, name: str, subresource: str = "") -> str:
    kind = f"{resource}/{subresource}" if subresource else str(resource)
    return f"{verb} {kind} {Key(namespace, name)}"


def _selection(labels: str, fields: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
