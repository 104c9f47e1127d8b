"""Programs that look like ours and that nobody wishes: counted and said, never touched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.managers.kernel_half import KernelHalf
from conductor.model.ids import ProgramId
from conductor.plan.kernel_sets import OWNER
from conductor.ports import KernelLoaded
from tests.fakes import virtual_time
from tests.managers.kernel_world import World, tell, trace, wishes


def test_programs_of_a_lost_state_directory_are_foreign_and_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        async with world.half() as half:
            await half.converge(wishes(trace("a")))
        ((id_, lost),) = world.kernel.programs.items()
        world.kernel.programs[id_] = replace(lost, metadata={**lost.metadata, OWNER: "lost"})
        caplog.clear()
        async with world.half() as half:
            await half.converge(wishes(trace("b")))
            for _ in range(3):
                await asyncio.sleep(100)
                world.kernel.go_away()
                world.kernel.come_back()
            assert half.strays.foreign is not None
            assert [program.id for program in half.strays.foreign] == [id_]
            await half.converge({})
            await asyncio.sleep(1000)
        assert set(world.kernel.programs) == {id_}
        assert world.kernel.links
        said = [r.getMessage() for r in caplog.records if "another agent's identity" in r.getMessage()]
        assert len(said) == 1
        assert f"on_enter ({id_}) of a" in said[0]

    virtual_time.run(story())


def test_ones_own_programs_are_not_foreign(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        world.kernel.go_away()
        world.kernel.come_back()
        await asyncio.sleep(1)
        assert half.strays.foreign == ()

    tell(tmp_path, story)


def test_orphans_are_known_by_tag_and_name(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        assert half.strays.counts()["orphans"] is None
        (ours,) = world.kernel.programs.values()
        alike = KernelLoaded(id=ProgramId(7), name=ours.name, type=None, tag=ours.tag)
        world.kernel.orphans = [
            alike,
            replace(alike, id=ProgramId(8), tag="f" * 16),
            replace(alike, id=ProgramId(9), name="x"),
        ]
        await asyncio.sleep(100)
        assert half.strays.counts() == {"orphans": 1, "foreign_programs": 0}
        assert len(world.kernel.programs) == 1

    tell(tmp_path, story)
