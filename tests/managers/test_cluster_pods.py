"""This node's pods for those who attach to them: our facts of a fake API server."""

from __future__ import annotations

import asyncio

import pytest

from conductor.model.facts import NodePods
from tests.managers.test_cluster_cache import ID, NODE_IP, World, told


def shown(pods: NodePods) -> dict[str, tuple[dict[str, str], bool]]:
    return {pod.name: (dict(pod.labels), pod.host_network) for pod in pods.pods}


async def web(world: World, **labels: str) -> None:
    await world.pod("web-0", "10.0.0.1", node="n1", labels=labels)


def test_pods_of_this_node_are_told_with_labels_and_network() -> None:
    async def story(world: World) -> None:
        await web(world, app="web")
        await world.pod("proxy", NODE_IP, node="n1")
        await world.pod("far", "10.0.0.2")
        async with world.cache() as cache:
            await asyncio.sleep(1)
            assert cache.local.seen().reason == ""
            assert shown(cache.local.seen()) == {"web-0": ({"app": "web"}, False), "proxy": ({}, True)}

    told(story)


def test_what_changes_is_told_at_once_and_what_does_not_is_not() -> None:
    async def story(world: World) -> None:
        async with world.cache() as cache:
            changes = cache.local.changes()
            await asyncio.wait_for(anext(changes), 1)
            assert cache.local.seen() == NodePods(), "known, and none"
            await web(world, app="web")
            await asyncio.wait_for(anext(changes), 1)
            path = "/api/v1/namespaces/shop/pods/web-0"
            await world.ask("PATCH", path, {"metadata": {"annotations": {"a": "b"}}})
            status = {"containerStatuses": [{"name": "app", "containerID": f"containerd://{ID}"}]}
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 1)
            await world.ask("PATCH", path, {"status": status})
            await asyncio.wait_for(anext(cache.local.changes()), 1)
            (pod,) = cache.local.seen().pods
            assert pod.containers == {ID: "app"}

    told(story)


def test_a_server_that_is_away_from_the_start_is_named_until_it_answers() -> None:
    async def story(world: World) -> None:
        world.server.stop()
        await web(world, app="web")
        async with world.cache() as cache:
            await asyncio.sleep(5)
            unknown = cache.local.seen()
            assert (unknown.pods, unknown.reason) == ((), "PodsUnknown")
            assert "what is attached already goes on" in unknown.problem
            world.server.start()
            await asyncio.sleep(60)
            assert list(shown(cache.local.seen())) == ["web-0"]
            world.server.stop()
            await asyncio.sleep(60)
            assert list(shown(cache.local.seen())) == ["web-0"]

    told(story)


def test_a_pod_made_again_has_its_new_uid_alone() -> None:
    async def story(world: World) -> None:
        await web(world)
        async with world.cache() as cache:
            await asyncio.sleep(1)
            ((old,),) = (pod.uids for pod in cache.local.seen().pods)
            await world.ask("DELETE", "/api/v1/namespaces/shop/pods/web-0")
            await web(world)
            await asyncio.sleep(1)
            ((new,),) = (pod.uids for pod in cache.local.seen().pods)
            assert old != new
            assert (cache.local.of(old), cache.local.of(new) is None) == (None, False)

    told(story)
