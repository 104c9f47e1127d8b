"""Every path of the HTTP door, through a real client."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest
from aiohttp import ClientSession

from conductor.api.http import HttpDoor, serving
from conductor.cli import shapes
from conductor.errors import AddressInUse, InvalidConfig
from conductor.model.status import State
from tests.api.http_door import World, program, run

LINE = b'hits_total{a="1",program="p"} 1.0\n'


def test_metrics_in_each_format() -> None:
    world = World()
    world.fill(2)

    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            plain = await answer.read()
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert answer.headers["Vary"] == "Accept, Accept-Encoding"
            assert "Content-Encoding" not in answer.headers
            assert LINE in plain
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await answer.read()) == plain
        headers = {"Accept": "application/openmetrics-text", "Accept-Encoding": "identity"}
        async with client.get("/metrics", headers=headers) as answer:
            assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
            body = await answer.read()
            assert LINE in body
            assert body.endswith(b"# EOF\n")

    run(world, test)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("program=p", True), ("program=q", False), ("program=q&program=p", True), ("name[]=hits_total", True),
        ("name[]=other", False), ("name%5B%5D=hits", True), ("unknown=1", True),
    ],
)  # fmt: skip
def test_filters(query: str, found: bool) -> None:
    world = World()
    world.fill(2)

    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get(f"/metrics?{query}", headers={"Accept-Encoding": "identity"}) as answer:
            assert (LINE in await answer.read()) is found

    run(world, test)


def test_head_has_the_length_and_no_body() -> None:
    world = World()
    world.fill(2)

    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.head("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            assert int(answer.headers["Content-Length"]) == len(world.page.render(openmetrics=False, gzip=False))
        async with client.get("/healthz") as answer:
            assert await answer.text() == "ok\n"

    run(world, test)


@pytest.mark.parametrize(
    ("ready", "status", "body"),
    [
        ((True, ()), 200, "ok\n"),
        ((True, ("kernel daemon away",)), 200, "kernel daemon away\n"),
        ((False, ("a: waits", "b:\nwaits")), 503, "a: waits\nb: waits\n"),
        ((False, ()), 503, "not ready\n"),
    ],
)
def test_readiness_has_a_line_per_reason(ready: tuple[bool, tuple[str, ...]], status: int, body: str) -> None:
    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (status, body)

    run(World(ready=ready), test)


def test_programs_as_json_are_what_the_command_line_prints() -> None:
    world = World(programs=[program("q", State.WAITING, reason="MapMissing"), program("p", since=1763870000.25)])

    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get("/api/v1/programs") as answer:
            document = await answer.json()
        assert [item["name"] for item in document["items"]] == ["p", "q"]
        assert document["items"] == [shapes.program(world.programs[1]), shapes.program(world.programs[0])]
        async with client.get("/api/v1/programs/p") as answer:
            assert await answer.json() == shapes.program(world.programs[1])
        async with client.get("/api/v1/programs/nobody") as answer:
            assert answer.status == 404
            assert (await answer.json())["reason"] == "NotFound"

    run(world, test)


def test_page_is_html_that_may_load_nothing() -> None:
    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get("/") as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "<h1>eBPFConductor</h1>" in await answer.text()

    run(World(programs=[program("p")]), test)


def test_other_paths_and_methods_are_refused() -> None:
    async def test(door: HttpDoor, client: ClientSession) -> None:
        async with client.get("/etc/passwd") as answer:
            assert (answer.status, await answer.text()) == (404, "404: Not Found; / shows what is here\n")
        async with client.post("/metrics", data=b"x" * 100_000) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET,HEAD"
        assert door.requests == {("other", "404"): 1, ("other", "405"): 1}

    run(World(), test)


def test_a_failing_part_fails_its_path_alone(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.fill(2)
    world.ready = None  # type: ignore[assignment]

    async def test(_: HttpDoor, client: ClientSession) -> None:
        async with client.get("/readyz") as answer:
            assert answer.status == 500
        async with client.get("/metrics") as answer:
            assert answer.status == 200

    run(world, test)
    assert "/readyz failed" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_in_use_is_said(host: str) -> None:
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as taken:
        taken.bind((host.strip("[]"), 0))
        taken.listen()
        address = f"{host}:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUse, match="choose another"):
            run_at(address)


def test_an_impossible_address_is_said() -> None:
    with pytest.raises(InvalidConfig, match="http-address"):
        run_at("192.0.2.1:0")


def run_at(address: str) -> None:
    async def main() -> None:
        world = World()
        async with serving(address=address, page=world.page, programs=tuple, ready=lambda: (True, ())):
            pass

    asyncio.run(main())
