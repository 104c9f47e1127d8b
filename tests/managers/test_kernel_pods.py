"""Links that follow pods by their labels."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from conductor.managers.cluster_pods import LocalPods
from conductor.managers.kernel_half import KernelHalf
from conductor.model.cluster import Key
from conductor.model.facts import Claim, ContainerProcess, Pod, Workload
from conductor.model.labels import Selector
from conductor.model.status import State
from tests.managers.kernel_world import World, message, podded, state, tell, trace, wishes

WEB = Selector(match_labels={"app": "web"})
RUNNING = (State.RUNNING, "")
NOTHING = (State.RUNNING, "NothingSelected")


def put(world: World, namespace: str, name: str, uid: str, app: str = "web", **more: Any) -> None:
    """Have the cluster tell of a pod."""
    assert world.pods is not None
    claim = Claim(addresses=(), workload=Workload(kind="Pod", name=name, namespace=namespace))
    pod = Pod(namespace=namespace, name=name, uids=(uid,), claim=claim, labels={"app": app}, **more)
    world.pods.put(Key(namespace, name), pod)


def process(uid: str, pid: int, started: int = 0) -> ContainerProcess:
    return ContainerProcess(container=uid * 8, pod_uid=uid, pid=pid, started=started or pid)


def places(world: World) -> list[int]:
    """Processes whose network namespaces links stand in."""
    paths = [getattr(link.link, "netns", None) for link in world.kernel.links.values()]
    return sorted(int(path.split("/")[2]) for path in paths if path)


def clustered(world: World) -> LocalPods:
    world.pods = LocalPods()
    world.pods.synced()
    return world.pods


async def soon() -> None:
    """Within a second of virtual time."""
    await asyncio.sleep(0.9)


def test_links_follow_the_labels_of_pods(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        pods = clustered(world)
        world.containers.change(process("u1", 50), process("u2", 60), process("u3", 70))
        async with world.half() as half:
            await half.converge(wishes(podded("a", pods=WEB, namespace="shop"), trace("b")))
            assert state(half) == NOTHING
            assert message(half).startswith("no pod of namespace shop with labels app=web runs here")
            put(world, "shop", "web-0", "u1")
            put(world, "bank", "web-0", "u2")
            await soon()
            assert places(world) == [50]
            assert state(half) == RUNNING
            put(world, "shop", "db-0", "u3", app="db")
            await soon()
            assert places(world) == [50]
            put(world, "shop", "db-0", "u3")
            await soon()
            assert places(world) == [50, 70]
            put(world, "shop", "web-0", "u1", app="other")
            await soon()
            assert places(world) == [70], "its label was edited away"
            pods.drop(Key("shop", "db-0"))
            await soon()
            assert places(world) == []
            assert state(half) == NOTHING

    tell(tmp_path, story)


def test_a_pod_made_again_with_the_same_name_is_another(tmp_path: Path) -> None:
    """Its predecessor may still be ending; a pid may be used again."""

    async def story(world: World, _half: KernelHalf) -> None:
        clustered(world)
        world.containers.change(process("u1", 50))
        async with world.half() as half:
            put(world, "shop", "web-0", "u1")
            await half.converge(wishes(podded("a", pods=WEB)))
            (before,) = world.kernel.links
            put(world, "shop", "web-0", "u9")
            await soon()
            assert places(world) == [], "the old one is not meant any more"
            world.containers.change(process("u1", 51), process("u9", 50, started=99))
            await soon()
            (after,) = world.kernel.links
            assert places(world) == [50]
            assert after != before

    tell(tmp_path, story)


def test_without_a_cluster_it_is_said_that_nobody_tells_of_pods(tmp_path: Path) -> None:
    async def story(_world: World, half: KernelHalf) -> None:
        await half.converge(wishes(podded("a", pods=WEB), podded("b", "u1")))
        assert state(half) == (State.WAITING, "NoCluster")
        assert "give podUIDs or containerIDs" in message(half)
        assert state(half, "b") == (State.WAITING, "ContainerMissing")

    tell(tmp_path, story)


def test_a_server_that_never_answered_is_waited_for(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        pods = world.pods = LocalPods()
        async with world.half() as half:
            await half.converge(wishes(podded("a", pods=WEB)))
            assert state(half) == (State.WAITING, "PodsUnknown")
            pods.interrupted("connection refused")
            await soon()
            assert "connection refused" in message(half)
            put(world, "shop", "web-0", "u1")
            world.containers.change(process("u1", 50))
            await soon()
            assert places(world) == [], "half a list is no list"
            pods.synced()
            await soon()
            assert places(world) == [50]
            pods.interrupted("gone again")
            await soon()
            assert (state(half), places(world)) == (RUNNING, [50])

    tell(tmp_path, story)


def test_the_next_agent_keeps_what_is_attached_until_the_server_answers(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        clustered(world)
        world.containers.change(process("u1", 50), process("u2", 60))
        put(world, "shop", "web-0", "u1")
        put(world, "shop", "web-1", "u2")
        wish = wishes(podded("a", pods=WEB))
        async with world.half() as half:
            await half.converge(wish)
            before = dict(world.kernel.links)
        pods = world.pods = LocalPods()
        async with world.half() as half:
            await half.converge(wish)
            assert world.kernel.links == before
            assert state(half) == (State.WAITING, "PodsUnknown")
            world.containers.change(process("u2", 60))
            await soon()
            assert places(world) == [60], "what ended is let go all the same"
            put(world, "shop", "web-1", "u2")
            pods.synced()
            await soon()
            assert (state(half), places(world)) == (RUNNING, [60])
            assert half.counters.attaches == 0

    tell(tmp_path, story)


def test_what_says_nothing_new_of_a_pod_disturbs_nobody(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        clustered(world)
        async with world.half() as half:
            put(world, "shop", "web-0", "u1")
            await half.converge(wishes(podded("a", pods=WEB)))
            await soon()
            passes = half.counters.passes
            for _ in range(5):
                put(world, "shop", "web-0", "u1")
                await asyncio.sleep(0.2)
            assert half.counters.passes == passes

    tell(tmp_path, story)


def test_a_burst_of_pods_is_few_passes_and_one_bound(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        clustered(world)
        async with world.half() as half:
            await half.converge(wishes(podded("a", pods=Selector())))
            passes = half.counters.passes
            world.containers.change(*(process(f"u{i}", 1000 + i) for i in range(600)))
            for i in range(600):
                put(world, "shop", f"web-{i}", f"u{i}")
            await asyncio.sleep(5)
            assert len(places(world)) == 512
            assert state(half) == (State.RUNNING, "TooManyLinks")
            assert half.links_left_out == 600 - 512
            assert half.counters.passes - passes <= 4
            assert len(json.dumps(message(half))) < 300

    tell(tmp_path, story)
