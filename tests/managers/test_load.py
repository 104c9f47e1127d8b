"""Load, and what it answers."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from conductor.errors import AlreadyExists, InvalidSpec, MetricClash, NameTaken, NotFound, NotYet
from conductor.model.ids import Name
from conductor.model.kernel import PathObject
from conductor.model.program import Source, WasmSource
from conductor.model.status import State
from tests.fakes.builtins import FakeBuiltin
from tests.fakes.kernel import Fault
from tests.managers.program_world import ProgramWorld, grant, until, until_state, user


async def test_a_builtin_runs_and_its_series_grow(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        status = await programs.load(user())
        assert (status.condition.state, status.condition.reason) == (State.RUNNING, "")
        await until(lambda: (world.value("p") or 0) >= 3)


async def test_the_kernel_half_comes_along_and_goes_along(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        status = await programs.load(user("c", "counter"))
        assert status.condition.state is State.RUNNING
        assert world.apps() == ["c"]
        assert [(m.name, m.kernel_program, m.program_id) for m in status.maps] == [("counts", "c", 101)]
        assert [k.needed_by for k in programs.kernel()] == [("c",)]
        await programs.unload(Name("c"))
        assert world.apps() == []
        assert programs.kernel() == ()
        assert world.pins.open_handles == 0


async def test_the_same_spec_again_is_the_same_program(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        first = await programs.load(user())
        again = await programs.load(user())
        assert again.condition == first.condition
        assert again.generation == first.generation == 1
        assert world.script.opened == 1


async def test_fifty_loads_at_once_give_one_program_and_fifty_answers(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        async with asyncio.TaskGroup() as group:
            loads = [group.create_task(programs.load(user("c", "counter"))) for _ in range(50)]
        assert {load.result().condition.state for load in loads} == {State.RUNNING}
        assert world.script.opened == 1
        assert world.apps() == ["c"]


async def test_another_spec_names_update(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user(step=1))
        with pytest.raises(AlreadyExists, match="Update"):
            await programs.load(user(step=2))


async def test_a_name_of_another_source_names_it(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.set_source(Source.FILE, [user()])
        with pytest.raises(NameTaken, match="source file"):
            await programs.load(user())


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        (user(builtin="plan"), NotFound, "did you mean plain"),
        (user(step="many"), InvalidSpec, "config.step"),
        (user(sted=1), InvalidSpec, "config.sted"),
        (user(maps=(grant(),)), InvalidSpec, "does not use a map counts"),
        (user("c", "counter", maps=(grant(name="count"),)), InvalidSpec, "--map counts=KERNELPROGRAM"),
        (replace(user(), source=WasmSource(location=PathObject(path="/x.wasm"))), NotYet, "wasm"),
    ],
)
async def test_what_makes_no_sense_leaves_nothing(
    world: ProgramWorld, spec: object, error: type[Exception], says: str
) -> None:
    async with world.agent() as programs:
        with pytest.raises(error, match=says):
            await programs.load(spec)  # type: ignore[arg-type]
        assert programs.observed() == ()
    async with world.agent() as programs:
        assert programs.observed() == ()


async def test_a_failure_later_is_kept_listed_and_tried_again(world: ProgramWorld) -> None:
    failing = threading.Event()
    failing.set()

    def raise_while_failing() -> None:
        if failing.is_set():
            raise OSError("no such luck")

    world.script.on_open["sad"] = raise_while_failing
    async with world.agent() as programs:
        status = await programs.load(user(mood="sad"))
        assert (status.condition.state, status.condition.reason) == (State.FAILED, "ProgramCrashed")
        assert "no such luck" in status.condition.message
        assert [s.spec.name for s in programs.observed()] == ["p"]
        failing.clear()
        await until_state(programs, "p", State.RUNNING)


async def test_a_metric_that_another_program_declares_otherwise_is_refused_naming_both(world: ProgramWorld) -> None:
    world.add(FakeBuiltin("odd", world.script, help_="Something else."))
    async with world.agent() as programs:
        await programs.load(user())
        with pytest.raises(MetricClash, match="program q declares another help text than program p"):
            await programs.load(user("q", "odd"))
        assert [s.spec.name for s in programs.observed()] == ["p"]
        await programs.unload(Name("p"))
        await programs.load(user("q", "odd"))


async def test_a_stored_program_that_clashes_runs_when_the_other_is_gone(world: ProgramWorld) -> None:
    world.add(FakeBuiltin("odd", world.script, help_="Something else."))
    async with world.agent() as programs:
        await programs.set_source(Source.FILE, [user("p"), user("q", "odd")])
        await until(lambda: sorted(s.condition.reason for s in programs.observed()) == ["", "MetricClash"])
        (winner,) = [s.spec for s in programs.observed() if s.condition.reason == ""]
        (loser,) = [s.spec for s in programs.observed() if s.condition.reason == "MetricClash"]
        assert winner != loser
        await programs.set_source(Source.FILE, [loser])
        await until_state(programs, loser.name, State.RUNNING)


async def test_a_cancelled_caller_leaves_the_work_going(world: ProgramWorld) -> None:
    gate = threading.Event()
    world.script.on_open["slow"] = lambda: gate.wait(5)
    async with world.agent() as programs:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await programs.load(user(mood="slow"))
        gate.set()
        await until_state(programs, "p", State.RUNNING)


async def test_series_are_there_only_while_the_program_is(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        await programs.unload(Name("p"))
        assert world.value("p") is None
        await programs.load(user())
        assert world.value("p") == 1.0  # its state was emptied too: it begins anew


async def test_unload_of_an_unknown_name(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        with pytest.raises(NotFound):
            await programs.unload(Name("nobody"))


async def test_a_program_without_maps_waits_for_no_kernel_daemon(world: ProgramWorld) -> None:
    async with world.agent() as programs, asyncio.TaskGroup() as group:
        world.kernel.faults.append(Fault.HANG_UNDONE)
        stuck = group.create_task(programs.load(user("c", "counter")))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            assert (await programs.load(user("p"))).condition.state is State.RUNNING
        assert not stuck.done()
        stuck.cancel()
