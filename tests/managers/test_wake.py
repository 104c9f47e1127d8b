from __future__ import annotations

import asyncio

import pytest

from conductor.managers.wake import Wake


async def test_who_waits_goes_on_once_it_is_set() -> None:
    wake = Wake()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waits = group.create_task(wake.wait())
        await asyncio.sleep(0)
        assert not waits.done()
        wake.set()


async def test_what_was_set_before_is_not_waited_for() -> None:
    wake = Wake()
    wake.set()
    async with asyncio.timeout(5):
        await wake.wait()
        await wake.wait()


async def test_after_it_was_cleared_one_waits_again() -> None:
    wake = Wake()
    wake.set()
    wake.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wake.wait()


async def test_a_waiter_that_gave_up_makes_room_for_another() -> None:
    wake = Wake()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await wake.wait()


async def test_a_second_waiter_is_refused() -> None:
    wake = Wake()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(wake.wait())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one task"):
            await wake.wait()
        wake.set()
