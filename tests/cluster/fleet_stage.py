"""The controller's stage at the real API server: leaders under their own nodes' tokens, agents as coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from conductor.controller.control import control
from conductor.controller.counts import ControllerCounts
from conductor.errors import ConductorError
from conductor.kube.cluster import Cluster
from conductor.kube.fence import Fence
from conductor.kube.leader import lead
from conductor.kube.lease import Lease, identity
from conductor.model.cluster import Document, Key
from conductor.model.fleet import CONTROLLER_REVISIONS, NODE_STATES, NODES, RESOURCES
from tests.cluster.charted import LEASE, apply_rules
from tests.cluster.testbed import Testbed
from tests.controller.stage import Stage

__all__ = ["RealStage", "told"]


class RealStage(Stage):
    """As the stage, with leases and rights: a leader has its node's token, and the chart's rules hold."""

    bed: Testbed

    @asynccontextmanager
    async def elected(self, node: str) -> AsyncIterator[None]:
        """Have an agent contend and lead while the body runs; it gives the lease back."""
        counts = self.counts.setdefault(node, ControllerCounts())
        kubeconfig = await asyncio.to_thread(self.bed.agent, node, namespace=self.namespace)
        async with Cluster.connected(kubeconfig=kubeconfig) as cluster:
            lease = Lease(leases=cluster, key=Key(self.namespace, LEASE), identity=identity(node), seconds=3)

            async def work(fence: Fence) -> None:
                await control(
                    cluster.fenced(fence),
                    namespace=self.namespace,
                    node=node,
                    images=self.registry,
                    wall=self.wall,
                    counts=counts,
                )

            async with asyncio.TaskGroup() as group:
                task = group.create_task(lead(lease, work), name=f"elect {node}")
                try:
                    yield
                finally:
                    task.cancel()


def told(bed: Testbed, namespace: str, story: Callable[[RealStage], Awaitable[None]], *, within: float = 50) -> None:
    """Tell a story with a namespace and rules of its own; nothing of it is left."""
    apply_rules(bed, namespace=namespace)

    async def whole() -> None:
        async with AsyncExitStack() as stack, asyncio.timeout(within):
            admin = await stack.enter_async_context(Cluster.connected(kubeconfig=bed.admin))
            await _clean(admin, namespace)
            stage = RealStage(admin=admin, client=lambda _: admin, namespace=namespace, wall=time.time)
            stage.bed = bed
            try:
                await story(stage)
            finally:
                await _clean(admin, namespace)

    asyncio.run(whole())


async def _clean(admin: Cluster, namespace: str) -> None:
    def itself(document: Document) -> Document:
        return document

    for resource in (*RESOURCES.values(), NODE_STATES, NODES):
        for key in (await admin.list(resource, itself)).rows:
            if resource in RESOURCES.values():
                with suppress(ConductorError):
                    await admin.patch(resource, key.name, {"metadata": {"finalizers": []}})
            await admin.delete(resource, key.name)
    for key in (await admin.list(CONTROLLER_REVISIONS, itself, namespace=namespace)).rows:
        await admin.delete(CONTROLLER_REVISIONS, key.name, namespace=namespace)
