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
        self._lagged = asyncio.Event()
        self.waits = 0
        """Times a publisher had to wait for this reader."""

    @property
    def depth(self) -> int:
        """Events that wait to be read."""
        return self._queue.qsize()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        while not (self._lagged.is_set() and self._queue.empty()):
            yield await self._queue.get()
        raise BudgetExceeded("this subscriber read too slowly and was let go: subscribe again and list the present")

    async def put(self, event: Event, patience: float) -> None:
        """Queue an event, waiting for room; a reader that gives none for `patience` seconds is let go, loudly."""
        if self._lagged.is_set():
            return
        if self._queue.full():
            self.waits += 1
        try:
            async with asyncio.timeout(patience):
                await self._queue.put(event)
        except TimeoutError:
            self._lagged.set()


class Bus:
    """Own the queues between managers. Publishing waits for slow readers (backpressure), but not for ever."""

    def __init__(self, *, patience: float = 5.0) -> None:
        self._patience = patience
        self._subscriptions: list[Subscription] = []
        self.published = 0
        self.let_go = 0

    @property
    def depth(self) -> int:
        """Length of the longest queue."""
        return max((s.depth for s in self._subscriptions), default=0)

    @property
    def waits(self) -> int:
        """Times a publisher had to wait, over the present readers."""
        return sum(s.waits for s in self._subscriptions)

    async def publish(self, event: Event) -> None:
        """Tell every subscriber, in order."""
        self.published += 1
        for subscription in tuple(self._subscriptions):
            await subscription.put(event, self._patience)

    @contextmanager
    def subscribe(self, maxsize: int = 1024) -> Iterator[Subscription]:
        """Read events from now on. A reader must read; one that blocks for long is let go with `BudgetExceeded`."""
        subscription = Subscription(maxsize=maxsize)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
