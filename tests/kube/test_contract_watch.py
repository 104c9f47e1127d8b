"""What a watch tells, whatever happens to the server: the same stories before the fake and before the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from conductor.kube.watch import Patience
from conductor.model.cluster import Document, Gone, Interrupted, Key, Put, Synced, WatchCounts, WatchEvent
from tests.kube.worlds import MAPS, Client, World

HASTY = Patience(answer=2.0, silence=1.5, stream=30.0, first=0.1, longest=0.5)
Told = AsyncIterator[WatchEvent[str]]


def a_map(world: World, name: str, x: str) -> Document:
    return {"metadata": {"name": name, "namespace": world.namespace, "labels": {"x": x}}, "data": {"x": x}}


def x_of(document: Document) -> str:
    return str(document["data"]["x"])


@asynccontextmanager
async def watching(
    client: Client, world: World, counts: WatchCounts | None = None, labels: str = ""
) -> AsyncIterator[Told]:
    async with client.cluster.watching(
        MAPS, x_of, namespace=world.namespace, counts=counts, patience=HASTY, labels=labels
    ) as told:
        yield told


async def until_synced(told: Told) -> list[WatchEvent[str]]:
    heard: list[WatchEvent[str]] = []
    async with asyncio.timeout(30):
        async for event in told:
            if isinstance(event, Synced):
                return heard
            heard.append(event)
    raise AssertionError("a watch ended")


async def following(told: Told) -> WatchEvent[str]:
    async with asyncio.timeout(30):
        return await anext(told)


async def state_after(told: Told, state: dict[str, str], wanted: dict[str, str]) -> None:
    """Apply what is told until the state is as wanted."""
    async with asyncio.timeout(30):
        while state != wanted:
            match await anext(told):
                case Put(key, row):
                    state[key.name] = row
                case Gone(key):
                    del state[key.name]
                case _:
                    pass


async def put(client: Client, world: World, name: str, x: str) -> None:
    """Make or change it, as often as it takes."""
    async with asyncio.timeout(20):
        before = await client.cluster.get(MAPS, name, namespace=world.namespace, within=15)
        if before is None:
            await client.cluster.create(MAPS, a_map(world, name, x))
        else:
            await client.cluster.update(MAPS, {**before, "data": {"x": x}})


def test_what_is_there_is_told_and_then_what_changes(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await put(client, w, "a", "1")
            counts = WatchCounts()
            async with watching(client, w, counts) as told:
                assert await until_synced(told) == [Put(Key(w.namespace, "a"), "1")]
                await put(client, w, "b", "1")
                assert await following(told) == Put(Key(w.namespace, "b"), "1")
                await put(client, w, "b", "2")
                assert await following(told) == Put(Key(w.namespace, "b"), "2")
                await client.cluster.delete(MAPS, "a", namespace=w.namespace)
                assert await following(told) == Gone(Key(w.namespace, "a"))
            assert (counts.lists, counts.relists, counts.rows, counts.failures) == (1, 0, 1, 0)

    world.run(story)


def test_a_change_that_no_row_shows_is_not_told(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await put(client, w, "a", "1")
            counts = WatchCounts()
            async with watching(client, w, counts) as told:
                await until_synced(told)
                change = {"metadata": {"annotations": {"noise": "1"}}}
                await client.cluster.patch(MAPS, "a", change, namespace=w.namespace)
                await put(client, w, "a", "2")
                assert await following(told) == Put(Key(w.namespace, "a"), "2")
            assert counts.unchanged == 1

    world.run(story)


def test_what_leaves_the_selection_is_gone(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await put(client, w, "a", "1")
            await put(client, w, "b", "2")
            async with watching(client, w, labels="x=1") as told:
                assert await until_synced(told) == [Put(Key(w.namespace, "a"), "1")]
                change = {"metadata": {"labels": {"x": "9"}}}
                await client.cluster.patch(MAPS, "a", change, namespace=w.namespace)
                assert await following(told) == Gone(Key(w.namespace, "a"))

    world.run(story)


def test_a_server_that_was_away_and_forgot_is_listed_again(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as far, w.client("n2") as near:
            await put(near, w, "a", "1")
            await put(near, w, "b", "1")
            counts = WatchCounts()
            async with watching(far, w, counts) as told:
                await until_synced(told)
                far.cut()
                await put(near, w, "b", "2")
                await near.cluster.delete(MAPS, "a", namespace=w.namespace)
                await put(near, w, "c", "1")
                async with w.away():
                    pass
                far.heal()
                await state_after(told, {"a": "1", "b": "1"}, {"b": "2", "c": "1"})
            assert counts.relists >= 1
            assert counts.rows == 2

    world.run(story)


def test_a_frozen_server_is_told_once_and_its_return(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await put(client, w, "a", "1")
            async with watching(client, w) as told:
                await until_synced(told)
                async with w.frozen():
                    interruption = await following(told)
                    assert isinstance(interruption, Interrupted)
                    assert interruption.error.reason == "ClusterAway"
                assert await until_synced(told) == []
                await put(client, w, "a", "2")
                assert await following(told) == Put(Key(w.namespace, "a"), "2")

    world.run(story)


def test_a_cut_wire_is_noticed_and_nothing_is_missed(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as far, w.client("n2") as near:
            await put(near, w, "a", "1")
            counts = WatchCounts()
            async with watching(far, w, counts) as told:
                await until_synced(told)
                await put(near, w, "a", "1.5")
                assert await following(told) == Put(Key(w.namespace, "a"), "1.5")
                far.cut()
                await put(near, w, "a", "2")
                assert isinstance(await following(told), Interrupted)
                await put(near, w, "a", "3")
                far.heal()
                state: dict[str, str] = {}
                await state_after(told, state, {"a": "3"})
            assert counts.reconnects >= 1

    world.run(story)
