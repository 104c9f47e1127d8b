"""An agent's elected part as a process of its own: `python -m tests.cluster.leader KUBECONFIG NODE SECONDS`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from conductor.controller.control import control
from conductor.kube.cluster import Cluster
from conductor.kube.fence import Fence
from conductor.kube.leader import lead_for_ever
from conductor.kube.lease import Lease, identity
from conductor.model.cluster import Key
from tests.cluster.charted import LEASE
from tests.controller.stage import Registry

__all__: list[str] = []


async def main(kubeconfig: str, node: str, seconds: int) -> None:
    """Contend and control until SIGTERM."""
    async with Cluster.connected(kubeconfig=Path(kubeconfig)) as cluster:
        key = Key(cluster.namespace, LEASE)
        lease = Lease(leases=cluster, key=key, identity=identity(node), seconds=seconds)

        async def work(fence: Fence) -> None:
            await control(cluster.fenced(fence), namespace=cluster.namespace, node=node, images=Registry())

        async with asyncio.TaskGroup() as group:
            leading = group.create_task(lead_for_ever(lease, work), name="leading")
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leading.cancel)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    with suppress(asyncio.CancelledError):
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
