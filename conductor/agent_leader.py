"""The elected part as the agent runs it: the controller inside the scope of a Lease, and again after whatever ended it."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Mapping

from conductor.controller.counts import ControllerCounts
from conductor.kube.cluster import Cluster
from conductor.kube.fence import Fence
from conductor.kube.leader import lead_for_ever
from conductor.kube.lease import Lease, identity
from conductor.managers.image import ImageManager
from conductor.managers.kernel_tasks import beside
from conductor.model.cluster import Key
from conductor.plan.backoff import delay

__all__ = ["LEASE", "Leader"]

log = logging.getLogger(__name__)
LEASE = "ebpfconductor"
CALM = 300.0
"""Seconds of work after which an error counts as the first one."""
COUNT_SECONDS = 30.0
"""Between two words to the lease on how many agents want it."""


class Leader:
    """Own this agent's candidacy, and the controller while it leads. A controller that fails harms nobody else."""

    def __init__(self, *, cluster: Cluster, namespace: str, node: str, lease_seconds: float) -> None:
        self._cluster, self._namespace, self._node = cluster, namespace, node
        self._lease = Lease(
            leases=cluster,
            key=Key(namespace, LEASE),
            identity=identity(node),
            seconds=max(1, math.ceil(lease_seconds)),
        )
        self._counts = ControllerCounts()
        self._failures = 0
        """Times that the work ended by an error."""

    async def run(self, images: ImageManager) -> None:
        """Want the lease, and lead while it is held; runs for ever."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await lead_for_ever(self._lease, lambda fence: self._govern(fence, images))
            except Exception:
                self._failures += 1
                failures = failures + 1 if loop.time() - began < CALM else 1
                pause = delay(failures, random.random())  # noqa: S311 - spread, not secrecy
                log.exception("the leader's work failed; this agent can lead again in %.0f s", pause)
                await asyncio.sleep(pause)

    def figures(self) -> Mapping[str, float]:
        """Values by the names of metrics, without their prefix."""
        lease = self._lease.counts
        return {
            "leader": float(lease.held),
            "lease_transitions_total": float(lease.transitions),
            "lease_acquired_total": float(lease.acquired),
            "lease_lost_total": float(lease.lost),
            "lease_renewals_total": float(lease.renewals),
            "lease_failures_total": float(lease.failures),
            "lease_overran_total": float(lease.overran),
            "controller_errors_total": float(self._failures),
            **{f"controller_{name}": value for name, value in self._counts.figures().items()},
        }

    async def _govern(self, fence: Fence, images: ImageManager) -> None:
        from conductor.controller.control import control  # noqa: PLC0415 - of many agents one leads

        async with beside({"candidates": self._count()}):
            await control(
                self._cluster.fenced(fence),
                namespace=self._namespace,
                node=self._node,
                images=images,
                counts=self._counts,
            )

    async def _count(self) -> None:
        """Tell the lease how many nodes there are: of very many agents only some look at it often."""
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            nodes = self._counts.watches.get("nodes")
            self._lease.candidates = max(1, nodes.rows if nodes is not None else 1)
