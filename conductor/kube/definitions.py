"""Have a cluster serve our kinds: their CustomResourceDefinitions, brought to what this version knows."""

from __future__ import annotations

import asyncio

from conductor.errors import AlreadyExists, ClusterAway, ClusterConflict
from conductor.kube.cluster import Cluster
from conductor.model.cluster import Document, Resource

__all__ = ["DEFINITIONS", "apply"]

DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
WITHIN = 60.0
"""Seconds until the API server serves what was written."""
MANAGER = "helm"
"""In whose name we write: of another's fields Helm would refuse to install a later version over kinds that were kept."""
_TRIES = 5
_PAUSE = 0.2


async def apply(cluster: Cluster, definition: Document) -> str:
    """Make a definition as it should be and wait until it is served; answers created, changed or unchanged.

    Objects of its kind stay. Raises `ClusterAway`, `ClusterRefused`, `ClusterInvalid`, `ClusterConflict`.
    """
    name = definition["metadata"]["name"]
    for attempt in range(_TRIES):
        try:
            done = await _written(cluster, name, definition)
            break
        except (AlreadyExists, ClusterConflict):  # somebody else wrote between our look and our word
            if attempt == _TRIES - 1:
                raise
    await _served(cluster, name)
    return done


async def _written(cluster: Cluster, name: str, definition: Document) -> str:
    found = await cluster.get(DEFINITIONS, name)
    written = await cluster.apply(DEFINITIONS, definition, manager=MANAGER)
    if found is None:
        return "created"
    before, after = (document["metadata"]["generation"] for document in (found, written))
    return "unchanged" if before == after else "changed"


async def _served(cluster: Cluster, name: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while not _is_established(await cluster.get(DEFINITIONS, name)):  # noqa: ASYNC110 - another's condition
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise ClusterAway(
            f"{name} was written and is not served after {WITHIN:g} s; kubectl describe crd {name}"
        ) from None


def _is_established(definition: Document | None) -> bool:
    conditions = (definition or {}).get("status", {}).get("conditions") or ()  # null where nobody has looked yet
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
