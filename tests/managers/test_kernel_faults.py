"""The kernel half when daemon, agent, disk or somebody else interferes: afterwards exactly what was asked for runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from conductor.bpfman.road import BpfmanRoad
from conductor.errors import MapMissing, NotFound
from conductor.managers.kernel_half import KernelHalf
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import LinkId, Name
from conductor.model.status import State
from tests.fakes import virtual_time
from tests.fakes.kernel import FakeLink, Fault
from tests.managers.kernel_world import ENTER, EXIT, World, trace, wishes

RUNNING = (State.RUNNING, "")
Story = Callable[[World, KernelHalf], Awaitable[None]]


def lives(folder: Path, *stories: Story) -> World:
    """Tell one story per life of the agent, each killed at its end; answer the world that is left."""

    async def whole() -> World:
        world = World(folder)
        for story in stories:
            async with world.half() as half:
                await story(world, half)
        return world

    return virtual_time.run(whole())


def state(half: KernelHalf, name: str = "a") -> tuple[State, str]:
    condition = next(s.condition for s in half.observed() if s.spec.name == name)
    return condition.state, condition.reason


async def load(_: World, half: KernelHalf) -> None:
    await half.converge(wishes(trace("a", ENTER, EXIT)))


BOTH = {("a", "raw_syscalls/sys_enter"), ("a", "raw_syscalls/sys_exit")}


def test_next_agent_adopts_what_runs(tmp_path: Path) -> None:
    async def adopt(world: World, half: KernelHalf) -> None:
        before = (dict(world.kernel.programs), dict(world.kernel.links))
        await load(world, half)
        assert state(half) == RUNNING
        assert (world.kernel.programs, world.kernel.links) == before
        assert len(half.observed()[0].functions[0].links) == 2

    lives(tmp_path, load, adopt)


def test_next_agent_removes_what_was_withdrawn_meanwhile(tmp_path: Path) -> None:
    async def withdraw(_: World, half: KernelHalf) -> None:
        await half.converge({})

    assert lives(tmp_path, load, withdraw).kernel.programs == {}


def test_programs_of_another_owner_are_left_alone(tmp_path: Path) -> None:
    async def foreign(world: World, half: KernelHalf) -> None:
        await load(world, half)
        for program in world.kernel.programs.values():
            program.metadata["ebpfconductor.io/owner"] = "node-2"  # type: ignore[index]
        await half.converge({})
        assert len(world.kernel.programs) == 1

    lives(tmp_path, foreign)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1, "boot_id": "x"}', b"\xff\xfe", None])
def test_lost_or_torn_records_double_nothing(tmp_path: Path, content: bytes | None) -> None:
    async def again(world: World, half: KernelHalf) -> None:
        await load(world, half)
        assert state(half) == RUNNING
        assert world.attached() == BOTH
        assert len(world.kernel.links) == 2

    async def spoil(world: World, half: KernelHalf) -> None:
        await load(world, half)
        if content is None:
            (tmp_path / "links.json").unlink()
        else:
            (tmp_path / "links.json").write_bytes(content)

    lives(tmp_path, spoil, again)


def test_unreadable_records_are_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "links.json").write_text("{")
    lives(tmp_path, load)
    assert list(tmp_path.glob("links.json.bad-*"))
    assert json.loads((tmp_path / "links.json").read_text())["links"]


def test_reboot_is_never_taken_for_loaded(tmp_path: Path) -> None:
    async def whole() -> None:
        world = World(tmp_path)
        async with world.half() as half:
            await load(world, half)
            old = set(world.kernel.programs)
        world.boot_id = "after-the-reboot"
        async with world.half() as half:
            await load(world, half)
            assert state(half) == RUNNING
        assert world.attached() == BOTH
        assert not old & set(world.kernel.programs)

    virtual_time.run(whole())


def test_daemon_away_is_waited_for(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.kernel.go_away()
        await load(world, half)
        assert state(half) == (State.WAITING, "KernelAway")
        world.kernel.come_back()
        await asyncio.sleep(0.5)
        assert state(half) == RUNNING

    lives(tmp_path, story)


def test_what_runs_is_said_to_run_while_the_daemon_is_away(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await load(world, half)
        world.kernel.go_away()
        await asyncio.sleep(60)
        assert state(half) == (State.RUNNING, "KernelAway")
        world.kernel.come_back()
        await asyncio.sleep(0.5)
        assert state(half) == RUNNING

    lives(tmp_path, story)


def test_daemon_that_lost_everything_is_given_it_again(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await load(world, half)
        world.kernel.go_away()
        world.kernel.forget()
        world.kernel.come_back()
        await asyncio.sleep(0.5)
        assert world.attached() == BOTH
        assert state(half) == RUNNING

    lives(tmp_path, story)


def test_link_detached_from_outside_is_attached_again(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await load(world, half)
        world.kernel.links.popitem()
        await asyncio.sleep(40)
        assert world.attached() == BOTH

    lives(tmp_path, story)


def test_link_made_by_somebody_else_is_detached(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER)))
        (program,) = world.kernel.programs
        world.kernel.links[LinkId(9999)] = FakeLink(program, EXIT, "")
        await asyncio.sleep(40)
        assert world.attached() == {("a", "raw_syscalls/sys_enter")}

    lives(tmp_path, story)


@pytest.mark.parametrize("fault", [Fault.UNSENT, Fault.LOST_UNDONE, Fault.LOST_DONE])
@pytest.mark.parametrize("at", range(4))
def test_lost_answer_of_any_step_doubles_nothing(tmp_path: Path, fault: Fault, at: int) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER)))
        world.kernel.faults.extend([None] * at + [fault])
        await half.converge(wishes(trace("a", ENTER, EXIT, path="/o/trace2.o", generation=2)))
        await asyncio.sleep(300)
        assert state(half) == RUNNING
        assert world.attached() == BOTH
        assert len(world.kernel.links) == 2
        assert len(world.kernel.programs) == 1

    lives(tmp_path, story)


@pytest.mark.parametrize("fault", [Fault.HANG_DONE, Fault.HANG_UNDONE])
@pytest.mark.parametrize("at", range(4))
def test_agent_killed_at_any_step_leaves_nothing_double(tmp_path: Path, fault: Fault, at: int) -> None:
    async def killed(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER)))
        world.kernel.faults.extend([None] * at + [fault])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await half.converge(wishes(trace("a", ENTER, EXIT, path="/o/trace2.o", generation=2)))

    async def next_one(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER, EXIT, path="/o/trace2.o", generation=2)))
        await asyncio.sleep(60)
        assert state(half) == RUNNING
        assert world.attached() == BOTH
        assert len(world.kernel.links) == 2
        assert len(world.kernel.programs) == 1

    lives(tmp_path, killed, next_one)


def test_a_link_that_bpfman_only_wrote_down_is_not_believed(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.kernel.is_bpfman = True
        world.kernel.faults.extend([None, Fault.LOST_WRITTEN])
        await half.converge(wishes(trace("a", ENTER, EXIT)))
        await asyncio.sleep(60)
        assert state(half) == RUNNING
        assert world.attached() == BOTH
        assert len(world.kernel.links) == len(world.kernel.links.keys() - world.kernel.ghosts) == 2

    lives(tmp_path, story)


def test_unanswered_attach_is_not_repeated_on_that_program(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.kernel.faults.extend([None, Fault.LOST_UNDONE])
        await half.converge(wishes(trace("a", ENTER)))
        assert half.counters.loads == 2
        assert world.attached() == {("a", "raw_syscalls/sys_enter")}

    lives(tmp_path, story)


def test_without_a_road_programs_wait(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        none = tmp_path / "no.sock"
        async with BpfmanRoad.running(
            mode="none", bpfman_socket=none, loader_socket=none, state_dir=tmp_path, boot_id="b"
        ) as road:
            world.kernel = road  # type: ignore[assignment]
            async with world.half() as half:
                await load(world, half)
                assert state(half) == (State.WAITING, "NoKernelRoad")

    asyncio.run(story())


def test_full_disk_attaches_nothing_unrecorded(tmp_path: Path) -> None:
    async def whole() -> None:
        world = World(tmp_path / "no" / "such" / "folder")
        async with world.half() as half:
            await load(world, half)
            assert state(half) == (State.FAILED, "StateUnwritable")
            assert world.kernel.links == {}
            (tmp_path / "no" / "such" / "folder").mkdir(parents=True)
            await asyncio.sleep(60)
            assert state(half) == RUNNING

    virtual_time.run(whole())


def test_grant_is_opened_by_program_or_by_function(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        def grant(program: str) -> MapGrant:
            return MapGrant(name="m", kernel_program=Name(program), map="counts", access=Access.READ)

        with pytest.raises(NotFound):
            half.open_map(grant("a"))
        await load(world, half)
        (function,) = half.observed()[0].functions
        with pytest.raises(MapMissing, match="no map counts"):
            half.open_map(grant("a"))
        handle = object()
        world.pins[f"{function.map_pin_path}/counts"] = handle  # type: ignore[assignment]
        for name in ("a", "on_enter"):
            assert half.open_map(grant(name)) is handle
            assert half.program_of(grant(name)) == function.id

    lives(tmp_path, story)
