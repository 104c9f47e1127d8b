"""Clusters for stories: the fake in virtual time, and the real API server. A story is told in each by the same words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from conductor.kube.cluster import Cluster
from conductor.model.cluster import Document, Resource
from tests.cluster.testbed import Testbed
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeConnection, FakeServer
from tests.kube.proxy import Proxy

__all__ = ["MAPS", "PROBES", "Client", "FakeWorld", "RealWorld", "Story", "World"]

MAPS = Resource("", "v1", "configmaps")
PROBES = Resource("test.ebpfconductor.io", "v1", "probes")
"""A custom resource with a status of its own."""
ACCOUNT_RULES: tuple[Document, ...] = (
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    {"apiGroups": [PROBES.group], "resources": ["probes", "probes/status"], "verbs": ["*"]},
)


class Client(Protocol):
    """One agent's way to the cluster."""

    @property
    def cluster(self) -> Cluster: ...
    def cut(self) -> None: ...
    def heal(self) -> None: ...
    def slow(self, seconds: float) -> None:
        """Let everything take so much longer, each way."""
        ...


class World(Protocol):
    """A cluster with an empty namespace, and what may happen to it."""

    namespace: str

    def run(self, story: Story) -> None: ...
    def client(self, node: str) -> AbstractAsyncContextManager[Client]: ...
    def frozen(self) -> AbstractAsyncContextManager[None]: ...
    def away(self) -> AbstractAsyncContextManager[None]:
        """No server for a while; history of before is gone when it is back."""
        ...


Story = Callable[[World], Awaitable[None]]


class FakeWorld:
    """The fake, in virtual time."""

    namespace = "default"

    def run(self, story: Story) -> None:
        async def whole() -> None:
            self.server = FakeServer()
            await story(self)

        virtual_time.run(whole())

    @asynccontextmanager
    async def client(self, node: str) -> AsyncIterator[Client]:
        connection = self.server.client(node)
        yield Wire(connection.cluster, connection, connection.cut.stop, connection.cut.go_on)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        self.server.frozen.stop()
        yield
        self.server.frozen.go_on()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        self.server.stop()
        yield
        self.server.api.compact()
        self.server.start()


class Wire:
    """A client in either world."""

    def __init__(
        self, cluster: Cluster, way: FakeConnection | Proxy, cut: Callable[[], None], heal: Callable[[], None]
    ) -> None:
        self.cluster, self._way, self.cut, self.heal = cluster, way, cut, heal

    def slow(self, seconds: float) -> None:
        self._way.delay = seconds


class RealWorld:
    """The testbed, by node-bound tokens and through a proxy each."""

    def __init__(self, *, testbed: Testbed, namespace: str) -> None:
        self.testbed, self.namespace = testbed, namespace
        testbed.have("/api/v1/namespaces", {"metadata": {"name": namespace}})
        testbed.grant(f"contract-{namespace}", *ACCOUNT_RULES, namespace=namespace)

    def run(self, story: Story) -> None:
        async def whole() -> None:
            async with asyncio.timeout(50):
                await story(self)

        asyncio.run(whole())

    @asynccontextmanager
    async def client(self, node: str) -> AsyncIterator[Client]:
        async with Proxy.running(self.testbed.port) as proxy:
            address = f"https://127.0.0.1:{proxy.port}"
            kubeconfig = self.testbed.agent(node, namespace=self.namespace, server=address)
            async with Cluster.connected(kubeconfig=kubeconfig) as cluster:
                yield Wire(cluster, proxy, proxy.cut, proxy.heal)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        with self.testbed.frozen():
            yield

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        self.testbed.kill()
        try:
            yield
        finally:
            self.testbed.compact()
            self.testbed.api.launch()
            await asyncio.to_thread(self.testbed.wait)
