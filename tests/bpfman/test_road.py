"""The road through restarts, silence, lost answers and sockets that are not ours."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from conductor.bpfman.road import BpfmanRoad
from conductor.errors import AnswerLost, ConductorError, KernelAway, NoKernelRoad
from conductor.ports import Kernel, RoadStatus
from tests.bpfman.conftest import BOOT, fake_kernel, fake_world, road
from tests.fakes.bpfman_daemon import Manners, serving
from tests.fakes.kernel import Fault


async def until(kernel: Kernel, wanted: bool) -> RoadStatus:
    """Wait for a status that is (not) connected."""
    async with asyncio.timeout(10):
        async for status in kernel.connection():
            if status.connected is wanted:
                return status
    raise AssertionError("the connection tells for ever")


@pytest.mark.parametrize("manners", [Manners.RUST, Manners.GO])
def test_auto_takes_bpfman_where_it_answers(tmp_path: Path, manners: Manners) -> None:
    async def story() -> None:
        async with (
            serving(tmp_path / "bpfman.sock", fake_kernel(), manners),
            serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER),
            road(tmp_path, "auto") as kernel,
        ):
            status = await until(kernel, wanted=True)
            assert (status.road, status.flavour) == ("bpfman", manners.value)
            assert not status.kernel_enforces_grants

    asyncio.run(story())


def test_auto_takes_the_loader_where_there_is_no_bpfman(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER),
            road(tmp_path, "auto") as kernel,
        ):
            status = await until(kernel, wanted=True)
            assert (status.road, status.flavour, status.version) == ("embedded", "loader", "1.2.3")
            assert status.kernel_enforces_grants

    asyncio.run(story())


def test_road_does_not_change_within_a_boot(tmp_path: Path) -> None:
    (tmp_path / "road.json").write_text(json.dumps({"road": "embedded", "boot_id": BOOT}))

    async def story() -> None:
        async with (
            serving(tmp_path / "bpfman.sock", fake_kernel(), Manners.GO),
            serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER),
            road(tmp_path, "auto") as kernel,
        ):
            assert (await until(kernel, wanted=True)).road == "embedded"

    asyncio.run(story())


@pytest.mark.parametrize("kept", ['{"road": "embedded", "boot_id": "of-another-boot"}', '{"road', "[]"])
def test_record_of_another_boot_or_torn_is_as_none(tmp_path: Path, kept: str) -> None:
    (tmp_path / "road.json").write_text(kept)

    async def story() -> None:
        async with serving(tmp_path / "bpfman.sock", fake_kernel(), Manners.GO), road(tmp_path, "auto") as kernel:
            assert (await until(kernel, wanted=True)).road == "bpfman"
        assert json.loads((tmp_path / "road.json").read_text()) == {"road": "bpfman", "boot_id": BOOT}

    asyncio.run(story())


def test_bpfman_of_an_older_protocol_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path / "bpfman.sock", fake_kernel(), Manners.OLD), road(tmp_path, "bpfman") as kernel:
            with pytest.raises(KernelAway, match=r"bpfman 0\.5.*upgrade it to 0\.6"):
                await kernel.loaded({})

    asyncio.run(story())


def test_without_any_daemon_there_is_no_road(tmp_path: Path) -> None:
    async def story() -> None:
        async with road(tmp_path, "auto") as kernel:
            with pytest.raises(NoKernelRoad, match=r"bpfman\.sock.*loader\.sock"):
                await kernel.loaded({})
            assert kernel.status.road == "none"

    asyncio.run(story())


def test_road_that_was_switched_off_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER), road(tmp_path, "none") as kernel:
            with pytest.raises(NoKernelRoad, match="--kernel none"):
                await kernel.loaded({})

    asyncio.run(story())


def test_daemon_that_comes_later_is_found(tmp_path: Path) -> None:
    async def story() -> None:
        async with road(tmp_path, "auto") as kernel, AsyncExitStack() as stack:
            with pytest.raises(NoKernelRoad):
                await kernel.loaded({})
            await stack.enter_async_context(serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER))
            assert (await until(kernel, wanted=True)).flavour == "loader"

    asyncio.run(story())


def test_a_daemon_that_was_away_for_long_is_found_within_a_second(tmp_path: Path) -> None:
    async def story() -> None:
        async with road(tmp_path, "auto") as kernel, AsyncExitStack() as stack:
            async with serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER):
                await until(kernel, wanted=True)
            await asyncio.sleep(3.5)  # by now seconds pass between two looks
            await stack.enter_async_context(serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER))
            async with asyncio.timeout(1):
                await until(kernel, wanted=True)

    asyncio.run(story())


def test_restart_of_the_daemon_is_ridden_through(tmp_path: Path) -> None:
    async def story() -> None:
        fake = fake_kernel()
        async with road(tmp_path) as kernel:
            w = fake_world(kernel)
            async with serving(tmp_path / "loader.sock", fake, Manners.LOADER):
                await kernel.load(w.load())
            assert not (await until(kernel, wanted=False)).connected
            async with serving(tmp_path / "loader.sock", fake, Manners.LOADER), asyncio.TaskGroup() as group:
                listing = group.create_task(kernel.loaded({}))
            assert len(listing.result()) == 2
            assert kernel.counters.reconnects == 1

    asyncio.run(story())


def test_daemon_exchanged_in_place_is_asked_again_who_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        socket = tmp_path / "bpfman.sock"
        async with road(tmp_path, "bpfman") as kernel:
            async with serving(socket, fake_kernel(), Manners.RUST):
                assert (await until(kernel, wanted=True)).flavour == "bpfman-rust"
            await until(kernel, wanted=False)
            async with serving(socket, fake_kernel(), Manners.GO):
                assert (await until(kernel, wanted=True)).flavour == "bpfman-go"

    asyncio.run(story())


def test_attach_whose_answer_is_lost_says_so_and_is_not_repeated(tmp_path: Path) -> None:
    async def story() -> None:
        fake = fake_kernel()
        async with road(tmp_path) as kernel:
            w = fake_world(kernel)
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(serving(tmp_path / "loader.sock", fake, Manners.LOADER))
                (program,) = await kernel.load(w.load(w.first))
                fake.faults.append(Fault.HANG_DONE)
                async with asyncio.TaskGroup() as group:
                    attach = group.create_task(lost(kernel.attach(program.id, w.first.type, w.first_link, "")))
                    while not fake.links:  # noqa: ASYNC110 -- the fake has no event for it
                        await asyncio.sleep(0.01)
                    await stack.aclose()
            assert isinstance(attach.result(), AnswerLost)
            assert len(fake.links) == 1

    asyncio.run(story())


async def lost(call: object) -> BaseException | None:
    try:
        await call  # type: ignore[misc]
    except ConductorError as error:
        return error
    return None


@pytest.mark.kernel
def test_socket_that_is_closed_to_us_says_what_helps(tmp_path: Path) -> None:
    async def story() -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        async with serving(closed / "loader.sock", fake_kernel(), Manners.LOADER):
            os.seteuid(65534)
            try:
                async with BpfmanRoad.running(
                    mode="auto",
                    bpfman_socket=closed / "bpfman.sock",
                    loader_socket=closed / "loader.sock",
                    state_dir=tmp_path,
                    boot_id=BOOT,
                ) as kernel:
                    with pytest.raises(KernelAway, match="closed to this user: give the agent its group"):
                        await kernel.loaded({})
            finally:
                os.seteuid(0)

    asyncio.run(story())


def test_socket_that_never_answers_is_away(tmp_path: Path) -> None:
    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_unix_server(silent, tmp_path / "loader.sock")
        async with server, road(tmp_path) as kernel:
            with pytest.raises(KernelAway):
                await kernel.loaded({})

    asyncio.run(story())


@pytest.mark.slow
def test_auto_gives_a_silent_bpfman_ten_seconds_and_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        began = asyncio.get_running_loop().time()
        server = await asyncio.start_unix_server(silent, tmp_path / "bpfman.sock")
        async with (
            server,
            serving(tmp_path / "loader.sock", fake_kernel(), Manners.LOADER),
            road(tmp_path, "auto") as kernel,
        ):
            async with asyncio.timeout(20):
                async for status in kernel.connection():
                    if status.connected:
                        break
                    problem = status.problem
            assert "bpfman.sock is there and has not answered; it is given 10 s" in problem
            assert status.road == "embedded"
            assert 10 <= asyncio.get_running_loop().time() - began < 12

    asyncio.run(story())


def test_answer_past_the_bound_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        fake = fake_kernel()
        async with serving(tmp_path / "loader.sock", fake, Manners.LOADER), road(tmp_path) as kernel:
            w = fake_world(kernel)
            (program,) = await kernel.load(w.load(w.first))
            fake.programs[program.id].metadata["long"] = "x" * (5 << 20)  # type: ignore[index]
            with pytest.raises(ConductorError, match="the most we read"):
                await kernel.loaded({})

    asyncio.run(story())


def test_run_times_come_from_the_loader_or_its_assistance(tmp_path: Path) -> None:
    async def story() -> None:
        fake = fake_kernel()
        async with serving(tmp_path / "bpfman.sock", fake, Manners.GO), road(tmp_path, "bpfman") as kernel:
            await until(kernel, wanted=True)
            assert await kernel.run_stats() is None
            (program,) = await kernel.load(fake_world(kernel).load(fake_world(kernel).first))
            fake.runs = {program.id: (0.5, 7)}
            async with serving(tmp_path / "loader.sock", fake, Manners.LOADER):
                assert await kernel.run_stats() == {program.id: (0.5, 7)}

    asyncio.run(story())
