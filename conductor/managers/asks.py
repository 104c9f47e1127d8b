"""Requests to one life: numbered, and answered together when their turn has come."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from conductor.managers.wake import Wake

__all__ = ["Asks", "Overtaken"]

T = TypeVar("T")


class Asks:
    """Own who waits for which request; whoever asked earlier is answered by a later outcome too."""

    def __init__(self) -> None:
        self.latest = 1
        """Number of the latest request; being made is the first."""
        self.answered = 0
        self.wake = Wake()
        self._outcome: Exception | None = None
        self._waiters: list[tuple[int, asyncio.Future[Exception | None]]] = []

    def ask(self) -> int:
        """Count one more request, and wake who serves them."""
        self.latest += 1
        self.wake.set()
        return self.latest

    async def outcome(self, number: int) -> Exception | None:
        """Wait for the outcome of a request; answer why it failed."""
        if self.answered >= number:
            return self._outcome
        waiter: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._waiters.append((number, waiter))
        return await waiter

    def answer(self, number: int, failure: Exception | None) -> None:
        """Tell all that wait for this request, or an earlier one."""
        self._outcome, self.answered = failure, max(self.answered, number)
        for waited, waiter in self._waiters:
            if waited <= number and not waiter.done():
                waiter.set_result(failure)
        self._waiters = [(waited, waiter) for waited, waiter in self._waiters if not waiter.done()]

    async def newer_than(self, number: int) -> None:
        """Wait until something else is asked for."""
        while self.latest == number:
            self.wake.clear()
            await self.wake.wait()
        self.wake.set()

    async def unless_newer(self, number: int, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something outside. Raises `Overtaken` when something else is asked for: it may not be wanted now."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_contained(work), name="something outside")
            newer = group.create_task(self.newer_than(number), name="newer request")
            await asyncio.wait({task, newer}, return_when=asyncio.FIRST_COMPLETED)
            task.cancel()
            newer.cancel()
        if task.cancelled():
            raise Overtaken
        outcome = task.result()
        if isinstance(outcome, _Failure):
            raise outcome.error
        return outcome

    async def rest(self, seconds: float | None) -> None:
        """Wait until woken, or for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass


class Overtaken(Exception):
    """Something else was asked for meanwhile."""


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


async def _contained(work: Coroutine[Any, Any, T]) -> T | _Failure:
    """Keep a failure from ending the group that waits: it is raised by who asked."""
    try:
        return await work
    except Exception as exc:  # noqa: BLE001 - handed over
        return _Failure(exc)
