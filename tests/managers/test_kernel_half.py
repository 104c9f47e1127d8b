"""The kernel half: wishes in, kernel and states out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.errors import ConductorError, KernelAway, KernelRefused, NotFound
from conductor.managers.kernel_half import KernelHalf
from conductor.model.events import KernelChanged, RoadChanged
from conductor.model.ids import Name
from conductor.model.kernel import InterfaceSelector
from conductor.model.status import State
from tests.fakes import virtual_time
from tests.fakes.kernel import Fault
from tests.managers.kernel_world import ENTER, ETH0, EXIT, LO, World, net, trace, wishes, xdp


def tell(folder: Path, story: Callable[[World, KernelHalf], Awaitable[None]]) -> World:
    """Tell a story of one agent in a fresh world; answer the world it leaves."""

    async def whole() -> World:
        world = World(folder)
        async with world.half() as half:
            await story(world, half)
        return world

    return virtual_time.run(whole())


def state(half: KernelHalf, name: str = "a") -> tuple[State, str]:
    condition = next(s.condition for s in half.observed() if s.spec.name == name)
    return condition.state, condition.reason


def message(half: KernelHalf, name: str = "a") -> str:
    return next(s.condition.message for s in half.observed() if s.spec.name == name)


def test_wish_is_loaded_and_attached(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER, EXIT)))
        assert state(half) == (State.RUNNING, "")
        assert world.attached() == {("a", "raw_syscalls/sys_enter"), ("a", "raw_syscalls/sys_exit")}
        (function,) = half.observed()[0].functions
        assert [link.attach for link in function.links] == [ENTER, EXIT]
        assert function.map_pin_path

    tell(tmp_path, story)


def test_same_wish_again_changes_nothing(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace()))
        before = dict(world.kernel.links)
        await half.converge(wishes(trace()))
        assert world.kernel.links == before
        assert half.counters.loads == half.counters.attaches == 1

    tell(tmp_path, story)


def test_withdrawn_wish_is_unloaded(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a"), trace("b")))
        await half.converge(wishes(trace("b")))
        assert world.attached() == {("b", "raw_syscalls/sys_enter")}
        assert [s.spec.name for s in half.observed()] == ["b"]

    tell(tmp_path, story)


def test_leaving_unloads_nothing(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace()))

    assert tell(tmp_path, story).attached() == {("a", "raw_syscalls/sys_enter")}


def test_nothing_is_touched_before_the_first_wish(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace()))
        async with world.half():
            await asyncio.sleep(3600)
        assert world.attached() == {("a", "raw_syscalls/sys_enter")}

    tell(tmp_path, story)


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


def test_one_bad_program_stops_no_other(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.files.unreadable.add("/o/gone.o")
        await half.converge(
            wishes(trace("a", path="/o/bad.o"), trace("b"), trace("c", path="/o/gone.o"), trace("d", owner="a"))
        )
        assert state(half, "a") == (State.FAILED, "VerifierRejected")
        assert state(half, "b") == (State.RUNNING, "")
        assert state(half, "c") == (State.FAILED, "ObjectUnreadable")
        assert state(half, "d") == (State.WAITING, "MapOwnerMissing")

    tell(tmp_path, story)


def test_verifier_log_is_kept(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", path="/o/bad.o")))
        assert "invalid mem access" in message(half)
        assert (await half.log(Name("a")))[-2:] == ("0: r0 = 0", "R1 invalid mem access 'scalar'")
        with pytest.raises(NotFound):
            await half.log(Name("nobody"))

    tell(tmp_path, story)


def test_object_that_appears_later_is_loaded(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.files.unreadable.add("/o/trace.o")
        await half.converge(wishes(trace()))
        world.files.unreadable.clear()
        await asyncio.sleep(700)
        assert state(half) == (State.RUNNING, "")

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


def test_interfaces_that_come_back_are_attached_anew(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(net("a", InterfaceSelector(names=("eth0",)))))
        assert world.attached() == {("a", "eth0")}
        world.kernel.links.clear()
        world.interfaces.change(LO)
        await asyncio.sleep(1)
        assert state(half) == (State.WAITING, "InterfaceMissing")
        assert "there is no interface eth0" in message(half)
        world.interfaces.change(LO, replace(ETH0, index=7))
        await asyncio.sleep(1)
        assert state(half) == (State.RUNNING, "")
        assert world.attached() == {("a", "eth0")}

    tell(tmp_path, story)


def test_interface_recreated_at_once_is_attached_anew(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(net("a", InterfaceSelector(discover=True))))
        (before,) = world.kernel.links
        world.interfaces.change(LO, replace(ETH0, index=7))
        world.kernel.links.clear()
        await asyncio.sleep(1)
        (after,) = world.kernel.links
        assert after != before

    tell(tmp_path, story)


def test_priority_change_moves_the_link(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        selector = InterfaceSelector(primary=True)
        await half.converge(wishes(net("a", selector, priority=10)))
        await half.converge(wishes(net("a", selector, priority=20)))
        (link,) = world.kernel.links.values()
        assert getattr(link.link, "priority", None) == 20
        assert len(world.kernel.programs) == 1

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


def test_changes_are_told(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace()))
        await asyncio.sleep(0.1)
        assert KernelChanged(name=Name("a")) in world.events
        assert RoadChanged(connected=True) in world.events
        world.events.clear()
        await asyncio.sleep(3600)
        assert world.events == []

    tell(tmp_path, story)


def test_cancelled_converge_goes_on(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await half.converge(wishes(trace()))
        assert (await half.settled(Name("a"))).condition.state is State.RUNNING

    tell(tmp_path, story)


def test_run_costs_are_summed_by_program(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace()))
        assert await half.run_costs() is None
        (id_,) = world.kernel.programs
        world.kernel.runs = {id_: (0.25, 4)}
        assert await half.run_costs() == {Name("a"): (0.25, 4)}

    tell(tmp_path, story)


def test_stopping_ends_those_who_wait(tmp_path: Path) -> None:
    async def whole() -> BaseException | None:
        world = World(tmp_path)
        world.kernel.faults.append(Fault.HANG_UNDONE)

        async def ask(half: KernelHalf) -> BaseException | None:
            try:
                await half.converge(wishes(trace()))
            except ConductorError as error:
                return error
            return None

        async with asyncio.TaskGroup() as group, world.half() as half:
            asked = group.create_task(ask(half))
            await asyncio.sleep(1)
        return asked.result()

    assert isinstance(virtual_time.run(whole()), KernelAway)
