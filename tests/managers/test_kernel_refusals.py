"""Containers that refuse a program whose selector of pods chooses them: it goes on in the others."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from conductor.managers.kernel_entries import KernelWish
from conductor.managers.kernel_half import KernelHalf
from conductor.model.kernel import KernelType, PathObject
from conductor.model.labels import Selector
from conductor.model.status import State
from tests.fakes.kernel import FakeObject
from tests.managers.kernel_world import OBJECTS, World, message, podded, state, tell, wishes
from tests.managers.test_kernel_pods import RUNNING, clustered, places, process, put, soon

A, B = process("u1", 50), process("u2", 60)
REFUSED = "/proc/50/ns/net"
WISH = podded("a", pods=Selector())


def newer(wish: KernelWish) -> KernelWish:
    spec = dataclasses.replace(wish.spec, bytecode=PathObject(path="/o/net2.o"))
    return dataclasses.replace(wish, spec=spec, generation=2)


def begun(world: World) -> None:
    """Two pods, of which one refuses."""
    clustered(world)
    world.kernel.objects = {**OBJECTS, "/o/net2.o": FakeObject({"count": KernelType.TCX})}
    world.containers.change(A, B)
    put(world, "shop", "a", "u1")
    put(world, "shop", "b", "u2")
    world.kernel.refused_netns = REFUSED


@asynccontextmanager
async def refused(world: World) -> AsyncIterator[KernelHalf]:
    """The program runs in the other."""
    begun(world)
    async with world.half() as half:
        await half.converge(wishes(WISH))
        assert (state(half), places(world)) == ((State.RUNNING, "NotFound"), [60])
        yield half


def test_one_that_refuses_is_told_of_and_asked_again(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        async with refused(world) as half:
            assert "eth0 ingress of container u1u1u1u1u1u1" in message(half)
            world.kernel.refused_netns = ""
            await asyncio.sleep(2)
            assert (state(half), places(world)) == (RUNNING, [50, 60])

    tell(tmp_path, story)


def test_asking_again_costs_ever_less_whatever_else_happens(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        async with refused(world) as half:
            await asyncio.sleep(60)
            before = half.counters.failures
            for i in range(20):
                put(world, "shop", "c", f"u{i + 3}")
                await asyncio.sleep(1)
            assert half.counters.failures - before <= 1
            assert state(half) == (State.RUNNING, "NotFound")

    tell(tmp_path, story)


def test_where_all_refuse_it_is_waited_with_a_little_and_then_failed(tmp_path: Path) -> None:
    """What is probed may be made after the container's start."""

    async def story(world: World, _half: KernelHalf) -> None:
        begun(world)
        world.containers.change(A)
        async with world.half() as half:
            await half.converge(wishes(WISH))
            assert state(half) == (State.WAITING, "NotFound")
            await asyncio.sleep(10)
            assert state(half) == (State.FAILED, "NotFound")
            world.kernel.refused_netns = ""
            await asyncio.sleep(10)
            assert (state(half), places(world)) == (RUNNING, [50])

    tell(tmp_path, story)


def test_one_that_ends_is_forgotten(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        async with refused(world) as half:
            world.containers.change(B)
            await soon()
            assert (state(half), places(world)) == (RUNNING, [60])

    tell(tmp_path, story)


def test_a_new_version_comes_up_though_one_refuses(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        async with refused(world) as half:
            (before,) = world.kernel.programs
            await half.converge(wishes(newer(WISH)))
            (after,) = world.kernel.programs
            assert after != before
            assert (state(half), places(world)) == ((State.RUNNING, "NotFound"), [60])

    tell(tmp_path, story)


def test_a_new_version_that_all_refuse_gives_way_to_the_one_before(tmp_path: Path) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        begun(world)
        world.containers.change(B)
        async with world.half() as half:
            await half.converge(wishes(WISH))
            before = dict(world.kernel.links)
            world.kernel.refused_netns = "/proc/60/ns/net"
            await half.converge(wishes(newer(WISH)))
            assert world.kernel.links == before
            assert state(half)[0] is State.FAILED
            assert "the version before goes on" in message(half)

    tell(tmp_path, story)
