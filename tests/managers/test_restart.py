"""Stop, start, restart; and what an agent's end and the next one's begin leave of programs."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from conductor.errors import NotFound, StateUnwritable
from conductor.model.events import ProgramChanged, ProgramGone
from conductor.model.ids import Name
from conductor.model.program import Source
from conductor.model.status import State
from tests.managers.program_world import ProgramWorld, until, until_state, user

P = Name("p")


async def test_stop_ends_the_user_half_and_keeps_the_kernel_half(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user("c", "counter"))
        status = await programs.stop(Name("c"))
        assert (status.condition.state, status.condition.reason) == (State.STOPPED, "")
        assert world.script.alive == 0
        assert world.apps() == ["c"]
        assert (await programs.start(Name("c"))).condition.state is State.RUNNING


async def test_what_was_stopped_stays_stopped_in_the_next_agent(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        await programs.stop(P)
    async with world.agent() as programs:
        await until_state(programs, "p", State.STOPPED)
        assert (await programs.start(P)).condition.state is State.RUNNING
    async with world.agent() as programs:
        await until_state(programs, "p", State.RUNNING)


async def test_restart_opens_a_new_instance_that_goes_on_counting(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        await until(lambda: (world.value("p") or 0) >= 3)
        status = await programs.restart(P)
        assert (status.condition.state, status.restarts) == (State.RUNNING, 1)
        assert world.script.opened == 2
        assert (world.value("p") or 0) >= 4


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
async def test_verbs_on_a_name_that_is_not_there(world: ProgramWorld, verb: str) -> None:
    async with world.agent() as programs:
        with pytest.raises(NotFound):
            await getattr(programs, verb)(Name("nobody"))


async def test_the_next_agent_finds_everything_again(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user("c", "counter", step=2))
        await programs.load(user("p"))
        ids = set(world.kernel.programs)
        await until(lambda: (world.value("c") or 0) >= 6)
    assert set(world.kernel.programs) == ids  # nothing was unloaded by the end
    before = world.value("c") or 0
    async with world.agent() as programs:
        await until_state(programs, "c", State.RUNNING)
        await until_state(programs, "p", State.RUNNING)
        assert set(world.kernel.programs) == ids  # adopted, not loaded again
        assert (world.value("c") or 0) > before
    assert world.script.alive == 0


async def test_a_wish_withdrawn_is_gone_from_the_next_agent_too(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user("c", "counter"))
        await programs.unload(Name("c"))
    async with world.agent() as programs:
        await until(lambda: programs.ready()[0])
        assert programs.observed() == ()
        assert world.apps() == []


async def test_unknown_fields_of_a_newer_version_are_ignored_and_kept(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
    path = world.folder / "state" / "wishes" / "grpc.json"
    document = json.loads(path.read_text())
    document["future"] = {"x": 1}
    document["wishes"][0]["manifest"]["spec"]["colour"] = "blue"
    document["wishes"].append({"generation": 1, "manifest": {"apiVersion": "ebpfconductor.io/v7", "kind": "Dream"}})
    path.write_text(json.dumps(document))
    async with world.agent() as programs:
        await until_state(programs, "p", State.RUNNING)
        assert any("not understood" in line for line in programs.ready()[1])
        await programs.load(user("q"))
    kept = json.loads(path.read_text())
    assert kept["future"] == {"x": 1}
    assert kept["wishes"][0]["manifest"]["spec"]["colour"] == "blue"
    assert kept["wishes"][-1]["manifest"]["kind"] == "Dream"


@pytest.mark.parametrize("content", [b"", b'{"wishes": [', b"\xff\x00", b"[]", b"[" * 100_000])
async def test_a_torn_file_is_kept_aside_and_told(world: ProgramWorld, content: bytes) -> None:
    async with world.agent() as programs:
        await programs.set_source(Source.FILE, [user("f")])
        await programs.load(user())
    (world.folder / "state" / "wishes" / "grpc.json").write_bytes(content)
    async with world.agent() as programs:
        await until_state(programs, "f", State.RUNNING)
        assert [status.spec.name for status in programs.observed()] == ["f"]
        assert any("degraded" in line and "grpc.json" in line for line in programs.ready()[1])
        (aside,) = (world.folder / "state" / "wishes").glob("grpc.json.bad-*")
        assert aside.read_bytes() == content
        await programs.load(user())


async def test_a_full_disk_keeps_nothing_half_and_programs_go_on(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        wishes = world.folder / "state" / "wishes"
        moved = wishes.rename(wishes.with_name("elsewhere"))
        try:
            with pytest.raises(StateUnwritable, match="free space"):
                await programs.load(user("q"))
            with pytest.raises(StateUnwritable):
                await programs.unload(P)
            with pytest.raises(StateUnwritable):
                await programs.update(user(step=5))
        finally:
            moved.rename(wishes)
        assert [(s.spec, s.condition.state) for s in programs.observed()] == [(user(), State.RUNNING)]
        before = world.value("p") or 0
        await until(lambda: (world.value("p") or 0) > before)


async def test_every_change_of_state_is_told(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        await programs.unload(P)
        await until(lambda: ProgramGone(name=P) in world.events)
        told = [e.state for e in world.events if isinstance(e, ProgramChanged)]
        assert told == [State.INITIALIZED, State.RUNNING]


async def test_readiness_waits_for_what_was_stored(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
    world.script.on_open[""] = lambda: time.sleep(0.3)
    async with world.agent() as programs:
        ready, lines = programs.ready()
        assert not ready
        assert "program p has not been tried yet" in lines
        await until(lambda: programs.ready() == (True, ()))


async def test_an_agent_that_ends_leaves_no_thread_and_no_task(world: ProgramWorld, tmp_path: Path) -> None:
    del tmp_path
    before = asyncio.all_tasks()
    async with world.agent() as programs:
        for number in range(10):
            await programs.load(user(f"p{number}"))
    assert asyncio.all_tasks() == before
    assert world.script.alive == 0
