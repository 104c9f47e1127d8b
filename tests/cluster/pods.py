"""Pods as a kubelet leaves them: an object at the API server, cgroups of its UID, processes with a network of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.testbed import Document, Testbed
from tests.managers.cgroup_containers import Pod, pod
from tests.real_bpfman.space import Space, spaced

__all__ = ["Kubelet", "RealPod"]


@dataclass
class RealPod:
    """One pod: who it is, and where its sandbox and its one container live."""

    namespace: str
    name: str
    uid: str
    cgroup: Pod
    space: Space
    container: str


class Kubelet:
    """Make pods of one node, and end them."""

    def __init__(self, bed: Testbed, node: str) -> None:
        self.bed, self.node = bed, node
        self._stack = ExitStack()

    @classmethod
    @contextmanager
    def running(cls, bed: Testbed, node: str) -> Iterator[Kubelet]:
        """Have one; what it made is gone afterwards."""
        self = cls(bed, node)
        with self._stack:
            yield self

    def scheduled(self, namespace: str, name: str, *, host_network: bool = False, **labels: str) -> Document:
        """Have a pod's object, given to this node, of which nothing runs yet."""
        self.bed.have("/api/v1/namespaces", {"metadata": {"name": namespace}})
        spec = {"nodeName": self.node, "containers": [{"name": "app", "image": "none"}], "hostNetwork": host_network}
        path = _pods(namespace)
        made = self.bed.call("POST", path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
        self._stack.callback(self.gone, namespace, name)
        return made

    def start(self, made: Document, *command: str) -> RealPod:
        """Start its sandbox, in a network namespace of its own, and then its container; the API server hears of none."""
        metadata = made["metadata"]
        cgroup = self._stack.enter_context(pod(scoped=True, uid=metadata["uid"]))
        space = self._stack.enter_context(spaced(*command))
        cgroup.take(cgroup.container(), space.process.pid)
        return RealPod(metadata["namespace"], metadata["name"], metadata["uid"], cgroup, space, cgroup.container())

    def ran(self, namespace: str, name: str, **labels: str) -> RealPod:
        """Have a pod that runs, told or not."""
        return self.start(self.scheduled(namespace, name, host_network=False, **labels))

    def told(self, real: RealPod) -> None:
        """Tell the API server of its container."""
        path = f"{_pods(real.namespace)}/{real.name}"
        running: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        status = {"name": "app", "image": "none", "imageID": "none", "ready": True, "restartCount": 0, "state": running}
        status["containerID"] = f"containerd://{real.container}"
        document = self.bed.call("GET", path)
        document["status"] = {"phase": "Running", "containerStatuses": [status]}
        self.bed.call("PUT", f"{path}/status", document)

    def label(self, real: RealPod, **labels: str | None) -> None:
        """Change labels."""
        words = [f"{key}={value}" if value is not None else f"{key}-" for key, value in labels.items()]
        self.bed.kubectl("label", "pod", "-n", real.namespace, real.name, "--overwrite", *words)

    def gone(self, namespace: str, name: str) -> None:
        """Have the object go at once."""
        self.bed.kubectl("delete", "pod", "-n", namespace, name, "--force", "--grace-period=0", check=False)


def new_name() -> str:
    return f"pods-{uuid.uuid4().hex[:6]}"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"
