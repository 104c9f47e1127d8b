"""What a kernel program's maps hold outlives an update where it can, and an update says so where it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conductor.errors import KernelRefused, NotSupported
from conductor.managers.kernel_half import KernelHalf
from conductor.model.status import State
from tests.fakes.kernel import Fault
from tests.managers.kernel_world import ENTER, World, message, state, tell, trace, wishes

RUNNING = (State.RUNNING, "")


def maps(half: KernelHalf, name: str = "a") -> tuple[int, ...]:
    (status,) = [s for s in half.observed() if s.spec.name == name]
    return status.functions[0].map_ids


@pytest.mark.parametrize("known", [True, False])
def test_maps_of_one_layout_are_taken_over_again_and_again(tmp_path: Path, known: bool) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.knows_layouts = known
        await half.converge(wishes(trace("a")))
        before = maps(half)
        for generation, path in enumerate(("/o/trace2.o", "/o/trace.o", "/o/trace2.o"), 2):
            await half.converge(wishes(trace("a", path=path, generation=generation)))
            assert state(half) == RUNNING
            assert maps(half) == before
        assert half.counters.handovers == half.counters.replaces == 3
        assert len(world.kernel.programs) == len(world.kernel.links) == 1

    tell(tmp_path, story)


def test_new_maps_come_beside_those_taken_over(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        before = maps(half)
        await half.converge(wishes(trace("a", path="/o/more.o", generation=2)))
        assert state(half) == RUNNING
        assert maps(half)[:1] == before
        assert len(maps(half)) == 2

    tell(tmp_path, story)


@pytest.mark.parametrize("known", [True, False])
def test_another_layout_begins_with_new_maps_and_says_so(tmp_path: Path, known: bool) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        world.knows_layouts = known
        await half.converge(wishes(trace("a")))
        before = maps(half)
        await half.converge(wishes(trace("a", path="/o/other.o", generation=2)))
        assert not set(maps(half)) & set(before)
        assert state(half) == (State.RUNNING, "MapsRenewed")
        assert "map counts" in message(half)
        assert any("maps of its own" in line for line in await half.log(half.observed()[0].spec.name))
        await asyncio.sleep(100)
        assert state(half) == (State.RUNNING, "MapsRenewed")
        await half.converge(wishes(trace("a", path="/o/other.o", generation=3)))
        assert state(half) == RUNNING

    tell(tmp_path, story)


def test_daemon_that_shares_no_maps_gives_new_ones(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        world.kernel.owner_refusal = NotSupported("bpfman 0.6 (Rust) does not share maps between Loads")
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.RUNNING, "MapsRenewed")
        assert "does not share maps between Loads" in message(half)
        assert len(world.kernel.programs) == len(world.kernel.links) == 1

    tell(tmp_path, story)


def test_daemon_that_only_pretends_to_share_is_found_out(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        world.kernel.pretends = True
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.RUNNING, "MapsRenewed")
        assert "made new ones without a word" in message(half)
        (program,) = world.kernel.programs.values()
        assert program.metadata["ebpfconductor.io/maps-load"] == program.metadata["ebpfconductor.io/load"]

    tell(tmp_path, story)


def test_label_asks_for_fresh_maps(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        labels = {"ebpfconductor.io/fresh-maps": "true"}
        await half.converge(wishes(trace("a", labels=labels)))
        before = maps(half)
        await half.converge(wishes(trace("a", path="/o/trace2.o", labels=labels, generation=2)))
        assert state(half) == RUNNING
        assert not set(maps(half)) & set(before)

    tell(tmp_path, story)


def test_borrowers_go_on_undisturbed(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        borrower = trace("b", owner="a")
        await half.converge(wishes(borrower, trace("a")))
        before = next(s for s in half.observed() if s.spec.name == "b").functions
        await half.converge(wishes(borrower, trace("a", path="/o/trace2.o", generation=2)))
        assert next(s for s in half.observed() if s.spec.name == "b").functions == before
        assert maps(half, "a") == maps(half, "b")

    tell(tmp_path, story)


def test_borrowers_follow_to_maps_that_came_new(tmp_path: Path) -> None:
    async def story(_: World, half: KernelHalf) -> None:
        borrower = trace("b", path="/o/more.o", owner="a")
        await half.converge(wishes(borrower, trace("a")))
        await half.converge(wishes(borrower, trace("a", path="/o/more.o", generation=2)))
        assert all(state(half, name) == RUNNING for name in "ab")
        assert maps(half, "a") == maps(half, "b")

    tell(tmp_path, story)


def test_failed_heir_leaves_the_maps_to_the_version_before(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a")))
        before = maps(half)
        world.kernel.refusals["attach"] = KernelRefused("no room")
        await half.converge(wishes(trace("a", path="/o/trace2.o", generation=2)))
        assert state(half) == (State.FAILED, "KernelRefused")
        assert maps(half) == before
        world.kernel.refusals.clear()
        await asyncio.sleep(60)
        assert state(half) == RUNNING
        assert maps(half) == before

    tell(tmp_path, story)


def test_unanswered_attach_costs_no_counts(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(trace("a", ENTER)))
        before = maps(half)
        world.kernel.links.clear()
        world.kernel.faults.append(Fault.LOST_UNDONE)
        await asyncio.sleep(100)
        assert state(half) == RUNNING
        assert half.counters.replaces == 1
        assert maps(half) == before

    tell(tmp_path, story)
