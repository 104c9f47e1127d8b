"""Update: the new version proven, then the old one down; counters go on; a bad one never takes over."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from conductor.errors import ConductorError, InvalidSpec, NotFound, ProgramCrashed, SourceHolds, TickFailed
from conductor.exporter.store import SeriesStore
from conductor.model.ids import Name
from conductor.model.program import Source
from conductor.model.status import State
from tests.managers.program_world import ProgramWorld, grant, until, until_state, user


async def test_the_new_spec_runs_and_the_old_instance_is_gone(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user(step=1))
        status = await programs.update(user(step=100))
        assert (status.condition.state, status.generation, status.spec) == (State.RUNNING, 2, user(step=100))
        assert world.script.alive == 1


async def test_a_counter_goes_on_and_never_down(world: ProgramWorld) -> None:
    seen: list[float] = []
    async with world.agent() as programs:
        await programs.load(user(step=1))
        for step in range(2, 8):
            seen.append(world.value("p") or 0.0)
            await programs.update(user(step=step))
            seen.append(world.value("p") or 0.0)
    assert seen == sorted(seen)
    assert len(set(seen)) > 6


async def test_the_old_one_still_runs_when_the_new_one_opens(world: ProgramWorld) -> None:
    alive: list[int] = []
    world.script.on_open["new"] = lambda: alive.append(world.script.alive)
    async with world.agent() as programs:
        await programs.load(user())
        await programs.update(user(mood="new"))
    assert alive == [1]


async def test_without_overlap_the_old_one_is_gone_first(world: ProgramWorld) -> None:
    alive: list[int] = []
    world.script.on_open["new"] = lambda: alive.append(world.script.alive)
    async with world.agent() as programs:
        await programs.load(user())
        await programs.update(user(mood="new"), overlap=False)
    assert alive == [0]


@pytest.mark.parametrize("road", ["apply", "set_source", "update"])
async def test_a_wish_that_does_not_overlap_ends_the_old_one_first(world: ProgramWorld, road: str) -> None:
    alive: list[int] = []
    world.script.on_open["new"] = lambda: alive.append(world.script.alive)
    source = Source.CLUSTER if road == "set_source" else Source.GRPC
    async with world.agent() as programs:
        await programs.set_source(source, [replace(user(), overlap=False)])
        await until_state(programs, "p", State.RUNNING)
        match road:
            case "apply":
                await programs.apply([replace(user(mood="new"), overlap=False)])
            case "set_source":
                await programs.set_source(source, [replace(user(mood="new"), overlap=False)])
            case _:
                await programs.update(user(mood="new"))  # a request cannot say it: what is kept goes on
                assert not programs.get(Name("p")).spec.overlap
        await until(lambda: bool(alive))
        await until_state(programs, "p", State.RUNNING)
    assert alive == [0]


@pytest.mark.parametrize("overlap", [True, False])
async def test_a_change_of_the_strategy_alone_is_kept_and_restarts_nothing(world: ProgramWorld, overlap: bool) -> None:
    before, after = (replace(user(step=1), overlap=one) for one in (not overlap, overlap))
    async with world.agent() as programs:
        await programs.set_source(Source.GRPC, [before])
        await until_state(programs, "p", State.RUNNING)
        (applied,) = await programs.apply([after])
        assert applied.action == "configured"
        await until(lambda: programs.get(Name("p")).generation == 2)
        ticks = world.value("p") or 0
        await until(lambda: (world.value("p") or 0) > ticks + 1)
        assert (world.script.opened, programs.get(Name("p")).condition.state) == (1, State.RUNNING)
    async with world.agent() as programs:
        assert programs.get(Name("p")).spec == after


async def test_one_request_without_overlap_leaves_the_wish_as_it_is(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user(step=1))
        await programs.update(user(step=2), overlap=False)
        assert programs.get(Name("p")).spec == user(step=2)


@pytest.mark.parametrize(("when", "error"), [("on_open", ProgramCrashed), ("on_tick", TickFailed)])
@pytest.mark.parametrize("overlap", [True, False])
async def test_a_bad_version_is_taken_back_and_told(
    world: ProgramWorld, when: str, error: type[ConductorError], overlap: bool
) -> None:
    def fail() -> None:
        raise ValueError("bad version")

    getattr(world.script, when)["bad"] = fail
    async with world.agent() as programs:
        await programs.load(user(step=1))
        with pytest.raises(error, match="bad version"):
            await programs.update(user(mood="bad"), overlap=overlap)
        status = programs.get(Name("p"))
        assert (status.spec, status.generation, status.condition.state) == (user(step=1), 1, State.RUNNING)
        before = world.value("p") or 0
        await until(lambda: (world.value("p") or 0) > before)
        assert world.script.alive == 1
    async with world.agent() as programs:
        assert programs.get(Name("p")).spec == user(step=1)


async def test_without_rollback_the_new_wish_stays_and_the_old_version_runs_on(world: ProgramWorld) -> None:
    broken = threading.Event()
    broken.set()

    def fail_while_broken() -> None:
        if broken.is_set():
            raise ValueError("bad version")

    world.script.on_open["bad"] = fail_while_broken
    async with world.agent() as programs:
        await programs.load(user(step=1))
        status = await programs.update(user(mood="bad"), rollback=False)
        assert (status.condition.state, status.condition.reason) == (State.RUNNING, "UpdateFailed")
        assert "generation 2 could not take over" in status.condition.message
        assert status.generation == 2
        broken.clear()
        await until_state(programs, "p", State.RUNNING, "")
        assert world.script.alive == 1


async def test_an_update_to_a_map_that_is_not_there_is_taken_back(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user("c", "counter"))
        with pytest.raises(ConductorError, match="kernel program trace"):
            await programs.update(user("c", "counter", maps=(grant("trace"),)))
        assert programs.get(Name("c")).condition.state is State.RUNNING
        assert world.apps() == ["c"]


async def test_a_kernel_half_is_swapped_with_its_program(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user("c", "counter"))
        await programs.update(user("c", "plain"))
        await until(lambda: world.apps() == [])
        assert world.pins.open_handles == 0
        await programs.update(user("c", "counter"))
        assert world.apps() == ["c"]


async def test_the_same_spec_changes_nothing(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        assert (await programs.update(user())).generation == 1
        assert world.script.opened == 1


async def test_only_what_is_there_can_be_updated_and_only_by_its_source(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        with pytest.raises(NotFound):
            await programs.update(user())
        await programs.set_source(Source.FILE, [user()])
        with pytest.raises(SourceHolds, match="source file"):
            await programs.update(user(step=2))


async def test_a_malformed_update_changes_nothing(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        with pytest.raises(InvalidSpec):
            await programs.update(replace(user(), config={"step": -1}))
        assert programs.get(Name("p")).spec == user()


async def test_the_budget_of_the_new_spec_counts(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        spec = replace(user(), limits=replace(user().limits, series=7))
        await programs.update(spec)
        assert isinstance(world.store, SeriesStore)
        assert world.store.sink("p", 7).budget == 7
