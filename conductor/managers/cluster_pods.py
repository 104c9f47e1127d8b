"""This node's pods, for those who attach to them (`ports.PodSource`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from conductor.model.cluster import Key
from conductor.model.facts import NodePods, Pod

__all__ = ["LocalPods", "NoCluster"]

NO_CLUSTER = NodePods(
    reason="NoCluster",
    problem=(
        "pods are selected by labels, which only a cluster tells of, and this agent has none; start it with"
        " --kubeconfig, or give podUIDs or containerIDs"
    ),
)


class NoCluster:
    """Say that nobody tells of pods; implements `ports.PodSource`."""

    def seen(self) -> NodePods:
        """Answer that none is known."""
        return NO_CLUSTER

    async def changes(self) -> AsyncIterator[None]:
        """Tell nothing; runs for ever."""
        await asyncio.Event().wait()
        yield


class LocalPods:
    """Hold this node's pods as the cluster told them last; implements `ports.PodSource`."""

    def __init__(self) -> None:
        self._pods: dict[Key, Pod] = {}
        self._by_uid: dict[str, Pod] = {}
        self._is_known = False
        self._problem = "the API server has not answered yet"
        self._changed = asyncio.Event()

    def put(self, key: Key, pod: Pod) -> None:
        """Take a pod as it is now."""
        before = self._pods.get(key)
        self._drop_uids(before, pod.uids)
        self._pods[key] = pod
        self._by_uid.update(dict.fromkeys(pod.uids, pod))
        if before is None or _shown(before) != _shown(pod):
            self._changed.set()

    def drop(self, key: Key) -> None:
        """Forget a pod."""
        before = self._pods.pop(key, None)
        self._drop_uids(before, ())
        if before is not None:
            self._changed.set()

    def synced(self) -> None:
        """Take it that all were told."""
        if not self._is_known:
            self._is_known = True
            self._changed.set()

    def interrupted(self, problem: str) -> None:
        """Take it that the cluster does not answer; what was told before goes on."""
        if self._problem != problem:
            self._problem = problem
            if not self._is_known:
                self._changed.set()

    def of(self, uid: str) -> Pod | None:
        """Answer the pod of a UID."""
        return self._by_uid.get(uid)

    def seen(self) -> NodePods:
        """Answer the pods; before all of them were told once, why they are not known."""
        if self._is_known:
            return NodePods(pods=tuple(self._pods.values()))
        return NodePods(
            reason="PodsUnknown",
            problem=(
                f"pods are selected by labels, and the cluster has not told of this node's yet: {self._problem};"
                " what is attached already goes on"
            ),
        )

    async def changes(self) -> AsyncIterator[None]:
        """Tell that `seen` answers otherwise now, to one listener; runs for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield

    def _drop_uids(self, before: Pod | None, kept: tuple[str, ...]) -> None:
        for uid in before.uids if before else ():
            if uid not in kept and self._by_uid.get(uid) is before:
                del self._by_uid[uid]


def _shown(pod: Pod) -> tuple[object, ...]:
    """What selectors look at: addresses and owners change by themselves."""
    return pod.uids, pod.labels, pod.containers, pod.host_network
