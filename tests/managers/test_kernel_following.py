"""Links that follow containers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from conductor.errors import NotSupported
from conductor.managers.kernel_half import KernelHalf
from conductor.model.facts import ContainerProcess
from conductor.model.status import State
from tests.managers.kernel_world import World, message, podded, state, tell, trace, wishes

A = ContainerProcess(container="a" * 64, pod_uid="pod-a", pid=50, started=10)
B = ContainerProcess(container="b" * 64, pod_uid="pod-b", pid=60, started=20)


def places(world: World) -> list[str]:
    """Network namespaces that links stand in."""
    return sorted(str(getattr(link.link, "netns", "")) for link in world.kernel.links.values())


def test_links_come_and_go_with_containers(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(podded("a", "pod-a", "pod-b")))
        assert state(half) == (State.WAITING, "ContainerMissing")
        assert "no container of pod pod-b runs here" in message(half)
        world.containers.change(A, B)
        await asyncio.sleep(1)
        assert state(half) == (State.RUNNING, "")
        assert places(world) == ["/proc/50/ns/net", "/proc/60/ns/net"]
        world.containers.change(B)
        await asyncio.sleep(1)
        assert state(half) == (State.WAITING, "ContainerMissing")
        assert places(world) == ["/proc/60/ns/net"]
        world.containers.change()
        await asyncio.sleep(1)
        assert places(world) == []

    tell(tmp_path, story)


def test_a_process_that_ends_meanwhile_leaves_no_link(tmp_path: Path) -> None:
    """Its pid may be another's already when the daemon opens it."""

    async def story(world: World, half: KernelHalf) -> None:
        world.containers.change(A, B)
        world.containers.breaths[A] = 1
        await half.converge(wishes(podded("a", "pod-a", "pod-b")))
        assert places(world) == ["/proc/60/ns/net"]
        assert state(half) == (State.WAITING, "ContainerGone")
        assert "ended while it was attached to" in message(half)
        again = ContainerProcess(container="c" * 64, pod_uid="pod-a", pid=50, started=99)
        world.containers.change(again, B)
        await asyncio.sleep(1)
        assert state(half) == (State.RUNNING, "")
        assert places(world) == ["/proc/50/ns/net", "/proc/60/ns/net"]

    tell(tmp_path, story)


def test_a_process_that_ended_before_is_not_attached_to(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.containers.change(A)
        world.containers.breaths[A] = 0
        await half.converge(wishes(podded("a", "pod-a")))
        assert half.counters.attaches == 0
        assert state(half) == (State.WAITING, "ContainerGone")

    tell(tmp_path, story)


def test_a_pid_that_is_used_again_is_attached_to_anew(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.containers.change(A)
        await half.converge(wishes(podded("a", "pod-a")))
        (before,) = world.kernel.links
        world.containers.change(ContainerProcess(container="d" * 64, pod_uid="pod-a", pid=50, started=11))
        await asyncio.sleep(1)
        (after,) = world.kernel.links
        assert after != before

    tell(tmp_path, story)


def test_one_container_that_refuses_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(podded("a", "pod-a", "pod-b")))
        world.kernel.refused_netns = "/proc/50/ns/net"
        world.containers.change(A, B)
        await asyncio.sleep(1)
        assert state(half)[0] is State.FAILED
        assert places(world) == ["/proc/60/ns/net"]
        world.containers.change(A)
        await asyncio.sleep(1)
        assert places(world) == []

    tell(tmp_path, story)


def test_a_host_without_containers_fails_those_alone_that_want_any(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.containers.failure = NotSupported("no cgroups here")
        await half.converge(wishes(podded("a", "pod-a"), trace("b")))
        assert state(half, "a") == (State.FAILED, "NotSupported")
        assert state(half, "b") == (State.RUNNING, "")

    tell(tmp_path, story)


def test_the_next_agent_takes_the_links_over(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.containers.change(A, B)
        await half.converge(wishes(podded("a", "pod-a", "pod-b")))
        before = dict(world.kernel.links)
        async with world.half() as successor:
            await successor.converge(wishes(podded("a", "pod-a", "pod-b")))
            assert successor.counters.attaches == 0
            assert world.kernel.links == before

    tell(tmp_path, story)
