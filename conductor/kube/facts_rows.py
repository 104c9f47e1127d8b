"""Objects of a cluster as rows about addresses: pure, and small, as there may be very many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar

from conductor.model.cluster import Document
from conductor.model.facts import Claim, Owner, Pod, Workload

__all__ = ["Rows", "controller_of", "top_by_name"]

HASH = "pod-template-hash"
"""A Deployment names its ReplicaSets after itself and the hash that their pods are labelled with."""
STATIC = "kubernetes.io/config.hash"
"""By this, not by its UID, the kubelet names the cgroups of a static pod."""
CRON_SECONDS = 8 * 86400
"""A CronJob names its Jobs after itself and the minute of the schedule; how long a start may be late."""
INTERNED = 65_536
T = TypeVar("T")
ENDED = {"Succeeded", "Failed"}


class Rows:
    """Read objects; equal parts of rows are one object in memory."""

    def __init__(self, *, node: str) -> None:
        self._node = node
        self._shared: dict[Any, Any] = {}

    def local_pod(self, document: Document) -> Pod | None:
        """Read a pod of this node; None where it has ended."""
        metadata, status = document["metadata"], document.get("status") or {}
        if status.get("phase") in ENDED:
            return None
        annotations = metadata.get("annotations") or {}
        uids = (metadata.get("uid", ""), annotations.get(STATIC, ""))
        return Pod(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uids=tuple(uid for uid in uids if uid),
            claim=self._claim(document),
            labels=metadata.get("labels") or {},
            containers=dict(_containers(status)),
            host_network=(document.get("spec") or {}).get("hostNetwork") is True,
        )

    def pod(self, document: Document) -> Claim | None:
        """Read a pod of another node; None for those of ours, and where it has ended."""
        node = (document.get("spec") or {}).get("nodeName", "")
        if not node or node == self._node or (document.get("status") or {}).get("phase") in ENDED:
            return None
        claim = self._claim(document)
        return claim if claim.addresses or claim.host else None

    def service(self, document: Document) -> Claim | None:
        """Read a Service's own addresses; None for those without."""
        metadata, spec = document["metadata"], document.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return None
        texts = [*(spec.get("clusterIPs") or [spec.get("clusterIP", "")]), *(spec.get("externalIPs") or ())]
        balancer = ((document.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        addresses = _addresses([*texts, *(entry.get("ip", "") for entry in balancer)])
        service = self._workload("Service", metadata["name"], metadata["namespace"])
        return Claim(addresses=addresses, workload=service, since=_since(metadata)) if addresses else None

    def endpoints(self, document: Document) -> Claim | None:
        """Read a slice's addresses that belong to no pod; None where there are none."""
        metadata = document["metadata"]
        service = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
        if not service or document.get("addressType") == "FQDN":
            return None
        ends = [end for end in document.get("endpoints") or () if (end.get("targetRef") or {}).get("kind") != "Pod"]
        addresses = _addresses(text for end in ends for text in end.get("addresses") or ())
        workload = self._workload("Service", service, metadata["namespace"])
        return Claim(addresses=addresses, workload=workload, since=_since(metadata)) if addresses else None

    def _claim(self, document: Document) -> Claim:
        metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
        own = () if spec.get("hostNetwork") else _addresses(_ips(status, "podIPs", "podIP"))
        workload, asks = self._top(metadata)
        return Claim(
            addresses=own,
            workload=workload,
            asks=asks,
            since=_since(metadata),
            leaving="deletionTimestamp" in metadata,
            host=self._host(spec.get("nodeName", ""), _addresses(_ips(status, "hostIPs", "hostIP"))),
        )

    def _host(self, node: str, addresses: tuple[bytes, ...]) -> Claim | None:
        if not node or not addresses:
            return None
        return self._one(Claim(addresses=addresses, workload=self._workload("Node", node, "")))

    def _top(self, metadata: Document) -> tuple[Workload, Owner | None]:
        namespace = metadata["namespace"]
        above = controller_of({"metadata": metadata})
        if above is None or above["kind"] == "Node":  # a static pod: nobody stands above it
            return self._workload("Pod", metadata["name"], namespace), None
        kind, name = top_by_name(above["kind"], above["name"], metadata)
        asks = None
        if kind in {"ReplicaSet", "Job"}:
            asks = self._one(Owner(kind=kind, namespace=namespace, name=name))
        return self._workload(kind, name, namespace), asks

    def _workload(self, kind: str, name: str, namespace: str) -> Workload:
        return self._one(Workload(kind=kind, name=name, namespace=namespace))

    def _one(self, value: T) -> T:
        if len(self._shared) >= INTERNED:
            self._shared.clear()  # equal values are shared a little less: nothing else
        shared: T = self._shared.setdefault(value, value)
        return shared


def controller_of(document: Document) -> Document | None:
    """Answer the owner that controls an object; None where it was made by itself."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def top_by_name(kind: str, name: str, pod: Document) -> tuple[str, str]:
    """Tell who made a pod's ReplicaSet or Job where the names say so for certain; else the same again.

    It spares a request for each of them, of every agent.
    """
    hashed = (pod.get("labels") or {}).get(HASH)
    if kind == "ReplicaSet" and hashed and name.endswith(f"-{hashed}"):
        return "Deployment", name.removesuffix(f"-{hashed}")
    stem, _, minute = name.rpartition("-")
    if kind == "Job" and stem and minute.isdecimal() and -300 <= _since(pod) - int(minute[:12]) * 60 < CRON_SECONDS:
        return "CronJob", stem
    return kind, name


def _containers(status: Document) -> Iterator[tuple[str, str]]:
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(field) or ():
            if id_ := container.get("containerID", "").rpartition("://")[2]:
                yield id_, container["name"]


def _ips(status: Document, many: str, one: str) -> list[str]:
    return [entry.get("ip", "") for entry in status.get(many) or ()] or [status.get(one, "")]


def _addresses(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(packed for text in texts if (packed := _packed(text))))


def _packed(text: str) -> bytes:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return b""  # "None" of a headless Service, or nothing yet
    return address.packed if isinstance(address, IPv6Address) else bytes(10) + b"\xff\xff" + address.packed


def _since(metadata: Document) -> int:
    try:
        return int(datetime.fromisoformat(metadata.get("creationTimestamp") or "").timestamp())
    except ValueError:
        return 0
