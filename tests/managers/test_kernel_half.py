"""The kernel half: wishes in, kernel and states out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conductor.errors import ConductorError, KernelAway, NotFound
from conductor.managers.kernel_half import KernelHalf
from conductor.model.events import KernelChanged, RoadChanged
from conductor.model.ids import Name
from conductor.model.status import State
from tests.fakes import virtual_time
from tests.fakes.kernel import Fault
from tests.managers.kernel_world import ENTER, EXIT, World, message, state, tell, trace, wishes


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


def test_each_function_tells_its_own_runs_while_the_daemon_does(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        def told() -> list[tuple[float | None, int | None]]:
            return [(one.run_seconds, one.runs) for status in half.observed() for one in status.functions]

        await half.converge(wishes(trace()))
        assert told() == [(None, None)]
        world.kernel.runs = dict.fromkeys(world.kernel.programs, (0.25, 4))
        await half.run_costs()
        assert told() == [(0.25, 4)]
        world.kernel.runs = None
        await half.run_costs()
        assert told() == [(None, None)]

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
