"""Changes of a kernel program that runs: the new beside the old, one of them in the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conductor.errors import KernelRefused
from conductor.managers.kernel_half import KernelHalf
from conductor.model.status import State
from tests.fakes import virtual_time
from tests.fakes.kernel import Fault
from tests.managers.kernel_world import ENTER, EXIT, World, message, state, tell, trace, wishes, xdp


def test_link_changes_keep_the_program_and_its_maps(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER)))
        before = half.observed()[0].functions[0].id
        await half.converge(wishes(trace("a", EXIT, generation=2)))
        assert world.attached() == {("a", "raw_syscalls/sys_exit")}
        assert half.observed()[0].functions[0].id == before

    tell(tmp_path, story)


def test_update_leaves_exactly_the_new_version(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        before = half.observed()[0].functions[0].id
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.RUNNING, "")
        assert half.observed()[0].functions[0].id != before
        assert len(world.kernel.programs) == len(world.kernel.links) == 1
        assert half.counters.replaces == 1

    tell(tmp_path, story)


@pytest.mark.parametrize("verb", ["load", "attach"])
def test_failed_update_returns_to_the_version_before(tmp_path: Path, verb: str) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        before = half.observed()[0].functions[0].id
        world.kernel.refusals[verb] = KernelRefused("no room")
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.FAILED, "KernelRefused")
        assert "no room; the version before goes on" in message(half)
        assert half.observed()[0].functions[0].id == before
        assert set(world.kernel.programs) == {before}
        del world.kernel.refusals[verb]
        await asyncio.sleep(60)
        assert state(half) == (State.RUNNING, "")
        assert before not in world.kernel.programs

    tell(tmp_path, story)


def test_update_whose_links_go_at_once_is_taken_back(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        (before,) = world.kernel.programs
        world.kernel.flickers = True
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.FAILED, "KernelRefused")
        assert set(world.kernel.programs) == {before}
        assert world.attached() == {("a", "raw_syscalls/sys_enter")}

    tell(tmp_path, story)


def test_old_version_that_cannot_be_unloaded_is_tried_again(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        (before,) = world.kernel.programs
        world.kernel.refusals["unload"] = KernelRefused("busy")
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.RUNNING, "UnloadFailed")
        assert half.observed()[0].functions[0].id != before
        assert half.counters.rollbacks == 0
        world.kernel.refusals.clear()
        await asyncio.sleep(60)
        assert state(half) == (State.RUNNING, "")
        assert before not in world.kernel.programs

    tell(tmp_path, story)


def test_update_that_cannot_be_read_keeps_what_runs(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        world.files.unreadable.add("/o/gone.o")
        await half.converge(wishes(trace("a", path="/o/gone.o", generation=2)))
        assert state(half) == (State.FAILED, "ObjectUnreadable")
        assert world.attached() == {("a", "raw_syscalls/sys_enter")}
        assert len(half.observed()[0].functions) == 1

    tell(tmp_path, story)


def test_map_users_follow_their_owner(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        chain = [trace("c", owner="b"), trace("b", owner="a")]
        await half.converge(wishes(*chain, trace("a")))
        await half.converge(wishes(*chain, trace("a", path="/o/trace2.o", generation=2)))
        assert all(state(half, name) == (State.RUNNING, "") for name in "abc")
        assert len({s.functions[0].map_ids for s in half.observed()}) == 1
        assert len(world.kernel.programs) == 3

    tell(tmp_path, story)


def test_update_takes_the_one_place_of_an_interface(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(xdp("a", "/o/xdp.o")))
        await half.converge(wishes(xdp("a", "/o/xdp2.o", generation=2)))
        assert state(half) == (State.RUNNING, "")
        assert len(world.kernel.programs) == len(world.kernel.links) == 1

    tell(tmp_path, story)


def test_failed_update_gives_the_one_place_back(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(xdp("a", "/o/xdp.o")))
        (before,) = world.kernel.programs
        # Load, attach (no room), detach the old, then the new one's attach cannot be made.
        world.kernel.faults.extend([None, None, None, Fault.LOST_UNDONE])
        await half.converge(wishes(xdp("a", "/o/xdp2.o", generation=2)))
        await asyncio.sleep(60)
        assert state(half) == (State.RUNNING, "")
        assert before not in world.kernel.programs
        assert half.counters.rollbacks == 1
        assert len(world.kernel.programs) == len(world.kernel.links) == 1

    tell(tmp_path, story)


@pytest.mark.parametrize("verb", ["load", "attach"])
@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([Fault.HANG_DONE], id="loaded"),
        pytest.param([None, Fault.HANG_UNDONE], id="not attached beside"),
        pytest.param([None, None, Fault.HANG_UNDONE], id="old not detached"),
        pytest.param([None, None, Fault.HANG_DONE], id="old detached"),
        pytest.param([None, None, None, Fault.HANG_UNDONE], id="not attached in its place"),
    ],
)
def test_agent_killed_while_the_one_place_changes_hands(tmp_path: Path, calls: list[Fault | None], verb: str) -> None:
    """Killed in each step of an update whose new version never works: the old one goes on at its place."""

    async def story() -> None:
        world = World(tmp_path)
        async with world.half() as half:
            await half.converge(wishes(xdp("a", "/o/xdp.o")))
            (before,) = world.kernel.programs
            world.kernel.faults.extend(calls)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await half.converge(wishes(xdp("a", "/o/xdp2.o", generation=2)))
        world.kernel.faults.clear()
        world.kernel.refused_objects = {"/o/xdp2.o": verb}
        async with world.half() as half:
            await half.converge(wishes(xdp("a", "/o/xdp2.o", generation=2)))
            assert state(half) == (State.FAILED, "KernelRefused")
            assert [link.program for link in world.kernel.links.values()] == [before]
            await asyncio.sleep(1000)
            assert [link.program for link in world.kernel.links.values()] == [before]
            world.kernel.refused_objects.clear()
            await asyncio.sleep(1000)
            assert state(half) == (State.RUNNING, "")
            assert before not in world.kernel.programs
            assert len(world.kernel.links) == 1

    virtual_time.run(story())


def test_wish_for_the_old_version_after_its_place_was_lost(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        async with world.half() as half:
            await half.converge(wishes(xdp("a", "/o/xdp.o")))
            (before,) = world.kernel.programs
            world.kernel.faults.extend([None, None, None, Fault.HANG_UNDONE])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await half.converge(wishes(xdp("a", "/o/xdp2.o", generation=2)))
        async with world.half() as half:
            await half.converge(wishes(xdp("a", "/o/xdp.o", generation=3)))
            assert state(half) == (State.RUNNING, "")
            assert set(world.kernel.programs) == {before}
            assert len(world.kernel.links) == 1

    virtual_time.run(story())
