"""Kernel half and user half together: waiting for maps, layouts, kernel programs that come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conductor.errors import KernelRefused, VerifierRejected
from conductor.managers.program import ProgramManager
from conductor.model.grants import MapType
from conductor.model.ids import Name
from conductor.model.manifest import KERNEL_PROGRAM
from conductor.model.status import State
from tests.fakes.maps import info
from tests.managers.program_world import ProgramWorld, grant, until, until_state, user

TRACED = user("c", "counter", maps=(grant("trace"),))


async def test_a_granted_map_that_is_not_there_is_waited_for(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        status = await programs.load(TRACED)
        assert (status.condition.state, status.condition.reason) == (State.WAITING, "MapMissing")
        assert "map counts of kernel program trace" in status.condition.message
        assert world.apps() == []  # with a grant it brings no half of its own
        await programs.apply([world.kernel_program("trace")])
        running = await until_state(programs, "c", State.RUNNING)
        assert running.maps[0].program_id is not None


async def test_each_outcome_is_a_line_in_the_log_of_the_program(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(TRACED)
        await programs.apply([world.kernel_program("trace")])
        await until_state(programs, "c", State.RUNNING)
        await programs.stop(Name("c"))
        told = [(line.level, line.message.split(":")[0]) for line in world.logs.tail(Name("c"))]
        assert told == [("warning", "Waiting (MapMissing)"), ("info", "Running"), ("info", "Stopped")]


async def test_both_halves_of_one_manifest(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        applied = await programs.apply([TRACED, world.kernel_program("trace")])
        assert [(a.kind, a.action) for a in applied] == [("UserProgram", "created"), ("KernelProgram", "created")]
        await until_state(programs, "c", State.RUNNING)
        assert world.apps() == ["trace"]


async def test_a_kernel_program_that_goes_leaves_its_user_waiting(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.apply([TRACED, world.kernel_program("trace")])
        await until_state(programs, "c", State.RUNNING)
        await programs.delete([(KERNEL_PROGRAM, Name("trace"))])
        await until_state(programs, "c", State.WAITING, "MapMissing")
        assert world.pins.open_handles == 0


async def test_a_kernel_program_that_was_loaded_anew_is_read_anew(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.apply([TRACED, world.kernel_program("trace")])
        before = await until_state(programs, "c", State.RUNNING)
        await programs.apply([world.kernel_program("trace", b"another object")])
        await until(lambda: programs.get(Name("c")).maps[0].program_id not in (None, before.maps[0].program_id))
        await until(lambda: world.script.opened == 2 and world.script.alive == 1)
        assert (await until_state(programs, "c", State.RUNNING)).generation == 1
        assert world.pins.open_handles == 1


async def test_another_layout_is_refused_naming_both(world: ProgramWorld) -> None:
    world.pins.maps["counts"] = info("counts", value_size=16)
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert (status.condition.state, status.condition.reason) == (State.FAILED, "MapMismatch")
        assert "16 bytes, and counts needs 8" in status.condition.message
        assert world.pins.open_handles == 0


async def test_another_type_is_refused(world: ProgramWorld) -> None:
    world.pins.maps["counts"] = info("counts", MapType.RINGBUF)
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert status.condition.reason == "MapMismatch"
        assert "its type is ringbuf" in status.condition.message


async def test_what_the_verifier_said_of_the_half_is_what_the_program_says(world: ProgramWorld) -> None:
    world.kernel.objects[str(world.object_path("counter"))] = replace(
        world.kernel.objects[str(world.object_path("counter"))], rejected=("on_enter",)
    )
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert (status.condition.state, status.condition.reason) == (State.FAILED, VerifierRejected.reason)
        assert "its kernel half c is Failed" in status.condition.message


async def test_a_half_that_cannot_be_attached_fails_its_program_though_its_maps_are_there(world: ProgramWorld) -> None:
    world.kernel.refusals["attach"] = KernelRefused("not now")
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert (status.condition.state, status.condition.reason) == (State.FAILED, "KernelRefused")
        assert "its kernel half c is Failed: not now" in status.condition.message
        assert world.pins.open_handles == 0
        del world.kernel.refusals["attach"]
        await until_state(programs, "c", State.RUNNING)


async def test_a_daemon_that_is_away_is_waited_for(world: ProgramWorld) -> None:
    world.kernel.go_away()
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert (status.condition.state, status.condition.reason) == (State.WAITING, "KernelAway")
        world.kernel.come_back()
        await until_state(programs, "c", State.RUNNING)


async def test_a_daemon_that_refuses_is_asked_again(world: ProgramWorld) -> None:
    world.kernel.refusals["load"] = KernelRefused("not now")
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert (status.condition.state, status.condition.reason) == (State.FAILED, "KernelRefused")
        del world.kernel.refusals["load"]
        await until_state(programs, "c", State.RUNNING)


async def test_programs_without_maps_need_no_daemon(world: ProgramWorld) -> None:
    world.kernel.go_away()
    async with world.agent() as programs:
        assert (await programs.load(user())).condition.state is State.RUNNING


async def test_a_daemon_that_goes_leaves_running_programs_alone(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user("c", "counter"))
        world.kernel.go_away()
        before = world.value("c") or 0
        await until(lambda: (world.value("c") or 0) > before + 2)
        assert programs.get(Name("c")).condition.state is State.RUNNING


async def test_a_kernel_program_of_an_object_that_is_not_there(world: ProgramWorld) -> None:
    spec = world.kernel_program("trace")
    (world.folder / "trace.o").unlink()
    async with world.agent() as programs:
        with pytest.raises(Exception, match="No such file"):
            await programs.apply([spec])
        assert kernel_names(programs) == []


async def test_an_object_is_pinned_when_it_is_applied(world: ProgramWorld) -> None:
    spec = world.kernel_program("trace")
    async with world.agent() as programs:
        await programs.apply([spec])
        (world.folder / "trace.o").unlink()
        assert kernel_names(programs) == ["trace"]
    async with world.agent() as programs:
        await until(lambda: [k.condition.state for k in programs.kernel()] == [State.RUNNING])


def kernel_names(programs: ProgramManager) -> list[str]:
    return [status.spec.name for status in programs.kernel()]
