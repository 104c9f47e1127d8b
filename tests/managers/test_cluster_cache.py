"""Names from a cluster: our facts of a fake API server, asked for as programs do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conductor.kube.facts import KubeFacts
from conductor.kube.requests import Request
from conductor.managers.cache import CacheManager
from conductor.managers.cluster_cache import ClusterCache
from conductor.managers.names_file import address_of
from conductor.model.facts import Interface, Workload
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeServer
from tests.fakes.interfaces import FakeInterfaces
from tests.managers.program_world import until

NODE_IP = "192.168.0.1"
ID = "ab" * 32
UID = "01234567-89ab-cdef-0123-456789abcdef"


class World:
    def __init__(self) -> None:
        self.server = FakeServer()
        self.told = 0

    @property
    def facts(self) -> KubeFacts:
        return KubeFacts(cluster=self.server.client("agent").cluster, node="n1")

    @asynccontextmanager
    async def cache(self) -> AsyncIterator[ClusterCache]:
        async def publish() -> None:
            self.told += 1

        async with ClusterCache.running(facts=self.facts, publish=publish) as cache:
            cache.want()
            yield cache

    async def have(self, plural: str, name: str, owner: str = "", **parts: Any) -> None:
        group = {"replicasets": "apis/apps/v1", "jobs": "apis/batch/v1", "endpointslices": "apis/discovery.k8s.io/v1"}
        path = f"/{group.get(plural, 'api/v1')}/namespaces/shop/{plural}"
        metadata: dict[str, Any] = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        if owner:
            kind, _, above = owner.partition("/")
            metadata["ownerReferences"] = [{"kind": kind, "name": above, "controller": True, "uid": "u"}]
        metadata |= parts.pop("metadata", {})
        await self.ask("POST", path, {"metadata": metadata, **parts})

    async def pod(self, name: str, ip: str, *, owner: str = "", node: str = "n2", **metadata: Any) -> None:
        host = {"n1": NODE_IP, "n2": "192.168.0.2"}[node]
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": host}
        spec = {"nodeName": node, "hostNetwork": ip == host}
        await self.have("pods", name, owner, spec=spec, status=status, metadata=metadata)

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        reply = self.server.api.answer("admin", Request(method=method, path=path, body=json.dumps(body or {}).encode()))
        assert reply.status < 300, reply.body


def told(story: Callable[[World], Awaitable[None]]) -> None:
    virtual_time.run(_told(story))


async def _told(story: Callable[[World], Awaitable[None]]) -> None:
    await story(World())


async def names(cache: ClusterCache, *ips: str) -> list[str | None]:
    await asyncio.sleep(3)
    found = [cache.workload(address_of(ip)) for ip in ips]
    return ["/".join(filter(None, (one.namespace, one.kind, one.name))) if one else None for one in found]


def test_owners_are_followed_to_the_top() -> None:
    async def story(world: World) -> None:
        await world.have("replicasets", "web-5d4f", owner="Deployment/web")
        await world.have("replicasets", "api-7c9b", owner="Rollout/api")
        await world.have("replicasets", "alone")
        await world.have("jobs", "backup-now", owner="CronJob/backup")
        await world.have("jobs", "import")
        await world.pod("p1", "10.0.0.1", owner="ReplicaSet/web-5d4f")
        await world.pod("p2", "10.0.0.2", owner="ReplicaSet/api-7c9b")
        await world.pod("p3", "10.0.0.3", owner="ReplicaSet/alone")
        await world.pod("p4", "10.0.0.4", owner="Job/backup-now")
        await world.pod("p5", "10.0.0.5", owner="Job/import")
        await world.pod("p6", "10.0.0.6", owner="StatefulSet/db", node="n1")
        await world.pod("p7", "10.0.0.7", owner="DaemonSet/logs")
        await world.pod("p8", "10.0.0.8")
        await world.pod("p9", "10.0.0.9", owner="Node/n2")
        async with world.cache() as cache:
            assert await names(cache, *(f"10.0.0.{i}" for i in range(1, 10))) == [
                "shop/Deployment/web",
                "shop/Rollout/api",
                "shop/ReplicaSet/alone",
                "shop/CronJob/backup",
                "shop/Job/import",
                "shop/StatefulSet/db",
                "shop/DaemonSet/logs",
                "shop/Pod/p8",
                "shop/Pod/p9",
            ]

    told(story)


def test_a_deployments_pod_needs_no_question() -> None:
    async def story(world: World) -> None:
        await world.pod("p1", "10.0.0.1", owner="ReplicaSet/web-5d4f", labels={"pod-template-hash": "5d4f"})
        await world.pod("p2", "10.0.0.2", owner="Job/nightly-29453700")
        async with world.cache() as cache:
            assert await names(cache, "10.0.0.1", "10.0.0.2") == ["shop/Deployment/web", "shop/CronJob/nightly"]

    told(story)


async def test_the_whole_cluster_is_followed_only_once_somebody_asks_for_a_name(tmp_path: Path) -> None:
    world = World()
    await world.pod("p1", "10.0.0.1")
    own = Interface(index=2, name="eth0", up=True, primary=True, addresses=(NODE_IP,))
    async with CacheManager.running(
        interfaces=FakeInterfaces(own), node_name="n1", cgroup_mount=tmp_path, facts=world.facts
    ) as cache:
        assert cache.workloads([address_of(NODE_IP)]) == [Workload(kind="Node", name="n1")]
        await until(lambda: len(world.server.streams) == 1)
        await asyncio.sleep(0.2)
        assert len(world.server.streams) == 1, "this node's pods alone"
        first = await asyncio.to_thread(cache.workloads, [address_of("10.0.0.1")])
        assert first == [Workload(kind="Pod", name="p1", namespace="shop")], "whoever asks first waits for the answer"
        await until(lambda: len(world.server.streams) == 4)


async def test_a_server_that_is_away_costs_the_first_who_asks_two_seconds_and_nobody_else(tmp_path: Path) -> None:
    world = World()
    world.server.stop()
    async with CacheManager.running(
        interfaces=FakeInterfaces(), node_name="n1", cgroup_mount=tmp_path, facts=world.facts
    ) as cache:
        for patience in (4, 1):
            async with asyncio.timeout(patience):
                assert await asyncio.to_thread(cache.workloads, [address_of("10.0.0.1")]) == [None]


async def test_names_are_settled_once_all_are_told_and_not_before_somebody_asked(tmp_path: Path) -> None:
    world = World()
    connection = world.server.client("agent")
    facts = KubeFacts(cluster=connection.cluster, node="n1")
    async with CacheManager.running(
        interfaces=FakeInterfaces(), node_name="n1", cgroup_mount=tmp_path, facts=facts
    ) as cache:
        await until(lambda: len(world.server.streams) == 1)
        assert not cache.is_settled()
        connection.delay = 0.3
        cache.workloads([address_of("10.0.0.1")])
        await asyncio.sleep(0.1)
        assert not cache.is_settled()
        await until(cache.is_settled)


async def test_without_a_cluster_no_names_are_waited_for(tmp_path: Path) -> None:
    async with CacheManager.running(interfaces=FakeInterfaces(), node_name="n1", cgroup_mount=tmp_path) as cache:
        assert cache.is_settled()


def test_services_and_what_is_behind_them_outside_have_names() -> None:
    async def story(world: World) -> None:
        await world.have("services", "web", spec={"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"]})
        await world.have("services", "headless", spec={"clusterIP": "None", "clusterIPs": ["None"]})
        await world.pod("p1", "10.0.0.1", owner="StatefulSet/db")
        label = {"labels": {"kubernetes.io/service-name": "db"}}
        pod = {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "p1"}}
        await world.have("endpointslices", "db-1", metadata=label, endpoints=[pod, {"addresses": ["172.16.0.9"]}])
        async with world.cache() as cache:
            assert await names(cache, "10.96.0.7", "fd00::7", "10.0.0.1", "172.16.0.9") == [
                "shop/Service/web",
                "shop/Service/web",
                "shop/StatefulSet/db",
                "shop/Service/db",
            ]

    told(story)


def test_a_node_behind_a_service_is_a_node() -> None:
    async def story(world: World) -> None:
        await world.pod("p1", "10.0.0.1", owner="StatefulSet/db", node="n2")
        label = {"labels": {"kubernetes.io/service-name": "kubernetes"}}
        await world.have("endpointslices", "kubernetes", metadata=label, endpoints=[{"addresses": ["192.168.0.2"]}])
        async with world.cache() as cache:
            assert await names(cache, "192.168.0.2") == ["Node/n2"]

    told(story)


def test_an_object_of_another_shape_harms_no_other() -> None:
    async def story(world: World) -> None:
        await world.have("pods", "odd", spec={"nodeName": "n2"}, status={"podIPs": "none", "hostIPs": [7]})
        await world.pod("p1", "10.0.0.1")
        async with world.cache() as cache:
            assert await names(cache, "10.0.0.1") == ["shop/Pod/p1"]

    told(story)


def test_pods_in_the_hosts_network_do_not_take_the_nodes_name() -> None:
    async def story(world: World) -> None:
        await world.pod("proxy-1", NODE_IP, owner="DaemonSet/proxy", node="n1")
        await world.pod("proxy-2", "192.168.0.2", owner="DaemonSet/proxy")
        async with world.cache() as cache:
            assert await names(cache, NODE_IP, "192.168.0.2") == ["Node/n1", "Node/n2"]

    told(story)


def test_an_address_is_the_last_owners_for_a_while_and_the_next_ones_at_once() -> None:
    async def story(world: World) -> None:
        await world.pod("a", "10.0.0.1")
        async with world.cache() as cache:
            assert await names(cache, "10.0.0.1") == ["shop/Pod/a"]
            await world.ask("DELETE", "/api/v1/namespaces/shop/pods/a")
            assert await names(cache, "10.0.0.1") == ["shop/Pod/a"]
            await world.pod("b", "10.0.0.1")
            assert await names(cache, "10.0.0.1") == ["shop/Pod/b"]
            await world.ask("DELETE", "/api/v1/namespaces/shop/pods/b")
            await asyncio.sleep(120)
            assert await names(cache, "10.0.0.1", "192.168.0.2") == [None, None]

    told(story)


def test_names_stay_while_the_api_server_is_away_and_are_right_afterwards() -> None:
    async def story(world: World) -> None:
        await world.pod("a", "10.0.0.1")
        await world.pod("b", "10.0.0.2")
        async with world.cache() as cache:
            await names(cache, "10.0.0.1")
            world.server.stop()
            await asyncio.sleep(90)
            assert await names(cache, "10.0.0.1") == ["shop/Pod/a"]
            (told,) = cache.problems()
            assert "endpoints, local pods, pods, services" in told
            await world.ask("DELETE", "/api/v1/namespaces/shop/pods/a")
            world.server.api.compact()
            world.server.start()
            await asyncio.sleep(180)
            assert await names(cache, "10.0.0.1", "10.0.0.2") == [None, "shop/Pod/b"]
            assert cache.problems() == ()

    told(story)


async def test_containers_of_this_node_are_told_by_their_pods(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    scope = tmp_path / f"kubepods-pod{UID.replace('-', '_')}.slice" / f"cri-containerd-{ID}.scope"
    scope.mkdir(parents=True)
    world = World()
    status = {"containerStatuses": [{"name": "app", "containerID": f"containerd://{ID}"}]}
    static = {"annotations": {"kubernetes.io/config.hash": UID}}
    await world.have("pods", "web-1", "StatefulSet/web", spec={"nodeName": "n1"}, status=status, metadata=static)
    async with CacheManager.running(
        interfaces=FakeInterfaces(), node_name="n1", cgroup_mount=tmp_path, facts=world.facts
    ) as cache:
        await until(lambda: bool(cache.cluster and cache.cluster.local.seen().pods))
        (found,) = cache.containers([scope.stat().st_ino])
    assert found is not None
    assert (found.name, found.pod, found.namespace) == ("app", "web-1", "shop")
    assert found.workload == Workload(kind="StatefulSet", name="web", namespace="shop")
