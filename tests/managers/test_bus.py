"""The bus: in order, bounded, backpressure; a reader that never reads is let go, loudly."""

from __future__ import annotations

import asyncio

import pytest

from conductor.errors import BudgetExceeded
from conductor.managers.bus import Bus
from conductor.model.events import KernelChanged, RoadChanged
from conductor.model.ids import Name
from tests.managers.program_world import until

EVENTS = [KernelChanged(name=Name(f"k{i}")) for i in range(5)]


async def test_events_come_in_order_to_everyone() -> None:
    bus = Bus()
    with bus.subscribe() as one, bus.subscribe() as two:
        for event in EVENTS:
            await bus.publish(event)
        assert bus.depth == len(EVENTS)
        for subscription in (one, two):
            reader = aiter(subscription)
            assert [await anext(reader) for _ in EVENTS] == EVENTS


async def test_a_full_queue_holds_the_publisher_back_and_loses_nothing() -> None:
    bus = Bus()
    heard: list[object] = []
    with bus.subscribe(maxsize=1) as events:

        async def read_slowly() -> None:
            async for event in events:
                await asyncio.sleep(0.01)
                heard.append(event)

        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read_slowly())
            for event in EVENTS:
                await bus.publish(event)
            await until(lambda: len(heard) == len(EVENTS))
            reader.cancel()
    assert heard == EVENTS
    assert bus.waits >= 3


async def test_a_reader_that_does_not_read_is_let_go_and_told() -> None:
    bus = Bus(patience=0.05)
    with bus.subscribe(maxsize=1) as events:
        for event in EVENTS[:3]:
            await bus.publish(event)
        reader = aiter(events)
        assert await anext(reader) == EVENTS[0]
        with pytest.raises(BudgetExceeded, match="too slowly"):
            await anext(reader)
    assert (bus.let_go, bus.published) == (1, 3)


async def test_who_left_is_not_waited_for() -> None:
    bus = Bus(patience=60)
    with bus.subscribe(maxsize=1):
        await bus.publish(EVENTS[0])
    async with asyncio.timeout(1):
        await bus.publish(RoadChanged(connected=True))
    assert bus.depth == 0
