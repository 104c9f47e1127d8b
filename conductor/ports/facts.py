"""What a cluster knows about addresses and pods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from conductor.model.cluster import WatchCounts, WatchEvent
from conductor.model.facts import Claim, Owner, Pod, Workload

__all__ = ["Claims", "ClusterFacts"]

Claims: TypeAlias = AbstractAsyncContextManager[AsyncIterator[WatchEvent[Claim]]]


class ClusterFacts(Protocol):
    """Facts of one cluster, watched for ever; what is away for a while is told as `Interrupted`."""

    @property
    def counts(self) -> Mapping[str, WatchCounts]:
        """What happened to each watch, by what it watches."""
        ...

    def local_pods(self) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[Pod]]]:
        """Follow this node's pods, in full."""
        ...

    def pods(self) -> Claims:
        """Follow the addresses of all other pods. Costs what all pods of the cluster cost: ask only where it is wanted."""
        ...

    def services(self) -> Claims:
        """Follow the addresses of Services."""
        ...

    def endpoints(self) -> Claims:
        """Follow the addresses that Services have and no pod: ends outside of the cluster."""
        ...

    async def top(self, owner: Owner) -> Workload:
        """Ask who stands at the top above an owner. Raises `ClusterAway`, `ClusterRefused`, `NotFound`."""
        ...
