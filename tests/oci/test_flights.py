"""Errands that are shared, and threads that are waited for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from conductor.errors import ConductorError, RegistryAway
from conductor.oci.flights import Flights, Listener, in_thread


class Errand:
    """Waits to be let go, then fails as it was told to, or answers which run this was."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.runs = 0
        self.gate = asyncio.Event()

    async def __call__(self, _: Listener) -> int:
        self.runs += 1
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.runs


async def outcomes(errand: Errand, *likes: str) -> list[int | str]:
    """What each of those who ask at once is answered."""
    flights: Flights[int] = Flights()

    async def ask(like: str) -> int | str:
        try:
            return await flights.share("key", errand, like=like)
        except (ConductorError, ValueError) as exc:
            return type(exc).__name__

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(like)) for like in likes]
        await asyncio.sleep(0.01)
        errand.gate.set()
    return [task.result() for task in tasks]


def test_one_runs_for_all() -> None:
    async def story() -> None:
        assert await outcomes(Errand(), "a", "a", "b") == [1, 1, 1]

    asyncio.run(story())


def test_a_failure_is_for_those_alike() -> None:
    async def story() -> None:
        assert await outcomes(Errand(RegistryAway("x")), "a", "a", "b") == ["RegistryAway", "RegistryAway", 2]

    asyncio.run(story())


def test_a_failure_that_is_none_of_ours_is_its_leaders_alone() -> None:
    async def story() -> None:
        assert await outcomes(Errand(ValueError("a bug")), "a", "a") == ["ValueError", 2]

    asyncio.run(story())


def test_who_asks_later_begins_anew() -> None:
    async def story() -> None:
        errand, flights = Errand(), Flights[int]()
        errand.gate.set()
        assert [await flights.share("key", errand) for _ in range(2)] == [1, 2]

    asyncio.run(story())


def test_a_thread_is_over_before_its_caller_is_cancelled() -> None:
    async def story() -> None:
        began, let_go, over = asyncio.Event(), threading.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(began.set)
            let_go.wait(5)
            over.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(in_thread(work))
            await began.wait()
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.01)
                assert not task.done()
            let_go.set()
        assert over.is_set()
        assert task.cancelled()

    asyncio.run(story())


def test_what_a_thread_raises_is_raised() -> None:
    def work() -> None:
        raise RegistryAway("x")

    with pytest.raises(RegistryAway):
        asyncio.run(in_thread(work))
