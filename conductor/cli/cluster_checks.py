"""What `doctor` looks at of a cluster: whether it can be reached, knows our kinds, and lets this node read its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from conductor.cli.checks import Answer, Finding
from conductor.config import Config
from conductor.errors import ClusterRefused, ConductorError, InvalidConfig, NotFound
from conductor.kube.pod import is_in_pod
from conductor.model.cluster import Key

if TYPE_CHECKING:
    from conductor.kube.cluster import Cluster

__all__ = ["cluster"]

WITHIN = 5.0


def cluster(config: Config) -> Iterator[Finding]:
    """Ask as whoever runs this, with the agent's kubeconfig or pod."""
    if not config.join_cluster or (config.kubeconfig is None and not is_in_pod()):
        detail = "no cluster is configured (--kubeconfig)" if config.join_cluster else "--no-join-cluster"
        yield Finding(area="cluster", name="API server", answer=Answer.UNKNOWN, detail=detail)
        return
    try:
        found = asyncio.run(_looked(config))
    except InvalidConfig as exc:
        detail = str(exc).replace(str(config.kubeconfig), "its file")  # a bundle shows no such paths
        yield Finding(area="cluster", name="API server", answer=Answer.NO, detail=detail, fatal=True)
    except ConductorError as exc:
        detail = f"{exc}; the agent starts, and runs what it ran"
        yield Finding(area="cluster", name="API server", answer=Answer.NO, detail=detail)
    else:
        yield Finding(area="cluster", name="API server", answer=Answer.YES, detail="answers")
        yield from found


async def _looked(config: Config) -> tuple[Finding, ...]:
    from conductor.agent_leader import LEASE  # noqa: PLC0415 - only for those who have a cluster
    from conductor.cli.fence_checks import fence  # noqa: PLC0415 - as above
    from conductor.kube.cluster import Cluster  # noqa: PLC0415 - as above

    async with Cluster.connected(kubeconfig=config.kubeconfig) as cluster:
        assigned = await _assigned(cluster, config.node_name)
        if assigned.answer is Answer.NO:
            return (assigned,)
        lease = Key(config.namespace or cluster.namespace, LEASE)
        try:
            return assigned, await fence(cluster, lease=lease, within=WITHIN)
        except ConductorError as exc:
            told = Finding(area="cluster", name="leader's fence", answer=Answer.UNKNOWN, detail=str(exc))
            return assigned, told


async def _assigned(cluster: Cluster, node: str) -> Finding:
    from conductor.model.fleet import NODE_STATES, NodeStateRow  # noqa: PLC0415 - only for those who have a cluster

    name = "NodeState"
    try:
        listing = await cluster.list(NODE_STATES, NodeStateRow.parse, fields=f"metadata.name={node}", within=WITHIN)
    except NotFound:
        helps = "it does not know our kinds: kubectl apply -f the chart's crds/"
        return Finding(area="cluster", name=name, answer=Answer.NO, detail=helps)
    except ClusterRefused as exc:
        return Finding(area="cluster", name=name, answer=Answer.NO, detail=str(exc))
    rows = list(listing.rows.values())
    if not rows:
        detail = f"{node} has none yet: no program was assigned to it"
        return Finding(area="cluster", name=name, answer=Answer.UNKNOWN, detail=detail)
    detail = f"{node} is to run {len(rows[0].spec)} programs and told of {len(rows[0].observed)}"
    return Finding(area="cluster", name=name, answer=Answer.YES, detail=detail)
