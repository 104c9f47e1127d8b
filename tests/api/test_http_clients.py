"""Slow, broken and many clients harm nobody."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

import pytest
from aiohttp import ClientSession

from conductor.api.http import HttpDoor
from conductor.api.scrapes import Scrapes, Variant
from tests.api.http_door import World, run

SERIES = 60_000
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def test_clients_that_never_read_do_not_stop_others() -> None:
    world = World()
    world.fill(SERIES)

    async def test(door: HttpDoor, client: ClientSession) -> None:
        host, port = door.address.split(":")
        slow = [await asyncio.open_connection(host, int(port), limit=1) for _ in range(8)]
        for _, writer in slow:
            writer.write(REQUEST)
        await asyncio.sleep(0.2)
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            assert len(await answer.read()) > 1_000_000
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        for _, writer in slow:
            writer.transport.abort()

    run(world, test)


def test_a_client_that_reads_too_slowly_is_cut_off() -> None:
    world = World()
    world.fill(SERIES * 4)
    size = len(world.page.render(openmetrics=False, gzip=False))

    async def test(door: HttpDoor, _: ClientSession) -> None:
        host, port = door.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.write(REQUEST)
        await asyncio.sleep(2.0)
        got = 0
        with suppress(ConnectionResetError):
            while data := await reader.read(1 << 20):
                got += len(data)
        writer.transport.abort()
        assert got < size
        assert door.requests["/metrics", "499"] == 1

    run(world, test, send_seconds=0.5)


def test_scrapes_past_the_bound_are_asked_to_come_again() -> None:
    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get("/metrics") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")

    run(World(), test, bodies=0)


def test_connections_past_the_bound_are_turned_away() -> None:
    async def test(door: HttpDoor, client: ClientSession) -> None:
        host, port = door.address.split(":")
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
        gone = 0
        for reader, _ in idle:
            try:
                async with asyncio.timeout(0.3):
                    gone += not await reader.read(1)
            except TimeoutError:
                pass
            except ConnectionResetError:
                gone += 1
        assert gone == 3
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        for _, writer in idle:
            writer.transport.abort()

    run(World(), test, connections=3)


def test_connections_that_stay_silent_are_closed() -> None:
    async def test(door: HttpDoor, _: ClientSession) -> None:
        host, port = door.address.split(":")
        for words in (b"", b"GET /healthz HTTP/1.1\r\nHost:"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(words)
            async with asyncio.timeout(5):
                assert not await reader.read()
            writer.transport.abort()

    run(World(), test, idle_seconds=0.5)


def test_the_door_closes_though_a_client_does_not_read() -> None:
    world = World()
    world.fill(SERIES * 4)
    begin = 0.0
    with socket.socket() as deaf:

        async def test(door: HttpDoor, _: ClientSession) -> None:
            nonlocal begin
            host, port = door.address.split(":")
            deaf.connect((host, int(port)))
            deaf.sendall(REQUEST)
            await asyncio.sleep(0.5)
            begin = time.monotonic()

        run(world, test)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "noise",
    [b"", b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00"],
)  # fmt: skip
def test_noise_is_answered_or_dropped(noise: bytes) -> None:
    async def test(door: HttpDoor, client: ClientSession) -> None:
        host, port = door.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(noise)
        writer.write_eof()
        first = await reader.read()
        assert not first or (first.startswith(b"HTTP/1.") and b" 400 " in first[:20])
        writer.close()
        async with client.get("/healthz") as answer:
            assert answer.status == 200

    run(World(), test)


def test_the_loop_goes_on_while_a_big_page_is_encoded() -> None:
    world = World()
    world.fill(SERIES)

    async def test(_: HttpDoor, client: ClientSession) -> None:
        async def ticking() -> float:
            worst = 0.0
            for _ in range(100):
                begin = time.monotonic()
                await asyncio.sleep(0.002)
                worst = max(worst, time.monotonic() - begin - 0.002)
            return worst

        async with asyncio.TaskGroup() as group:
            lag = group.create_task(ticking())
            group.create_task(read(client))
        assert lag.result() < 1.0

    run(world, test)


async def read(client: ClientSession) -> int:
    async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        return len(await answer.read())


def test_scrapes_that_come_together_share_one_render() -> None:
    world = World()
    world.fill(SERIES)

    async def main() -> None:
        variant = Variant(openmetrics=False, gzip=True)
        async with Scrapes.running(page=world.page) as scrapes, asyncio.TaskGroup() as group:
            tasks = [group.create_task(scrapes.render(variant)) for _ in range(20)]
        assert len({id(task.result()) for task in tasks}) == 1

    asyncio.run(main())
    assert world.page.stats.renders == 1


def test_an_impatient_scrape_does_not_take_the_page_from_others() -> None:
    world = World()
    world.fill(SERIES)

    async def main() -> None:
        variant = Variant(openmetrics=False, gzip=True)
        async with Scrapes.running(page=world.page) as scrapes, asyncio.TaskGroup() as group:
            patient, hasty = (group.create_task(scrapes.render(variant)) for _ in range(2))
            await asyncio.sleep(0)
            hasty.cancel()
            assert len(await patient) > 10_000

    asyncio.run(main())
