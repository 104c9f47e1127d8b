"""What `doctor` tries of the admission policies: whether the API server lets the leader alone write what leaders write."""

from __future__ import annotations

from conductor.cli.checks import Answer, Finding
from conductor.errors import ClusterRefused
from conductor.kube.cluster import Cluster
from conductor.kube.lease_record import LeaseRecord
from conductor.model.cluster import LEASES, Key, Resource
from conductor.model.fleet import CONTROLLER_REVISIONS

__all__ = ["fence"]

REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False)
NODE_CLAIM = "authentication.kubernetes.io/node-name"
_POLICY = "ValidatingAdmissionPolicy"
_RESTART = "goes by a Lease of the past, as after the chart was uninstalled once; start kube-apiserver anew"


async def fence(cluster: Cluster, *, lease: Key, within: float) -> Finding:
    """Try a leader's write as whoever asks, without writing. Raises `ClusterAway`, `ClusterRefused` for the questions."""
    node = await _node(cluster, within)
    found = await cluster.get(LEASES, lease.name, namespace=lease.namespace, within=within)
    holder = LeaseRecord.parse(found or {}).holder
    leader = holder.partition("/")[0]
    if not node or not leader:
        why = f"nobody leads: Lease {lease}" if node else "the policies bind agents alone, and this token is no node's"
        return _told(Answer.UNKNOWN, why)
    refusal = await _refusal(cluster, lease.namespace, within)
    if refusal and _POLICY not in refusal:
        return _told(Answer.UNKNOWN, refusal)
    return _judged(refusal, node=node, holder=holder)


def _judged(refusal: str, *, node: str, holder: str) -> Finding:
    leader = holder.partition("/")[0]
    match bool(refusal), node == leader:
        case False, True:
            return _told(Answer.YES, f"{leader}, this node, leads")
        case True, False if holder in refusal:
            return _told(Answer.YES, f"{leader} leads, and this node is refused")
        case False, False:
            helps = "apply the chart's policies; if they are there, the API server"
            return _told(Answer.NO, f"{leader} leads, and this node could write too: {helps} {_RESTART}")
        case _:
            return _told(Answer.NO, f"the API server {_RESTART}: {refusal}")


async def _node(cluster: Cluster, within: float) -> str:
    """The node that our token is bound to."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
    told = await cluster.create(REVIEWS, asked, within=within)
    extra = told.get("status", {}).get("userInfo", {}).get("extra") or {}
    return "".join(extra.get(NODE_CLAIM, ())[:1])


async def _refusal(cluster: Cluster, namespace: str, within: float) -> str:
    """What keeps us from making a revision; empty where we might."""
    revision = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"generateName": "doctor-", "namespace": namespace},
        "revision": 1,
        "data": {},
    }
    try:
        await cluster.create(CONTROLLER_REVISIONS, revision, dry_run=True, within=within)
    except ClusterRefused as exc:
        return str(exc)
    return ""


def _told(answer: Answer, detail: str) -> Finding:
    return Finding(area="cluster", name="leader's fence", answer=answer, detail=detail)
