"""A candidate as a process of its own: `python -m tests.kube.contender KUBECONFIG NODE SECONDS`.

Its work claims the map `work` and then changes it all the time, each change guarded and fenced. It prints `leads` and
`stopped` when its work begins and has ended.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from conductor.errors import ConductorError, LeadershipLost
from conductor.kube.cluster import Cluster
from conductor.kube.fence import Fence
from conductor.kube.leader import lead_for_ever
from conductor.kube.lease import Lease, identity
from conductor.model.cluster import Key, Resource

__all__ = ["MAPS"]

MAPS = Resource("", "v1", "configmaps")
EVERY = 0.02


async def main(kubeconfig: str, node: str, seconds: int) -> None:
    """Contend until SIGTERM."""
    async with Cluster.connected(kubeconfig=Path(kubeconfig)) as cluster:
        me = identity(node)
        lease = Lease(leases=cluster, key=Key(cluster.namespace, "leader"), identity=me, seconds=seconds)

        async def work(fence: Fence) -> None:
            print("leads", flush=True)
            try:
                await _write(cluster.fenced(fence), me)
            finally:
                print("stopped", flush=True)

        async with asyncio.TaskGroup() as group:
            leading = group.create_task(lead_for_ever(lease, work))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leading.cancel)


async def _write(cluster: Cluster, me: str) -> None:
    number = 0
    while True:
        try:
            before = await cluster.get(MAPS, "work", namespace=cluster.namespace)
            assert before is not None
            number += 1
            # A frozen process may wake up anywhere from here on.
            await cluster.update(MAPS, {**before, "data": {"by": me, "number": str(number)}})
        except LeadershipLost:
            raise
        except ConductorError:
            pass
        await asyncio.sleep(EVERY)


if __name__ == "__main__":
    with suppress(asyncio.CancelledError):
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
