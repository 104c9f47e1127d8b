"""One run of an errand for all who want the same: the first to ask does it, the others wait for what comes of it.

There is no task of its own: if the leader is cancelled, the next in line leads. A failure is shared only by those who
would have failed the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from conductor.errors import ConductorError
from conductor.model.image import PullPhase

__all__ = ["Flights", "Listener", "in_thread"]

T = TypeVar("T")
R = TypeVar("R")
Listener = Callable[[PullPhase, int, int], None]
_LISTENERS_MOST: Final = 1000
"""Who asks beyond these is answered all the same, and hears no progress."""


class _Flight(Generic[T]):
    """One errand on its way."""

    def __init__(self, like: Hashable) -> None:
        self.like = like
        self.over = asyncio.Event()
        self.listeners: list[Listener] = []
        self.results: list[T] = []
        self.failure: ConductorError | None = None

    def tell(self, phase: PullPhase, done: int, total: int) -> None:
        for listener in tuple(self.listeners):
            listener(phase, done, total)


class Flights(Generic[T]):
    """Errands by what they are for."""

    def __init__(self) -> None:
        self._running: dict[Hashable, _Flight[T]] = {}
        self.shared = 0
        """Answers given to those who only waited."""

    async def share(
        self,
        key: Hashable,
        errand: Callable[[Listener], Awaitable[T]],
        *,
        like: Hashable = None,
        listener: Listener | None = None,
    ) -> T:
        """Answer what the errand does, running or begun now. `like` tells whose failure would be ours too."""
        while True:
            flight = self._running.get(key)
            if flight is None:
                return await self._lead(key, errand, like, listener)
            await self._wait(flight, listener)
            if flight.results:
                self.shared += 1
                return flight.results[0]
            if flight.failure is not None and flight.like == like:
                self.shared += 1
                raise flight.failure

    async def _lead(
        self, key: Hashable, errand: Callable[[Listener], Awaitable[T]], like: Hashable, listener: Listener | None
    ) -> T:
        flight = self._running[key] = _Flight[T](like)
        if listener is not None:
            flight.listeners.append(listener)
        try:
            found = await errand(flight.tell)
            flight.results.append(found)
        except ConductorError as exc:
            flight.failure = exc
            raise
        finally:
            del self._running[key]
            flight.over.set()
        return found

    @staticmethod
    async def _wait(flight: _Flight[T], listener: Listener | None) -> None:
        if listener is None or len(flight.listeners) >= _LISTENERS_MOST:
            await flight.over.wait()
            return
        flight.listeners.append(listener)
        try:
            await flight.over.wait()
        finally:
            flight.listeners.remove(listener)


async def in_thread(work: Callable[[], R]) -> R:
    """Do blocking, bounded work in a thread, and be back only when it is over, cancelled or not.

    What it uses (a file, say) may be closed then.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        if not future.cancelled():
            future.exception()  # seen, and of no interest to who does not wait any more
        raise
