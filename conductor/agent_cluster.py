"""The composition root's part for a cluster; imported only where one is configured, as nothing of it is needed else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

from conductor import __version__
from conductor.agent_leader import Leader
from conductor.api.view import View
from conductor.bpfman.road import BpfmanRoad
from conductor.config import ClusterConfig
from conductor.exporter.board import Rows
from conductor.exporter.cluster_families import CLUSTER
from conductor.kube.cluster import Cluster
from conductor.kube.facts import KubeFacts
from conductor.kube.secrets import KubeSecrets
from conductor.managers.bus import Bus
from conductor.managers.cache import CacheManager
from conductor.managers.image import ImageManager
from conductor.managers.kernel_tasks import beside
from conductor.managers.program import ProgramManager
from conductor.model.cluster import WatchCounts
from conductor.model.fleet import AgentReport
from conductor.node.reconciler import NodeReconciler
from conductor.oci.docker_config import DockerConfig

__all__ = ["Membership"]


class Membership:
    """What this agent is in its cluster: a node that follows its NodeState, and asks for facts and pull secrets."""

    families = CLUSTER

    def __init__(self, *, cluster: Cluster, config: ClusterConfig, node: str) -> None:
        self._cluster, self._config, self._node = cluster, config, node
        self._namespace = config.namespace or cluster.namespace
        self.facts = KubeFacts(cluster=cluster, node=node)
        self.secrets = KubeSecrets(
            cluster=cluster,
            namespace=self._namespace,
            parse=lambda data, where: DockerConfig.pull_secret(data, where=where),
        )
        self._reconciler: NodeReconciler | None = None
        self._leader = Leader(
            cluster=cluster, namespace=self._namespace, node=node, lease_seconds=config.lease_duration
        )

    @classmethod
    @asynccontextmanager
    async def found(cls, config: ClusterConfig, node: str) -> AsyncIterator[Self]:
        """Know how to reach the cluster; nothing is asked yet. Raises `InvalidConfig`."""
        async with Cluster.connected(kubeconfig=config.kubeconfig) as cluster:
            yield cls(cluster=cluster, config=config, node=node)

    @asynccontextmanager
    async def working(
        self,
        *,
        programs: ProgramManager,
        images: ImageManager,
        bus: Bus,
        folder: Path,
        road: BpfmanRoad,
        view: View,
    ) -> AsyncIterator[None]:
        """Do this node's part while the body runs, and lead while this agent holds the Lease."""
        async with (
            NodeReconciler.running(
                cluster=self._cluster,
                node=self._node,
                namespace=self._namespace,
                folder=folder,
                allow_paths=self._config.allow_paths,
                programs=programs,
                bus=bus,
                agent=partial(_report, road, view),
            ) as self._reconciler,
            beside({"leader": self._leader.run(images)}),
        ):
            yield

    def problems(self) -> tuple[str, ...]:
        """A line per thing amiss."""
        return self._reconciler.problems() if self._reconciler else ()

    def figures(self, cache: CacheManager) -> Mapping[str, Rows]:
        """Values by the names of `families`."""
        node, facts = self._reconciler, cache.cluster
        if node is None:
            return {}
        reporter = node.reporter.counts
        told: dict[str, Rows] = {
            "cluster_connected": {(): float(node.is_connected)},
            **{name: {(): value} for name, value in self._leader.figures().items()},
            "node_status_writes_total": {(): float(reporter.writes)},
            "node_status_conflicts_total": {(): float(reporter.conflicts)},
            "node_status_failures_total": {(): float(reporter.failures)},
            "node_revisions_fetched_total": {(): float(node.revisions.fetched)},
            **_watches({"nodestate": node.counts, **self.facts.counts}),
        }
        if facts is not None:
            told["cluster_addresses"] = {(what,): float(count) for what, count in facts.counts().items()}
            told["cluster_addresses_lost_total"] = {(why,): float(count) for why, count in facts.losses().items()}
        return {f"conductor_{name}": rows for name, rows in told.items()}


def _report(road: BpfmanRoad, view: View) -> AgentReport:
    """What the cluster is told of this agent."""
    status = road.status
    flavour = status.flavour if status.connected else ""
    return AgentReport(version=__version__, road=status.road, flavour=flavour, ready=view.ready()[0])


def _watches(counts: Mapping[str, WatchCounts]) -> dict[str, Rows]:
    return {
        "kube_watch_rows": {(what,): float(one.rows) for what, one in counts.items()},
        "kube_watch_events_total": {(what,): float(one.events) for what, one in counts.items()},
        "kube_watch_lists_total": {(what,): float(one.lists) for what, one in counts.items()},
        "kube_watch_reconnects_total": {(what,): float(one.reconnects) for what, one in counts.items()},
        "kube_watch_failures_total": {(what,): float(one.failures) for what, one in counts.items()},
        "kube_watch_left_out_total": {(what,): float(one.left_out) for what, one in counts.items()},
        "kube_watch_unreadable_total": {(what,): float(one.unreadable) for what, one in counts.items()},
    }
