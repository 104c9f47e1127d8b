"""`conductor loader --assist` beside each real daemon: what it gives, what it leaves alone, what it refuses."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import KernelAway
from conductor.model.kernel import KernelType
from conductor.proto.conductor.loader import v1 as own
from tests.loader.running import GROUP, connected
from tests.real_bpfman.bed import BOOT, ENTER, Bed, made, started
from tests.real_bpfman.daemons import Assistant

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.bpfman]
REAL = [pytest.param(Flavour.RUST, id="rust"), pytest.param(Flavour.GO, id="go")]


@pytest.fixture(params=REAL)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """A real bpfman."""
    assert isinstance(request.param, Flavour)
    return request.param


@pytest.fixture
def bed(flavour: Flavour) -> Iterator[Bed]:
    """A bed with an assistant beside its daemon, where its client looks for one."""
    with started(flavour) as daemon:
        bed = made(daemon)
        assistant = Assistant(bed.folder, daemon.place, bpfman=daemon.socket)
        assistant.start()
        try:
            yield bed
        finally:
            assistant.end()
        bed.sweep()


def modes(bed: Bed, pins: str) -> dict[str, tuple[int, int]]:
    """Group and mode of each map's pin."""
    found = {path.name: path.stat() for path in bed.daemon.place.seen(pins).iterdir()}
    return {name: (pin.st_gid, stat.S_IMODE(pin.st_mode)) for name, pin in found.items()}


def test_maps_are_the_agents_when_load_has_returned(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("exit"))
        pins = modes(bed, program.map_pin_path)
        assert pins["counts"] == (GROUP, 0o640)
        assert pins["events"] == (GROUP, 0o660)  # a ring buffer is taken by reading
        for folder in (Path(program.map_pin_path), *Path(program.map_pin_path).parents):
            seen = bed.daemon.place.seen(folder).stat()
            assert seen.st_mode & stat.S_IXOTH or (seen.st_gid == GROUP and seen.st_mode & stat.S_IXGRP), folder
            assert not (seen.st_gid == GROUP and seen.st_mode & stat.S_IWGRP), folder
        pinned = bed.daemon.place.seen(bed.daemon.bpffs / f"prog_{program.id}").stat()
        assert stat.S_IMODE(pinned.st_mode) == 0o600

    bed.tell(story)


def test_the_way_is_for_going_alone_again_at_the_next_look(bed: Bed) -> None:
    """The Rust daemon opens its folder to the folder's group again at each call."""

    async def story(road: BpfmanRoad) -> None:
        await road.load(bed.load("exit"))
        folder = bed.daemon.place.seen(bed.daemon.bpffs)
        given = folder.stat()
        if bed.flavour is Flavour.RUST:
            assert (given.st_gid, given.st_mode & stat.S_IRWXG) == (GROUP, stat.S_IXGRP)
        await road.loaded({})
        assert bool(folder.stat().st_mode & stat.S_IWGRP and folder.stat().st_gid == GROUP) == (
            bed.flavour is Flavour.RUST
        )
        await road.load(bed.load("enter"))
        assert folder.stat().st_mode == given.st_mode

    bed.tell(story)


def test_maps_that_a_load_says_are_written(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        load = bed.load("enter")
        writable = {**load.metadata, "ebpfconductor.io/writable-maps": "counts"}
        (program,) = await road.load(bed.load("enter", metadata=writable))
        assert modes(bed, program.map_pin_path)["counts"] == (GROUP, 0o660)

    bed.tell(story)


def test_programs_of_others_are_left_alone(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (theirs,) = await road.load(bed.load("enter", metadata={"theirs": bed.owner}))
        (ours,) = await road.load(bed.load("exit"))
        assert modes(bed, theirs.map_pin_path)["counts"][0] == 0
        runs = await road.run_stats()
        assert runs is not None
        assert ours.id in runs
        assert theirs.id not in runs
        await road.unload(theirs.id)

    bed.tell(story)


def test_runs_are_counted(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("enter"))
        await road.attach(program.id, KernelType.TRACEPOINT, ENTER, "")
        for _ in range(10):
            os.getpgid(0)
        runs = await road.run_stats()
        assert runs is not None
        seconds, count = runs[program.id]
        assert count >= 10
        assert 0 < seconds < 1

    bed.tell(story)


def test_it_loads_nothing_and_says_who_does(bed: Bed) -> None:
    async def story() -> None:
        async with connected(bed.folder / "daemon.sock") as client:
            with pytest.raises(GRPCError, match=r"--assist.*ask bpfman at") as refused:
                await client.load(bed.object, (bed.name("enter"), 2))
            assert refused.value.status is Status.UNIMPLEMENTED
            info = await client.stats.info(own.InfoRequest())
            assert info.assist
        assert bed.eyes.programs() == {}

    asyncio.run(story())


def test_it_is_never_taken_for_a_road(bed: Bed) -> None:
    async def story() -> None:
        async with BpfmanRoad.running(
            mode="auto",
            bpfman_socket=bed.folder / "nobody.sock",
            loader_socket=bed.folder / "daemon.sock",
            state_dir=bed.folder,
            boot_id=BOOT,
        ) as road:
            with pytest.raises(KernelAway, match="--assist"):
                await road.loaded({})
            assert road.status.road == "none"
            assert not (bed.folder / "road.json").exists()

    asyncio.run(story())


def test_killed_daemon_is_assisted_again(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        await road.load(bed.load("enter"))
        await asyncio.to_thread(bed.daemon.restart)
        (program,) = await road.load(bed.load("exit"))
        assert modes(bed, program.map_pin_path)["counts"] == (GROUP, 0o640)

    bed.tell(story)
