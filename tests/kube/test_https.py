"""Requests over real sockets: tokens, fences, slow and broken servers, redirects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from conductor.errors import ClusterAway, ClusterRefused, InvalidConfig, LeadershipLost
from conductor.kube import token
from conductor.kube.access import Access, Pem
from conductor.kube.cluster import Cluster
from conductor.kube.fence import Fence, now
from conductor.kube.https import Https
from conductor.kube.requests import Reply, Request
from conductor.kube.watch import Patience
from conductor.model.cluster import Document, Interrupted, Put, Synced, WatchEvent
from tests.kube.worlds import MAPS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OBJECT: Document = {"metadata": {"name": "a", "namespace": "default"}}


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """Answer everything by one handler; yields the address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def reaching(handler: Handler, token: str = "", token_file: Path | None = None) -> AsyncIterator[Cluster]:
    async with (
        served(handler) as server,
        Https.connected(Access(server=server, token=token, token_file=token_file)) as transport,
    ):
        yield Cluster(transport=transport)


def told(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(whole())


def test_a_token_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    async def handler(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Bearer new":
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response(OBJECT)

    async def story() -> None:
        async with reaching(handler, token_file=file) as cluster:
            with pytest.raises(ClusterRefused, match="Unauthorized") as refused:
                await cluster.get(MAPS, "a", namespace="default")
            assert "old" not in str(refused.value)
            file.write_text("new\n")
            assert await cluster.get(MAPS, "a", namespace="default") == OBJECT

    told(story)


def test_a_token_is_looked_for_again_before_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    found = token.TokenFile(path=file)
    assert found.now() == "one"
    file.write_text("two")
    assert found.now() == "one"
    monkeypatch.setattr(token, "LOOK_EVERY", 0.0)
    assert found.now() == "two"
    file.unlink()
    with pytest.raises(ClusterAway, match=r"token .* cannot be read"):
        found.now()


def test_a_redirect_is_not_followed() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def story() -> None:
        async with reaching(handler, token="secret") as cluster:
            with pytest.raises(ClusterAway, match="HTTP 302"):
                await cluster.get(MAPS, "a", namespace="default")
        assert len(seen) == 1

    told(story)


def test_a_server_that_says_nothing_is_away_by_the_deadline() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def story() -> None:
        async with reaching(handler) as cluster:
            with pytest.raises(ClusterAway, match=r"did not answer GET .* within"):
                await cluster.get(MAPS, "a", namespace="default", within=0.3)

    told(story)


def test_nobody_listening_says_that_nothing_was_sent() -> None:
    async def story() -> None:
        async with Https.connected(Access(server="http://127.0.0.1:1")) as transport:
            with pytest.raises(ClusterAway, match="cannot be reached") as away:
                await transport.send(Request(method="POST", path="/x", body=b"{}"), within=1)
            assert not away.value.sent

    told(story)


def test_an_answer_past_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from conductor.kube import https

    monkeypatch.setattr(https, "LARGEST", 1000)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b" " * 2000)

    async def story() -> None:
        async with reaching(handler) as cluster:
            with pytest.raises(ClusterAway, match="larger than"):
                await cluster.get(MAPS, "a", namespace="default", within=0.5)

    told(story)


def test_what_waited_for_a_connection_asks_the_fence_again() -> None:
    """The only connection is busy when the fence is asked first; when it is free the fence has passed."""
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        await asyncio.sleep(0.5)
        return web.json_response(OBJECT)

    async def story() -> None:
        async with (
            served(handler) as server,
            Https.connected(Access(server=server)) as transport,
            asyncio.TaskGroup() as group,
        ):
            transport._session.connector._limit = 1
            group.create_task(transport.send(Request(method="POST", path="/first", body=b"first"), within=5))
            await asyncio.sleep(0.1)
            fenced = Request(method="POST", path="/second", body=b"second", fence=Fence(until=now() + 0.2))
            with pytest.raises(LeadershipLost):
                await transport.send(fenced, within=5)
        assert bodies == [b"first"]

    told(story)


@asynccontextmanager
async def following(handler: Handler, patience: Patience) -> AsyncIterator[AsyncIterator[WatchEvent[str]]]:
    async with (
        reaching(handler) as cluster,
        cluster.watching(MAPS, lambda found: str(found["metadata"]["name"]), patience=patience) as events,
    ):
        yield events


def test_a_stream_that_is_cut_in_an_event_goes_on_where_it_was() -> None:
    versions: list[str] = []

    def event(name: str, version: str) -> bytes:
        metadata = {"name": name, "namespace": "default", "resourceVersion": version}
        return json.dumps({"type": "ADDED", "object": {"metadata": metadata}}).encode() + b"\n"

    async def handler(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "5"}, "items": []})
        versions.append(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if len(versions) == 1:
            await response.write(event("a", "6") + event("b", "7")[:20])
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(event("b", "7"))
        await asyncio.sleep(5)
        return response

    async def story() -> None:
        async with following(handler, Patience(first=0.05)) as events:
            names = [event.row if isinstance(event, Put) else type(event) async for event in _some(events, 3)]
            assert names == [Synced, "a", "b"]
        assert versions == ["5", "6"]

    told(story)


def test_a_server_that_is_gone_is_told() -> None:
    async def story() -> None:
        async with (
            Https.connected(Access(server="http://127.0.0.1:1")) as transport,
            Cluster(transport=transport).watching(MAPS, str, patience=Patience(answer=0.3)) as events,
        ):
            assert isinstance(await anext(events), Interrupted)

    told(story)


async def _some(events: AsyncIterator[WatchEvent[str]], number: int) -> AsyncIterator[WatchEvent[str]]:
    for _ in range(number):
        yield await anext(events)


def test_a_refused_stream_is_a_reply() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": 410}, status=410)

    async def story() -> None:
        async with (
            served(handler) as server,
            Https.connected(Access(server=server)) as transport,
            transport.stream(Request(method="GET", path="/x"), within=2) as answer,
        ):
            assert isinstance(answer, Reply)
            assert answer.status == 410

    told(story)


def test_a_certificate_that_is_none_is_refused_without_its_bytes() -> None:
    async def story() -> None:
        access = Access(server="https://127.0.0.1:1", authority=Pem(content=b"no certificate"))
        with pytest.raises(InvalidConfig, match="certificates or key cannot be used"):
            async with Https.connected(access):
                pass

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    told(story)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
