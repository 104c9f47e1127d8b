"""Typed events between managers: bounded queues, backpressure, nothing lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from conductor.errors import BudgetExceeded
from conductor.model.events import Event

__all__ = ["Bus", "Subscription"]


class Subscription:
    """One reader's queue. Iterate it; ends with `BudgetExceeded` if the reader fell too far behind."""

    def __init__(self, *, maxsize: int) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(maxsize)
        self._lagged = False

    @property
    def depth(self) -> int:
        """Events that wait to be read."""
        return self._queue.qsize()

    @property
    def is_full(self) -> bool:
        """Whether the next event has to wait for room."""
        return self._queue.full() and not self._lagged

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        while not (self._lagged and self._queue.empty()):
            yield await self._queue.get()
        raise BudgetExceeded("this subscriber read too slowly and was let go: subscribe again and list the present")

    async def put(self, event: Event, patience: float) -> bool:
        """Queue an event, waiting for room; answer whether the reader gave none for so long that it is let go."""
        if self._lagged:
            return False
        try:
            async with asyncio.timeout(patience):
                await self._queue.put(event)
        except TimeoutError:
            self._lagged = True
        return self._lagged


class Bus:
    """Own the queues between managers. Publishing waits for slow readers (backpressure), but not for ever."""

    def __init__(self, *, patience: float = 5.0) -> None:
        self._patience = patience
        self._subscriptions: list[Subscription] = []
        self.published = 0
        self.waits = 0
        """Times a publisher had to wait for a reader."""
        self.let_go = 0
        """Readers that were let go because they did not read."""

    @property
    def depth(self) -> int:
        """Length of the longest queue."""
        return max((s.depth for s in self._subscriptions), default=0)

    async def publish(self, event: Event) -> None:
        """Tell every subscriber, in order."""
        self.published += 1
        for subscription in tuple(self._subscriptions):
            self.waits += subscription.is_full
            self.let_go += await subscription.put(event, self._patience)

    @contextmanager
    def subscribe(self, maxsize: int = 1024) -> Iterator[Subscription]:
        """Read events from now on. A reader must read; one that blocks for long is let go with `BudgetExceeded`."""
        subscription = Subscription(maxsize=maxsize)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
