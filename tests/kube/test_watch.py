"""A watch under every fault that the fake can make, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

import pytest

from conductor.errors import ClusterRefused, InvalidSpec
from conductor.kube.requests import Reply, Request
from conductor.model.cluster import Document, Gone, Interrupted, Key, Put, Synced, WatchCounts, WatchEvent
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeConnection, FakeServer
from tests.kube.worlds import MAPS

GONE = Reply(status=410, body=b'{"kind":"Status","code":410,"message":"too old"}')


def a_map(name: str, x: str) -> Document:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"x": x}}


def x_of(document: Document) -> str:
    return str(document["data"]["x"])


class Mirror:
    """Everything that a watch told, and what it amounts to."""

    def __init__(self, connection: FakeConnection, keep: Callable[[Document], str | None] = x_of) -> None:
        self.connection, self.keep = connection, keep
        self.counts = WatchCounts()
        self.heard: list[WatchEvent[str]] = []
        self.rows: dict[str, str] = {}

    async def follow(self, *, at_most: int = 1000) -> None:
        watching = self.connection.cluster.watching(
            MAPS, self.keep, namespace="default", counts=self.counts, at_most=at_most
        )
        async with watching as told:
            async for event in told:
                self.heard.append(event)
                match event:
                    case Put(key, row):
                        assert self.rows.get(key.name) != row, "told twice"
                        self.rows[key.name] = row
                    case Gone(key):
                        del self.rows[key.name]
                    case Synced() | Interrupted():
                        pass

    def of(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.heard)


def told(story: Callable[[Mirror, FakeConnection], Awaitable[None]], **options: int) -> None:
    """Follow, and meanwhile let the story happen from another connection."""

    async def whole() -> None:
        server = FakeServer()
        mirror = Mirror(server.client("watcher"))
        async with asyncio.TaskGroup() as group:
            following = group.create_task(mirror.follow(**options))
            await asyncio.sleep(1)
            await story(mirror, server.client("editor"))
            following.cancel()

    virtual_time.run(whole())


async def put(editor: FakeConnection, name: str, x: str) -> None:
    before = await editor.cluster.get(MAPS, name, namespace="default")
    if before is None:
        await editor.cluster.create(MAPS, a_map(name, x))
    else:
        await editor.cluster.update(MAPS, {**before, "data": {"x": x}})
    await asyncio.sleep(0.01)


def test_an_event_cut_in_two_comes_again() -> None:
    async def story(m: Mirror, e: FakeConnection) -> None:
        await put(e, "a", "1")
        e.server.frozen.stop()
        e.api.answer("editor", _write("b"))
        e.server.break_streams()
        e.server.frozen.go_on()
        await asyncio.sleep(5)
        assert m.rows == {"a": "1", "b": "1"}
        assert (m.counts.relists, m.counts.reconnects, m.of(Interrupted)) == (0, 1, 0)

    told(story)


def _write(name: str) -> Request:
    return Request(method="POST", path=MAPS.path("default"), body=json.dumps(a_map(name, "1")).encode())


@pytest.mark.parametrize("form", ["status", "event"])
def test_history_that_is_gone_is_listed_again_and_only_differences_are_told(form: str) -> None:
    async def story(m: Mirror, e: FakeConnection) -> None:
        for name in "abc":
            await put(e, name, "1")
        m.connection.cut.stop()
        await put(e, "a", "2")
        await e.cluster.delete(MAPS, "b", namespace="default")
        e.server.break_streams()
        m.heard.clear()
        if form == "status":
            e.api.compact()
        else:
            m.connection.replies.append(GONE)
        m.connection.cut.go_on()
        await asyncio.sleep(5)
        assert m.rows == {"a": "2", "c": "1"}
        assert (m.of(Put), m.of(Gone)) == (1, 1)
        assert m.counts.relists == 1

    told(story)


def test_history_that_goes_between_two_pages_begins_again() -> None:
    async def story(m: Mirror, e: FakeConnection) -> None:
        for number in range(300):
            e.api.answer("editor", _write(f"m{number}"))
        late = Mirror(e.server.client("late"))
        late.connection.delay = 1.0
        async with asyncio.TaskGroup() as group:
            following = group.create_task(late.follow())
            await asyncio.sleep(2.5)  # its first page is there
            e.api.compact()
            await asyncio.sleep(20)
            following.cancel()
        assert late.rows == m.rows
        assert len(late.rows) == 300
        assert late.counts.lists == 2

    told(story)


def test_a_list_may_take_long_as_long_as_its_pages_come() -> None:
    async def story(_: Mirror, e: FakeConnection) -> None:
        for number in range(600):
            e.api.answer("editor", _write(f"m{number}"))
        slow = Mirror(e.server.client("slow"))
        slow.connection.delay = 7.0
        async with asyncio.TaskGroup() as group:
            following = group.create_task(slow.follow())
            await asyncio.sleep(60)
            following.cancel()
        assert len(slow.rows) == 600
        assert (slow.counts.lists, slow.counts.failures) == (1, 0)

    told(story)


def test_a_refused_watch_is_told_and_begins_when_it_may() -> None:
    async def story(_: Mirror, e: FakeConnection) -> None:
        await put(e, "a", "1")
        e.api.refuse = lambda who, _request: who == "late"
        late = Mirror(e.server.client("late"))
        async with asyncio.TaskGroup() as group:
            following = group.create_task(late.follow())
            await asyncio.sleep(100)
            (interruption,) = late.heard
            assert isinstance(interruption, Interrupted)
            assert isinstance(interruption.error, ClusterRefused)
            assert late.counts.failures < 15  # it is not asked for all the time
            e.api.refuse = lambda _who, _request: False
            await asyncio.sleep(40)
            following.cancel()
        assert late.heard[1:] == [Put(Key("default", "a"), "1"), Synced()]

    told(story)


def test_streams_end_by_themselves_and_bookmarks_keep_the_place() -> None:
    async def story(m: Mirror, e: FakeConnection) -> None:
        await put(e, "a", "1")
        for _ in range(30):
            await asyncio.sleep(60)
            other = {"metadata": {"generateName": "noise-", "namespace": "elsewhere"}}
            await e.cluster.create(MAPS, other)
        e.api.compact()
        await asyncio.sleep(600)
        await put(e, "a", "2")
        assert m.rows == {"a": "2"}
        assert m.counts.bookmarks > 10
        assert m.counts.reconnects >= 3
        assert (m.counts.lists, m.counts.failures, m.of(Interrupted)) == (1, 0, 0)

    told(story)


def test_no_more_than_the_bound_is_held() -> None:
    async def story(m: Mirror, e: FakeConnection) -> None:
        for name in "abc":
            await put(e, name, "1")
        assert m.rows == {"a": "1", "b": "1"}
        assert (m.counts.left_out, m.counts.rows) == (1, 2)
        await e.cluster.delete(MAPS, "a", namespace="default")
        await put(e, "c", "2")
        assert m.rows == {"b": "1", "c": "2"}

    told(story, at_most=2)


def test_an_object_that_cannot_be_read_does_not_stop_the_others() -> None:
    async def story(m: Mirror, e: FakeConnection) -> None:
        await put(e, "a", "1")
        await e.cluster.create(MAPS, {"metadata": {"name": "odd", "namespace": "default"}, "data": {"x": "odd"}})
        await put(e, "b", "1")
        assert m.rows == {"a": "1", "b": "1"}
        assert m.counts.unreadable == 1
        await put(e, "a", "odd")
        assert m.rows == {"b": "1"}

    def picky(document: Document) -> str:
        if (x := x_of(document)) == "odd":
            raise InvalidSpec("data.x", "is odd")
        return x

    async def whole() -> None:
        server = FakeServer()
        mirror = Mirror(server.client("watcher"), picky)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(mirror.follow())
            await asyncio.sleep(1)
            await story(mirror, server.client("editor"))
            following.cancel()

    virtual_time.run(whole())


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_it_ends_as_the_server_has_it(seed: int) -> None:
    rng = random.Random(seed)

    async def story(m: Mirror, e: FakeConnection) -> None:
        for _ in range(150):
            match rng.randrange(12):
                case 0:
                    e.server.break_streams()
                case 1:
                    e.api.compact()
                case 2:
                    m.connection.cut.stop()
                case 3 | 4:
                    m.connection.cut.go_on()
                case 5:
                    m.connection.replies.append(
                        rng.choice((GONE, Reply(status=500, body=b""), Reply(status=429, body=b"")))
                    )
                case 6:
                    await e.cluster.delete(MAPS, rng.choice("abcd"), namespace="default")
                case 7:
                    await asyncio.sleep(rng.uniform(0, 400))
                case _:
                    await put(e, rng.choice("abcd"), str(rng.randrange(3)))
        m.connection.cut.go_on()
        await asyncio.sleep(300)
        there = await e.cluster.list(MAPS, x_of, namespace="default")
        assert m.rows == {key.name: row for key, row in there.rows.items()}
        assert m.counts.rows == len(m.rows)

    told(story)
