"""What is found again after a daemon was killed, what after it lost its state, and what of calls cut off half-way."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import AnswerLost, ConductorError, KernelAway
from conductor.model.kernel import KernelType
from tests.real_bpfman.bed import ENTER, EXIT, OWNER, Bed
from tests.real_bpfman.eyes import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


async def connected(road: BpfmanRoad, wanted: bool) -> None:
    async with asyncio.timeout(10):
        async for status in road.connection():
            if status.connected is wanted:
                return


def test_killed_daemon_finds_everything_again_and_nothing_stopped(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        loaded = await road.load(bed.load("enter", "exit"))
        by_name = {p.name: p for p in loaded}
        first = by_name[bed.name("enter")]
        link = await road.attach(first.id, KernelType.TRACEPOINT, ENTER, "")
        bed.daemon.end(signal.SIGKILL)
        await connected(road, wanted=False)
        before = bed.counted(first.map_pin_path, "enter")
        os.getpgid(0)
        assert bed.counted(first.map_pin_path, "enter") > before
        assert bed.eyes.links() == [first.id]
        await asyncio.to_thread(bed.daemon.start)
        found = {p.id: p for p in await road.loaded({OWNER: bed.owner})}
        assert found.keys() == {p.id for p in loaded} == bed.eyes.programs().keys()
        assert found[first.id].links == (link,)
        assert found[first.id].map_pin_path == first.map_pin_path
        await road.detach(link)
        assert bed.eyes.links() == []

    bed.tell(story)


def test_call_rides_through_a_restart(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        await road.load(bed.load("enter"))
        bed.daemon.end(signal.SIGKILL)
        async with asyncio.TaskGroup() as group:
            listing = group.create_task(road.loaded({OWNER: bed.owner}))
            await asyncio.to_thread(bed.daemon.start)
        assert len(listing.result()) == 1

    bed.tell(story)


def test_daemon_that_is_away_says_so(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        await road.loaded({})
        bed.daemon.end(signal.SIGKILL)
        with pytest.raises(KernelAway):
            await road.load(bed.load("enter"))
        assert bed.eyes.programs() == {}

    bed.tell(story)


def test_programs_whose_pins_are_gone(bed: Bed) -> None:
    """The kernel ends them, and no daemon lists what is no more."""

    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("enter"))
        await road.attach(program.id, KernelType.TRACEPOINT, ENTER, "")
        bed.daemon.lose_pins()
        await asyncio.to_thread(eventually, bed.eyes.programs, {})
        assert await road.loaded({OWNER: bed.owner}) == ()
        with pytest.raises(ConductorError):
            await road.attach(program.id, KernelType.TRACEPOINT, ENTER, "")

    bed.tell(story)


def test_daemon_that_lost_everything_starts_anew(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        await road.load(bed.load("enter"))
        await asyncio.to_thread(bed.daemon.lose_everything)
        assert await road.loaded({OWNER: bed.owner}) == ()
        await asyncio.to_thread(eventually, bed.eyes.programs, {})
        (again,) = await road.load(bed.load("enter"))
        assert bed.eyes.programs() == {again.id: again.name}

    bed.tell(story)


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.01, 0.05])
def test_load_cut_off_is_lost_or_away_and_whole_or_nothing(bed: Bed, moment: float) -> None:
    """All that it loaded is listed; of what the crash left beside (see `orphans`), nothing runs."""

    async def story(road: BpfmanRoad) -> None:
        await road.loaded({})
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(outcome(road.load(bed.load("enter", "exit"))))
            await asyncio.sleep(moment)
            bed.daemon.process.kill()  # type: ignore[union-attr]
            await asyncio.to_thread(bed.daemon.restart)
        assert loading.result() is None or isinstance(loading.result(), KernelAway)
        found = {p.id for p in await road.loaded({OWNER: bed.owner})}
        assert found <= bed.eyes.programs().keys()
        assert bed.eyes.links() == []

    bed.tell(story)


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.003, 0.01])
def test_attach_cut_off_says_that_it_may_have_happened(bed: Bed, moment: float) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("exit"))
        async with asyncio.TaskGroup() as group:
            attaching = group.create_task(outcome(road.attach(program.id, KernelType.TRACEPOINT, EXIT, "")))
            await asyncio.sleep(moment)
            bed.daemon.process.kill()  # type: ignore[union-attr]
            await asyncio.to_thread(bed.daemon.restart)
        result = attaching.result()
        assert result is None or isinstance(result, AnswerLost), repr(result)
        standing = bed.eyes.links()
        assert standing in ([], [program.id])
        if result is None:
            assert standing == [program.id]

    bed.tell(story)
    if bed.flavour is Flavour.RUST:
        bed.daemon.lose_everything()  # a link that it made and did not write down would outlive its program's unload


async def outcome(call: object) -> ConductorError | None:
    try:
        await call  # type: ignore[misc]
    except ConductorError as error:
        return error
    return None
